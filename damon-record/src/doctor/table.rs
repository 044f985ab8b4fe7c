//! The table: one backend after the other, with the prose wrapped beside its facts, or below them where
//! there is little room.

use super::Style;
use crate::backend::survey::{Finding, first_that_works};

const HEADINGS: [&str; 4] = ["backend", "here", "sees", "granularity"];

/// Widths of the columns with one word each; two spaces follow each.
const WIDTHS: [usize; 4] = [10, 8, 13, 11];

/// Where the prose begins.
const PROSE: usize = 50;

/// The least room for prose; with less it goes below, indented by this much:
const LEAST_PROSE: usize = 36;
const INDENT: usize = 4;

/// Labels of the prose, as wide as the widest.
const LABEL: usize = 7;

/// The table, each line no longer than there are columns, unless a word is.
pub(super) fn render(findings: &[Finding], style: Style) -> String {
    let mut page = Page { text: String::new(), style };
    page.facts(HEADINGS, None);
    page.end_line();
    for finding in findings {
        let verdict = Verdict::of(finding);
        let sees = finding.access.unwrap_or("as configured");
        page.facts([finding.name, verdict.word(), sees, finding.granularity], Some(verdict));
        let mut prose = Vec::new();
        page.wrap("", &finding.reason, &mut prose);
        // What works has what it needs.
        if !finding.works {
            page.wrap("needs", finding.needs, &mut prose);
            if let Some(how) = &finding.how_to_get {
                page.wrap("get it", how, &mut prose);
            }
        }
        page.prose(&prose);
    }
    match first_that_works(findings) {
        Some(name) => page.paragraph(&format!("auto takes {name} where the target allows it")),
        None => page.paragraph("no backend works here"),
    }
    page.text
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    DoesNot,
}

impl Verdict {
    fn of(finding: &Finding) -> Self {
        if finding.works { Self::Works } else { Self::DoesNot }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::DoesNot => "does not",
        }
    }

    /// Green, red (ECMA-48, Select Graphic Rendition).
    fn colour(self) -> &'static str {
        match self {
            Self::Works => "\x1b[32m",
            Self::DoesNot => "\x1b[31m",
        }
    }
}

struct Page {
    text: String,
    style: Style,
}

impl Page {
    /// Room for prose beside the facts.
    fn beside(&self) -> Option<usize> {
        self.style.columns.checked_sub(PROSE).filter(|room| *room >= LEAST_PROSE)
    }

    fn room(&self) -> usize {
        self.beside().unwrap_or(self.style.columns.saturating_sub(INDENT))
    }

    /// The columns with one word each.
    fn facts(&mut self, words: [&str; 4], verdict: Option<Verdict>) {
        for (column, (word, width)) in words.iter().zip(WIDTHS).enumerate() {
            let coloured = verdict.filter(|_| column == 1 && self.style.colour);
            if let Some(verdict) = coloured {
                self.text.push_str(verdict.colour());
            }
            self.text.push_str(word);
            if coloured.is_some() {
                self.text.push_str("\x1b[0m");
            }
            let gap = (width + 2).saturating_sub(word.chars().count());
            self.text.extend(std::iter::repeat_n(' ', gap));
        }
    }

    fn end_line(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }

