//! Every key, every error.

use super::keys::{NETWORK_KEYS, NUMBERS};
use super::*;
use crate::directory::Params;
use std::time::Duration;

const FINGERPRINT: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

fn minimal() -> String {
    format!("node.name = \"kvara\"\nnode.onion = \"127.0.0.1:7000\"\ndirectory.trust = [\"{FINGERPRINT}\"]\n")
}

fn parse(text: &str, set: &[&str]) -> Result<Config, ConfigError> {
    let set: Vec<_> = set.iter().map(|&set| set.to_owned()).collect();
    Config::parse(&[("fog.toml".into(), text.into())], &set, Path::new("/etc/fog"))
}

/// The error, as a person sees it.
fn refused(text: &str, set: &[&str]) -> String {
    parse(text, set).unwrap_err().to_string()
}

#[test]
fn three_lines_are_a_configuration() {
    let config = parse(&minimal(), &[]).unwrap();
    assert_eq!(config.node.roles, Roles::default());
    assert_eq!(config.node.key, Path::new("/etc/fog/node.key"));
    assert_eq!(config.node.listen.to_string(), "127.0.0.1:9999");
    assert_eq!(config.node.submit_socket(), Path::new("/run/fog/submit.sock"));
    let entry = Entry {
        suffix: "fog".into(),
        max_size: None,
        give_up: Duration::from_secs(5 * 86_400),
        notify: vec![],
        receipts: true,
        rules: Rules::default(),
    };
    assert_eq!(config.entry, entry);
    assert_eq!(config.milter.listen, Listen::Unix("/var/spool/postfix/fog/milter.sock".into()));
    assert_eq!((config.milter.on_full_divert, config.milter.mixed), (FullDivert::Erase, Mixed::Split));
    assert_eq!(config.spool, Spool { path: "/var/lib/fog".into(), max: 1 << 30, reserve: 128 << 20 });
    assert_eq!(config.spool.document(), PathBuf::from("/var/lib/fog/directory"));
    assert_eq!(config.exit, None);
    assert_eq!(config.socks, Socks::Unix("/run/tor/socks".into()));
    let hour = Duration::from_secs(3600);
    assert_eq!(config.log, Log { level: Level::Notice, target: LogTarget::Auto, every: hour, round: 8 });
}

#[test]
fn links_come_in_at_a_port_or_at_a_socket_that_lies_by_the_configuration() {
    for (value, want) in [("[::1]:2", "[::1]:2"), ("unix:l", "unix:/etc/fog/l"), ("unix:/run/l", "unix:/run/l")] {
        let config = parse(&minimal(), &[&format!("node.listen={value}")]).unwrap();
        assert_eq!(config.node.listen.to_string(), want);
        assert!(config.show().contains(&("node.listen".into(), Some(format!("\"{want}\"")))), "{value}");
    }
}

