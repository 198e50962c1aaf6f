//! A configuration is read, or refused at a place that is in it.
#![no_main]

use fog::config::Config;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let files = [("fog.toml".to_owned(), text.to_owned())];
    let Err(error) = Config::parse(&files, &[], Path::new("/etc/fog")) else { return };
    assert!(!error.message.is_empty() && !error.to_string().is_empty());
    if error.line > 0 {
        let line = text.lines().nth(error.line - 1).unwrap_or_default();
        assert_eq!(error.text, line);
        assert!(error.column <= line.chars().count() + 1);
    }
});
