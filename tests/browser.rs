//! The page of `fog stats --html` in a real browser: light and dark, on a wide screen and on a telephone.
//!
//! Needs Chromium: without it the test is skipped, unless FOG_REQUIRE_E2E says that it must not be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "a real browser, and a real clock")]

#[path = "common/member.rs"]
mod member;

use fog::directory::{
    Authority, Candidate, Contents, Descriptor, Document, IdentityKey, Measured, Params, Signed, Trust, Uptime,
};
use fog::id::Epoch;
use fog::secret::Secret;
use fog::sys::clock;
use fog::sys::history::History;
use fog::time::Time;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const BROWSERS: [&str; 2] = ["chromium-headless-shell", "chromium"];

/// What others found in each of the last epochs of the node that is worst: every tenth, and nothing for the first.
const FOUND: [u8; 11] = [100, 95, 80, 70, 60, 50, 40, 30, 20, 10, 0];
const NODES: u8 = 6;

/// Looks at the page as a reader does: what of it can be seen on this background, and whether it fits.
const LOOK: &str = r#"<!doctype html><meta charset="utf-8"><body style="margin:0"><iframe id="f" src="index.html"
 style="border:0;height:900px;width:WIDTHpx"></iframe><pre id="out"></pre><script>
const numbers = text => text.match(/[\d.]+/g).map(Number);
const light = rgb => { const [r, g, b] = rgb.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b };
const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05) };
document.getElementById('f').onload = () => {
  const frame = document.getElementById('f').contentWindow, page = frame.document, style = e => frame.getComputedStyle(e);
  const behind = e => { const image = style(e).backgroundImage;
    // A bar of no height covers nothing.
    const all = image.match(/rgba?\([^)]*\)/g);
    if (all) return all.slice(style(e).getPropertyValue('--h').trim() === '0%' ? -1 : 0).map(numbers);
    const colour = style(e).backgroundColor;
    return colour === 'rgba(0, 0, 0, 0)' && e.parentElement ? behind(e.parentElement) : [numbers(colour)] };
  const written = [...page.body.querySelectorAll('*')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  const seen = written.map(e => [Math.min(...behind(e).map(b => contrast(numbers(style(e).color), b))), e.outerHTML.slice(0, 80)]);
  const row = [...page.querySelectorAll('tbody tr')].find(r => r.cells[0].textContent === 'node-5');
  document.getElementById('out').textContent = JSON.stringify({
    dark: frame.matchMedia('(prefers-color-scheme: dark)').matches, ground: style(page.body).backgroundColor,
    worst: seen.sort((a, b) => a[0] - b[0])[0], fits: page.documentElement.scrollWidth <= page.documentElement.clientWidth,
    smallest: Math.min(...written.map(e => parseFloat(style(e).fontSize))),
    strip: [...row.querySelectorAll('i')].map(i => i.textContent).join(''),
    bars: [...row.querySelectorAll('i')].map(i => style(i).getPropertyValue('--h').trim()),
    rows: page.querySelectorAll('tbody tr').length, scripts: page.scripts.length,
    fetched: frame.performance.getEntriesByType('resource').length, title: page.title });
};
</script>"#;

fn browser() -> Option<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|said| said.status.success());
    let found = BROWSERS.into_iter().find(is_there);
    assert!(found.is_some() || std::env::var_os("FOG_REQUIRE_E2E").is_none(), "none of {BROWSERS:?} is here");
    found
}

/// A node that is not running, by whose directory others were measured for twelve epochs.
struct Site {
    dir: TempDir,
}

impl Site {
    fn new() -> Self {
        let (dir, params) = (tempfile::tempdir().unwrap(), Params::default());
        let (now, home) = (clock::now(), dir.path().join("mix"));
        let running = now.epoch(params.epoch);
        let own = member::signed(&home, "mix", running);
        let authority = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
        let trust = Trust::new(1, [authority.node_id()].into()).unwrap();
        let document = |epoch: Epoch, percent: u8| {
            let us = Authority { name: "us".into(), identity: authority.public() };
            let nodes = (1..=NODES).map(|n| node(n, percent, own.descriptor())).chain([own.clone()]);
            let contents = Contents {
                epoch,
                previous: None,
                params: params.clone(),
                threshold: 1,
                authorities: [(authority.node_id(), us)].into(),
                nodes: nodes.map(|node| (node.descriptor().id(), node)).collect(),
            };
            let mut document = Candidate::new(&contents).unwrap();
            assert!(document.sign(&authority));
            document.to_text()
        };
        for (age, percent) in (0..).zip(FOUND.into_iter().rev()).skip(1) {
            let epoch = running.minus(age);
            let then = Time::epoch_start(epoch, params.epoch);
            let document = Document::reopen(&document(epoch, percent), &trust, then).unwrap();
            History::note(&home.join("spool/uptimes"), &document).unwrap();
        }
        fs::write(home.join("spool/directory"), document(running, 0)).unwrap();
        let address = &own.descriptor().address;
        let text = format!(
            "[node]\nname = \"mix\"\nroles = [\"mix\"]\nonion = \"{address}\"\nlisten = \"{address}\"\nsockets = \".\"\n\
             [directory]\ntrust = [\"{}\"]\n[spool]\npath = \"spool\"\n",
            authority.node_id()
        );
        fs::write(home.join("fog.toml"), text).unwrap();
        Self { dir }
    }

