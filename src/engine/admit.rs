//! Whether a mail is taken, and what of it.

use super::Batch;
use super::entry::{max_size, receipts_of, size};
use super::journey::Receipts;
use crate::directory::Document;
use crate::id::{MessageId, NodeId};
use crate::mail::address::Address;
use crate::mail::canary::is_canary;
use crate::mail::hidden::is_door;
use crate::mail::sanitize::{self, EntryRules, Refused};
use crate::mail::{news, sameness};
use crate::message::{self, Message};
use crate::mix::chain::Chain;
use crate::mix::{back, route};
use crate::store::{Marks, StoreError};
use crate::submit::{MARK_LEN, Reason, Request, Source};
use rand_core::CryptoRng;

/// Whether the mail is refused before it is looked into.
pub(super) fn refusal<R>(
    batch: &Batch<'_, '_, R>,
    document: &Document,
    request: &Request,
    target: &Address,
) -> Option<Reason> {
    if request.mail.len() > batch.setup.max_size.min(max_size(document)) {
        return Some(Reason::MailTooBig);
    }
    // The address that points to the header is nobody's.
    if target.is_within(&batch.setup.suffix) || is_door(target) {
        return Some(Reason::NoExit);
    }
    if target.is_routed() {
        return Some(Reason::BadAddress);
    }
    if batch.setup.block.blocks(target) {
        return Some(Reason::Blocked);
    }
    if batch.disk_is_low {
        return Some(Reason::DiskFull);
    }
    batch.is_full().then_some(Reason::SpoolFull)
}

/// Gives the mails of one request their ids. What an MTA hands in twice gets the same one twice, so that neither this node
/// nor an exit takes it for two; without our key it tells nothing.
pub(super) struct MessageIds {
    known: Vec<blake3::Hasher>,
    part: Option<Part>,
}

/// A mail that a client may have sent before, and that was taken then for some of its recipients only. It will be sent
/// to all of them again until it is taken for all, under another queue id each time, and nothing that is its own may
/// tell it from another of the same words. So what was taken in part is remembered by its text, until it is whole: the
/// next one of the same words is another one.
struct Part {
    text: blake3::Hasher,
    /// One came before, and is not whole yet.
    is_open: bool,
}

/// So often a text that became whole after it was taken in part is known for another one when it comes again. Who has it
/// more often within [`PARTS_REMEMBERED`] has nothing but what every mail has, a minute or two.
const WHOLE: u64 = 64;

/// Epochs for which a mail that was taken in part is known again: a client tries again at least once a day.
const PARTS_REMEMBERED: u64 = 1;

impl Part {
    fn of<R>(batch: &Batch<'_, '_, R>, text: &[u8; MARK_LEN]) -> Result<Option<Self>, StoreError> {
        for turn in 0..WHOLE {
            let mut hash = keyed(batch, b"part");
            add(&mut hash, text);
            add(&mut hash, &turn.to_be_bytes());
            let part = Self { text: hash, is_open: false };
            if !part.has(batch, b"whole")? {
                let is_open = part.has(batch, b"open")?;
                return Ok(Some(Self { is_open, ..part }));
            }
        }
        Ok(None)
    }

    fn mark<R>(&self, batch: &Batch<'_, '_, R>, what: &[u8]) -> [u8; 16] {
        let mut id = [0; MessageId::LEN];
        self.text.clone().update(what).finalize_xof().fill(&mut id);
        batch.mark_of(Marks::Submitted, &MessageId(id))
    }

    fn has<R>(&self, batch: &Batch<'_, '_, R>, what: &[u8]) -> Result<bool, StoreError> {
        batch.remembered_for(PARTS_REMEMBERED, Marks::Submitted, &self.mark(batch, what))
    }

    fn set<R>(&self, batch: &mut Batch<'_, '_, R>, what: &[u8]) -> Result<(), StoreError> {
        let mark = self.mark(batch, what);
        batch.txn.mark(Marks::Submitted, batch.epoch, mark).map(drop)
    }
}

/// An address has an `@` in it, so it is none of the other words.
fn name_of(target: &Address) -> Vec<u8> {
    target.to_string().into_bytes()
}

/// The ids of a mail to one recipient.
pub(super) struct Ids {
    /// The one it goes by.
    pub(super) first: MessageId,
    /// All that it is known by if it comes again, the first too; none if it can't.
    pub(super) known: Vec<MessageId>,
}

impl MessageIds {
    /// Reads the mail once, however many its recipients are.
    ///
    /// Under one queue id an MTA may bring it through its milter and then through its pipe, with other headers. Its body
    /// counts too, for queue ids are used again.
    pub(super) fn of<R>(batch: &Batch<'_, '_, R>, request: &Request) -> Result<Self, StoreError> {
        let (mut known, mut part) = (Vec::new(), None);
        if let Source::Milter { marks, text } = request.source {
            known.extend(marks.map(|mark| {
                let mut hash = keyed(batch, b"mark");
                add(&mut hash, &mark);
                hash
            }));
            part = Part::of(batch, &text)?;
        }
        known.extend(request.dedup.as_ref().map(|dedup| {
            let mut hash = keyed(batch, b"queue id");
            add(&mut hash, dedup);
            sameness::body(&request.mail).for_each(|line| add(&mut hash, line));
            hash
        }));
        Ok(Self { known, part })
    }

