//! To whom a person's mail goes.

use super::Args;
use crate::cli::error::CliError;
use crate::mail::address::Address;
use crate::mail::hidden::{self, HiddenError, is_door};
use crate::mail::news;
use crate::sys::exit_code::ExitCode;
use mail_parser::{HeaderName, HeaderValue, MessageParser};

/// A mail and its recipients.
pub(super) struct To {
    /// Each under the suffix and once; at least one.
    pub(super) recipients: Vec<Address>,
    /// The mail, without fields that only named recipients.
    pub(super) mail: Vec<u8>,
}

/// The recipients of the command line, and with `-t` alone those of the header.
pub(super) fn of(args: &Args, mail: Vec<u8>, suffix: &str) -> Result<To, CliError> {
    let mut to = To { recipients: Vec::new(), mail };
    for text in args.to.iter().flatten().chain(&args.recipients) {
        to.add(under(&parse(text)?, suffix)?);
    }
    for group in &args.group {
        to.add(news::recipient(group, suffix).map_err(|error| {
            CliError::new(ExitCode::Address, error.to_string())
                .found(format!("{:?}; nothing was sent", group.chars().take(100).collect::<String>()))
                .try_("fog send -g alt.test < article")
        })?);
    }
    if args.to == Some(None) {
        to.add_those_of_the_header(suffix)?;
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

    fn add_those_of_the_header(&mut self, suffix: &str) -> Result<(), CliError> {
        let shown = shown(&self.mail, suffix)?;
        let door = shown.iter().any(is_door);
        let opened = match hidden::open(&self.mail, suffix) {
            Ok(opened) => Some(opened),
            // What is wrong with the header as a whole is the node's to say.
            Err(HiddenError::None | HiddenError::Header(_)) if !door => None,
            Err(error) => {
                return Err(CliError::new(ExitCode::Address, error.to_string())
                    .found("nothing was sent, not to the others either")
                    .try_("write Anon-To: alice@example.com, or Anon-Post-To: alt.test"));
            }
        };
        shown.into_iter().filter(|address| !is_door(address)).for_each(|address| self.add(address));
        if let Some(opened) = opened {
            opened.recipients.into_iter().for_each(|address| self.add(address));
            self.mail = opened.mail;
        }
        Ok(())
    }
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
    let parsed = MessageParser::default().parse_headers(mail);
    let headers = parsed.iter().flat_map(|mail| mail.headers());
    let headers = headers.filter(|h| matches!(h.name, HeaderName::To | HeaderName::Cc | HeaderName::Bcc));
    let mut found = Vec::new();
    for header in headers {
        let HeaderValue::Address(list) = &header.value else { continue };
        for entry in list.iter() {
            let text = entry.address.as_deref().or(entry.name.as_deref()).unwrap_or_default();
            let address = parse(text)?;
            if address.under_suffix(suffix).is_none() && !is_door(&address) {
                return Err(CliError::new(
                    ExitCode::Address,
                    format!("a recipient in the header is not under .{suffix}"),
                )
                .found(format!("{address}; nothing was sent, not to the others either"))
                .try_(format!("write {address}.{suffix}, or take it out of the header")));
            }
            found.push(address);
        }
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
    fn the_header_names_recipients_in_to_cc_and_bcc_only() {
        let mail = b"To: Alice <alice@x.org.fog>, \"B, b\" <bob@x.org.fog>\r\nTo: carl@x.org.fog\nCC: friends: dora@x.org.fog,\n\
                     \temil@x.org.fog;\nBcc: fritz@x.org.fog\nReply-To: gerd@x.org\nFrom: h@x.org\n\nTo: ida@x.org.fog\n";
        let found: Vec<_> = shown(mail, "fog").unwrap().iter().map(|a| a.local().to_owned()).collect();
        assert_eq!(found, ["alice", "bob", "carl", "dora", "emil", "fritz"]);
    }

    #[test]
    fn a_header_recipient_that_is_not_ours_stops_all() {
        for to in ["a@x.fog, b@x.org", "b@x.org", "a@x.fog, b", "a@x.fog, B <b>", "g: a@x.fog, b@x.org;"] {
            let found = shown(format!("To: {to}\n\n").as_bytes(), "fog");
            assert_eq!(found.map_err(|error| error.exit), Err(ExitCode::Address), "{to}");
        }
    }
}
