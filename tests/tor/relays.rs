//! A private Tor network: one authority and four more relays, real ones, on the loopback of a [`World`]. No exit: nothing
//! but onions can be reached through it.

use crate::mta::{run, wait_for};
use crate::world::{Running, World};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// With four, a circuit takes seconds now and then.
const RELAYS: usize = 5;
/// Between two votes, in seconds.
const INTERVAL: u64 = 10;
/// What one step of a vote takes at the least, in seconds.
const DELAY: u64 = 2;

/// The relays; they end when it is dropped.
#[derive(Debug)]
pub(crate) struct Relays {
    running: Vec<Running>,
    /// What everybody's torrc says of this network.
    pub(crate) torrc: String,
}

impl Relays {
    /// Starts them below `dir`; when this returns, each has the directory of all.
    pub(crate) fn start(world: &World, dir: &Path) -> Self {
        let homes: Vec<_> = (0..RELAYS).map(|index| dir.join(format!("relay{index}"))).collect();
        for home in &homes {
            fs::create_dir_all(home.join("keys")).unwrap();
            fs::set_permissions(home, Permissions::from_mode(0o700)).unwrap();
        }
        let torrc = everybodys(&authority(world, &homes[0]));
        let first_vote = first_vote();
        let start = |(index, home): (usize, &PathBuf)| {
            let mut text = torrc.clone() + &relays(index, home);
            if index == 0 {
                text += &authoritys(first_vote);
            }
            fs::write(home.join("torrc"), text).unwrap();
            let argv = ["tor", "--defaults-torrc", "/nonexistent", "--ignore-missing-torrc", "-f"];
            let torrc = home.join("torrc");
            Running::start(&mut world.command(&[&argv[..], &[torrc.to_str().unwrap()]].concat()), &home.join("log"))
        };
        let mut running: Vec<_> = homes.iter().enumerate().map(start).collect();
        let mut controls: Vec<_> = homes.iter().zip(&mut running).map(|(home, tor)| Control::to(home, tor)).collect();
        wait_for("a consensus with all relays", || (controls[0].usable_relays() == RELAYS).then_some(()));
        // A client that asks a relay that has none yet asks again after ten seconds. Told to read its configuration, a relay
        // tries again at once what it has failed to get.
        wait_for("the relays to have the directory", || {
            let told = controls.iter_mut().map(Control::has_directory_or_is_told).filter(|has| !has).count();
            (told == 0).then_some(())
        });
        Self { running, torrc }
    }

    /// Panics if one has ended.
    pub(crate) fn must_run(&mut self) {
        self.running.iter_mut().for_each(Running::must_run);
    }
}

/// Makes the authority's keys, and says who it is.
fn authority(world: &World, home: &Path) -> String {
    let (key, keys) = (|name: &str| home.join("keys").join(name).display().to_string(), home.join("keys"));
    let (identity, signing) = (key("authority_identity_key"), key("authority_signing_key"));
    let certificate = key("authority_certificate");
    let shell = "echo test | tor-gencert --create-identity-key -m 12 -a 127.0.0.1:7000 \
        -i \"$1\" -s \"$2\" -c \"$3\" --passphrase-fd 0";
    run(&mut world.command(&["sh", "-c", shell, "sh", &identity, &signing, &certificate]));
    let text = fs::read_to_string(keys.join("authority_certificate")).unwrap();
    let of_authority = text.lines().find_map(|line| line.strip_prefix("fingerprint ")).unwrap();
    // As an authority it doesn't start without being named, and this is its name: so it is asked as a relay.
    let home = home.to_str().unwrap();
    let plain = ["tor", "--quiet", "-f", "/nonexistent", "--defaults-torrc", "/nonexistent", "--ignore-missing-torrc"];
    let asked = ["--DataDirectory", home, "--Nickname", "relay0", "--SocksPort", "0", "--ORPort", "127.0.0.1:5000"];
    let rest = ["--Address", "127.0.0.1", "--list-fingerprint"];
    let out = run(&mut world.command(&[&plain[..], &asked, &rest].concat()));
    let said = String::from_utf8(out.stdout).unwrap();
    let of_relay: String = said.lines().last().unwrap().split(' ').skip(1).collect();
    assert_eq!(of_relay.len(), 40, "{said}");
    format!("DirAuthority relay0 orport=5000 no-v2 v3ident={of_authority} 127.0.0.1:7000 {of_relay}\n")
}

/// When the authority is to vote for the first time, in seconds of its schedule: when the relays, started now, have said
/// who they are. One that comes late waits for the next vote.
fn first_vote() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (now + 4 + 2 * DELAY) % INTERVAL
}

