//! What comes over exit.sock, from either side, is taken in its one form only.
#![no_main]

use fog::delivery::{Deliver, Outcome};
use libfuzzer_sys::fuzz_target;

const MAX_MAIL: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(deliver) = Deliver::decode(bytes, MAX_MAIL) {
        assert!(deliver.mail.len() <= MAX_MAIL);
        assert_eq!(&deliver.encode().expect("it was decoded")[4..], bytes);
    }
    if let Ok(outcome) = Outcome::decode(bytes) {
        assert_eq!(&outcome.encode()[4..], bytes);
    }
    if let Some(prefix) = bytes.first_chunk() {
        assert!(Deliver::body_len(*prefix, MAX_MAIL).map_or(true, |len| len < 2 * MAX_MAIL));
    }
});
