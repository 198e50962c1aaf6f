//! One node that takes mail in, driven by hand: what it keeps, when it gives up, and what it says of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "network/world.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod world;

use fog::delivery::Disposition;
use fog::directory::{Document, Params};
use fog::engine::{Engine, Input, Output, QueueAnswer, QueueAsk, Setup, Token, Witness};
use fog::id::MessageId;
use fog::mail::Address;
use fog::store::{MemoryDisk, Store};
use fog::submit::{Outcome, Reason, Request, Source, Wish};
use fog::time::Time;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;
use world::START;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The node that takes mail of `home.example` in, as its disk has it, or a new one.
fn home(disk: Option<&MemoryDisk>) -> (Engine, MemoryDisk) {
    let (setup, new, document) = parts(Params::default());
    let disk = disk.map_or(new, MemoryDisk::clone);
    (Engine::open(Store::on(&disk).unwrap(), setup, Some(Box::new(document))).unwrap(), disk)
}

/// What it is made of: the entry of a network of four.
fn parts(params: Params) -> (Setup, MemoryDisk, Document) {
    let (mut nodes, document) = world::bare_network(4, params, &mut StdRng::seed_from_u64(9));
    let (mut setup, disk) = nodes.swap_remove(1);
    setup.entry.notify = vec!["home.example".into()];
    (setup, disk, document)
}

fn request(sender: &str, source: Source, mail: &[u8]) -> Request {
    Request {
        source,
        dedup: Some(b"queue-id".to_vec()),
        sender: Some(Address::parse(sender).unwrap()),
        wish: Wish::default(),
        recipients: vec![Address::parse("alice@example.com.fog").unwrap()],
        mail: mail.to_vec(),
    }
}

/// What is listed, by its states.
fn states(engine: &mut Engine, now: Time, rng: &mut StdRng) -> Vec<&'static str> {
    let listed = engine.handle(vec![Input::Queue { token: Token(9), ask: QueueAsk::List }], now, rng).unwrap();
    let listed = listed.into_iter().find_map(|output| match output {
        Output::Queue { answer: QueueAnswer::List(list), .. } => Some(list),
        _ => None,
    });
    listed.unwrap().iter().map(|listed| listed.state.word()).collect()
}

#[test]
fn a_clock_that_is_ahead_at_the_start_ends_no_custody() {
    let mut rng = StdRng::seed_from_u64(9);
    let (mut engine, disk) = home(None);
    let request = request("carol@home.example", Source::Mta, b"Subject: x\r\n\r\nhi\r\n");
    engine.handle(vec![Input::Submit { token: Token(1), request }], START, &mut rng).unwrap();
    drop(engine);
    let (mut engine, _) = home(Some(&disk));
    for hour in 0..48 {
        engine.handle(vec![Input::ExitUp], START.plus(HOUR * (30 * 24 + hour)), &mut rng).unwrap();
    }
    assert_eq!((engine.held().unwrap().mails, engine.counts().given_up), (1, 0));
    // When the clock is right again it is as it was.
    engine.handle(vec![], START.plus(HOUR), &mut rng).unwrap();
    assert_eq!(states(&mut engine, START.plus(HOUR), &mut rng), ["waiting"]);
}

/// It is all that says that the mail did not arrive.
#[test]
fn a_notice_that_the_mta_will_not_take_stays_listed_for_six_epochs() {
    let mut rng = StdRng::seed_from_u64(9);
    let (mut engine, disk) = home(None);
    let request = request("carol@home.example", Source::Mta, b"this is no header\n");
    let inputs = vec![Input::Submit { token: Token(1), request }, Input::ExitUp];
    let outputs = engine.handle(inputs, START, &mut rng).unwrap();
    let id = outputs.iter().find_map(|output| match output {
        Output::Deliver { id, notice: true, .. } => Some(*id),
        _ => None,
    });
    let refused = Input::Delivered { id: id.unwrap(), disposition: Disposition::Permanent };
    engine.handle(vec![refused], START, &mut rng).unwrap();
    drop(engine);
    let (mut engine, _) = home(Some(&disk));
    for (days, want) in [(0, vec!["given-up"]), (5, vec!["given-up"]), (7, vec![])] {
        let now = START.plus(HOUR * (24 * days));
        let outputs = engine.handle(vec![Input::ExitUp], now, &mut rng).unwrap();
        assert!(!outputs.iter().any(|output| matches!(output, Output::Deliver { .. })), "it is asked again");
        assert_eq!(states(&mut engine, now, &mut rng), want, "after {days} days");
    }
}

