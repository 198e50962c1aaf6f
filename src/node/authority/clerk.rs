//! An authority's part in the next document: it says what that shall say, takes what others say, makes the document and signs
//! it once. Whatever it shows is on disk before, so that after a restart it says nothing else.
//!
//! Time is a value here, and what others show comes from outside: see [`office`](super::office).

use super::desk::Desk;
use super::record::{NotRecorded, Record};
use crate::config::Spool;
use crate::directory::{
    Admission, Agreement, Candidate, Contents, Document, IdentityKey, MAX_AGREEMENT, MAX_DOCUMENT, Phase, Rejected,
    Schedule,
};
use crate::id::{Epoch, NodeId};
use crate::sys::file;
use crate::time::Time;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What there is to tell the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// Enough authorities have signed the document for this epoch.
    Agreed(Epoch),
    /// The epoch has begun, and there is none that enough have signed; or this authority could not sign.
    Failed(Epoch),
}

/// How the next document stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stand {
    /// The epoch that it is for.
    pub epoch: Epoch,
    /// When authorities begin to agree on it.
    pub begins: Time,
    /// When it takes effect.
    pub due: Time,
    /// How many authorities there are.
    pub authorities: usize,
    /// How many of them have to sign.
    pub threshold: usize,
    /// Whose vote is here, by name.
    pub votes: Vec<String>,
    /// Whose signature is here, by name.
    pub signed_by: Vec<String>,
    /// Whether enough have signed.
    pub is_agreed: bool,
    /// Why this authority has not signed, if it should have.
    pub trouble: Option<String>,
}

/// An authority.
#[derive(Debug)]
pub(super) struct Clerk {
    key: IdentityKey,
    me: NodeId,
    votes: PathBuf,
    next_path: PathBuf,
    record: Record,
    desk: Desk,
    admission: Admission,
    agreement: Option<Agreement>,
    /// What the file says.
    kept: String,
    /// A document that enough have signed, and that has not taken effect.
    next: Option<Candidate>,
    trouble: Option<String>,
    /// The last epoch for which `Failed` was told.
    failed: Option<Epoch>,
}

