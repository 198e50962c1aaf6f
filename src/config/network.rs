//! The parameters of a network, given once by its founder.

use super::keys::NETWORK_KEYS;
use super::settings::Settings;
use super::{ConfigError, HOST_NAME, SIZE};
use crate::directory::units::{parse_number, parse_size, parse_span, span as span_words};
use crate::directory::{BadParams, Params, Strategy, is_host_name};

/// The parameters of a network to be founded: the defaults, and those of `set` that begin with `network.`. The others
/// are handed back; they are for the configuration. Where the founder `is_onion`, all are to be, unless it is said.
///
/// # Errors
/// The first thing that is wrong.
pub fn network(set: &[String], is_onion: bool) -> Result<(Params, Vec<String>), ConfigError> {
    let (ours, others): (Vec<_>, Vec<_>) = set.iter().cloned().partition(|set| set.starts_with("network."));
    let mut settings = Settings::new(&NETWORK_KEYS);
    for set in &ours {
        settings.set(set)?;
    }
    let default = Params::default();
    let span = |key, default| settings.or(key, default, "a span such as 250ms, 90s, 15m, 2h or 1d", parse_span);
    let small = |text: &str| parse_number(text).and_then(|n| u8::try_from(n).ok());
    let domain = |text: &str| is_host_name(text).then(|| text.to_owned());
    let percent = |text: &str| parse_number(text).and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= 100);
    let flag = |key, default| settings.or(key, default, "true or false", |text| text.parse().ok());
    let laws = "exponential, constant or poisson";
    let params = Params {
        strategy: settings.or("network.strategy", default.strategy, laws, Strategy::parse)?,
        min_delay: span("network.min-delay", default.min_delay)?,
        mean_delay: span("network.mean-delay", default.mean_delay)?,
        max_delay: span("network.max-delay", default.max_delay)?,
        tick: span("network.tick", default.tick)?,
        batch_min: settings.or("network.batch-min", default.batch_min, "a number from 0 to 100", small)?,
        send_every: span("network.send-every", default.send_every)?,
        hops: settings.or("network.hops", default.hops, "a number from 1 to 4", small)?,
        epoch: span("network.epoch", default.epoch)?,
        max_size: settings.or("network.max-size", default.max_size, SIZE, parse_size)?,
        message_id_domain: settings.or("network.message-id-domain", default.message_id_domain, HOST_NAME, domain)?,
        min_uptime: settings.or(
            "network.min-uptime",
            default.min_uptime,
            "a number from 0 to 100, in percent",
            percent,
        )?,
        only_onions: flag("network.only-onions", is_onion)?,
        demo: flag("network.demo", false)?,
    };
    params.check().map_err(|bad| ConfigError::of_sets(&ours, &told(bad, &params)))?;
    Ok((params, others))
}

/// What is wrong. Delays are told with their values: one of them may be a default that nobody has typed.
fn told(bad: BadParams, params: &Params) -> String {
    let [min, mean, max] = [params.min_delay, params.mean_delay, params.max_delay].map(span_words);
    if bad == BadParams::Delays { format!("{bad}: they are {min}, {mean} and {max}") } else { bad.to_string() }
}
