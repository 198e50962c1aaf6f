//! The MTA's pipe: what Postfix's pipe(8) writes to us with `flags=DORq`, and whether it was all.

use crate::mail::address::Address;
use std::fs;
use std::io::{self, Read};
use thiserror::Error;

/// Bytes of mail that are read at most. Far above any network's `max-size`, which the node applies; it bounds memory.
pub const MAX_MAIL: usize = 64 << 20;

/// Why no mail could be had from the input.
#[derive(Debug, Error)]
pub enum InputError {
    /// More than `MAX_MAIL` bytes.
    #[error("the mail is bigger than {} MiB", MAX_MAIL >> 20)]
    TooBig,
    /// Reading failed.
    #[error("the mail can't be read")]
    Io(#[from] io::Error),
}

/// Reads `input` to its end.
///
/// # Errors
/// `TooBig` past `MAX_MAIL`, or what reading gave.
pub fn read_all(input: impl Read) -> Result<Vec<u8>, InputError> {
    let mut mail = Vec::new();
    let limit = u64::try_from(MAX_MAIL).unwrap_or(u64::MAX).saturating_add(1);
    input.take(limit).read_to_end(&mut mail)?;
    if mail.len() > MAX_MAIL { Err(InputError::TooBig) } else { Ok(mail) }
}

/// Reads `input` to its end, and keeps `MAX_MAIL` bytes of it and one more. No node takes a mail of so many, and each says so
/// to whom it may be said; and whoever writes it is not cut off.
///
/// # Errors
/// What reading gave.
pub fn read_start(mut input: impl Read) -> io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    let limit = u64::try_from(MAX_MAIL).unwrap_or(u64::MAX).saturating_add(1);
    input.by_ref().take(limit).read_to_end(&mut mail)?;
    io::copy(&mut input, &mut io::sink())?;
    Ok(mail)
}

/// A mail as pipe(8) hands it over.
#[derive(PartialEq, Eq, Debug)]
pub struct Piped<'a> {
    /// The envelope sender; `None` is the null sender, or one that is no address for us.
    pub sender: Option<Address>,
    /// The envelope recipient; `None` is one that is no mail address.
    pub recipient: Option<Address>,
    /// The mail, with the lines that pipe(8) put in front of it taken off.
    pub mail: &'a [u8],
}

/// The lines in front of the mail are not those that `flags=DORq` makes.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("flags=DORq is wanted in master.cf")]
pub struct WrongFlags;

/// Takes the envelope off the front of what pipe(8) writes with `flags=DORq`.
///
/// Those lines are, in this order and never folded (Postfix 3.7, `mail_copy.c`; seen on the real program):
/// `Return-Path: <SENDER>`, `X-Original-To: RECIPIENT` (absent where Postfix doesn't know it), `Delivered-To: RECIPIENT`.
/// Only this run of lines counts: the mail behind it may begin with fields of the same names, written by anybody.
///
/// # Errors
/// They are others.
pub fn envelope(input: &[u8]) -> Result<Piped<'_>, WrongFlags> {
    let (sender, rest) = field(input, b"Return-Path: ").ok_or(WrongFlags)?;
    let sender = sender.strip_prefix(b"<").and_then(|s| s.strip_suffix(b">")).ok_or(WrongFlags)?;
    let rest = field(rest, b"X-Original-To: ").map_or(rest, |(_, rest)| rest);
    let (recipient, mail) = field(rest, b"Delivered-To: ").ok_or(WrongFlags)?;
    // A sender that is no address (a literal, say) only means that nobody can be told of a failure.
    Ok(Piped { sender: address(sender), recipient: address(recipient), mail })
}

/// The value of the line that starts with `name`, and what follows the line.
fn field<'a>(input: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let value = input.strip_prefix(name)?;
    let end = value.iter().position(|&b| b == b'\n')?;
    let (line, rest) = value.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

fn address(text: &[u8]) -> Option<Address> {
    Address::parse(std::str::from_utf8(text).ok()?).ok()
}

/// The process that started us, to tell the end of a mail from the end of who was writing it: a pipe(8) killed in
/// mid-write leaves a perfectly normal end of file behind.
#[derive(Debug, Clone, Copy)]
pub struct Parent(u32);

impl Parent {
    /// Our parent. To be asked before anything else, since it may die at any time.
    #[must_use]
    pub fn now() -> Self {
        Self(std::os::unix::process::parent_id())
    }

    /// Whether it is still there, and not about to go. Asked after the end of the input and said yes, the input was
    /// ended by the parent's will.
    ///
    /// A dying process closes its files before its children get another parent, so that for an instant an end of file
    /// comes from a parent whose number still looks good. Linux marks it as exiting before either; where there is no
    /// /proc, the number alone decides. Process 1 is who gets the orphans: it runs no pipes.
    #[must_use]
    pub fn is_alive(self) -> bool {
        let exiting = fs::read_to_string(format!("/proc/{}/stat", self.0)).is_ok_and(|stat| is_exiting(&stat));
        self.0 != 1 && !exiting && std::os::unix::process::parent_id() == self.0
    }
}

