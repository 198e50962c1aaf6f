//! What an MTA hands over, as the request that the node gets for it.

use super::bsmtp::{BsmtpError, Transaction};
use crate::mail::address::Address;
use crate::mail::hidden::{self, HiddenError, Opened, is_door};
use crate::mail::sanitize::Refused;
use crate::submit::{MAX_RECIPIENTS, Reason, Request, Source, Wish};
use thiserror::Error;

/// Why no request can be made of it: for good, whatever the MTA is told. Carries no address.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum Unfit {
    /// What the node would say of it.
    #[error("{}", .0.text())]
    Reason(Reason),
    /// The recipients in its header can't be had.
    #[error(transparent)]
    Hidden(HiddenError),
    /// More recipients than a request takes.
    #[error("{}", BsmtpError::TooMany)]
    TooMany,
}

impl Unfit {
    /// The enhanced status code, as in `5.1.3`.
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::Reason(reason) => reason.status(),
            Self::TooMany | Self::Hidden(HiddenError::TooMany) => "5.5.3",
            Self::Hidden(_) => "5.1.3",
        }
    }
}

/// The request for one mail, for those of its recipients that are addresses; found in the header if that is where they are.
///
/// # Errors
/// See [`Unfit`]. One recipient outside the network is enough.
pub fn request(mail: Transaction, suffix: &str, source: Source, dedup: Option<Vec<u8>>) -> Result<Request, Unfit> {
    let Transaction { sender, recipients, mail, .. } = mail;
    let (doors, mut recipients): (Vec<Address>, Vec<Address>) = recipients.into_iter().partition(is_door);
    if recipients.iter().any(|recipient| recipient.under_suffix(suffix).is_none()) {
        return Err(Unfit::Reason(Reason::NotFog));
    }
    let mut request = Request { source, dedup, sender, wish: Wish::default(), recipients: vec![], mail };
    if !doors.is_empty() {
        let Opened { recipients: hidden, mail } = hidden::open(&request.mail, suffix).map_err(unfit)?;
        request.mail = mail;
        recipients.extend(hidden);
    }
    for recipient in recipients {
        if !request.recipients.contains(&recipient) {
            request.recipients.push(recipient);
        }
    }
    if request.recipients.len() > MAX_RECIPIENTS {
        return Err(Unfit::TooMany);
    }
    Ok(request)
}

fn unfit(error: HiddenError) -> Unfit {
    match error {
        HiddenError::Header(Refused::HeaderTooLong) => Unfit::Reason(Reason::TooComplex),
        HiddenError::Header(_) => Unfit::Reason(Reason::NotAMail),
        other => Unfit::Hidden(other),
    }
}
