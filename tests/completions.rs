//! What the shells complete is what can be typed: `package/completions/` is made from the command line itself.
//!
//! `FOG_BLESS=1 cargo test --test completions` writes the files anew.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use clap_complete::{Generator, Shell, generate};
use std::fs;
use std::path::Path;
use std::process::Command;

fn made(shell: Shell) -> String {
    let mut made = Vec::new();
    generate(shell, &mut fog::cli::command(), "fog", &mut made);
    String::from_utf8(made).unwrap()
}

#[test]
fn completions_are_those_of_the_command_line() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("package/completions");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let made = made(shell);
        let path = dir.join(shell.file_name("fog"));
        if std::env::var_os("FOG_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == made, "{}: FOG_BLESS=1 cargo test --test completions", path.display());
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 3);
}

#[test]
fn bash_offers_verbs_and_what_belongs_to_them() {
    for (line, want) in [
        ("fog q", "queue"),
        ("fog no", "node-info node"),
        ("fog queue re", "retry"),
        ("fog send --bs", "--bsmtp"),
        ("fog frob", ""),
    ] {
        let words = line.split(' ').count() - 1;
        let script = format!(
            "{}\nCOMP_WORDS=({line}); COMP_CWORD={words}\n\
             _fog fog \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[*]}}\"",
            made(Shell::Bash)
        );
        let bash = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        let said = String::from_utf8(bash.stdout).unwrap();
        assert_eq!(said.trim(), want, "{line}: {}", String::from_utf8_lossy(&bash.stderr));
    }
}
