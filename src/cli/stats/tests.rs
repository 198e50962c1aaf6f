//! What is shown of a small network, in every format.

use super::*;
use crate::directory::fixture::{at, contents, descriptor, key, signed_text, trust};
use crate::directory::{Contents, Measured};

/// Six mixes, of which 1 and 2 are exits of one family; node 6 has a contact that would like to be markup. All the others
/// find node 5 wanting. In epoch `age` after the first.
fn document(age: u64, percent: u8) -> Document {
    let found = Measured::from([(key(5).node_id(), Uptime::from_percent(percent).unwrap())]);
    let node = |n: u8| Descriptor {
        exit: descriptor(n).exit.filter(|_| n <= 2),
        family: (n <= 2).then(|| "kin".to_owned()),
        contact: Some(if n == 6 { "<script>alert('x')</script> & co".into() } else { "mail@example.org".to_owned() }),
        measured: (n != 5).then(|| found.clone()),
        ..descriptor(n)
    };
    let first = contents(1, 1, (1..=6).map(|n| (n, node(n))));
    let contents = Contents { epoch: first.epoch.plus(age), ..first };
    Document::reopen(&signed_text(&contents, [101]), &trust(1, 1), at(24 * age)).unwrap()
}

fn table() -> Table {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("uptimes");
    for (age, percent) in [(0, 95), (1, 50), (2, 0)] {
        History::note(&path, &document(age, percent)).unwrap();
    }
    Table::new(&document(3, 85), &History::read(&path).unwrap(), at(73))
}

#[test]
fn the_text_has_a_strip_for_each_node_the_best_first() {
    let text = text(&table());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "NODE                             ROLES      12 EPOCHS    COMES ON",
            "node-1                           mix + exit ????????++++    100 %",
            "node-2                           mix + exit ????????++++    100 %",
        ]
    );
    assert_eq!(lines[6], "node-5                           mix        ????????9508     85 %  left out");
    assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
}

#[test]
fn programs_get_percentages_and_null_for_what_is_not_known() {
    let json = json(&table());
    assert_eq!((&json["v"], &json["epoch"], &json["min_uptime"]), (&json!(1), &json!(20_003), &json!(90)));
    let node = &json["nodes"][5];
    assert_eq!((&node["name"], &node["uptime"], &node["on_paths"]), (&json!("node-5"), &json!(85), &json!(false)));
    assert_eq!(node["epochs"].as_array().unwrap()[7..], [json!(null), json!(95), json!(50), json!(0), json!(85)]);
}

#[test]
fn clients_of_the_earlier_remailers_find_their_columns() {
    let list = lists::mlist2(&table());
    let want = "\
Stats-Version: 2.0
Generated: Mon 07 Oct 2024 01:00:00 GMT
Mixmaster    Latent-Hist   Latent  Uptime-Hist   Uptime  Options
------------------------------------------------------------------------
node-1       444444444444   3:02   ????????++++  100.0%    M            \n";
    let generated = list.lines().nth(1).unwrap();
    let want = want.replace("Generated: Mon 07 Oct 2024 01:00:00 GMT", generated);
    assert!(list.starts_with(&want), "{list}");
    assert!(generated.ends_with(" 01:00:00 GMT"), "{generated}");
    assert!(list.contains("node-5       444444444444   3:02   ????????9508   85.0%  D M "), "{list}");
    assert!(list.contains("\nGroups of remailers sharing a machine or operator:\n(node-1 node-2)\n"), "{list}");
    assert!(list.contains("\n\n\n\nRemailer-Capabilities:\n\n$remailer{\"node-1\"} = \"<127.0.0.1:7001> mix\";\n"));
    let unknown = Table::new(&Document::reopen(&few(), &trust(1, 1), at(1)).unwrap(), &History::default(), at(1));
    assert!(!lists::mlist2(&unknown).contains('%'), "nothing is known of two nodes");
}

fn few() -> String {
    signed_text(&contents(1, 1, (1..=2).map(|n| (n, descriptor(n)))), [101])
}

#[test]
fn prometheus_gets_the_last_period_and_nothing_where_there_is_none() {
    let table = table();
    let down = prometheus::figures(&table, None);
    assert!(down.contains("\nfog_up 0\n") && !down.contains("fog_packets"), "{down}");
    let status = json!({ "v": 1, "can_send": true, "warnings": ["tor-down"], "period": { "seconds": 3600, "in": 64 } });
    let up = prometheus::figures(&table, Some(&status));
    for line in [
        "# TYPE fog_up gauge\nfog_up 1\n",
        "\nfog_directory_nodes 6\n",
        "\nfog_node_uptime_ratio{node=\"node-5\"} 0.85\n",
        "\nfog_node_on_paths{node=\"node-5\"} 0\n",
        "\nfog_can_send 1\n",
        "\nfog_warnings 1\n",
        "\nfog_packets_in 64\n",
    ] {
        assert!(up.contains(line), "{line}: {up}");
    }
    assert!(!up.contains("fog_packets_out"), "{up}");
    for line in up.lines() {
        assert!(line.starts_with("# ") || line.split(' ').count() == 2, "{line}");
    }
}

#[test]
fn the_page_is_one_file_without_script_whatever_strangers_call_themselves() {
    let page = html::page(&table());
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; co"), "{page}");
    for never in ["<script", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
    let strip: String =
        page.split("<th scope=\"row\">node-5").nth(1).unwrap().split("class=\"n\"").next().unwrap().into();
    let signs: String =
        strip.split("</i>").filter_map(|cell| cell.chars().last()).filter(|c| !['>', ' '].contains(c)).collect();
    assert_eq!(signs, "????????9508", "readable without colour");
    assert!(page.contains("5 of 6 nodes are on paths"), "{page}");
}

#[test]
fn the_files_are_written_together_or_it_is_said_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let global = super::super::global::tests::in_dir(dir.path(), &[]);
    let lines = format!("node.name = \"a\"\nnode.onion = \"a:1\"\ndirectory.trust = [\"{}\"]\n", "0".repeat(64));
    let config = |more: &str| Config::parse(&[("f".into(), format!("{lines}{more}"))], &[], dir.path()).unwrap();
    let quiet = Global { quiet: true, ..global };
    assert_eq!(publish(&table(), None, &config(""), &quiet).unwrap_err().exit, ExitCode::Usage);
    let missing = publish(&table(), Some(&dir.path().join("www")), &config(""), &quiet).unwrap_err();
    assert_eq!(missing.exit, ExitCode::NoInput);
    assert!(missing.try_.unwrap().starts_with("mkdir "));
    std::fs::create_dir(dir.path().join("www")).unwrap();
    publish(&table(), None, &config("stats.publish = \"www\"\n"), &quiet).unwrap();
    let json = std::fs::read_to_string(dir.path().join("www/nodes.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["v"], 1);
    for name in ["index.html", "mlist2.txt"] {
        assert!(dir.path().join("www").join(name).exists(), "{name}");
    }
}
