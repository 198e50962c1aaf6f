//! What the client is told of a mail that is not taken: status and words, and no address.

use crate::mta::request::Unfit;
use crate::mta::submit::SubmitError;
use crate::submit::{Outcome, Reason};
use std::borrow::Cow;

/// Why a mail is not taken, as the MTA is to tell its client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    /// Enhanced status code.
    pub(super) status: &'static str,
    pub(super) text: Cow<'static, str>,
}

impl Refusal {
    pub(super) const STRANGER: Self =
        Self::new("5.7.1", "fog: only users of this machine may write into the network; nothing was sent");
    pub(super) const MIXED: Self =
        Self::new("5.7.1", "fog: one mail can't go to addresses inside and outside the network; nothing was sent");
    pub(super) const CROWDED: Self = Self::new("4.3.1", "fog: too much mail is coming in at once; nothing was sent");
    pub(super) const LATE: Self = Self::new("4.4.7", "fog: the node did not answer in time");
    pub(super) const OUT_OF_TURN: Self = Self::new("4.3.0", "fog: a mail ended that had not begun; nothing was sent");

    const fn new(status: &'static str, text: &'static str) -> Self {
        Self { status, text: Cow::Borrowed(text) }
    }

    pub(super) fn of(reason: Reason) -> Self {
        Self { status: reason.status(), text: format!("fog: {}; nothing was sent", reason.text()).into() }
    }

    pub(super) fn unfit(unfit: Unfit) -> Self {
        Self { status: unfit.status(), text: format!("fog: {unfit}; nothing was sent").into() }
    }

    pub(super) fn no_answer(error: &SubmitError) -> Self {
        let nothing = match error {
            // It may have the mail: it is known again when it comes again.
            SubmitError::NoAnswer(_) | SubmitError::NotUnderstood(_) => "",
            SubmitError::NoNode(_) | SubmitError::Forbidden(_) | SubmitError::CutOff => "; nothing was sent",
        };
        Self { status: error.status(), text: format!("fog: {error}{nothing}").into() }
    }

    /// The refusal that follows from what the node says for each recipient; none if it has the mail for all.
    ///
    /// What can wait comes first: those who have the mail are known again when it comes again.
    pub(super) fn among(outcomes: &[Outcome]) -> Option<Self> {
        let temporary = outcomes.iter().find(|outcome| matches!(outcome, Outcome::Temporary(_)));
        let refused = temporary.or_else(|| outcomes.iter().find(|outcome| matches!(outcome, Outcome::Permanent(_))));
        let (Outcome::Temporary(reason) | Outcome::Permanent(reason)) = *refused? else { return None };
        let all = outcomes.len();
        let taken = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted(..))).count();
        let refusal = Self::of(reason);
        if taken == 0 {
            return Some(refusal);
        }
        Some(Self { text: format!("fog: {}; {taken} of {all} recipients have it", reason.text()).into(), ..refusal })
    }

    /// Whether the same mail would be refused again.
    pub(super) fn is_permanent(&self) -> bool {
        self.status.starts_with('5')
    }

    /// The reply code of SMTP.
    pub(super) fn code(&self) -> &'static str {
        match self.status {
            "5.3.4" => "552",
            "5.6.0" | "5.4.6" => "554",
            status if status.starts_with('5') => "550",
            _ => "451",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MessageId, QueueId};

    #[test]
    fn what_can_wait_is_told_before_what_cannot() {
        let taken = Outcome::Accepted(MessageId([1; 16]), QueueId([1; 6]));
        let refused = |reason| Outcome::refused(reason);
        for (outcomes, want) in [
            (&[taken, taken][..], None),
            (
                &[refused(Reason::MailTooBig)],
                Some(("552", "fog: the mail is bigger than the network takes; nothing was sent")),
            ),
            (
                &[taken, refused(Reason::NoExit), taken],
                Some(("550", "fog: no exit of the network takes this recipient; 2 of 3 recipients have it")),
            ),
            (
                &[refused(Reason::NoExit), refused(Reason::SpoolFull)],
                Some(("451", "fog: too much mail is waiting to be sent; nothing was sent")),
            ),
            (
                &[refused(Reason::BeenThrough)],
                Some(("554", "fog: the mail has been through the network already; nothing was sent")),
            ),
        ] {
            let told = Refusal::among(outcomes);
            assert_eq!(told.as_ref().map(|told| (told.code(), &*told.text)), want);
        }
    }

    #[test]
    fn every_reason_has_a_code_of_its_class_and_one_short_line() {
        for reason in Reason::ALL {
            let told = Refusal::of(reason);
            assert_eq!(told.is_permanent(), reason.is_permanent(), "{reason:?}");
            assert_eq!(told.code().starts_with('5'), reason.is_permanent(), "{reason:?}");
            assert!(told.text.len() < 200 && !told.text.contains(['\r', '\n', '%', '@']), "{}", told.text);
        }
    }
}
