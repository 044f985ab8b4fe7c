//! What several pictures share: titles, the time axis, lines with their ribbon, keys.

use plotters::backend::BitMapBackend;
use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::wss::{ResidentSample, WorkingSetSample};

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID, INK, PAGE, Rgb};
use super::layout::{Faces, Rect, checked_size};
use super::num::{count, float, size};
use super::pen::Pen;
use super::png;
use super::series::{Columns, TimeSpan, height_at};
use super::svg::Svg;
use super::text::Lettered;
use super::units::{byte_axis, bytes, time_ticks};

/// The touched working set.
pub(super) const TOUCHED: Rgb = (0, 90, 160);
/// The expected working set.
pub(super) const EXPECTED: Rgb = (0, 140, 130);
/// Between the two.
pub(super) const RIBBON: Rgb = (196, 222, 240);
/// Resident memory.
pub(super) const RESIDENT: Rgb = (150, 75, 0);

/// Draws on a fresh RGB canvas and encodes it.
pub(super) fn to_png(
    width: u32,
    height: u32,
    draw: impl FnOnce(&mut Pen<Lettered<BitMapBackend<'_>>>) -> Result<(), RenderError>,
) -> Result<Vec<u8>, RenderError> {
    let (w, h) = checked_size(width, height)?;
    let mut pixels = vec![255; count(w) * count(h) * 3];
    let backend = BitMapBackend::with_buffer(&mut pixels, (width, height));
    let mut pen = Pen::new(Lettered::new(backend));
    draw(&mut pen)?;
    drop(pen);
    png::encode(&pixels, width, height)
}

/// Draws into an SVG document.
pub(super) fn to_svg(
    width: u32,
    height: u32,
    title: &str,
    draw: impl FnOnce(&mut Pen<Svg>) -> Result<(), RenderError>,
) -> Result<String, RenderError> {
    let (w, h) = checked_size(width, height)?;
    let mut pen = Pen::new(Svg::new((size(w), size(h)), title));
    pen.fill(Rect::new(0, 0, w, h), PAGE)?;
    draw(&mut pen)?;
    Ok(pen.into_backend().finish())
}

/// Title and subtitle.
pub(super) fn headings<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    (title, title_area): (&str, Rect),
    (subtitle, subtitle_area): (&str, Rect),
) -> Result<(), RenderError> {
    let text = faces.title.fit(title, title_area.w);
    let at = (title_area.x, title_area.y);
    pen.text(&text, faces.title, INK, at, HPos::Left)?;
    if !subtitle_area.is_empty() {
        let text = faces.plain.fit(subtitle, subtitle_area.w);
        let at = (subtitle_area.x, subtitle_area.y);
        pen.text(&text, faces.plain, GREY_INK, at, HPos::Left)?;
    }
    Ok(())
}

/// A tick of the time axis in pixels.
pub(super) struct Tick {
    pub(super) x: i32,
    pub(super) label: String,
}

/// Ticks of a time axis whose labels do not touch each other.
pub(super) fn ticks(span: TimeSpan, origin_ns: u64, area: Rect, faces: &Faces) -> Vec<Tick> {
    let room = count(area.w / (11 * faces.advance()).max(1)).max(1);
    time_ticks(origin_ns, span.start_ns, span.end_ns, room)
        .into_iter()
        .filter_map(|tick| {
            let time = i128::from(origin_ns) + tick.offset_ns;
            let x = span.column(u64::try_from(time).ok()?, area.w)?;
            Some(Tick {
                x: area.x + x,
                label: tick.label,
            })
        })
        .collect()
}

/// Where the labels of ticks go: kept inside `left..right` and apart from each other.
pub(super) fn tick_labels<'a>(
    ticks: &'a [Tick],
    faces: &Faces,
    (left, right): (i32, i32),
) -> Vec<(i32, &'a str)> {
    let mut labels = Vec::new();
    let mut free_from = left;
    for tick in ticks {
        let width = faces.plain.width(&tick.label);
        let x = (tick.x - width / 2).min(right - width).max(left);
        if x >= free_from && x + width <= right {
            labels.push((x, tick.label.as_str()));
            free_from = x + width + faces.advance();
        }
    }
    labels
}

/// Tick marks and labels below a plot.
pub(super) fn time_axis<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    axis: Rect,
    ticks: &[Tick],
    limits: (i32, i32),
) -> Result<(), RenderError> {
    for tick in ticks {
        pen.down(tick.x, axis.y, axis.y + 4, FRAME)?;
    }
    for (x, label) in tick_labels(ticks, faces, limits) {
        pen.text(label, faces.plain, INK, (x, axis.y + 5), HPos::Left)?;
    }
    Ok(())
}

/// The working set over time as pixel columns.
pub(super) struct Lines {
    touched: Columns,
    expected: Columns,
    resident: Columns,
    /// The greatest value shown, bytes.
    pub(super) greatest: f64,
}

impl Lines {
    pub(super) fn new(
        span: TimeSpan,
        width: i32,
        samples: &[WorkingSetSample],
        resident: &[ResidentSample],
    ) -> Self {
        let mut lines = Self {
            touched: Columns::new(span, width),
            expected: Columns::new(span, width),
            resident: Columns::new(span, width),
            greatest: 0.0,
        };
        for sample in samples {
            let (from, to) = (sample.start_ns, sample.end_ns);
            lines.touched.add(from, to, float(sample.touched));
            lines.expected.add(from, to, sample.expected);
        }
        for sample in resident {
            lines
                .resident
                .add(sample.time_ns, sample.time_ns, float(sample.rss));
        }
        let all = [&lines.touched, &lines.expected, &lines.resident];
        let greatest = all.into_iter().flat_map(|c| c.cells().iter().flatten());
        lines.greatest = greatest.map(|s| s.greatest).fold(0.0, f64::max);
        lines
    }

    /// True when there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        let columns = [&self.touched, &self.expected, &self.resident];
        columns
            .iter()
            .all(|c| c.cells().iter().all(Option::is_none))
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
            for path in columns.paths(plot, top, bridge) {
                pen.path(&path, colour, stroke)?;
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
    let values = byte_axis(super::num::round_u64(greatest.ceil()), room);
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
) -> Result<(), RenderError> {
    const LONG: [&str; 3] = ["touched (upper)", "expected (lower)", "resident (RSS)"];
    const SHORT: [&str; 3] = ["touched", "expected", "RSS"];
    let width = |names: &[&str; 3], heading: &str| {
        let words: i32 = names.iter().map(|n| faces.plain.width(n)).sum();
        words + 15 * faces.advance() + faces.bold.width(heading)
    };
    let (names, heading) = [(&LONG, heading), (&SHORT, heading), (&SHORT, "")]
        .into_iter()
        .find(|(names, heading)| width(names, heading) <= area.w)
        .unwrap_or((&["", "", ""], ""));
    let mut x = area.x;
    if !heading.is_empty() {
        pen.text(heading, faces.bold, INK, (x, area.y), HPos::Left)?;
        x += faces.bold.width(heading) + 3 * faces.advance();
    }
    for (name, colour) in names.iter().zip([TOUCHED, EXPECTED, RESIDENT]) {
        if !name.is_empty() {
            x = key_entry(pen, faces, (x, area.y), colour, name)?;
        }
    }
    Ok(())
}