    /// Cuts `text` into lines that fit beside their label.
    fn wrap(&self, label: &str, text: &str, lines: &mut Vec<String>) {
        let lead = if label.is_empty() { 0 } else { LABEL };
        let room = self.room().saturating_sub(lead);
        let mut line = format!("{label:lead$}");
        let mut used = 0;
        for word in text.split_whitespace() {
            let width = word.chars().count();
            if used > 0 && used + 1 + width > room {
                lines.push(std::mem::replace(&mut line, " ".repeat(lead)));
                used = 0;
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += width;
        }
        lines.push(line);
    }

    /// Lines beside the facts just written, or below them.
    fn prose(&mut self, lines: &[String]) {
        let beside = self.beside().is_some();
        let indent = if beside { PROSE } else { INDENT };
        for (number, line) in lines.iter().enumerate() {
            if number > 0 || !beside {
                self.end_line();
                self.text.push_str(&" ".repeat(indent));
            }
            self.text.push_str(line);
        }
        self.end_line();
    }

    fn paragraph(&mut self, text: &str) {
        let mut used = 0;
        for word in text.split_whitespace() {
            let width = word.chars().count();
            if used > 0 && used + 1 + width > self.style.columns {
                self.text.push('\n');
                used = 0;
            } else if used > 0 {
                self.text.push(' ');
                used += 1;
            }
            self.text.push_str(word);
            used += width;
        }
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finding(name: &'static str, works: bool, reason: &str, how: Option<&str>) -> Finding {
        Finding {
            name,
            auto: name != "attach",
            works,
            kernel: works,
            access: (name != "attach").then_some("read+write"),
            granularity: "mapping",
            needs: "CONFIG_IDLE_PAGE_TRACKING; root",
            reason: reason.into(),
            how_to_get: how.map(str::to_owned),
            self_test_us: None,
        }
    }

    fn three() -> [Finding; 3] {
        let how = "a kernel with CONFIG_IDLE_PAGE_TRACKING=y; not in Debian's kernels";
        [
            finding("idle", false, "the kernel has no idle page tracking", Some(how)),
            finding("soft-dirty", true, "self-test passed: sees write by page", None),
            finding("attach", false, "no kdamond is running", None),
        ]
    }

    fn plain(columns: usize) -> String {
        render(&three(), Style { columns, colour: false })
    }

    #[test]
    fn prose_stands_beside_the_facts_where_there_is_room() {
        let expected = "\
backend     here      sees           granularity
idle        does not  read+write     mapping      the kernel has no idle page tracking
                                                  needs  CONFIG_IDLE_PAGE_TRACKING; root
                                                  get it a kernel with CONFIG_IDLE_PAGE_TRACKING=y;
                                                         not in Debian's kernels
soft-dirty  works     read+write     mapping      self-test passed: sees write by page
attach      does not  as configured  mapping      no kdamond is running
                                                  needs  CONFIG_IDLE_PAGE_TRACKING; root
auto takes soft-dirty where the target allows it
";
        assert_eq!(plain(100), expected);
    }

    #[test]
    fn prose_goes_below_where_there_is_not() {
        let expected = "\
backend     here      sees           granularity
idle        does not  read+write     mapping
    the kernel has no idle page tracking
    needs  CONFIG_IDLE_PAGE_TRACKING; root
    get it a kernel with CONFIG_IDLE_PAGE_TRACKING=y; not in
           Debian's kernels
soft-dirty  works     read+write     mapping
    self-test passed: sees write by page
attach      does not  as configured  mapping
    no kdamond is running
    needs  CONFIG_IDLE_PAGE_TRACKING; root
auto takes soft-dirty where the target allows it
";
        assert_eq!(plain(60), expected);
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let coloured = render(&three(), Style { columns: 100, colour: true });
        assert!(coloured.contains("\x1b[31mdoes not\x1b[0m") && coloured.contains("\x1b[32mworks"));
        let stripped = ["\x1b[31m", "\x1b[32m", "\x1b[0m"]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(stripped, plain(100));
    }

    #[test]
    fn nothing_that_works_is_said() {
        let text = render(&three()[..1], Style { columns: 80, colour: false });
        assert!(text.ends_with("no backend works here\n"), "{text}");
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_no_word_is_lost(columns in 50_usize..200, words in "[a-z]{1,20}( [a-z]{1,20}){0,30}") {
            let findings = [finding("soft-dirty", false, &words, Some(&words))];
            let text = render(&findings, Style { columns, colour: false });
            prop_assert!(text.lines().all(|line| line.chars().count() <= columns), "{}", text);
            let found = text.split_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert!(found.contains(&format!("get it {words} ")), "{}", text);
        }
    }

    #[test]
    fn this_machines_own_table_fits() {
        let findings = crate::backend::survey::Machine::default().survey();
        for columns in [60, 80, 100, 140] {
            let text = render(&findings, Style { columns, colour: false });
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        }
    }
}