#[test]
fn every_key_can_be_set() {
    let text = format!(
        "[node]\nname = \"kvara\"\nroles = [\"mix\", \"exit\"]\nonion = \"mix.example.org:1\"\nlisten = \"[::1]:2\"\n\
         key = \"k\"\ncontact = \"me\"\nfamily = \"us\"\nsockets = \"s\"\n[entry]\nsuffix = \".anon\"\nmax-size = \"1M\"\n\
         give-up = \"3d\"\nnotify = [\"example.org\", \"example.net\"]\nreceipts = \"no\"\n\
         rules = [\"fog if header X-Fog: yes\", \"leave if user a and network ::1\"]\n\
         [milter]\nlisten = \"inet:[::1]:8899\"\non-full-divert = \"discard\"\nmixed = \"reject\"\nnetworks = [\"10.0.0.0/8\"]\n\
         [exit]\ndeliver = \"smtp:127.0.0.1:10027\"\nfrom = \"Some Body <a@b.example>\"\nenvelope-from = \"<>\"\n\
         max-size = 5000\ndomains = [\"x.example\", \"a.example\"]\nnews = \"m-{{date}}@news.example\"\n\
         per-recipient = \"5/2h\"\nrate = \"none\"\nblock = \"b\"\ncomment = \"c\"\n\
         [directory]\ntrust = [\"{FINGERPRINT}\"]\nthreshold = 1\n[tor]\nsocks = \"127.0.0.1:9050\"\n[spool]\npath = \"/spool\"\nmax = \"2G\"\nreserve = \"1G\"\n\
         [log]\nlevel = \"info\"\ntarget = \"syslog:l\"\nevery = \"1d\"\nround = 16\n"
    );
    let config = parse(&text, &[]).unwrap();
    assert_eq!(config.node.roles, Roles { mix: true, exit: true, authority: false });
    assert_eq!(config.node.listen.to_string(), "[::1]:2");
    assert_eq!(config.node.key, Path::new("/etc/fog/k"));
    assert_eq!(config.node.exit_socket(), Path::new("/etc/fog/s/exit.sock"));
    assert_eq!((config.node.contact.as_deref(), config.node.family.as_deref()), (Some("me"), Some("us")));
    let rules = ["fog if header X-Fog: yes", "leave if user a and network ::1"].map(|text| Rule::parse(text).unwrap());
    let entry = Entry {
        suffix: "anon".into(),
        max_size: Some(1 << 20),
        give_up: Duration::from_secs(3 * 86_400),
        notify: vec!["example.org".into(), "example.net".into()],
        receipts: false,
        rules: Rules(rules.into()),
    };
    assert_eq!(config.entry, entry);
    let milter = Milter {
        listen: Listen::Inet("[::1]:8899".parse().unwrap()),
        on_full_divert: FullDivert::Discard,
        mixed: Mixed::Reject,
        networks: vec![Subnet::parse("10.0.0.0/8").unwrap()],
    };
    assert_eq!(config.milter, milter);
    let exit = config.exit.unwrap();
    assert_eq!(exit.deliver, Deliver::Smtp(Place::Tcp(NodeAddress::parse("127.0.0.1:10027").unwrap())));
    assert_eq!(exit.from.name, "Some Body");
    assert_eq!((exit.envelope_from, exit.max_size), (None, Some(5000)));
    assert_eq!(exit.domains, Domains::Only(vec!["a.example".into(), "x.example".into()]));
    assert_eq!(exit.news, [Gateway::parse("m-{date}@news.example").unwrap()]);
    assert_eq!(exit.per_recipient, Some(Rate { count: 5, per: Duration::from_secs(7200) }));
    assert_eq!((exit.rate, exit.comment.as_str()), (None, "c"));
    assert_eq!(config.block, Path::new("/etc/fog/b"));
    assert_eq!(config.spool, Spool { path: "/spool".into(), max: 2 << 30, reserve: 1 << 30 });
    assert_eq!(config.socks, Socks::Tcp("127.0.0.1:9050".parse().unwrap()));
    let (day, socket) = (Duration::from_secs(86_400), LogTarget::Syslog("/etc/fog/l".into()));
    assert_eq!(config.log, Log { level: Level::Info, target: socket, every: day, round: 16 });
}

#[test]
fn mail_goes_out_in_one_of_four_ways() {
    let tcp = |text: &str| Place::Tcp(NodeAddress::parse(text).unwrap());
    let base = Path::new("/etc/fog");
    for (text, want) in [
        ("smtp:mx.example.org:25", Some(Deliver::Smtp(tcp("mx.example.org:25")))),
        ("smtp:unix:/run/mta", Some(Deliver::Smtp(Place::Unix("/run/mta".into())))),
        ("lmtp:[::1]:24", Some(Deliver::Lmtp(tcp("[::1]:24")))),
        ("lmtp:unix:lmtp.sock", Some(Deliver::Lmtp(Place::Unix("/etc/fog/lmtp.sock".into())))),
        ("sendmail", Some(Deliver::Sendmail("/usr/sbin/sendmail".into()))),
        ("sendmail:/opt/mta/sendmail", Some(Deliver::Sendmail("/opt/mta/sendmail".into()))),
        ("maildir:mail", Some(Deliver::Maildir("/etc/fog/mail".into()))),
        ("smtp", None),
        ("smtp:", None),
        ("smtp:unix:", None),
        ("lmtp:", None),
        ("lmtp:localhost", None),
        ("unix:/run/mta", None),
        ("smtp:pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:25", None),
        ("sendmail:", None),
        ("uucp:host", None),
    ] {
        assert_eq!(deliver(text, base), want, "{text}");
    }
}

