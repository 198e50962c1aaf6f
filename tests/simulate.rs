//! A simulated network hides what a real one hides: the light model agrees with the engines, and weaker mixing is seen.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use fog::directory::Params;
use fog::sim::{self, Habits, Model, Plan, Report};
use std::process::{Command, Output};
use std::time::Duration;

fn plan(nodes: usize, mails: usize) -> Plan {
    Plan {
        nodes,
        exits: nodes.div_ceil(3),
        mails,
        bad: vec![],
        days: 1.0,
        params: Params::default(),
        habits: Habits::default(),
        model: Some(Model::Light),
        looked_at: 150,
        seed: 1,
    }
}

fn run(plan: &Plan) -> Report {
    sim::run(plan, &|_, _| ()).unwrap()
}

fn fog(args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fog")).arg("simulate").args(args.split(' ')).output().unwrap()
}

fn json(args: &str) -> serde_json::Value {
    let output = fog(&format!("--json {args}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

#[test]
fn weaker_mixing_raises_the_guess() {
    // So many letters that a figure's deviation is 1.6 % at most, and that of a difference 2.3 %.
    let usual = Plan { days: 6.0, looked_at: 960, ..plan(8, 960) };
    let quick =
        Params { min_delay: Duration::ZERO, mean_delay: minutes(2), max_delay: minutes(10), ..Params::default() };
    let bare = Habits { cover: false, receipts: false };
    let short = Params { send_every: minutes(30), batch_min: 1, ..quick.clone() };
    let hidden = run(&usual).observer;
    for (what, weaker, more) in [
        ("delays of minutes", Plan { params: quick, ..usual.clone() }, 0.08),
        ("no cover", Plan { habits: bare.clone(), ..usual.clone() }, 0.0),
        ("small batches and delays of minutes", Plan { params: short, ..usual.clone() }, 0.3),
    ] {
        let seen = run(&weaker).observer;
        assert!(seen.guess.mean > hidden.guess.mean + more, "{what}: {seen:?} after {hidden:?}");
        assert!(seen.believed.mean > hidden.believed.mean + 0.04, "{what}: {seen:?} after {hidden:?}");
        assert!(seen.entropy_bits.mean < hidden.entropy_bits.mean, "{what}");
    }
    // Ten mails a day, and nothing else to hide among: there it is cover that counts.
    let quiet = Plan { days: 12.0, ..plan(8, 120) };
    let hidden = run(&quiet).observer.guess.mean;
    let seen = run(&Plan { habits: bare, ..quiet }).observer.guess.mean;
    assert!(seen > hidden + 0.3, "{seen} without cover, {hidden} with it");
}

#[test]
fn what_the_observer_believes_of_himself_is_true() {
    for (what, habits) in [("cover", Habits::default()), ("none", Habits { cover: false, receipts: false })] {
        let report = run(&Plan { habits, looked_at: 400, bad: vec![3], ..plan(8, 400) });
        for seen in [report.observer, report.with_bad_nodes[0].seen] {
            // 400 letters: a deviation of 2.5 % at most, four of them, and the model's own error.
            assert!((seen.guess.mean - seen.believed.mean).abs() < 0.12, "{what}: {seen:?}");
        }
    }
}

#[test]
fn the_light_model_agrees_with_the_engines() {
    for receipts in [true, false] {
        agrees(&Habits { cover: true, receipts });
    }
}

fn agrees(habits: &Habits) {
    let params =
        Params { min_delay: minutes(10), mean_delay: minutes(30), max_delay: minutes(240), ..Params::default() };
    let usual = Plan { params, habits: habits.clone(), days: 0.5, looked_at: 100, ..plan(6, 100) };
    let engines = run(&Plan { model: Some(Model::Engines), ..usual.clone() });
    let light = run(&usual);
    assert_eq!((engines.delivered, light.delivered), (1.0, 1.0));
    for (what, one, other, near) in [
        // 100 mails: the median's deviation is 5 % of it, that of the 95th percentile 8 %, and there are two of each.
        ("median latency", engines.p50, light.p50, 0.2),
        ("95th percentile", engines.p95, light.p95, 0.3),
        ("bytes", engines.bytes_per_node_day, light.bytes_per_node_day, 0.06),
        ("packets in a batch", engines.batch, light.batch, 0.06),
        ("entropy", engines.observer.entropy_bits.mean, light.observer.entropy_bits.mean, 0.1),
        ("guess", engines.observer.guess.mean, light.observer.guess.mean, 0.2),
    ] {
        assert!((one - other).abs() / other < near, "{habits:?}, {what}: {one} with engines, {other} without");
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_one_others() {
    // Ends of epochs fall into it, with their documents and keys, as into a week with the usual delays.
    let quick =
        ["epoch=1h", "min-delay=5m", "mean-delay=10m", "max-delay=30m"].map(|law| format!("--set network.{law}"));
    let figures = |args: &str| {
        let output = fog(&format!("--json --nodes 5 --mails 20 --days 0.2 --letters 10 {} {args}", quick.join(" ")));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("\"delivered\":1.0,"), "{told}");
        told
    };
    for model in ["engines", "light"] {
        let once = figures(&format!("--model {model} --seed 5"));
        assert_eq!(once, figures(&format!("--model {model} --seed 5")));
        assert_ne!(once, figures(&format!("--model {model} --seed 6")).replace("\"seed\":6", "\"seed\":5"));
    }
}

#[test]
fn json_has_the_members_that_programs_rely_on() {
    let told = json("--nodes 6 --mails 60 --days 0.3 --letters 40 --bad 1 --bad 2 --model light");
    let numbers = |object: &serde_json::Value, names: &[&str]| {
        for name in names {
            assert!(object[*name].is_number(), "{name} in {object}");
        }
    };
    numbers(&told, &["nodes", "mails", "delivered", "bytes_per_node_day", "days", "letters", "exits", "seed"]);
    assert_eq!(
        (&told["v"], &told["nodes"], &told["mails"], &told["model"]),
        (&1.into(), &6.into(), &60.into(), &"light".into())
    );
    assert_eq!((&told["cover"], &told["receipts"]), (&true.into(), &true.into()));
    numbers(&told["latency_s"], &["p50", "p95"]);
    numbers(&told["observer"], &["entropy_bits", "guess", "believed"]);
    let bad = told["with_bad_nodes"].as_array().unwrap();
    assert_eq!(bad.iter().map(|bad| bad["bad"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    bad.iter().for_each(|bad| numbers(bad, &["bad", "entropy_bits", "guess", "fully_traced"]));
    let after = told["after_k"].as_array().unwrap();
    assert_eq!(after.iter().map(|after| after["k"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 5]);
    after.iter().for_each(|after| numbers(after, &["k", "guess", "believed"]));
    for (object, names) in
        [(&told["observer"], ["entropy_bits", "guess", "believed"]), (&after[0], ["entropy_bits", "guess", "believed"])]
    {
        for name in names {
            let interval = object[format!("{name}_ci95")].as_array().unwrap();
            let [low, high] = [0, 1].map(|place: usize| interval[place].as_f64().unwrap());
            assert!((low..=high).contains(&object[name].as_f64().unwrap()), "{name} in {object}");
        }
    }
}

#[test]
fn figures_say_whether_there_were_receipts_and_what_they_cost() {
    const PLAN: &str = "--nodes 6 --mails 120 --days 0.5 --letters 60 --model";
    for model in ["light", "engines"] {
        let [with, without] = ["", " --no-receipts"].map(|off| json(&format!("{PLAN} {model}{off}")));
        assert_eq!((&with["receipts"], &without["receipts"]), (&true.into(), &false.into()));
        assert_ne!(with["observer"], without["observer"], "{model}");
    }
    let text = |off: &str| String::from_utf8(fog(&format!("{PLAN} light{off}")).stdout).unwrap();
    assert!(text("").contains("\nwith cover, and receipts for every mail\n"), "{}", text(""));
    assert!(text(" --no-receipts").contains("\nwith cover, without receipts\n"), "{}", text(" --no-receipts"));
}

#[test]
fn what_makes_no_network_is_refused_with_words() {
    for (args, word) in [
        ("--nodes 3", "3 nodes are too few"),
        ("--nodes 100000", "5000 are the most"),
        ("--mails 0", "a mail at least"),
        ("--days 0", "days must be above 0"),
        ("--days NaN", "days must be above 0"),
        ("--exits 1", "1 exits can't be had"),
        ("--nodes 5 --bad 4", "at most 3"),
        ("--nodes 5000 --days 366", "million packets"),
        ("--no-cover --model engines", "only the light model"),
        ("--set network.mean-delay=30s", "min-delay must be at most mean-delay"),
        ("--set network.frob=1", "frob"),
        ("--set spool.max=1G", "no configuration"),
        ("--svg /nowhere/at/all.svg", "/nowhere/at"),
        ("--csv /", "directory"),
        ("--mails many", "many"),
    ] {
        let output = fog(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(word), "{args}: {said}");
        assert!(output.stdout.is_empty(), "{args}");
    }
}

#[test]
fn files_have_the_figures_and_the_text_fits_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, svg) = (dir.path().join("a.csv"), dir.path().join("a.svg"));
    let output = fog(&format!(
        "--model light --nodes 12 --mails 600 --days 0.2 --letters 60 --bad 3 --csv {} --svg {}",
        csv.display(),
        svg.display()
    ));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "nothing is said of progress but to a terminal");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("which they need"), "600 mails don't fit in 5 hours: {text}");
    let csv = std::fs::read_to_string(csv).unwrap();
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().count() >= 4 && csv.lines().all(|line| line.split(',').count() == columns), "{csv}");
    assert!(csv.lines().last().unwrap().starts_with("3,1,") && csv.lines().last().unwrap().ends_with(",1,1"), "{csv}");
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg xmlns") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
}
