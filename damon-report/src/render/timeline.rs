//! Values over time as lines of characters, each on its own scale.

use super::inks::Colours;
use super::num::coord;
use super::series::{Columns, TimeSpan};
use super::terminal::{MIN_COLUMNS, bar, line, time_axis};
use super::text::fit;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeLine<'a, I> {
    /// What it is.
    pub name: &'a str,
    /// The value of its upper end, in words.
    pub greatest: String,
    /// Begin, end and value.
    pub samples: I,
}

/// Characters left of the lines, a space included, at least and at most.
const LEFT: (usize, usize) = (9, 20);

/// Lines above one time axis from `start_ns` to `end_ns`, which counts from `origin_ns`; in each character the greatest value.
pub fn time_lines<I: IntoIterator<Item = (u64, u64, f64)>>(
    lines: Vec<TimeLine<'_, I>>,
    (start_ns, end_ns): (u64, u64),
    origin_ns: u64,
    columns: usize,
    colours: Colours,
) -> String {
    let columns = columns.max(MIN_COLUMNS);
    let right = lines.iter().map(|l| l.greatest.chars().count() + 1).max().unwrap_or(0);
    let names = lines.iter().map(|l| l.name.chars().count() + 1).max().unwrap_or(0);
    let left = names.clamp(LEFT.0, LEFT.1);
    let (left, right) = if columns >= 50 { (left, right) } else { (2, 0) };
    let width = columns.saturating_sub(left + right).max(1);
    let span = TimeSpan { start_ns, end_ns };
    let mut out = String::new();
    for one in lines {
        let mut cells = Columns::new(span, coord(width));
        for (start, end, value) in one.samples {
            cells.add(start, end, value);
        }
        let values = cells.cells().iter().flatten().map(|s| s.greatest);
        let top = values.fold(0.0, f64::max);
        let name = fit(one.name, left - 1);
        let mut text = format!("{name:room$} ", room = left - 1);
        text.extend(cells.cells().iter().map(|c| bar(c.map(|s| s.greatest), top, colours)));
        if right > 0 {
            text.push_str(&" ".repeat(right.saturating_sub(one.greatest.chars().count())));
            text.push_str(&one.greatest);
        }
        line(&mut out, &text);
    }
    time_axis(&mut out, span, origin_ns, left, width);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_shows_in_its_place() {
        let samples = (0..100).map(|i| (i, i + 1, if i == 99 { 7.0 } else { 1.0 }));
        let one = TimeLine { name: "regions", greatest: "7".to_owned(), samples };
        let text = time_lines(vec![one], (0, 100), 0, 60, Colours::None);
        let first = text.lines().next().unwrap();
        assert_eq!(first, format!("regions  {}@ 7", ".".repeat(48)));
        assert!(text.lines().all(|line| line.len() <= 60));
    }
}
