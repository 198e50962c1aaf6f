//! Whether a mail is taken, and what of it.

use super::Batch;
use super::entry::{is_exit, max_size, size};
use crate::directory::Document;
use crate::id::MessageId;
use crate::mail::address::Address;
use crate::mail::hidden::is_door;
use crate::mail::news;
use crate::mail::sanitize::{self, EntryRules, Refused};
use crate::message::{self, Message};
use crate::mix::chain::Chain;
use crate::mix::route;
use crate::store::{Marks, StoreError};
use crate::submit::{Reason, Request};
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
    if batch.setup.block.blocks(target) {
        return Some(Reason::Blocked);
    }
    batch.is_full().then_some(Reason::SpoolFull)
}

/// Gives the mails of one request their ids. What an MTA hands in twice gets the same one twice, so that neither this node
/// nor an exit takes it for two; without our key it tells nothing.
pub(super) struct MessageIds(Option<blake3::Hasher>);

impl MessageIds {
    /// Reads the mail once, however many its recipients are.
    pub(super) fn of<R>(batch: &Batch<'_, '_, R>, request: &Request) -> Self {
        let hasher = request.dedup.as_ref().map(|dedup| {
            let mut hash = blake3::Hasher::new_keyed(batch.setup.dedup_key.expose());
            for part in [dedup.as_slice(), &request.mail] {
                // Lengths, so that no two triples are the same bytes.
                hash.update(&size(part.len()).to_be_bytes()).update(part);
            }
            hash
        });
        Self(hasher)
    }

    pub(super) fn of_mail_to(&self, target: &Address, rng: &mut impl CryptoRng) -> MessageId {
        let mut id = [0; MessageId::LEN];
        match &self.0 {
            Some(hash) => hash.clone().update(target.to_string().as_bytes()).finalize_xof().fill(&mut id),
            None => rng.fill_bytes(&mut id),
        }
        MessageId(id)
    }
}

pub(super) fn already_taken<R>(batch: &Batch<'_, '_, R>, request: &Request, id: MessageId) -> Result<bool, StoreError> {
    if request.dedup.is_none() {
        return Ok(false);
    }
    batch.remembered(Marks::Submitted, &batch.mark_of(Marks::Submitted, &id))
}

fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::Empty | Refused::BadHeader => Reason::NotAMail,
        Refused::HeaderTooLong | Refused::TooDeep | Refused::TooManyParts => Reason::TooComplex,
        Refused::Piece | Refused::BadEncoding => Reason::Unreadable,
        Refused::BareLineEnd => Reason::BareControl,
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
        _ if exits.is_empty() => return Err(Reason::NoExit),
        Some(wished) if is_exit(document, wished) && !exits.contains(wished) => return Err(Reason::ChainExit),
        // Without a wish it waits for a network that is large enough.
        _ if !chain.is_any() && !route::is_possible(document, &batch.setup.me, &exits, chain) => {
            return Err(Reason::ChainImpossible);
        }
        _ => {}
    }
    let message = Message { recipient: target.clone(), mail, id, surb: None };
    message::pack(&message).map_err(|_| Reason::MailTooBig)
}
