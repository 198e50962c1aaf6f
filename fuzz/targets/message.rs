//! A message is taken in its one form only, and never grows beyond what it may be.
#![no_main]

use fog::message::{Message, pack, unpack};
use libfuzzer_sys::fuzz_target;

const MAX_SIZE: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = Message::decode(bytes, MAX_SIZE) {
        assert!(message.mail.len() <= MAX_SIZE);
        assert_eq!(message.encode().expect("it was decoded"), bytes);
        let packed = pack(&message).expect("it can be encoded");
        assert!(unpack(&packed, MAX_SIZE).is_ok_and(|again| again == message));
    }
    if let Ok(message) = unpack(bytes, MAX_SIZE) {
        assert!(message.mail.len() <= MAX_SIZE);
    }
});
