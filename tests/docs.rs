//! The documents tell the truth about what can be typed, configured and read: each verb, option, key, exit code and log
//! event has its place in `man/` and nothing else has, and what the documents point at is there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The page of each verb.
const PAGES: [(&str, &str); 19] = [
    ("demo", "fog-demo.1"),
    ("simulate", "fog-simulate.1"),
    ("init", "fog-directory.8"),
    ("setup", "fog-setup.8"),
    ("send", "fog-send.1"),
    ("node-info", "fog-directory.8"),
    ("keys", "fog-status.8"),
    ("directory", "fog-directory.8"),
    ("block", "fog-block.8"),
    ("check", "fog-check.8"),
    ("node", "fog-node.8"),
    ("exit", "fog-node.8"),
    ("status", "fog-status.8"),
    ("route", "fog-stats.8"),
    ("stats", "fog-stats.8"),
    ("ping", "fog-stats.8"),
    ("queue", "fog-status.8"),
    ("config", "fog-status.8"),
    ("milter", "fog-milter.8"),
];

#[test]
fn every_verb_has_a_page_and_a_line_in_the_overview() {
    let overview = items(&page("fog.8"));
    let command = fog::cli::command();
    for verb in command.get_subcommands().map(clap::Command::get_name) {
        assert!(overview.contains(verb), "fog.8 has no item {verb}");
        assert!(page_of(verb).contains(&format!("\n.Nm \"fog {verb}")), "the page of {verb} does not name it");
    }
    let verbs: BTreeSet<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(verbs, PAGES.map(|(verb, _)| verb).into(), "PAGES in this file");
    for verb in command.get_subcommands() {
        let items = items(&page_of(verb.get_name()));
        for sub in verb.get_subcommands() {
            assert!(items.contains(sub.get_name()), "{} {}", verb.get_name(), sub.get_name());
        }
    }
}

#[test]
fn every_option_is_in_its_page_and_pages_have_no_others() {
    let mut command = fog::cli::command();
    command.build();
    let global = options(&command);
    assert_eq!(flags(&page("fog.8"), Where::Items), global, "fog.8");
    let mut wanted: BTreeSet<(&str, String)> = BTreeSet::new();
    for verb in command.get_subcommands() {
        let name = PAGES.iter().find(|(known, _)| *known == verb.get_name()).unwrap().1;
        let subs = verb.get_subcommands().flat_map(options);
        wanted.extend(options(verb).into_iter().chain(subs).filter(|f| !global.contains(f)).map(|f| (name, f)));
    }
    for name in PAGES.map(|(_, name)| name).into_iter().collect::<BTreeSet<_>>() {
        let of_page = wanted.iter().filter(|(page, _)| *page == name).map(|(_, flag)| flag.clone());
        let of_page: BTreeSet<String> = of_page.collect();
        let text = page(name);
        let described = flags(&text, Where::Items);
        let missing: Vec<_> = of_page.difference(&described).collect();
        assert!(missing.is_empty(), "{name} does not describe {missing:?}");
        let mut unknown = flags(&text, Where::Anywhere);
        unknown.retain(|flag| !of_page.contains(flag) && !global.contains(flag));
        assert!(unknown.is_empty(), "{name}: there is no option {unknown:?}");
    }
}

#[test]
fn every_key_of_the_configuration_is_in_its_table() {
    let known = keys();
    let mut described = BTreeSet::new();
    for section in page("fog.toml.5").split("\n.Ss [").skip(1) {
        let (table, rest) = section.split_once(']').unwrap();
        let rest = rest.split("\n.Sh ").next().unwrap();
        described.extend(items(rest).into_iter().map(|key| format!("{table}.{key}")));
    }
    assert_eq!(described, known);
}

#[test]
fn every_exit_code_is_in_the_table_of_fog_8() {
    let source = read("src/sys/exit_code.rs");
    let source = source.split("pub enum ExitCode").nth(1).unwrap().split("\n}").next().unwrap().to_owned();
    let known: BTreeSet<&str> =
        source.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")).map(|(_, n)| n).collect();
    assert!(known.contains("0") && known.contains("78"), "the enum was not understood");
    let text = page("fog.8");
    let status = text.split("\n.Sh EXIT STATUS").nth(1).unwrap().split("\n.Sh ").next().unwrap();
    let described: BTreeSet<&str> = status.lines().filter_map(|line| line.strip_prefix(".It ")).collect();
    assert_eq!(described, known);
}

