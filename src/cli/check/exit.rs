//! The exit's MTA: whether it is there, takes mail from us, and delivers what is for whom an exit's operator has to be.

use super::finding::Finding;
use crate::config::{Deliver, Exit, Place};
use crate::directory::NodeAddress;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// The longest answer that is read.
const MAX_ANSWER: u64 = 16 << 10;

/// What there is to say of where mail goes.
pub(super) fn target(exit: &Exit) -> Vec<Finding> {
    match &exit.deliver {
        Deliver::Smtp(place) => by_smtp(place, exit),
        other => vec![taker(other)],
    }
}

/// Whether there is somebody at the place where mail is handed over.
pub(super) fn taker(deliver: &Deliver) -> Finding {
    match deliver {
        Deliver::Smtp(Place::Tcp(address)) => reached(address.to_string(), connect(address).and_then(greet)),
        Deliver::Smtp(Place::Unix(path)) => reached(path.display().to_string(), patient(path).and_then(greet)),
        Deliver::Lmtp(Place::Tcp(address)) => reached(address.to_string(), connect(address).map(drop)),
        Deliver::Lmtp(Place::Unix(path)) => reached(path.display().to_string(), UnixStream::connect(path).map(drop)),
        Deliver::Sendmail(program) => sendmail(program),
        Deliver::Maildir(dir) => maildir(dir),
    }
}

fn reached(place: String, answer: io::Result<()>) -> Finding {
    match answer {
        Ok(()) => Finding::good("exit", format!("{place} takes connections")),
        Err(error) => away(&place, &error),
    }
}

fn away(place: &str, error: &io::Error) -> Finding {
    Finding::wrong("exit", format!("{place}: {error}; mail for the world waits"))
        .hint("start the MTA, or change exit.deliver")
}

fn by_smtp(place: &Place, exit: &Exit) -> Vec<Finding> {
    let domain = exit.from.address.domain();
    let (shown, answers) = match place {
        Place::Tcp(address) => (address.to_string(), connect(address).and_then(|stream| ask(stream, domain))),
        Place::Unix(path) => (path.display().to_string(), patient(path).and_then(|stream| ask(stream, domain))),
    };
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => return vec![away(&shown, &error)],
    };
    let mut findings = vec![reached(shown, Ok(()))];
    let [abuse, postmaster, nobody] = answers;
    for (name, code) in [("abuse", abuse), ("postmaster", postmaster)] {
        findings.push(if code / 100 == 2 && nobody / 100 == 2 {
            Finding::careful(
                "exit",
                format!("the MTA takes any address here; whether {name}@{domain} is somebody's can't be seen"),
            )
            .hint(format!("write to {name}@{domain}, and see it arrive"))
        } else if code / 100 == 2 {
            Finding::good("exit", format!("{name}@{domain} is somebody's"))
        } else {
            Finding::wrong("exit", format!("the MTA refuses {name}@{domain} ({code}): complaints reach nobody"))
                .hint(format!("make it an alias of a person: echo '{name}: root' >> /etc/aliases && newaliases"))
        });
    }
    findings
}

fn patient(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Says hello to an MTA, and goes.
fn greet(stream: impl Read + Write) -> io::Result<()> {
    let mut smtp = Smtp(BufReader::new(stream));
    smtp.expect_good("")?;
    smtp.expect_good("EHLO localhost")?;
    // It may be gone already: what was asked is answered.
    let _ = smtp.say("QUIT");
    Ok(())
}

fn connect(address: &NodeAddress) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (address.host(), address.port()).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The MTA's answers to recipients abuse@, postmaster@ and one that nobody has; no mail is handed over.
fn ask(stream: impl Read + Write, domain: &str) -> io::Result<[u16; 3]> {
    let mut smtp = Smtp(BufReader::new(stream));
    smtp.expect_good("")?;
    smtp.expect_good("EHLO localhost")?;
    smtp.expect_good("MAIL FROM:<>")?;
    let mut to = |local: &str| smtp.say(&format!("RCPT TO:<{local}@{domain}>"));
    let codes = [to("abuse")?, to("postmaster")?, to("fog-check-of-an-address-that-nobody-has")?];
    smtp.say("RSET")?;
    // It may be gone already: all that was asked is answered.
    let _ = smtp.say("QUIT");
    Ok(codes)
}

struct Smtp<S>(BufReader<S>);

impl<S: Read + Write> Smtp<S> {
    /// Says a line, or nothing, and gives the code that answers it.
    fn say(&mut self, line: &str) -> io::Result<u16> {
        if !line.is_empty() {
            self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        }
        let mut left = MAX_ANSWER;
        loop {
            let mut answer = Vec::new();
            let read = Read::take(&mut self.0, left).read_until(b'\n', &mut answer)?;
            left = left.saturating_sub(read as u64);
            let text = String::from_utf8_lossy(&answer);
            let code = text.get(..3).and_then(|code| code.parse().ok());
            match (code, text.as_bytes().get(3)) {
                (Some(_), Some(b'-')) => {}
                (Some(code), _) if text.ends_with('\n') => return Ok(code),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "what answers there speaks no SMTP")),
            }
        }
    }

    fn expect_good(&mut self, line: &str) -> io::Result<()> {
        match self.say(line)? {
            200..300 => Ok(()),
            code => Err(io::Error::other(format!("it answers {code}"))),
        }
    }
}

