//! The working set as lines over time, with their ribbon and key.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::samples::Samples;
use crate::analysis::wss::ResidentSample;

use super::RenderError;
use super::colour::{FRAME, GRID, INK, Rgb};
use super::layout::{Faces, Rect};
use super::num::{count, float, round_u64};
use super::pen::Pen;
use super::series::{Columns, TimeSpan, height_at};
use super::units::{byte_axis, bytes};

/// The touched working set.
pub(super) const TOUCHED: Rgb = (0, 90, 160);
/// The expected working set.
pub(super) const EXPECTED: Rgb = (0, 140, 130);
/// Between the two.
pub(super) const RIBBON: Rgb = (196, 222, 240);
/// Resident memory.
pub(super) const RESIDENT: Rgb = (150, 75, 0);

/// The working set over time as pixel columns.
pub(super) struct Lines {
    touched: Columns,
    expected: Columns,
    resident: Columns,
    /// The greatest value shown, bytes.
    pub(super) greatest: f64,
    /// The greatest resident size, where the line would squeeze the working set and has a scale of its own.
    pub(super) off_scale: Option<f64>,
    /// The greatest working set, where a few absurd estimates would squeeze everything else and are cut off.
    pub(super) cut: Option<f64>,
}

/// Where to cut the scale of working sets, if they must be cut: nothing can use more than what is resident, but regions
/// that reach over unmapped addresses (as at the start of a recording, before they are refined) make the
/// upper estimate many times that. Estimates that exceed it for long are shown whole.
pub(super) fn cut_above(touched: &Columns, expected: &Columns, resident: &Columns) -> Option<f64> {
    let resident = greatest(&[resident]);
    let mut heights: Vec<f64> = touched.cells().iter().flatten().map(|s| s.greatest).collect();
    heights.sort_unstable_by(f64::total_cmp);
    let usual = heights.get(heights.len() * 19 / 20).copied().unwrap_or(0.0);
    let top = resident.max(usual).max(greatest(&[expected]));
    let cut = resident > 0.0 && greatest(&[touched]) > ABSURD * top;
    cut.then_some(top)
}

/// So many times everything plausible, the working set is cut.
const ABSURD: f64 = 2.0;

/// So many times the working set, resident memory is drawn on a scale of its own.
const OFF_SCALE: f64 = 5.0;

/// The greatest value in any of them; 0 when there is none.
pub(super) fn greatest(columns: &[&Columns]) -> f64 {
    let stretches = columns.iter().flat_map(|c| c.cells().iter().flatten());
    stretches.map(|s| s.greatest).fold(0.0, f64::max)
}

impl Lines {
    pub(super) fn new(
        span: TimeSpan,
        width: i32,
        samples: &Samples,
        resident: &[ResidentSample],
    ) -> Self {
        let mut lines = Self {
            touched: Columns::new(span, width),
            expected: Columns::new(span, width),
            resident: Columns::new(span, width),
            greatest: 0.0,
            off_scale: None,
            cut: None,
        };
        for sample in samples {
            let (from, to) = (sample.start_ns, sample.end_ns);
            lines.touched.add(from, to, float(sample.touched));
            lines.expected.add(from, to, sample.expected);
        }
        for sample in resident {
            lines.resident.add(sample.time_ns, sample.time_ns, float(sample.rss));
        }
        let working_set = greatest(&[&lines.touched, &lines.expected]);
        let resident = greatest(&[&lines.resident]);
        if let Some(top) = cut_above(&lines.touched, &lines.expected, &lines.resident) {
            lines.greatest = top;
            lines.cut = Some(working_set);
            return lines;
        }
        lines.off_scale =
            (working_set > 0.0 && resident > OFF_SCALE * working_set).then_some(resident);
        lines.greatest = match lines.off_scale {
            Some(_) => working_set,
            None => working_set.max(resident),
        };
        lines
    }

    /// True when there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        let columns = [&self.touched, &self.expected, &self.resident];
        columns.iter().all(|c| c.cells().iter().all(Option::is_none))
    }

    /// Draws ribbon and lines.
    pub(super) fn draw<B: DrawingBackend>(
        &self,
        pen: &mut Pen<B>,
        plot: Rect,
        top: f64,
        stroke: u32,
    ) -> Result<(), RenderError> {
        let pairs = self.touched.cells().iter().zip(self.expected.cells());
        for (x, (upper, lower)) in (plot.x..).zip(pairs) {
            if let (Some(upper), Some(lower)) = (upper, lower) {
                let y0 = height_at(plot, top, upper.greatest);
                let y1 = height_at(plot, top, lower.least);
                pen.fill(Rect::new(x, y0, 1, y1 + 1 - y0), RIBBON)?;
            }
        }
        for (columns, colour, bridge) in [
            (&self.resident, RESIDENT, true),
            (&self.expected, EXPECTED, false),
            (&self.touched, TOUCHED, false),
        ] {
            // Far above the working set, resident memory has a scale of its own, which its key tells.
            let top = self.off_scale.filter(|_| bridge).unwrap_or(top);
            for path in columns.paths(plot, top, bridge) {
                pen.path(&path, colour, stroke)?;
            }
        }
        self.draw_cuts(pen, plot, top)
    }

    /// A bar above the plot wherever the working set leaves it.
    fn draw_cuts<B: DrawingBackend>(
        &self,
        pen: &mut Pen<B>,
        plot: Rect,
        top: f64,
    ) -> Result<(), RenderError> {
        for (x, cell) in (plot.x..).zip(self.touched.cells()) {
            if self.cut.is_some() && cell.is_some_and(|s| s.greatest > top) {
                pen.fill(Rect::new(x, plot.y - 4, 1, 4), TOUCHED)?;
            }
        }
        Ok(())
    }
}

