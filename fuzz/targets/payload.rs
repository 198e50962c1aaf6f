//! A payload is read, or refused, by its front alone.
#![no_main]

use fog::message::payload::Payload;
use fog::sphinx::geometry::PAYLOAD_LEN;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut payload = [0; PAYLOAD_LEN];
    payload.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let Ok(read) = Payload::decode(&payload) else { return };
    if let Payload::Fragment(fragment) = read {
        assert!(fragment.index < fragment.shape.n() && fragment.shape.k() <= fragment.shape.n());
        assert!(fragment.shape.k() > 0 && fragment.shape.length() > 0);
    }
});
