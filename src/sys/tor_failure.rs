//! Why Tor gives no stream: a closed list, with a word each for the log and a sentence for people.

use thiserror::Error;

/// Why Tor gives no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TorFailure {
    /// No connection to the SOCKS port.
    #[error("nothing answers at tor.socks: is Tor running, and may this user use its socket?")]
    Unreachable,
    /// It is silent before it was asked for anything.
    #[error("what is at tor.socks says nothing")]
    Silent,
    /// It closes without an answer.
    #[error("Tor closed the connection: does its SocksPolicy keep us out?")]
    Closed,
    /// Another protocol, or a broken one.
    #[error("what is at tor.socks doesn't speak SOCKS 5")]
    NotSocks,
    /// It doesn't take user names, so that all peers would share circuits.
    #[error("what is at tor.socks takes no user name, so streams to different nodes would not be kept apart")]
    NoIsolation,
    /// No answer to the request for a stream.
    #[error("Tor found no way in time")]
    Late,
    /// 0x01: what Tor says most often.
    #[error("Tor gives no reason; mostly the onion service is there, and the node behind it isn't")]
    General,
    /// 0x02
    #[error("Tor isn't allowed to go there: OnionTrafficOnly or the like in its SocksPort")]
    NotAllowed,
    /// 0x03
    #[error("Tor has no way into its network")]
    NoNetwork,
    /// 0x04
    #[error("Tor can't reach it")]
    NoHost,
    /// 0x05
    #[error("it is reached, and nothing answers at this port")]
    Refused,
    /// 0x06
    #[error("Tor gave up looking for a way")]
    Expired,
    /// 0x07 and 0x08: requests that every Tor knows.
    #[error("what is at tor.socks can't do what Tor can")]
    NotTor,
    /// 0xF0
    #[error("the onion service isn't published: its machine or its Tor is down, or the address is wrong")]
    NoDescriptor,
    /// 0xF1
    #[error("what the onion service published can't be read")]
    BadDescriptor,
    /// 0xF2
    #[error("the onion service's introduction points are gone")]
    NoIntroduction,
    /// 0xF3
    #[error("the onion service didn't come to the meeting point")]
    NoRendezvous,
    /// 0xF4
    #[error("the onion service wants a key that this Tor hasn't got (client authorization)")]
    NoClientKey,
    /// 0xF5
    #[error("the onion service doesn't take the key that this Tor has for it (client authorization)")]
    WrongClientKey,
    /// 0xF6
    #[error("Tor calls this no onion address")]
    BadAddress,
    /// 0xF7
    #[error("the onion service's introduction points don't answer in time")]
    IntroductionLate,
    /// A reply code that stands nowhere.
    #[error("Tor answers with an unknown code")]
    Unknown,
}

impl TorFailure {
    /// What a SOCKS reply other than 0x00 says: RFC 1928, 6, and Tor's `ExtendedErrors` (tor(1), SocksPort).
    #[must_use]
    pub const fn of_reply(code: u8) -> Self {
        match code {
            0x01 => Self::General,
            0x02 => Self::NotAllowed,
            0x03 => Self::NoNetwork,
            0x04 => Self::NoHost,
            0x05 => Self::Refused,
            0x06 => Self::Expired,
            0x07 | 0x08 => Self::NotTor,
            0xf0 => Self::NoDescriptor,
            0xf1 => Self::BadDescriptor,
            0xf2 => Self::NoIntroduction,
            0xf3 => Self::NoRendezvous,
            0xf4 => Self::NoClientKey,
            0xf5 => Self::WrongClientKey,
            0xf6 => Self::BadAddress,
            0xf7 => Self::IntroductionLate,
            _ => Self::Unknown,
        }
    }

    /// Whether our own Tor is the reason. Everything else is told of the one node that can't be reached.
    #[must_use]
    pub const fn is_tors_own(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Silent
                | Self::Closed
                | Self::NotSocks
                | Self::NoIsolation
                | Self::NoNetwork
                | Self::NotTor
        )
    }

    /// Its word in the log (fog-log(7)).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::NotSocks => "not-socks",
            Self::NoIsolation => "no-isolation",
            Self::Late => "late",
            Self::General => "general",
            Self::NotAllowed => "not-allowed",
            Self::NoNetwork => "no-network",
            Self::NoHost => "no-host",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::NotTor => "not-tor",
            Self::NoDescriptor => "no-descriptor",
            Self::BadDescriptor => "bad-descriptor",
            Self::NoIntroduction => "no-introduction",
            Self::NoRendezvous => "no-rendezvous",
            Self::NoClientKey => "no-client-key",
            Self::WrongClientKey => "wrong-client-key",
            Self::BadAddress => "bad-address",
            Self::IntroductionLate => "introduction-late",
            Self::Unknown => "unknown",
        }
    }
}
