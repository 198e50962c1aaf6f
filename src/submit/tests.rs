//! What is written is read, and nothing else is.

use super::*;
use proptest::prelude::*;

fn to(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn request() -> Request {
    Request {
        source: Source::Mta,
        dedup: Some(b"4ZQx1".to_vec()),
        sender: Some(to("bob@home.example")),
        wish: Wish { chain: vec![None, Some("kvara".into()), None], copies: 3 },
        recipients: vec![to("alice@example.com.fog"), to("carol@example.org.fog")],
        mail: b"Subject: x\n\nhi\n".to_vec(),
    }
}

fn split(frame: &[u8]) -> ([u8; PREFIX_LEN], &[u8]) {
    let (prefix, body) = frame.split_first_chunk().unwrap();
    (*prefix, body)
}

fn sources() -> impl Strategy<Value = Source> {
    let milter =
        any::<([[u8; MARK_LEN]; 2], [u8; MARK_LEN])>().prop_map(|(marks, text)| Source::Milter { marks, text });
    prop_oneof![Just(Source::Person), Just(Source::Mta), milter]
}

fn requests() -> impl Strategy<Value = Request> {
    let address = "[a-z]{1,20}@[a-z]{1,20}\\.fog".prop_map(|text| to(&text));
    (
        sources(),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..=MAX_DEDUP)),
        proptest::option::of(address.clone()),
        proptest::collection::vec(proptest::option::of("[a-z0-9-]{1,32}"), 0..=MAX_CHAIN),
        1..=MAX_COPIES,
        proptest::collection::vec(address, 1..20),
        proptest::collection::vec(any::<u8>(), 0..2000),
    )
        .prop_map(|(source, dedup, sender, chain, copies, recipients, mail)| Request {
            source,
            dedup,
            sender,
            wish: Wish { chain, copies },
            recipients,
            mail,
        })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let reason = || proptest::sample::select(Reason::ALL.to_vec());
    prop_oneof![
        any::<([u8; 16], [u8; 6])>().prop_map(|(id, name)| Outcome::Accepted(MessageId(id), QueueId(name))),
        reason().prop_map(Outcome::refused),
        reason().prop_map(Outcome::Temporary),
    ]
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(request in requests()) {
        let frame = request.encode().unwrap();
        let (prefix, body) = split(&frame);
        prop_assert_eq!(Request::body_len(prefix, 2000), Ok(body.len()));
        prop_assert_eq!(Request::decode(body, 2000), Ok(request));
    }

    #[test]
    fn a_reply_is_read_as_it_was_written(outcomes in proptest::collection::vec(outcomes(), 1..50)) {
        let reply = Reply { outcomes };
        let frame = reply.encode().unwrap();
        let (prefix, body) = split(&frame);
        prop_assert_eq!(Reply::body_len(prefix), Ok(body.len()));
        prop_assert_eq!(Reply::decode(body), Ok(reply));
    }

    #[test]
    fn whatever_is_read_is_the_one_way_to_write_it(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let _ = Request::decode(&bytes, 100);
        let _ = Reply::decode(&bytes);
        let frame = request().encode().unwrap();
        let mut body = split(&frame).1.to_vec();
        *at.get_mut(&mut body) = byte;
        if let Ok(read) = Request::decode(&body, 100) {
            let written = read.encode().unwrap();
            prop_assert_eq!(split(&written).1, &body);
        }
    }
}

#[test]
fn a_request_cut_anywhere_or_followed_by_anything_is_malformed() {
    let frame = request().encode().unwrap();
    let body = split(&frame).1;
    for end in 0..body.len() {
        assert_eq!(Request::decode(&body[..end], 100), Err(Malformed), "cut at {end}");
    }
    assert_eq!(Request::decode(&[body, b"x"].concat(), 100), Err(Malformed));
}