/// One node, and what it says to mails that it can't take.
fn handed_in(sender: &str, source: Source, times: usize) -> (Outcome, Vec<String>) {
    let mut rng = StdRng::seed_from_u64(9);
    let (mut engine, _) = home(None);
    let mut outcome = None;
    for time in 0..times {
        let request = request(sender, source, b"this is no header, and the secret is 42\n");
        let token = Token(u64::try_from(time).unwrap());
        for output in engine.handle(vec![Input::Submit { token, request }], START, &mut rng).unwrap() {
            if let Output::Reply { reply, .. } = output {
                outcome = Some(reply.outcomes[0]);
            }
        }
    }
    let notices = engine.handle(vec![Input::ExitUp], START, &mut rng).unwrap().into_iter().filter_map(|output| {
        let Output::Deliver { recipient, mail, notice: true, .. } = output else { return None };
        assert_eq!(recipient.to_string(), sender);
        Some(String::from_utf8(mail).unwrap())
    });
    (outcome.unwrap(), notices.collect())
}

#[test]
fn what_a_pipe_brings_and_the_node_refuses_for_good_is_answered_once_by_a_notice_without_content() {
    let (outcome, notices) = handed_in("carol@home.example", Source::Mta, 2);
    let Outcome::Accepted(_, name) = outcome else { panic!("{outcome:?}") };
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert!(notice.contains(&format!("Final-Recipient: x-fog; {name}\r\n")), "{notice}");
    assert!(notice.contains("Status: 5.6.0\r\n") && notice.contains("its header is missing or broken"), "{notice}");
    assert!(!notice.contains("42") && !notice.contains("alice") && !notice.contains("example.com"), "{notice}");
}

#[test]
fn whose_mail_goes_elsewhere_is_told_nothing_and_a_milters_client_hears_it_in_its_session() {
    let milter = Source::Milter { marks: [[1; 32], [2; 32]], text: [3; 32] };
    for (sender, source) in [
        ("carol@elsewhere.example", Source::Mta),
        ("carol@sub.home.example", Source::Mta),
        ("carol@home.example.fog", Source::Mta),
        ("carol@home.example", milter),
        ("carol@home.example", Source::Person),
    ] {
        let (outcome, notices) = handed_in(sender, source, 1);
        assert_eq!(outcome, Outcome::Permanent(Reason::NotAMail), "{sender}");
        assert!(notices.is_empty(), "{notices:?}");
    }
}

/// A node that hands out what it does, an hour or less at a time, as long as it is up.
struct Entry {
    engine: Engine,
    document: Document,
    rng: StdRng,
    now: Time,
    /// Mails in the order in which their pieces left.
    left: Vec<MessageId>,
    notices: Vec<String>,
}

impl Entry {
    fn new(give_up: Duration) -> Self {
        let (mut setup, disk, document) = parts(Params { demo: true, ..Params::default() });
        setup.entry.give_up = give_up;
        let engine = Engine::open(Store::on(&disk).unwrap(), setup, Some(Box::new(document.clone()))).unwrap();
        let rng = StdRng::seed_from_u64(9);
        Self { engine, document, rng, now: START, left: Vec::new(), notices: Vec::new() }
    }

    fn hear(&mut self, mut inputs: Vec<Input>) -> Option<MessageId> {
        inputs.extend([Input::Uptime(self.now.since(START)), Input::ExitUp]);
        let (mut taken, mut next) = (None, Vec::new());
        for output in self.engine.handle(inputs, self.now, &mut self.rng).unwrap() {
            match output {
                Output::Witness(Witness::Built { message, .. }) => self.left.push(message),
                Output::Reply { reply, .. } => {
                    let Outcome::Accepted(id, _) = reply.outcomes[0] else { panic!("{reply:?}") };
                    taken = Some(id);
                }
                Output::Deliver { id, mail, notice: true, .. } => {
                    self.notices.push(String::from_utf8(mail).unwrap());
                    next.push(Input::Delivered { id, disposition: Disposition::Delivered });
                }
                // Neighbours take everything, and nothing comes of it.
                Output::Connect(to) => next.push(Input::LinkUp(to)),
                Output::Send { to, id, .. } => next.push(Input::Acked { to, id }),
                _ => {}
            }
        }
        if !next.is_empty() {
            self.hear(next);
        }
        taken
    }

