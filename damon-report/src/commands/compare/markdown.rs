//! A comparison as a comment for a pull request.

use super::super::words::{bytes, clean};
use super::Report;
use super::words::{
    decides, gated, limit, moved, reach, relative, sentence, setting, side, signed, terms,
};
use crate::analysis::compare::{Compared, Comparison, Verdict};
use std::io::{self, Write};

/// Rows of a table that is no verdict.
const MOST: usize = 20;

pub(super) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let found = report.found;
    writeln!(out, "## Memory accesses: {}", mark(found.verdict))?;
    writeln!(out, "\n{}.\n", sentence(found))?;
    rows(out, &gated(found).collect::<Vec<_>>(), "verdict", &|m| mark(m.verdict))?;
    let open = gated(found)
        .filter_map(|metric| Some((metric.metric.to_string(), decides(metric)?)))
        .collect::<Vec<_>>();
    if !open.is_empty() {
        writeln!(out, "\nWhat would decide:\n")?;
    }
    for (metric, what) in open {
        writeln!(out, "- {}: {}", code(&metric), plain(&what))?;
    }
    if let Some(picture) = report.picture {
        writeln!(out, "\n![Change of access rates by mapping](<{}>)", link(picture))?;
    }
    details(out, found)?;
    if !found.warnings.is_empty() {
        writeln!(out, "\nTo know:\n")?;
        found.warnings.iter().try_for_each(|text| writeln!(out, "- {}", plain(text)))?;
    }
    writeln!(out, "\n<sub>base: {}<br>", plain(&side(&found.base)))?;
    writeln!(out, "new: {}<br>", plain(&side(&found.new)))?;
    if let Some(setting) = setting(found) {
        writeln!(out, "{}<br>", plain(&setting))?;
    }
    writeln!(out, "{}</sub>", plain(&terms(found)))
}

fn mark(of: Verdict) -> &'static str {
    match of {
        Verdict::Pass => "✅ pass",
        Verdict::Improved => "✅ improved",
        Verdict::Inconclusive => "❔ inconclusive",
        Verdict::Regressed => "❌ **regressed**",
    }
}

fn rows(
    out: &mut dyn Write,
    metrics: &[&Compared],
    last: &str,
    word: &dyn Fn(&Compared) -> &'static str,
) -> io::Result<()> {
    writeln!(out, "| metric | base | new | change | | limit | {last} |")?;
    writeln!(out, "|:--|--:|--:|--:|--:|--:|:--|")?;
    for metric in metrics {
        writeln!(
            out,
            "| {} | {} | {} | {} ± {} | {} | {} | {} |",
            code(&metric.metric.to_string()),
            bytes(metric.base_mean),
            bytes(metric.new_mean),
            signed(metric.change),
            reach(metric),
            relative(metric),
            limit(metric),
            word(metric)
        )?;
    }
    Ok(())
}

fn details(out: &mut dyn Write, found: &Comparison) -> io::Result<()> {
    let moved = moved(found);
    if !moved.is_empty() {
        let summary = format!("Mappings that changed most ({})", moved.len());
        writeln!(out, "\n<details><summary>{summary}</summary>\n")?;
        let sure = |metric: &Compared| match metric.verdict {
            Verdict::Regressed | Verdict::Improved => "yes",
            Verdict::Pass | Verdict::Inconclusive => "no",
        };
        rows(out, moved.get(..MOST).unwrap_or(&moved), "certain", &sure)?;
        writeln!(out, "\n</details>")?;
    }
    if found.unmatched.is_empty() {
        return Ok(());
    }
    let summary = format!("Mappings of one side only ({})", found.unmatched.len());
    writeln!(out, "\n<details><summary>{summary}</summary>\n")?;
    writeln!(out, "| mapping | size | base runs | new runs |\n|:--|--:|--:|--:|")?;
    for one in found.unmatched.iter().take(MOST) {
        let (label, size) = (code(&one.label), bytes(one.size));
        writeln!(out, "| {label} | {size} | {} | {} |", one.base, one.new)?;
    }
    writeln!(out, "\n</details>")
}

/// Text as code, in a table or outside: in more backticks than it has. A bar would end the cell, and what a backslash before it means
/// depends on who reads it; there all that is no letter is written by its number.
fn code(text: &str) -> String {
    let text = clean(text);
    if text.contains('|') {
        let mut coded = String::from("<code>");
        for c in text.chars() {
            if c.is_ascii_punctuation() && !matches!(c, '.' | '/' | '-') {
                coded.extend(["&#", &u32::from(c).to_string(), ";"]);
            } else {
                coded.push(c);
            }
        }
        return coded + "</code>";
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text in which nothing is markup, and nobody is called.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '@' => plain.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => plain.extend(['\\', c]),
            c => plain.push(c),
        }
    }
    plain
}

/// An address between angle brackets.
fn link(text: &str) -> String {
    clean(text).replace('<', "%3C").replace('>', "%3E").replace('\\', "%5C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_table() {
        // With or without a backslash before it, a bar stays in its cell, and what is shown is what was there.
        assert_eq!(code("/a|b"), "<code>/a&#124;b</code>");
        assert_eq!(code("a\\|*b\nc"), "<code>a&#92;&#124;&#42;b&#92;nc</code>");
        assert_eq!(code("a\nb"), "`a\\nb`");
        assert_eq!(code("a``b`"), "``` a``b` ```");
        assert_eq!(plain("<b> @you *x* [y](z)"), "&lt;b> &#64;you \\*x\\* \\[y\\](z)");
        assert_eq!(link("a b<c>.png"), "a b%3Cc%3E.png");
    }
}
