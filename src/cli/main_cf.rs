//! Postfix's main.cf: its lists (words with commas or blanks between, and `{ ... }` around what has such in it), and
//! what in them gives mail for the network away.

/// The lists in which Postfix may ask the DNS for a recipient's domain.
pub(super) const RESTRICTIONS: [&str; 5] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
];

/// What takes a copy of mail before fog is asked.
pub(super) const COPIES: [&str; 3] = ["always_bcc", "sender_bcc_maps", "recipient_bcc_maps"];

/// The lists of domains that Postfix takes mail for from anybody.
pub(super) const OPEN: [&str; 4] =
    ["relay_domains", "mydestination", "virtual_alias_domains", "virtual_mailbox_domains"];

/// The lists of domains whose mail is delivered on this machine, each with what may pass it on all the same.
pub(super) const DELIVERED: [(&str, &[&str]); 2] =
    [("mydestination", &["local_transport", "mailbox_transport"]), ("virtual_mailbox_domains", &["virtual_transport"])];

/// Whether a transport (`name:nexthop`) takes mail to another machine. A program or a socket of this one does not.
pub(super) fn leaves(transport: &str) -> bool {
    let (name, next) = transport.split_once(':').unwrap_or((transport, ""));
    let next = next.strip_prefix("inet:").unwrap_or(next);
    let host = next.strip_prefix('[').and_then(|next| next.split(']').next());
    let host = host.unwrap_or_else(|| next.split(':').next().unwrap_or_default());
    let is_here = host == "localhost" || host == "::1" || host == "ipv6:::1" || host.starts_with("127.");
    match name {
        "smtp" | "relay" | "uucp" => !is_here,
        "lmtp" => !next.starts_with("unix:") && !is_here,
        _ => false,
    }
}

/// The members of a list, each as it is written.
pub(super) fn members(list: &str) -> Vec<String> {
    split(list, |c| c == ',' || c.is_ascii_whitespace())
}

/// What stands between such characters; in braces they are like any other.
pub(super) fn split(text: &str, is_between: impl Fn(char) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let (mut depth, mut word) = (0_usize, String::new());
    for c in text.chars() {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && is_between(c) {
            found.push(std::mem::take(&mut word));
        } else {
            word.push(c);
        }
    }
    found.push(word);
    found.retain(|word| !word.is_empty());
    found
}

/// `list` with the members that are `ours` out, and `new` in the first one's place, or at the end. All others stay as they
/// are, in their order; a list that is right already stays as it is, byte for byte.
pub(super) fn with(list: &str, ours: impl Fn(&str) -> bool, new: Option<&str>) -> String {
    let mut all = members(list);
    let mine: Vec<_> = all.iter().filter(|member| ours(member)).map(String::as_str).collect();
    if mine.as_slice() == new.as_slice() {
        return list.to_owned();
    }
    let at = all.iter().position(|member| ours(member)).unwrap_or(all.len());
    all.retain(|member| !ours(member));
    if let Some(new) = new {
        all.insert(at.min(all.len()), new.to_owned());
    }
    all.join(", ")
}

/// Whether a list of restrictions looks for the recipient's domain before local and authenticated clients are let through.
pub(super) fn asks_the_dns(list: &str) -> bool {
    let all = members(list);
    let at = |name: &str| all.iter().position(|word| word == name);
    let Some(asks) = at("reject_unknown_recipient_domain") else { return false };
    ["permit_mynetworks", "permit_sasl_authenticated"].iter().any(|permit| at(permit).is_none_or(|at| at > asks))
}

/// Whether a list of domains has the network's suffix, or a domain under it.
pub(super) fn has_suffix(list: &str, suffix: &str) -> bool {
    members(list)
        .iter()
        .any(|domain| domain.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(member: &str) -> bool {
        member.contains("fog")
    }

    #[test]
    fn members_are_told_apart_as_postfix_does() {
        for (list, want) in [
            ("", &[][..]),
            (" hash:/a,\n\t hash:/b ", &["hash:/a", "hash:/b"]),
            ("inline:{ {.fog = fog:}, {a = b} } c", &["inline:{ {.fog = fog:}, {a = b} }", "c"]),
            ("{ unix:a, connect_timeout=5s },inet:b", &["{ unix:a, connect_timeout=5s }", "inet:b"]),
            ("$a, proxy:mysql:/x", &["$a", "proxy:mysql:/x"]),
        ] {
            assert_eq!(members(list), want, "{list}");
        }
    }

    #[test]
    fn a_transport_to_another_machine_is_told_from_one_of_this() {
        for (transport, want) in [
            ("", false),
            (":", false),
            ("local:mx.home.org", false),
            ("virtual", false),
            ("dovecot:", false),
            ("lmtp:unix:private/dovecot-lmtp", false),
            ("lmtp:inet:127.0.0.1:24", false),
            ("lmtp:inet:[::1]:24", false),
            ("lmtp:inet:store.home.org:24", true),
            ("smtp:[127.0.0.1]:10025", false),
            ("smtp:[10.0.0.1]", true),
            ("smtp:", true),
            ("relay:[mx.example.org]:25", true),
        ] {
            assert_eq!(leaves(transport), want, "{transport}");
        }
    }

    #[test]
    fn ours_is_appended_changed_in_its_place_and_taken_out() {
        for (list, new, want) in [
            ("", Some("fog:1"), "fog:1"),
            ("a  b", Some("fog:1"), "a, b, fog:1"),
            ("a, fog:0,   b", Some("fog:1"), "a, fog:1, b"),
            ("fog:0, a, fog:2", Some("fog:1"), "fog:1, a"),
            ("a,   fog:1", Some("fog:1"), "a,   fog:1"),
            ("a, fog:1, { b, c }", None, "a, { b, c }"),
            ("fog:1", None, ""),
            ("a   b", None, "a   b"),
        ] {
            assert_eq!(with(list, ours, new), want, "{list}");
        }
    }
}