impl Clerk {
    /// The authority with this key, as it left its files.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn open(key: IdentityKey, spool: &Spool) -> io::Result<Self> {
        let next_path = spool.path.join("authority.next");
        let next = read(&next_path, MAX_DOCUMENT)?.and_then(|text| Candidate::parse(&text).ok());
        Ok(Self {
            me: key.node_id(),
            key,
            votes: spool.path.join("authority.votes"),
            next_path,
            record: Record::of(spool),
            desk: Desk::of(spool),
            admission: Admission::Nobody,
            agreement: None,
            kept: String::new(),
            next,
            trouble: None,
            failed: None,
        })
    }

    /// Does what is due at `now`, where `current` is the document in use.
    ///
    /// # Errors
    /// What the operating system says; nothing is shown or signed that is not on disk.
    pub(super) fn turn(&mut self, current: &Document, admission: Admission, now: Time) -> io::Result<Option<News>> {
        self.admission = admission;
        let length = current.params().epoch;
        let epoch = self.aim(current, now);
        let failed = self.close(epoch);
        let phase = self.schedule(current, now).phase(now);
        let is_late = Time::epoch_start(epoch, length) <= now;
        if phase != Phase::Before || is_late {
            self.begin(current, epoch, now)?;
            self.sign(current, phase)?;
            self.save()?;
        }
        Ok(self.finish()?.or(failed))
    }

    /// The epoch of the document that is to be made now: the next one. Who is alone needs nobody to be awake, and makes good
    /// at once what it has missed.
    fn aim(&self, current: &Document, now: Time) -> Epoch {
        let running = now.epoch(current.params().epoch);
        let missed = self.is_alone(current) && current.epoch() < running && self.next_epoch() < Some(running);
        if missed { running } else { running.plus(1) }
    }

    fn next_epoch(&self) -> Option<Epoch> {
        self.next.as_ref().map(|next| next.contents().epoch)
    }

    fn is_alone(&self, current: &Document) -> bool {
        let authorities = &current.contents().authorities;
        authorities.len() == 1 && authorities.contains_key(&self.me)
    }

    /// When what happens for the document to be made now.
    pub(super) fn schedule(&self, current: &Document, now: Time) -> Schedule {
        Schedule::new(self.aim(current, now), current.contents())
    }

    /// Ends an agreement on another document than that for `epoch`.
    fn close(&mut self, epoch: Epoch) -> Option<News> {
        let over = self.agreement.take_if(|agreement| agreement.epoch() != epoch)?;
        self.trouble = None;
        let failed = (over.signed().is_none() && over.epoch() < epoch).then_some(over.epoch())?;
        self.failed.replace(failed).is_none_or(|told| told < failed).then_some(News::Failed(failed))
    }

    /// Begins the agreement, or goes on with what was shown before a restart; votes if it is time.
    fn begin(&mut self, current: &Document, epoch: Epoch, now: Time) -> io::Result<()> {
        if self.agreement.is_none() {
            self.agreement = Some(self.resumed(current, epoch)?);
        }
        let phase = self.schedule(current, now).phase(now);
        let may_vote = phase == Phase::Round(1) || self.is_alone(current);
        let has_voted = self.agreement.as_ref().is_some_and(|agreement| agreement.has_voted(&self.me));
        if may_vote && !has_voted {
            let draft = self.draft(current, epoch)?;
            let Some(agreement) = &mut self.agreement else { return Ok(()) };
            agreement.vote(&draft, &self.key);
        }
        Ok(())
    }

    fn resumed(&mut self, current: &Document, epoch: Epoch) -> io::Result<Agreement> {
        let Some(shown) = read(&self.votes, MAX_AGREEMENT)? else {
            return Ok(Agreement::new(epoch, current.contents().clone()));
        };
        // Of another epoch, or between other authorities: nothing that was said then can be said again.
        let resumed = Agreement::resume(epoch, current.contents().clone(), &shown, &self.key);
        self.kept = shown;
        Ok(resumed.unwrap_or_else(|_| Agreement::new(epoch, current.contents().clone())))
    }

    /// What this authority would have the next document say.
    fn draft(&self, current: &Document, epoch: Epoch) -> io::Result<Contents> {
        Ok(self.desk.register()?.draft(current.contents(), *current.hash(), epoch, self.admission))
    }

    /// Makes the document out of the votes, when all are in, and signs it.
    fn sign(&mut self, current: &Document, phase: Phase) -> io::Result<()> {
        let is_alone = self.is_alone(current);
        let Some(agreement) = &mut self.agreement else { return Ok(()) };
        let may_sign = phase == Phase::Signing || (is_alone && phase != Phase::Round(1));
        if !may_sign || agreement.signers().next().is_some() {
            return Ok(());
        }
        let document = match agreement.document() {
            Ok(document) => document,
            Err(why) => {
                self.trouble = Some(why.to_string());
                return Ok(());
            }
        };
        if !document.contents().authorities.contains_key(&self.me) {
            return Ok(());
        }
        match self.record.note(document.contents().epoch, &document.hash()) {
            Ok(()) => {
                agreement.sign(document, &self.key);
                self.trouble = None;
            }
            Err(why @ NotRecorded::Signed(_)) => self.trouble = Some(why.to_string()),
            Err(NotRecorded::Io(error)) => return Err(error),
        }
        Ok(())
    }

    /// Takes what another authority shows; what of it is to be shown is on disk then.
    ///
    /// # Errors
    /// What the operating system says; the outer one.
    pub(super) fn take(&mut self, text: &str, current: &Document, now: Time) -> io::Result<Result<(), Rejected>> {
        let phase = self.schedule(current, now).phase(now);
        let Some(agreement) = &mut self.agreement else { return Ok(Ok(())) };
        if matches!(phase, Phase::Before | Phase::Over) {
            return Ok(Ok(()));
        }
        let taken = agreement.take(text, phase, &self.key);
        self.save()?;
        Ok(taken)
    }

    fn save(&mut self) -> io::Result<()> {
        let Some(agreement) = &self.agreement else { return Ok(()) };
        let shown = agreement.to_text(&self.me);
        if shown != self.kept {
            file::replace(&self.votes, shown.as_bytes(), file::SECRET)?;
            self.kept = shown;
        }
        Ok(())
    }

    /// Keeps a document that enough have signed, with each signature that is added.
    fn finish(&mut self) -> io::Result<Option<News>> {
        let Some(signed) = self.agreement.as_ref().and_then(Agreement::signed) else { return Ok(None) };
        if self.next.as_ref() == Some(signed) {
            return Ok(None);
        }
        file::replace(&self.next_path, signed.to_text().as_bytes(), file::PUBLIC)?;
        let epoch = signed.contents().epoch;
        let is_new = self.next_epoch() != Some(epoch);
        self.next = Some(signed.clone());
        Ok(is_new.then_some(News::Agreed(epoch)))
    }

    /// What it shows to the other authorities, if there is an agreement.
    pub(super) fn shown(&self) -> Option<&str> {
        self.agreement.as_ref().map(|_| self.kept.as_str())
    }

    /// The document that has taken effect by `now`, if the one in use is an older one.
    pub(super) fn due(&self, current: &Document, now: Time) -> Option<String> {
        let running = now.epoch(current.params().epoch);
        let next =
            self.next.as_ref().filter(|next| (current.epoch().plus(1)..=running).contains(&next.contents().epoch));
        next.map(Candidate::to_text)
    }

    /// How the next document stands.
    pub(super) fn stand(&self, current: &Document, now: Time) -> Stand {
        let (epoch, contents) = (self.aim(current, now), current.contents());
        let name =
            |id: NodeId| contents.authorities.get(&id).map_or_else(|| id.to_string(), |known| known.name.clone());
        let next = self.next.as_ref().filter(|next| next.contents().epoch == epoch);
        let signers: Vec<_> = match next {
            Some(next) => next.signers().collect(),
            None => self.agreement.iter().flat_map(Agreement::signers).collect(),
        };
        Stand {
            epoch,
            begins: self.schedule(current, now).start(),
            due: Time::epoch_start(epoch, current.params().epoch),
            authorities: contents.authorities.len(),
            threshold: contents.threshold,
            votes: self.agreement.iter().flat_map(Agreement::voters).map(name).collect(),
            signed_by: signers.into_iter().map(name).collect(),
            is_agreed: next.is_some(),
            trouble: self.trouble.clone(),
        }
    }

    /// Until when nothing is to be done if nothing is heard: the agreement's beginning, or the next epoch's.
    pub(super) fn rest(&self, current: &Document, now: Time) -> Duration {
        let schedule = self.schedule(current, now);
        let due = Time::epoch_start(now.epoch(current.params().epoch).plus(1), current.params().epoch);
        if now < schedule.start() { schedule.start().since(now) } else { due.since(now) }
    }
}

/// The text of a file, if it is there.
fn read(path: &std::path::Path, most: usize) -> io::Result<Option<String>> {
    match file::read_text(path, most as u64) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}
