//! Which keys there are.

/// Each table and its keys. What is not in here is refused, with the nearest that is.
pub(crate) const KEYS: [(&str, &[&str]); 9] = [
    ("node", &["name", "roles", "onion", "listen", "key", "contact", "family", "sockets"]),
    ("entry", &["suffix", "max-size", "give-up", "notify", "receipts", "rules"]),
    (
        "exit",
        &[
            "deliver",
            "from",
            "envelope-from",
            "max-size",
            "domains",
            "news",
            "per-recipient",
            "rate",
            "block",
            "comment",
        ],
    ),
    ("tor", &["socks"]),
    ("directory", &["trust", "threshold", "sources", "admit"]),
    ("milter", &["listen", "on-full-divert", "mixed", "networks"]),
    ("spool", &["path", "max", "reserve"]),
    ("log", &["level", "target", "every", "round"]),
    ("stats", &["publish"]),
];

/// The keys of `[network]`, which stand in no file: they are given when a network is founded.
pub(super) const NETWORK_KEYS: [(&str, &[&str]); 1] = [(
    "network",
    &[
        "strategy",
        "min-delay",
        "mean-delay",
        "max-delay",
        "tick",
        "batch-min",
        "send-every",
        "hops",
        "epoch",
        "max-size",
        "message-id-domain",
        "min-uptime",
        "only-onions",
        "demo",
    ],
)];

/// The keys whose value may be a number without quotes.
pub(super) const NUMBERS: [&str; 6] =
    ["entry.max-size", "exit.max-size", "directory.threshold", "spool.max", "spool.reserve", "log.round"];