#[test]
fn an_exit_needs_to_know_where_to_and_from_whom() {
    let exit = format!("{}node.roles = [\"exit\"]\n", minimal());
    assert_eq!(refused(&exit, &[]), "fog.toml: `from` is missing in [exit]");
    assert_eq!(refused(&exit, &["exit.from=a@b.example"]), "fog.toml: `deliver` is missing in [exit]");
    let config = parse(&exit, &["exit.from=a@b.example", "exit.deliver=maildir:mail"]).unwrap();
    let exit = config.exit.unwrap();
    assert_eq!(exit.deliver, Deliver::Maildir("/etc/fog/mail".into()));
    assert_eq!((exit.from.name.as_str(), exit.envelope_from), ("Anonymous", Some(exit.from.address)));
    assert_eq!(exit.per_recipient, Some(Rate { count: 20, per: Duration::from_secs(86_400) }));
    assert_eq!(exit.rate, Some(Rate { count: 60, per: Duration::from_secs(60) }));
    assert_eq!((exit.news, exit.comment.as_str(), config.block), (vec![], "", PathBuf::from("/etc/fog/block")));
}

#[test]
fn what_is_shown_is_the_same_configuration_again() {
    let with_exit = format!("{}node.roles = [\"mix\", \"exit\"]\n", minimal());
    let exit = ["exit.from=Some Body <a@b.example>", "exit.deliver=lmtp:unix:l", "exit.envelope-from=<>"];
    let (all, _) = with("spool.max", "\"2G\"");
    for config in [
        parse(&minimal(), &[]).unwrap(),
        parse(&with_exit, &exit).unwrap(),
        parse(&with_exit, &[exit[0], "exit.deliver=sendmail", "log.target=syslog", "tor.socks=127.0.0.1:9050"])
            .unwrap(),
        parse(&all, &[]).unwrap(),
    ] {
        let lines = config.show().into_iter().filter_map(|(key, value)| Some(format!("{key} = {}\n", value?)));
        assert_eq!(parse(&lines.collect::<String>(), &[]), Ok(config));
    }
}

#[test]
fn the_defaults_are_those_of_a_file_that_sets_nothing_else() {
    let defaults = Config::defaults(Path::new("/etc/fog"));
    let config = parse(&minimal(), &[]).unwrap().show();
    assert_eq!(
        defaults.iter().map(|(key, _)| key).collect::<Vec<_>>(),
        config.iter().map(|(key, _)| key).collect::<Vec<_>>()
    );
    let differs: Vec<_> = config.iter().filter(|set| !defaults.contains(set)).map(|(key, _)| key.as_str()).collect();
    assert_eq!(differs, ["node.name", "node.onion", "directory.trust", "directory.threshold"]);
    // A key that shows nothing though it was set is missing in show.rs.
    let (all, _) = with("spool.max", "\"2G\"");
    let unseen: Vec<_> = parse(&all, &[]).unwrap().show().into_iter().filter(|(_, value)| value.is_none()).collect();
    assert_eq!(unseen, []);
}

#[test]
fn later_files_and_then_set_override() {
    let files = [("fog.toml", minimal()), ("conf.d/a.toml", "node.name = \"two\"\nspool.max = \"1M\"".into())];
    let files = files.map(|(name, text)| (name.to_owned(), text));
    let config = Config::parse(&files, &["node.name=three".into()], Path::new("/")).unwrap();
    assert_eq!((config.node.name.as_str(), config.spool.max), ("three", 1 << 20));
    let config = Config::parse(&files, &[], Path::new("/")).unwrap();
    assert_eq!(config.node.name, "two");
}

