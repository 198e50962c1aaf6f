//! One static page: no script, nothing from elsewhere, light or dark as the reader likes it, and readable without colour.

use super::super::words::role_words;
use super::{Row, Table, sign};
use crate::directory::Uptime;
use crate::id::Epoch;
use mail_parser::DateTime;
use std::fmt::Write as _;

/// In front of the table. `color-scheme` gives scroll bars and form parts their colours.
const HEAD: &str = include_str!("page.css");

pub(super) fn page(table: &Table) -> String {
    let mut out = String::with_capacity(4096 + 1024 * table.rows.len());
    let mut add = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a String takes all");
    add(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>fog: epoch {}</title>\n<style>\n{HEAD}</style>\n",
        table.epoch
    ));
    let hops = || table.rows.iter().filter(|row| row.is_hop());
    let (nodes, on_paths) = (hops().count(), hops().filter(|row| row.on_paths).count());
    add(format_args!(
        "<h1>The nodes of this network</h1>\n<p>Epoch {}; {on_paths} of {nodes} nodes are on paths. \
         The directory document is good until {}.</p>\n",
        table.epoch,
        minute(table.valid_until)
    ));
    add(format_args!(
        "<div class=\"wide\">\n<table>\n<thead><tr><th scope=\"col\">Node<th scope=\"col\">Roles\
         <th scope=\"col\">{} to {}<th scope=\"col\" class=\"n\">Comes on<th scope=\"col\">On paths\
         <th scope=\"col\">Family<th scope=\"col\">Contact<th scope=\"col\">Version</thead>\n<tbody>\n",
        day(table, table.first()),
        day(table, table.epoch)
    ));
    for row in hops() {
        add(format_args!("{}", line(table, row)));
    }
    add(format_args!("</tbody>\n</table>\n</div>\n{}", legend(table)));
    out
}

fn line(table: &Table, row: &Row) -> String {
    let days: String = (table.first().0..).zip(row.days).map(|(epoch, day)| cell(Epoch(epoch), day)).collect();
    let uptime = row.uptime.map_or_else(|| "?".into(), |uptime| uptime.to_string());
    let text = |text: Option<&String>| text.map_or_else(String::new, |text| escaped(text));
    format!(
        "<tr><th scope=\"row\">{}<td>{}<td class=\"s\">{days}<td class=\"n\">{uptime}<td>{}<td>{}<td class=\"c\">{}<td>{}\n",
        escaped(&row.name),
        role_words(row.roles),
        if row.on_paths { "yes" } else { "<b>left out</b>" },
        text(row.family.as_ref()),
        text(row.contact.as_ref()),
        escaped(&row.version)
    )
}

/// One epoch: a bar as high as its share, with the sign that the text has too.
fn cell(epoch: Epoch, day: Option<Uptime>) -> String {
    match day {
        None => format!("<i class=\"u\" title=\"epoch {epoch}: not measured\">?</i>"),
        Some(uptime) => {
            let steps = uptime.percent() / 10;
            format!("<i class=\"h{steps}\" title=\"epoch {epoch}: {uptime}\">{}</i>", sign(day))
        }
    }
}

fn legend(table: &Table) -> String {
    format!(
        "<p>Each strip has the last 12 epochs, the latest at the right: <b>+</b> says that all of what was sent through \
         the node came on, <b>9</b> that 90 or 95 % did, and so on down to <b>0</b>; <b>?</b> that too few nodes have \
         measured it. It is the median of what the other nodes found, which send loops through the network that nobody can \
         tell from mail, and blame the hops of those that don't come back. A node below {} % is left out of paths.</p>\n\
         <p>Nothing here comes from mail. The same figures for programs: <a href=\"nodes.json\">nodes.json</a>, \
         <a href=\"mlist2.txt\">mlist2.txt</a>. Made {}.</p>\n</html>\n",
        table.min_uptime,
        minute(table.now)
    )
}

/// Names and contacts come from strangers.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `2026-11-23 05:40 UTC`.
fn minute(time: crate::time::Time) -> String {
    let time = DateTime::from_timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    format!("{:04}-{:02}-{:02} {:02}:{:02} UTC", time.year, time.month, time.day, time.hour, time.minute)
}

/// The day on which an epoch begins; where an epoch is no day, its number.
fn day(table: &Table, epoch: Epoch) -> String {
    if table.epoch_length.as_secs() != 86_400 {
        return format!("epoch {epoch}");
    }
    let time = DateTime::from_timestamp(i64::try_from(table.start(epoch).as_secs()).unwrap_or(i64::MAX));
    format!("{:04}-{:02}-{:02}", time.year, time.month, time.day)
}
