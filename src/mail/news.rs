//! News: a newsgroup is a recipient, `GROUP@news` and the network's suffix.

use super::address::{Address, MAX_LOCAL};
use super::header::is_newsgroup;
use thiserror::Error;

/// The domain of every newsgroup, without the network's suffix. No host has such a name.
pub const DOMAIN: &str = "news";

/// A text that names no newsgroup. Carries nothing of it.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("a newsgroup is named by letters, digits, + - _ and dots, in at most 64 characters")]
pub struct NotAGroup;

/// The recipient that a posting to `group` goes to.
///
/// # Errors
/// `NotAGroup`.
pub fn recipient(group: &str, suffix: &str) -> Result<Address, NotAGroup> {
    if !is_newsgroup(group) || group.len() > MAX_LOCAL {
        return Err(NotAGroup);
    }
    Address::parse(&format!("{group}@{DOMAIN}.{suffix}")).map_err(|_| NotAGroup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newsgroup_is_a_recipient() {
        for (group, want) in [
            ("alt.test", Some("alt.test@news.fog")),
            ("comp.lang.c++", Some("comp.lang.c++@news.fog")),
            ("alt..test", None),
            ("alt.test,misc.test", None),
            ("alt.test@x", None),
            ("-alt.test", None),
            ("", None),
            (&"a".repeat(65), None),
        ] {
            assert_eq!(recipient(group, "fog").ok().map(|to| to.to_string()).as_deref(), want, "{group}");
        }
    }
}
