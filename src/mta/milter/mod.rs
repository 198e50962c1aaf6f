//! The MTA's mail filter: takes what is for the network out of its hands before it is in its queue and its log.
//!
//! A session tells one `Mail` after the other what comes in. Of most it needs the recipients only: then the MTA is told
//! at once to go on without us. The others are decided at their end, when the node has them on disk. Until then nothing is
//! taken out of the mail, so that whatever breaks leaves it whole with its client.

mod door;
mod mail;
mod node;
mod recipient;
mod refusal;
mod room;

pub use door::{Door, DoorError};
pub use mail::Policy;
pub use node::{Event, watch};

use crate::sys::clock;
use indymilter::{
    ActionError, Actions, Callbacks, Config, Context, ContextActions as _, EomContext, MacroStage, NegotiateContext,
    ProtoOpts, SetErrorReply as _, SocketInfo, Status,
};
use mail::{Client, From, Mail, Rest};
use node::Node;
use refusal::Refusal;
use room::Room;
use std::ffi::{CStr, CString};
use std::future::{Future, ready};
use std::io;
use std::sync::Arc;
use tokio::sync::watch::Receiver;

/// Sessions at once. Postfix has up to 100 clients; with those who talk to the node they are fewer than the 1024 files that
/// a process may have open.
const SESSIONS: usize = 800;

/// Bytes of mails that are coming in, of all sessions together.
const ROOM: usize = 96 << 20;

/// Threads that talk to the node; more mails than that wait for their turn.
pub const THREADS: usize = 64;

/// What all sessions share.
struct Shared {
    policy: Receiver<Arc<Policy>>,
    room: Arc<Room>,
    node: Node,
}

/// One connection of the MTA.
struct Session {
    client: Client,
    /// What the MTA has agreed to.
    agreed: ProtoOpts,
    mail: Option<Mail>,
}

impl Session {
    /// The answer to a step that needs none.
    fn nothing_to_say(&self, unasked: ProtoOpts) -> Status {
        if self.agreed.contains(unasked) { Status::Noreply } else { Status::Continue }
    }
}

/// Serves the MTA by the newest `policy` until `stop` comes true, and then until the mails in hand are answered.
///
/// # Errors
/// None that a [`Door`] could be the cause of.
pub async fn serve(door: Door, policy: Receiver<Arc<Policy>>, stop: impl Future<Output = ()>) -> io::Result<()> {
    let shared = Arc::new(Shared { policy, room: Room::new(ROOM), node: Node::new() });
    let (for_mail, for_end) = (Arc::clone(&shared), shared);
    let callbacks = Callbacks::new()
        .on_negotiate(|cx, actions, opts| {
            negotiate(cx, actions, opts);
            Box::pin(ready(Status::Continue))
        })
        .on_connect(|cx, _, client| Box::pin(ready(connect(cx, &client))))
        .on_mail(move |cx, args| Box::pin(ready(begin_mail(&for_mail, cx, &args))))
        .on_rcpt(|cx, args| Box::pin(ready(recipient(cx, &args))))
        .on_data(|cx| Box::pin(ready(go_on(cx, Mail::begin))))
        .on_header(|cx, name, value| Box::pin(ready(field(cx, &name, &value))))
        .on_eoh(|cx| Box::pin(ready(go_on(cx, Mail::end_of_header))))
        .on_body(|cx, chunk| Box::pin(ready(body(cx, &chunk))))
        .on_eom(move |cx| Box::pin(end(Arc::clone(&for_end), cx)))
        .on_abort(|cx| {
            forget(cx);
            Box::pin(ready(Status::Continue))
        })
        .on_close(|cx| {
            forget(cx);
            Box::pin(ready(Status::Continue))
        });
    let config = Config { max_connections: SESSIONS, ..Config::default() };
    indymilter::run(door, callbacks, config, stop).await
}

/// Asks for the steps and names that are needed and for no others: most of what goes over the socket is mail that is none
/// of our business.
fn negotiate(cx: &mut NegotiateContext<Session>, actions: Actions, opts: ProtoOpts) {
    const UNASKED: ProtoOpts = ProtoOpts::NOREPLY_CONNECT
        .union(ProtoOpts::NOREPLY_MAIL)
        .union(ProtoOpts::NOREPLY_RCPT)
        .union(ProtoOpts::NOREPLY_HEADER)
        .union(ProtoOpts::LEADING_SPACE);
    cx.requested_opts |= opts & UNASKED;
    // Without these a mail could only be refused: the session ends, and the MTA takes no mail.
    cx.requested_actions = Actions::DELETE_RCPT | Actions::CHANGE_SENDER | (actions & Actions::REQUEST_MACROS);
    for (stage, names) in [
        (MacroStage::Connect, c""),
        (MacroStage::Helo, c""),
        (MacroStage::Mail, c"{mail_addr} {auth_authen}"),
        (MacroStage::Rcpt, c"{rcpt_addr} {rcpt_mailer}"),
        (MacroStage::Data, c""),
        (MacroStage::Eom, c"i"),
    ] {
        cx.requested_macros.insert(stage, names.to_owned());
    }
    cx.data = Some(Session { client: Client::Smtp(None), agreed: cx.requested_opts, mail: None });
}

