//! Real Postfix at both ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod instance;

use instance::Postfix;

#[test]
fn scratch() {
    let dir = tempfile::tempdir().unwrap();
    instance::open_to_all(dir.path());
    let script = dir.path().join("pipe");
    std::fs::write(&script, "#!/bin/sh\ncat > /dev/null\nid >&2; env | sort >&2; . ./../../code 2>/dev/null; [ -z \"$text\" ] || echo \"$text\"; exit ${code:-75}\n").unwrap();
    instance::run(std::process::Command::new("chmod").arg("755").arg(&script));
    let b = Postfix::start(&dir.path().join("b"), "dest.invalid", &["bob", "jürgen"], "", "");
    let a = Postfix::start(&dir.path().join("a"), "home.invalid", &["ann"],
        "transport_maps = inline:{ {.fog = fog:}, {fog.invalid = fog:} }\nfog_destination_recipient_limit = 1\n",
        &format!("fog unix - n n - 4 pipe flags=DORq null_sender= user=nobody argv={} --mta\n", script.display()));
    b.submit("ann@home.invalid", &["bob@dest.invalid", "jürgen@dest.invalid"], "Subject: hi\r\n\r\n.\r\n..dot\r\nünï\r\n%FROM_ADDRESS% \\n\r\n".as_bytes());
    a.submit("ann@home.invalid", &["bob@dest.invalid.fog"], b"Subject: hi\r\n\r\nx\r\n");
    let t = std::time::Instant::now();
    while b.mailbox("bob@dest.invalid").is_empty() && t.elapsed().as_secs() < 10 { std::thread::sleep(std::time::Duration::from_millis(50)); }
    std::thread::sleep(std::time::Duration::from_millis(1000));
    for m in b.mailbox("bob@dest.invalid").iter().chain(b.mailbox("jürgen@dest.invalid").iter()) { eprintln!("{}", String::from_utf8_lossy(m)); }
    eprintln!("{:?}", a.queue());
    eprintln!("{}", std::str::from_utf8(&instance::run(std::process::Command::new("find").arg(dir.path().join("b/mail"))).stdout).unwrap());
    panic!();
}
