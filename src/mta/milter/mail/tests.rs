//! What becomes of a mail, step by step, without a socket.

use super::*;
use crate::config::Rule;
use crate::mta::milter::room::Room;

fn policy(rules: &[&str]) -> Policy {
    Policy {
        socket: PathBuf::new(),
        suffix: "fog".into(),
        rules: Rules(rules.iter().map(|text| Rule::parse(text).expect(text)).collect()),
        networks: vec![Subnet::parse("127.0.0.0/8").unwrap()],
        max_mail: 1000,
        on_full_divert: FullDivert::Erase,
        mixed: Mixed::Split,
    }
}

const NEAR: Client = Client::Smtp(Some(IpAddr::V4(core::net::Ipv4Addr::LOCALHOST)));
const FAR: Client = Client::Smtp(Some(IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1))));

fn ann(client: Client, user: Option<&str>) -> From<'static> {
    From { client, user: user.map(str::to_owned), typed: b"<ann@home.example>", rewritten: None }
}

fn mail(policy: Policy, client: Client, user: Option<&str>, recipients: &[&str]) -> Mail {
    let share = Room::new(1 << 20).share();
    let mut mail = Mail::new(Arc::new(policy), ann(client, user), share);
    for recipient in recipients {
        mail.recipient(recipient.as_bytes(), None, None);
    }
    mail
}

/// The recipients that the node is asked for, or what the client is told; none if the MTA goes on without us.
fn run(mut mail: Mail, fields: &[(&str, &str)]) -> Option<Result<(Vec<String>, Rest), Refusal>> {
    if !mail.begin() {
        return None;
    }
    for (name, value) in fields {
        mail.field(name.as_bytes(), value.as_bytes());
    }
    if !mail.end_of_header() {
        return None;
    }
    mail.body(b"hi\r\n");
    let request = match mail.end(b"QUEUE1", Time::from_secs(1)) {
        Ok(request) => request,
        Err(refusal) => return Some(Err(refusal)),
    };
    Some(Ok((request.recipients.iter().map(ToString::to_string).collect(), mail.rest())))
}

#[test]
fn mail_for_others_is_let_go_before_its_text_comes() {
    for client in [NEAR, FAR, Client::Sendmail, Client::Smtp(None)] {
        let others = mail(policy(&[]), client, None, &["<a@x.org>", "<b@x.org>"]);
        assert_eq!(run(others, &[]), None);
    }
    // A rule that can't fit doesn't keep it either.
    assert!(!mail(policy(&["fog if user bob and header X-Fog"]), NEAR, Some("ann"), &["<a@x.org>"]).begin());
    let mut others = mail(policy(&["fog if header X-Fog"]), NEAR, None, &["<a@x.org>"]);
    assert!(others.begin());
    others.field(b"Subject", b" X-Fog: yes");
    assert!(!others.end_of_header());
}

#[test]
fn who_gets_the_mail_is_what_addresses_and_rules_say() {
    let fog = |to: &[&str]| to.iter().map(|to| (*to).to_owned()).collect::<Vec<_>>();
    let rule = &["leave if header X-Fog: no", "fog if header X-Fog", "fog if user bob"][..];
    for (rules, user, recipients, fields, want) in [
        (&[][..], None, &["<a@x.fog>"][..], &[][..], (fog(&["a@x.fog"]), Rest::Nobody)),
        (&[], None, &["<a@x.fog>", "<A@X.FOG.>", "<a@x.fog>"], &[], (fog(&["a@x.fog", "A@x.fog"]), Rest::Nobody)),
        (&[], None, &["<a@x.fog>", "<b@x.org>"], &[], (fog(&["a@x.fog"]), Rest::Others)),
        (&[], None, &["<anon@fog.invalid>"], &[("Anon-To", " c@x.org")], (fog(&["c@x.org.fog"]), Rest::Nobody)),
        (rule, None, &["<a@x.org>"], &[("x-fog", " yes")], (fog(&["a@x.org.fog"]), Rest::Discard)),
        (rule, None, &["<a@x.org>", "<b@x.fog>"], &[("X-Fog", "")], (fog(&["a@x.org.fog", "b@x.fog"]), Rest::Discard)),
        (rule, None, &["<a@x.org>", "<b@x.fog>"], &[("X-Fog", " no")], (fog(&["b@x.fog"]), Rest::Others)),
        (rule, Some("bob"), &["<a@x.org>"], &[], (fog(&["a@x.org.fog"]), Rest::Discard)),
    ] {
        let got = run(mail(policy(rules), NEAR, user, recipients), fields);
        assert_eq!(got, Some(Ok(want)), "{recipients:?} {fields:?}");
    }
    let discard = Policy { on_full_divert: FullDivert::Discard, ..policy(&[]) };
    let (_, rest) = run(mail(discard, NEAR, None, &["<a@x.fog>"]), &[("A", " b")]).unwrap().unwrap();
    assert_eq!(rest, Rest::Discard);
}

