//! Why a mail is not taken, in code, status, words and advice.

use crate::wire::Malformed;

/// Why a mail was not taken. Says nothing about who or to whom, so it can be logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A recipient that is no mail address.
    BadAddress,
    /// A recipient outside the suffix: nothing says that it should go through the network.
    NotFog,
    /// No exit of the network may write to this recipient.
    NoExit,
    /// More than the network's `max-size`.
    MailTooBig,
    /// No header, or one that is none: nothing to take apart.
    NotAMail,
    /// A longer header, more parts, or parts deeper in parts, than any mail has.
    TooComplex,
    /// A piece of a mail (`message/partial`), or an attached mail in a broken encoding: what it says can't be seen.
    Unreadable,
    /// A bare CR, LF or NUL, or a line of more than 998 bytes, where it can't be mended: in a signed or encrypted part,
    /// which keeps its bytes.
    BareControl,
    /// It has been through the network once already.
    BeenThrough,
    /// What waits to be sent has reached its limit.
    SpoolFull,
    /// The node is about to stop.
    ShuttingDown,
    /// The request could not be read: another version of fog, or not fog at all.
    NotUnderstood,
    /// A disk or a bug.
    Internal,
    /// The node knows no network to send it through.
    NoDirectory,
    /// Too many recipients for so big a mail in one request.
    TooMuchAtOnce,
    /// A name in the wish for a path is no node's.
    ChainUnknown,
    /// The wish for a path names more or fewer hops than the network's paths have.
    ChainLength,
    /// No path can be what is wished for.
    ChainImpossible,
    /// The exit that is wished for does not write to this recipient.
    ChainExit,
    /// So many copies of so big a mail would not get away before exits give up on them.
    TooManyCopies,
    /// The recipient has asked the operator of this node not to be written to.
    Blocked,
    /// A posting that says no newsgroup, or more than exits post to.
    BadNewsgroups,
    /// There is too little room left on the disk.
    DiskFull,
}

impl Reason {
    /// Every reason there is, in the order of its code on the wire (from 1).
    pub const ALL: [Self; 23] = [
        Self::BadAddress,
        Self::NotFog,
        Self::NoExit,
        Self::MailTooBig,
        Self::NotAMail,
        Self::TooComplex,
        Self::Unreadable,
        Self::BareControl,
        Self::BeenThrough,
        Self::SpoolFull,
        Self::ShuttingDown,
        Self::NotUnderstood,
        Self::Internal,
        Self::NoDirectory,
        Self::TooMuchAtOnce,
        Self::ChainUnknown,
        Self::ChainLength,
        Self::ChainImpossible,
        Self::ChainExit,
        Self::TooManyCopies,
        Self::Blocked,
        Self::BadNewsgroups,
        Self::DiskFull,
    ];

