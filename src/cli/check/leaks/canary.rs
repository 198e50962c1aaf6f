//! The mail that is looked for: a random word in each of its fields, and how one is known again.

use crate::mail::canary::DOMAIN;
use data_encoding::{BASE32_NOPAD, BASE64, HEXLOWER};
use rand_core::CryptoRng;
use std::collections::BTreeSet;

/// Random bytes of all words' common beginning, and of each one's own end. Both are whole letters of base32.
const COMMON: usize = 5;
const OWN: usize = 5;

/// What of the mail a word stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Field {
    Sender,
    Recipient,
    Domain,
    Subject,
    Body,
    MessageId,
}

impl Field {
    pub(super) const ALL: [Self; 6] =
        [Self::Sender, Self::Recipient, Self::Domain, Self::Subject, Self::Body, Self::MessageId];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Domain => "recipient's domain",
            Self::Subject => "subject",
            Self::Body => "text",
            Self::MessageId => "Message-ID",
        }
    }
}

/// What was found.
pub(super) type Fields = BTreeSet<Field>;

/// A word in one of the forms in which it may be written down.
#[derive(Debug)]
struct Needle {
    field: Field,
    bytes: Vec<u8>,
    /// Whether capitals are the same.
    any_case: bool,
}

/// The words.
#[derive(Debug)]
pub(super) struct Canary {
    words: Vec<(Field, String)>,
    needles: Vec<Needle>,
    /// Whether a needle begins with a byte.
    begins: [bool; 256],
}

impl Canary {
    pub(super) fn new(rng: &mut impl CryptoRng) -> Self {
        let mut random = |count: usize| {
            let mut bytes = vec![0; count];
            rng.fill_bytes(&mut bytes);
            BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
        };
        // By one beginning, a disk full of sealed mail is searched for all of them at once.
        let common = random(COMMON);
        let words: Vec<_> = Field::ALL.into_iter().map(|field| (field, format!("{common}{}", random(OWN)))).collect();
        let needles: Vec<_> = words.iter().flat_map(|(field, word)| needles(*field, word)).collect();
        let mut begins = [false; 256];
        for first in needles.iter().filter_map(|needle| needle.bytes.first()) {
            for byte in [first.to_ascii_lowercase(), first.to_ascii_uppercase()] {
                if let Some(begins) = begins.get_mut(usize::from(byte)) {
                    *begins = true;
                }
            }
        }
        Self { words, needles, begins }
    }

    pub(super) fn word(&self, field: Field) -> &str {
        self.words.iter().find(|(of, _)| *of == field).map_or("", |(_, word)| word)
    }

    /// Whom it is for, under the network's suffix.
    pub(super) fn recipient(&self, suffix: &str) -> String {
        format!("{}@{}.{DOMAIN}.{suffix}", self.word(Field::Recipient), self.word(Field::Domain))
    }

    /// The mail as `sendmail -t` takes it. The sender is a user of this machine, whom nobody is.
    pub(super) fn mail(&self, suffix: &str) -> String {
        format!(
            "From: {}\nTo: {}\nSubject: {}\nMessage-ID: <{}@{DOMAIN}>\n\n{}\n",
            self.word(Field::Sender),
            self.recipient(suffix),
            self.word(Field::Subject),
            self.word(Field::MessageId),
            self.word(Field::Body),
        )
    }

    /// The longest form of a word, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.needles.iter().map(|needle| needle.bytes.len()).max().unwrap_or(0)
    }

    /// Which words are in `bytes`, and where the first stands.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<(Fields, usize)> {
        let mut found: Option<(Fields, usize)> = None;
        for (at, byte) in bytes.iter().enumerate() {
            if !self.begins.get(usize::from(*byte)).copied().unwrap_or(false) {
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            for needle in self.needles.iter().filter(|needle| needle.is_at(rest)) {
                found.get_or_insert_with(|| (Fields::new(), at)).0.insert(needle.field);
            }
        }
        found
    }

    /// `text` with the words' names instead of them, so that what is shown adds nothing to what is there.
    pub(super) fn masked(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (field, word)| {
            let mask = format!("({})", field.name());
            text.replace(word.as_str(), &mask).replace(&word.to_ascii_uppercase(), &mask)
        })
    }
}

impl Needle {
    fn is_at(&self, rest: &[u8]) -> bool {
        let Some(there) = rest.get(..self.bytes.len()) else { return false };
        if self.any_case { there.eq_ignore_ascii_case(&self.bytes) } else { there == self.bytes }
    }
}

/// As it is, in hex, in UTF-16, and in base64, where it looks different at each of three places and its ends hang on what
/// stands beside it.
fn needles(field: Field, word: &str) -> Vec<Needle> {
    let plain = word.as_bytes();
    let wide = plain.iter().flat_map(|byte| [*byte, 0]).collect();
    let in_any_case = [plain.to_vec(), HEXLOWER.encode(plain).into_bytes(), wide].map(|bytes| (bytes, true));
    let base64 = ["", "x", "xx"].map(|before| {
        let text = BASE64.encode(format!("{before}{word}").as_bytes());
        let inner = text.get(4..text.len().saturating_sub(4)).unwrap_or_default();
        (inner.as_bytes().to_vec(), false)
    });
    let all = in_any_case.into_iter().chain(base64);
    all.map(|(bytes, any_case)| Needle { field, bytes, any_case }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    pub(crate) fn canary(seed: u64) -> Canary {
        Canary::new(&mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn each_word_is_found_in_every_form_and_told_from_the_others() {
        let canary = canary(1);
        for field in Field::ALL {
            let word = canary.word(field);
            let mut forms: Vec<Vec<u8>> = vec![
                format!("to=<{word}@x>").into_bytes(),
                word.to_uppercase().into_bytes(),
                HEXLOWER.encode(word.as_bytes()).into_bytes(),
                HEXLOWER.encode(word.as_bytes()).to_uppercase().into_bytes(),
                word.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ];
            for before in ["", "a", "ab", "abc"] {
                forms.push(BASE64.encode(format!("{before}{word} and more").as_bytes()).into_bytes());
            }
            for form in forms {
                let text = [b"start ", form.as_slice(), b" end"].concat();
                let (fields, at) = canary.find(&text).unwrap_or_else(|| panic!("{field:?} in {text:?}"));
                assert_eq!(fields, [field].into(), "{text:?}");
                assert!((6..16).contains(&at), "{at} in {text:?}");
            }
        }
    }

    #[test]
    fn another_mail_is_not_found_and_all_of_this_one_is() {
        let (canary, other) = (canary(1), canary(2));
        assert_eq!(canary.find(other.mail("fog").as_bytes()), None);
        let mail = canary.mail("fog");
        assert_eq!(canary.find(mail.as_bytes()).unwrap().0, Field::ALL.into());
        let masked = canary.masked(&mail);
        assert!(canary.find(masked.as_bytes()).is_none() && masked.contains("Subject: (subject)\n"), "{masked}");
    }
}
