//! What asks for the directory document, and what comes back, is read in one way or refused; and a text comes out as it
//! went in, however its pieces lie.
#![no_main]

use fog::link::document::{HEAD_LEN, Head, Incoming, MAX_DOCUMENT, Opening, PIECE_LEN, pieces};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(opening) = Opening::decode(bytes) {
        assert_eq!(opening.encode(), bytes);
    }
    let Some((first, rest)) = bytes.split_at_checked(HEAD_LEN) else { return };
    let Ok(head) = Head::decode(first) else { return };
    assert_eq!(head.encode(), first);
    assert!((1..=MAX_DOCUMENT).contains(&head.length()));
    // Message after message, each as long as is expected or not, as its first byte says.
    let mut incoming = Incoming::new(&head);
    let mut came = 0;
    for step in rest.iter().take(8) {
        let expected = incoming.expects();
        let message = vec![*step; if step & 0x80 == 0 { expected.unwrap_or_default() } else { usize::from(*step) }];
        match incoming.take(&message) {
            Ok(()) => {
                assert_eq!(expected, Some(message.len()));
                came += message.len();
            }
            Err(_) => assert_ne!(expected, Some(message.len())),
        }
    }
    assert_eq!(incoming.expects().is_none(), came == head.length());
    if let Ok(text) = incoming.finish() {
        assert_eq!((text.len(), came), (head.length(), head.length()));
    }

    let text: String = rest.iter().map(|byte| char::from(*byte)).collect::<String>().repeat(1 + rest.len() % 9);
    let Ok(head) = Head::new(text.len(), *head.hash()) else { return };
    let mut incoming = Incoming::new(&head);
    for piece in pieces(&text) {
        assert!(piece.len() <= PIECE_LEN);
        incoming.take(piece).expect("each piece is as long as is expected");
    }
    assert_eq!(incoming.finish(), Ok(text));
});
