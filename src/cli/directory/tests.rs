//! Networks made by hand, step by step.

use super::super::init::tests::{args, at_day, joining, set_up};
use super::super::init::{Args, Done, init};
use super::super::keys;
use super::super::node_info;
use super::admitting::{add, register, remove};
use super::show::show;
use super::signing::{sign, signed, stale_nodes};
use super::*;
use crate::cli::global::tests::in_dir;
use crate::cli::node_info::draft;
use crate::directory::{Candidate, Contents, Descriptor, IdentityKey, Register, Signed};
use crate::id::Epoch;
use crate::node::authority::desk::Desk;
use crate::secret::Secret;
use crate::sys::key_file::NodeKey;
use std::fs;
use tempfile::TempDir;

const DAY: u64 = 20_000;

struct Node {
    dir: TempDir,
    done: Done,
}

impl Node {
    fn founded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let done = set_up(&args(dir.path(), "kvara", 7001), DAY).unwrap();
        Self { dir, done }
    }

    fn joined(&self, name: &str, port: u16, document: PathBuf) -> Self {
        self.joined_as(name, port, document, "mix")
    }

    fn joined_as(&self, name: &str, port: u16, document: PathBuf, roles: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args = joining(dir.path(), name, port, document, self.done.authority());
        let done = set_up(&Args { roles: Some(roles.into()), ..args }, DAY).unwrap();
        Self { dir, done }
    }

    fn config(&self) -> &Config {
        self.done.config()
    }

    fn add(&self, path: &Path, day: u64) -> Result<Told, CliError> {
        add(&[path.display().to_string()], false, self.config(), at_day(day), self.done.global())
    }

    fn sign(&self, day: u64) -> Result<Told, CliError> {
        sign(None, self.config(), at_day(day), self.done.global())
    }

    fn verify(&self, path: &Path, keep: bool, day: u64) -> Result<Told, CliError> {
        verify(path, keep, self.config(), at_day(day), self.done.global())
    }

    /// What `fog node-info` gives, in a file.
    fn descriptor(&self, day: u64) -> PathBuf {
        let key = NodeKey::read(&self.config().node.key).unwrap();
        let params = crate::directory::Params::default();
        let signed = node_info::current(self.config(), &params, &key, at_day(day), self.done.global()).unwrap();
        let path = self.dir.path().join(format!("descriptor-{day}"));
        fs::write(&path, signed.to_text()).unwrap();
        path
    }

    fn document(&self) -> Candidate {
        candidate(&self.config().spool.document()).unwrap().unwrap()
    }
}

#[test]
fn one_authority_and_who_joins_its_draft_are_a_network_the_same_day() {
    let kvara = Node::founded();
    let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
    let told = kvara.add(&pietro.descriptor(DAY), DAY).unwrap();
    assert!(told.words.starts_with("new     pietro (mix), "), "{}", told.words);
    assert!(told.words.contains("The draft has 2 nodes and isn't signed yet:\n  ->  fog -c "));
    assert!(!kvara.config().spool.document().exists());
    kvara.sign(DAY).unwrap();
    assert!(!draft(kvara.config()).exists());
    let document = kvara.config().spool.document();
    let told = pietro.verify(&document, true, DAY).unwrap();
    assert_eq!(told.json["has_this_node"], true);
    assert_eq!(pietro.document(), kvara.document());
    assert_eq!(pietro.document().contents().nodes.len(), 2);
}

