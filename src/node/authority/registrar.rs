//! Descriptors that are handed in over links: from members, each of which has a place, and from strangers, who share some and
//! are seen to one after the other, slowly. So whoever floods the door costs members nothing, and the disk little.

use super::desk::Desk;
use super::office::Brief;
use crate::directory::{Malformed, Refused, Shared, Signed, Standing, Wrong};
use crate::link::document::Incoming;
use crate::link::offer::{MAX_DESCRIPTOR, Verdict};
use crate::node::session::{Cut, Link};
use crate::sys::clock;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Strangers at once. Each takes some tens of kilobytes; whoever else comes is turned away without a word.
const STRANGERS: usize = 16;

/// How often one stranger's descriptor is looked at: parsing it and keeping it is the work of milliseconds and one write.
const STRANGER_EVERY: Duration = Duration::from_secs(1);

/// How long handing in may take. When all strangers' places are taken, the last one waits a quarter of it for its turn.
const LIMIT: Duration = Duration::from_secs(60);

/// A descriptor that was handed in, and where to say what becomes of it.
#[derive(Debug)]
pub(in super::super) struct Offered {
    pub(in super::super) text: String,
    pub(in super::super) verdict: oneshot::Sender<Verdict>,
}

/// Looks at what is handed in for as long as anybody can hand in.
pub(in super::super) async fn keep(desk: Desk, briefs: watch::Receiver<Brief>, mut offers: mpsc::Receiver<Offered>) {
    while let Some(Offered { text, verdict }) = offers.recv().await {
        let (desk, brief) = (desk.clone(), briefs.borrow().clone());
        // Without a verdict the caller is cut off, and comes again.
        if let Ok(Ok(found)) = spawn_blocking(move || look_at(&text, &desk, &brief)).await {
            let _ = verdict.send(found);
        }
    }
}

/// What becomes of the descriptor with this text; if it is to be kept, it is on disk.
fn look_at(text: &str, desk: &Desk, brief: &Brief) -> io::Result<Verdict> {
    let offered = match Signed::parse(text) {
        Ok(offered) => offered,
        Err(Malformed { why: Wrong::MixKey, .. }) => return Ok(Verdict::BadMixKey),
        Err(_) => return Ok(Verdict::Malformed),
    };
    let (document, register) = (&brief.document, desk.register()?);
    let next = clock::now().epoch(document.params().epoch).plus(1);
    let draft = register.draft(document.contents(), *document.hash(), next, brief.config.admission);
    Ok(match register.judge(&offered, &draft, brief.config.admission) {
        Ok(Standing::Known) => Verdict::Known,
        Ok(standing) => {
            desk.offer(&offered)?;
            if standing == Standing::In { Verdict::In } else { Verdict::Waits }
        }
        Err(Refused::Old) => Verdict::Old,
        Err(Refused::NoKey(_)) => Verdict::NoKey,
        Err(Refused::NoRoom) => Verdict::NoRoom,
        Err(Refused::TwoNodes(Shared::Address)) => Verdict::Address,
        Err(Refused::TwoNodes(Shared::LinkKey)) => Verdict::LinkKey,
        // Two with one identity are one node.
        Err(Refused::TwoNodes(Shared::Name | Shared::Identity)) => Verdict::Name,
    })
}

/// Those who are handing in.
#[derive(Debug, Default)]
pub(in super::super) struct Counter {
    tasks: JoinSet<()>,
    /// By link key.
    members: BTreeMap<[u8; 32], AbortHandle>,
    strangers: Vec<AbortHandle>,
    /// None as long as no stranger has come.
    pace: Option<Arc<Mutex<Interval>>>,
}