#[test]
fn every_line_of_the_log_is_in_fog_log_7() {
    let source = read("src/sys/log.rs");
    let events = source.split("impl Event<'_>").nth(1).unwrap();
    let words = events.split("fn word(").nth(1).unwrap().split("\n    }").next().unwrap();
    let known: BTreeSet<String> = quoted(words).into_iter().map(|(word, _)| word.to_owned()).collect();
    assert!(known.contains("link-down"), "the enum was not understood");
    let text = page("fog-log.7");
    let reasons = read("src/sys/tor_failure.rs");
    let reasons = reasons.split("fn word(").nth(1).unwrap();
    let reasons: BTreeSet<String> = quoted(reasons).into_iter().map(|(word, _)| word.to_owned()).collect();
    assert!(reasons.contains("no-descriptor"), "the reasons were not understood");
    let table = text.split(".Ss Why Tor fails").nth(1).unwrap().split("\n.Ss ").next().unwrap();
    let described: BTreeSet<String> =
        table.lines().filter_map(|line| line.strip_prefix(".It Cm ")).map(str::to_owned).collect();
    assert_eq!(described, reasons);
    let (node, exit) = text.split_once(".Ss fog exit").unwrap();
    let dangers = source.split("enum Danger").nth(1).unwrap().split("fn word(").nth(1).unwrap();
    for (danger, _) in quoted(dangers.split("\n    }").next().unwrap()) {
        assert!(node.split_whitespace().any(|word| word == danger), "fog-log.7 has no {danger}");
    }
    let faults = read("src/sys/directory_fault.rs");
    for (fault, _) in quoted(faults.split("fn word(").nth(1).unwrap().split("\n    }").next().unwrap()) {
        assert!(node.split_whitespace().any(|word| word == fault), "fog-log.7 has no {fault}");
    }
    assert_eq!(items(node), known);
    let said = items(exit);
    assert!(said.contains("mta-down") && said.is_subset(&known), "fog exit says {said:?}");
}

#[test]
fn every_page_has_examples_and_refers_to_pages_that_are_there() {
    for path in files().iter().filter(|path| path.starts_with("man")) {
        let (name, text) = (path.file_name().unwrap().to_str().unwrap(), read(path));
        assert!(text.contains("\n.Sh EXAMPLES\n"), "{name} has no examples");
        for line in text.lines().filter_map(|line| line.strip_prefix(".Xr fog")) {
            let mut words = line.split(' ');
            let (stem, section) = (words.next().unwrap(), words.next().unwrap());
            assert!(root().join(format!("man/fog{stem}.{section}")).exists(), "{name}: fog{stem}({section})");
        }
    }
    for path in documents() {
        for reference in pages_named(&read(&path)) {
            assert!(root().join("man").join(&reference).exists(), "{}: {reference}", path.display());
        }
    }
}

#[test]
fn links_lead_to_files_that_are_there() {
    let mut seen = 0;
    for path in documents() {
        for target in read(&path).split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            seen += 1;
            let found = root().join(&path).with_file_name(target).exists();
            assert!(found, "{} links to {target}", path.display());
        }
    }
    assert!(seen > 10, "links were not understood");
}

#[test]
fn commands_and_paths_in_the_documents_are_there() {
    let makefile = read("Makefile");
    let keys = keys();
    let (mut seen, mut slips) = (0, Vec::new());
    for path in documents().into_iter().chain(pages()) {
        let text = read(&path);
        let is_page = path.starts_with("man");
        for code in if is_page { code_of_page(&text) } else { code(&text) } {
            for command in commands(&code) {
                seen += 1;
                slips.extend(slip(&command, &keys).map(|slip| format!("{}: {slip} in {command:?}", path.display())));
            }
            let words: Vec<&str> = code.split_whitespace().collect();
            match words.as_slice() {
                ["make", target, ..] => {
                    assert!(makefile.contains(&format!("\n{target}:")), "{}: {code}", path.display());
                }
                [word, ..] if !is_page && is_path(word) => {
                    let found = root().join(word).exists() || root().join(&path).with_file_name(word).exists();
                    assert!(found, "{}: {word}", path.display());
                }
                _ => {}
            }
        }
    }
    assert!(slips.is_empty(), "{slips:#?}");
    assert!(seen > 100, "only {seen} commands were understood");
}