#[test]
fn a_stopped_node_gets_other_keys_where_no_document_names_one_and_another_descriptor() {
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let (config, global) = (kvara.config(), kvara.done.global());
    let key = NodeKey::read(&config.node.key).unwrap();
    let rotate = || keys::of_stopped_node(config, &key, global, at_day(DAY)).unwrap();
    assert!(rotate().is_empty(), "packets may be under way to all of them");
    let seeds = || crate::store::mix_seeds(&config.spool.path).unwrap();
    let seed = |epoch| seeds()[&Epoch(epoch)].expose().to_vec();
    let before = kvara.descriptor(DAY + 1);
    let old = [seed(DAY), seed(DAY + 7), seed(DAY + 8)];
    assert_eq!(rotate(), [Epoch(DAY + 8)]);
    assert_eq!([seed(DAY), seed(DAY + 7)], old[..2]);
    assert_ne!(seed(DAY + 8), old[2]);
    keys::forget_descriptor(config).unwrap();
    keys::forget_descriptor(config).unwrap();
    let read = |path: &Path| Signed::parse(&fs::read_to_string(path).unwrap()).unwrap().descriptor().clone();
    let before = read(&before);
    let after = read(&kvara.descriptor(DAY + 1));
    let changed = |epoch: &&Epoch| before.mix_keys[*epoch] != after.mix_keys[*epoch];
    assert_eq!(after.mix_keys.keys().filter(changed).collect::<Vec<_>>(), [&Epoch(DAY + 8)]);
}

#[test]
fn a_signed_document_can_be_joined_and_its_newcomer_is_in_the_next_one() {
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let first = kvara.document();
    let pietro = kvara.joined("pietro", 7002, kvara.config().spool.document());
    assert_eq!(pietro.document(), first);
    let descriptor = pietro.descriptor(DAY);
    kvara.add(&descriptor, DAY).unwrap();
    let error = kvara.sign(DAY).unwrap_err();
    assert_eq!(error.exit, ExitCode::TryAgain);
    assert!(error.try_.unwrap().starts_with("in 23 h: fog -c "), "one signature an epoch");
    assert_eq!(kvara.document(), first, "the good document stays");
    assert_eq!(register(&Desk::of(&kvara.config().spool)).unwrap().added.len(), 1, "and so does the newcomer");
    kvara.sign(DAY + 1).unwrap();
    let second = kvara.document();
    assert_eq!(second.contents().previous, Some(first.hash()));
    assert_eq!((second.contents().epoch.0, second.contents().nodes.len()), (DAY + 1, 2));
    kvara.verify(&kvara.config().spool.document(), true, DAY + 1).unwrap();
    let previous = candidate(&kvara.config().spool.previous_document()).unwrap().unwrap();
    assert_eq!(previous, first, "also when the second is kept once more");
    pietro.verify(&kvara.config().spool.document(), true, DAY + 1).unwrap();
}

#[test]
fn three_founders_sign_the_first_document_one_after_the_other_and_two_are_enough() {
    let kvara = Node::founded();
    let [dries, mct8] = [("dries", 7002), ("mct8", 7003)]
        .map(|(name, port)| kvara.joined_as(name, port, draft(kvara.config()), "mix,authority"));
    let infos = [&dries, &mct8].map(|node| node.descriptor(DAY).display().to_string());
    let told = add(&infos, true, kvara.config(), at_day(DAY), kvara.done.global()).unwrap();
    assert!(told.words.contains("It has 3 authorities, of which 2 have to sign."), "{}", told.words);
    let founders = [&kvara, &dries, &mct8];
    let fingerprints = founders.map(|node| node.done.authority());
    assert!(fingerprints.iter().all(|id| told.words.contains(&format!("\"{id}\""))), "{}", told.words);
    let trust = crate::directory::Trust::new(2, fingerprints.into()).unwrap();
    let config = |node: &Node| Config { trust: trust.clone(), ..node.config().clone() };
    let signed_by = |node: &Node, file: Option<&Path>, day| sign(file, &config(node), at_day(day), node.done.global());

    let pietro = kvara.joined("pietro", 7004, draft(kvara.config()));
    let told = signed_by(&kvara, None, DAY).unwrap();
    assert!(told.words.contains("has 1 signatures of the 2 it needs"), "{}", told.words);
    assert!(!kvara.config().spool.document().exists(), "one signature is no document");
    let drafted = fs::read(draft(kvara.config())).unwrap();
    signed_by(&kvara, None, DAY).unwrap();
    assert_eq!(fs::read(draft(kvara.config())).unwrap(), drafted, "the same again");
    let told = signed_by(&dries, Some(&draft(kvara.config())), DAY).unwrap();
    assert!(told.words.contains("is signed, with 3 nodes"), "{}", told.words);
    let document = dries.config().spool.document();
    for node in [&kvara, &mct8] {
        verify(&document, true, &config(node), at_day(DAY), node.done.global()).unwrap();
    }
    assert_eq!(kvara.document().signers().count(), 2);

    // Whoever has signed one of this epoch signs no other one, wherever it comes from.
    let error =
        add(&[pietro.descriptor(DAY).display().to_string()], true, &config(&kvara), at_day(DAY), kvara.done.global());
    assert_eq!(error.unwrap_err().what, "pietro is no authority's node");
    add(&[pietro.descriptor(DAY).display().to_string()], false, &config(&kvara), at_day(DAY), kvara.done.global())
        .unwrap();
    assert_eq!(signed_by(&kvara, None, DAY).unwrap_err().exit, ExitCode::TryAgain);
    let other = mct8.dir.path().join("other");
    fs::write(&other, drafted).unwrap();
    assert!(
        signed_by(&mct8, Some(&other), DAY).unwrap_err().what.ends_with("does not follow the document that is here")
    );
}