    pub(super) fn of_mail_to(&self, target: &Address, rng: &mut impl CryptoRng) -> Ids {
        let id = |hash: &blake3::Hasher| {
            let mut id = [0; MessageId::LEN];
            hash.clone().update(target.to_string().as_bytes()).finalize_xof().fill(&mut id);
            MessageId(id)
        };
        let known: Vec<MessageId> = self.known.iter().map(id).collect();
        let first = known.first().copied().unwrap_or_else(|| {
            let mut id = [0; MessageId::LEN];
            rng.fill_bytes(&mut id);
            MessageId(id)
        });
        Ids { first, known }
    }
}

fn keyed<R>(batch: &Batch<'_, '_, R>, label: &[u8]) -> blake3::Hasher {
    let mut hash = blake3::Hasher::new_keyed(batch.setup.dedup_key.expose());
    add(&mut hash, label);
    hash
}

/// With its length, so that no two lists are the same bytes.
fn add(hash: &mut blake3::Hasher, part: &[u8]) {
    hash.update(&size(part.len()).to_be_bytes()).update(part);
}

impl MessageIds {
    /// Whether the mail has been taken for this recipient before.
    pub(super) fn has_been_taken<R>(
        &self,
        batch: &Batch<'_, '_, R>,
        target: &Address,
        ids: &Ids,
    ) -> Result<bool, StoreError> {
        for id in &ids.known {
            if batch.remembered(Marks::Submitted, &batch.mark_of(Marks::Submitted, id))? {
                return Ok(true);
            }
        }
        match self.part.as_ref().filter(|part| part.is_open) {
            Some(part) => part.has(batch, &name_of(target)),
            None => Ok(false),
        }
    }

    /// What has come of it: it was taken for these recipients, and may come again for those that are to wait.
    pub(super) fn answered<R>(
        &self,
        batch: &mut Batch<'_, '_, R>,
        taken: &[Address],
        comes_again: bool,
    ) -> Result<(), StoreError> {
        match &self.part {
            Some(part) if comes_again && !taken.is_empty() => {
                part.set(batch, b"open")?;
                taken.iter().try_for_each(|target| part.set(batch, &name_of(target)))
            }
            Some(part) if !comes_again && part.is_open => part.set(batch, b"whole"),
            _ => Ok(()),
        }
    }
}

fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::Empty | Refused::BadHeader => Reason::NotAMail,
        Refused::HeaderTooLong | Refused::TooDeep | Refused::TooManyParts => Reason::TooComplex,
        Refused::Piece | Refused::BadEncoding => Reason::Unreadable,
        Refused::BareLineEnd => Reason::BareControl,
        Refused::Growth => Reason::MailTooBig,
        Refused::Loop => Reason::BeenThrough,
    }
}

/// The message as it will cross the network: nothing in it that the recipient need not see.
pub(super) fn clean<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    request: &Request,
    target: &Address,
    chain: &Chain,
    id: MessageId,
) -> Result<Vec<u8>, Reason> {
    let mut message_id = [0; 16];
    batch.rng.fill_bytes(&mut message_id);
    let mut seed = [0; 32];
    batch.rng.fill_bytes(&mut seed);
    let rules = EntryRules {
        recipient: target,
        message_id,
        message_id_domain: &document.params().message_id_domain,
        own_domains: &batch.setup.own_domains,
        seed,
    };
    let mail = sanitize::at_entry(&request.mail, &rules).map_err(reason)?;
    // Encoding anew can make it longer, and the exit holds what it unpacks to the same limit.
    if mail.len() > max_size(document) {
        return Err(Reason::MailTooBig);
    }
    if target.is_news() && news::groups(&mail, target).is_none() {
        return Err(Reason::BadNewsgroups);
    }
    let exits = route::exits_for(document, target, size(mail.len()));
    match chain.exit() {
        // It ends here, whoever the exits write to.
        _ if is_canary(target) => {}
        _ if exits.is_empty() => return Err(Reason::NoExit),
        Some(wished) if route::is_exit(document, wished) && !exits.contains(wished) => return Err(Reason::ChainExit),
        // Without a wish it waits for a network that is large enough.
        _ if !chain.is_any() && !is_possible(batch, document, request, &exits, chain) => {
            return Err(Reason::ChainImpossible);
        }
        _ => {}
    }
    let message = Message { recipient: target.clone(), mail, id, surbs: Vec::new() };
    message::pack(&message).map_err(|_| Reason::MailTooBig)
}

/// Whether a path along `chain` leads to one of `exits`, and back if there is to be a receipt.
fn is_possible<R>(
    batch: &Batch<'_, '_, R>,
    document: &Document,
    request: &Request,
    exits: &[NodeId],
    chain: &Chain,
) -> bool {
    let me = &batch.setup.me;
    match receipts_of(batch, request) {
        Receipts::Off => route::is_possible(document, me, exits, chain),
        Receipts::On | Receipts::Told => route::is_possible(document, me, &back::answering(document, me, exits), chain),
    }
}
