//! How much memory serves how much of the accesses.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::simulate::CurvePoint;

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID, Rgb};
use super::curve::shade;
use super::furniture::{Tick, headings, time_axis, to_png, to_svg};
use super::heatmap::hatch_scale;
use super::layout::Rect;
use super::lines::{EXPECTED, TOUCHED, byte_scale, key_entry};
use super::num::round;
use super::one_plot::OnePlot;
use super::pen::Pen;
use super::series::height_at;

/// The fast tier's size.
const SIZE: Rgb = (60, 60, 60);

/// Characters of room right of the plot.
const RIGHT: i32 = 3;

/// Everything the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Ascending by share.
    pub curve: &'a [CurvePoint],
    /// Size of the fast tier, bytes.
    pub fast_size: Option<f64>,
    /// What: command, pid, duration.
    pub title: &'a str,
    /// How: backend, access kind, granularity, intervals.
    pub subtitle: &'a str,
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn tiers_png(picture: &Picture<'_>, width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let layout = OnePlot::new(width, height, RIGHT)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn tiers_svg(picture: &Picture<'_>, width: u32, height: u32) -> Result<String, RenderError> {
    let layout = OnePlot::new(width, height, RIGHT)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

/// The pixel column of a share in per cent.
fn column(plot: Rect, percent: f64) -> i32 {
    plot.x + round(percent.clamp(0.0, 100.0) / 100.0 * f64::from((plot.w - 1).max(0)))
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &OnePlot,
) -> Result<(), RenderError> {
    let (faces, plot) = (&layout.faces, layout.plot);
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    if picture.curve.is_empty() {
        pen.frame(plot, GRID)?;
        let at = (plot.x + plot.w / 2, plot.y + (plot.h - faces.line()) / 2);
        let text = faces.plain.fit("nothing was accessed", plot.w);
        return pen.text(&text, faces.plain, GREY_INK, at, HPos::Center);
    }
    let mut x = layout.key.x;
    x = key_entry(pen, faces, (x, layout.key.y), TOUCHED, "most in one aggregation")?;
    x = key_entry(pen, faces, (x, layout.key.y), EXPECTED, "mean")?;
    let values = picture.curve.iter().map(|point| point.most).chain(picture.fast_size);
    let most = picture.curve.iter().map(|point| point.most).fold(1.0, f64::max);
    // A tier that is much larger than all that is needed would flatten the rest.
    let top = byte_scale(pen, faces, plot, values.fold(1.0, f64::max).min(2.0 * most))?;
    let ticks: Vec<Tick> = (0..=10)
        .map(|tenth| Tick {
            x: column(plot, f64::from(tenth) * 10.0),
            label: format!("{} %", tenth * 10),
        })
        .collect();
    for tick in &ticks {
        pen.down(tick.x, plot.y, plot.bottom(), GRID)?;
    }
    let path = |value: &dyn Fn(&CurvePoint) -> f64| -> Vec<(i32, i32)> {
        let begin = (plot.x, plot.bottom() - 1);
        let points = picture.curve.iter();
        let points = points.map(|p| (column(plot, p.percent), height_at(plot, top, value(p))));
        [begin].into_iter().chain(points).collect()
    };
    let (upper, lower) = (path(&|point| point.most), path(&|point| point.mean));
    let lines = [upper, lower];
    shade(pen, plot, &lines)?;
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    for (line, colour) in lines.iter().zip([TOUCHED, EXPECTED]).rev() {
        pen.path(line, colour, stroke)?;
    }
    if let Some(size) = picture.fast_size.filter(|size| *size <= top) {
        key_entry(pen, faces, (x, layout.key.y), SIZE, "fast tier")?;
        let y = height_at(plot, top, size);
        for x in (plot.x..plot.right()).step_by(8) {
            pen.fill(Rect::new(x, y, 5.min(plot.right() - x), 1), SIZE)?;
        }
    }
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)?;
    let below = Rect::new(plot.x, plot.bottom(), plot.w, faces.line() + 5);
    let limits = (plot.x - 4 * faces.advance(), plot.right() + 3 * faces.advance());
    time_axis(pen, faces, below, &ticks, limits)?;
    let caption = "share of all accesses that this much of the hottest memory serves";
    let caption = faces.plain.fit(caption, plot.w);
    let at = (plot.x + plot.w / 2, below.bottom());
    pen.text(&caption, faces.plain, GREY_INK, at, HPos::Center)
}
