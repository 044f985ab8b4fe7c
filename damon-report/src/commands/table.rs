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

    /// Prints it; a column's text never touches that of the next.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let wide = |text: &str| text.chars().count();
        let mut widths: Vec<usize> = self.columns.iter().map(|(title, _)| wide(title)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(wide(cell));
            }
        }
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for ((cell, (_, align)), &width) in cells.zip(&self.columns).zip(&widths) {
                let pad = " ".repeat(width.saturating_sub(wide(cell)));
                match align {
                    Align::Left => text.extend([cell, &pad, "  "]),
                    Align::Right => text.extend([pad.as_str(), cell, "  "]),
                }
            }
            writeln!(out, "{}", text.trim_end())
        };
        if self.columns.iter().any(|(title, _)| !title.is_empty()) {
            line(&mut self.columns.iter().map(|(title, _)| *title))?;
        }
        self.rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
    }
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
        table.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "     size  name\n12.00 MiB  µ\n      1 B  [heap]\n");
    }
}