#[test]
fn a_slip_in_a_command_is_seen_wherever_it_stands() {
    for line in [
        "fog frobnicate now",
        "echo x | fog block ad",
        "fog -c a/fog.toml directory sing",
        "for n in a b; do fog -c $n/fog.toml node --frob; done",
        "fog setup postfix && fog setup postfix --aply",
        "fog init --new-network --set network.mindelay=1h",
        "setpriv --reuid fog --regid fog --init-groups fog nod",
    ] {
        let slips: Vec<_> = commands(line).iter().filter_map(|command| slip(command, &keys())).collect();
        assert_eq!(slips.len(), 1, "{line}: {slips:?}");
    }
    for line in
        ["adduser fog debian-tor", "install -o fog -g fog x", "fog send -t < letter --frob", "fog init ... --from x"]
    {
        assert!(commands(line).iter().all(|command| slip(command, &keys()).is_none()), "{line}");
    }
}

#[test]
fn nothing_names_a_registry_host_or_leaves_work_for_later() {
    // In pieces, so that this file does not name them.
    let hosts = ["crates", "index.crates", "static.crates"].map(|name| format!("{name}.io"));
    let notes = ["TO", "FIX", "XX"].into_iter().zip(["DO", "ME", "X"]).map(|(a, b)| format!("{a}{b}"));
    let notes: Vec<String> = notes.collect();
    for path in files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        // Cargo writes the registry's name into its lock files.
        let is_ours = path.file_name() != Some("Cargo.lock".as_ref());
        for host in hosts.iter().filter(|_| is_ours) {
            assert!(!text.contains(host.as_str()), "{} names {host}", path.display());
        }
        for note in notes.iter().filter(|_| path.starts_with("src")) {
            assert!(!text.split(|c: char| !c.is_alphanumeric()).any(|word| word == note), "{}: {note}", path.display());
        }
    }
}

/// What in a command line this program does not know. What is left out, or a placeholder, is no slip.
fn slip(command: &[String], keys: &BTreeSet<String>) -> Option<String> {
    // A document may say `fog VERB`, a service of master.cf, and what the earlier program took.
    if command.get(1).is_some_and(|verb| ["VERB", "unix", "-name"].contains(&verb.as_str())) {
        return None;
    }
    for set in command.windows(2).filter(|pair| pair[0] == "--set") {
        let key = set[1].split('=').next().unwrap();
        if !keys.contains(key) && !key.contains(char::is_uppercase) {
            return Some(format!("no key {key}"));
        }
    }
    let error = fog::cli::command().try_get_matches_from(command).err()?;
    use clap::error::ErrorKind::{ArgumentConflict, InvalidSubcommand, TooManyValues, UnknownArgument};
    let is_slip = [ArgumentConflict, InvalidSubcommand, TooManyValues, UnknownArgument].contains(&error.kind());
    is_slip.then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

/// The command lines of fog in a piece of code, in words, up to where they leave something out, or give it to somebody.
fn commands(code: &str) -> Vec<Vec<String>> {
    // What a command line can stand behind.
    let openers = ["|", "||", "&&", "&", ";", "do", "$", "#", "--init-groups", "--clear-groups"];
    let ends = ["|", "||", "&&", "&", ";", "<", ">", ">>", "<<END", "..."];
    let mut words = words(code);
    // In front it is root's prompt, and else a comment begins there.
    let comment = words.iter().skip(1).position(|word| word.starts_with('#'));
    words.truncate(comment.map_or(words.len(), |at| at + 1));
    let begins = |at: &usize| words[*at] == "fog" && (*at == 0 || openers.contains(&words[at - 1].as_str()));
    let from = |at: usize| {
        words[at..].iter().take_while(|word| word.is_ascii() && !ends.contains(&word.as_str())).cloned().collect()
    };
    (0..words.len()).filter(begins).map(from).collect()
}

/// The words of a command line as a shell takes them apart, near enough.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ';') => words.extend([";".to_owned(), String::new()]),
            (None, _) if c.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Every key, `table.key`.
fn keys() -> BTreeSet<String> {
    let source = read("src/config/keys.rs");
    let tables = source.split("const KEYS:").nth(1).unwrap().split("const NUMBERS").next().unwrap();
    let mut known = BTreeSet::new();
    let mut table = "";
    for (word, begins_table) in quoted(tables) {
        if begins_table {
            table = word;
        } else {
            known.insert(format!("{table}.{word}"));
        }
    }
    assert!(known.contains("spool.max") && known.contains("network.demo"), "the tables were not understood");
    known
}

/// Whether a word in code is the path of a file of this repository.
fn is_path(word: &str) -> bool {
    ["src/", "tests/", "docs/", "man/", "postfix/", "exim/", ".ci/"]
        .iter()
        .any(|dir| word.starts_with(dir) && word.len() > dir.len())
        && !word.contains(['*', '<', '('])
}

/// What stands between backticks or is indented by four, a piece each; a line that goes on is one with the next.
fn code(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let indented = text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned);
    let ticked = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned);
    indented.chain(ticked).collect()
}

