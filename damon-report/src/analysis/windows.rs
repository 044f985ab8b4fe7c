//! The working set by the length of the window in which one looks: of one aggregation, of 2, of 4, …
//!
//! Windows of a level lie side by side from the start of the selected time on, each made of two of the level below. What is *touched*
//! in a window is the union of what was in its aggregations; *expected* is a page's chance to be touched in any of them,
//! `1 − ∏(1 − rate)`, if an aggregation tells nothing of the next one. (If it is always the same pages of a
//! region that are touched, that is too much for long windows.)
//!
//! Blocks are worked on one by one, so each keeps the windows at its edges, of each level at most two, for its neighbours.

use super::fold::Fold;
use super::load::Trace;
use super::num::{float, round};
use super::select::Selection;
use super::view::View;
use super::wss::Distribution;
use damon_format::{SnapshotView, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;

/// Windows of one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowLevel {
    /// Aggregations in a window, a power of two.
    pub aggregations: u64,
    /// Length of a window, nanoseconds.
    pub length_ns: u64,
    /// How many there were that lie in the selected time as a whole.
    pub windows: usize,
    /// Distribution over the windows of the bytes touched in them, all targets together.
    pub touched: Distribution,
    /// Distribution over the windows of the bytes expected to be touched in them.
    pub expected: Distribution,
}

impl View {
    /// Working sets of windows of all lengths that fit at least once, the shortest first. An aggregation is as long as they
    /// really were on average.
    pub fn windows(&self, trace: &Trace, threshold: u32) -> Vec<WindowLevel> {
        let time = self.time();
        let targets = &self.overview.targets;
        let observed = targets.iter().fold(0_u64, |sum, t| sum.saturating_add(t.observed_ns));
        let cell_ns = round(float(observed) / float(self.overview.snapshots().max(1))).max(1);
        let cells = round(float(time.end.saturating_sub(time.start)) / float(cell_ns)).max(1);
        let new = |part| WindowSum {
            selection: &self.selection,
            origin_ns: time.start,
            cell_ns,
            threshold,
            part,
            targets: BTreeMap::new(),
        };
        let sum = trace.fold(&self.selection, || new(true));
        let mut whole = new(false);
        whole.merge(sum);
        whole.finish(cells)
    }
}

/// Neighbouring pieces are joined, their chances averaged, where a window would have more than this.
const PIECES: usize = 1 << 14;

/// More windows of windows than any time has.
const LEVELS: usize = 63;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: u64,
    end: u64,
    /// Chance that a page of it was not touched.
    miss: f64,
    touched: bool,
}

/// What may have been touched, ascending and disjoint.
#[derive(Clone, Debug, Default, PartialEq)]
struct Touches(Vec<Piece>);

impl Touches {
    fn push(&mut self, piece: Piece) {
        match self.0.last_mut() {
            Some(last)
                if last.end == piece.start
                    && last.touched == piece.touched
                    && last.miss.to_bits() == piece.miss.to_bits() =>
            {
                last.end = piece.end;
            }
            _ => self.0.push(piece),
        }
    }

    /// What was touched in either of two times.
    fn union(&self, other: &Self) -> Self {
        let mut union = Self(Vec::with_capacity(self.0.len().max(other.0.len())));
        let (mut ours, mut theirs) = (self.0.iter().copied(), other.0.iter().copied());
        let (mut a, mut b) = (ours.next(), theirs.next());
        let before = |a: &Piece, b: &Piece| a.end <= b.start;
        loop {
            match (&mut a, &mut b) {
                (None, None) => break,
                (Some(one), None) => {
                    union.push(*one);
                    a = ours.next();
                }
                (None, Some(one)) => {
                    union.push(*one);
                    b = theirs.next();
                }
                (Some(x), Some(y)) if before(x, y) => {
                    union.push(*x);
                    a = ours.next();
                }
                (Some(x), Some(y)) if before(y, x) => {
                    union.push(*y);
                    b = theirs.next();
                }
                (Some(x), Some(y)) if x.start < y.start => {
                    union.push(Piece { end: y.start, ..*x });
                    x.start = y.start;
                }
                (Some(x), Some(y)) if y.start < x.start => {
                    union.push(Piece { end: x.start, ..*y });
                    y.start = x.start;
                }
                (Some(x), Some(y)) => {
                    let end = x.end.min(y.end);
                    let (miss, touched) = (x.miss * y.miss, x.touched || y.touched);
                    union.push(Piece { end, miss, touched, ..*x });
                    (x.start, y.start) = (end, end);
                    if x.start >= x.end {
                        a = ours.next();
                    }
                    if b.is_some_and(|y| y.start >= y.end) {
                        b = theirs.next();
                    }
                }
            }
        }
        union.thin();
        union
    }

