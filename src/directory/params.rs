//! The network's parameters: in the document, so that every sender draws from the same distribution.

use super::address::is_host_name;
use super::lines::{Lines, Malformed, Wrong, canonical};
use super::units;
use std::fmt::Write as _;
use std::time::Duration;
use thiserror::Error;

/// Most hops a path of mail may have: a loop or SURB takes one more, and a packet carries five.
const MAX_HOPS: u8 = 4;
/// Largest `max_size`: with what CBOR and incompressible zstd add, it still fits 255 shards of 58,380 bytes.
pub const MAX_MAX_SIZE: u64 = 14 << 20;
/// Smallest `max_size`: below it not even a short mail with its headers is sure to fit.
const MIN_MAX_SIZE: u64 = 16 << 10;
/// Largest `batch_min`: what a node may have to build at a tick.
const MAX_BATCH_MIN: u8 = 100;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const MAX_EPOCH: Duration = Duration::from_secs(7 * 86_400);

/// The law from which a hop's delay is drawn (`mix::delay`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// `min + Exp(mean − min)`, redrawn above `max`.
    Exponential,
    /// Uniform in `min..max`; the earlier program's word.
    Constant,
    /// `min + s·K`, `K ~ Poisson((mean − min) / s)`, `s = (max − min) / 24`, redrawn above `max`.
    Poisson,
}

impl Strategy {
    /// As the document and the configuration write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }

    /// Reads what `as_str` gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Exponential, Self::Constant, Self::Poisson].into_iter().find(|strategy| strategy.as_str() == text)
    }
}

/// What all nodes of a network agree on. Spans are whole milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params {
    /// The law of delays.
    pub strategy: Strategy,
    /// No hop holds a packet for less.
    pub min_delay: Duration,
    /// The mean, before what is above `max_delay` is drawn again.
    pub mean_delay: Duration,
    /// No hop holds a packet for more.
    pub max_delay: Duration,
    /// Packets leave at multiples of this, counted from the Unix epoch.
    pub tick: Duration,
    /// Packets that leave a node at each tick; cover traffic where there are fewer.
    pub batch_min: u8,
    /// Mean span between two send slots of a node.
    pub send_every: Duration,
    /// Hops of a mail's path, the exit included.
    pub hops: u8,
    /// How long a mix key is the current one; whole seconds.
    pub epoch: Duration,
    /// Largest mail in bytes, as it is handed in.
    pub max_size: u64,
    /// What stands behind the `@` of every Message-ID.
    pub message_id_domain: String,
    /// Percent of what is sent through a node that have to come on, by the document's median, for it to stand on paths.
    pub min_uptime: u8,
    /// Whether each node has to be a Tor onion service, so that who watches the wires doesn't see which talk to which.
    pub only_onions: bool,
    /// A network on one machine whose packets may be watched (`fog demo`). Never on a real one.
    pub demo: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            strategy: Strategy::Exponential,
            min_delay: HOUR,
            mean_delay: 3 * HOUR,
            max_delay: DAY,
            tick: 5 * MINUTE,
            batch_min: 5,
            send_every: 5 * MINUTE,
            hops: 3,
            epoch: DAY,
            max_size: 2 << 20,
            message_id_domain: "fog.invalid".into(),
            min_uptime: 90,
            only_onions: false,
            demo: false,
        }
    }
}

/// Why parameters make no network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BadParams {
    /// Out of order.
    #[error("min-delay must be at most mean-delay, and mean-delay at most max-delay")]
    Delays,
    /// Zero, or too coarse for the window in which a key is accepted.
    #[error("tick must be above 0 and at most a 12th of the epoch")]
    Tick,
    /// More than a node should have to build at once.
    #[error("batch-min must be at most {MAX_BATCH_MIN}")]
    BatchMin,
    /// Zero, or nothing would be sent in the validity of a document.
    #[error("send-every must be above 0 and at most an epoch")]
    SendEvery,
    /// Outside what a packet can carry.
    #[error("hops must be 1, 2, 3 or 4")]
    Hops,
    /// Too short to publish keys, too long to forget them, or not whole seconds.
    #[error("epoch must be whole seconds, from 1m to 7d")]
    Epoch,
    /// A packet would come after the keys that are published.
    #[error("max-delay, and mean-delay times hops, must be at most 3 epochs")]
    TooSlow,
    /// What a mail can't have or fragments can't carry.
    #[error("max-size must be from 16K to 14M")]
    MaxSize,
    /// Not a host name.
    #[error("message-id-domain must be a host name in lower case")]
    MessageIdDomain,
    /// More than all.
    #[error("min-uptime must be from 0 to 100")]
    MinUptime,
}

