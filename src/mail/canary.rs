//! Addresses that nobody has, for a mail that is to be looked for and not to arrive.
//!
//! `fog check leaks` hands such a mail to the MTA and looks where traces of it are left. The entry takes it as it takes any
//! other, keeps it sealed as any other, and throws it away when its first send slot comes: nothing of it goes to another
//! node, to an exit, or to somebody's mailbox.

use super::address::Address;

/// The domain of the canaries; `invalid` is nobody's and never will be (RFC 6761).
pub const DOMAIN: &str = "fog-check.invalid";

/// Whether mail to `address`, the network's suffix taken off, ends at the entry.
#[must_use]
pub fn is_canary(address: &Address) -> bool {
    address.is_within(DOMAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_its_domain_is_a_canary() {
        for (address, want) in [
            ("a@fog-check.invalid", true),
            ("a@x.FOG-check.invalid", true),
            ("a@xfog-check.invalid", false),
            ("a@fog-check.invalid.example", false),
            ("fog-check.invalid@example.com", false),
        ] {
            assert_eq!(is_canary(&Address::parse(address).unwrap()), want, "{address}");
        }
    }
}