#[test]
fn an_error_has_file_line_and_column_the_line_and_a_hint() {
    for (text, want) in [
        (
            "[node]\nnmae = \"kvara\"",
            "fog.toml:2:1: there is no key `nmae` in [node]\n    nmae = \"kvara\"\n    did you mean `name`?",
        ),
        (
            "[node]\n  suffix = \"fog\"",
            "fog.toml:2:3: there is no key `suffix` in [node]\n      suffix = \"fog\"\n    `suffix` belongs in [entry]",
        ),
        (
            "[entry]\ncolour = 1",
            "fog.toml:2:1: there is no key `colour` in [entry]\n    colour = 1\n    [entry] has suffix, max-size, give-up, notify, receipts, rules",
        ),
        ("[nodes]", "fog.toml:1:2: there is no table [nodes]\n    [nodes]\n    did you mean [node]?"),
        (
            "suffix = \"fog\"",
            "fog.toml:1:1: there is no table [suffix]\n    suffix = \"fog\"\n    `suffix` is a key of [entry]",
        ),
        ("spool = 1", "fog.toml:1:1: `spool` is a table\n    spool = 1\n    [spool]"),
        (
            "[colours]",
            "fog.toml:1:2: there is no table [colours]\n    [colours]\n    there are node, entry, exit, tor, directory, milter, spool, log, stats",
        ),
        (
            "[spool]\nmax = \"2X\"",
            "fog.toml:2:7: spool.max can't be \"2X\"\n    max = \"2X\"\n    \
             wanted: a number of bytes such as 500M or 2G, at least 1M",
        ),
        (
            "[node]\nroles = [\"mix\",\n  \"exti\"]",
            "fog.toml:3:3: node.roles can't be \"exti\"\n      \"exti\"]\n    \
             wanted: a list of \"mix\", \"exit\" and \"authority\"; an empty one makes an entry only",
        ),
    ] {
        let trust = format!("directory.trust={FINGERPRINT}");
        let rest = ["node.name=kvara", "node.onion=127.0.0.1:7000", &trust];
        assert_eq!(refused(&format!("{text}\n"), &rest), want, "{text}");
    }
}

#[test]
fn a_mistake_at_the_end_of_a_line_is_in_the_line_however_it_ends() {
    for end in ["\n", "\r\n"] {
        let error = parse(&format!("[node]{end}'name{end}"), &[]).unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (2, "'name"), "{end:?}");
        assert!((1..=6).contains(&error.column), "{end:?}: {}", error.column);
    }
}

#[test]
fn what_is_no_toml_is_shown_where_it_stops_being_some() {
    let error = parse("[node]\nname = kvara\n", &[]).unwrap_err();
    assert_eq!((error.line, error.column, error.text.as_str()), (2, 8, "name = kvara"));
    assert!(!error.message.is_empty() && !error.message.contains('\n'), "{}", error.message);
    let error = parse("[node]\nname = \"a\"\nname = \"b\"\n", &[]).unwrap_err();
    assert_eq!((error.line, error.message.as_str()), (3, "duplicate key"));
}

#[test]
fn the_networks_keys_are_in_no_file() {
    let error = parse("[network]\nhops = 3\n", &[]).unwrap_err();
    assert!(error.hint.unwrap().contains("fog init --new-network --set network.KEY=VALUE"));
}

#[test]
fn delays_in_no_order_are_told_with_the_default_that_nobody_typed() {
    let error = network(&["network.min-delay=6h".into()], false).unwrap_err().to_string();
    assert!(
        error.contains("min-delay must be at most mean-delay") && error.contains("they are 6h, 3h and 1d"),
        "{error}"
    );
}

#[test]
fn missing_keys_name_their_table() {
    let lines = minimal();
    let lines: Vec<_> = lines.lines().collect();
    for (left_out, want) in [
        (0, "`name` is missing in [node]"),
        (1, "`onion` is missing in [node]"),
        (2, "`trust` is missing in [directory]"),
    ] {
        let mut lines = lines.clone();
        lines.remove(left_out);
        assert_eq!(refused(&lines.join("\n"), &[]), format!("fog.toml: {want}"));
    }
}

/// A key with a value it takes, and with some it doesn't: of the wrong kind of text, and out of range. What no key takes
/// is tried with each anyway.
struct Row {
    key: &'static str,
    good: &'static str,
    bad: &'static [&'static str],
}

const fn row(key: &'static str, good: &'static str, bad: &'static [&'static str]) -> Row {
    Row { key, good, bad }
}

