//! Bytes over a duration, on a logarithmic axis: how much was untouched for how long, how much is touched in how long.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID};
use super::furniture::{Tick, headings, time_axis, to_png, to_svg};
use super::heatmap::hatch_scale;
use super::layout::Rect;
use super::lines::{EXPECTED, RIBBON, TOUCHED, byte_scale, key_entry};
use super::num::{coord, round};
use super::one_plot::OnePlot;
use super::pen::Pen;
use super::series::height_at;

/// Characters of room right of the plot.
const RIGHT: i32 = 2;

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is, for the key; no entry when it is empty.
    pub name: String,
    /// Nanoseconds (more than 0, ascending) and bytes.
    pub points: Vec<(f64, f64)>,
}

/// Everything the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// What: command, pid, duration.
    pub title: &'a str,
    /// How: backend, access kind, granularity, intervals.
    pub subtitle: &'a str,
    /// What the duration is.
    pub caption: &'a str,
    /// The upper line, and perhaps a lower one; what lies between them, or below the only one, is shaded.
    pub curves: &'a [Curve],
    /// Whether a value holds up to its point, and drops there; otherwise points are joined by straight lines.
    pub steps: bool,
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn curve_png(picture: &Picture<'_>, width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let layout = OnePlot::new(width, height, RIGHT)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn curve_svg(picture: &Picture<'_>, width: u32, height: u32) -> Result<String, RenderError> {
    let layout = OnePlot::new(width, height, RIGHT)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

/// Round durations: all, and whether it is one of the few.
fn landmarks() -> impl Iterator<Item = (f64, String, bool)> {
    const UNITS: [(f64, &str, &[u32], &[u32]); 7] = [
        (1.0, "ns", &[1, 2, 5, 10, 20, 50, 100, 200, 500], &[1, 10, 100]),
        (1e3, "µs", &[1, 2, 5, 10, 20, 50, 100, 200, 500], &[1, 10, 100]),
        (1e6, "ms", &[1, 2, 5, 10, 20, 50, 100, 200, 500], &[1, 10, 100]),
        (1e9, "s", &[1, 2, 5, 10, 20, 30], &[1, 10]),
        (60e9, "min", &[1, 2, 5, 10, 20, 30], &[1, 10]),
        (3600e9, "h", &[1, 2, 3, 6, 12], &[1, 6]),
        (86_400e9, "d", &[1, 2, 5, 10, 50, 100], &[1, 10, 100]),
    ];
    UNITS.into_iter().flat_map(|(scale, unit, numbers, main)| {
        numbers.iter().map(move |number| {
            (f64::from(*number) * scale, format!("{number} {unit}"), main.contains(number))
        })
    })
}

/// Pixels of the axis for each label: two or three times what one takes, since steps on a logarithmic axis differ by that.
const EACH: i32 = 80;

/// A logarithmic axis.
struct Axis {
    least: f64,
    most: f64,
    plot: Rect,
}

impl Axis {
    fn new(curves: &[Curve], plot: Rect) -> Option<Self> {
        let times = || curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0));
        let least = times().filter(|time| *time > 0.0).reduce(f64::min)?;
        let most = times().reduce(f64::max)?;
        // A single moment lies in the middle.
        let (least, most) = if most > least { (least, most) } else { (least / 2.0, least * 2.0) };
        Some(Self { least, most, plot })
    }

    fn x(&self, time: f64) -> i32 {
        let share = (time.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        self.plot.x + round(share.clamp(0.0, 1.0) * f64::from(self.plot.w - 1))
    }

    fn ticks(&self) -> Vec<Tick> {
        let inside = |time: &f64| (self.least * 0.999..=self.most * 1.001).contains(time);
        let all: Vec<_> = landmarks().filter(|(time, _, _)| inside(time)).collect();
        let main = all.iter().filter(|(_, _, main)| *main).count();
        // All, where they are few or have room; else the round ones.
        let all_fit = coord(all.len()).saturating_mul(EACH) <= self.plot.w;
        let shown = all.into_iter().filter(|(_, _, is_main)| all_fit || main < 4 || *is_main);
        shown.map(|(time, label, _)| Tick { x: self.x(time), label }).collect()
    }
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &OnePlot,
) -> Result<(), RenderError> {
    let (faces, plot) = (&layout.faces, layout.plot);
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    let Some(axis) = Axis::new(picture.curves, plot) else {
        pen.frame(plot, GRID)?;
        let at = (plot.x + plot.w / 2, plot.y + (plot.h - faces.line()) / 2);
        let text = faces.plain.fit("nothing to show", plot.w);
        return pen.text(&text, faces.plain, GREY_INK, at, HPos::Center);
    };
    let mut x = layout.key.x;
    let colours = [TOUCHED, EXPECTED];
    for (curve, colour) in picture.curves.iter().zip(colours).filter(|c| !c.0.name.is_empty()) {
        x = key_entry(pen, faces, (x, layout.key.y), colour, &curve.name)?;
    }
    let values = picture.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
    let top = byte_scale(pen, faces, plot, values.fold(1.0, f64::max))?;
    let ticks = axis.ticks();
    for tick in &ticks {
        pen.down(tick.x, plot.y, plot.bottom(), GRID)?;
    }
    let lines: Vec<Vec<(i32, i32)>> =
        picture.curves.iter().map(|curve| path(&axis, &curve.points, top, picture.steps)).collect();
    shade(pen, plot, &lines)?;
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    for (line, colour) in lines.iter().zip(colours).rev() {
        match line.as_slice() {
            [] => {}
            [(x, y)] => pen.fill(Rect::new(x - 2, y - 2, 5, 5), colour)?,
            line => pen.path(line, colour, stroke)?,
        }
    }
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)?;
    let below = Rect::new(plot.x, plot.bottom(), plot.w, faces.line() + 5);
    let limits = (plot.x - 4 * faces.advance(), plot.right() + 2 * faces.advance());
    time_axis(pen, faces, below, &ticks, limits)?;
    let caption = faces.plain.fit(picture.caption, plot.w);
    let at = (plot.x + plot.w / 2, below.bottom());
    pen.text(&caption, faces.plain, GREY_INK, at, HPos::Center)
}

