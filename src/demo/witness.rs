//! What the nodes say they saw, gathered from all of them at once.

use super::network::Network;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

/// One thing that one node saw.
pub(super) struct Seen {
    /// The node.
    pub(super) node: &'static str,
    /// What, as its control socket says it.
    pub(super) what: Value,
}

impl Seen {
    pub(super) fn text(&self, key: &str) -> &str {
        self.what.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.what.get(key).and_then(Value::as_u64).unwrap_or_default()
    }
}

/// Listens to every node of the network; a thread each, which ends with its node.
pub(super) fn watch(network: &Network) -> Receiver<Seen> {
    let (sender, receiver) = channel();
    for member in &network.members {
        let (node, socket, sender) = (member.name, member.socket("control.sock"), sender.clone());
        std::thread::spawn(move || listen(node, &socket, &sender));
    }
    receiver
}

/// Until the node or the listener ends; both are ordinary ends of a demonstration.
fn listen(node: &'static str, socket: &PathBuf, to: &Sender<Seen>) {
    let Ok(mut stream) = UnixStream::connect(socket) else { return };
    if stream.write_all(b"witness\n").is_err() {
        return;
    }
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let Ok(what) = serde_json::from_str(&line) else { return };
        if to.send(Seen { node, what }).is_err() {
            return;
        }
    }
}