#[test]
fn what_cannot_be_sent_is_refused_with_words_and_nothing_of_it_is_held() {
    let reject = Policy { mixed: Mixed::Reject, ..policy(&[]) };
    let many: Vec<String> = (0..=MAX_RECIPIENTS).map(|n| format!("<a{n}@x.fog>")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (policy, client, user, recipients, want) in [
        (policy(&[]), FAR, None, &["<a@x.fog>"][..], "5.7.1"),
        (policy(&[]), Client::Smtp(None), None, &["<a@x.fog>"], "5.7.1"),
        (policy(&["fog if network 192.0.2.0/24"]), FAR, None, &["<a@x.org>"], "5.7.1"),
        (reject, NEAR, None, &["<a@x.fog>", "<b@x.org>"], "5.7.1"),
        (policy(&[]), NEAR, None, &["<a@fog>"], "5.1.2"),
        (policy(&[]), NEAR, None, &["<-a@x.fog>"], "5.1.3"),
        (policy(&["fog if user *"]), FAR, Some("ann"), &["<postmaster>"], "5.1.3"),
        (policy(&[]), NEAR, None, &["<anon@fog.invalid>"], "5.1.3"),
        (policy(&[]), NEAR, None, &many, "5.5.3"),
        // The other would get it as it is, with the field that names whom nobody is to see.
        (policy(&[]), NEAR, None, &["<anon@fog.invalid>", "<b@x.org>"], "5.7.1"),
    ] {
        let told = run(mail(policy, client, user, recipients), &[("Subject", " x")]).unwrap().unwrap_err();
        assert_eq!(told.status, want, "{told:?}");
        assert!(told.text.starts_with("fog: ") && !told.text.contains('@'), "{told:?}");
    }
    assert!(run(mail(policy(&[]), FAR, Some("ann"), &["<a@x.fog>"]), &[("A", " b")]).unwrap().is_ok());
    assert!(run(mail(policy(&[]), Client::Sendmail, None, &["a@x.fog"]), &[("A", " b")]).unwrap().is_ok());
}

#[test]
fn a_strangers_mail_to_users_of_this_machine_is_left_alone_whatever_field_it_has() {
    for (rule, client, user, mailers, want) in [
        ("fog if header X-Fog", FAR, None, &["local", "virtual"][..], None),
        ("fog if sender ann@home.example", FAR, None, &["local"], None),
        ("fog if header X-Fog", Client::Smtp(None), None, &["relay", "lmtp"], None),
        // Who sends to others through this machine is one of its users, though there is no telling.
        ("fog if header X-Fog", FAR, None, &["smtp"], Some("5.7.1")),
        ("fog if header X-Fog", FAR, None, &["local", "smtp"], Some("5.7.1")),
        ("fog if header X-Fog", FAR, None, &["local", "fog"], Some("5.7.1")),
        ("fog if header X-Fog", NEAR, None, &["local"], Some("")),
        ("fog if header X-Fog", FAR, Some("ann"), &["local"], Some("")),
    ] {
        let mut mail = mail(policy(&[rule]), client, user, &[]);
        for (n, mailer) in mailers.iter().enumerate() {
            mail.recipient(format!("<a{n}@x.org>").as_bytes(), None, Some(mailer.as_bytes()));
        }
        let told = run(mail, &[("X-Fog", " yes")]);
        let told = told.map(|told| told.map_or_else(|refusal| refusal.status, |_| ""));
        assert_eq!(told, want, "{rule} {client:?} {user:?} {mailers:?}");
    }
}

#[test]
fn a_field_is_seen_behind_any_number_of_others_of_its_name_and_few_are_held() {
    let rules = ["leave if header X-Fog: no way", "fog if header X-Fog: yes", "fog if header X-Other"];
    let policy = Policy { max_mail: 1 << 20, ..policy(&rules) };
    let mut mail = mail(policy, NEAR, None, &["<a@x.org>"]);
    assert!(mail.begin());
    for n in 0..1000 {
        mail.field(b"X-Fog", format!(" {n}").as_bytes());
        mail.field(b"X-Other", format!(" {n}").as_bytes());
    }
    mail.field(b"X-Fog", &[&[b' '; 2000][..], b"no\r\n\tway"].concat());
    assert_eq!(mail.named.len(), 2, "{:?}", mail.named);
    assert!(!mail.end_of_header(), "the first rule was not looked at");
}

#[test]
fn a_sender_is_who_the_mta_takes_them_for() {
    let policy = Arc::new(policy(&["fog if sender @home.example"]));
    for (typed, rewritten, ours) in [
        (&b"<ann@home.example>"[..], None, true),
        (b"<ann>", Some(&b"ann@home.example"[..]), true),
        (b"<ann>", Some(b"ann@away.example"), false),
        (b"<>", None, false),
    ] {
        let from = From { client: NEAR, user: None, typed, rewritten };
        let mut mail = Mail::new(Arc::clone(&policy), from, Room::new(1 << 20).share());
        mail.recipient(b"<a@x.org>", None, None);
        assert_eq!(mail.begin(), ours, "{}", String::from_utf8_lossy(typed));
    }
}

#[test]
fn an_mta_that_skips_the_header_gets_round_nothing() {
    let mut stranger = mail(policy(&[]), FAR, None, &["<a@x.fog>"]);
    assert_eq!(stranger.end(b"QUEUE1", Time::from_secs(1)).unwrap_err().status, "5.7.1");
}

#[test]
fn a_mail_above_the_bound_is_not_held_and_the_rest_of_it_not_asked_for() {
    let room = Room::new(1500);
    let start = |max_mail| {
        let policy = Policy { max_mail, ..policy(&[]) };
        let mut mail = Mail::new(Arc::new(policy), ann(NEAR, None), room.share());
        mail.recipient(b"<a@x.fog>", None, None);
        assert!(mail.begin());
        mail.field(b"A", b" b");
        assert!(mail.end_of_header());
        mail
    };
    let mut big = start(1000);
    assert!(big.body(&[b'x'; 900]) && !big.body(&[b'x'; 900]));
    assert_eq!(big.text.capacity(), 0);
    assert_eq!(big.end(b"QUEUE1", Time::from_secs(1)).unwrap_err().code(), "552");
    let (mut first, mut second) = (start(2000), start(2000));
    assert!(first.body(&[b'x'; 1000]) && !second.body(&[b'x'; 1000]));
    let told = second.end(b"QUEUE1", Time::from_secs(1)).unwrap_err();
    assert_eq!((told.code(), told.status), ("451", "4.3.1"));
    drop(first);
    assert!(start(2000).body(&[b'x'; 1000]), "there is room again");
    // Nobody asks for the text of a mail that is refused for its envelope.
    let mut stranger = mail(policy(&[]), FAR, None, &["<a@x.fog>"]);
    assert!(stranger.begin() && !stranger.body(b"x"));
}

#[test]
fn recipients_take_room_too_and_those_that_nobody_asks_for_take_none() {
    let room = Room::new(4000);
    let start = |rules: &[&str]| {
        let mut mail = Mail::new(Arc::new(policy(rules)), ann(NEAR, None), room.share());
        (0..100).for_each(|n| mail.recipient(format!("<a{n}@x.org>").as_bytes(), None, None));
        mail
    };
    let mut others = start(&[]);
    assert!(others.recipients.is_empty() && !others.begin());
    let mut open = start(&["fog if header X-Fog"]);
    assert!(open.recipients.len() < 100 && open.begin());
    open.field(b"X-Fog", b" yes");
    assert!(open.end_of_header());
    assert_eq!(open.end(b"", Time::from_secs(1)).unwrap_err(), Refusal::CROWDED);
    // None of it was for the network: it goes on, however crowded it is.
    let mut open = start(&["fog if header X-Fog"]);
    assert!(open.begin() && !open.end_of_header());
}

#[test]
fn the_text_is_put_together_as_it_was() {
    let mut mail = mail(policy(&[]), NEAR, None, &["<a@x.fog>"]);
    assert!(mail.begin());
    mail.field(b"Subject", b" one\n\ttwo");
    mail.field(b"X-Latin", b" \xe4\r\n b");
    mail.field(b"Empty", b"");
    mail.end_of_header();
    mail.body(b"a\r\n.\r\n");
    mail.body(b"\r\nb");
    let request = mail.end(b"", Time::from_secs(1)).unwrap();
    let want = b"Subject: one\r\n\ttwo\r\nX-Latin: \xe4\r\n b\r\nEmpty:\r\n\r\na\r\n.\r\n\r\nb";
    assert_eq!(request.mail, want);
    assert_eq!(
        (request.dedup, request.sender.map(|sender| sender.to_string())),
        (None, Some("ann@home.example".into()))
    );
}

#[test]
fn a_header_of_any_length_costs_no_more_than_the_largest_mail() {
    let mut mail = mail(policy(&["fog if header X-Fog"]), NEAR, None, &["<a@x.org>"]);
    assert!(mail.begin());
    for _ in 0..1000 {
        mail.field(b"X-Fog", &[b'x'; 60_000]);
    }
    assert_eq!(mail.named, [("x-fog".to_owned(), String::new())]);
    // What a rule says holds all the same: it is refused, and not sent on in clear.
    assert!(mail.end_of_header());
    assert_eq!(mail.end(b"", Time::from_secs(1)).unwrap_err().code(), "552");
}