#[test]
fn who_is_put_out_is_in_no_document_until_it_is_let_in_again() {
    let kvara = Node::founded();
    let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
    kvara.add(&pietro.descriptor(DAY), DAY).unwrap();
    kvara.sign(DAY).unwrap();
    let out = |name: &str, day| remove(&[name.to_owned()], kvara.config(), at_day(day), kvara.done.global());
    assert_eq!(out("nobody", DAY).unwrap_err().exit, ExitCode::Usage);
    let told = out("pietro", DAY).unwrap();
    assert!(told.words.contains("which the node of this authority signs by itself"), "{}", told.words);
    let told = show(None, kvara.config(), at_day(DAY), kvara.done.global()).unwrap();
    assert!(told.words.contains("\nNEXT    NODE\nout     pietro "), "{}", told.words);
    kvara.sign(DAY + 1).unwrap();
    assert_eq!(kvara.document().contents().nodes.len(), 1);
    kvara.sign(DAY + 2).unwrap();
    assert_eq!(kvara.document().contents().nodes.len(), 1);
    kvara.add(&pietro.descriptor(DAY + 3), DAY + 3).unwrap();
    kvara.sign(DAY + 3).unwrap();
    assert_eq!(kvara.document().contents().nodes.len(), 2);
}

#[test]
fn who_was_handed_in_and_waits_is_let_in_by_its_name() {
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let pietro = kvara.joined("pietro", 7002, kvara.config().spool.document());
    let signed = Signed::parse(&fs::read_to_string(pietro.descriptor(DAY)).unwrap()).unwrap();
    Desk::of(&kvara.config().spool).offer(&signed).unwrap();
    let told = show(None, kvara.config(), at_day(DAY), kvara.done.global()).unwrap();
    assert!(told.words.contains("\nNEXT    NODE\nwaits   pietro "), "{}", told.words);
    assert_eq!(told.json["waiting"][0]["what"], "waits");
    let named = |name: &str| add(&[name.to_owned()], false, kvara.config(), at_day(DAY), kvara.done.global());
    assert_eq!(named("piet").unwrap_err().exit, ExitCode::NoInput);
    named("pietro").unwrap();
    kvara.sign(DAY + 1).unwrap();
    assert_eq!(kvara.document().contents().nodes.len(), 2);
    let register = register(&Desk::of(&kvara.config().spool)).unwrap();
    assert_eq!(register, Register::default(), "and nothing is left to be done");
}

