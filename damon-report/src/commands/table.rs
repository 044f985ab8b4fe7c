//! Tables of text: columns as wide as what is in them.

use std::io::{self, Write};

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table that is printed when all of it is known.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Titles of the columns; a table whose titles are all empty has no line for them.
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a line; text of a trace has been [cleaned](super::words::clean) before.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Prints it in lines of at most so many characters, if [that is told](super::screen::table_width). A column's text
    /// never touches that of the next. Columns that do not fit go on below, in
    /// lines of their own that are indented; a text that ends a row does so only where it is too long. Nothing is left
    /// out, and a single column that is too wide is left to the terminal.
    pub(super) fn write_within(&self, out: &mut dyn Write, most: Option<usize>) -> io::Result<()> {
        let most = most.unwrap_or(usize::MAX);
        let (columns, tail) = match self.columns.split_last() {
            Some(((_, Align::Left), columns)) => (columns, true),
            _ => (self.columns.as_slice(), false),
        };
        let mut widths: Vec<usize> = columns.iter().map(|(title, _)| wide(title)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(wide(cell));
            }
        }
        let places = places(&widths, most);
        let mut print = |cells: &[&str]| {
            let mut lines = vec![String::new()];
            for (((cell, (_, align)), &width), begins) in
                cells.iter().zip(columns).zip(&widths).zip(&places)
            {
                if *begins {
                    lines.push(" ".repeat(INDENT));
                }
                let pad = " ".repeat(width.saturating_sub(wide(cell)));
                let text = match align {
                    Align::Left => [*cell, &pad, GAP],
                    Align::Right => [pad.as_str(), *cell, GAP],
                };
                if let Some(line) = lines.last_mut() {
                    line.extend(text);
                }
            }
            if let (true, Some(cell), Some(line)) = (tail, cells.last(), lines.last_mut()) {
                if line.is_empty() || wide(line) + wide(cell) <= most {
                    line.push_str(cell);
                } else {
                    lines.push([&" ".repeat(INDENT), *cell].concat());
                }
            }
            // A line of nothing below one of something is not needed.
            let first = lines.first().map(|line| line.trim_end()).unwrap_or_default();
            writeln!(out, "{first}")?;
            let mut more = lines.iter().skip(1).map(|line| line.trim_end());
            more.try_for_each(|line| if line.is_empty() { Ok(()) } else { writeln!(out, "{line}") })
        };
        if self.columns.iter().any(|(title, _)| !title.is_empty()) {
            print(&self.columns.iter().map(|(title, _)| *title).collect::<Vec<_>>())?;
        }
        let mut rows = self.rows.iter();
        rows.try_for_each(|row| print(&row.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

/// Between two columns.
const GAP: &str = "  ";
/// Spaces before what did not fit into the first line.
const INDENT: usize = 4;

fn wide(text: &str) -> usize {
    text.chars().count()
}

/// Of each column whether it begins a further line: as many as fit are in one.
fn places(widths: &[usize], most: usize) -> Vec<bool> {
    let mut used = 0;
    let place = |width: &usize| {
        let begins = used > 0 && used + width > most;
        used = if begins { INDENT } else { used } + width + GAP.len();
        begins
    };
    widths.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let mut table = Table::new(&[("size", Align::Right), ("name", Align::Left)]);
        table.row(vec!["12.00 MiB".into(), "µ".into()]);
        table.row(vec!["1 B".into(), "[heap]".into()]);
        let mut out = Vec::new();
        table.write_within(&mut out, None).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "     size  name\n12.00 MiB  µ\n      1 B  [heap]\n");
    }

    /// Four columns of 10 to 20 characters.
    fn usual() -> Table {
        let titles = [
            ("resident", Align::Right),
            ("touched", Align::Right),
            ("address", Align::Left),
            ("name", Align::Left),
        ];
        let mut table = Table::new(&titles);
        let row = ["120.50 MiB", "3.00 KiB", "555555600000-555556600000", "[heap]"];
        table.row(row.map(String::from).to_vec());
        table.row(["1 B", "-", "7ffff7000000", ""].map(String::from).to_vec());
        table
    }

    fn within(most: Option<usize>) -> String {
        let mut out = Vec::new();
        usual().write_within(&mut out, most).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_does_not_fit_goes_on_below_and_nothing_is_left_out() {
        let whole = "  resident   touched  address                    name\n\
                     120.50 MiB  3.00 KiB  555555600000-555556600000  [heap]\n       \
                     1 B         -  7ffff7000000\n";
        for most in [None, Some(80), Some(60), Some(55)] {
            assert_eq!(within(most), whole, "{most:?}");
        }
        // Only the row whose last text is too long has another line for it.
        let name_below = "  resident   touched  address                    name\n\
                          120.50 MiB  3.00 KiB  555555600000-555556600000\n    [heap]\n       \
                          1 B         -  7ffff7000000\n";
        assert_eq!(within(Some(54)), name_below);
        let narrow = "  resident   touched\n    address                    name\n\
                      120.50 MiB  3.00 KiB\n    555555600000-555556600000  [heap]\n       \
                      1 B         -\n    7ffff7000000\n";
        assert_eq!(within(Some(40)), narrow);
        for most in [0, 1, 20, 28, 29, 40, 54, 60, 80] {
            let text = within(Some(most));
            let widest = text.lines().map(wide).max().unwrap();
            // A column that is too wide by itself is as wide as it is.
            assert!(widest <= most.max(INDENT + 25), "{most}: {widest}\n{text}");
            let words = |text: &str| text.split_whitespace().count();
            assert_eq!(words(&text), words(whole), "{most}");
        }
    }
}
