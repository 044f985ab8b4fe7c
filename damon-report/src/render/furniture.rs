//! What several pictures share: canvases, titles, the time axis.

use plotters::backend::BitMapBackend;
use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;
use rayon::prelude::*;

use super::RenderError;
use super::colour::{FRAME, GREY_INK, INK, PAGE};
use super::layout::{Faces, Rect, checked_size};
use super::num::{count, size};
use super::pen::Pen;
use super::png;
use super::series::TimeSpan;
use super::svg::Svg;
use super::text::Lettered;
use super::units::time_ticks;

/// Draws on a fresh RGB canvas and encodes it.
pub(super) fn to_png(
    width: u32,
    height: u32,
    draw: impl FnOnce(&mut Pen<Lettered<BitMapBackend<'_>>>) -> Result<(), RenderError>,
) -> Result<Vec<u8>, RenderError> {
    let (w, h) = checked_size(width, height)?;
    // By all threads: the first to touch new memory waits for it.
    let mut pixels = vec![0; count(w) * count(h) * 3];
    pixels.par_chunks_mut(1 << 18).for_each(|part| part.fill(255));
    on_png(pixels, (width, height), draw)
}

/// Draws on an RGB canvas on which something is already, and encodes it.
pub(super) fn on_png(
    mut pixels: Vec<u8>,
    (width, height): (u32, u32),
    draw: impl FnOnce(&mut Pen<Lettered<BitMapBackend<'_>>>) -> Result<(), RenderError>,
) -> Result<Vec<u8>, RenderError> {
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
            Some(Tick { x: area.x + x, label: tick.label })
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
