//! Spans, sizes and rates as people write them: `90s`, `15m`, `2h`, `1d`, `250ms`; `32K`, `2M`, `1G`; `20/1d`.

use crate::time::Rate;
use std::time::Duration;

/// Unit and milliseconds, largest first.
const SPANS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Unit and bytes, largest first.
const SIZES: [(&str, u64); 4] = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10), ("", 1)];

/// A span of whole milliseconds: digits and one unit, nothing else. `None` if it is anything else.
#[must_use]
pub fn parse_span(text: &str) -> Option<Duration> {
    parse(text, &SPANS).map(Duration::from_millis)
}

/// `span` in the largest unit that divides it; what is below a millisecond is lost.
#[must_use]
pub fn span(span: Duration) -> String {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 { "0s".into() } else { write(ms, &SPANS) }
}

/// A number of bytes: digits and at most one unit (1K is 1,024). `None` if it is anything else.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// `size` in the largest unit that divides it.
#[must_use]
pub fn size(size: u64) -> String {
    if size == 0 { "0".into() } else { write(size, &SIZES) }
}

/// A number above zero, a slash and a span above zero. `None` if it is anything else.
#[must_use]
pub fn parse_rate(text: &str) -> Option<Rate> {
    let (count, per) = text.split_once('/')?;
    let count = u32::try_from(parse_number(count)?).ok().filter(|count| *count > 0)?;
    let per = parse_span(per).filter(|per| !per.is_zero())?;
    Some(Rate { count, per })
}

/// Digits only, no leading zero, no sign.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    parse_number(number)?.checked_mul(*factor)
}

fn write(n: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units.iter().find(|(_, factor)| n.is_multiple_of(*factor)).unwrap_or(&("", 1));
    format!("{}{unit}", n / factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_are_digits_and_one_unit() {
        for (text, ms) in [("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000), ("1d", 86_400_000), ("250ms", 250)] {
            assert_eq!(parse_span(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "90", "1.5h", "1h30m", "-1s", "+1s", "1 s", "01s", "1S", "99999999999999999999s", "1é"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_digits_and_at_most_one_unit() {
        for (text, bytes) in [("32K", 32_768), ("2M", 2_097_152), ("1G", 1 << 30), ("7", 7), ("0", 0)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "K", "1k", "1KB", "00", "1_000", "18446744073709551615K"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_a_number_in_a_span() {
        assert_eq!(parse_rate("20/1d"), Some(Rate { count: 20, per: Duration::from_secs(86_400) }));
        for text in ["", "20", "/1d", "20/", "0/1d", "20/0s", "20/d", "20 /1d", "4294967296/1d", "20/1d/2", "-1/1d"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn the_largest_unit_that_divides_is_written() {
        let written = [0, 1, 1000, 90_000, 5_400_000, 86_400_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(written, ["0s", "1ms", "1s", "90s", "90m", "1d"]);
        assert_eq!([0, 1, 1024, 3 << 20].map(size), ["0", "1", "1K", "3M"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(n in 0..u64::MAX) {
            prop_assert_eq!(parse_span(&span(Duration::from_millis(n))), Some(Duration::from_millis(n)));
            prop_assert_eq!(parse_size(&size(n)), Some(n));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = (parse_span(&text), parse_size(&text));
        }
    }
}