/// Whether a line of /proc/PID/stat is that of a process on its way out: proc(5), fields 3 (state) and 9 (flags).
fn is_exiting(stat: &str) -> bool {
    const PF_EXITING: u64 = 4;
    // Field 2 is the program's name in parentheses and may hold anything.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let gone = matches!(fields.first(), Some(&("Z" | "X" | "x")));
    let flags = fields.get(6).and_then(|flags| flags.parse::<u64>().ok());
    gone || flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piped(input: &str) -> Result<(Option<String>, Option<String>, String), WrongFlags> {
        let Piped { sender, recipient, mail } = envelope(input.as_bytes())?;
        let mail = String::from_utf8(mail.to_vec()).unwrap();
        Ok((sender.map(|sender| sender.to_string()), recipient.map(|recipient| recipient.to_string()), mail))
    }

    #[test]
    fn the_lines_of_pipe_are_taken_off_and_no_others() {
        let received = "Received: from vm (unknown [127.0.0.1])\n\tby mx.test.invalid (Postfix)\n";
        let bob = "bob@dest.example.fog";
        for (front, sender, recipient) in [
            (
                "Return-Path: <alice@test.invalid>\nX-Original-To: bob@dest.example.fog\nDelivered-To: bob@dest.example.fog\n",
                Some("alice@test.invalid"),
                bob,
            ),
            ("Return-Path: <>\nX-Original-To: x\nDelivered-To: bob@dest.example.fog\n", None, bob),
            ("Return-Path: <>\nDelivered-To: bob@dest.example.fog\n", None, bob),
            ("Return-Path: <a@[192.0.2.1]>\nDelivered-To: bob@dest.example.fog\n", None, bob),
            (
                "Return-Path: <\"a b\"@test.invalid>\nDelivered-To: \"bo b\"@dest.example.fog\n",
                Some("\"a b\"@test.invalid"),
                "\"bo b\"@dest.example.fog",
            ),
            ("Return-Path: <>\r\nDelivered-To: j\u{f6}@dest.example.fog\r\n", None, "j\u{f6}@dest.example.fog"),
        ] {
            for tail in [received, "Delivered-To: evil@x.fog\n", "Return-Path: <evil@x>\n", "\n", ""] {
                let want = (sender.map(str::to_owned), Some(recipient.to_owned()), tail.to_owned());
                assert_eq!(piped(&format!("{front}{tail}")), Ok(want), "{front}");
            }
        }
    }

    #[test]
    fn other_flags_than_dorq_are_seen() {
        for front in [
            "",
            "Received: x\n",
            "From a@b  Sun Nov 22 19:22:11 2026\nReturn-Path: <a@b>\nDelivered-To: a@b.fog\n",
            "Delivered-To: a@b.fog\n",
            "Return-Path: a@b\nDelivered-To: a@b.fog\n",
            "Return-Path: <a@b>\nReceived: x\n",
            "Return-Path: <a@b>\nX-Original-To: a@b.fog\nReceived: x\n",
            "Return-Path: <a@b>\nDelivered-To: a@b.fog",
        ] {
            assert_eq!(piped(front), Err(WrongFlags), "{front:?}");
        }
    }

    #[test]
    fn a_recipient_that_is_no_address_leaves_the_sender_known() {
        for recipient in ["-x@b.fog", "a@b.fog\u{0}", "a@", ""] {
            let (sender, recipient, _) = piped(&format!("Return-Path: <a@b>\nDelivered-To: {recipient}\n")).unwrap();
            assert_eq!((sender.as_deref(), recipient), (Some("a@b"), None));
        }
    }

    #[test]
    fn a_mail_above_the_bound_is_not_held() {
        assert!(matches!(read_all(io::repeat(b'x')), Err(InputError::TooBig)));
        assert_eq!(read_all(&b"x"[..]).unwrap(), b"x");
        let mut long = io::repeat(b'x').take(u64::try_from(MAX_MAIL).unwrap() + 100_000);
        assert_eq!(read_start(&mut long).unwrap().len(), MAX_MAIL + 1);
        assert_eq!(long.limit(), 0, "its writer is not cut off");
        assert_eq!(read_start(&b"x"[..]).unwrap(), b"x");
    }

    #[test]
    fn a_parent_that_is_going_is_seen_before_its_children_are_given_away() {
        for (stat, want) in [
            ("13 (pipe) S 1 1 1 0 -1 4194304 102 0", false),
            ("13 (pipe) R 1 1 1 0 -1 4194308 102 0", true),
            ("13 (pipe) Z 1 1 1 0 -1 4194304 102 0", true),
            ("13 (a) Z 1 1 4) S 1 1 1 0 -1 0 102 0", false),
            ("", false),
        ] {
            assert_eq!(is_exiting(stat), want, "{stat}");
        }
        assert!(Parent::now().is_alive());
        assert!(!Parent(1).is_alive());
        assert!(!Parent(u32::MAX).is_alive());
    }
}