#[test]
fn without_a_change_a_document_is_signed_once_an_epoch() {
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let first = kvara.document();
    assert_eq!(kvara.sign(DAY).unwrap().json["signed"], false);
    assert_eq!(kvara.document(), first);
    assert_eq!(kvara.sign(DAY + 2).unwrap().json["signed"], true);
    assert_eq!(kvara.document().contents().epoch.0, DAY + 2);
    let error = kvara.sign(DAY + 1).unwrap_err();
    assert_eq!(error.exit, ExitCode::TryAgain, "the clock was set back");
}

#[test]
fn a_signature_that_a_crash_kept_from_being_given_can_be_given_again() {
    let kvara = Node::founded();
    let draft_text = fs::read(draft(kvara.config())).unwrap();
    kvara.sign(DAY).unwrap();
    let signed = kvara.document();
    fs::remove_file(kvara.config().spool.document()).unwrap();
    fs::write(draft(kvara.config()), draft_text).unwrap();
    kvara.sign(DAY).unwrap();
    assert_eq!(kvara.document(), signed);
}

#[test]
fn only_the_authority_can_sign() {
    let kvara = Node::founded();
    let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
    assert_eq!(pietro.sign(DAY).unwrap_err().exit, ExitCode::NoInput);
    let other = Node::founded();
    fs::copy(other.dir.path().join("authority.key"), pietro.dir.path().join("authority.key")).unwrap();
    let error = pietro.sign(DAY).unwrap_err();
    assert_eq!(error.what, "this node's authority is none of the document's");
    assert!(!pietro.config().spool.path.join("authority.signed").exists());
}

#[test]
fn a_node_comes_again_with_a_higher_number_only() {
    let kvara = Node::founded();
    let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
    let today = pietro.descriptor(DAY);
    let tomorrow = pietro.descriptor(DAY + 1);
    assert_ne!(fs::read(&today).unwrap(), fs::read(&tomorrow).unwrap());
    kvara.add(&today, DAY).unwrap();
    assert_eq!(kvara.add(&today, DAY).unwrap().json["added"][0]["what"], "same");
    assert_eq!(kvara.add(&tomorrow, DAY + 1).unwrap().json["added"][0]["what"], "newer");
    let error = kvara.add(&today, DAY + 1).unwrap_err();
    assert!(error.what.ends_with("is older than what is known of pietro"), "{error}");
    let error = kvara.add(&today, DAY + 8).unwrap_err();
    assert!(error.what.ends_with("has no mix key for epoch 20008"), "{error}");
}

#[test]
fn a_node_with_anothers_name_or_address_is_not_added() {
    let kvara = Node::founded();
    let before = fs::read(draft(kvara.config())).unwrap();
    for (name, port, shared) in [("kvara", 7002, "name"), ("pietro", 7001, "address")] {
        let other = kvara.joined(name, port, draft(kvara.config()));
        let error = kvara.add(&other.descriptor(DAY), DAY).unwrap_err();
        assert!(error.what.ends_with(&format!("two nodes with one {shared}")), "{error}");
    }
    assert_eq!(fs::read(draft(kvara.config())).unwrap(), before);
}

#[test]
fn what_is_no_descriptor_is_not_added() {
    let kvara = Node::founded();
    let path = kvara.dir.path().join("x");
    assert_eq!(kvara.add(&path, DAY).unwrap_err().exit, ExitCode::NoInput);
    let good = fs::read_to_string(kvara.descriptor(DAY)).unwrap();
    fs::write(&path, good.replace("kvara", "pietr")).unwrap();
    let error = kvara.add(&path, DAY).unwrap_err();
    assert_eq!(error.exit, ExitCode::Data);
    assert!(error.found.unwrap().ends_with("the node's own signature does not hold"));
}

