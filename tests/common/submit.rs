//! `fog send`, the real binary, and a node that answers it.

#![allow(dead_code, reason = "each test uses a part")]

use fog::id::{MessageId, QueueId};
use fog::submit::{Outcome, Reply, Request};
use fog::wire::PREFIX_LEN;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

pub(crate) const FOG: &str = env!("CARGO_BIN_EXE_fog");
const MAX_MAIL: usize = 65 << 20;
const ACCEPTED: Outcome = Outcome::Accepted(MessageId([7; 16]), QueueId([7; 6]));

/// `fog` with these arguments and this on its standard input.
pub(crate) fn fog(args: &[&str], input: &[u8]) -> Output {
    fog_in(&[], args, input)
}

/// The same, with these variables in its environment.
pub(crate) fn fog_in(env: &[(&str, &str)], args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(FOG)
        .args(args)
        .env("FOG_CONFIG", "/nonexistent/fog.toml")
        .env_remove("MESSAGE_ID")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A fog that doesn't read its input closes the pipe: no error here.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("fog was not killed by a signal")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A node that answers one request with `reply` (or just goes away), and tells what it was asked.
pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    heard: JoinHandle<Vec<Option<Request>>>,
}

impl Node {
    pub(crate) fn start(reply: Option<Reply>) -> Self {
        Self::start_with(vec![reply])
    }

    /// One that answers as many requests as there are replies.
    pub(crate) fn start_with(replies: Vec<Option<Reply>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("submit.sock")).unwrap();
        let heard = thread::spawn(move || replies.into_iter().map(|reply| answer(&listener, reply)).collect());
        Self { dir, heard }
    }

    pub(crate) fn socket(&self) -> String {
        self.dir.path().join("submit.sock").to_str().unwrap().to_owned()
    }

    pub(crate) fn heard(self) -> Request {
        self.all_heard().pop().unwrap()
    }

    pub(crate) fn all_heard(self) -> Vec<Request> {
        self.heard.join().unwrap().into_iter().map(|request| request.expect("a whole request")).collect()
    }
}

fn answer(listener: &UnixListener, reply: Option<Reply>) -> Option<Request> {
    let (mut stream, _) = listener.accept().unwrap();
    let request = read_request(&mut stream);
    if let Some(reply) = reply {
        let _ = stream.write_all(&reply.encode().unwrap());
    }
    request
}

pub(crate) fn read_request(stream: &mut UnixStream) -> Option<Request> {
    let mut prefix = [0; PREFIX_LEN];
    stream.read_exact(&mut prefix).ok()?;
    let mut body = vec![0; Request::body_len(prefix, MAX_MAIL).unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(Request::decode(&body, MAX_MAIL).unwrap())
}

pub(crate) fn accepting(n: usize) -> Option<Reply> {
    Some(Reply { outcomes: vec![ACCEPTED; n] })
}

pub(crate) fn no_socket() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("submit.sock").to_str().unwrap().to_owned();
    (dir, socket)
}

/// An MTA's run: 0 and silence, or 75 and one line that starts with a status and holds nothing of the mail.
pub(crate) fn deferred_line(args: &[&str], input: &[u8]) -> Option<String> {
    line_of(&fog(args, input))
}

pub(crate) fn line_of(output: &Output) -> Option<String> {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stderr.is_empty(), "on standard error: {stderr}");
    if code(output) == 0 {
        assert_eq!(stdout, "", "a silent success");
        return None;
    }
    assert_eq!(code(output), 75, "{stdout}");
    let line = stdout;
    assert!(line.starts_with("4.") && line.contains(" fog: ") && !line.contains('\n'), "{stdout}");
    for secret in ["canary", "alice", "sender", "4jXqueue", "@"] {
        assert!(!line.contains(secret), "{line}");
    }
    Some(line.to_owned())
}
