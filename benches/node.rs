//! One real node under full load, over links on loopback at both ends; and a mail handed to one that has nothing to do.
//!
//! ```text
//! cargo bench --bench node -- --packets 4000
//! ```
//!
//! Four neighbours send packets as fast as the node acknowledges them, four take what it forwards: each packet is read
//! from a link, opened, committed, held until the next tick, its body peeled, and sent on. Three lines come last:
//! `peel_us=… noise_us=… store_us=…`, what the parts of that cost alone, in the same run, in microseconds a packet;
//! `node_packets_per_s=… cpu_us_per_packet=…`, the node's own; and `send_ms=…`, the median of `fog send` from its start
//! to "accepted".
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program that takes times and says them"
)]

use fog::directory::{Authority, Candidate, Contents, Descriptor, Domains, ExitPolicy};
use fog::directory::{IdentityKey, NodeAddress, Params, Signed};
use fog::id::{Epoch, NodeId};
use fog::link::frame::{Answer, Hello, PATTERN, messages};
use fog::node::session;
use fog::secret::Secret;
use fog::sphinx::geometry::{BODY_LEN, HEADER_LEN, PAYLOAD_LEN};
use fog::sphinx::xwing::{MixKey, PublicKey};
use fog::sphinx::{Hop, Last, Packet, Randomness, build, open, open_body};
use fog::store::{Marks, Shelf, Store};
use fog::sys::key_file::NodeKey;
use fog::sys::{clock, file};
use rand::{Rng, RngExt};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const FOG: &str = env!("CARGO_BIN_EXE_fog");
/// Neighbours on each side.
const SIDE: usize = 4;
/// Packets a neighbour sends before it waits for an answer.
const WINDOW: usize = 16;
/// Packets in one commit.
const BATCH: usize = 64;

fn main() -> Outcome<()> {
    let packets = packets()?;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let network = Network::found(dir.path())?;
    let letters = network.letters(packets)?;
    let node = Running::start(&network)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (rate, cpu) = runtime.block_on(through(&node, &network, letters))?;
    let send = send(&network)?;
    drop(node);
    println!("{}", parts(&network, dir.path())?);
    println!("node_packets_per_s={rate:.0} cpu_us_per_packet={cpu:.0}");
    println!("send_ms={send:.1}");
    Ok(())
}

/// How many packets go through the node: a multiple of the neighbours.
fn packets() -> Outcome<usize> {
    let (mut packets, mut given) = (4000, std::env::args().skip(1));
    while let Some(name) = given.next() {
        match name.as_str() {
            "--packets" => packets = given.next().ok_or("--packets wants a number")?.parse()?,
            // cargo says so itself.
            "--bench" => {}
            _ => return Err(format!("{name}: there is --packets N").into()),
        }
    }
    Ok(packets / SIDE * SIDE)
}

/// A node of the network. Only the first is a real one; the others are this program.
struct Member {
    key: NodeKey,
    seed: Secret<32>,
    signed: Signed,
    /// None for the node under test, which listens itself.
    listener: Option<std::net::TcpListener>,
}

impl Member {
    fn id(&self) -> NodeId {
        self.signed.descriptor().id()
    }
}

struct Network {
    home: PathBuf,
    members: Vec<Member>,
}

