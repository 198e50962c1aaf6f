//! SMTP replies are the same however they are cut into pieces.
#![no_main]

use fog::mta::reply::Replies;
use libfuzzer_sys::fuzz_target;

fn read(pieces: &[&[u8]]) -> Vec<String> {
    let (mut replies, mut said) = (Replies::default(), Vec::new());
    for piece in pieces {
        replies.feed(piece);
        loop {
            match replies.reply() {
                Ok(Some(reply)) => said.push(format!("{reply:?}")),
                Ok(None) => break,
                Err(bad) => {
                    said.push(format!("{bad:?}"));
                    return said;
                }
            }
        }
    }
    said
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(&[bytes]);
    let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&bytewise), whole);
});
