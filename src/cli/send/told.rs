//! What a person is told.

use crate::cli::error::CliError;
use crate::mail::address::Address;
use crate::mta::pipe::InputError;
use crate::mta::submit::SubmitError;
use crate::submit::{Outcome, Reason};
use crate::sys::exit_code::ExitCode;
use std::path::Path;

pub(super) fn unreadable(error: InputError) -> CliError {
    match error {
        InputError::TooBig => {
            CliError::new(ExitCode::Data, error.to_string()).found("nothing was sent").try_(Reason::MailTooBig.advice())
        }
        InputError::Io(cause) => {
            CliError::new(ExitCode::Io, "the mail can't be read").found(format!("standard input: {cause}"))
        }
    }
}

pub(super) fn not_submitted(error: &SubmitError, socket: &Path) -> CliError {
    let socket = socket.display();
    let (exit, found, try_) = match error {
        SubmitError::NoNode(cause) => (
            ExitCode::Unavailable,
            format!("nobody listens on {socket} ({cause}); nothing was sent"),
            "systemctl start fog-node\nor name the socket of another node with --socket",
        ),
        SubmitError::Forbidden(cause) => (
            ExitCode::Permission,
            format!("{socket}: {cause}; nothing was sent"),
            "adduser NAME fog-submit, and log in again",
        ),
        SubmitError::NoAnswer(cause) => (
            ExitCode::TryAgain,
            format!("{socket}: {cause}; it may have the mail or not"),
            "send it again; at worst it arrives twice",
        ),
        SubmitError::NotUnderstood(_) => {
            (ExitCode::TryAgain, format!("{socket}: it may have the mail or not"), Reason::NotUnderstood.advice())
        }
        SubmitError::CutOff => (ExitCode::TryAgain, "nothing was sent".to_owned(), "send it again"),
    };
    CliError::new(exit, error.to_string()).found(found).try_(try_)
}

/// The node's verdict for each recipient, as one error if there is any refusal.
pub(super) fn account(recipients: &[Address], outcomes: &[Outcome]) -> Result<(), CliError> {
    let refused = |outcome: &Outcome| match *outcome {
        Outcome::Accepted(..) => None,
        Outcome::Temporary(reason) => Some((reason, ExitCode::TryAgain)),
        Outcome::Permanent(reason) => Some((reason, exit_code(reason))),
    };
    let Some((reason, exit)) = outcomes.iter().find_map(refused) else { return Ok(()) };
    let mut found = String::new();
    for (recipient, outcome) in recipients.iter().zip(outcomes) {
        let verdict = refused(outcome).map_or("is on its way", |(reason, _)| reason.text());
        found += &format!("{recipient}: {verdict}\n");
    }
    found += if outcomes.iter().all(|outcome| refused(outcome).is_some()) {
        "nothing was sent"
    } else {
        "to the others it is on its way: don't send it to them again"
    };
    Err(CliError::new(exit, reason.text()).found(found).try_(reason.advice()))
}

const fn exit_code(reason: Reason) -> ExitCode {
    match reason {
        Reason::BadAddress | Reason::NotFog | Reason::NoExit | Reason::ChainExit => ExitCode::Address,
        Reason::ChainUnknown | Reason::ChainLength | Reason::ChainImpossible => ExitCode::Usage,
        reason if reason.is_permanent() => ExitCode::Data,
        _ => ExitCode::TryAgain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_has_it_all_the_same() {
        let to: Vec<_> = ["a@x.fog", "b@x.fog"].into_iter().map(|text| Address::parse(text).unwrap()).collect();
        let accepted = Outcome::Accepted(crate::id::MessageId([0; 16]), crate::id::QueueId([0; 6]));
        assert_eq!(account(&to, &[accepted, accepted]), Ok(()));
        let error = account(&to, &[accepted, Outcome::Permanent(Reason::NoExit)]).unwrap_err();
        assert_eq!(error.exit, ExitCode::Address);
        let found = error.found.unwrap();
        assert!(found.contains("a@x.fog: is on its way") && found.contains("don't send it to them again"), "{found}");
        let error = account(&to, &[Outcome::Temporary(Reason::NoExit), accepted]).unwrap_err();
        assert_eq!(error.exit, ExitCode::TryAgain);
        let error = account(&to[..1], &[Outcome::Permanent(Reason::MailTooBig)]).unwrap_err();
        assert!(error.exit == ExitCode::Data && error.found.unwrap().ends_with("nothing was sent"));
    }
}
