//! The working set picture: over time on the left, its distribution on the right, on one byte axis.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::wss::{Distribution, WorkingSet};

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID, INK};
use super::furniture::{headings, ticks, time_axis, to_png, to_svg};
use super::heatmap::hatch_scale;
use super::layout::{Faces, Rect, Sheet};
use super::lines::{EXPECTED, Lines, RIBBON, TOUCHED, byte_scale, line_key};
use super::num::{coord, count, float_of, round, round_u64};
use super::pen::Pen;
use super::series::{TimeSpan, height_at};
use super::units::bytes;

/// Everything a working set picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Samples and distributions.
    pub working_set: &'a WorkingSet,
    /// What: command, pid, duration.
    pub title: &'a str,
    /// How: backend, access kind, granularity, intervals.
    pub subtitle: &'a str,
    /// Left edge of the time axis, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// Right edge.
    pub end_ns: u64,
    /// Zero of the time axis: the start of the recording.
    pub origin_ns: u64,
}

/// Percentiles that get a row in the table, most telling first.
pub(super) const ROWS: [(usize, &str); 7] =
    [(100, "max"), (99, "p99"), (95, "p95"), (75, "p75"), (50, "p50"), (25, "p25"), (0, "min")];

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn wss_png(picture: &Picture<'_>, width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let layout = WssLayout::new(width, height)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn wss_svg(picture: &Picture<'_>, width: u32, height: u32) -> Result<String, RenderError> {
    let layout = WssLayout::new(width, height)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

/// Geometry of the picture.
#[derive(Clone, Debug)]
struct WssLayout {
    faces: Faces,
    title: Rect,
    subtitle: Rect,
    key: Rect,
    /// Over time.
    line: Rect,
    /// Over the share of time; empty when there is no room.
    distribution: Rect,
    /// Numbers; empty when there is no room.
    table: Rect,
}

impl WssLayout {
    fn new(width: u32, height: u32) -> Result<Self, RenderError> {
        let Sheet { w, h, faces, margin, title, subtitle } = Sheet::new(width, height)?;
        let (line, advance) = (faces.line(), faces.advance());
        let inner = w - 2 * margin;
        let key = Rect::new(margin, subtitle.bottom() + line / 2, inner, line);
        let top = key.bottom() + line * 3 / 4;
        let bottom = h - margin / 2 - 2 * line - 6;
        let left = margin + 10 * advance;
        let table_width = 26 * advance;
        let has_table = w >= 110 * advance && bottom - top >= 9 * line;
        let plots = w - left - margin - 3 * advance - if has_table { table_width } else { 0 };
        let has_distribution = plots >= 60 * advance;
        let line_width = if has_distribution { plots * 66 / 100 } else { plots };
        let time = Rect::new(left, top, line_width, bottom - top);
        let x = time.right() + 6 * advance;
        let rest = if has_distribution { plots - line_width - 6 * advance } else { 0 };
        let distribution = Rect::new(x, top, rest, time.h);
        let table = Rect::new(
            w - margin - table_width,
            top,
            if has_table { table_width } else { 0 },
            time.h,
        );
        Ok(Self {
            faces,
            title,
            subtitle,
            key: Rect::new(left, key.y, w - margin - left, key.h),
            line: time,
            distribution,
            table,
        })
    }
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &WssLayout,
) -> Result<(), RenderError> {
    let faces = &layout.faces;
    let title = (picture.title, layout.title);
    headings(pen, faces, title, (picture.subtitle, layout.subtitle))?;
    let span = TimeSpan { start_ns: picture.start_ns, end_ns: picture.end_ns };
    let set = picture.working_set;
    let plot = layout.line;
    let mut lines = Lines::new(span, plot.w, &set.samples, &set.resident);
    let most = set.touched.percentiles.last().copied().unwrap_or(0.0);
    if lines.cut.is_none() {
        lines.greatest = lines.greatest.max(most);
    }
    let axis = Rect::new(plot.x, plot.bottom(), plot.w, faces.line() + 5);
    let ticks = ticks(span, picture.origin_ns, plot, faces);
    let limits = (plot.x - 4 * faces.advance(), plot.right() + faces.advance());
    if lines.is_empty() {
        pen.frame(plot, GRID)?;
        let at = (plot.x + plot.w / 2, plot.y + (plot.h - faces.line()) / 2);
        let text = faces.plain.fit("no samples in this time", plot.w);
        pen.text(&text, faces.plain, GREY_INK, at, HPos::Center)?;
        return time_axis(pen, faces, axis, &ticks, limits);
    }
    line_key(pen, faces, layout.key, "", &lines)?;
    let top = byte_scale(pen, faces, plot, lines.greatest)?;
    for tick in &ticks {
        pen.down(tick.x, plot.y, plot.bottom(), GRID)?;
    }
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    lines.draw(pen, plot, top, stroke)?;
    border(pen, plot)?;
    time_axis(pen, faces, axis, &ticks, limits)?;
    let caption = faces.plain.fit("time since the recording began", plot.w);
    let at = (plot.x + plot.w / 2, axis.bottom());
    pen.text(&caption, faces.plain, GREY_INK, at, HPos::Center)?;
    draw_distribution(pen, set, layout, top)?;
    draw_table(pen, set, layout)
}

fn border<B: DrawingBackend>(pen: &mut Pen<B>, plot: Rect) -> Result<(), RenderError> {
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)
}