fn path(axis: &Axis, points: &[(f64, f64)], top: f64, steps: bool) -> Vec<(i32, i32)> {
    let mut path: Vec<(i32, i32)> = Vec::new();
    for (time, value) in points {
        let point = (axis.x(*time), height_at(axis.plot, top, *value));
        if steps {
            // The value before the point is that at the point.
            let from = path.last().map_or(axis.plot.x, |last| last.0);
            path.push((from, point.1));
        }
        path.push(point);
    }
    path.dedup();
    path
}

/// The height of a line in a pixel column.
fn at(line: &[(i32, i32)], x: i32) -> Option<i32> {
    let next = line.partition_point(|point| point.0 < x);
    let (x1, y1) = *line.get(next)?;
    if x1 == x {
        return Some(y1);
    }
    let (x0, y0) = *line.get(next.checked_sub(1)?)?;
    let share = f64::from(x - x0) / f64::from(x1 - x0);
    Some(y0 + round(f64::from(y1 - y0) * share))
}

/// Fills what lies between two lines, or below the only one.
pub(super) fn shade<B: DrawingBackend>(
    pen: &mut Pen<B>,
    plot: Rect,
    lines: &[Vec<(i32, i32)>],
) -> Result<(), RenderError> {
    let Some(upper) = lines.first() else {
        return Ok(());
    };
    for x in plot.x..plot.right() {
        let lower = lines.get(1).map_or(Some(plot.bottom() - 1), |lower| at(lower, x));
        if let (Some(y0), Some(y1)) = (at(upper, x), lower) {
            pen.fill(Rect::new(x, y0, 1, y1 + 1 - y0), RIBBON)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landmarks_ascend_and_have_one_label_each() {
        let all: Vec<_> = landmarks().collect();
        assert!(all.iter().map(|mark| mark.0).is_sorted());
        assert!(all.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0 && a.1 != b.1)));
    }

    #[test]
    fn ticks_are_as_many_as_can_be_told_apart() {
        let plot = Rect::new(0, 0, 1000, 100);
        let labels = |least: f64, most: f64| -> Vec<String> {
            let axis = Axis { least, most, plot };
            axis.ticks().into_iter().map(|tick| tick.label).collect()
        };
        assert_eq!(labels(1e8, 1.1e9), ["100 ms", "200 ms", "500 ms", "1 s"]);
        assert_eq!(labels(1e8, 3600e9), ["100 ms", "1 s", "10 s", "1 min", "10 min", "1 h"]);
        let some = labels(1e8, 120e9);
        assert_eq!(some[..4], ["100 ms", "200 ms", "500 ms", "1 s"]);
        assert_eq!(some[7..], ["20 s", "30 s", "1 min", "2 min"]);
    }

    #[test]
    fn a_step_holds_up_to_its_point() {
        let axis = Axis { least: 1.0, most: 100.0, plot: Rect::new(0, 0, 101, 11) };
        let line = path(&axis, &[(10.0, 10.0), (100.0, 5.0)], 10.0, true);
        assert_eq!(line, [(0, 0), (50, 0), (50, 5), (100, 5)]);
        assert_eq!((at(&line, 20), at(&line, 75), at(&line, 101)), (Some(0), Some(5), None));
    }
}
