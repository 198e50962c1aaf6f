//! A node as its operator leaves it: keys, spool, descriptor.

use fog::directory::{Descriptor, Domains, ExitPolicy, NodeAddress, Signed};
use fog::id::Epoch;
use fog::sphinx::xwing::MixKey;
use fog::store::Store;
use fog::sys::key_file::NodeKey;
use fog::sys::{clock, file};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;

/// Makes the keys and the spool of a node, and its descriptor.
pub(crate) fn signed(home: &Path, name: &str, epoch: Epoch) -> Signed {
    let spool = home.join("spool");
    file::create_private_dir(home).unwrap();
    file::create_private_dir(&spool).unwrap();
    let key = NodeKey::create(&home.join("node.key"), &mut clock::rng()).unwrap();
    let mut store = Store::open(&spool).unwrap();
    let epochs = epoch.minus(1).0..=epoch.plus(2).0;
    store.ensure_keys(Epoch(*epochs.start()), Epoch(*epochs.end()), &mut clock::rng()).unwrap();
    let port = free_port();
    let descriptor = Descriptor {
        name: name.into(),
        sequence: 1,
        identity: key.identity.public(),
        link_key: key.link_public(),
        address: NodeAddress::parse(&format!("127.0.0.1:{port}")).unwrap(),
        family: None,
        contact: None,
        version: "0.1.0".into(),
        mix: name.starts_with("mix"),
        exit: (name == "exit").then_some(ExitPolicy { domains: Domains::All, max_size: 1 << 20, news: false }),
        authority: None,
        measured: None,
        mix_keys: epochs
            .map(|epoch| (Epoch(epoch), MixKey::from_seed(store.mix_seed(Epoch(epoch)).unwrap()).public().clone()))
            .collect(),
    };
    descriptor.sign(&key.identity).unwrap()
}

/// A port of loopback that nobody listens on at this moment, another one each time, and none that the system gives to whoever
/// calls somebody.
fn free_port() -> u16 {
    static DRAWN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok() && DRAWN.lock().unwrap().insert(*port);
    std::iter::repeat_with(|| rand::random_range(10_000..32_000)).find(is_free).unwrap()
}