impl Network {
    /// The node under test, and neighbours in front of it and behind it, with the network's document and its
    /// configuration on disk.
    fn found(dir: &Path) -> Outcome<Self> {
        let home = dir.join("node");
        let zero = Duration::ZERO;
        let (tick, send_every) = (Duration::from_millis(20), Params::default().epoch);
        let params = Params {
            min_delay: zero,
            mean_delay: zero,
            max_delay: zero,
            tick,
            // What is measured comes from others.
            batch_min: 0,
            send_every,
            hops: 2,
            ..Params::default()
        };
        let epoch = clock::now().epoch(params.epoch);
        let mut members = Vec::new();
        for index in 0..=2 * SIDE {
            let home = if index == 0 { home.clone() } else { dir.join(format!("neighbour{index}")) };
            members.push(member(&home, index, epoch)?);
        }
        let authority = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
        let fingerprint = authority.node_id();
        let contents = Contents {
            epoch,
            previous: None,
            params,
            threshold: 1,
            authorities: BTreeMap::from([(fingerprint, Authority { name: "us".into(), identity: authority.public() })]),
            nodes: members.iter().map(|member| (member.id(), member.signed.clone())).collect(),
        };
        let mut document = Candidate::new(&contents)?;
        document.sign(&authority);
        fs::write(home.join("spool/directory"), document.to_text())?;
        let listen = members[0].signed.descriptor().address.to_string();
        let config = format!(
            "[node]\nname = \"n0\"\nroles = [\"mix\"]\nonion = \"{listen}\"\nlisten = \"{listen}\"\nsockets = \".\"\n\
             [directory]\ntrust = [\"{fingerprint}\"]\n[spool]\npath = \"spool\"\n"
        );
        fs::write(home.join("fog.toml"), config)?;
        Ok(Self { home, members })
    }

    /// Packets that the node forwards at once, to each neighbour behind it in turn.
    fn letters(&self, packets: usize) -> Outcome<Vec<Packet>> {
        let mut payload = Box::new([0; PAYLOAD_LEN]);
        clock::rng().fill_bytes(payload.as_mut_slice());
        let keys: Vec<MixKey> = self.members.iter().map(|member| MixKey::from_seed(&member.seed)).collect();
        let hop = |index: usize| Hop { id: self.members[index].id(), key: keys[index].public() };
        let letter = |n: usize| {
            let hops = [hop(0), hop(SIDE + 1 + n % SIDE)];
            let random = Randomness::draw(&mut clock::rng());
            Ok(build(&hops, &[0], Last::Deliver { delay_ms: 0 }, &payload, &random)?)
        };
        (0..packets).map(letter).collect()
    }

    fn hello() -> Hello {
        Hello { now: clock::now(), document: None }
    }
}

fn member(home: &Path, index: usize, epoch: Epoch) -> Outcome<Member> {
    let spool = home.join("spool");
    file::create_private_dir(home)?;
    file::create_private_dir(&spool)?;
    let key = NodeKey::create(&home.join("node.key"), &mut clock::rng())?;
    let mut store = Store::open(&spool)?;
    let (first, last) = (epoch.minus(1), epoch.plus(2));
    store.ensure_keys(first, last, &mut clock::rng())?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let public = |epoch| -> Option<PublicKey> { Some(MixKey::from_seed(store.mix_seed(epoch)?).public().clone()) };
    let mix_keys = (first.0..=last.0).map(Epoch).filter_map(|epoch| Some((epoch, public(epoch)?))).collect();
    let seed = store.mix_seed(epoch).ok_or("a key that was just made")?;
    let seed = Secret::filled(|bytes| bytes.copy_from_slice(seed.expose()));
    let address = NodeAddress::parse(&listener.local_addr()?.to_string())?;
    let descriptor = Descriptor {
        name: format!("n{index}"),
        sequence: 1,
        identity: key.identity.public(),
        link_key: key.link_public(),
        address,
        family: None,
        contact: None,
        version: "0.1.0".into(),
        mix: index <= SIDE,
        exit: (index > SIDE).then_some(ExitPolicy { domains: Domains::All, max_size: 1 << 20, news: false }),
        authority: None,
        measured: None,
        mix_keys,
    };
    let signed = descriptor.sign(&key.identity).map_err(|_| "no descriptor")?;
    Ok(Member { key, seed, signed, listener: (index > 0).then_some(listener) })
}

/// The node under test; it ends with this.
struct Running(Child);