#[test]
fn each_document_that_is_not_taken_says_why() {
    let kvara = Node::founded();
    let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
    let unsigned = fs::read_to_string(draft(kvara.config())).unwrap();
    kvara.sign(DAY).unwrap();
    let signed = fs::read_to_string(kvara.config().spool.document()).unwrap();
    let path = pietro.dir.path().join("document");
    let refused = |text: &str, day: u64| {
        fs::write(&path, text).unwrap();
        let error = pietro.verify(&path, true, day).unwrap_err();
        assert!(!pietro.config().spool.document().exists(), "not kept");
        assert!(error.try_.is_some());
        (error.exit, error.found.unwrap())
    };
    let no = |words: &str| (ExitCode::No, words.to_owned());
    assert_eq!(refused(&unsigned, DAY), no("too few signatures: 0 of the 1 that are wanted"));
    assert_eq!(refused(&signed, DAY - 1), no("from the future: it is of epoch 20000, it is epoch 19999 now"));
    assert_eq!(refused(&signed, DAY + 3), no("expired: it is of epoch 20000 and good for 3, it is epoch 20003 now"));
    let (exit, words) = refused(&signed.replace("hops = 3", "hops = 2"), DAY);
    assert!(exit == ExitCode::No && words.starts_with("the signature of authority"), "{words}");
    fs::write(&path, &signed).unwrap();
    let told = pietro.verify(&path, false, DAY).unwrap();
    assert!(told.words.starts_with("good: epoch 20000, 1 nodes, signed by 1 of 1, for 2 d 23 h more\n"));
    assert!(told.words.contains("this node is not in it"));
    assert!(!pietro.config().spool.document().exists(), "kept only if asked");
}

#[test]
fn a_document_older_than_the_one_kept_is_not_taken() {
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let old = kvara.dir.path().join("old");
    fs::copy(kvara.config().spool.document(), &old).unwrap();
    kvara.sign(DAY + 1).unwrap();
    let error = kvara.verify(&old, true, DAY + 1).unwrap_err();
    assert_eq!(error.found.unwrap(), "a rollback: it is of epoch 20000, ours of epoch 20001");
    assert_eq!(kvara.document().contents().epoch.0, DAY + 1);
}

#[test]
fn a_document_is_shown_for_people_and_for_programs() {
    let kvara = Node::founded();
    let show = |path: Option<&Path>| show(path, kvara.config(), at_day(DAY), kvara.done.global());
    let error = show(None).unwrap_err();
    assert_eq!(error.exit, ExitCode::NoInput);
    assert!(error.try_.unwrap().ends_with("directory sign"));
    let told = show(Some(&draft(kvara.config()))).unwrap();
    assert!(told.words.contains("NOT TAKEN: too few signatures"), "{}", told.words);
    kvara.sign(DAY).unwrap();
    let told = show(None).unwrap();
    let lines: Vec<_> = told.words.lines().collect();
    assert_eq!(lines[0], "epoch       20000, valid for 2 d 23 h more");
    assert_eq!(lines[1], "signed by   kvara (1 of 1 needed)");
    assert_eq!(*lines.last().unwrap(), "kvara                mix + authority  20007          127.0.0.1:7001");
    assert_eq!(told.json["valid_until"], "2024-10-07T00:00:00Z");
    assert_eq!((&told.json["good"], &told.json["nodes"][0]["name"]), (&json!(true), &json!("kvara")));
}