/// Of circuits: a network this small is known whole or not at all, and how long one takes is learned from hundreds.
fn everybodys(authority: &str) -> String {
    format!(
        "TestingTorNetwork 1\n{authority}PathsNeededToBuildCircuits 0.95\nLearnCircuitBuildTimeout 0\n\
         CircuitBuildTimeout 10\nShutdownWaitLength 2\nSafeLogging 0\n"
    )
}

/// The protections against floods would take five nodes at one address for one.
fn relays(index: usize, home: &Path) -> String {
    let dir = home.display();
    format!(
        "DataDirectory {dir}\nControlPort unix:{dir}/control\nNickname relay{index}\nSocksPort 0\nAddress 127.0.0.1\n\
         ORPort 127.0.0.1:500{index}\nAssumeReachable 1\nExitRelay 0\nExitPolicy reject *:*\nExtraInfoStatistics 0\n\
         DirReqStatistics 0\nHiddenServiceStatistics 0\nDoSCircuitCreationEnabled 0\nDoSConnectionEnabled 0\n\
         ContactInfo relay{index}@test.invalid\n"
    )
}

/// Every relay is good for all from the beginning, whatever its age and speed.
fn authoritys(first_vote: u64) -> String {
    format!(
        "DirPort 127.0.0.1:7000\nAuthoritativeDirectory 1\nV3AuthoritativeDirectory 1\nTestingDirAuthVoteGuard *\n\
         TestingDirAuthVoteHSDir *\nTestingMinExitFlagThreshold 0\nTestingMinFastFlagThreshold 0\n\
         AuthDirMaxServersPerAddr 0\nTestingV3AuthInitialVotingInterval {INTERVAL}\n\
         TestingV3AuthInitialVoteDelay {DELAY}\nTestingV3AuthInitialDistDelay {DELAY}\nV3AuthVotingInterval {INTERVAL}\n\
         V3AuthVoteDelay {DELAY}\nV3AuthDistDelay {DELAY}\nTestingV3AuthVotingStartOffset {first_vote}\n"
    )
}

/// A Tor's control socket, which asks for no password: whoever gets as far as to it is root.
#[derive(Debug)]
pub(crate) struct Control {
    stream: BufReader<UnixStream>,
    /// What it has told of its own accord.
    pub(crate) events: Vec<String>,
}

impl Control {
    fn to(home: &Path, tor: &mut Running) -> Self {
        Self::at(&home.join("control"), tor)
    }

    /// The one of `tor`, at `path`, when it is there.
    pub(crate) fn at(path: &Path, tor: &mut Running) -> Self {
        let stream = wait_for("Tor's control socket", || {
            tor.must_run();
            UnixStream::connect(path).ok()
        });
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut control = Self { stream: BufReader::new(stream), events: Vec::new() };
        control.ask("AUTHENTICATE");
        control
    }

    /// The lines of its answer, without their codes.
    pub(crate) fn ask(&mut self, request: &str) -> Vec<String> {
        self.stream.get_mut().write_all(format!("{request}\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        loop {
            let line = self.line();
            let (code, rest) = line.split_at(4);
            if let Some(kind) = code.strip_prefix("650") {
                assert_eq!(kind, " ", "an event of one line: {line}");
                self.events.push(rest.to_owned());
                continue;
            }
            answer.push(rest.to_owned());
            if code.ends_with('+') {
                answer.extend(std::iter::from_fn(|| Some(self.line()).filter(|line| line != ".")));
            }
            if code.ends_with(' ') {
                return answer;
            }
        }
    }

    /// How many relays there are in the consensus that can be all that a relay has to be here.
    fn usable_relays(&mut self) -> usize {
        let lines = self.ask("GETINFO ns/all");
        let flags = lines.iter().filter_map(|line| line.strip_prefix("s "));
        flags.filter(|flags| ["Running", "HSDir", "Guard"].iter().all(|flag| flags.contains(flag))).count()
    }

    fn has_directory_or_is_told(&mut self) -> bool {
        let has = self.ask("GETINFO status/enough-dir-info")[0].ends_with("=1");
        if !has {
            self.ask("SIGNAL RELOAD");
        }
        has
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Err(error) if error.kind() == ErrorKind::InvalidData => panic!("no text: {error}"),
            read => assert!(read.unwrap() > 0, "Tor has closed its control socket"),
        }
        line.trim_end_matches(['\r', '\n']).to_owned()
    }
}