impl Running {
    fn start(network: &Network) -> Outcome<Self> {
        let log = fs::File::create(network.home.join("log"))?;
        let mut node = Command::new(FOG);
        node.args(["node", "--config"]).arg(network.home.join("fog.toml")).stdin(Stdio::null()).stderr(log);
        let running = Self(node.spawn()?);
        let began = Instant::now();
        while !network.home.join("submit.sock").exists() {
            if began.elapsed() > Duration::from_secs(30) {
                return Err(fs::read_to_string(network.home.join("log"))?.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// The processor time it has had, user's and system's.
    fn cpu(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // Linux counts hundredths of a second here, whatever its own clock does.
        Ok(Duration::from_millis(10 * ticks))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Packets a second, and microseconds of the node's processor time for each.
async fn through(node: &Running, network: &Network, letters: Vec<Packet>) -> Outcome<(f64, f64)> {
    let packets = letters.len();
    let (came, mut arrivals) = mpsc::channel(packets);
    for member in &network.members[SIDE + 1..] {
        let listener = member.listener.as_ref().ok_or("a neighbour listens")?.try_clone()?;
        listener.set_nonblocking(true)?;
        let (listener, secret) = (TcpListener::from_std(listener)?, copy(&member.key.link));
        tokio::spawn(take(listener, secret, came.clone()));
    }
    let mut shares: Vec<Vec<Packet>> = (0..SIDE).map(|_| Vec::new()).collect();
    letters.into_iter().enumerate().for_each(|(n, letter)| shares[n / SIDE % SIDE].push(letter));
    let (cpu, began) = (node.cpu()?, Instant::now());
    let to = network.members[0].signed.descriptor();
    for (share, from) in shares.into_iter().zip(&network.members[1..]) {
        tokio::spawn(give(to.address.to_string(), copy(&from.key.link), to.link_key, share));
    }
    for _ in 0..packets {
        tokio::time::timeout(Duration::from_secs(60), arrivals.recv()).await?.ok_or("nobody takes packets")?;
    }
    let rate = packets as f64 / began.elapsed().as_secs_f64();
    Ok((rate, (node.cpu()? - cpu).as_micros() as f64 / packets as f64))
}

fn copy(secret: &Secret<32>) -> Secret<32> {
    Secret::filled(|bytes| bytes.copy_from_slice(secret.expose()))
}

/// A neighbour behind the node: takes what comes.
async fn take(listener: TcpListener, secret: Secret<32>, came: mpsc::Sender<()>) -> Outcome<()> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let mut link = session::respond(stream, &secret).await?.admit(&Network::hello()).await?;
    loop {
        link.receiver.packet().await?;
        link.sender.answer(Answer::DisposedOf).await?;
        came.send(()).await?;
    }
}

/// A neighbour in front of the node: sends its packets, WINDOW of them unanswered.
async fn give(address: String, secret: Secret<32>, theirs: [u8; 32], packets: Vec<Packet>) -> Outcome<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (link, _) = session::initiate(stream, &secret, &theirs, &Network::hello()).await?;
    let (mut sender, mut receiver) = (link.sender, link.receiver);
    let room = Arc::new(Semaphore::new(WINDOW));
    let more_room = Arc::clone(&room);
    let answers = async {
        for _ in 0..packets.len() {
            if receiver.answer().await? != Answer::DisposedOf {
                return Err("busy: fewer packets, or more room".into());
            }
            more_room.add_permits(1);
        }
        Ok(())
    };
    let sending = async {
        for packet in &packets {
            room.acquire().await?.forget();
            sender.packet(packet).await?;
        }
        Outcome::Ok(())
    };
    tokio::try_join!(answers, sending).map(|_| ())
}

/// The median time from the start of `fog send` to its end, in milliseconds.
fn send(network: &Network) -> Outcome<f64> {
    let mut times = Vec::new();
    for _ in 0..41 {
        let began = Instant::now();
        let mut send = Command::new(FOG)
            .args(["send", "-q", "-t", "bob@example.org", "--config"])
            .arg(network.home.join("fog.toml"))
            .stdin(Stdio::piped())
            .spawn()?;
        send.stdin.take().ok_or("no input")?.write_all(b"Subject: tea\n\nAt five, by the old oak.\n")?;
        if !send.wait()?.success() {
            return Err("fog send was refused".into());
        }
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64() * 1e3)
}

/// What peeling, Noise at both ends and custody cost by themselves.
fn parts(network: &Network, dir: &Path) -> Outcome<String> {
    let letters = network.letters(BATCH)?;
    let (key, node) = (MixKey::from_seed(&network.members[0].seed), network.members[0].id());
    let began = Instant::now();
    for letter in &letters {
        let peeled = open(letter.header(), &key, &node)?.route()?;
        let mut body = *letter.body();
        open_body(&peeled.body_key, &mut body);
        std::hint::black_box(body);
    }
    let peel = per_packet(began, letters.len());
    let noise = noise(&letters)?;
    let store = store(&dir.join("store"))?;
    Ok(format!("peel_us={peel:.0} noise_us={noise:.0} store_us={store:.0}"))
}

fn per_packet(began: Instant, packets: usize) -> f64 {
    began.elapsed().as_secs_f64() * 1e6 / packets as f64
}

/// Decrypting a packet of one link and encrypting it for another.
fn noise(letters: &[Packet]) -> Outcome<f64> {
    let builder = || -> Outcome<snow::Builder<'_>> { Ok(snow::Builder::new(PATTERN.parse()?)) };
    let keys = builder()?.generate_keypair()?;
    let mut opener = builder()?.local_private_key(&keys.private)?.remote_public_key(&keys.public)?.build_initiator()?;
    let mut answerer = builder()?.local_private_key(&keys.private)?.build_responder()?;
    let (mut message, mut plain) = (vec![0; 65_535], vec![0; 65_535]);
    let length = opener.write_message(&[], &mut message)?;
    answerer.read_message(&message[..length], &mut plain)?;
    let length = answerer.write_message(&[], &mut message)?;
    opener.read_message(&message[..length], &mut plain)?;
    let length = opener.write_message(&[], &mut message)?;
    answerer.read_message(&message[..length], &mut plain)?;
    let (mut opener, mut answerer) = (opener.into_transport_mode()?, answerer.into_transport_mode()?);
    let began = Instant::now();
    for letter in letters {
        let (first, body) = messages(letter.as_bytes());
        for part in [&first[..], &body[..]] {
            let length = opener.write_message(part, &mut message)?;
            answerer.read_message(&message[..length], &mut plain)?;
        }
    }
    Ok(per_packet(began, letters.len()))
}

/// A packet into the pool and out of it, in batches as a loaded node makes them; the disk's time is in it.
fn store(dir: &Path) -> Outcome<f64> {
    const EPOCH: Epoch = Epoch(7);
    const ROUNDS: usize = 16;
    file::create_private_dir(dir)?;
    let (mut store, mut rng) = (Store::open(dir)?, clock::rng());
    store.ensure_keys(EPOCH, EPOCH, &mut rng)?;
    let body = vec![3; BODY_LEN];
    let mut pool = Vec::new();
    let mut began = Instant::now();
    for round in 0..=ROUNDS {
        if round == 1 {
            // The first has only packets that come.
            began = Instant::now();
        }
        let mut txn = store.begin()?;
        for id in std::mem::take(&mut pool) {
            std::hint::black_box(txn.read(Shelf::Pool, id)?);
            txn.delete(Shelf::Pool, id)?;
        }
        for _ in 0..BATCH {
            txn.mark(Marks::Replay, EPOCH, rng.random())?;
            pool.push(txn.put(Shelf::Pool, EPOCH, &[1; 42], &[2; HEADER_LEN + 128], &body, &mut rng)?);
        }
        txn.commit()?;
    }
    Ok(per_packet(began, ROUNDS * BATCH))
}
