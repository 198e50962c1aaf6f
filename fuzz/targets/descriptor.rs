//! A descriptor is taken in its canonical text only.
#![no_main]

use fog::directory::Signed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(signed) = Signed::parse(text) {
        assert_eq!(signed.to_text(), text);
    }
});