fn sendmail(program: &Path) -> Finding {
    let shown = program.display();
    match fs::metadata(program) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
            Finding::careful("exit", format!("{shown} shows each recipient in ps(1) while it runs"))
                .hint("let it take SMTP instead: exit.deliver = \"smtp:127.0.0.1:25\"")
        }
        Ok(_) => Finding::wrong("exit", format!("{shown} is no program: mail for the world waits")),
        Err(error) => away(&shown.to_string(), &error),
    }
}

fn maildir(dir: &Path) -> Finding {
    let shown = dir.display();
    if dir.is_dir() || dir.parent().is_some_and(Path::is_dir) {
        Finding::good("exit", format!("mail goes into {shown}, and to nobody else"))
    } else {
        Finding::wrong("exit", format!("{shown} is not there, nor what it would lie in"))
            .hint("make it, or change exit.deliver")
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::config::From;
    use crate::directory::Domains;
    use crate::mail::address::Address;
    use std::net::TcpListener;
    use std::thread;

    fn exit(deliver: Deliver) -> Exit {
        let from = From { name: String::new(), address: Address::parse("anonymous@exit.example").unwrap() };
        let domains = Domains::All;
        let (news, comment) = (vec![], String::new());
        let max_size = None;
        Exit { deliver, from, envelope_from: None, max_size, domains, news, per_recipient: None, rate: None, comment }
    }

    /// An MTA that answers each line that it hears with the next of these.
    fn mta(answers: &'static [&'static str]) -> Deliver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = BufReader::new(stream.try_clone().unwrap());
            for answer in answers {
                stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
                let _ = heard.read_line(&mut String::new());
            }
        });
        Deliver::Smtp(Place::Tcp(NodeAddress::parse(&address).unwrap()))
    }

    fn states(deliver: Deliver) -> Vec<State> {
        target(&exit(deliver)).iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn who_has_to_be_reached_is_asked_for_and_no_mail_is_sent() {
        let good = &["220 x ESMTP", "250-x\r\n250 SIZE", "250 ok", "250 ok", "250 ok", "550 no", "250 ok", "221 bye"];
        assert_eq!(states(mta(good)), [State::Good; 3]);
        let any = &["220 x ESMTP", "250 x", "250 ok", "250 ok", "250 ok", "250 ok", "250 ok", "221 bye"];
        assert_eq!(states(mta(any)), [State::Good, State::Careful, State::Careful]);
        let nobody = &["220 x", "250 x", "250 ok", "550 5.1.1 who?", "250 ok", "550 no", "250 ok", "221 bye"];
        let found = target(&exit(mta(nobody)));
        assert_eq!(found[1].says, "the MTA refuses abuse@exit.example (550): complaints reach nobody");
        assert_eq!(found[2].state, State::Good);
    }

    #[test]
    fn who_only_hands_over_notices_needs_no_mailboxes_of_an_exit() {
        let found = taker(&mta(&["220 x ESMTP", "250 x", "221 bye"]));
        assert_eq!((found.state, found.hint.is_none()), (State::Good, true), "{found:?}");
        assert_eq!(taker(&mta(&["554 go away"])).state, State::Wrong);
    }

    #[test]
    fn an_mta_that_is_none_is_told() {
        for answers in [&["554 go away"][..], &["SSH-2.0-x"], &["220 x", "250 x", "450 later"], &[]] {
            assert_eq!(states(mta(answers)), [State::Wrong], "{answers:?}");
        }
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let found = target(&exit(Deliver::Smtp(Place::Tcp(NodeAddress::parse(&gone).unwrap()))));
        assert!(found[0].state == State::Wrong && found[0].says.contains("refused"), "{found:?}");
    }

    #[test]
    fn other_ways_are_looked_at_where_they_end() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(states(Deliver::Maildir(dir.path().join("mail"))), [State::Good]);
        assert_eq!(states(Deliver::Maildir(dir.path().join("none/mail"))), [State::Wrong]);
        assert_eq!(states(Deliver::Sendmail("/bin/sh".into())), [State::Careful]);
        assert_eq!(states(Deliver::Sendmail(dir.path().to_owned())), [State::Wrong]);
        assert_eq!(states(Deliver::Lmtp(Place::Unix(dir.path().join("none")))), [State::Wrong]);
    }
}
