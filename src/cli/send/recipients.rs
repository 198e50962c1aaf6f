//! To whom a person's mail goes.

use super::Args;
use crate::cli::error::CliError;
use crate::mail::address::Address;
use crate::mail::hidden::{self, HiddenError, is_door};
use crate::mail::news;
use crate::mail::recipients::{self, ShownError};
use crate::submit::MAX_RECIPIENTS;
use crate::sys::exit_code::ExitCode;

/// A mail and its recipients.
pub(super) struct To {
    /// Each under the suffix and once; at least one.
    pub(super) recipients: Vec<Address>,
    /// The mail, without fields that only named recipients.
    pub(super) mail: Vec<u8>,
}

/// The recipients of the command line, and with `-t` alone those of the header. The address that points to the header may
/// stand in either: programs that write mail call sendmail with the addresses of To as arguments.
pub(super) fn of(args: &Args, mail: Vec<u8>, suffix: &str) -> Result<To, CliError> {
    let mut to = To { recipients: Vec::new(), mail };
    let mut door = false;
    for text in args.to.iter().flatten().chain(&args.recipients) {
        match parse(text)? {
            address if is_door(&address) => door = true,
            address => to.add(under(&address, suffix)?),
        }
    }
    for group in &args.group {
        to.add(news::recipient(group, suffix).map_err(|error| {
            CliError::new(ExitCode::Address, error.to_string())
                .found(format!("{:?}; nothing was sent", group.chars().take(100).collect::<String>()))
                .try_("fog send -g alt.test < article")
        })?);
    }
    let in_header = args.to == Some(None);
    if in_header {
        let (doors, shown): (Vec<_>, Vec<_>) = shown(&to.mail, suffix)?.into_iter().partition(is_door);
        door |= !doors.is_empty();
        shown.into_iter().for_each(|address| to.add(address));
    }
    if in_header || door {
        to.add_the_hidden(door, suffix)?;
    }
    if to.recipients.len() > MAX_RECIPIENTS {
        return Err(too_many());
    }
    if to.recipients.is_empty() {
        let place = if args.to.is_some() { "in To, Cc or Bcc" } else { "on the command line" };
        return Err(CliError::new(ExitCode::Address, format!("there is no recipient {place}"))
            .found("nothing was sent")
            .try_("fog send -t alice@example.com < mail"));
    }
    Ok(to)
}

impl To {
    fn add(&mut self, address: Address) {
        if !self.recipients.contains(&address) {
            self.recipients.push(address);
        }
    }

    /// Those in Anon-To and Anon-Post-To; with the `door` there must be some.
    fn add_the_hidden(&mut self, door: bool, suffix: &str) -> Result<(), CliError> {
        match hidden::open(&self.mail, suffix) {
            Ok(opened) => {
                opened.recipients.into_iter().for_each(|address| self.add(address));
                self.mail = opened.mail;
                Ok(())
            }
            // What is wrong with the header as a whole is the node's to say.
            Err(HiddenError::None | HiddenError::Header(_)) if !door => Ok(()),
            Err(error) => Err(CliError::new(ExitCode::Address, error.to_string())
                .found("nothing was sent, not to the others either")
                .try_("write Anon-To: alice@example.com, or Anon-Post-To: alt.test")),
        }
    }
}

fn too_many() -> CliError {
    CliError::new(ExitCode::Address, format!("there are more than {MAX_RECIPIENTS} recipients"))
        .found("nothing was sent")
        .try_("send it several times, to some of them each time")
}

/// `address` as the node wants it. On the command line of `fog send` it is clear what is meant without a suffix.
fn under(address: &Address, suffix: &str) -> Result<Address, CliError> {
    address.put_under(suffix).map_err(|error| {
        CliError::new(ExitCode::Address, error.to_string()).found("nothing was sent").try_("use a shorter address")
    })
}

/// The addresses in To, Cc and Bcc, of which all must lie under the suffix, or be the one that points to the header: one
/// that was left out would not get its mail from anybody, and one that was taken along would get it in a way that its
/// writer didn't ask for.
fn shown(mail: &[u8], suffix: &str) -> Result<Vec<Address>, CliError> {
    let texts = recipients::shown(mail).map_err(|error| match error {
        ShownError::List => CliError::new(ExitCode::Address, error.to_string())
            .found("nothing was sent")
            .try_("write To: alice@example.com.fog, Bob <bob@example.com.fog>"),
        ShownError::Header(_) => CliError::new(ExitCode::Data, error.to_string())
            .found("nothing was sent")
            .try_("begin with header lines such as `To: alice@example.com.fog` and an empty line"),
    })?;
    if texts.len() > MAX_RECIPIENTS {
        return Err(too_many());
    }
    let mut found = Vec::new();
    for text in texts {
        let address = parse(&text)?;
        if address.under_suffix(suffix).is_none() && !is_door(&address) {
            return Err(CliError::new(ExitCode::Address, format!("a recipient in the header is not under .{suffix}"))
                .found(format!("{address}; nothing was sent, not to the others either"))
                .try_(format!("write {address}.{suffix}, or take it out of the header")));
        }
        found.push(address);
    }
    Ok(found)
}

pub(super) fn parse(text: &str) -> Result<Address, CliError> {
    Address::parse(text).map_err(|error| {
        CliError::new(ExitCode::Address, error.to_string())
            .found(format!("{:?}; nothing was sent", text.chars().take(100).collect::<String>()))
            .try_("write it as name@domain, without angle brackets or a name in front")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_the_command_line_gets_the_suffix_once() {
        for (text, want) in [
            ("alice@example.com", "alice@example.com.fog"),
            ("alice@example.com.fog", "alice@example.com.fog"),
            ("Alice@EXAMPLE.com.FOG.", "Alice@example.com.fog"),
        ] {
            assert_eq!(under(&parse(text).unwrap(), "fog").unwrap().to_string(), want);
        }
    }

    #[test]
    fn a_header_recipient_that_is_not_ours_stops_all() {
        for to in
            ["a@x.fog, b@x.org", "b@x.org", "a@x.fog, b", "a@x.fog, B <b>", "g: a@x.fog, b@x.org;", "a@x.fog: b@x.fog"]
        {
            let found = shown(format!("To: {to}\n\n").as_bytes(), "fog");
            assert_eq!(found.map_err(|error| error.exit), Err(ExitCode::Address), "{to}");
        }
    }
}
