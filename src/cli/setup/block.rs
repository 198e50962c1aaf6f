//! Lines of ours in a file of somebody else's, between two marks.

const BEGIN: &str = "# BEGIN fog (written by `fog setup`)";
const END: &str = "# END fog";

/// `lines` between the marks.
pub(super) fn marked(lines: &str) -> String {
    format!("{BEGIN}\n{}\n{END}\n", lines.trim_end())
}

/// `text` without any block of ours. A mark that has lost its other one is left alone, with all that follows.
pub(super) fn without(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, block)) = at_line(rest, BEGIN) {
        let Some((_, after)) = at_line(block, END) else { break };
        kept.push_str(before);
        rest = after;
    }
    kept + rest
}

/// `text` with `block` behind the first line that is `line`; `None` if there is no such line.
pub(super) fn behind(text: &str, line: &str, block: &str) -> Option<String> {
    let (before, after) = at_line(text, line)?;
    let head = text.get(..text.len().checked_sub(after.len())?)?;
    let end = if head.ends_with('\n') { "" } else { "\n" };
    debug_assert!(head.starts_with(before), "the head begins with what is before the line");
    Some(format!("{head}{end}{block}{after}"))
}

/// What stands before and behind the first line that is `wanted`.
fn at_line<'a>(text: &'a str, wanted: &str) -> Option<(&'a str, &'a str)> {
    let mut at = 0_usize;
    for line in text.split_inclusive('\n') {
        let end = at.saturating_add(line.len());
        if line.trim() == wanted {
            return Some((text.get(..at)?, text.get(end..)?));
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_block_goes_behind_its_line_and_out_again() {
        let block = marked("x = 1\n");
        for (text, want) in [
            (
                "a\nbegin routers\nb\n",
                Some("a\nbegin routers\n# BEGIN fog (written by `fog setup`)\nx = 1\n# END fog\nb\n"),
            ),
            ("  begin routers", Some("  begin routers\n# BEGIN fog (written by `fog setup`)\nx = 1\n# END fog\n")),
            ("# begin routers\n", None),
            ("", None),
        ] {
            assert_eq!(behind(text, "begin routers", &block).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn half_a_block_is_not_taken_for_one() {
        let text = format!("a\n{BEGIN}\nb\n");
        assert_eq!(without(&text), text);
        assert_eq!(without(&format!("{END}\n{text}")), format!("{END}\n{text}"));
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(head in "([a-z ]{0,5}\n){0,4}", tail in "([a-z ]{0,5}\n){0,4}", lines in "([a-z]{1,5}\n){1,4}") {
            let text = format!("{head}begin\n{tail}");
            let with = behind(&text, "begin", &marked(&lines)).unwrap();
            prop_assert!(with.contains(&lines));
            prop_assert_eq!(without(&with), text);
        }
    }
}
