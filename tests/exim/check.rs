//! `fog check` and `fog check leaks` on what a real Exim says of itself and leaves behind.

use crate::Site;
use crate::instance::Layout;
use std::fs;

/// What is found, asked as root on the entry's machine: how it ends, and of each its state and sentence.
fn found(site: &Site, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
    let config = site.network.config(0);
    let fog = [site.network.fog().to_str().unwrap(), "--config", config.to_str().unwrap(), "--json", "check"];
    let output = site.here.inside(&[&fog, arguments, &["--postfix", "/nonexistent"]].concat()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let found = found.filter(|finding| ["exim", "leaks"].contains(&finding["about"].as_str().unwrap()));
    let word = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let found = found.map(|finding| (word(&finding, "state"), word(&finding, "says"))).collect();
    (output.status.code().unwrap(), found)
}

#[test]
fn what_setup_leaves_is_good_each_broken_thing_has_its_sentence_and_leaks_are_found() {
    let Some(dir) = crate::scratch() else { return };
    let mut site = Site::start_as_set_up(dir.path(), &[], Layout::Split);
    let (_, whole) = found(&site, &[]);
    assert!(whole.len() == 2 && whole.iter().all(|(state, _)| state == "ok"), "{whole:#?}");

    let (code, leaks) = found(&site, &["leaks", "--yes"]);
    assert!(code == 0 && leaks.iter().all(|(state, _)| state != "wrong"), "{leaks:#?}");
    let log = leaks.iter().find(|(_, says)| says.contains("/var/log/exim4/mainlog has sender, Message-ID: "));
    assert!(log.is_some_and(|(state, says)| state == "careful" && says.contains("not to whom")), "{leaks:#?}");
    assert_eq!(site.here.queue(), "");

    let etc = site.here.etc();
    let (macros, transport) = (etc.join("conf.d/main/000_localmacros"), etc.join("conf.d/transport/30_fog"));
    let router = etc.join("conf.d/router/170_all");
    let kept = [&macros, &transport].map(|path| fs::read_to_string(path).unwrap());
    let generate = |site: &Site| crate::run(&mut site.here.inside(&["update-exim4.conf"]));
    for (path, text, says) in [
        (&router, "all:\n  driver = accept\n  transport = remote_smtp\n".to_owned(), "in front of fog's"),
        (
            &macros,
            format!("{}MAIN_LOG_SELECTOR = +received_recipients\n", kept[0]),
            "log_selector has +received_recipients",
        ),
        (&macros, format!("{}MAIN_RELAY_TO_DOMAINS = *.fog\n", kept[0]), "relay_to_domains has .fog"),
        (&transport, kept[1].replace("  use_bsmtp\n", ""), "has no use_bsmtp"),
        (&transport, kept[1].replace("  disable_logging\n", ""), "transport has no disable_logging"),
    ] {
        fs::write(path, text).unwrap();
        generate(&site);
        let (code, broken) = found(&site, &[]);
        assert_eq!(code, 78);
        assert!(broken.iter().any(|(state, said)| state == "wrong" && said.contains(says)), "{says}: {broken:#?}");
        fs::write(&macros, &kept[0]).unwrap();
        fs::write(&transport, &kept[1]).unwrap();
        let _ = fs::remove_file(&router);
    }

    // A log that names whom mail is for.
    site.here.stop();
    fs::write(&macros, format!("{}MAIN_LOG_SELECTOR = +received_recipients\n", kept[0])).unwrap();
    site.here.start();
    let (code, leaks) = found(&site, &["leaks", "--yes"]);
    let log = leaks.iter().find(|(state, says)| state == "wrong" && says.contains("mainlog has sender, recipient"));
    assert!(code == 78 && log.is_some_and(|(_, says)| says.contains("who wrote to whom")), "{leaks:#?}");
}
