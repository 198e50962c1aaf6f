//! How texts of the directory go over a link (docs/spec-message.md, "The directory document" and what comes after it): who
//! opens a link says whether it brings packets, asks for the document or for what an authority shows, or hands in its
//! descriptor. A text goes in pieces whose lengths are known before they come.

use super::frame::{HELLO_LEN, HELLO_VERSION, Hello};
use crate::wire::{Malformed, Reader, Writer};

/// Longest text that goes over a link: the longest document there is.
pub const MAX_DOCUMENT: usize = 32 << 20;
/// The plaintext of what comes before a text.
pub const HEAD_LEN: usize = 4 + 32;
/// The plaintext of each piece but the last, which has what is left.
pub const PIECE_LEN: usize = 32 << 10;

/// Where in a hello it says what the link is for; zero is for packets.
const KIND_AT: usize = 2 + 8 + 32;
const DOCUMENT: u8 = 0x01;
const DESCRIPTOR: u8 = 0x02;
const AGREEMENT: u8 = 0x03;

/// What the opener says in the third handshake message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// It brings packets, and says what both sides say of themselves.
    Packets(Hello),
    /// It asks for the directory document, and says nothing of itself: neither its clock, which could tell where it is,
    /// nor the document it has, which could tell who it is.
    Document,
    /// It hands in a descriptor, which says enough of it.
    Descriptor,
    /// It asks an authority for what it shows to the others.
    Agreement,
}

impl Opening {
    /// Its plaintext.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        match self {
            Self::Packets(hello) => hello.encode(),
            Self::Document => of_kind(DOCUMENT),
            Self::Descriptor => of_kind(DESCRIPTOR),
            Self::Agreement => of_kind(AGREEMENT),
        }
    }

    /// Reads its plaintext.
    ///
    /// # Errors
    /// `Malformed` for what is neither a hello nor the one way to say each of the others.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut others = [Self::Document, Self::Descriptor, Self::Agreement].into_iter();
        others.find(|other| bytes == other.encode()).map_or_else(|| Hello::decode(bytes).map(Self::Packets), Ok)
    }
}

/// A hello that says nothing but what the link is for.
fn of_kind(kind_of_link: u8) -> [u8; HELLO_LEN] {
    let mut bytes = [0; HELLO_LEN];
    let (version, rest) = bytes.split_at_mut(2);
    version.copy_from_slice(&HELLO_VERSION.to_be_bytes());
    rest.iter_mut().skip(KIND_AT - 2).take(1).for_each(|kind| *kind = kind_of_link);
    bytes
}

/// What comes before a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    length: usize,
    hash: [u8; 32],
}

impl Head {
    /// Of a document of `length` bytes with this hash.
    ///
    /// # Errors
    /// `Malformed` for an empty one, or one longer than any.
    pub fn new(length: usize, hash: [u8; 32]) -> Result<Self, Malformed> {
        if (1..=MAX_DOCUMENT).contains(&length) { Ok(Self { length, hash }) } else { Err(Malformed) }
    }

    /// Its plaintext.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(HEAD_LEN);
        // At most MAX_DOCUMENT.
        w.u32(u32::try_from(self.length).unwrap_or(u32::MAX)).bytes(&self.hash);
        w.finish()
    }

    /// Reads its plaintext.
    ///
    /// # Errors
    /// `Malformed` for another length, or a document that is empty or longer than any.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let length = usize::try_from(r.u32()?).map_err(|_| Malformed)?;
        let hash = r.array()?;
        r.finish()?;
        Self::new(length, hash)
    }

    /// How many bytes of text will come.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The document's hash, as the sender says: enough to know that one has it.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

/// The plaintexts that carry the text of a document, in the order in which they go.
pub fn pieces(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().chunks(PIECE_LEN)
}

/// Puts a document's text together from decrypted messages. It takes up no more room than has come.
#[derive(Debug)]
pub struct Incoming {
    left: usize,
    text: Vec<u8>,
}

impl Incoming {
    /// The text that comes after `head`.
    #[must_use]
    pub const fn new(head: &Head) -> Self {
        Self { left: head.length, text: Vec::new() }
    }

    /// The length of the next message's plaintext; none if the text is whole.
    #[must_use]
    pub fn expects(&self) -> Option<usize> {
        Some(self.left.min(PIECE_LEN)).filter(|length| *length > 0)
    }