    fn submit(&mut self, number: u64) -> MessageId {
        let mail = b"Subject: x\r\n\r\nhi\r\n";
        let request =
            Request { dedup: Some(number.to_be_bytes().to_vec()), ..request("carol@home.example", Source::Mta, mail) };
        self.hear(vec![Input::Submit { token: Token(number), request }]).unwrap()
    }

    fn wait_until(&mut self, then: Time) {
        while self.now < then {
            let next = self.engine.next_wakeup().unwrap_or(then).min(self.now.plus(HOUR)).min(then);
            self.now = next.max(self.now.plus(Duration::from_millis(1)));
            self.hear(vec![]);
        }
    }

    fn states(&mut self) -> Vec<&'static str> {
        states(&mut self.engine, self.now, &mut self.rng)
    }
}

#[test]
fn what_waits_for_a_document_is_given_up_after_twelve_epochs_and_not_before() {
    let mut entry = Entry::new(DAY);
    entry.now = entry.document.valid_until().minus(Duration::from_millis(1));
    let taken = entry.now;
    entry.submit(1);
    entry.wait_until(taken.plus(DAY * 23 / 2));
    assert_eq!((entry.states(), entry.notices.len()), (vec!["waiting"], 0), "give-up is a day");
    entry.wait_until(taken.plus(DAY * 14));
    let [notice] = &entry.notices[..] else { panic!("{:?}", entry.notices) };
    assert!(notice.contains("Nothing of it has left this machine"), "{notice}");
    assert!(entry.states().is_empty() && entry.left.is_empty());
}

#[test]
fn a_document_that_comes_late_lets_go_what_has_waited_for_it() {
    let mut entry = Entry::new(DAY);
    entry.now = entry.document.valid_until().minus(Duration::from_millis(1));
    let taken = entry.now;
    let id = entry.submit(1);
    entry.wait_until(taken.plus(DAY * 2));
    assert_eq!((entry.states(), entry.left.len()), (vec!["waiting"], 0));
    let later = world::later(&entry.document, 5, |_| {});
    entry.hear(vec![Input::Document(Box::new(later))]);
    entry.wait_until(taken.plus(DAY * 2 + HOUR * 6));
    assert!(entry.left.contains(&id) && entry.notices.is_empty(), "{:?}", entry.notices);
}

#[test]
fn a_mail_that_could_only_come_too_late_is_not_sent_and_its_sender_is_told_at_its_slot() {
    // Three hops of three hours each.
    let mut entry = Entry::new(HOUR);
    entry.submit(1);
    entry.wait_until(START.plus(HOUR * 59 / 60));
    assert!(entry.left.is_empty() && entry.states().is_empty(), "{:?}", entry.states());
    assert!(matches!(&entry.notices[..], [notice] if notice.contains("Nothing of it has left this machine")));
}

#[test]
fn mails_that_are_sent_again_leave_only_when_none_waits_for_its_first_try() {
    let mut entry = Entry::new(DAY * 5);
    let (again, ends): (Vec<_>, _) = ((0..6).map(|n| entry.submit(n)).collect(), entry.document.valid_until());
    // Nobody answers, and then there is no document to send by: they are all due when there is one again.
    entry.wait_until(ends);
    assert!(again.iter().all(|id| entry.left.contains(id)));
    entry.wait_until(ends.plus(HOUR * 20));
    let first: Vec<_> = (6..18).map(|n| entry.submit(n)).collect();
    entry.left.clear();
    let later = world::later(&entry.document, 3, |_| {});
    entry.hear(vec![Input::Document(Box::new(later))]);
    entry.wait_until(ends.plus(HOUR * 30));
    assert!(first.iter().chain(&again).all(|id| entry.left.contains(id)), "{:?}", entry.left);
    let before = entry.left.iter().position(|id| again.contains(id)).unwrap();
    // Two pieces each. A mail goes by one of two first hops; what has none for the slot's leaves it to others.
    assert!(before >= 20, "{before} pieces of first tries, and then one of another");
}
