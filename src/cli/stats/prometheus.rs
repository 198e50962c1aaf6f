//! Figures for Prometheus, in its text format. Of traffic they are those of the last period, as everywhere.

use super::super::control::member;
use super::Table;
use serde_json::Value;
use std::fmt::Write as _;

/// `status` is what the node of this machine says, if it answers.
pub(super) fn figures(table: &Table, status: Option<&Value>) -> String {
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, f64)]| {
        if values.is_empty() {
            return;
        }
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge").expect("a String takes all");
        values.iter().for_each(|(labels, value)| writeln!(out, "{name}{labels} {value}").expect("a String takes all"));
    };
    let one = |value: f64| vec![(String::new(), value)];
    gauge("fog_up", "Whether the node of this machine answers.", &one(f64::from(u8::from(status.is_some()))));
    gauge("fog_directory_nodes", "Nodes in the directory document.", &one(count(table.rows.len())));
    let left = table.valid_until.since(table.now).as_secs_f64();
    gauge("fog_directory_valid_seconds", "For how long the directory document is good.", &one(left));
    let named = |value: &dyn Fn(&super::Row) -> Option<f64>| -> Vec<(String, f64)> {
        let rows = table.rows.iter().filter(|row| row.is_hop());
        rows.filter_map(|row| Some((label("node", &row.name), value(row)?))).collect()
    };
    let uptime = |row: &super::Row| row.uptime.map(|uptime| f64::from(uptime.percent()) / 100.0);
    gauge("fog_node_uptime_ratio", "What comes on of what is sent through a node, by the document.", &named(&uptime));
    let on_paths = |row: &super::Row| Some(f64::from(u8::from(row.on_paths)));
    gauge("fog_node_on_paths", "Whether paths are drawn through a node.", &named(&on_paths));
    let Some(status) = status else { return out };
    let truth = |path: &[&str]| member(status, path).as_bool().map(|is| f64::from(u8::from(is)));
    gauge("fog_can_send", "Whether mail can leave this node.", &truth(&["can_send"]).map_or_else(Vec::new, one));
    let warnings = member(status, &["warnings"]).as_array().map_or(0, Vec::len);
    gauge("fog_warnings", "What somebody should look after.", &one(count(warnings)));
    let period = |key: &str| member(status, &["period", key]).as_f64();
    for (name, key, help) in [
        ("fog_period_seconds", "seconds", "How long the last period was."),
        ("fog_packets_in", "in", "Packets taken from others in the last period, rounded up."),
        ("fog_packets_out", "out", "Packets that others took in the last period, rounded up."),
        ("fog_packets_held", "held", "Packets held at its end, rounded up."),
        ("fog_packets_overdue", "overdue", "Those of them that found no way, rounded up."),
        ("fog_packets_dropped", "dropped", "Packets dropped in the last period, rounded up."),
        ("fog_mails_waiting", "waiting", "Mails of own users that waited at its end, rounded up."),
        ("fog_mails_refused", "refused", "Mails refused in the last period, rounded up."),
        ("fog_exit_waiting", "exit_waiting", "Mails for the local MTA at its end, rounded up."),
    ] {
        gauge(name, help, &period(key).map_or_else(Vec::new, one));
    }
    out
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
}