    fn fog(&self, args: &[&str]) -> String {
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        let said = fog.args(args).arg("--config").arg(self.dir.path().join("mix/fog.toml")).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    }

    fn page(&self) -> PathBuf {
        let pages = self.dir.path().join("pages");
        fs::create_dir(&pages).unwrap();
        self.fog(&["stats", "--html", pages.to_str().unwrap()]);
        pages
    }
}

/// One of the others. They all find that so much of what is sent through node 5 comes on.
fn node(n: u8, percent: u8, like: &Descriptor) -> Signed {
    let key = |n: u8| IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(n)));
    // Of one that hands on everything nothing is said.
    let found: Measured = Some((key(5).node_id(), Uptime::from_percent(percent).unwrap()))
        .filter(|_| percent < 100)
        .into_iter()
        .collect();
    let unlike = Descriptor {
        name: format!("node-{n}"),
        identity: key(n).public(),
        link_key: [n; 32],
        address: fog::directory::NodeAddress::parse(&format!("node-{n}.example:9999")).unwrap(),
        family: (n <= 2).then(|| "kin".to_owned()),
        contact: Some(if n == 6 {
            "<script>document.title = 'ours'</script>".into()
        } else {
            "a@b.example".to_owned()
        }),
        measured: (n != 5).then_some(found),
        ..like.clone()
    };
    unlike.sign(&key(n)).unwrap()
}

/// What a reader with this browser, background and width of screen sees.
fn look(browser: &str, pages: &Path, dark: bool, width: u32) -> Value {
    let frame = pages.join("look.html");
    fs::write(&frame, LOOK.replace("WIDTH", &width.to_string())).unwrap();
    let mut command = Command::new(browser);
    // Root has no sandbox there, and a file may look into another one only if that is said.
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--allow-file-access-from-files",
    ]);
    command.arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }));
    command.args(["--virtual-time-budget=5000", "--timeout=20000", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", pages.with_file_name("browser").display()));
    let said = command.arg(format!("file://{}", frame.display())).env("HOME", pages).output().unwrap();
    let shown = String::from_utf8(said.stdout).unwrap();
    let found = shown.split_once("<pre id=\"out\">").unwrap().1.split_once("</pre>").unwrap().0;
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&found).unwrap_or_else(|_| panic!("{shown}\n{}", String::from_utf8_lossy(&said.stderr)))
}

#[test]
fn the_page_can_be_read_light_and_dark_wide_and_narrow_and_without_colour() {
    let Some(browser) = browser() else {
        eprintln!("skipped: none of {BROWSERS:?} is here");
        return;
    };
    let site = Site::new();
    let text = site.fog(&["stats"]);
    let strip = text.lines().find(|line| line.starts_with("node-5 ")).unwrap().split_whitespace().nth(2).unwrap();
    assert_eq!(strip, "?+9876543210", "{text}");
    let pages = site.page();
    let mut grounds = Vec::new();
    for dark in [false, true] {
        for width in [1280, 360] {
            let seen = look(browser, &pages, dark, width);
            let is = |name: &str| seen[name] == true;
            assert_eq!(is("dark"), dark, "{seen}");
            assert!(is("fits"), "{width}: only the table may be wider: {seen}");
            // What WCAG 2 wants of text.
            assert!(seen["worst"][0].as_f64().unwrap() >= 4.5, "{seen}");
            assert!(seen["smallest"].as_f64().unwrap() >= 12.0, "{seen}");
            // Without colour the signs are left, and bars of another height each.
            assert_eq!(seen["strip"], strip);
            let bars: std::collections::BTreeSet<_> =
                seen["bars"].as_array().unwrap().iter().map(Value::to_string).collect();
            assert_eq!(bars.len(), 12, "{seen}");
            assert_eq!(
                (&seen["rows"], &seen["scripts"], &seen["fetched"]),
                (&7.into(), &0.into(), &0.into()),
                "{seen}"
            );
            assert!(seen["title"].as_str().unwrap().starts_with("fog: epoch "), "a stranger's markup: {seen}");
            grounds.push(seen["ground"].to_string());
        }
    }
    assert!(grounds[0] == grounds[1] && grounds[2] == grounds[3] && grounds[0] != grounds[2], "{grounds:?}");
}
