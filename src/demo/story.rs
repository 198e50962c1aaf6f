//! The way of one letter, told while it happens.

use super::letter::Change;
use super::network::{Member, Network};
use super::witness::Seen;
use crate::cli::print;
use crate::time::Time;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Told in words, or as JSON Lines.
pub(super) struct Story {
    json: bool,
    color: bool,
    began: Time,
    message: String,
    assembled: bool,
    /// The look of each packet of the letter, at each hop: which piece it carries, and the hop it goes to.
    packets: BTreeMap<String, Leg>,
}

#[derive(Clone, Copy)]
struct Leg {
    piece: u64,
    hop: usize,
}

/// Lines of the letter that are shown at the end.
const SHOWN: usize = 12;

/// What every packet weighs, on every link.
const PACKET: &str = "65,536 bytes";

impl Story {
    pub(super) fn new(json: bool, color: bool) -> Self {
        let began = Time::from_millis(0);
        Self { json, color, began, message: String::new(), assembled: false, packets: BTreeMap::new() }
    }

    pub(super) fn is_assembled(&self) -> bool {
        self.assembled
    }

    pub(super) fn founding(&self, nodes: usize) {
        self.say(&format!("Founding a network of {nodes} nodes on this machine ...\n"));
    }

    pub(super) fn network(&self, network: &Network) {
        if self.json {
            return self.tell(
                &json!({ "v": 1, "event": "network", "nodes": network.members.iter().map(|member| json!({
                "name": member.name, "id": member.id, "port": member.port, "exit": member.is_exit,
                "pids": member.pids(), "config": member.config(),
            })).collect::<Vec<_>>() }),
            );
        }
        let mut text = String::new();
        for member in &network.members {
            let roles = if member.is_exit { "mix + exit" } else { "mix" };
            let pids: Vec<_> = member.pids().iter().map(u32::to_string).collect();
            let line =
                format!("  {:<9} {roles:<11} 127.0.0.1:{:<6} process {}", member.name, member.port, pids.join(" and "));
            writeln!(text, "{line}").expect("a String takes all");
        }
        self.say(&format!(
            "{text}\nEach is a process of its own, with keys, disk and port; kill one and see.\n\
             A real network holds letters for hours at each hop. This one takes seconds,\n\
             and its directory document says that it may be watched.\n"
        ));
    }

    pub(super) fn begins(&mut self, members: &[Member], message: &str, size: usize, others: usize, now: Time) {
        self.began = now;
        message.clone_into(&mut self.message);
        let entry = members.first().map_or("?", |member| member.name);
        if self.json {
            return self.tell(&json!({ "v": 1, "event": "accepted", "by": entry, "message": message, "bytes": size }));
        }
        self.say(&format!("Beside yours, {others} letters of other people are under way.\n\n"));
        self.at(now, entry, &format!("takes your letter ({size} bytes),"));
        self.more("and takes out what says who wrote it.");
    }

    /// Tells what a node saw, if it is about the letter.
    pub(super) fn hears(&mut self, network: &Network, seen: &Seen) {
        let ours = seen.text("message") == self.message;
        let told = match seen.text("event") {
            "cut" if ours => self.cut(seen),
            "built" if ours => self.built(network, seen),
            "passed" => self.passed(network, seen),
            "opened" => self.opened(network, seen),
            "assembled" if ours => self.put_together(seen),
            _ => false,
        };
        if told && self.json {
            let mut what = seen.what.clone();
            if let Some(object) = what.as_object_mut() {
                object.insert("node".into(), seen.node.into());
            }
            self.tell(&what);
        }
    }

    fn cut(&self, seen: &Seen) -> bool {
        let (needed, total) = (seen.number("needed"), seen.number("total"));
        let text = format!("compresses it and cuts it into {total} pieces; any {needed} will do.");
        self.more(&text);
        true
    }

    fn built(&mut self, network: &Network, seen: &Seen) -> bool {
        let piece = seen.number("index") + 1;
        self.packets.insert(seen.text("packet").to_owned(), Leg { piece, hop: 0 });
        let path = seen.what.get("path").and_then(Value::as_array).cloned().unwrap_or_default();
        let names: Vec<_> = path.iter().filter_map(Value::as_str).map(|id| network.name_of(id)).collect();
        let at = Time::from_millis(seen.number("at_ms"));
        self.at(at, seen.node, &format!("seals piece {piece} in a packet of {PACKET},"));
        self.more(&format!("for {}.", names.join(", then ")));
        true
    }

    fn passed(&mut self, network: &Network, seen: &Seen) -> bool {
        let Some(Leg { piece, hop }) = self.packets.get(seen.text("came_as")).copied() else { return false };
        self.packets.insert(seen.text("went_as").to_owned(), Leg { piece, hop: hop + 1 });
        let (from, to) = (network.name_of(seen.text("from")), network.name_of(seen.text("to")));
        let (arrived, left) = (seen.number("arrived_ms"), seen.number("left_ms"));
        let (came, went) = (short(seen.text("came_as")), short(seen.text("went_as")));
        let text = format!("piece {piece}: comes from {from}, held {}, goes to {to}.", held(arrived, left));
        self.at(Time::from_millis(left), seen.node, &text);
        self.more(&format!("It knows no more: {PACKET} came as {came}, left as {went}."));
        true
    }