/// A byte axis left of a plot, with faint lines across it; returns the value of the upper edge.
pub(super) fn byte_scale<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    plot: Rect,
    greatest: f64,
) -> Result<f64, RenderError> {
    let room = count(plot.h / (faces.line() * 3 / 2).max(1)).clamp(1, 8);
    let values = byte_axis(round_u64(greatest.ceil()), room);
    let top = values.last().map_or(1.0, |v| float(*v));
    for value in &values {
        let y = height_at(plot, top, float(*value));
        pen.across(plot.x, plot.right(), y, GRID)?;
        pen.across(plot.x - 4, plot.x, y, FRAME)?;
        let at = (plot.x - 7, y - faces.line() / 2);
        pen.text(&bytes(*value), faces.plain, INK, at, HPos::Right)?;
    }
    Ok(top)
}

/// One entry of a key: a sample of the line and its name.
pub(super) fn key_entry<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    (x, y): (i32, i32),
    colour: Rgb,
    name: &str,
) -> Result<i32, RenderError> {
    let thick = (faces.line() / 6).max(3);
    let length = 2 * faces.advance();
    let middle = y + faces.line() / 2 - thick / 2 + 1;
    pen.fill(Rect::new(x, middle, length, thick), colour)?;
    let text_x = x + length + faces.advance() / 2 + 1;
    pen.text(name, faces.plain, INK, (text_x, y), HPos::Left)?;
    Ok(text_x + faces.plain.width(name) + 2 * faces.advance())
}

/// The key of the three lines, in words as long as the room allows.
pub(super) fn line_key<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    area: Rect,
    heading: &str,
    lines: &Lines,
) -> Result<(), RenderError> {
    let resident = |name: &str| match lines.off_scale {
        Some(most) => format!("{name} on its own scale up to {}", bytes(round_u64(most))),
        None => name.to_owned(),
    };
    let touched = |name: &str| match lines.cut {
        Some(most) => format!("{name} off scale, max {}", bytes(round_u64(most))),
        None => name.to_owned(),
    };
    let long = [touched("touched (upper)"), "expected (lower)".to_owned()];
    let short = [touched("touched"), "expected".to_owned()];
    let choices = [
        (long, resident("resident (RSS)"), heading),
        (short.clone(), resident("RSS"), heading),
        (short.clone(), resident("RSS"), ""),
        (short, lines.off_scale.map_or("RSS".to_owned(), |_| "RSS, own scale".to_owned()), ""),
    ];
    let fits = |(names, resident, heading): &([String; 2], String, &str)| {
        let words: i32 = names.iter().map(|n| faces.plain.width(n)).sum();
        let rest = faces.plain.width(resident) + faces.bold.width(heading);
        let gaps = if heading.is_empty() { 12 } else { 15 };
        words + rest + gaps * faces.advance() <= area.w
    };
    let Some((names, resident, heading)) = choices.into_iter().find(fits) else {
        return Ok(());
    };
    let mut x = area.x;
    if !heading.is_empty() {
        pen.text(heading, faces.bold, INK, (x, area.y), HPos::Left)?;
        x += faces.bold.width(heading) + 3 * faces.advance();
    }
    for (name, colour) in names.into_iter().zip([TOUCHED, EXPECTED]) {
        x = key_entry(pen, faces, (x, area.y), colour, &name)?;
    }
    if !lines.resident.is_empty() && !resident.is_empty() {
        key_entry(pen, faces, (x, area.y), RESIDENT, &resident)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::wss::WorkingSetSample;

    const MIB: u64 = 1 << 20;

    /// Lines over a hundred columns: the touched working set by column, resident memory throughout.
    fn lines(touched: impl Fn(u64) -> u64, rss: u64) -> Lines {
        let sample = |i: u64| WorkingSetSample {
            start_ns: i * 10,
            end_ns: i * 10 + 10,
            touched: touched(i),
            expected: 1.0,
            expected_low: 0.0,
            expected_high: 2.0,
            expected_lost: 0.0,
            monitored: 4096 * MIB,
        };
        let samples: Samples = (0..100).map(sample).collect();
        let resident = [ResidentSample { time_ns: 0, rss }, ResidentSample { time_ns: 990, rss }];
        let span = TimeSpan { start_ns: 0, end_ns: 1000 };
        Lines::new(span, 100, &samples, if rss > 0 { &resident } else { &[] })
    }

    fn shown(lines: &Lines) -> (u64, Option<u64>) {
        (round_u64(lines.greatest) / MIB, lines.cut.map(|c| round_u64(c) / MIB))
    }

    #[test]
    fn a_short_estimate_beyond_all_memory_does_not_flatten_the_rest() {
        let spike = |i| if i < 3 { 1100 * MIB } else { 20 * MIB };
        assert_eq!(shown(&lines(spike, 160 * MIB)), (160, Some(1100)));
    }

    #[test]
    fn what_can_be_true_or_lasts_is_shown_whole() {
        let burst = |i| if i == 50 { 150 * MIB } else { MIB };
        assert_eq!(shown(&lines(burst, 160 * MIB)), (160, None));
        let long = |i| if i < 30 { 500 * MIB } else { 20 * MIB };
        assert_eq!(shown(&lines(long, 160 * MIB)), (500, None));
        // Without knowing what was resident nothing is absurd.
        let spike = |i| if i < 3 { 1100 * MIB } else { 20 * MIB };
        assert_eq!(shown(&lines(spike, 0)), (1100, None));
    }
}