const ROWS: [Row; 41] = [
    row("node.name", "\"kvara-2\"", &["\"\"", "\"Kvara\"", "\"a b\"", "\"123456789012345678901234567890123\""]),
    row("node.roles", "[\"mix\", \"exit\", \"authority\"]", &["\"guard\"", "\"mix exit\""]),
    row(
        "node.onion",
        "\"mix.example.org:1\"",
        &["\"\"", "\"kvara.onion:1\"", "\"127.0.0.1\"", "\"a:0\"", "\"a:65536\""],
    ),
    row(
        "node.listen",
        "\"[::1]:2\"",
        &["\"localhost:1\"", "\"127.0.0.1\"", "\"127.0.0.1:0\"", "\"127.0.0.1:65536\"", "\"unix:\"", "\"/run/x\""],
    ),
    row("node.key", "\"k\"", &["\"\"", "\"a\\u0000\""]),
    row("node.contact", "\"me\"", &["\"\\n\"", "\"ich und Du: \\u00fc\""]),
    row("node.family", "\"us\"", &["\"\"", "\"Us\"", "\"123456789012345678901234567890123\""]),
    row("node.sockets", "\"s\"", &["\"\"", "\"a\\u007f\""]),
    row("entry.suffix", "\".anon\"", &["\"\"", "\"-\"", "\"Fog\""]),
    row("entry.max-size", "\"1M\"", &["\"\"", "\"-1\"", "\"1T\"", "\"1023\"", "\"99999999999999999999\""]),
    row("entry.give-up", "\"12h\"", &["\"59m\"", "\"5\"", "\"\""]),
    row("entry.notify", "[\"example.org\"]", &["[\"Example\"]", "[\"a b\"]", "[1]"]),
    row("entry.receipts", "\"no\"", &["\"off\"", "\"\"", "true"]),
    row(
        "entry.rules",
        "[\"fog if header X-Fog: yes\", \"leave if user a and network ::1\"]",
        &["\"fog\"", "\"drop if user a\"", "[\"fog if network 10.0.0.0/33\"]"],
    ),
    row("exit.deliver", "\"smtp:127.0.0.1:25\"", &["\"127.0.0.1:25\"", "\"maildir:\"", "\"smtp:a:0\""]),
    row(
        "exit.from",
        "\"Some Body <a@b.example>\"",
        &["\"Some Body\"", "\"<a@b.example>\"", "\"a <a@b.example> b\"", "'\"Some\" <a@b.example>'"],
    ),
    row("exit.envelope-from", "\"<>\"", &["\"\"", "\"none\""]),
    row("exit.max-size", "5000", &["\"\"", "\"5k\"", "500", "-5000"]),
    row("exit.domains", "[\"x.example\", \"a.example\"]", &["[]", "\"\"", "\"X.example\""]),
    row(
        "exit.news",
        "[\"mail2news@example.org\", \"m-{date}-{groups}@example.org\"]",
        &["\"mail2news\"", "\"m@{groups}.example.org\"", "[\"m-{day}@example.org\"]"],
    ),
    row("exit.per-recipient", "\"5/2h\"", &["\"\"", "\"5\"", "\"0/1d\"", "\"5/0s\"", "\"5/day\"", "\"None\""]),
    row("exit.rate", "\"none\"", &["\"\"", "\"60\"", "\"0/1m\"", "\"/1m\""]),
    row("exit.block", "\"opt-out\"", &["\"\"", "\"a\\u0000\""]),
    row("exit.comment", "\"Sent by nobody in particular.\"", &["\"a\\nb\"", "\"\\u001b[2J\""]),
    row(
        "tor.socks",
        "\"unix:/run/tor/socks\"",
        &["\"unix:\"", "\"localhost:9050\"", "\"127.0.0.1\"", "\"127.0.0.1:0\""],
    ),
    row("directory.trust", FINGERPRINTS, &["[]", "\"0a\"", "\"kvara\""]),
    row("directory.threshold", "2", &["\"two\"", "0", "1", "3", "-1"]),
    row("directory.sources", SOURCES, &["\"kvara\"", "\"mix.example.org:1\"", "\"AQE=@mix.example.org:1\""]),
    row("directory.admit", "\"entries\"", &["\"\"", "\"all\"", "true"]),
    row(
        "milter.listen",
        "\"inet:127.0.0.1:8899\"",
        &["\"\"", "\"unix:\"", "\"inet:8899\"", "\"inet:192.0.2.1:8899\"", "\"inet:[::1]:0\""],
    ),
    row("milter.on-full-divert", "\"discard\"", &["\"\"", "\"Erase\""]),
    row("milter.mixed", "\"reject\"", &["\"\"", "\"no\""]),
    row("milter.networks", "[\"10.0.0.0/8\", \"::1\"]", &["\"ten\"", "[\"10.0.0.0/33\"]"]),
    row("spool.path", "\"/spool\"", &["\"\"", "\"/a\\tb\""]),
    row("spool.max", "\"2G\"", &["\"2X\"", "\"1T\"", "0", "1048575"]),
    row("spool.reserve", "\"1G\"", &["\"2X\"", "\"63M\"", "0"]),
    row("log.level", "\"warning\"", &["\"\"", "\"debug\"", "\"Info\""]),
    row("log.target", "\"syslog:/dev/log\"", &["\"\"", "\"syslog:\"", "\"stdout\"", "\"unix:/dev/log\""]),
    row("log.every", "\"10m\"", &["\"9m\"", "\"599s\"", "\"8d\"", "\"1\""]),
    row("log.round", "8", &["7", "0", "-8", "\"many\"", "1048577"]),
    row("stats.publish", "\"/www\"", &["\"\"", "\"/a\\tb\""]),
];