    fn opened(&mut self, network: &Network, seen: &Seen) -> bool {
        let Some(Leg { piece, .. }) = self.packets.get(seen.text("came_as")).copied() else { return false };
        let (arrived, at) = (seen.number("arrived_ms"), seen.number("at_ms"));
        let from = network.name_of(seen.text("from"));
        let text = format!("piece {piece}: from {from}, held {}; the last layer comes off.", held(arrived, at));
        self.at(Time::from_millis(at), seen.node, &text);
        true
    }

    fn put_together(&mut self, seen: &Seen) -> bool {
        self.assembled = true;
        let at = Time::from_millis(seen.number("at_ms"));
        self.at(at, seen.node, "has enough: puts the letter together, cleans it once more,");
        self.more("hands it to its exit. It knows to whom, not from whom.");
        true
    }

    pub(super) fn died(&self, name: &str) {
        if self.json {
            return self.tell(&json!({ "v": 1, "event": "died", "node": name }));
        }
        let text = format!("  {name} is gone. What it held lies on its disk; what is for it waits.\n");
        self.say(&self.paint("31", &text));
    }

    /// `stays` says whether the Maildir outlives the demonstration.
    pub(super) fn ends(&self, path: &Path, changes: &[Change], mail: &[u8], now: Time, stays: bool) {
        let took = now.since(self.began);
        if self.json {
            let header =
                |change: &Change| json!({ "field": change.name, "before": change.before, "after": change.after });
            return self.tell(&json!({
                "v": 1, "event": "delivered", "path": path, "stays": stays, "bytes": mail.len(),
                "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "header": changes.iter().map(header).collect::<Vec<_>>(),
                "mail": String::from_utf8_lossy(mail),
            }));
        }
        let mut text = String::from("\nThe header, as you wrote it and as it arrived:\n\n");
        changes.iter().for_each(|change| self.change(&mut text, change));
        let body = String::from_utf8_lossy(mail).replace("\r\n", "\n");
        let body = body.split_once("\n\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        let lines: Vec<_> = body.lines().collect();
        text.push_str("\nThe text, as it arrived:\n\n");
        for line in lines.iter().take(SHOWN) {
            writeln!(text, "    {}", fit(line)).expect("a String takes all");
        }
        if lines.len() > SHOWN {
            writeln!(text, "    ... and {} lines more", lines.len() - SHOWN).expect("a String takes all");
        }
        let tenths = took.as_millis() / 100;
        writeln!(text, "\nArrived after {}.{} s.", tenths / 10, tenths % 10).expect("a String takes all");
        if stays {
            writeln!(text, "It lies in {}", path.display()).expect("a String takes all");
        } else {
            text.push_str("All is taken down now; --keep leaves it running, --maildir keeps the letter.\n");
        }
        self.say(&text);
    }

    fn change(&self, text: &mut String, change: &Change) {
        let Change { name, before, after } = change;
        let short = |value: &str| fit(&format!("{name}: {value}"));
        let lines = match (before, after) {
            (Some(before), Some(after)) if before == after => format!("    {}\n", short(before)),
            (Some(before), Some(after)) => format!(
                "{}\n{}\n",
                self.paint("31", &format!("  - {}", short(before))),
                self.paint("32", &format!("  + {}", short(after)))
            ),
            (Some(before), None) => self.paint("31", &format!("  - {}", short(before))) + "\n",
            (None, Some(after)) => self.paint("32", &format!("  + {}", short(after))) + "\n",
            (None, None) => String::new(),
        };
        text.push_str(&lines);
    }

    /// How to go on with a network that stays.
    pub(super) fn kept(&self, network: &Network) {
        let pids: Vec<_> = network.members.iter().flat_map(Member::pids).map(|pid| pid.to_string()).collect();
        if self.json {
            return self.tell(&json!({ "v": 1, "event": "kept", "maildir": network.maildir, "pids": pids }));
        }
        let configs = network.members.first().map(|member| member.config().display().to_string()).unwrap_or_default();
        self.say(&format!(
            "\nThe network goes on. Talk to it:\n  \
             fog -c {configs} send -t someone@example.org < LETTER\n  \
             fog -c {configs} directory show\n  \
             fog -c {configs} node-info\n  \
             ls {}/new\nStop it:\n  kill {}\n",
            network.maildir.display(),
            pids.join(" ")
        ));
    }

    fn at(&self, at: Time, node: &str, text: &str) {
        if self.json {
            return;
        }
        let tenths = at.since(self.began).as_millis() / 100;
        let time = format!("{:>3}.{} s", tenths / 10, tenths % 10);
        self.say(&format!("{} {} {text}\n", self.paint("2", &time), self.paint("1", &format!("{node:<9}"))));
    }

    fn more(&self, text: &str) {
        if !self.json {
            self.say(&format!("{:18}{text}\n", ""));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn say(&self, text: &str) {
        if !self.json {
            // Who doesn't listen any more misses nothing: the letter arrives all the same.
            let _ = print(text.as_bytes());
        }
    }

    fn tell(&self, value: &Value) {
        let _ = print(format!("{value}\n").as_bytes());
    }
}

/// Enough of a packet's look to know it again.
fn short(print: &str) -> &str {
    print.get(..6).unwrap_or(print)
}

fn held(from: u64, to: u64) -> String {
    let tenths = to.saturating_sub(from) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// One line of a terminal.
fn fit(text: &str) -> String {
    const WIDTH: usize = 74;
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let head: String = text.chars().take(WIDTH - 4).collect();
    format!("{head} ...")
}
