//! How long a refusal takes says nothing of what was wrong, and no key shows in how long its use takes: counted in
//! instructions by valgrind, which are the same at each run, and not in nanoseconds, which on a busy machine are not.
//! `every_case_is_what_it_says` is what valgrind counts; it runs without it too.
//!
//! It counts what this build executes: `make soak` does it with the optimised one. Caches are not looked at. A point of
//! the twist takes another way through X25519 than one of the curve, and is compared with its like: it stands in the
//! packet for all to see.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "valgrind runs this program again")]

use fog::id::NodeId;
use fog::secret::Secret;
use fog::sphinx::geometry::{AD_LEN, BODY_LEN, BODY_TAG_LEN, HEADER_LEN, KEM_CT_LEN, MAC_LEN, X25519_LEN};
use fog::sphinx::xwing::MixKey;
use fog::sphinx::{self, BodyKey, Hop, Last, PeelError, Randomness, open, open_body, payload_of};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::{env, fs};

/// The calls that are counted, by the name that valgrind shows.
const MEASURED: [&str; 4] = ["refuse_header", "refuse_twisted", "refuse_body", "decrypt_body"];

#[inline(never)]
fn refuse_header(header: &[u8; HEADER_LEN], key: &MixKey, node: &NodeId) -> bool {
    black_box(open(header, key, node).err()) == Some(PeelError::BadMac)
}

#[inline(never)]
fn refuse_twisted(header: &[u8; HEADER_LEN], key: &MixKey, node: &NodeId) -> bool {
    black_box(open(header, key, node).err()) == Some(PeelError::BadMac)
}

#[inline(never)]
fn refuse_body(body: &[u8; BODY_LEN]) -> bool {
    black_box(payload_of(body).err()) == Some(PeelError::BadBody)
}

#[inline(never)]
fn decrypt_body(key: &BodyKey, body: &mut [u8; BODY_LEN]) -> bool {
    let before = black_box([body[0], body[1], body[2], body[3]]);
    open_body(key, body);
    black_box([body[0], body[1], body[2], body[3]]) != before
}

fn random<const N: usize>(rng: &mut StdRng) -> Box<[u8; N]> {
    let mut bytes = vec![0; N];
    rng.fill_bytes(&mut bytes);
    bytes.into_boxed_slice().try_into().unwrap()
}

/// A node, and headers that it refuses, each for another reason or at another place: those whose X25519 point is on the
/// curve, and those where it is on the twist.
struct Refused {
    key: MixKey,
    node: NodeId,
    on_curve: Vec<Box<[u8; HEADER_LEN]>>,
    on_twist: Vec<Box<[u8; HEADER_LEN]>>,
}

fn refused_headers(rng: &mut StdRng) -> Refused {
    let (key, node) = (MixKey::from_seed(&Secret::take(&mut random(rng))), NodeId(*random(rng)));
    let mut build = |key: &MixKey| {
        let hop = Hop { id: node, key: key.public() };
        let packet = sphinx::build(&[hop], &[], Last::Drop, &random(rng), &Randomness::draw(rng)).unwrap();
        Box::new(*packet.header())
    };
    let (good, other_key) = (build(&key), MixKey::from_seed(&Secret::filled(|seed| seed.fill(5))));
    assert_eq!(open(&good, &key, &node).err(), None);
    let (route, point) = (AD_LEN + KEM_CT_LEN, AD_LEN + KEM_CT_LEN - X25519_LEN);
    let changed = |at: usize| {
        let mut header = good.clone();
        header[at] ^= 1;
        header
    };
    let places = (HEADER_LEN - MAC_LEN..HEADER_LEN).chain([AD_LEN, AD_LEN + 500, point - 1, route, route + 3000]);
    let mut on_curve: Vec<_> = places.map(changed).collect();
    let mut no_point = good.clone();
    no_point[point..route].fill(0);
    on_curve.extend([no_point, build(&other_key)]);
    // Half of all points are on the twist.
    let with_point = |x: u8| {
        let mut header = good.clone();
        header[point..route].fill(0);
        header[point] = x;
        header
    };
    let on_twist = (2..40).filter(|x| is_on_twist(*x)).map(with_point).collect();
    Refused { key, node, on_curve, on_twist }
}

