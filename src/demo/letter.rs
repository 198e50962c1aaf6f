//! The letter, the other letters on their way beside it, and what is left of its header at the end.

use crate::mail::Address;
use crate::mta::submit::{SubmitError, submit};
use crate::submit::{Outcome, Request, Source, Wish};
use mail_parser::MessageParser;
use std::path::{Path, PathBuf};

/// A letter as mail programs write them: half of it says who wrote it, from where, and with what.
pub(super) const SAMPLE: &str = "\
Return-Path: <alice@home.example>\r
Received: from laptop.lan (laptop.lan [192.168.1.23])\r
\tby mail.home.example (Postfix) with ESMTPSA id 4F1c2z3\r
\tfor <friend@example.org>; Sun, 22 Nov 2026 21:14:07 +0100 (CET)\r
DKIM-Signature: v=1; a=rsa-sha256; d=home.example; s=mail; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=\r
From: \"Alice Example\" <alice@home.example>\r
To: friend@example.org\r
Reply-To: alice@home.example\r
Subject: What I saw\r
Date: Sun, 22 Nov 2026 21:14:07 +0100\r
Message-ID: <20261122211407.4f1c@laptop.home.example>\r
User-Agent: Mutt/2.2.9 (2022-11-12)\r
X-Originating-IP: [192.168.1.23]\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
Dear friend,\r
\r
you asked me to write down what I saw, and to keep my name out of it.\r
Here it is.\r
";

/// Letters of other people, from other nodes, at the same time.
pub(super) fn others(count: usize) -> Vec<Vec<u8>> {
    let letter = |n| {
        let filler = "Nothing of note.\r\n".repeat(40 + 60 * n);
        format!("From: someone{n}@home.example\r\nSubject: Another letter\r\n\r\n{filler}").into_bytes()
    };
    (0..count).map(letter).collect()
}

/// Hands a letter in, as `fog send` does, and gives the id by which its node knows it.
pub(super) fn hand_in(socket: &Path, to: &Address, mail: Vec<u8>) -> Result<String, String> {
    let recipients = vec![to.clone()];
    let request =
        Request { source: Source::Person, dedup: None, sender: None, wish: Wish::default(), recipients, mail };
    match submit(socket, &request, || true) {
        Ok(outcomes) => match outcomes.first() {
            Some(Outcome::Accepted(id, _)) => Ok(id.to_string()),
            Some(refused) => Err(refused.line().unwrap_or_default()),
            None => Err(SubmitError::NotUnderstood(crate::wire::Malformed).to_string()),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// The mail to this recipient in the Maildir, if it has come.
pub(super) fn arrived(maildir: &Path, to: &Address) -> Option<(PathBuf, Vec<u8>)> {
    for entry in std::fs::read_dir(maildir.join("new")).ok()?.flatten() {
        let bytes = std::fs::read(entry.path()).ok()?;
        let parsed = MessageParser::default().parse(&bytes);
        let is_ours = parsed
            .as_ref()
            .and_then(|mail| mail.to()?.first()?.address())
            .is_some_and(|address| address.eq_ignore_ascii_case(&to.to_string()));
        if is_ours {
            return Some((entry.path(), bytes));
        }
    }
    None
}

/// A header field before and after; `None` where it was not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// Every field of either header, in the order of the old one and then of the new one.
pub(super) fn changes(before: &[u8], after: &[u8]) -> Vec<Change> {
    let (before, mut after) = (fields(before), fields(after));
    let mut changes = Vec::new();
    for (name, value) in before {
        let new = after.iter().position(|(other, _)| other.eq_ignore_ascii_case(&name));
        let after = new.map(|at| after.remove(at).1);
        changes.push(Change { name, before: Some(value), after });
    }
    changes.extend(after.into_iter().map(|(name, value)| Change { name, before: None, after: Some(value) }));
    changes
}

/// The header's fields, unfolded.
fn fields(mail: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(mail).replace("\r\n", "\n");
    let header = text.split("\n\n").next().unwrap_or_default().replace("\n\t", " ").replace("\n ", " ");
    let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    header.lines().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_kept_changed_gone_or_new() {
        let before = b"A: same\r\nB: old\r\nC: fol\r\n ded\r\n\r\nD: body";
        let after = b"A: same\r\nB: new\r\nE: more\r\n\r\nbody";
        let change = |name: &str, before: Option<&str>, after: Option<&str>| Change {
            name: name.into(),
            before: before.map(Into::into),
            after: after.map(Into::into),
        };
        assert_eq!(
            changes(before, after),
            [
                change("A", Some("same"), Some("same")),
                change("B", Some("old"), Some("new")),
                change("C", Some("fol ded"), None),
                change("E", None, Some("more")),
            ]
        );
    }
}