/// What a page shows as typed: `.Dl`, `.Ql`, and blocks of literal text.
fn code_of_page(text: &str) -> Vec<String> {
    let text = text.replace("\\e\n", " ").replace("\\(dq", "\"");
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            (".Bd", kind) => in_block = kind.starts_with("-literal"),
            (".Ed", _) => in_block = false,
            (".Dl" | ".Ql", code) => found.push(code.trim_end_matches([' ', '.', ',', ':', ')']).to_owned()),
            _ if in_block => found.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

/// `fog-node.8` for each `fog-node(8)` in a text.
fn pages_named(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || "`[],;:\"".contains(c));
    let named = words.filter_map(|word| word.strip_suffix('.').unwrap_or(word).strip_suffix(')')?.split_once('('));
    let ours = named.filter(|(name, section)| name.starts_with("fog") && section.len() == 1);
    ours.map(|(name, section)| format!("{name}.{section}")).collect()
}

/// `-x` and `--long` of every option of `command`.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_positional());
    shown
        .flat_map(|arg| [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))])
        .flatten()
        .filter(|flag| flag != "-h" && flag != "--help" && flag != "-V" && flag != "--version")
        .collect()
}

#[derive(PartialEq, Clone, Copy)]
enum Where {
    Items,
    Anywhere,
}

/// The options of a page (`Fl`), but those of fog itself that every program has.
fn flags(page: &str, place: Where) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with(if place == Where::Items { ".It " } else { "." })) {
        let mut words = line.split_whitespace().skip_while(|word| !word.ends_with("Fl"));
        while let Some(word) = words.next() {
            if (word == "Fl" || word == ".Fl")
                && let Some(flag) = words.next()
            {
                found.insert(format!("-{flag}"));
            }
        }
    }
    // `Fl jqv` is three of them.
    let bundle: Vec<String> = found.iter().filter(|flag| !flag.starts_with("--") && flag.len() > 2).cloned().collect();
    for flags in bundle {
        found.remove(&flags);
        found.extend(flags.chars().skip(1).map(|c| format!("-{c}")));
    }
    for own in ["-h", "--help", "-V", "--version"] {
        found.remove(own);
    }
    found
}

/// The items of lists in a page whose head is an `Ic`.
fn items(page: &str) -> BTreeSet<String> {
    let heads = page.lines().filter_map(|line| line.strip_prefix(".It Ic "));
    heads.map(|head| head.split_whitespace().next().unwrap().to_owned()).collect()
}

/// Every string literal in `source`, and whether it begins a tuple.
fn quoted(source: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once('"') {
        let (word, after) = after.split_once('"').unwrap();
        found.push((word, before.trim_end().ends_with('(')));
        rest = after;
    }
    found
}

fn page_of(verb: &str) -> String {
    page(PAGES.iter().find(|(known, _)| *known == verb).expect(verb).1)
}

fn page(name: &str) -> String {
    read(Path::new("man").join(name))
}

/// The manual pages, by path.
fn pages() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.starts_with("man")).collect()
}

/// The documents for people, by path.
fn documents() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// Every file of the repository, by path from its root.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match (path.is_dir(), path.file_name().unwrap().to_str()) {
                (_, Some(".git" | "target")) => {}
                (true, _) => dirs.push(path),
                (false, _) => found.push(path.strip_prefix(root()).unwrap().to_owned()),
            }
        }
    }
    assert!(found.len() > 50, "only {} files", found.len());
    found.sort();
    found
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    let text = fs::read_to_string(&path);
    assert!(text.is_ok(), "{} can't be read", path.display());
    text.unwrap_or_default()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