impl Counter {
    /// Hears a caller that has proved this link key, if there is a place. A member that comes again gives its first place up.
    pub(in super::super) fn hear<S>(
        &mut self,
        link: Link<S>,
        key: [u8; 32],
        is_member: bool,
        offers: &mpsc::Sender<Offered>,
    ) where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.members.retain(|_, caller| !caller.is_finished());
        self.strangers.retain(|caller| !caller.is_finished());
        if is_member {
            let caller = self.tasks.spawn(done(hear(link, offers.clone(), None)));
            if let Some(before) = self.members.insert(key, caller) {
                before.abort();
            }
        } else if self.strangers.len() < STRANGERS {
            let pace = Arc::clone(self.pace.get_or_insert_with(pace));
            self.strangers.push(self.tasks.spawn(done(hear(link, offers.clone(), Some(pace)))));
        }
    }

    /// Waits until one is done with; none if there are none.
    pub(in super::super) async fn next(&mut self) -> Option<()> {
        self.tasks.join_next().await.map(drop)
    }
}

fn pace() -> Arc<Mutex<Interval>> {
    let mut pace = interval(STRANGER_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Arc::new(Mutex::new(pace))
}

async fn done(hear: impl Future<Output = Result<(), Cut>>) {
    // Slow or gone: there is nobody to tell.
    let _ = timeout(LIMIT, hear).await;
}

async fn hear<S: AsyncRead + AsyncWrite>(
    mut link: Link<S>,
    offers: mpsc::Sender<Offered>,
    pace: Option<Arc<Mutex<Interval>>>,
) -> Result<(), Cut> {
    let head = link.receiver.head().await?;
    if head.length() > MAX_DESCRIPTOR {
        return Err(Cut);
    }
    let mut incoming = Incoming::new(&head);
    while let Some(length) = incoming.expects() {
        incoming.take(link.receiver.piece(length).await?)?;
    }
    let text = incoming.finish()?;
    if let Some(pace) = pace {
        pace.lock().await.tick().await;
    }
    let (verdict, found) = oneshot::channel();
    offers.send(Offered { text, verdict }).await.map_err(|_| Cut)?;
    link.sender.verdict(found.await.map_err(|_| Cut)?).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::directory::Document;
    use crate::directory::fixture::{EPOCH, contents, descriptor, key, signed, signed_text, trust};
    use crate::link::document::{Head, pieces};
    use crate::node::session;
    use crate::secret::Secret;
    use crate::time::Time;
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::Instant;

    /// Callers that hand in this text each, all at once; when each has its verdict.
    async fn handed_in(texts: &[String], is_member: bool) -> Vec<Option<(Verdict, Duration)>> {
        let (offers, mut offered) = mpsc::channel::<Offered>(1);
        let (mut counter, begin, mut giving) = (Counter::default(), Instant::now(), JoinSet::new());
        for (n, text) in texts.iter().cloned().enumerate() {
            let (near, far) = duplex(1000);
            let secret = |seed| Secret::filled(|bytes: &mut [u8; 32]| bytes.fill(seed));
            let theirs = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([200; 32])).to_bytes();
            let ours = secret(u8::try_from(n).unwrap() + 1);
            let (link, caller) = tokio::join!(session::hand_in(near, &ours, &theirs), async {
                session::respond(far, &secret(200)).await.unwrap()
            });
            let key = caller.key;
            counter.hear(caller.brings(), key, is_member, &offers);
            giving.spawn(async move { Some((n, give(link.unwrap(), &text).await.ok()?, begin.elapsed())) });
        }
        let desk = async {
            while let Some(Offered { text, verdict }) = offered.recv().await {
                let _ = verdict.send(if text == "new" { Verdict::In } else { Verdict::Malformed });
            }
        };
        let given = async {
            let mut said = vec![None; texts.len()];
            while let Some(one) = giving.join_next().await {
                if let Some((n, verdict, took)) = one.unwrap() {
                    said[n] = Some((verdict, took));
                }
            }
            said
        };
        tokio::select! { said = given => said, () = desk => unreachable!() }
    }

    async fn give(mut link: Link<DuplexStream>, text: &str) -> Result<Verdict, Cut> {
        link.sender.head(&Head::new(text.len(), [0; 32]).unwrap()).await?;
        for piece in pieces(text) {
            link.sender.piece(piece).await?;
        }
        link.receiver.verdict().await
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_seen_to_one_a_second_and_no_more_than_have_a_place() {
        let said = handed_in(&vec!["new".to_owned(); STRANGERS + 2], false).await;
        assert_eq!(said.iter().filter(|said| said.is_some()).count(), STRANGERS);
        let mut took: Vec<_> = said.into_iter().flatten().map(|(_, took)| took.as_secs()).collect();
        took.sort_unstable();
        assert_eq!(took, (0..16).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn members_wait_for_nobody() {
        let said = handed_in(&vec!["new".to_owned(); STRANGERS + 2], true).await;
        assert!(said.iter().all(|said| *said == Some((Verdict::In, Duration::ZERO))), "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_long_is_not_read_and_whoever_stands_still_is_cut_off() {
        let long = "x".repeat(MAX_DESCRIPTOR + 1);
        let said = handed_in(&[long, "x".repeat(MAX_DESCRIPTOR)], false).await;
        assert!(said[0].is_none() && said[1].is_some_and(|(verdict, _)| verdict == Verdict::Malformed), "{said:?}");
    }

    #[test]
    fn each_descriptor_is_told_what_becomes_of_it_and_kept_if_it_may_be_of_use() {
        let dir = tempfile::tempdir().unwrap();
        let lines = format!(
            "node.name = \"a\"\nnode.onion = \"a:1\"\ndirectory.trust = [\"{}\"]\nspool.path = \".\"\n",
            key(101).node_id()
        );
        let config = Config::parse(&[("fog.toml".into(), lines)], &[], dir.path()).unwrap();
        let running = clock::now().epoch(Duration::from_secs(86_400));
        // Epochs of now: whoever looks has a clock.
        let of_now = |n: u8, sequence, ahead: u64| {
            let node = descriptor(n);
            let mix_key = node.mix_keys[&EPOCH].clone();
            let mix_keys = (0..=ahead).map(|age| (running.plus(age), mix_key.clone())).collect();
            crate::directory::Descriptor { sequence, mix_keys, ..node }
        };
        let nodes = [(1, of_now(1, 1, 7)), (2, of_now(2, 1, 7))];
        let contents = crate::directory::Contents { epoch: running, ..contents(1, 1, nodes) };
        let now = Time::epoch_start(running, Duration::from_secs(86_400));
        let document = Document::verify(&signed_text(&contents, [101]), &trust(1, 1), now, None).unwrap();
        let brief = Brief { document: Arc::new(document), config: Arc::new(config) };
        let desk = Desk::of(&brief.config.spool);
        let told = |text: &str| look_at(text, &desk, &brief).unwrap();
        let tell = |n, node| told(&signed(node, n).to_text());
        let named = |name: &str, n| crate::directory::Descriptor { name: name.into(), ..of_now(n, 2, 7) };
        assert_eq!(told("?"), Verdict::Malformed);
        assert_eq!(told(&signed(of_now(1, 2, 7), 1).to_text().replace("mix-keys", "mix_keys")), Verdict::Malformed);
        assert_eq!(tell(1, of_now(1, 1, 7)), Verdict::Known);
        assert_eq!(tell(1, of_now(1, 0, 7)), Verdict::Old);
        assert_eq!(tell(1, of_now(1, 2, 0)), Verdict::NoKey);
        assert_eq!(tell(1, named("node-2", 1)), Verdict::Name);
        assert_eq!(desk.register().unwrap().offered.len(), 0);
        assert_eq!(tell(1, of_now(1, 2, 7)), Verdict::In);
        assert_eq!(tell(1, of_now(1, 2, 7)), Verdict::Known);
        assert_eq!(tell(9, of_now(9, 1, 7)), Verdict::Waits);
        assert_eq!(desk.register().unwrap().offered.len(), 2);
    }
}