/// TOML that stands for nothing any key takes.
const NO_VALUES: [&str; 7] = ["true", "1.5", "2026-11-22", "{ a = \"b\" }", "[[\"a\"]]", "[true]", "[1]"];

const FINGERPRINTS: &str = "[\"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\", \
                            \"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\"]";

const SOURCES: &str = "[\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=@mix.example.org:1\"]";

fn all_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().flat_map(|(table, keys)| keys.iter().map(|key| (*table, *key)))
}

/// A configuration in which `changed` has another value; and the line that value is on, from 1.
fn with(changed: &str, value: &str) -> (String, usize) {
    let lines: Vec<_> =
        ROWS.iter().map(|row| format!("{} = {}", row.key, if row.key == changed { value } else { row.good })).collect();
    let line = ROWS.iter().position(|row| row.key == changed).unwrap() + 1;
    (lines.join("\n"), line)
}

#[test]
fn every_key_has_a_row_and_takes_its_good_value() {
    let known: Vec<_> = all_keys().map(|(table, key)| format!("{table}.{key}")).collect();
    assert_eq!(ROWS.map(|row| row.key).to_vec(), known);
    for number in NUMBERS {
        assert!(known.contains(&number.to_owned()));
    }
    assert_eq!(parse(&with("spool.max", "\"2G\"").0, &[]).map_err(|error| error.to_string()).err(), None);
}

#[test]
fn every_key_says_where_its_value_is_wrong_what_was_found_and_what_was_wanted() {
    for Row { key, bad, .. } in ROWS {
        let number = (!NUMBERS.contains(&key)).then_some("7");
        for value in NO_VALUES.iter().chain(bad).copied().chain(number) {
            let (text, line) = with(key, value);
            let error = parse(&text, &[]).unwrap_err();
            // The first item of a list that is none itself is what is wrong.
            let is_list = value.starts_with('[')
                && value != "[]"
                && [
                    "node.roles",
                    "entry.notify",
                    "entry.rules",
                    "exit.domains",
                    "exit.news",
                    "directory.trust",
                    "directory.sources",
                    "milter.networks",
                ]
                .contains(&key);
            let (at, found) = if is_list { (1, &value[1..value.len() - 1]) } else { (0, value) };
            let column = key.len() + " = ".len() + at + 1;
            assert_eq!(error.headline(), format!("fog.toml:{line}:{column}: {key} can't be {found}"));
            assert_eq!(error.text, format!("{key} = {value}"));
            assert!(error.hint.as_ref().is_some_and(|hint| hint.starts_with("wanted: ")), "{error}");
        }
    }
}

#[test]
fn every_key_says_the_same_of_what_was_set_on_the_command_line() {
    let (base, _) = with("spool.max", "\"2G\"");
    for (table, key) in all_keys() {
        // No host name, no path, no list of anything.
        let set = format!("{table}.{key}=\u{7f}, \u{7f}");
        let error = parse(&base, &[&set]).unwrap_err();
        assert_eq!(error.headline(), format!("--set: {table}.{key} can't be \"\\u{{7f}}, \\u{{7f}}\""));
        assert!(error.text == set && error.hint.is_some_and(|hint| hint.starts_with("wanted: ")));
    }
}

#[test]
fn every_slip_of_the_pen_is_told_what_was_meant() {
    for (table, key) in all_keys() {
        let swapped = format!("{}{}{}", &key[1..2], &key[..1], &key[2..]);
        for slip in [swapped, key[..key.len() - 1].to_owned(), format!("{key}s"), key.replace('-', "_")] {
            if slip == key {
                continue;
            }
            let error = parse(&format!("[{table}]\n  {slip} = 1"), &[]).unwrap_err();
            assert_eq!(error.headline(), format!("fog.toml:2:3: there is no key `{slip}` in [{table}]"));
            assert_eq!(error.text, format!("  {slip} = 1"));
            assert_eq!(error.hint, Some(format!("did you mean `{key}`?")));
        }
    }
}

