//! What schemes would have done, over time: bytes away above, traffic below.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::num::float;
use crate::analysis::simulate::{LinePoint, Outlook};

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID, Rgb};
use super::furniture::{Tick, headings, ticks, time_axis, to_png, to_svg};
use super::heatmap::hatch_scale;
use super::layout::{Faces, Rect, Sheet};
use super::lines::{EXPECTED, RESIDENT, RIBBON, TOUCHED, byte_scale, greatest, key_entry};
use super::num::round_u64;
use super::pen::Pen;
use super::series::{Columns, TimeSpan, height_at};
use super::units::bytes;

/// What comes back.
const IN: Rgb = (178, 24, 43);
/// Between the readings of what comes back.
const IN_RIBBON: Rgb = (248, 214, 208);
/// What nobody should exceed.
const LIMIT: Rgb = (60, 60, 60);

/// So many times everything else, something is drawn on a scale of its own, or is cut off.
const OFF_SCALE: f64 = 4.0;

/// Everything the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The course of it.
    pub line: &'a [LinePoint],
    /// What was done to memory: `paged out`.
    pub verb: &'a str,
    /// Bytes that may come back in a second, and what that is.
    pub limit: (f64, &'a str),
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

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn what_if_png(picture: &Picture<'_>, width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let layout = Layout::new(width, height)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn what_if_svg(picture: &Picture<'_>, width: u32, height: u32) -> Result<String, RenderError> {
    let layout = Layout::new(width, height)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

#[derive(Debug)]
struct Layout {
    faces: Faces,
    title: Rect,
    subtitle: Rect,
    /// Key and plot of bytes, then of traffic.
    plots: [(Rect, Rect); 2],
}

impl Layout {
    fn new(width: u32, height: u32) -> Result<Self, RenderError> {
        let Sheet { w, h, faces, margin, title, subtitle } = Sheet::new(width, height)?;
        let (line, advance) = (faces.line(), faces.advance());
        let left = margin + 11 * advance;
        let width = w - left - margin - advance;
        let top = subtitle.bottom() + line / 2;
        let bottom = h - margin / 2 - 2 * line - 6;
        // Each plot has its key and a gap above itself.
        let head = line * 7 / 4;
        let room = (bottom - top - 2 * head - line / 2).max(0);
        let first = room * 3 / 5;
        let place = |y: i32, height: i32| {
            (Rect::new(left, y, width, line), Rect::new(left, y + head, width, height))
        };
        let upper = place(top, first);
        let lower = place(upper.1.bottom() + line / 2, room - first);
        Ok(Self { faces, title, subtitle, plots: [upper, lower] })
    }
}

/// An outlook as pixel columns.
struct Three {
    low: Columns,
    expected: Columns,
    high: Columns,
}

impl Three {
    fn new(picture: &Picture<'_>, width: i32, value: impl Fn(&LinePoint) -> Outlook) -> Self {
        let span = TimeSpan { start_ns: picture.start_ns, end_ns: picture.end_ns };
        let new = || Columns::new(span, width);
        let mut three = Self { low: new(), expected: new(), high: new() };
        for point in picture.line {
            let Outlook { optimistic, expected, pessimistic } = value(point);
            let (start, end) = (point.start_ns, point.end_ns);
            three.low.add(start, end, optimistic.min(pessimistic));
            three.expected.add(start, end, expected);
            three.high.add(start, end, optimistic.max(pessimistic));
        }
        three
    }

    fn draw<B: DrawingBackend>(
        &self,
        pen: &mut Pen<B>,
        plot: Rect,
        top: f64,
        (colour, ribbon): (Rgb, Rgb),
        stroke: u32,
    ) -> Result<(), RenderError> {
        let pairs = self.high.cells().iter().zip(self.low.cells());
        for (x, pair) in (plot.x..).zip(pairs) {
            if let (Some(upper), Some(lower)) = pair {
                let y0 = height_at(plot, top, upper.greatest);
                let y1 = height_at(plot, top, lower.least);
                pen.fill(Rect::new(x, y0, 1, y1 + 1 - y0), ribbon)?;
            }
        }
        line(pen, plot, top, &self.expected, colour, stroke)
    }
}

fn line<B: DrawingBackend>(
    pen: &mut Pen<B>,
    plot: Rect,
    top: f64,
    columns: &Columns,
    colour: Rgb,
    stroke: u32,
) -> Result<(), RenderError> {
    for path in columns.paths(plot, top, false) {
        pen.path(&path, colour, stroke)?;
    }
    Ok(())
}

/// Names with their colours, as far as there is room.
fn key<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    area: Rect,
    names: &[(String, Rgb)],
) -> Result<(), RenderError> {
    let mut x = area.x;
    for (name, colour) in names {
        if x + faces.plain.width(name) + 3 * faces.advance() > area.right() {
            break;
        }
        x = key_entry(pen, faces, (x, area.y), *colour, name)?;
    }
    Ok(())
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
) -> Result<(), RenderError> {
    let faces = &layout.faces;
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    let [(upper_key, upper), (lower_key, lower)] = layout.plots;
    let span = TimeSpan { start_ns: picture.start_ns, end_ns: picture.end_ns };
    let ticks = ticks(span, picture.origin_ns, upper, faces);
    held(pen, picture, faces, (upper_key, upper), &ticks)?;
    traffic(pen, picture, faces, (lower_key, lower), &ticks)?;
    let axis = Rect::new(lower.x, lower.bottom(), lower.w, faces.line() + 5);
    let limits = (lower.x - 4 * faces.advance(), lower.right() + faces.advance());
    time_axis(pen, faces, axis, &ticks, limits)?;
    let caption = faces.plain.fit("time since the recording began", lower.w);
    let at = (lower.x + lower.w / 2, axis.bottom());
    pen.text(&caption, faces.plain, GREY_INK, at, HPos::Center)
}

fn grid<B: DrawingBackend>(
    pen: &mut Pen<B>,
    plot: Rect,
    ticks: &[Tick],
) -> Result<(), RenderError> {
    for tick in ticks {
        pen.down(tick.x, plot.y, plot.bottom(), GRID)?;
    }
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)
}

