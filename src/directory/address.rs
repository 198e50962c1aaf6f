//! Where a node is reached.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;
use thiserror::Error;

/// Longest host name in octets (RFC 1035).
const MAX_HOST: usize = 253;
/// Longest label of a host name in octets (RFC 1035).
const MAX_LABEL: usize = 63;

/// `host:port`, written in the one canonical way: a v3 onion, an IPv4 address, an IPv6 address in brackets, or a host
/// name in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeAddress {
    host: String,
    port: u16,
}

/// Why a text is no node address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BadNodeAddress {
    /// No colon, or no number from 1 to 65535 after the last one.
    #[error("a node's address ends in a colon and a port, as in example.org:7000")]
    Port,
    /// 56 letters are wanted, and the last ones check the others.
    #[error("this is no v3 onion address: 56 letters and digits before .onion, two of them a checksum")]
    Onion,
    /// Brackets without an IPv6 address in its shortest form.
    #[error("this is no IPv6 address in its shortest form, in brackets")]
    Ipv6,
    /// Neither an IPv4 address nor a host name.
    #[error("this is neither an IP address nor a host name in lower case")]
    Host,
}

impl NodeAddress {
    /// Reads `host:port`.
    ///
    /// # Errors
    /// What is wrong with it; also if it is right but not written canonically.
    pub fn parse(text: &str) -> Result<Self, BadNodeAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(BadNodeAddress::Port)?;
        let port = super::units::parse_number(port).and_then(|n| u16::try_from(n).ok()).filter(|port| *port != 0);
        check_host(host)?;
        Ok(Self { host: host.into(), port: port.ok_or(BadNodeAddress::Port)? })
    }

    /// The host: an onion, a name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, not 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is a Tor onion service.
    #[must_use]
    pub fn is_onion(&self) -> bool {
        self.host.ends_with(".onion")
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn check_host(host: &str) -> Result<(), BadNodeAddress> {
    let (ok, error) = if let Some(onion) = host.strip_suffix(".onion") {
        (is_onion_v3(onion), BadNodeAddress::Onion)
    } else if let Some(ip) = host.strip_prefix('[') {
        (is_ipv6(ip), BadNodeAddress::Ipv6)
    } else {
        (is_ipv4(host) || is_host_name(host), BadNodeAddress::Host)
    };
    if ok { Ok(()) } else { Err(error) }
}

/// Key, two bytes of checksum, version 3 (Tor's rend-spec-v3, 6).
fn is_onion_v3(text: &str) -> bool {
    let lower = text.len() == 56 && !text.bytes().any(|b| b.is_ascii_uppercase());
    let bytes = data_encoding::BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
    let Some(([key @ .., check_1, check_2, 3], true)) = bytes.as_deref().ok().zip(Some(lower)) else {
        return false;
    };
    let hash = libcrux_sha3::sha256(&[b".onion checksum", key, &[3]].concat());
    hash.starts_with(&[*check_1, *check_2])
}

fn is_ipv6(bracketed: &str) -> bool {
    let ip = bracketed.strip_suffix(']');
    ip.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == ip))
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// Whether `text` is labels of lower-case letters, digits and inner hyphens; the last one not all digits, or it would be
/// an IP address.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let digits = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    text.len() <= MAX_HOST && text.split('.').all(label) && !text.rsplit('.').next().is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Tor project's own onion.
    const ONION: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

    #[test]
    fn onions_ip_addresses_and_names_are_addresses() {
        for (text, host) in [
            ("127.0.0.1:7000", "127.0.0.1"),
            ("[::1]:1", "::1"),
            ("mix.example.org:65535", "mix.example.org"),
            ("localhost:7000", "localhost"),
        ] {
            let address = NodeAddress::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.host()), (text, host));
            assert!(!address.is_onion());
        }
        assert!(NodeAddress::parse(&format!("{ONION}:9999")).unwrap().is_onion());
    }

    #[test]
    fn what_is_no_address_or_written_otherwise_is_refused() {
        let typo = ONION.replace("2gz", "2gy");
        for (text, want) in [
            ("example.org".into(), BadNodeAddress::Port),
            ("example.org:0".into(), BadNodeAddress::Port),
            ("example.org:07000".into(), BadNodeAddress::Port),
            ("example.org:65536".into(), BadNodeAddress::Port),
            ("example.org:+1".into(), BadNodeAddress::Port),
            (format!("{typo}:9999"), BadNodeAddress::Onion),
            (format!("{}:9999", ONION.to_uppercase().replace(".ONION", ".onion")), BadNodeAddress::Onion),
            ("abc.onion:1".into(), BadNodeAddress::Onion),
            (".onion:1".into(), BadNodeAddress::Onion),
            ("[0:0:0:0:0:0:0:1]:1".into(), BadNodeAddress::Ipv6),
            ("::1:1".into(), BadNodeAddress::Host),
            ("127.0.0.01:1".into(), BadNodeAddress::Host),
            ("Example.org:1".into(), BadNodeAddress::Host),
            ("exa mple.org:1".into(), BadNodeAddress::Host),
            ("a..b:1".into(), BadNodeAddress::Host),
            ("-a.b:1".into(), BadNodeAddress::Host),
            (":1".into(), BadNodeAddress::Host),
            (format!("{}:1", "a".repeat(64)), BadNodeAddress::Host),
        ] {
            assert_eq!(NodeAddress::parse(&text), Err(want), "{text}");
        }
    }
}
