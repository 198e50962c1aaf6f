//! What comes over a link is put together again as it was, or refused.
#![no_main]

use fog::link::frame::{ANSWER_LEN, Answer, Hello, Incoming, TAG_LEN, messages};
use fog::sphinx::geometry::PACKET_LEN;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(hello) = Hello::decode(bytes) {
        assert_eq!(hello.encode(), bytes);
    }
    if Answer::decode(bytes).is_ok() {
        assert_eq!(bytes.len(), ANSWER_LEN);
    }
    // Message after message, each as long as is expected or not, as the first byte says.
    let mut incoming = Incoming::default();
    for (i, step) in bytes.iter().enumerate() {
        let expected = incoming.expects() - TAG_LEN;
        let mut message = vec![*step; if step & 0x80 == 0 { expected } else { usize::from(*step) }];
        if let Some(first) = message.first_mut() {
            *first = step & 3;
        }
        match incoming.take(&message) {
            Ok(Some(packet)) => {
                let (first, body) = messages(&packet);
                assert_eq!(first.len() - 1 + body.len(), PACKET_LEN);
                assert_eq!(&body[..], &message[..]);
            }
            Ok(None) => assert_eq!(message.len(), expected),
            Err(_) => return,
        }
        if i > 8 {
            return;
        }
    }
});