#[test]
fn a_document_is_shown_with_what_its_exits_take() {
    let dir = tempfile::tempdir().unwrap();
    let (roles, from): (Option<String>, Option<String>) =
        (Some("exit".into()), Some("Nobody <nobody@exit.example>".into()));
    let args = Args { roles, from, ..args(dir.path(), "kvara", 7001) };
    let shown = |set: &[&str]| {
        let args = Args { dir: Some(dir.path().join(set.len().to_string())), ..args.clone() };
        let done = init(&args, &in_dir(Path::new("/nowhere"), set), at_day(DAY)).unwrap();
        show(Some(&draft(done.config())), done.config(), at_day(DAY), done.global()).unwrap()
    };
    let (some, all) =
        (shown(&["exit.domains=a.example,b.example", "exit.max-size=1M", "exit.news=n@c.example"]), shown(&[]));
    let want = "\nEXIT                 TAKES\nkvara                mail to a.example, b.example, and to newsgroups, up to 1M\n";
    assert!(some.words.ends_with(want), "{}", some.words);
    assert!(
        all.words.ends_with("\nkvara                mail to anybody, to no newsgroup, up to 2M\n"),
        "{}",
        all.words
    );
    assert_eq!(
        (&some.json["nodes"][0]["exit"]["news"], &all.json["nodes"][0]["exit"]["news"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn a_node_without_a_key_for_the_epoch_is_named_when_it_is_signed() {
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let later = Contents { epoch: Epoch(DAY + 8), ..kvara.document().contents().clone() };
    let key = key_file::read_authority(&kvara.config().node.authority_key()).unwrap();
    let text = signed(Candidate::new(&later).unwrap(), &key).unwrap().to_text();
    let document = Document::verify(&text, &kvara.config().trust, at_day(DAY + 8), None).unwrap();
    assert_eq!(stale_nodes(&document), ["fog: kvara has no mix key for this epoch: ask for a new descriptor"]);
}

#[test]
fn a_document_with_other_epochs_is_neither_signed_nor_taken() {
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let now = at_day(DAY + 1);
    let first = kvara.document();
    let mut contents = first.contents().clone();
    contents.params.epoch /= 2;
    contents.epoch = now.epoch(contents.params.epoch);
    contents.previous = Some(first.hash());
    let unsigned = Candidate::new(&contents).unwrap();
    let file = kvara.dir.path().join("other");
    fs::write(&file, unsigned.to_text()).unwrap();
    fs::write(draft(kvara.config()), unsigned.to_text()).unwrap();
    for file in [None, Some(file.as_path())] {
        let refused = sign(file, kvara.config(), now, kvara.done.global()).unwrap_err();
        assert!(refused.found.unwrap().starts_with("its epochs are 12h, ours 1d"));
        assert!(refused.try_.unwrap().contains("fog init --new-network"));
    }
    let key = key_file::read_authority(&kvara.config().node.authority_key()).unwrap();
    fs::write(&file, signed(unsigned, &key).unwrap().to_text()).unwrap();
    let refused = kvara.verify(&file, true, DAY + 1).unwrap_err();
    assert!(refused.exit == ExitCode::No && refused.found.unwrap().starts_with("its epochs are 12h, ours 1d"));
    assert_eq!(kvara.document(), first, "the good one stays");
}

#[test]
fn a_descriptor_is_given_out_again_until_something_changes() {
    let kvara = Node::founded();
    let descriptor = |day| fs::read_to_string(kvara.descriptor(day)).unwrap();
    let (one, two, later) = (descriptor(DAY), descriptor(DAY), descriptor(DAY + 1));
    assert_eq!(one, two);
    assert_ne!(one, later, "its keys have moved on");
    let draft = candidate(&draft(kvara.config())).unwrap().unwrap();
    assert_eq!(draft.contents().nodes.values().next().unwrap().to_text(), one);
}

#[test]
fn a_running_node_gives_out_its_last_descriptor_while_it_has_a_current_key() {
    let kvara = Node::founded();
    let one = kvara.descriptor(DAY);
    let _running = crate::store::Store::open(&kvara.config().spool.path).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(kvara.descriptor(DAY + 7)).unwrap());
    let key = NodeKey::read(&kvara.config().node.key).unwrap();
    let params = crate::directory::Params::default();
    let late = node_info::current(kvara.config(), &params, &key, at_day(DAY + 8), kvara.done.global());
    assert_eq!(late.unwrap_err().exit, ExitCode::TryAgain);
}

#[test]
fn another_nodes_descriptor_is_not_given_out() {
    let kvara = Node::founded();
    let path = kvara.config().spool.path.join("descriptor");
    let mut stranger: Descriptor = Signed::parse(&fs::read_to_string(&path).unwrap()).unwrap().descriptor().clone();
    stranger.sequence = 5;
    let key = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
    fs::write(&path, stranger.sign(&key).unwrap().to_text()).unwrap();
    let own = Signed::parse(&fs::read_to_string(kvara.descriptor(DAY)).unwrap()).unwrap();
    assert_eq!(own.descriptor().id(), NodeKey::read(&kvara.config().node.key).unwrap().identity.node_id());
}

#[test]
fn init_takes_what_the_command_line_gives() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        global: Global,
        #[command(flatten)]
        init: super::super::init::Args,
    }
    let dir = tempfile::tempdir().unwrap();
    let dir_text = dir.path().to_str().unwrap();
    let line = [
        "fog",
        "--new-network",
        "--name",
        "kvara",
        "--onion",
        "localhost:7001",
        "--set",
        "network.hops=2",
        "--dir",
        dir_text,
    ];
    let cli = <Cli as clap::Parser>::try_parse_from(line).unwrap();
    let done = init(&cli.init, &cli.global, at_day(DAY)).unwrap();
    let founder = crate::directory::Roles { authority: true, ..Default::default() };
    assert_eq!(done.config().node.roles, founder);
    for bad in [
        &["fog", "--name", "a", "--onion", "b:1"][..],
        &line[..2],
        &["fog", "--join", "x", "--name", "a", "--onion", "b:1"],
    ] {
        assert!(<Cli as clap::Parser>::try_parse_from(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_earlier_programs_nodes_are_people_to_ask_and_nothing_more() {
    const ONION: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";
    let kvara = Node::founded();
    kvara.sign(DAY).unwrap();
    let path = kvara.dir.path().join("nodes.json");
    let node = |name: &str, address: &str| {
        json!({"id": "1f", "public_key": "AAAA", "address": address, "name": name, "version": "4.1.0",
            "last_seen": "2026-01-01T00:00:00Z", "healthy": true})
    };
    let nodes = json!({
        "a": node("pietro", &format!("{ONION}:9999")),
        "b": node("kvara", &format!("{ONION}:1")),
        "c": node("other", "127.0.0.1:7001"),
        "d": node("typo", "abc.onion:9999"),
        "e": node("\u{1b}[2J\nroot", ONION),
        "f": node("pietro", &format!("{ONION}:9999")),
        "g": null,
        "h": {},
    });
    fs::write(&path, nodes.to_string()).unwrap();
    let before = fs::read_dir(kvara.dir.path().join("spool")).unwrap().count();
    let told = import::import(&path, kvara.config()).unwrap();
    let lines: Vec<_> = told.words.lines().collect();
    assert_eq!(lines[0], "no onion   ?                    ?");
    assert_eq!(lines[1], format!("ask        ?[2J?root            {ONION}"));
    assert_eq!(lines[2], format!("name taken kvara                {ONION}:1"));
    assert_eq!(lines[3], "here       other                127.0.0.1:7001");
    assert_eq!(lines[4], format!("ask        pietro               {ONION}:9999"));
    assert_eq!(lines[5], "no onion   typo                 abc.onion:9999");
    assert_eq!(lines[6], format!("6 nodes in {}, 2 of them to ask; nothing was taken over.", path.display()));
    assert_eq!((lines.len(), told.json["people"].as_array().unwrap().len()), (9, 6));
    assert_eq!(fs::read_dir(kvara.dir.path().join("spool")).unwrap().count(), before);

    for bad in ["", "[]", "{\"a\": 1}", "{\"a\": {\"name\": 1}}", "\u{0}"] {
        fs::write(&path, bad).unwrap();
        assert_eq!(import::import(&path, kvara.config()).unwrap_err().exit, ExitCode::Data, "{bad}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(import::import(&path, kvara.config()).unwrap_err().exit, ExitCode::NoInput);
}