#[test]
fn the_biggest_request_fits_its_bound_and_one_byte_more_is_refused_unread() {
    let labels = ["d".repeat(63), "d".repeat(63), "d".repeat(57), "fog".into()].join(".");
    let longest = to(&format!("{}@{labels}", "l".repeat(64)));
    assert_eq!(longest.to_string().len(), MAX_ADDRESS);
    let biggest = Request {
        source: Source::Milter { marks: [[7; MARK_LEN]; 2], text: [7; MARK_LEN] },
        dedup: Some(vec![7; MAX_DEDUP]),
        sender: Some(longest.clone()),
        wish: Wish { chain: vec![Some("n".repeat(32)); MAX_CHAIN], copies: MAX_COPIES },
        recipients: vec![longest; MAX_RECIPIENTS],
        mail: vec![b'x'; 5000],
    };
    let frame = biggest.encode().unwrap();
    let (prefix, body) = split(&frame);
    assert_eq!(Request::body_len(prefix, 5000), Ok(body.len()));
    assert_eq!(Request::body_len(prefix, 4999), Err(Malformed));
    assert_eq!(Request::decode(body, 5000), Ok(biggest));
    assert_eq!(Request::decode(body, 4999), Err(Malformed));
    assert_eq!(Request::body_len([0xff; 4], 5000), Err(Malformed));
}

#[test]
fn a_request_no_node_would_read_is_not_written() {
    let none = Request { recipients: vec![], ..request() };
    let many = Request { recipients: vec![to("a@x.fog"); MAX_RECIPIENTS + 1], ..request() };
    let long = Request { dedup: Some(vec![0; MAX_DEDUP + 1]), ..request() };
    let wish = |wish| Request { wish, ..request() };
    let bad_wishes = [
        Wish { copies: 0, ..Wish::default() },
        Wish { copies: MAX_COPIES + 1, ..Wish::default() },
        Wish { chain: vec![None; MAX_CHAIN + 1], ..Wish::default() },
        Wish { chain: vec![None; 300], ..Wish::default() },
        Wish { chain: vec![Some("Kvara".into())], ..Wish::default() },
        Wish { chain: vec![Some(String::new())], ..Wish::default() },
        Wish { chain: vec![Some("n".repeat(33))], ..Wish::default() },
    ];
    for bad in [none, many, long].into_iter().chain(bad_wishes.map(wish)) {
        assert_eq!(bad.encode(), Err(Malformed));
    }
}

#[test]
fn a_request_of_another_version_or_with_bad_fields_is_malformed() {
    let small = Request {
        source: Source::Person,
        dedup: None,
        sender: None,
        wish: Wish::default(),
        recipients: vec![to("a@x.fog")],
        mail: vec![],
    };
    let good = [&[1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 7][..], b"a@x.fog", &[0, 0, 0, 0]].concat();
    assert_eq!(Request::decode(&good, 0), Ok(small));
    // Offset, the byte put there, and what is wrong then.
    for (at, byte, what) in [
        (0, 0, "version 0"),
        (0, 2, "version 2"),
        (1, 2, "an unknown source"),
        (2, 2, "an unknown flag"),
        (3, 2, "an unknown flag"),
        (4, 0, "no copy"),
        (4, 11, "11 copies"),
        (5, 1, "a chain where there is none"),
        (5, 255, "a chain without end"),
        (7, 0, "no recipients"),
        (6, 4, "1025 recipients"),
        (14, b'X', "an address in capitals, not in the one form"),
        (12, b'-', "no address"),
        (12, 0xff, "no UTF-8"),
        (22, 1, "more mail than there is"),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(Request::decode(&bad, 100), Err(Malformed), "{what}");
    }
}

#[test]
fn a_reply_that_would_bounce_what_can_wait_is_neither_written_nor_read() {
    for reason in Reason::ALL {
        let written = Reply { outcomes: vec![Outcome::Permanent(reason)] }.encode();
        let read = Reply::decode(&[VERSION, 0, 1, PERMANENT, reason.code()]);
        assert_eq!(written.is_ok(), reason.is_permanent(), "{reason:?}");
        assert_eq!(read.is_ok(), reason.is_permanent(), "{reason:?}");
    }
}

