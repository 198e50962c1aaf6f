//! What a person may wish for the way of a mail.

use crate::wire::{Malformed, Reader, Writer};

/// Most names in a chain: the packet format has no more hops.
pub const MAX_CHAIN: usize = 5;
/// Most copies of a mail.
pub const MAX_COPIES: u8 = 10;
/// Longest name of a node.
const MAX_NAME: usize = 32;

/// A wish for the way of a mail; the default is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// The names of the nodes of a path, the exit last; `None` is any. Empty: any path.
    pub chain: Vec<Option<String>>,
    /// How many copies to send, 1 to `MAX_COPIES`, each by a path of its own. The exit hands out one of them.
    pub copies: u8,
}

impl Default for Wish {
    fn default() -> Self {
        Self { chain: Vec::new(), copies: 1 }
    }
}

impl Wish {
    pub(super) fn write(&self, w: &mut Writer) -> Result<(), Malformed> {
        let count = u8::try_from(self.chain.len()).map_err(|_| Malformed)?;
        w.u8(self.copies).u8(count);
        for name in &self.chain {
            match name {
                Some(name) => w.u8(1).prefixed(name.as_bytes())?,
                None => w.u8(0),
            };
        }
        if self.is_sound() { Ok(()) } else { Err(Malformed) }
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, Malformed> {
        let (copies, count) = (r.u8()?, r.u8()?);
        let chain = (0..usize::from(count).min(MAX_CHAIN + 1)).map(|_| name(r)).collect::<Result<_, _>>()?;
        let wish = Self { chain, copies };
        if wish.is_sound() { Ok(wish) } else { Err(Malformed) }
    }

    fn is_sound(&self) -> bool {
        let name = |name: &String| is_name(name);
        self.chain.len() <= MAX_CHAIN
            && (1..=MAX_COPIES).contains(&self.copies)
            && self.chain.iter().flatten().all(name)
    }
}

/// Whether `text` could be the name of a node: 1 to 32 of a-z, 0-9 and hyphen.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain)
}

fn name(r: &mut Reader) -> Result<Option<String>, Malformed> {
    match r.u8()? {
        0 => Ok(None),
        1 => Ok(Some(str::from_utf8(r.prefixed(MAX_NAME)?).map_err(|_| Malformed)?.to_owned())),
        _ => Err(Malformed),
    }
}
