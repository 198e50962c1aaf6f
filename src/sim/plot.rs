//! The figures as a picture: how soon mails arrive, and how often the observer is right. Plain SVG, without script.

use super::judge::Estimate;
use super::num::real;
use super::report::Report;
use super::told::days;
use std::fmt::Write as _;

const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 400.0;

/// Readable on light and on dark, and in print; nothing is told by colour alone.
const STYLE: &str = "text{font:13px sans-serif;fill:#222}.t{font-weight:bold}.s{fill:#555;font-size:12px}\
.g{stroke:#ccc;stroke-width:1}.a{stroke:#222;stroke-width:1;fill:none}.d{stroke:#0b5394;stroke-width:2;fill:none}\
.p{fill:#0b5394}.b{fill:#b45309}.e{stroke:#b45309;stroke-width:2}.l{stroke:#555;stroke-dasharray:5 4}.bg{fill:#fff}\
@media(prefers-color-scheme:dark){text{fill:#eee}.s{fill:#aaa}.g{stroke:#444}.a{stroke:#eee}.d{stroke:#6cb0f0}\
.p{fill:#6cb0f0}.b{fill:#f0a050}.e{stroke:#f0a050}.l{stroke:#aaa}.bg{fill:#161616}}";

/// Where a diagram's axes are.
struct Panel {
    left: f64,
    right: f64,
}

const TOP: f64 = 76.0;
const BOTTOM: f64 = 330.0;

/// A picture of the report.
#[must_use]
pub fn svg(report: &Report) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-label=\"fog simulate: {} nodes, {} mails\">\n<style>{STYLE}</style>\n\
         <rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n",
        report.nodes, report.mails
    );
    label(
        &mut text,
        20.0,
        24.0,
        "t",
        &format!("fog simulate: {} nodes, {} mails in {}", report.nodes, report.mails, days(report.days)),
    );
    label(&mut text, 480.0, 24.0, "s", report.habits());
    arrivals(&mut text, report, &Panel { left: 60.0, right: 390.0 });
    guesses(&mut text, report, &Panel { left: 480.0, right: 820.0 });
    text.push_str("</svg>\n");
    text
}

/// How many mails have arrived after so many hours.
fn arrivals(text: &mut String, report: &Report, panel: &Panel) {
    label(text, panel.left, 52.0, "", "Mails that have arrived, after so many hours");
    let longest = report.latencies.last().copied().unwrap_or(0.0) / 3600.0;
    let step = step(longest);
    let most = (longest / step).ceil().max(1.0) * step;
    let x = |hours: f64| panel.left + (panel.right - panel.left) * hours / most;
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    for percent in [0_u8, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        line(text, "g", (panel.left, at), (panel.right, at));
        end_label(text, panel.left - 6.0, at + 4.0, &format!("{percent} %"));
    }
    let mut hours = 0.0;
    while hours <= most {
        middle_label(text, x(hours), BOTTOM + 18.0, "s", &format!("{hours}"));
        hours += step;
    }
    let count = report.latencies.len();
    let points: Vec<String> = (0..=200)
        .filter_map(|n| {
            // 200 points are a smooth line, however many mails there were.
            let place = count.saturating_sub(1) * n / 200;
            let latency = report.latencies.get(place)?;
            Some(format!("{:.1},{:.1}", x(latency / 3600.0), y(real(place + 1) / real(report.mails))))
        })
        .collect();
    let _ = writeln!(text, "<polyline class=\"d\" points=\"{}\"/>", points.join(" "));
    frame(text, panel);
}

/// How often the observer is right, from luck to certainty; the scale is logarithmic.
fn guesses(text: &mut String, report: &Report, panel: &Panel) {
    label(text, panel.left, 52.0, "", "How often the observer names the right node");
    let luck = 1.0 / real(report.nodes.saturating_sub(1).max(1));
    let bars = bars(report);
    let least = bars.iter().map(|(_, _, right)| right.low).filter(|low| *low > 0.0).fold(luck, f64::min);
    let floor = 10_f64.powf((least * 0.7).log10().floor());
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * (1.0 - share.max(floor).log10() / floor.log10());
    let mut mark = floor;
    while mark <= 1.0001 {
        for factor in [1.0, 2.0, 5.0] {
            let share = mark * factor;
            if share <= 1.0001 && (factor < 1.5 || floor > 0.005) {
                line(text, "g", (panel.left, y(share)), (panel.right, y(share)));
                let percent = format!("{:.4}", share * 100.0);
                let percent = percent.trim_end_matches('0').trim_end_matches('.');
                end_label(text, panel.left - 6.0, y(share) + 4.0, &format!("{percent} %"));
            }
        }
        mark *= 10.0;
    }
    line(text, "l", (panel.left, y(luck)), (panel.right, y(luck)));
    label(text, panel.left + 6.0, y(luck) - 5.0, "s", "luck");
    let width = (panel.right - panel.left) / real(bars.len().max(1));
    for (place, (what, is_bad, right)) in bars.iter().enumerate() {
        let x = panel.left + width * (real(place) + 0.5);
        let class = if *is_bad { ("e", "b") } else { ("d", "p") };
        line(text, class.0, (x, y(right.low)), (x, y(right.high)));
        if *is_bad {
            let _ = writeln!(
                text,
                "<rect class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\"/>",
                class.1,
                x - 4.5,
                y(right.mean) - 4.5
            );
        } else {
            let _ = writeln!(text, "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"5\"/>", class.1, y(right.mean));
        }
        middle_label(text, x, BOTTOM + 18.0, "s", what);
    }
    label(text, panel.left, BOTTOM + 38.0, "s", "k: letters to one recipient.  +b: one letter, b bad nodes.");
    label(text, panel.left, BOTTOM + 54.0, "s", "Lines: where the true share is, 19 times in 20.");
    frame(text, panel);
}

/// What there is to show: its name, whether it is of bad nodes, and how often he is right.
fn bars(report: &Report) -> Vec<(String, bool, Estimate)> {
    let after = report.after_k.iter().map(|after| (after.k.to_string(), false, after.seen.guess));
    let bad = report.with_bad_nodes.iter().map(|bad| (format!("+{}", bad.bad), true, bad.seen.guess));
    after.chain(bad).collect()
}

/// A round distance between marks, so that there are at most eight.
fn step(longest: f64) -> f64 {
    let steps = [0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 12.0, 24.0, 48.0, 96.0];
    steps.into_iter().find(|step| longest / step <= 8.0).unwrap_or(240.0)
}

fn frame(text: &mut String, panel: &Panel) {
    let _ = writeln!(text, "<path class=\"a\" d=\"M{} {TOP}V{BOTTOM}H{}\"/>", panel.left, panel.right);
}

fn line(text: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(text, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

fn label(text: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let _ = writeln!(text, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}

fn middle_label(text: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let _ = writeln!(text, "<text class=\"{class}\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}

fn end_label(text: &mut String, x: f64, y: f64, words: &str) {
    let _ = writeln!(text, "<text class=\"s\" text-anchor=\"end\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}