/// Whether the Montgomery point with this small coordinate is on the twist of Curve25519.
fn is_on_twist(x: u8) -> bool {
    let mut bytes = [0; 32];
    bytes[0] = x;
    curve25519_dalek::MontgomeryPoint(bytes).to_edwards(0).is_none()
}

/// Bodies whose zeros are broken at one place, at all, or not before the last byte.
fn refused_bodies(rng: &mut StdRng) -> Vec<Box<[u8; BODY_LEN]>> {
    let mut bodies: Vec<_> = (0..BODY_TAG_LEN)
        .map(|at| {
            let mut body = random::<BODY_LEN>(rng);
            body[..BODY_TAG_LEN].fill(0);
            body[at] = 1;
            body
        })
        .collect();
    bodies.push(random(rng));
    bodies
}

/// Calls everything that is to be counted; says how often each. What is handed over lies in one place each time, since how
/// long a copy takes depends on where it begins.
fn run_cases() -> BTreeMap<&'static str, usize> {
    let mut rng = StdRng::seed_from_u64(1);
    let Refused { key, node, on_curve, on_twist } = refused_headers(&mut rng);
    let mut header = Box::new([0; HEADER_LEN]);
    for case in &on_curve {
        header.copy_from_slice(&**case);
        assert!(refuse_header(&header, &key, &node));
    }
    for case in &on_twist {
        header.copy_from_slice(&**case);
        assert!(refuse_twisted(&header, &key, &node));
    }
    let (mut body, bodies) = (Box::new([0; BODY_LEN]), refused_bodies(&mut rng));
    for case in &bodies {
        body.copy_from_slice(&**case);
        assert!(refuse_body(&body));
    }
    let keys: Vec<_> = (0..3).map(|_| BodyKey::from_bytes(&random(&mut rng))).collect();
    for key in &keys {
        rng.fill_bytes(&mut *body);
        assert!(decrypt_body(key, &mut body));
    }
    let counts = [on_curve.len(), on_twist.len(), bodies.len(), keys.len()];
    MEASURED.into_iter().zip(counts).collect()
}

#[test]
fn every_case_is_what_it_says() {
    assert!(run_cases().values().all(|count| *count > 1));
}

/// How many instructions valgrind counted for each call of one function, in the order of the calls. One at a time: of
/// several it counts the first alone.
fn counted(name: &str) -> Vec<u64> {
    let dir = tempfile::tempdir().unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--collect-atstart=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", dir.path().join("counts").display()));
    valgrind.arg(format!("--toggle-collect=constant_time::{name}")).arg(format!("--dump-after=constant_time::{name}"));
    valgrind.arg(env::current_exe().unwrap()).args(["--exact", "every_case_is_what_it_says", "--test-threads=1"]);
    let ran = valgrind.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut dumps: Vec<(usize, String)> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| Some((path.extension()?.to_str()?.parse().ok()?, fs::read_to_string(&path).unwrap())))
        .collect();
    dumps.sort();
    let after_call = dumps.iter().filter(|(_, dump)| dump.contains("desc: Trigger: --dump-after="));
    let total =
        |dump: &str| dump.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap().trim().parse().unwrap();
    after_call.map(|(_, dump)| total(dump)).collect()
}

#[test]
fn attack_15_refusals_and_keys_do_not_show_in_what_is_executed() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(env::var_os("FOG_REQUIRE_VALGRIND").is_none(), "valgrind is missing (package valgrind)");
        eprintln!("skipped: valgrind is missing");
        return;
    }
    for (name, calls) in run_cases() {
        let counts = counted(name);
        assert_eq!(counts.len(), calls, "{name}: {counts:?}");
        assert!(counts[0] > 100, "{name}: nothing was counted: {counts:?}");
        let other: Vec<_> = counts.iter().enumerate().filter(|(_, count)| **count != counts[0]).collect();
        assert!(other.is_empty(), "{name}: call 0 executes {}, others {other:?}", counts[0]);
    }
}
