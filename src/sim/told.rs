//! The figures as JSON, as CSV, and in words.

use super::Model;
use super::judge::Estimate;
use super::num::real;
use super::report::{Report, Seen};
use crate::directory::units::span;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;

impl Model {
    /// As the command line and JSON write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Engines => "engines",
            Self::Light => "light",
        }
    }
}

impl Report {
    /// One object. Members may come; none goes, or changes its name.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let bad = self.with_bad_nodes.iter().map(|bad| {
            let mut object = object(&bad.seen);
            object.insert("bad".into(), json!(bad.bad));
            put(&mut object, "fully_traced", bad.fully_traced);
            object
        });
        let after = self.after_k.iter().map(|after| {
            let mut object = object(&after.seen);
            object.insert("k".into(), json!(after.k));
            object.insert("runs".into(), json!(after.runs));
            object
        });
        json!({
            "v": 1,
            "nodes": self.nodes,
            "exits": self.exits,
            "mails": self.mails,
            "days": self.days,
            "model": self.model.as_str(),
            "seed": self.seed,
            "cover": self.habits.cover,
            "receipts": self.habits.receipts,
            "delivered": rounded(self.delivered),
            "latency_s": {"p50": rounded(self.p50), "p95": rounded(self.p95)},
            "bytes_per_node_day": rounded(self.bytes_per_node_day),
            "packets_per_batch": rounded(self.batch),
            "letters": self.letters,
            "observer": object(&self.observer),
            "with_bad_nodes": bad.collect::<Vec<_>>(),
            "after_k": after.collect::<Vec<_>>(),
        })
    }

    /// A line for each figure of the observer's: bad nodes, letters together, and what he knew.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut text = String::from(
            "bad,k,samples,entropy_bits,entropy_bits_low,entropy_bits_high,guess,guess_low,guess_high,\
             believed,believed_low,believed_high,fully_traced,cover,receipts\n",
        );
        let mut line = |bad: usize, k: usize, samples: usize, seen: &Seen, traced: f64| {
            let figures = [seen.entropy_bits, seen.guess, seen.believed];
            let figures = figures.iter().flat_map(|figure| [figure.mean, figure.low, figure.high]);
            let figures: Vec<String> = figures.chain([traced]).map(|x| rounded(x).to_string()).collect();
            let [cover, receipts] = [self.habits.cover, self.habits.receipts].map(u8::from);
            let _ = writeln!(text, "{bad},{k},{samples},{},{cover},{receipts}", figures.join(","));
        };
        self.after_k.iter().for_each(|after| line(0, after.k, after.runs, &after.seen, 0.0));
        for bad in &self.with_bad_nodes {
            line(bad.bad, 1, bad.letters, &bad.seen, bad.fully_traced.mean);
        }
        text
    }

    /// For people, in 80 columns.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |words: String| text.extend([words.as_str(), "\n"]);
        let days = if self.more_days { format!("{} days, which they need", self.days) } else { days(self.days) };
        line(format!("{} nodes, {} of them exits; {} mails in {days}", self.nodes, self.exits, self.mails));
        line(format!("played by {}, seed {}; {}", self.player(), self.seed, self.laws()));
        line(self.habits().to_owned());
        line(String::new());
        line(format!(
            "delivered   {:.1} % of the mails; half in {}, 95 % in {}",
            self.delivered * 100.0,
            hours(self.p50),
            hours(self.p95)
        ));
        line(format!(
            "traffic     {:.0} MB a day leave a node, and as many come; {:.1} packets a batch",
            self.bytes_per_node_day / 1e6,
            self.batch
        ));
        line(String::new());
        line("Somebody watches every link, and guesses which node a mail was handed in at:".into());
        line(String::new());
        line(format!("{:<28}{:<24}{:<10}{}", "", "his best guess is right", "entropy", "as among"));
        let candidates = real(self.nodes - 1);
        line(row("by luck alone", &chance(1.0 / candidates), Some(candidates.log2())));
        for after in &self.after_k {
            let what = if after.k == 1 { "from one mail".into() } else { format!("from {} to one recipient", after.k) };
            // What he believes after several is more than what he knows, and so is its entropy less: see the manual.
            let entropy = (after.k == 1).then_some(after.seen.entropy_bits.mean);
            line(row(&what, &interval(after.seen.guess), entropy));
        }
        for bad in &self.with_bad_nodes {
            line(row(
                &format!("from one, and {} bad nodes", bad.bad),
                &interval(bad.seen.guess),
                Some(bad.seen.entropy_bits.mean),
            ));
            line(format!("  whole way known: {}", interval(bad.fully_traced)));
        }
        line(String::new());
        line("In brackets, what holds the true share 19 times in 20. Users of one node hide".into());
        line("among each other besides. Nothing hides what a mail itself says.".into());
        text
    }

    /// What nodes did besides their mail, in words.
    #[must_use]
    pub const fn habits(&self) -> &'static str {
        match (self.habits.cover, self.habits.receipts) {
            (true, true) => "with cover, and receipts for every mail",
            (true, false) => "with cover, without receipts",
            (false, true) => "without cover, with receipts for every mail",
            (false, false) => "without cover and receipts",
        }
    }

    fn player(&self) -> &'static str {
        match self.model {
            Model::Engines => "real engines",
            Model::Light => "the light model",
        }
    }

    fn laws(&self) -> String {
        let params = &self.params;
        format!(
            "{} delays {}/{}/{}, {} hops",
            params.strategy.as_str(),
            span(params.min_delay),
            span(params.mean_delay),
            span(params.max_delay),
            params.hops
        )
    }
}

/// Six digits are more than any of these figures has.
fn rounded(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

fn object(seen: &Seen) -> Map<String, Value> {
    let mut object = Map::new();
    put(&mut object, "entropy_bits", seen.entropy_bits);
    put(&mut object, "guess", seen.guess);
    put(&mut object, "believed", seen.believed);
    object
}

fn put(object: &mut Map<String, Value>, name: &str, estimate: Estimate) {
    object.insert(name.into(), json!(rounded(estimate.mean)));
    object.insert(format!("{name}_ci95"), json!([rounded(estimate.low), rounded(estimate.high)]));
}

fn row(what: &str, right: &str, entropy: Option<f64>) -> String {
    let entropy = entropy.map_or_else(String::new, |bits| format!("{bits:<10.2}{:.1} nodes", bits.exp2()));
    format!("{what:<28}{right:<24}{entropy}").trim_end().to_owned()
}

/// A share in percent, and the interval that holds the true one.
fn interval(estimate: Estimate) -> String {
    let percent = |x: f64| x * 100.0;
    let digits = if percent(estimate.high) < 10.0 { 2 } else { 1 };
    format!(
        "{:.digits$} % ({:.digits$}-{:.digits$})",
        percent(estimate.mean),
        percent(estimate.low),
        percent(estimate.high)
    )
}

fn chance(share: f64) -> String {
    let digits = if share < 0.1 { 2 } else { 1 };
    format!("{:.digits$} %", share * 100.0)
}

/// So many days, in words.
pub(super) fn days(days: f64) -> String {
    if (days - 1.0).abs() < f64::EPSILON { "a day".into() } else { format!("{days} days") }
}

/// A span in hours and minutes, rounded to minutes.
fn hours(seconds: f64) -> String {
    let minutes = Duration::from_secs_f64(seconds + 30.0).as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
