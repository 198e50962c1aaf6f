//! What stands between two nodes: a relay of bytes that drops, doubles, reorders, delays and cuts.
//!
//! A link is a stream under Noise, so that whatever is done to its bytes ends it: what was under way has to come again. That
//! is what is tested. Delays alone leave it as it is.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes that are looked at together: about a packet.
const PIECE: usize = 64 << 10;

/// How often what happens, in a thousand pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) dropped: u32,
    pub(crate) doubled: u32,
    pub(crate) reordered: u32,
    pub(crate) delayed: u32,
    pub(crate) cut: u32,
}

impl Weather {
    pub(crate) const FAIR: Self = Self { dropped: 0, doubled: 0, reordered: 0, delayed: 0, cut: 0 };
    pub(crate) const FOUL: Self = Self { dropped: 5, doubled: 3, reordered: 3, delayed: 100, cut: 3 };
}

/// What was done to the bytes of all links.
#[derive(Debug, Default)]
pub(crate) struct Harm {
    pub(crate) dropped: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) reordered: AtomicU64,
    pub(crate) delayed: AtomicU64,
    pub(crate) cut: AtomicU64,
}

/// A door in front of one node; it stands open until the test ends.
pub(crate) struct Proxy {
    address: SocketAddr,
    stormy: Arc<AtomicBool>,
}

impl Proxy {
    /// One in front of `node`, which need not listen yet.
    pub(crate) fn start(node: SocketAddr, weather: Weather, harm: &Arc<Harm>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stormy) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (harm, storm) = (Arc::clone(harm), Arc::clone(&stormy));
        thread::spawn(move || {
            for (caller, n) in listener.incoming().zip(0_u64..) {
                let (Ok(caller), Ok(node)) = (caller, TcpStream::connect(node)) else { continue };
                for (from, to, way) in [(&caller, &node, 0), (&node, &caller, 1)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (storm, harm) = (Arc::clone(&storm), Arc::clone(&harm));
                    let rng = StdRng::seed_from_u64(seed ^ (2 * n + way) << 16);
                    thread::spawn(move || carry(from, to, weather, &storm, &harm, rng));
                }
            }
        });
        Self { address, stormy }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether anything is done to what passes.
    pub(crate) fn storm(&self, is_on: bool) {
        self.stormy.store(is_on, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, weather: Weather, storm: &AtomicBool, harm: &Harm, mut rng: StdRng) {
    let mut kept: Option<Vec<u8>> = None;
    let mut bytes = vec![0; PIECE];
    while let Ok(got @ 1..) = from.read(&mut bytes) {
        let piece = &bytes[..got];
        let weather = if storm.load(Ordering::Relaxed) { weather } else { Weather::FAIR };
        let mut happens = |often: u32, count: &AtomicU64| {
            let happens = rng.random_ratio(often, 1000);
            count.fetch_add(u64::from(happens), Ordering::Relaxed);
            happens
        };
        if happens(weather.delayed, &harm.delayed) {
            thread::sleep(Duration::from_millis(200));
        }
        if happens(weather.cut, &harm.cut) {
            break;
        }
        if happens(weather.dropped, &harm.dropped) {
            continue;
        }
        if kept.is_none() && happens(weather.reordered, &harm.reordered) {
            kept = Some(piece.to_vec());
            continue;
        }
        let again = if happens(weather.doubled, &harm.doubled) { piece } else { &[] };
        let late = kept.take().unwrap_or_default();
        if [piece, again, &late].into_iter().any(|piece| to.write_all(piece).is_err()) {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
