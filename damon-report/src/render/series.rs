//! Lines over time, reduced to pixels without losing a peak: per pixel column the first, least, greatest
//! and last value are kept, which draws exactly what drawing every value would.

use super::layout::Rect;
use super::num::{coord, count, float, float_of, round};

/// A time span that fills the width of a plot.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeSpan {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
}

impl TimeSpan {
    /// Position of a moment in a plot `width` pixels wide, not clamped.
    fn position(&self, time_ns: u64, width: usize) -> f64 {
        let span = float(self.end_ns.saturating_sub(self.start_ns).max(1));
        let offset = float(time_ns.max(self.start_ns) - self.start_ns)
            - float(self.start_ns.max(time_ns) - time_ns);
        offset / span * float_of(width)
    }

    /// The pixel column of a moment counted from the origin of the axis, if it lies inside.
    pub(super) fn column(&self, time_ns: u64, width: i32) -> Option<i32> {
        let inside = time_ns >= self.start_ns && time_ns <= self.end_ns;
        inside.then(|| round(self.position(time_ns, count(width))).min(width - 1))
    }
}

/// What a line does inside one pixel column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) first: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
    pub(super) last: f64,
}

/// Adds values that hold for a while to pixel columns.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    span: TimeSpan,
    cells: Vec<Option<Stretch>>,
}

impl Columns {
    pub(super) fn new(span: TimeSpan, width: i32) -> Self {
        Self { span, cells: vec![None; count(width)] }
    }

    /// A value from `start_ns` to `end_ns`; a moment touches one column.
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64, value: f64) {
        if end_ns < self.span.start_ns || start_ns > self.span.end_ns || !value.is_finite() {
            return;
        }
        let width = self.cells.len();
        let last = coord(width) - 1;
        let from = round(self.span.position(start_ns, width).floor()).clamp(0, last.max(0));
        let to = self.span.position(end_ns, width);
        // An end exactly between two columns belongs to the left one.
        let to = round(to.ceil() - 1.0).clamp(from, last.max(from));
        for cell in self.cells.iter_mut().take(count(to + 1)).skip(count(from)) {
            let stretch = cell.get_or_insert(Stretch {
                first: value,
                least: value,
                greatest: value,
                last: value,
            });
            stretch.least = stretch.least.min(value);
            stretch.greatest = stretch.greatest.max(value);
            stretch.last = value;
        }
    }

    /// True when no column has a value.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.iter().all(Option::is_none)
    }

    /// The columns from left to right.
    pub(super) fn cells(&self) -> &[Option<Stretch>] {
        &self.cells
    }

    /// The line as connected runs of points in a plot, interrupted where there is no value; with
    /// `bridge` it is carried over empty columns (for values that were sampled now and then).
    pub(super) fn paths(&self, plot: Rect, top_value: f64, bridge: bool) -> Vec<Vec<(i32, i32)>> {
        let mut paths = Vec::new();
        let mut path: Vec<(i32, i32)> = Vec::new();
        for (i, cell) in self.cells.iter().enumerate() {
            let x = plot.x + coord(i);
            match cell {
                Some(s) => {
                    for value in [s.first, s.least, s.greatest, s.last] {
                        let point = (x, height_at(plot, top_value, value));
                        push(&mut path, point);
                    }
                }
                None if bridge => {}
                None => paths.push(std::mem::take(&mut path)),
            }
        }
        paths.push(path);
        paths.retain(|p| !p.is_empty());
        for path in &mut paths {
            if let [only] = path.as_slice() {
                let (x, y) = *only;
                path.push((x + 1, y));
            }
        }
        paths
    }
}

/// Appends a point, dropping the middle one of three in a horizontal or vertical row.
fn push(path: &mut Vec<(i32, i32)>, point: (i32, i32)) {
    if path.last() == Some(&point) {
        return;
    }
    if let [.., before, middle] = path.as_slice() {
        let between = |a: i32, m: i32, b: i32| (a <= m && m <= b) || (b <= m && m <= a);
        let flat = before.1 == middle.1 && middle.1 == point.1 && before.0 < point.0;
        let steep =
            before.0 == middle.0 && middle.0 == point.0 && between(before.1, middle.1, point.1);
        if flat || steep {
            path.pop();
        }
    }
    path.push(point);
}

/// The pixel row of a value in a plot whose upper edge is `top_value` and whose lower edge is zero.
pub(super) fn height_at(plot: Rect, top_value: f64, value: f64) -> i32 {
    let usable = f64::from((plot.h - 1).max(0));
    let share = if top_value > 0.0 { (value / top_value).clamp(0.0, 1.0) } else { 0.0 };
    plot.bottom() - 1 - round(share * usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: TimeSpan = TimeSpan { start_ns: 100, end_ns: 200 };

    #[test]
    fn a_peak_survives_any_reduction() {
        let mut columns = Columns::new(SPAN, 2);
        for t in 100..200 {
            columns.add(t, t + 1, if t == 137 { 9.0 } else { 1.0 });
        }
        let left = columns.cells()[0].unwrap();
        assert_eq!(left, Stretch { first: 1.0, least: 1.0, greatest: 9.0, last: 1.0 });
        assert!(columns.cells()[1].unwrap().greatest < 9.0);
    }

    #[test]
    fn columns_without_values_stay_empty_and_interrupt_the_line() {
        let mut columns = Columns::new(SPAN, 10);
        columns.add(100, 130, 1.0);
        columns.add(160, 200, 2.0);
        let filled: Vec<bool> = columns.cells().iter().map(Option::is_some).collect();
        let expected = [true, true, true, false, false, false, true, true, true, true];
        assert_eq!(filled, expected);
        let plot = Rect::new(0, 0, 10, 11);
        assert_eq!(columns.paths(plot, 2.0, false), [vec![(0, 5), (2, 5)], vec![(6, 0), (9, 0)]]);
        assert_eq!(columns.paths(plot, 2.0, true), [vec![(0, 5), (2, 5), (6, 0), (9, 0)]]);
    }

    #[test]
    fn values_outside_the_span_are_cut_off() {
        let mut columns = Columns::new(SPAN, 4);
        columns.add(0, 99, 5.0);
        columns.add(201, 300, 5.0);
        columns.add(150, 150, f64::NAN);
        assert!(columns.cells().iter().all(Option::is_none));
        columns.add(0, 1000, 5.0);
        assert!(columns.cells().iter().all(Option::is_some));
        let mut none = Columns::new(SPAN, 0);
        none.add(100, 200, 1.0);
        assert!(none.cells().is_empty());
    }

    #[test]
    fn heights_stay_inside_the_plot() {
        let plot = Rect::new(5, 10, 20, 30);
        assert_eq!(height_at(plot, 4.0, 0.0), 39);
        assert_eq!(height_at(plot, 4.0, 4.0), 10);
        assert_eq!(height_at(plot, 4.0, 40.0), 10);
        assert_eq!(height_at(plot, 0.0, 1.0), 39);
    }
}
