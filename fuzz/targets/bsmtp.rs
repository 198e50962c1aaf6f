//! A batch from Exim is whole or nothing, and written again it is the same; what a header hides is taken out.
#![no_main]

use fog::mail::hidden;
use fog::mta::bsmtp::{self, MAX_TRANSACTIONS};
use fog::submit::MAX_RECIPIENTS;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mails) = bsmtp::read(bytes) {
        assert!((1..=MAX_TRANSACTIONS).contains(&mails.len()));
        let mut again = Vec::new();
        for mail in &mails {
            let least = usize::from(!mail.misaddressed);
            assert!((least..=MAX_RECIPIENTS).contains(&mail.recipients.len()));
            let sender = mail.sender.as_ref().map(ToString::to_string).unwrap_or_default();
            again.extend_from_slice(format!("MAIL FROM:<{sender}>\n").as_bytes());
            for recipient in &mail.recipients {
                again.extend_from_slice(format!("RCPT TO:<{recipient}>\n").as_bytes());
            }
            if mail.misaddressed {
                again.extend_from_slice(b"RCPT TO:<>\n");
            }
            again.extend_from_slice(b"DATA\n");
            for line in mail.mail.split_inclusive(|&b| b == b'\n') {
                if line.starts_with(b".") {
                    again.push(b'.');
                }
                again.extend_from_slice(line);
            }
            again.extend_from_slice(b".\n");
        }
        assert_eq!(bsmtp::read(&again).expect("as it was written"), mails);
    }
    if let Ok(opened) = hidden::open(bytes, "fog") {
        assert!((1..=hidden::MAX_HIDDEN).contains(&opened.recipients.len()));
        assert!(hidden::open(&opened.mail, "fog").is_err());
    }
});