#[test]
fn a_reply_that_is_empty_too_long_or_unknown_is_malformed() {
    assert_eq!(Reply { outcomes: vec![] }.encode(), Err(Malformed));
    let accepted = Outcome::Accepted(MessageId([9; 16]), QueueId([8; 6]));
    assert!(Reply { outcomes: vec![accepted; MAX_RECIPIENTS] }.encode().is_ok());
    assert_eq!(Reply { outcomes: vec![accepted; MAX_RECIPIENTS + 1] }.encode(), Err(Malformed));
    for bad in [
        &[][..],
        &[2, 0, 1, 1, 10],
        &[1, 0, 0],
        &[1, 0, 1, 1, 0],
        &[1, 0, 1, 1, 200],
        &[1, 0, 1, 3, 1],
        &[1, 0, 1, 1, 10, 0],
        &[1, 0, 2, 1, 10],
    ] {
        assert_eq!(Reply::decode(bad), Err(Malformed), "{bad:?}");
    }
    assert_eq!(Reply::body_len([0, 0, 0x59, 0xdb]), Ok(MAX_REPLY));
    assert_eq!(Reply::body_len([0, 0, 0x59, 0xdc]), Err(Malformed));
}

#[test]
fn the_beginning_of_a_request_that_is_too_long_says_whose_it_is_and_that_it_is_too_long() {
    for mail in [101, 5000, 60_000] {
        let whole = Request { mail: vec![7; mail], ..request() };
        let frame = whole.encode().unwrap();
        let (_, body) = frame.split_at(4);
        let start = body.get(..Request::start_len(100)).unwrap_or(body);
        let read = Request::decode_start(start, 100).unwrap();
        assert!(read == Request { mail: vec![7; 101], ..request() });
        for cut in [0, 1, 20, 60] {
            assert!(Request::decode_start(&start[..cut], 100).is_err());
        }
    }
    let small = Request { mail: vec![7; 100], ..request() }.encode().unwrap();
    assert!(Request::decode_start(&small[4..], 100).is_err(), "that one is not too long");
}

#[test]
fn a_reply_answers_for_every_recipient_or_accepts_none() {
    let accepted = Outcome::Accepted(MessageId([9; 16]), QueueId([8; 6]));
    let refused = Outcome::Permanent(Reason::MailTooBig);
    assert_eq!(Reply { outcomes: vec![accepted, refused] }.for_each(2), Ok(vec![accepted, refused]));
    assert_eq!(Reply::refusing(Reason::MailTooBig).for_each(3), Ok(vec![refused; 3]));
    assert_eq!(Reply { outcomes: vec![accepted] }.for_each(1), Ok(vec![accepted]));
    for (outcomes, recipients) in
        [(vec![accepted], 2), (vec![accepted, refused], 1), (vec![refused, refused], 3), (vec![], 1)]
    {
        assert_eq!(Reply { outcomes }.for_each(recipients), Err(Malformed));
    }
}

#[test]
fn every_reason_has_a_code_of_its_own_a_fitting_status_and_a_line_without_address() {
    for (code, reason) in (1..).zip(Reason::ALL) {
        assert_eq!(reason.code(), code);
        assert_eq!(reason.status().starts_with('5'), reason.is_permanent(), "{reason:?}");
        for text in [reason.text(), reason.advice()] {
            assert!(!text.contains(['\n', '\r']) && text.is_ascii() && !text.is_empty(), "{text}");
        }
        let line = Outcome::refused(reason).line().unwrap();
        assert!(line.starts_with(reason.status()) && line.len() <= 80 && !line.contains('@'), "{line}");
    }
    assert_eq!(Outcome::Accepted(MessageId([0; 16]), QueueId([8; 6])).line(), None);
}

#[test]
fn a_permanent_refusal_can_be_deferred_for_an_mta_that_would_bounce() {
    let line = Outcome::refused(Reason::MailTooBig).deferred().line().unwrap();
    assert_eq!(line, "4.3.4 fog: the mail is bigger than the network takes");
    let accepted = Outcome::Accepted(MessageId([0; 16]), QueueId([8; 6]));
    assert_eq!(accepted.deferred(), accepted);
}

#[test]
fn a_request_is_not_printed_by_debug() {
    assert_eq!(format!("{:?}", request()), "Request(..)");
}