    /// Whether trying the same mail again can't help.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        !matches!(
            self,
            Self::SpoolFull
                | Self::DiskFull
                | Self::ShuttingDown
                | Self::NotUnderstood
                | Self::Internal
                | Self::NoDirectory
                | Self::TooMuchAtOnce
        )
    }

    /// The enhanced status code (RFC 3463) that is natural for it, as in `5.3.4`.
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::BadAddress => "5.1.3",
            Self::NotFog => "5.1.2",
            Self::NoExit | Self::ChainExit | Self::Blocked => "5.7.1",
            Self::MailTooBig | Self::TooManyCopies => "5.3.4",
            Self::NotAMail | Self::TooComplex | Self::Unreadable | Self::BareControl | Self::BadNewsgroups => "5.6.0",
            Self::BeenThrough => "5.4.6",
            Self::SpoolFull | Self::DiskFull => "4.3.1",
            Self::ShuttingDown => "4.3.2",
            Self::NotUnderstood => "4.3.5",
            Self::Internal => "4.3.0",
            Self::NoDirectory => "4.3.5",
            Self::TooMuchAtOnce => "4.5.3",
            Self::ChainUnknown | Self::ChainLength | Self::ChainImpossible => "5.4.4",
        }
    }

    /// What is wrong, in a few words on one line, for an MTA's log: no address, no line end.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::BadAddress => "the recipient is not a mail address",
            Self::NotFog => "the recipient is not an address of the anonymous network",
            Self::NoExit => "no exit of the network takes this recipient",
            Self::MailTooBig => "the mail is bigger than the network takes",
            Self::NotAMail => "this is no mail: its header is missing or broken",
            Self::TooComplex => "the mail's header or its parts are too many to be made clean",
            Self::Unreadable => "a part of the mail can't be read, so it can't be made clean",
            Self::BareControl => "a signed or encrypted part has a bare CR, LF, NUL or too long a line",
            Self::BeenThrough => "the mail has been through the network already",
            Self::SpoolFull => "too much mail is waiting to be sent",
            Self::DiskFull => "the node's disk has too little room left",
            Self::ShuttingDown => "the node is stopping",
            Self::NotUnderstood => "the node does not understand this request",
            Self::Internal => "the node has internal trouble",
            Self::NoDirectory => "the node has no directory document yet",
            Self::TooMuchAtOnce => "too many recipients for so big a mail at once",
            Self::ChainUnknown => "the chain names a node that the network does not have",
            Self::ChainLength => "the chain has more or fewer nodes than the network's paths",
            Self::ChainImpossible => "no path of the network can go along the chain",
            Self::ChainExit => "the exit at the end of the chain does not take this mail",
            Self::TooManyCopies => "so many copies of so big a mail would take too long to leave",
            Self::Blocked => "the recipient has asked not to be written to from here",
            Self::BadNewsgroups => "the posting names no newsgroup, or more than five",
        }
    }

    /// What a person can do about it: a sentence or two, on one line.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BadAddress => "Write it as name@domain, without angle brackets, comments or control characters.",
            Self::NotFog => "Put the network's suffix behind the address, as in alice@example.com.fog.",
            Self::NoExit => "Every exit says in its descriptor who may be written to; `fog directory show` lists them.",
            Self::MailTooBig => "Leave attachments out or send them in several mails.",
            Self::NotAMail => "Begin with header lines such as `Subject: ...` and an empty line, then the text.",
            Self::TooComplex => "Send it in several mails, or pack the attachments into one archive.",
            Self::Unreadable => "Send it in one piece (no message/partial), and attach forwarded mails anew.",
            Self::BareControl => {
                "Sign or encrypt it again with a program that ends its lines with CR LF before 998 characters."
            }
            Self::BeenThrough => "Look for a rule that forwards what arrives back into the network.",
            Self::SpoolFull => "Mail leaves on a fixed schedule; try again in some hours.",
            Self::DiskFull => "Nothing was kept. It is taken again as soon as whoever runs the node has made room.",
            Self::ShuttingDown => "Try again when the node is up.",
            Self::NotUnderstood => {
                "Make sure that `fog send` and the running node are the same version; restart the node."
            }
            Self::Internal => "The node's log says what; nothing of the mail was kept.",
            Self::NoDirectory => {
                "Nothing was sent. Join a network with `fog init --join`, or sign a document of your own."
            }
            Self::TooMuchAtOnce => "The first recipients were taken; send it to the others once more.",
            Self::ChainUnknown => "`fog directory show` lists the names of all nodes; * stands for any.",
            Self::ChainLength => "Give as many names as the network has hops; `fog directory show` says how many.",
            Self::ChainImpossible => {
                "Mixes stand in front and an exit at the end; none twice, none this node or of its family, and no two \
                 of one family. There has to be a way for the exit's answer, too, but for X-Fog-Receipt: no."
            }
            Self::ChainExit => "`fog directory show` lists what each exit takes; with * at the end one is chosen.",
            Self::TooManyCopies => "Send fewer copies, or a smaller mail.",
            Self::Blocked => "Nobody can be written to against their wish; fog block list shows how many asked for it.",
            Self::BadNewsgroups => "Write to GROUP@news.fog, or name one to five groups in a Newsgroups: line.",
        }
    }

    /// The code on the wire.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::BadAddress => 1,
            Self::NotFog => 2,
            Self::NoExit => 3,
            Self::MailTooBig => 4,
            Self::NotAMail => 5,
            Self::TooComplex => 6,
            Self::Unreadable => 7,
            Self::BareControl => 8,
            Self::BeenThrough => 9,
            Self::SpoolFull => 10,
            Self::ShuttingDown => 11,
            Self::NotUnderstood => 12,
            Self::Internal => 13,
            Self::NoDirectory => 14,
            Self::TooMuchAtOnce => 15,
            Self::ChainUnknown => 16,
            Self::ChainLength => 17,
            Self::ChainImpossible => 18,
            Self::ChainExit => 19,
            Self::TooManyCopies => 20,
            Self::Blocked => 21,
            Self::BadNewsgroups => 22,
            Self::DiskFull => 23,
        }
    }

    pub(super) fn from_code(code: u8) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|reason| reason.code() == code).ok_or(Malformed)
    }
}