#[test]
fn what_is_wrong_in_a_role_that_is_not_played_is_wrong_all_the_same() {
    assert!(parse(&minimal(), &["exit.max-size=5K"]).is_ok());
    assert_eq!(parse(&minimal(), &["exit.max-size=5X"]).unwrap_err().message, "exit.max-size can't be \"5X\"");
}

#[test]
fn a_long_value_is_shown_in_part() {
    let long = "a".repeat(5000);
    let shown = parse(&minimal(), &[&format!("node.name={long}")]).unwrap_err().message;
    assert_eq!(shown, format!("node.name can't be \"{}\"...", "a".repeat(60)));
    let shown = parse(&format!("node.roles = \"\"\"mix\nfix\"\"\"\n{}", minimal()), &[]).unwrap_err().headline();
    assert_eq!(shown, "fog.toml:1:14: node.roles can't be \"\"\"mix...");
}

#[test]
fn a_threshold_that_liars_could_get_round_says_what_is_possible() {
    let trust = (0..4).map(|n| format!("{n:064}")).collect::<Vec<_>>().join(",");
    let trust = format!("directory.trust={trust}");
    assert!(parse(&minimal(), &[&trust, "directory.threshold=3"]).is_ok());
    let error = parse(&minimal(), &[&trust, "directory.threshold=2"]).unwrap_err();
    let hint = "wanted: 3 to 4 of the 4 in trust, or lying authorities could get round it";
    assert_eq!(error.hint.as_deref(), Some(hint));
    let error = parse(&minimal(), &["directory.threshold=2"]).unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("wanted: 1: there is 1 fingerprint in trust"));
}

#[test]
fn more_sources_than_anybody_asks_are_refused() {
    let source = SOURCES.trim_matches(['[', ']', '"']);
    let sources = |n| format!("directory.sources={}", vec![source; n].join(","));
    assert_eq!(parse(&minimal(), &[&sources(16)]).unwrap().sources, vec![Source::parse(source).unwrap(); 16]);
    assert_eq!(parse(&minimal(), &[]).unwrap().sources, []);
    let error = parse(&minimal(), &[&sources(17)]).unwrap_err();
    assert!(error.hint.is_some_and(|hint| hint.starts_with("wanted: a list of at most 16 nodes")));
}

#[test]
fn a_set_that_is_none_is_refused() {
    for set in ["", "spool.max", "max=1M", "spool.maxx=1M", "="] {
        let error = parse(&minimal(), &[set]).unwrap_err();
        assert!(error.file == "--set" && error.hint.is_some(), "{set}");
    }
}

#[test]
fn a_network_is_founded_on_the_defaults_and_what_is_set() {
    let sets = ["network.epoch=12h", "spool.max=1M", "network.tick=250ms", "network.hops=2"];
    let (params, rest) = network(&sets.map(str::to_owned), false).unwrap();
    assert_eq!(params.tick, Duration::from_millis(250));
    assert_eq!((params.hops, params.epoch), (2, Duration::from_secs(12 * 3600)));
    assert_eq!(params.mean_delay, Params::default().mean_delay);
    assert_eq!(rest, ["spool.max=1M"]);
    for (set, founder, want) in
        [(None, false, false), (None, true, true), (Some(false), true, false), (Some(true), false, true)]
    {
        let sets: Vec<_> = set.iter().map(|set| format!("network.only-onions={set}")).collect();
        assert_eq!(network(&sets, founder).unwrap().0.only_onions, want, "{set:?}, {founder}");
    }
}

#[test]
fn parameters_that_make_no_network_are_refused_with_their_rule() {
    let error = network(&["network.hops=5".into()], false).unwrap_err();
    assert_eq!(error.message, "hops must be 1, 2, 3 or 4");
    assert_eq!(error.hint.as_deref(), Some("what was set: network.hops=5"));
    for (table, keys) in NETWORK_KEYS {
        for key in keys {
            let error = network(&[format!("{table}.{key}=\u{7f}")], false).unwrap_err();
            assert_eq!(error.message, format!("{table}.{key} can't be \"\\u{{7f}}\""));
        }
    }
    let error = network(&["network.hopps=5".into()], false).unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean `hops`?"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*\n?\\PC*", set in "\\PC*") {
        let _ = parse(&text, &[&set]);
    }
}