    /// Takes the plaintext of the next message.
    ///
    /// # Errors
    /// `Malformed` for another length than must come now.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        if self.expects() != Some(piece.len()) {
            return Err(Malformed);
        }
        self.text.extend_from_slice(piece);
        self.left -= piece.len();
        Ok(())
    }

    /// The text, which nobody has looked at yet.
    ///
    /// # Errors
    /// `Malformed` if some of it is still to come, or if it is no UTF-8.
    pub fn finish(self) -> Result<String, Malformed> {
        if self.left == 0 { String::from_utf8(self.text).map_err(|_| Malformed) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use proptest::prelude::*;

    const HELLO: Hello = Hello { now: Time::from_secs(0x6800_0000), document: Some([0xab; 32]) };

    #[test]
    fn an_asker_says_nothing_of_itself_and_there_is_one_way_to_ask() {
        let said = [&[0, 1][..], &[0; 40], &[1], &[0; 21]].concat();
        assert_eq!(Opening::Document.encode()[..], said);
        for (opening, kind) in [(Opening::Descriptor, 2), (Opening::Agreement, 3)] {
            assert_eq!(opening.encode()[..], [&[0, 1][..], &[0; 40], &[kind], &[0; 21]].concat());
        }
        for opening in [Opening::Document, Opening::Descriptor, Opening::Agreement, Opening::Packets(HELLO)] {
            assert_eq!(Opening::decode(&opening.encode()), Ok(opening));
        }
        assert_eq!(Hello::decode(&said), Err(Malformed), "who answers a link asks for nothing");
        for (at, byte, what) in [
            (1, 2, "another version"),
            (9, 1, "a clock"),
            (10, 1, "a document"),
            (42, 4, "another kind"),
            (43, 1, "a mark"),
            (63, 1, "a mark"),
        ] {
            let mut bad = said.clone();
            bad[at] = byte;
            assert_eq!(Opening::decode(&bad), Err(Malformed), "{what}");
        }
        for bad in [&said[..63], &[&said[..], &[0]].concat()] {
            assert_eq!(Opening::decode(bad), Err(Malformed));
        }
    }

    #[test]
    fn a_document_that_is_empty_or_longer_than_any_is_not_begun() {
        for (length, is_one) in
            [(0, false), (1, true), (MAX_DOCUMENT, true), (MAX_DOCUMENT + 1, false), (usize::MAX, false)]
        {
            assert_eq!(Head::new(length, [7; 32]).is_ok(), is_one, "{length}");
        }
        for length in [0, u32::try_from(MAX_DOCUMENT).unwrap() + 1, u32::MAX] {
            let bytes = [&length.to_be_bytes()[..], &[7; 32]].concat();
            assert_eq!(Head::decode(&bytes), Err(Malformed), "{length}");
        }
        let good = Head::new(5, [7; 32]).unwrap().encode();
        assert_eq!(good, [&[0, 0, 0, 5][..], &[7; 32]].concat());
        assert_eq!(Head::decode(&good[..HEAD_LEN - 1]), Err(Malformed));
        assert_eq!(Head::decode(&[&good[..], &[0]].concat()), Err(Malformed));
    }

    #[test]
    fn what_comes_is_no_text_before_it_is_whole_and_utf_8() {
        let head = Head::new(2, [0; 32]).unwrap();
        assert_eq!(Incoming::new(&head).finish(), Err(Malformed));
        let mut incoming = Incoming::new(&head);
        incoming.take(&[0xc3, 0x28]).unwrap();
        assert_eq!((incoming.expects(), incoming.take(b"")), (None, Err(Malformed)));
        assert_eq!(incoming.finish(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn a_text_is_put_together_as_it_was_and_no_piece_of_another_length_is_taken(
            length in prop_oneof![1..10_usize, PIECE_LEN - 2..PIECE_LEN + 3, 1..4 * PIECE_LEN],
            hash: [u8; 32],
            wrong in 0..3 * PIECE_LEN,
        ) {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let head = Head::new(length, hash).unwrap();
            prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
            prop_assert_eq!((head.length(), head.hash()), (length, &hash));
            let mut incoming = Incoming::new(&head);
            for piece in pieces(&text) {
                prop_assert_eq!(incoming.expects(), Some(piece.len()));
                if wrong != piece.len() {
                    prop_assert_eq!(incoming.take(&vec![0; wrong]), Err(Malformed));
                }
                incoming.take(piece).unwrap();
            }
            prop_assert_eq!(incoming.expects(), None);
            prop_assert_eq!(incoming.finish(), Ok(text));
        }

        #[test]
        fn random_bytes_are_read_in_one_way_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(opening) = Opening::decode(&bytes) {
                prop_assert_eq!(&opening.encode()[..], &bytes);
            }
            if let Ok(head) = Head::decode(&bytes) {
                prop_assert_eq!(head.encode(), bytes);
            }
        }
    }
}
