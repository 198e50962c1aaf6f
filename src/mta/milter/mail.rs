//! A mail that is coming in through the MTA, and what is to become of it. No I/O: the session tells, and asks.

use super::recipient::Recipient;
use super::refusal::Refusal;
use super::room::Share;
use crate::config::{Facts, FullDivert, Mixed, Rules, Subnet, Verdict};
use crate::mail::address::Address;
use crate::mail::hidden::is_door;
use crate::mail::sameness::{self, Arrived, Known};
use crate::mta::bsmtp::Transaction;
use crate::mta::request::{Unfit, request};
use crate::submit::{MAX_DEDUP, MAX_RECIPIENTS, Reason, Request, Source};
use crate::time::Time;
use core::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What the configuration says about mail that comes in through the MTA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Where the node takes mail.
    pub socket: PathBuf,
    /// What stands behind addresses of the network.
    pub suffix: String,
    /// Which mails go through the network whoever they are to.
    pub rules: Rules,
    /// Whose clients may write into the network without a password.
    pub networks: Vec<Subnet>,
    /// Bytes of the largest mail.
    pub max_mail: usize,
    /// What becomes of a mail all of which went through the network.
    pub on_full_divert: FullDivert,
    /// What becomes of a mail to addresses inside and outside the network.
    pub mixed: Mixed,
}

/// Who hands a mail to the MTA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Client {
    /// A client, by SMTP.
    Smtp(Option<IpAddr>),
    /// A user of this machine, by the MTA's sendmail program.
    Sendmail,
}

/// Whom a mail comes from.
#[derive(Clone, Debug)]
pub(super) struct From<'a> {
    pub(super) client: Client,
    /// Who has authenticated.
    pub(super) user: Option<String>,
    /// What stands behind MAIL.
    pub(super) typed: &'a [u8],
    /// What the MTA makes of it: `ann` may be written for `ann@home.example`.
    pub(super) rewritten: Option<&'a [u8]>,
}

/// Which of the recipients the mail goes to through the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// A rule has yet to see the header.
    Open,
    /// Those whose address says so.
    Addresses,
    /// All.
    Whole,
}

/// What the MTA is to do with a mail that is with the node now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rest {
    /// Send it on to those who are left, under its own sender.
    Others,
    /// Nobody is left: forget it, and who sent it.
    Nobody,
    /// Throw it away.
    Discard,
}

/// One mail, from MAIL to its end.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) policy: Arc<Policy>,
    pub(super) client: Client,
    user: Option<String>,
    sender: Option<Address>,
    /// Those that it may go to through the network.
    recipients: Vec<Recipient>,
    /// There are more of them than can be kept.
    too_many: bool,
    /// So many recipients are of the network.
    ours: usize,
    /// Some are not.
    has_others: bool,
    /// And some of these may be anywhere in the world.
    goes_away: bool,
    way: Way,
    /// Fields that rules look at, those of them that came.
    named: Vec<(String, String)>,
    text: Vec<u8>,
    pub(super) share: Share,
    trouble: Option<Refusal>,
}

impl Mail {
    /// A mail that begins.
    pub(super) fn new(policy: Arc<Policy>, from: From<'_>, share: Share) -> Self {
        let From { client, user, typed, rewritten } = from;
        let sender = Recipient::of(typed, rewritten, None, &policy.suffix).address;
        Self {
            policy,
            client,
            user,
            sender,
            recipients: Vec::new(),
            too_many: false,
            ours: 0,
            has_others: false,
            goes_away: false,
            way: Way::Open,
            named: Vec::new(),
            text: Vec::new(),
            share,
            trouble: None,
        }
    }

    /// A recipient that the MTA takes.
    pub(super) fn recipient(&mut self, typed: &[u8], rewritten: Option<&[u8]>, mailer: Option<&[u8]>) {
        let recipient = Recipient::of(typed, rewritten, mailer, &self.policy.suffix);
        if recipient.is_ours {
            self.ours = self.ours.saturating_add(1);
        } else {
            self.has_others = true;
            self.goes_away |= !recipient.stays;
            if self.policy.rules.is_empty() {
                return;
            }
        }
        if self.recipients.len() >= MAX_RECIPIENTS {
            self.too_many = true;
        } else if self.share.grow(recipient.size()) {
            self.recipients.push(recipient);
        } else {
            self.refuse(Some(Refusal::CROWDED));
        }
    }

    /// All recipients are there. Whether the mail is any business of ours, or may become one.
    pub(super) fn begin(&mut self) -> bool {
        self.decide(false);
        self.concerns_us()
    }