    /// Joins neighbours that differ least until there are few enough; their sum stays the same.
    fn thin(&mut self) {
        let mut apart = 1.0 / 1024.0;
        while self.0.len() > PIECES && apart <= 1.0 {
            let mut joined: Vec<Piece> = Vec::with_capacity(self.0.len());
            for piece in self.0.drain(..) {
                match joined.last_mut() {
                    Some(last)
                        if last.end == piece.start
                            && last.touched == piece.touched
                            && (last.miss - piece.miss).abs() <= apart =>
                    {
                        let (a, b) = (last.end - last.start, piece.end - piece.start);
                        let (a, b) = (float(a), float(b));
                        last.miss = (last.miss * a + piece.miss * b) / (a + b);
                        last.end = piece.end;
                    }
                    _ => joined.push(piece),
                }
            }
            self.0 = joined;
            apart *= 2.0;
        }
    }

    /// Bytes touched and expected.
    fn bytes(&self) -> (f64, f64) {
        self.0.iter().fold((0.0, 0.0), |(touched, expected), piece| {
            let size = float(piece.end - piece.start);
            let counts = if piece.touched { size } else { 0.0 };
            (touched + counts, expected + size * (1.0 - piece.miss))
        })
    }
}

#[derive(Clone, Debug)]
struct Window {
    index: u64,
    touches: Touches,
}

impl Window {
    fn measured(&self) -> (u64, f64, f64) {
        let (touched, expected) = self.touches.bytes();
        (self.index, touched, expected)
    }
}

#[derive(Debug, Default)]
struct Level {
    /// The first one of a part, whose beginning may be in the part before.
    head: Option<Window>,
    /// The last one, to which more may come.
    open: Option<Window>,
    begun: bool,
    /// Index, bytes touched and expected.
    done: Vec<(u64, f64, f64)>,
}

#[derive(Debug)]
struct WindowSum<'a> {
    selection: &'a Selection,
    origin_ns: u64,
    cell_ns: u64,
    threshold: u32,
    /// Something may come before.
    part: bool,
    targets: BTreeMap<TargetId, Windows>,
}

/// Windows of one target, whose snapshots come in the order of time.
#[derive(Debug, Default)]
struct Windows {
    part: bool,
    levels: Vec<Level>,
}

impl Windows {
    /// Adds a part of a window; what it is put together with follows no later.
    fn take(&mut self, level: usize, window: Window) {
        if level >= LEVELS {
            return;
        }
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Level::default);
        }
        let Some(place) = self.levels.get_mut(level) else { return };
        match &mut place.open {
            // A shorter aggregation may have its middle in the same one.
            Some(open) if open.index >= window.index => {
                open.touches = open.touches.union(&window.touches);
            }
            open => {
                if let Some(done) = open.replace(window) {
                    self.close(level, done);
                }
            }
        }
    }

    fn close(&mut self, level: usize, window: Window) {
        let Some(place) = self.levels.get_mut(level) else { return };
        if self.part && !place.begun {
            place.begun = true;
            place.head = Some(window);
            return;
        }
        place.done.push(window.measured());
        self.take(level + 1, Window { index: window.index / 2, touches: window.touches });
    }

    /// Adds a part of a window that comes after everything there is.
    fn append(&mut self, level: usize, window: Window) {
        for below in 0..level {
            let open = self.levels.get_mut(below).and_then(|place| place.open.take());
            if let Some(open) = open {
                self.close(below, open);
            }
        }
        self.take(level, window);
    }

    fn merge(&mut self, later: Self) {
        let mut opens = Vec::new();
        for (level, place) in later.levels.into_iter().enumerate() {
            if let Some(head) = place.head {
                self.append(level, head);
            }
            opens.extend(place.open.map(|open| (level, open)));
            if !place.done.is_empty() {
                if self.levels.len() <= level {
                    self.levels.resize_with(level + 1, Level::default);
                }
                if let Some(ours) = self.levels.get_mut(level) {
                    ours.done.extend(place.done);
                }
            }
        }
        // What is open at a higher level comes before what is open below.
        for (level, open) in opens.into_iter().rev() {
            self.append(level, open);
        }
    }

    /// Nothing follows; windows that reach beyond `cells` are not whole and do not count.
    fn close_all(&mut self, cells: u64) {
        for level in 0..LEVELS {
            let aggregations = 1_u64 << level;
            let Some(place) = self.levels.get_mut(level) else { break };
            if let Some(open) = place.open.take() {
                place.done.push(open.measured());
                if aggregations < cells {
                    let above = Window { index: open.index / 2, touches: open.touches };
                    self.take(level + 1, above);
                }
            }
            if let Some(place) = self.levels.get_mut(level) {
                let end = |index: u64| index.saturating_add(1).saturating_mul(aggregations);
                place.done.retain(|(index, _, _)| end(*index) <= cells);
            }
        }
    }
}