fn connect(cx: &mut Context<Session>, client: &SocketInfo) -> Status {
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    session.client = match client {
        // Postfix lets a mail of its sendmail program come from port 0 of the machine itself.
        SocketInfo::Inet(at) if at.port() == 0 && at.ip().to_canonical().is_loopback() => Client::Sendmail,
        SocketInfo::Inet(at) => Client::Smtp(Some(at.ip())),
        SocketInfo::Unix(_) | SocketInfo::Unknown => Client::Smtp(None),
    };
    session.nothing_to_say(ProtoOpts::NOREPLY_CONNECT)
}

fn begin_mail(shared: &Shared, cx: &mut Context<Session>, args: &[CString]) -> Status {
    let user = word(&cx.macros, c"{auth_authen}").map(|user| String::from_utf8_lossy(user).into_owned());
    let rewritten = word(&cx.macros, c"{mail_addr}");
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    let typed = args.first().map_or(&b""[..], |arg| arg.to_bytes());
    let policy = Arc::clone(&shared.policy.borrow());
    let from = From { client: session.client, user, typed, rewritten };
    session.mail = Some(Mail::new(policy, from, shared.room.share()));
    session.nothing_to_say(ProtoOpts::NOREPLY_MAIL)
}

fn recipient(cx: &mut Context<Session>, args: &[CString]) -> Status {
    let (rewritten, mailer) = (word(&cx.macros, c"{rcpt_addr}"), word(&cx.macros, c"{rcpt_mailer}"));
    let typed = args.first().map_or(&b""[..], |arg| arg.to_bytes());
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    let Some(mail) = &mut session.mail else { return Status::Tempfail };
    mail.recipient(typed, rewritten, mailer);
    session.nothing_to_say(ProtoOpts::NOREPLY_RCPT)
}

/// A step after which the mail may turn out to be none of our business: the MTA goes on without us then.
fn go_on(cx: &mut Context<Session>, step: impl FnOnce(&mut Mail) -> bool) -> Status {
    let Some(mail) = cx.data.as_mut().and_then(|session| session.mail.as_mut()) else { return Status::Tempfail };
    if step(mail) {
        return Status::Continue;
    }
    forget(cx);
    Status::Accept
}

fn field(cx: &mut Context<Session>, name: &CStr, value: &CStr) -> Status {
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    let Some(mail) = &mut session.mail else { return Status::Tempfail };
    let exact = session.agreed.contains(ProtoOpts::LEADING_SPACE);
    let space: &[u8] = if exact { b"" } else { b" " };
    mail.field(name.to_bytes(), &[space, value.to_bytes()].concat());
    session.nothing_to_say(ProtoOpts::NOREPLY_HEADER)
}

fn body(cx: &mut Context<Session>, chunk: &[u8]) -> Status {
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    let Some(mail) = &mut session.mail else { return Status::Tempfail };
    if mail.body(chunk) || !session.agreed.contains(ProtoOpts::SKIP) { Status::Continue } else { Status::Skip }
}

fn forget(cx: &mut Context<Session>) {
    if let Some(session) = &mut cx.data {
        session.mail = None;
    }
}

/// The whole mail is there. First the node has it, then the MTA is told to let go of it.
async fn end(shared: Arc<Shared>, cx: &mut EomContext<Session>) -> Status {
    let Some(mut mail) = cx.data.as_mut().and_then(|session| session.mail.take()) else {
        return refuse(cx, &Refusal::OUT_OF_TURN, None).await;
    };
    let queue_id = word(&cx.macros, c"i").unwrap_or_default();
    let taken = match mail.end(queue_id, clock::now()) {
        Ok(request) => {
            shared
                .node
                .take(&mail.policy.socket, request, std::mem::replace(&mut mail.share, shared.room.share()))
                .await
        }
        Err(refusal) => Err(refusal),
    };
    match taken {
        Ok(()) => take_out(cx, &mail).await.unwrap_or(Status::Tempfail),
        Err(refusal) => refuse(cx, &refusal, Some(mail.client)).await,
    }
}

/// Takes out of the mail what has gone through the network. If that fails the connection is gone, and the client will
/// send the mail again: it is known then.
async fn take_out(cx: &EomContext<Session>, mail: &Mail) -> Result<Status, ActionError> {
    let rest = mail.rest();
    if rest != Rest::Others {
        change_sender(cx).await?;
    }
    if rest == Rest::Discard {
        return Ok(Status::Discard);
    }
    for form in mail.forms() {
        cx.actions.delete_recipient(CString::new(form).unwrap_or_default()).await?;
    }
    Ok(Status::Continue)
}

/// Tells the client why, and leaves no sender in the MTA's log: a refusal puts a line there, with the last recipient.
async fn refuse(cx: &mut EomContext<Session>, refusal: &Refusal, client: Option<Client>) -> Status {
    // A mail that sendmail brought is returned to its sender, who has to be there for that.
    let is_returned = refusal.is_permanent() && client == Some(Client::Sendmail);
    if !is_returned && change_sender(cx).await.is_err() {
        return Status::Tempfail;
    }
    // Without it the MTA has its own words.
    let _ = cx.reply.set_error_reply(refusal.code(), Some(refusal.status), [&*refusal.text]);
    if refusal.is_permanent() { Status::Reject } else { Status::Tempfail }
}

async fn change_sender(cx: &EomContext<Session>) -> Result<(), ActionError> {
    cx.actions.change_sender(c"<>", None::<&CStr>).await
}

/// What the MTA says under this name, if anything.
fn word<'a>(macros: &'a indymilter::Macros, name: &CStr) -> Option<&'a [u8]> {
    macros.get(name).map(CStr::to_bytes).filter(|word| !word.is_empty())
}
