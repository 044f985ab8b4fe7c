//! A comparison as XML for test reports (`JUnit`'s form): one test case for each gated metric and rule.

use super::super::words::{bytes, clean};
use super::words::{count, decides, gated, limit, reach, relative, sentence, signed, terms};
use crate::analysis::compare::{Compared, Comparison, Verdict};
use std::fmt::Write as _;
use std::io::{self, Write};

pub(super) fn write(found: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let cases = gated(found).count();
    let failures = count(found, Verdict::Regressed);
    let errors = count(found, Verdict::Inconclusive);
    let sums = format!("tests=\"{cases}\" failures=\"{failures}\" errors=\"{errors}\"");
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"damon-report compare\" {sums}>")?;
    writeln!(out, "  <testsuite name=\"memory accesses\" {sums} skipped=\"0\">")?;
    for metric in gated(found) {
        case(out, metric)?;
    }
    let mut words = format!("{}\n{}\n", sentence(found), terms(found));
    for warning in &found.warnings {
        // Nothing fails when text is added to text.
        let _infallible = writeln!(words, "warning: {}", clean(warning));
    }
    writeln!(out, "    <system-out>{}</system-out>", escape(&words))?;
    writeln!(out, "  </testsuite>")?;
    writeln!(out, "</testsuites>")
}

fn case(out: &mut dyn Write, metric: &Compared) -> io::Result<()> {
    let name = escape(&format!("{} {}", metric.metric, metric.threshold));
    write!(out, "    <testcase classname=\"damon-report.compare\" name=\"{name}\">")?;
    let words = escape(&format!(
        "{} to {}: {} ± {} ({}), limit {}",
        bytes(metric.base_mean),
        bytes(metric.new_mean),
        signed(metric.change),
        reach(metric),
        relative(metric),
        limit(metric)
    ));
    match metric.verdict {
        Verdict::Regressed => {
            write!(out, "<failure type=\"regressed\" message=\"{words}\"/>")?;
        }
        Verdict::Inconclusive => {
            let more = escape(&decides(metric).unwrap_or_default());
            write!(
                out,
                "<error type=\"inconclusive\" message=\"{words}\">what would decide: {more}</error>"
            )?;
        }
        Verdict::Pass | Verdict::Improved => write!(out, "<system-out>{words}</system-out>")?,
    }
    writeln!(out, "</testcase>")
}

/// Text in XML, between tags and in attributes. What XML cannot hold at all is written out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' => escaped.push('\n'),
            '\u{fffe}' | '\u{ffff}' => escaped.extend(c.escape_unicode()),
            c if c.is_control() => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_for_xml() {
        assert_eq!(escape("a<b & \"c\" > 'd'"), "a&lt;b &amp; &quot;c&quot; &gt; &apos;d&apos;");
        assert_eq!(escape("\u{0}\u{1b}[\u{ffff}µ"), "\\u{0}\\u{1b}[\\u{ffff}µ");
    }
}