impl WindowSum<'_> {
    fn of(&mut self, target: TargetId) -> &mut Windows {
        let part = self.part;
        self.targets.entry(target).or_insert_with(|| Windows { part, levels: Vec::new() })
    }

    fn finish(mut self, cells: u64) -> Vec<WindowLevel> {
        let mut found = Vec::new();
        for windows in self.targets.values_mut() {
            windows.close_all(cells);
        }
        for level in 0..LEVELS {
            // Targets share no memory: what was touched in a window adds up.
            let mut done: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
            for place in self.targets.values_mut().filter_map(|w| w.levels.get_mut(level)) {
                for (index, touched, expected) in std::mem::take(&mut place.done) {
                    let sum = done.entry(index).or_default();
                    *sum = (sum.0 + touched, sum.1 + expected);
                }
            }
            if done.is_empty() {
                break;
            }
            let of = |value: &dyn Fn(&(f64, f64)) -> f64| {
                Distribution::of(done.values().map(|window| (value(window), 1)).collect())
            };
            let aggregations = 1_u64 << level;
            found.push(WindowLevel {
                aggregations,
                length_ns: self.cell_ns.saturating_mul(aggregations),
                windows: done.len(),
                touched: of(&|window| window.0),
                expected: of(&|window| window.1),
            });
        }
        found
    }
}

impl Fold for WindowSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let middle = snapshot.start_ns / 2 + snapshot.end_ns / 2;
        let index = middle.saturating_sub(self.origin_ns) / self.cell_ns;
        let scale = 1.0 / float(u64::from(snapshot.sampling.max_nr_accesses.max(1)));
        let mut touches = Touches::default();
        let bounds = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses);
        for ((&start, &end), &accesses) in bounds {
            let touched = accesses >= self.threshold;
            if accesses == 0 && !touched {
                continue;
            }
            let miss = 1.0 - (f64::from(accesses) * scale).min(1.0);
            for piece in self.selection.pieces(snapshot.target, start, end) {
                let (start, end) = (piece.start, piece.end);
                touches.push(Piece { start, end, miss, touched });
            }
        }
        self.of(snapshot.target).take(0, Window { index, touches });
    }

    fn merge(&mut self, later: Self) {
        for (target, windows) in later.targets {
            self.of(target).merge(windows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(start: u64, end: u64, miss: f64) -> Piece {
        Piece { start, end, miss, touched: true }
    }

    #[test]
    fn chances_to_be_missed_multiply_where_times_meet() {
        let a = Touches(vec![piece(0, 10, 0.5), piece(20, 30, 0.0)]);
        let b = Touches(vec![piece(5, 25, 0.5)]);
        let expected = [
            piece(0, 5, 0.5),
            piece(5, 10, 0.25),
            piece(10, 20, 0.5),
            piece(20, 25, 0.0),
            piece(25, 30, 0.0),
        ];
        let union = a.union(&b);
        // 20..30 is missed in no case, whatever the other says.
        assert_eq!(union.0[..3], expected[..3]);
        assert_eq!(union.0[3..], [piece(20, 30, 0.0)]);
        assert_eq!(union, b.union(&a));
    }

    #[test]
    fn what_is_thinned_out_adds_up_to_the_same() {
        let mut touches = Touches::default();
        for i in 0..100_000_u64 {
            let miss = 0.5 + 0.4 * float(i * 7919 % 1000) / 1000.0;
            touches.push(piece(i * 4096, (i + 1) * 4096, miss));
        }
        let before = touches.bytes();
        touches.thin();
        assert!(touches.0.len() <= PIECES);
        let after = touches.bytes();
        assert!((before.0 - after.0).abs() < 1.0 && (before.1 / after.1 - 1.0).abs() < 1e-9);
    }
}