/// Bytes away, and what was resident.
fn held<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    faces: &Faces,
    (key_area, plot): (Rect, Rect),
    ticks: &[Tick],
) -> Result<(), RenderError> {
    let away = Three::new(picture, plot.w, |point| point.away);
    let span = TimeSpan { start_ns: picture.start_ns, end_ns: picture.end_ns };
    let (mut resident, mut left) = (Columns::new(span, plot.w), Columns::new(span, plot.w));
    for point in picture.line {
        if let Some(recorded) = point.resident {
            resident.add(point.start_ns, point.end_ns, recorded);
            let rest = (recorded - point.away.expected).max(0.0);
            left.add(point.start_ns, point.end_ns, rest);
        }
    }
    let most_away = greatest(&[&away.high]);
    let most_resident = greatest(&[&resident]);
    // Address space that never had pages must not flatten what has some.
    let is_cut = most_resident > 0.0 && most_away > OFF_SCALE * most_resident;
    let most = if is_cut { OFF_SCALE * most_resident } else { most_away.max(most_resident) };
    let mut names = vec![(format!("{} (optimistic to pessimistic)", picture.verb), TOUCHED)];
    if is_cut {
        names =
            vec![(format!("{} (up to {})", picture.verb, bytes(round_u64(most_away))), TOUCHED)];
    }
    if !resident.is_empty() {
        names.push(("resident as recorded".to_owned(), RESIDENT));
        names.push(("resident less that".to_owned(), EXPECTED));
    }
    key(pen, faces, key_area, &names)?;
    let top = byte_scale(pen, faces, plot, most)?;
    grid(pen, plot, ticks)?;
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    away.draw(pen, plot, top, (TOUCHED, RIBBON), stroke)?;
    line(pen, plot, top, &left, EXPECTED, stroke)?;
    line(pen, plot, top, &resident, RESIDENT, stroke)
}

/// Bytes per second each way, and how many may come back.
fn traffic<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    faces: &Faces,
    (key_area, plot): (Rect, Rect),
    ticks: &[Tick],
) -> Result<(), RenderError> {
    let per_second = |point: &LinePoint, bytes: Outlook| {
        let seconds = float(point.observed_ns.max(1)) / 1e9;
        bytes.map(|bytes| bytes / seconds)
    };
    let back = Three::new(picture, plot.w, |point| per_second(point, point.refaulted));
    let out = Three::new(picture, plot.w, |point| per_second(point, point.put_away));
    let (limit, what) = picture.limit;
    let most = greatest(&[&back.high, &out.high]);
    let is_far = limit > OFF_SCALE * most;
    let names = [
        ("out per second".to_owned(), TOUCHED),
        ("in per second (optimistic to pessimistic)".to_owned(), IN),
        (
            format!(
                "limit: {what}, {}{}",
                bytes(round_u64(limit)),
                if is_far { ", far above" } else { "" }
            ),
            LIMIT,
        ),
    ];
    key(pen, faces, key_area, &names)?;
    let top = byte_scale(pen, faces, plot, if is_far { most } else { most.max(limit) })?;
    grid(pen, plot, ticks)?;
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    back.draw(pen, plot, top, (IN, IN_RIBBON), stroke)?;
    line(pen, plot, top, &out.expected, TOUCHED, stroke)?;
    if is_far {
        return Ok(());
    }
    let y = height_at(plot, top, limit);
    for x in (plot.x..plot.right()).step_by(8) {
        pen.fill(Rect::new(x, y, 5.min(plot.right() - x), 1), LIMIT)?;
    }
    Ok(())
}
