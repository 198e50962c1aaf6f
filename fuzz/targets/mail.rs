//! Whatever mail comes in, what goes out is one clean mail without the field that named its sender.
#![no_main]

use fog::mail::Address;
use fog::mail::preview::warnings;
use fog::mail::sanitize::{EntryRules, ExitRules, at_entry, at_exit};
use fog::time::Time;
use libfuzzer_sys::fuzz_target;

/// What the entry must not let through; the seeds don't say it.
const NAMED: &[u8] =
    b"Received: from canary.example (canary)\r\nFrom: canary <canary@own.example>\r\nX-Canary: canary\r\n";

fn has_mark(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|word| word.eq_ignore_ascii_case(b"canary"))
}

fn assert_clean(mail: &[u8]) {
    assert!(mail.ends_with(b"\r\n"));
    let mut rest = mail.iter();
    while let Some(byte) = rest.next() {
        assert!(!matches!(byte, 0 | b'\n'), "a bare LF or a NUL");
        assert!(*byte != b'\r' || rest.next() == Some(&b'\n'), "a bare CR");
    }
}

fuzz_target!(|raw: &[u8]| {
    let recipient = Address::parse("bob@dest.example").expect("an address");
    let from = Address::parse("anonymous@exit.example").expect("an address");
    let (id, domain) = ([0xab; 16], "id.fog.example");
    let rules = EntryRules {
        recipient: &recipient,
        message_id: id,
        message_id_domain: domain,
        own_domains: &[],
        seed: [1; 32],
    };
    let mail = [NAMED, raw].concat();
    let _ = warnings(&mail);
    let Ok(entry) = at_entry(&mail, &rules) else { return };
    assert_clean(&entry);
    assert!(has_mark(raw) || !has_mark(&entry), "the sender is named");
    assert_eq!(at_entry(&mail, &rules).as_ref(), Ok(&entry), "the seed decides every byte");
    let rules = ExitRules {
        recipient: &recipient,
        newsgroups: &[],
        comment: "",
        from: &from,
        from_name: "Anonymous",
        message_id_domain: domain,
        date: Time::from_secs(1_700_000_000),
        seed: [2; 32],
    };
    let exit = at_exit(&entry, &rules).expect("an entry sends nothing that an exit refuses");
    assert_clean(&exit);
});