impl Params {
    /// Checks that a network can run on these parameters.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadParams> {
        let slowest = self.mean_delay.saturating_mul(u32::from(self.hops)).max(self.max_delay);
        let checks = [
            (self.min_delay <= self.mean_delay && self.mean_delay <= self.max_delay, BadParams::Delays),
            (self.epoch.subsec_nanos() == 0 && (MINUTE..=MAX_EPOCH).contains(&self.epoch), BadParams::Epoch),
            (!self.tick.is_zero() && self.tick <= self.epoch / 12, BadParams::Tick),
            (self.batch_min <= MAX_BATCH_MIN, BadParams::BatchMin),
            (!self.send_every.is_zero() && self.send_every <= self.epoch, BadParams::SendEvery),
            ((1..=MAX_HOPS).contains(&self.hops), BadParams::Hops),
            (slowest <= self.epoch.saturating_mul(3), BadParams::TooSlow),
            ((MIN_MAX_SIZE..=MAX_MAX_SIZE).contains(&self.max_size), BadParams::MaxSize),
            (is_host_name(&self.message_id_domain), BadParams::MessageIdDomain),
            (self.min_uptime <= 100, BadParams::MinUptime),
        ];
        checks.into_iter().find(|(ok, _)| !ok).map_or(Ok(()), |(_, bad)| Err(bad))
    }

    /// The `[params]` table of a document.
    pub(super) fn write(&self, text: &mut String) {
        let mut line = |key: &str, value: &str| writeln!(text, "{key} = {value}").expect("a String takes all");
        let quoted = |value: &str| format!("\"{value}\"");
        line("strategy", &quoted(self.strategy.as_str()));
        line("min-delay", &quoted(&units::span(self.min_delay)));
        line("mean-delay", &quoted(&units::span(self.mean_delay)));
        line("max-delay", &quoted(&units::span(self.max_delay)));
        line("tick", &quoted(&units::span(self.tick)));
        line("batch-min", &self.batch_min.to_string());
        line("send-every", &quoted(&units::span(self.send_every)));
        line("hops", &self.hops.to_string());
        line("epoch", &quoted(&units::span(self.epoch)));
        line("max-size", &quoted(&units::size(self.max_size)));
        line("message-id-domain", &quoted(&self.message_id_domain));
        line("min-uptime", &self.min_uptime.to_string());
        if self.only_onions {
            text.push_str("only-onions = true\n");
        }
        if self.demo {
            text.push_str("demo = true\n");
        }
    }

    /// Reads what `write` wrote.
    pub(super) fn read(lines: &mut Lines<'_>) -> Result<Self, Malformed> {
        let span = |text: &str| canonical(text, units::parse_span, units::span);
        let size = |text: &str| canonical(text, units::parse_size, units::size);
        let params = Self {
            strategy: lines.string("strategy", Strategy::parse)?,
            min_delay: lines.string("min-delay", span)?,
            mean_delay: lines.string("mean-delay", span)?,
            max_delay: lines.string("max-delay", span)?,
            tick: lines.string("tick", span)?,
            batch_min: lines
                .number("batch-min")?
                .try_into()
                .map_err(|_| lines.wrong(Wrong::Params(BadParams::BatchMin)))?,
            send_every: lines.string("send-every", span)?,
            hops: lines.number("hops")?.try_into().map_err(|_| lines.wrong(Wrong::Params(BadParams::Hops)))?,
            epoch: lines.string("epoch", span)?,
            max_size: lines.string("max-size", size)?,
            message_id_domain: lines.string("message-id-domain", |text| Some(text.to_owned()))?,
            min_uptime: read_min_uptime(lines)?,
            only_onions: lines.flag("only-onions")?,
            demo: lines.flag("demo")?,
        };
        params.check().map_err(|bad| lines.wrong(Wrong::Params(bad)))?;
        Ok(params)
    }
}

fn read_min_uptime(lines: &mut Lines<'_>) -> Result<u8, Malformed> {
    let percent = lines.number("min-uptime")?;
    percent.try_into().map_err(|_| lines.wrong(Wrong::Params(BadParams::MinUptime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_a_network() {
        assert_eq!(Params::default().check(), Ok(()));
    }

    #[test]
    fn parameters_that_make_no_network_are_refused() {
        let change = |change: fn(&mut Params)| {
            let mut params = Params::default();
            change(&mut params);
            params.check()
        };
        assert_eq!(change(|p| p.min_delay = p.mean_delay + MINUTE), Err(BadParams::Delays));
        assert_eq!(change(|p| p.max_delay = p.mean_delay - MINUTE), Err(BadParams::Delays));
        assert_eq!(change(|p| p.tick = Duration::ZERO), Err(BadParams::Tick));
        assert_eq!(change(|p| p.tick = 3 * HOUR), Err(BadParams::Tick));
        assert_eq!(change(|p| p.batch_min = MAX_BATCH_MIN + 1), Err(BadParams::BatchMin));
        assert_eq!(change(|p| p.send_every = Duration::ZERO), Err(BadParams::SendEvery));
        assert_eq!(change(|p| p.send_every = 2 * DAY), Err(BadParams::SendEvery));
        assert_eq!(change(|p| p.hops = 0), Err(BadParams::Hops));
        assert_eq!(change(|p| p.hops = 5), Err(BadParams::Hops));
        assert_eq!(change(|p| p.epoch = Duration::from_secs(59)), Err(BadParams::Epoch));
        assert_eq!(change(|p| p.epoch = 8 * DAY), Err(BadParams::Epoch));
        assert_eq!(change(|p| p.epoch = HOUR + Duration::from_millis(1)), Err(BadParams::Epoch));
        assert_eq!(change(|p| p.max_delay = 4 * DAY), Err(BadParams::TooSlow));
        assert_eq!(change(|p| (p.mean_delay, p.max_delay) = (25 * HOUR, 3 * DAY)), Err(BadParams::TooSlow));
        assert_eq!(change(|p| p.max_size = MAX_MAX_SIZE + 1), Err(BadParams::MaxSize));
        assert_eq!(change(|p| p.max_size = MIN_MAX_SIZE - 1), Err(BadParams::MaxSize));
        assert_eq!(change(|p| p.message_id_domain = "a b".into()), Err(BadParams::MessageIdDomain));
        assert_eq!(change(|p| p.min_uptime = 101), Err(BadParams::MinUptime));
    }

    #[test]
    fn no_delay_at_all_is_allowed() {
        let none = Duration::ZERO;
        let params = Params { min_delay: none, mean_delay: none, max_delay: none, ..Params::default() };
        assert_eq!(params.check(), Ok(()));
    }
}
