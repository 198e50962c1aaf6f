//! A mix that takes every packet, says that it has it, and throws it away. For its neighbours it is a node like any other.

use fog::link::document::Opening;
use fog::link::frame::{Answer, Hello};
use fog::node::session;
use fog::sys::clock;
use fog::sys::key_file::NodeKey;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// It steals until the test ends.
pub(crate) struct Thief {
    stolen: Arc<AtomicU64>,
}

impl Thief {
    /// In the place of the node that listens at `address` with the key in this file.
    pub(crate) fn start(address: SocketAddr, key: PathBuf) -> Self {
        let stolen = Arc::new(AtomicU64::new(0));
        let noted = Arc::clone(&stolen);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(listen(address, key, noted));
        });
        Self { stolen }
    }

    /// Packets it has taken.
    pub(crate) fn stolen(&self) -> u64 {
        self.stolen.load(Ordering::Relaxed)
    }
}

async fn listen(address: SocketAddr, key: PathBuf, stolen: Arc<AtomicU64>) {
    let key = Arc::new(NodeKey::read(&key).unwrap());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (key, stolen) = (Arc::clone(&key), Arc::clone(&stolen));
        tokio::spawn(async move {
            let Ok(caller) = session::respond(stream, &key.link).await else { return };
            // What the caller shows is shown to it again: a thief knows the document, too.
            let Opening::Packets(shown) = &caller.opening else { return };
            let hello = Hello { now: clock::now(), document: shown.document };
            let Ok(mut link) = caller.admit(&hello).await else { return };
            while link.receiver.packet().await.is_ok() {
                stolen.fetch_add(1, Ordering::Relaxed);
                if link.sender.answer(Answer::DisposedOf).await.is_err() {
                    return;
                }
            }
        });
    }
}
