//! What is to be done, so that it can be shown before it is done.

use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// One thing to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// A file is to hold `after` in place of `before`; `None`: it isn't there.
    File { path: PathBuf, before: Option<String>, after: Option<String> },
    /// The same with a file that nobody else may read: it belongs to whoever has the directory, and is not shown.
    Secret { path: PathBuf, before: Option<Zeroizing<String>>, after: Option<Zeroizing<String>> },
    /// A program is to be run that changes other files than those of this plan.
    Run(Vec<String>),
}

/// A program that looks at the result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Check {
    /// It must end well.
    pub(super) argv: Vec<String>,
    /// And say this.
    pub(super) says: Option<String>,
}

/// All that is to be done, in order. Without steps there is nothing to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Files that the programs change; kept before they run.
    pub(super) touched: Vec<PathBuf>,
    /// Programs that look at the result. If one says no, the files are put back.
    pub(super) checks: Vec<Check>,
    /// Programs that put it to use, after the checks.
    pub(super) last: Vec<Vec<String>>,
    /// What the operator must see to.
    pub(super) careful: Vec<String>,
    /// What to type afterwards; never done by us.
    pub(super) then: Vec<String>,
}

impl Plan {
    /// Adds what makes `path` hold `after`, if it doesn't.
    pub(super) fn file(&mut self, path: &Path, before: Option<&str>, after: Option<&str>) {
        if before != after {
            let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
            self.steps.push(Step::File { path: path.to_owned(), before, after });
        }
    }

    /// The same with a file that nobody else may read.
    pub(super) fn secret(
        &mut self,
        path: &Path,
        before: Option<&Zeroizing<String>>,
        after: Option<&Zeroizing<String>>,
    ) {
        if before != after {
            let (before, after) = (before.cloned(), after.cloned());
            self.steps.push(Step::Secret { path: path.to_owned(), before, after });
        }
    }

    /// Adds a program that must end well when all is done.
    pub(super) fn check(&mut self, argv: Vec<String>) {
        self.checks.push(Check { argv, says: None });
    }

    /// For people.
    pub(super) fn to_words(&self, done: bool, kept: &[PathBuf], again: &str) -> String {
        let mut text = String::new();
        let mut line = |line: &str| writeln!(text, "{line}").expect("a String takes all");
        for step in &self.steps {
            step.lines().iter().for_each(|l| line(l));
        }
        if !self.steps.is_empty() {
            self.checks.iter().map(|check| &check.argv).chain(&self.last).for_each(|argv| line(&shell(argv)));
        }
        self.careful.iter().for_each(|careful| line(&format!("careful: {careful}")));
        kept.iter().for_each(|path| line(&format!("kept: {}", path.display())));
        match (self.steps.is_empty(), done) {
            (true, _) => line("There is nothing to do."),
            (false, false) => line(&format!("Nothing was changed.\n  ->  {again}")),
            (false, true) => {
                line("Done.");
                self.then.iter().for_each(|then| line(&format!("  ->  {then}")));
            }
        }
        text
    }

    /// For programs.
    pub(super) fn to_json(&self, done: bool, kept: &[PathBuf]) -> serde_json::Value {
        let steps: Vec<_> = self.steps.iter().map(|step| step.lines().join("\n")).collect();
        json!({ "v": 1, "done": done && !steps.is_empty(), "steps": steps, "careful": self.careful, "kept": kept,
                "then": self.then })
    }
}

impl Step {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Run(argv) => vec![shell(argv)],
            Self::Secret { path, after: Some(_), .. } => vec![format!("+++ {} (a key; not shown)", path.display())],
            Self::Secret { path, after: None, .. } => vec![format!("--- {}", path.display())],
            Self::File { path, before, after } => diff(path, before.as_deref(), after.as_deref()),
        }
    }
}

/// `argv` as it is typed.
pub(super) fn shell(argv: &[String]) -> String {
    let quoted = argv.iter().map(|word| {
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c));
        if plain { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The lines that go and come, with two around them. There is one place where a file changes, or it is shown as one.
fn diff(path: &Path, before: Option<&str>, after: Option<&str>) -> Vec<String> {
    let name = |there: Option<&str>| there.map_or_else(|| "/dev/null".to_owned(), |_| path.display().to_string());
    let (old, new): (Vec<_>, Vec<_>) = (lines(before), lines(after));
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let shorter = old.len().min(new.len()).saturating_sub(same);
    let tail = old.iter().rev().zip(new.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
    let middle = |all: &[&str]| {
        all.get(same..all.len().saturating_sub(tail)).unwrap_or_default().iter().map(|&l| l.to_owned()).collect()
    };
    let (gone, come): (Vec<String>, Vec<String>) = (middle(&old), middle(&new));
    let first = same.saturating_sub(2);
    let mut shown = vec![format!("--- {}", name(before)), format!("+++ {}", name(after))];
    shown.push(format!("@@ line {} @@", first.saturating_add(1)));
    shown.extend(old.iter().take(same).skip(first).map(|line| format!(" {line}")));
    shown.extend(gone.iter().map(|line| format!("-{line}")));
    shown.extend(come.iter().map(|line| format!("+{line}")));
    shown.extend(old.iter().skip(old.len().saturating_sub(tail)).take(2).map(|line| format!(" {line}")));
    shown
}

fn lines(text: Option<&str>) -> Vec<&str> {
    text.unwrap_or_default().lines().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_what_stands_around_it() {
        let shown = diff(Path::new("/etc/x"), Some("a\nb\nc\nd\ne\n"), Some("a\nb\nc\nnew\nd\ne\n"));
        assert_eq!(shown, ["--- /etc/x", "+++ /etc/x", "@@ line 2 @@", " b", " c", "+new", " d", " e"]);
        let shown = diff(Path::new("/etc/x"), None, Some("a\n"));
        assert_eq!(shown, ["--- /dev/null", "+++ /etc/x", "@@ line 1 @@", "+a"]);
        let shown = diff(Path::new("/etc/x"), Some("a\na\n"), Some("a\na\na\n"));
        assert_eq!(shown, ["--- /etc/x", "+++ /etc/x", "@@ line 1 @@", " a", " a", "+a"]);
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let argv = ["postconf", "-e", "a = it's ${x}"].map(str::to_owned);
        assert_eq!(shell(&argv), "postconf -e 'a = it'\\''s ${x}'");
    }

    #[test]
    fn what_is_as_it_should_be_is_no_step() {
        let mut plan = Plan::default();
        plan.file(Path::new("/x"), Some("a"), Some("a"));
        plan.file(Path::new("/x"), None, None);
        assert!(plan.steps.is_empty());
        assert_eq!(plan.to_words(true, &[], "x"), "There is nothing to do.\n");
    }
}