    /// A field of the header.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if self.way == Way::Open {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            self.policy.rules.note(&mut self.named, name.trim_end(), &value);
        }
        self.keep(name);
        self.keep(b":");
        // The MTA folds with a line feed; the text goes on with both.
        for (at, line) in value.split(|&byte| byte == b'\n').enumerate() {
            if at > 0 {
                self.keep(b"\r\n");
            }
            self.keep(line.strip_suffix(b"\r").unwrap_or(line));
        }
        self.keep(b"\r\n");
    }

    /// The header is over. Whether the mail is any business of ours.
    pub(super) fn end_of_header(&mut self) -> bool {
        self.decide(true);
        self.keep(b"\r\n");
        self.concerns_us()
    }

    /// A piece of the body. Whether more of it is of use.
    pub(super) fn body(&mut self, chunk: &[u8]) -> bool {
        self.keep(chunk);
        self.trouble.is_none()
    }

    /// The whole mail is there: the request for the node.
    ///
    /// # Errors
    /// What to tell the client; nothing was sent.
    pub(super) fn end(&mut self, queue_id: &[u8], now: Time) -> Result<Request, Refusal> {
        // An MTA that skips the steps in between gets round none of what is decided there.
        self.decide(true);
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        let recipients = self.recipients_of_the_network().ok_or(Refusal::of(Reason::BadAddress))?;
        let mail = std::mem::take(&mut self.text);
        let arrived = match self.client {
            Client::Smtp(_) => Arrived::BySmtp(now),
            Client::Sendmail => Arrived::BySendmail,
        };
        let (sender, user) = (self.sender.as_ref().map(Address::to_string).unwrap_or_default(), self.user.as_deref());
        let place = match self.client {
            Client::Smtp(address) => address.map(|address| address.to_string()).unwrap_or_default(),
            Client::Sendmail => String::new(),
        };
        let client = [sender.as_bytes(), user.unwrap_or_default().as_bytes(), place.as_bytes()];
        let Known { marks, text } = sameness::marks(&mail, queue_id, arrived, &client);
        let source = Source::Milter { marks, text };
        let dedup = Some(queue_id.to_vec()).filter(|id| (1..=MAX_DEDUP).contains(&id.len()));
        let mail = Transaction { sender: self.sender.clone(), recipients, misaddressed: false, mail };
        request(mail, &self.policy.suffix, source, dedup).map_err(Refusal::unfit)
    }

    /// What is left to do for the MTA once the node has it.
    pub(super) fn rest(&self) -> Rest {
        match (self.way, self.policy.on_full_divert) {
            // What is not thrown away could have a recipient that was not found, and would go to it in clear.
            (Way::Whole, _) => Rest::Discard,
            _ if self.has_others => Rest::Others,
            (_, FullDivert::Erase) => Rest::Nobody,
            (_, FullDivert::Discard) => Rest::Discard,
        }
    }

    /// What to take out of the mail's recipients.
    pub(super) fn forms(&self) -> impl Iterator<Item = &[u8]> {
        self.recipients.iter().filter(|recipient| recipient.is_ours).flat_map(Recipient::forms)
    }

    fn decide(&mut self, with_header: bool) {
        if self.way != Way::Open {
            return;
        }
        let client = match self.client {
            Client::Smtp(address) => address,
            Client::Sendmail => Some(IpAddr::from([127, 0, 0, 1])),
        };
        let (sender, user) = (self.sender.as_ref(), self.user.as_deref());
        let header = with_header.then_some(self.named.as_slice());
        self.way = match self.policy.rules.decide(&Facts { sender, user, client, header }) {
            // Anybody in the world can write a field, or a sender. What they send to users of this machine is no mail of a
            // user's; what they would send on is, and is not to go in clear.
            Some(Verdict::Fog) if !self.goes_away && !self.may_use_the_network() => Way::Addresses,
            Some(Verdict::Fog) => Way::Whole,
            Some(Verdict::Leave) => Way::Addresses,
            None => return,
        };
        let found = self.concerns_us().then(|| self.what_is_wrong()).flatten();
        self.refuse(found);
    }

    const fn concerns_us(&self) -> bool {
        !matches!(self.way, Way::Addresses) || self.ours > 0
    }

    /// What is known to be wrong before any of the text has come.
    fn what_is_wrong(&self) -> Option<Refusal> {
        let chosen = |recipient: &&Recipient| recipient.is_ours || self.way == Way::Whole;
        if !self.may_use_the_network() {
            return Some(Refusal::STRANGER);
        }
        if self.too_many {
            return Some(Refusal::unfit(Unfit::TooMany));
        }
        if self.recipients.iter().filter(chosen).any(|recipient| recipient.address.is_none()) {
            return Some(Refusal::of(Reason::BadAddress));
        }
        let mixed = self.way == Way::Addresses && self.has_others;
        // The others would get the mail as it is, with the field that names whom nobody is to see.
        let hides = self.recipients.iter().filter_map(|recipient| recipient.address.as_ref()).any(is_door);
        (mixed && (hides || self.policy.mixed == Mixed::Reject)).then_some(Refusal::MIXED)
    }

    /// Users of this machine, of the networks that are named, and whoever has authenticated.
    fn may_use_the_network(&self) -> bool {
        match self.client {
            Client::Sendmail => true,
            Client::Smtp(address) => {
                let near = address.is_some_and(|address| self.policy.networks.iter().any(|net| net.holds(address)));
                near || self.user.is_some()
            }
        }
    }

    fn recipients_of_the_network(&self) -> Option<Vec<Address>> {
        let whole = self.way == Way::Whole;
        let chosen = self.recipients.iter().filter(|recipient| whole || recipient.is_ours);
        let put_under = |recipient: &Recipient| {
            let address = recipient.address.clone()?;
            if recipient.is_ours { Some(address) } else { address.put_under(&self.policy.suffix).ok() }
        };
        chosen.map(put_under).collect()
    }

    /// Takes these bytes in, unless it is known already that they are of no use.
    fn keep(&mut self, bytes: &[u8]) {
        if self.trouble.is_some() {
            return;
        }
        if self.text.len().saturating_add(bytes.len()) > self.policy.max_mail {
            self.refuse(Some(Refusal::of(Reason::MailTooBig)));
        } else if !self.share.grow(bytes.len()) {
            self.refuse(Some(Refusal::CROWDED));
        } else {
            self.text.extend_from_slice(bytes);
        }
    }

    /// The first reason is the one that is told, and nothing of the mail is held any more.
    fn refuse(&mut self, found: Option<Refusal>) {
        if found.is_some() && self.trouble.is_none() {
            self.trouble = found;
            self.text = Vec::new();
            self.share.give_back();
        }
    }
}

#[cfg(test)]
mod tests;
