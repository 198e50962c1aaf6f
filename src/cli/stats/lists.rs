//! The list that clients of the earlier remailers read: Echolot's `mlist2.txt`, column by column.

use super::{Row, Table};
use crate::sys::history::EPOCHS;
use mail_parser::DateTime;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Nodes of which nothing is known are left out: that list has no word for them but that they are down.
pub(super) fn mlist2(table: &Table) -> String {
    let mut out = String::from("Stats-Version: 2.0\n");
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(out, "{line}").expect("a String takes all");
    line(format_args!("Generated: {}", date(table)));
    line(format_args!("{:<12} Latent-Hist   Latent  Uptime-Hist   Uptime  Options", "Mixmaster"));
    line(format_args!("{}", "-".repeat(72)));
    // How long a node takes is drawn by who sends, from one law for all: there is nothing to measure.
    let (latent, held) = (latency_sign(table.held).to_string().repeat(EPOCHS), hours(table.held));
    let known = || table.rows.iter().filter(|row| row.is_hop());
    for (row, uptime) in known().filter_map(|row| Some((row, row.uptime?))) {
        let (name, percent) = (short(&row.name), f64::from(uptime.percent()));
        line(format_args!("{name:<12} {latent} {held:>6}   {:<12}  {percent:>5.1}%  {}", row.strip(), options(row)));
    }
    let families = families(table);
    if !families.is_empty() {
        line(format_args!("\nGroups of remailers sharing a machine or operator:\n{families}"));
    }
    line(format_args!("\n\n\nRemailer-Capabilities:\n"));
    for row in known() {
        let middle = if row.roles.exit { "" } else { " middle" };
        let post = if row.news { " post" } else { "" };
        line(format_args!("$remailer{{\"{}\"}} = \"<{}> mix{middle}{post}\";", short(&row.name), row.address));
    }
    out
}

fn short(name: &str) -> &str {
    name.get(..12).unwrap_or(name)
}

/// `Sat 12 Nov 2005 00:10:02 GMT`; the seconds are nobody's business.
fn date(table: &Table) -> String {
    let time = DateTime::from_timestamp(i64::try_from(table.now.as_secs() / 60 * 60).unwrap_or(i64::MAX));
    let day = DAYS.get(usize::from(time.day_of_week())).unwrap_or(&"");
    let month = MONTHS.get(usize::from(time.month).saturating_sub(1)).unwrap_or(&"");
    format!("{day} {:02} {month} {:4} {:02}:{:02}:{:02} GMT", time.day, time.year, time.hour, time.minute, time.second)
}

/// ` 3:02`, or `  :40` below an hour.
fn hours(span: Duration) -> String {
    let minutes = (span.as_secs() / 60).min(99 * 60 + 59);
    match minutes / 60 {
        0 => format!("  :{minutes:02}"),
        hours => format!("{hours:2}:{:02}", minutes % 60),
    }
}

/// `0` to `9` and `A` to `H`, for less than so many minutes.
fn latency_sign(span: Duration) -> char {
    const BELOW: [(u64, char); 17] = [
        (20, '0'),
        (60, '1'),
        (120, '2'),
        (180, '3'),
        (240, '4'),
        (300, '5'),
        (360, '6'),
        (420, '7'),
        (480, '8'),
        (540, '9'),
        (720, 'A'),
        (1080, 'B'),
        (1440, 'C'),
        (1800, 'D'),
        (2160, 'E'),
        (2520, 'F'),
        (2880, 'G'),
    ];
    BELOW.iter().find(|(minutes, _)| span.as_secs() < minutes * 60).map_or('H', |(_, sign)| *sign)
}

/// `D` for one that hands nothing out, `P` for one that posts news, `M` for a mix; the other twelve mean nothing here.
fn options(row: &Row) -> String {
    let letter = |is: bool, letter: char| if is { letter } else { ' ' };
    let letters = [letter(!row.roles.exit, 'D'), letter(row.news, 'P'), 'M'];
    format!("{:<15}", letters.iter().collect::<String>())
}

fn families(table: &Table) -> String {
    let mut families: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in table.rows.iter().filter(|row| row.is_hop()) {
        row.family.iter().for_each(|family| families.entry(family).or_default().push(short(&row.name)));
    }
    let groups = families.values().filter(|names| names.len() > 1).map(|names| format!("({})\n", names.join(" ")));
    groups.collect()
}
