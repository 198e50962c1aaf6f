//! What comes over submit.sock, from either side, is taken in its one form only.
#![no_main]

use fog::submit::{Reply, Request};
use libfuzzer_sys::fuzz_target;

const MAX_MAIL: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::decode(bytes, MAX_MAIL) {
        assert!(request.mail.len() <= MAX_MAIL);
        assert_eq!(&request.encode().expect("it was decoded")[4..], bytes);
    }
    if let Ok(reply) = Reply::decode(bytes) {
        assert_eq!(&reply.encode().expect("it was decoded")[4..], bytes);
    }
    if let Some(prefix) = bytes.first_chunk() {
        assert!(Request::body_len(*prefix, MAX_MAIL).map_or(true, |len| len < 2 * MAX_MAIL));
    }
});