/// Bytes not exceeded in `share` (0..1) of the time, between the two nearest percentiles.
fn value_at(distribution: &Distribution, share: f64) -> Option<f64> {
    let last = distribution.percentiles.len().checked_sub(1)?;
    let position = share.clamp(0.0, 1.0) * float_of(last);
    let below = count(round(position.floor())).min(last);
    let low = distribution.percentiles.get(below)?;
    let high = distribution.percentiles.get((below + 1).min(last))?;
    Some(low + (high - low) * (position - float_of(below)))
}

fn draw_distribution<B: DrawingBackend>(
    pen: &mut Pen<B>,
    set: &WorkingSet,
    layout: &WssLayout,
    top: f64,
) -> Result<(), RenderError> {
    let (plot, faces) = (layout.distribution, &layout.faces);
    if plot.is_empty() {
        return Ok(());
    }
    let room = plot.w / (6 * faces.advance());
    let step = if room >= 5 { 25 } else { 50 };
    for percent in (0..=100).step_by(step) {
        let x = plot.x + (plot.w - 1) * percent / 100;
        pen.down(x, plot.y, plot.bottom(), GRID)?;
        pen.down(x, plot.bottom(), plot.bottom() + 4, FRAME)?;
        let text = format!("{percent} %");
        let at = (x, plot.bottom() + 5);
        pen.text(&text, faces.plain, INK, at, HPos::Center)?;
    }
    let curve = |distribution: &Distribution| -> Vec<(i32, i32)> {
        (0..plot.w)
            .filter_map(|x| {
                let share = f64::from(x) / f64::from((plot.w - 1).max(1));
                let value = value_at(distribution, share)?;
                Some((plot.x + x, height_at(plot, top, value)))
            })
            .collect()
    };
    let (touched, expected) = (curve(&set.touched), curve(&set.expected));
    for ((x, upper), (_, lower)) in touched.iter().zip(&expected) {
        pen.fill(Rect::new(*x, *upper, 1, lower + 1 - upper), RIBBON)?;
    }
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    for (points, colour) in [(&expected, EXPECTED), (&touched, TOUCHED)] {
        if points.len() > 1 {
            pen.path(points, colour, stroke)?;
        }
    }
    border(pen, plot)?;
    let caption = ["share of time at or below", "share of time"]
        .into_iter()
        .find(|c| faces.plain.width(c) <= plot.w)
        .unwrap_or("");
    let at = (plot.x + plot.w / 2, plot.bottom() + faces.line() + 5);
    pen.text(caption, faces.plain, GREY_INK, at, HPos::Center)
}

fn draw_table<B: DrawingBackend>(
    pen: &mut Pen<B>,
    set: &WorkingSet,
    layout: &WssLayout,
) -> Result<(), RenderError> {
    let (area, faces) = (layout.table, &layout.faces);
    if area.is_empty() {
        return Ok(());
    }
    let (line, advance) = (faces.line(), faces.advance());
    let columns = [area.x + 15 * advance, area.right()];
    for (x, (head, colour)) in
        columns.into_iter().zip([("touched", TOUCHED), ("expected", EXPECTED)])
    {
        pen.text(head, faces.bold, colour, (x, area.y), HPos::Right)?;
    }
    let mut rows: Vec<(&str, Option<f64>, Option<f64>)> = ROWS
        .iter()
        .map(|(percent, name)| {
            let share = float_of(*percent) / 100.0;
            (*name, value_at(&set.touched, share), value_at(&set.expected, share))
        })
        .collect();
    rows.push(("mean", Some(set.touched.mean), Some(set.expected.mean)));
    for (i, (name, touched, expected)) in rows.into_iter().enumerate() {
        let y = area.y + (coord(i) + 1) * line * 5 / 4;
        if y + line > area.bottom() {
            break;
        }
        pen.text(name, faces.plain, GREY_INK, (area.x + advance, y), HPos::Left)?;
        for (x, value) in columns.into_iter().zip([touched, expected]) {
            let text = value.map_or_else(|| "-".to_owned(), |v| bytes(round_u64(v)));
            pen.text(&text, faces.plain, INK, (x, y), HPos::Right)?;
        }
    }
    Ok(())
}
