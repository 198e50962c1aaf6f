//! Mail made clean: on foreign mails, on mails with a mark in every place that can name a sender, and on garbage.

use fog::mail::Address;
use fog::mail::sanitize::{EntryRules, ExitRules, Refused, at_entry, at_exit};
use fog::time::Time;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use std::path::PathBuf;
use std::process::Command;

const DOMAIN: &str = "id.fog.example";
const MESSAGE_ID: [u8; 16] = [0xab; 16];

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn entry(raw: &[u8], seed: u8) -> Result<Vec<u8>, Refused> {
    let recipient = address("bob@dest.example");
    let rules = EntryRules {
        recipient: &recipient,
        message_id: MESSAGE_ID,
        message_id_domain: DOMAIN,
        own_domains: &[],
        seed: [seed; 32],
    };
    at_entry(raw, &rules)
}

fn exit(raw: &[u8], seed: u8) -> Result<Vec<u8>, Refused> {
    let (recipient, from) = (address("bob@dest.example"), address("anonymous@exit.example"));
    let date = Time::from_secs(1_700_000_003);
    let rules = ExitRules {
        recipient: &recipient,
        from: &from,
        from_name: "Anonymous",
        message_id_domain: DOMAIN,
        date,
        seed: [seed; 32],
    };
    at_exit(raw, &rules)
}

/// The mails inside the mail-parser crate, which cargo has fetched.
fn foreign_mails() -> Vec<(PathBuf, Vec<u8>)> {
    let metadata =
        Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--offline"]).output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|p| p["name"] == "mail-parser").expect("a dependency");
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
    let folder = manifest.with_file_name("resources").join("eml");
    let inner = std::fs::read_dir(folder).unwrap().flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
    let mut files: Vec<_> =
        inner.map(|file| file.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "eml")).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// What a reader sees of a mail: every text and every file, in order.
fn contents(mail: &Message<'_>, into: &mut Vec<String>) {
    for part in &mail.parts {
        match &part.body {
            PartType::Text(text) | PartType::Html(text) => into.push(text.replace("\r\n", "\n")),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                into.push(format!("{:?}: {}", part.content_type().map(|c| c.ctype()), String::from_utf8_lossy(bytes)))
            }
            PartType::Message(inner) => contents(inner, into),
            PartType::Multipart(_) => {}
        }
    }
}

#[test]
fn foreign_mails_keep_their_contents() {
    let mails = foreign_mails();
    assert_eq!(mails.len(), 107);
    let mut bad = 0;
    for (path, raw) in mails {
        let name = path.display();
        let cleaned = match entry(&raw, 1) {
            Ok(c) => c,
            Err(why) => {
                println!("{name}: refused {why:?}");
                continue;
            }
        };
        let out = exit(&cleaned, 2).unwrap();
        let flat = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
            + "-"
            + &path.file_name().unwrap().to_string_lossy();
        std::fs::create_dir_all("/tmp/mailcmp/in").unwrap();
        std::fs::create_dir_all("/tmp/mailcmp/out").unwrap();
        std::fs::write(format!("/tmp/mailcmp/in/{flat}"), &raw).unwrap();
        std::fs::write(format!("/tmp/mailcmp/out/{flat}"), &out).unwrap();
        let (Some(before), Some(after)) = (MessageParser::new().parse(&raw), MessageParser::new().parse(&out)) else {
            println!("{name}: unparseable");
            continue;
        };
        let (mut a, mut b) = (vec![], vec![]);
        contents(&before, &mut a);
        contents(&after, &mut b);
        if a != b {
            bad += 1;
            println!("=== {name}: {} {}", a.len(), b.len());
            for (x, y) in a.iter().zip(&b) {
                if x != y {
                    println!(
                        "  <{:?}\n  >{:?}",
                        x.chars().take(300).collect::<String>(),
                        y.chars().take(300).collect::<String>()
                    );
                }
            }
        }
    }
    println!("{bad} differ");
}
