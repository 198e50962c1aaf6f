//! SMTP replies out of whatever bytes a peer sends: bounded, strict, without I/O.

use thiserror::Error;

/// Longest line taken. RFC 5321 says 512; MTAs with long texts exceed it.
const MAX_LINE: usize = 2048;
/// Most lines in one reply. An EHLO answer has about 20.
const MAX_LINES: usize = 128;

/// What the peer sent is no SMTP reply.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("not an SMTP reply")]
pub struct BadReply;

/// One whole reply.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The texts behind the codes, without line ends.
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// The first digit: 2 done, 3 go on, 4 not now, 5 never.
    #[must_use]
    pub const fn class(&self) -> u16 {
        self.code / 100
    }
}

/// Puts replies together from pieces of a stream.
#[derive(Debug, Default)]
pub struct Replies {
    unread: Vec<u8>,
    begun: Option<Reply>,
}

impl Replies {
    /// Takes bytes that came in. Call [`Self::reply`] until it has nothing more before feeding again: that bounds what
    /// is held.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next whole reply; `None` if more bytes are needed.
    ///
    /// # Errors
    /// `BadReply` for anything RFC 5321 doesn't allow (a lone LF as line end is taken), and past the bounds. The
    /// stream is of no use after that.
    pub fn reply(&mut self) -> Result<Option<Reply>, BadReply> {
        while let Some(line) = self.take_line()? {
            let (code, last, text) = parse_line(&line)?;
            let reply = self.begun.get_or_insert(Reply { code, lines: Vec::new() });
            if reply.code != code || reply.lines.len() == MAX_LINES {
                return Err(BadReply);
            }
            reply.lines.push(text.to_vec());
            if last {
                return Ok(self.begun.take());
            }
        }
        Ok(None)
    }

    /// Whether nothing is half read or read ahead. A peer that speaks out of turn is out of step with us, and its next
    /// reply would be taken for the answer to the wrong command.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.unread.is_empty() && self.begun.is_none()
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>, BadReply> {
        let Some(end) = self.unread.iter().take(MAX_LINE).position(|&b| b == b'\n') else {
            return if self.unread.len() >= MAX_LINE { Err(BadReply) } else { Ok(None) };
        };
        let rest = self.unread.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.unread, rest);
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

/// Code, whether it is the reply's last line, and text.
fn parse_line(line: &[u8]) -> Result<(u16, bool, &[u8]), BadReply> {
    let (digits, rest) = line.split_at_checked(3).ok_or(BadReply)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadReply);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if !(200..600).contains(&code) {
        return Err(BadReply);
    }
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(BadReply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replies(bytes: &[u8]) -> Result<Vec<(u16, usize)>, BadReply> {
        let mut replies = Replies::default();
        replies.feed(bytes);
        let mut found = Vec::new();
        while let Some(reply) = replies.reply()? {
            found.push((reply.code, reply.lines.len()));
        }
        Ok(found)
    }

    #[test]
    fn replies_of_one_and_many_lines_are_read() {
        for (bytes, want) in [
            (&b"250 ok\r\n"[..], vec![(250, 1)]),
            (b"250\r\n", vec![(250, 1)]),
            (b"250 \n", vec![(250, 1)]),
            (b"250-a\r\n250-b\r\n250 c\r\n", vec![(250, 3)]),
            (b"220 hi\r\n421 bye\r\n", vec![(220, 1), (421, 1)]),
            (b"250-a\r\n250", vec![]),
            (b"", vec![]),
        ] {
            assert_eq!(replies(bytes), Ok(want), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let long = [b"250 ".as_slice(), &[b'x'; MAX_LINE], b"\r\n"].concat();
        let endless = [b'x'; MAX_LINE];
        let many = b"250-x\r\n".repeat(MAX_LINES + 1);
        for bytes in [
            &b"\r\n"[..],
            b"25\r\n",
            b"hello\r\n",
            b"2x0 ok\r\n",
            b"250ok\r\n",
            b"250\tok\r\n",
            b"150 ok\r\n",
            b"600 ok\r\n",
            b"000 ok\r\n",
            b"250-a\r\n251 b\r\n",
            b"+25 ok\r\n",
            &long,
            &endless,
            &many,
        ] {
            let start = bytes.get(..bytes.len().min(20)).unwrap().escape_ascii();
            assert_eq!(replies(bytes), Err(BadReply), "{start}");
        }
    }

    proptest! {
        #[test]
        fn a_reply_is_the_same_however_it_is_cut(cuts in prop::collection::vec(0usize..40, 0..6)) {
            let bytes = b"250-first\r\n250-SIZE 10\r\n250 last\r\n";
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut replies = Replies::default();
            let mut found = Vec::new();
            for pair in cuts.windows(2) {
                replies.feed(&bytes[pair[0]..pair[1]]);
                found.extend(replies.reply().unwrap());
            }
            prop_assert_eq!(found, vec![Reply { code: 250, lines: vec![b"first".to_vec(), b"SIZE 10".to_vec(), b"last".to_vec()] }]);
            prop_assert!(replies.is_idle());
        }

        #[test]
        fn no_bytes_make_the_parser_panic_or_hold_more_than_its_bound(
            bytes in prop::collection::vec(prop_oneof![2000 => Just(b'2'), 1 => Just(b'\n'), 1 => any::<u8>()], 0..6000),
        ) {
            let mut replies = Replies::default();
            for piece in bytes.chunks(1000) {
                replies.feed(piece);
                loop {
                    match replies.reply() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(BadReply) => return Ok(()),
                    }
                }
                prop_assert!(replies.unread.len() < MAX_LINE);
            }
        }
    }
}
