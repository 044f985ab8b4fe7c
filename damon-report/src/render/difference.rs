//! What became hotter and what colder: two groups of recordings laid over each other, mapping by mapping, with their expected
//! working sets below.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;
use rayon::prelude::*;
use std::ops::Range;

use crate::analysis::compare::{DifferenceBand, DifferenceMap, Pair};

use super::RenderError;
use super::cells::{covered, hatch};
use super::colour::{FRAME, GREY_INK, GRID, INK, Rgb};
use super::diverging::Diverging;
use super::furniture::{Tick, headings, time_axis, to_png, to_svg};
use super::heatmap::hatch_scale;
use super::layout::{Faces, Rect, Sheet};
use super::lines::{byte_scale, key_entry};
use super::mapping_bars::fit_name;
use super::num::{coord, count, float, float_of, round};
use super::pen::Pen;
use super::series::height_at;
use super::text::clean;
use super::units::{bytes, short_percent, time_ticks};

/// The working set of the base.
const BASE: Rgb = (40, 96, 168);
/// The working set of the new side.
const NEW: Rgb = (200, 90, 30);
/// Lines over what only one side has.
const ONE_SIDE: Rgb = (120, 126, 132);

/// Everything the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The numbers.
    pub map: &'a DifferenceMap,
    /// What was compared.
    pub title: &'a str,
    /// How it was recorded.
    pub subtitle: &'a str,
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn difference_png(
    picture: &Picture<'_>,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, RenderError> {
    let layout = Layout::new(width, height)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG; cells are an embedded PNG, everything else are vectors and text.
pub fn difference_svg(
    picture: &Picture<'_>,
    width: u32,
    height: u32,
) -> Result<String, RenderError> {
    let layout = Layout::new(width, height)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

/// Geometry in pixels.
#[derive(Debug)]
struct Layout {
    faces: Faces,
    title: Rect,
    subtitle: Rect,
    map: Rect,
    /// Empty where there is no room.
    names: Rect,
    key: Rect,
    panel: Rect,
    axis: Rect,
    legend: Rect,
    right: i32,
}

impl Layout {
    fn new(width: u32, height: u32) -> Result<Self, RenderError> {
        let Sheet { w, h, faces, margin, title, subtitle } = Sheet::new(width, height)?;
        let (line, advance) = (faces.line(), faces.advance());
        let legend = Rect::new(margin, h - margin / 2 - line - 1, w - 2 * margin, line);
        let axis_top = legend.y - line / 2 - (line + 5);
        let left = margin + 10 * advance;
        let names = if w >= 70 * advance { w * 28 / 100 } else { 0 };
        let plot = w - margin - names - left;
        let top = subtitle.bottom() + line / 2;
        let panel_height = if h >= 20 * line { ((axis_top - top) / 5).max(3 * line) } else { 0 };
        let panel = Rect::new(left, axis_top - panel_height, plot, panel_height);
        let heading = if panel_height > 0 { line * 7 / 4 } else { 0 };
        let key = Rect::new(left, panel.y - line - line / 4, plot, heading.min(line));
        let map = Rect::new(left, top, plot, panel.y - heading - top);
        let beside = map.right() + 2 * advance;
        Ok(Self {
            names: Rect::new(beside, map.y, names - 2 * advance, map.h),
            axis: Rect::new(left, axis_top, plot, line + 5),
            right: w - margin,
            faces,
            title,
            subtitle,
            map,
            key,
            panel,
            legend,
        })
    }
}

/// Where each band goes, top-down: a line of text at least, and the rest by the square root of sizes, so that a large mapping
/// does not hide all others. What finds no room is left out.
fn stack(map: Rect, bands: &[DifferenceBand], line: i32) -> Vec<Rect> {
    let gap = (line / 3).max(2);
    let least = line + 2;
    let room = count((map.h + gap) / (least + gap).max(1));
    let shown = bands.get(..room).unwrap_or(bands);
    let gaps = gap * (coord(shown.len()) - 1).max(0);
    let spare = map.h - gaps - least * coord(shown.len());
    let weight = |band: &DifferenceBand| float(band.size).sqrt();
    let all: f64 = shown.iter().map(weight).sum::<f64>().max(1.0);
    let mut y = map.y;
    let place = |band: &DifferenceBand| {
        let extra = (f64::from(spare.max(0)) * weight(band) / all).floor();
        let area = Rect::new(map.x, y, map.w, least + round(extra));
        y = area.bottom() + gap;
        area
    };
    shown.iter().map(place).collect()
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
) -> Result<(), RenderError> {
    let (faces, map) = (&layout.faces, picture.map);
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    let colours = Diverging::new();
    let line = faces.line();
    let areas = stack(layout.map, &map.bands, line);
    if areas.is_empty() {
        pen.frame(layout.map, GRID)?;
        let text =
            faces.plain.fit("no mapping is known whose heat could be compared", layout.map.w);
        let at = (layout.map.x + layout.map.w / 2, layout.map.y + (layout.map.h - line) / 2);
        pen.text(&text, faces.plain, GREY_INK, at, HPos::Center)?;
    }
    for (band, area) in map.bands.iter().zip(&areas) {
        pen.image(*area, &paint(band, map, *area, &colours, hatch_scale(faces)))?;
        pen.frame(Rect::new(area.x - 1, area.y - 1, area.w + 2, area.h + 2), GRID)?;
        label(pen, band, *area, layout)?;
    }
    left_out(pen, map, areas.len(), layout)?;
    panel(pen, map, layout)?;
    axis(pen, map, layout)?;
    legend(pen, map, layout, &colours)
}

/// RGB pixels of a band, the highest address first. Of several cells in a pixel the one that changed most is shown.
fn paint(
    band: &DifferenceBand,
    map: &DifferenceMap,
    area: Rect,
    colours: &Diverging,
    scale: usize,
) -> Vec<u8> {
    let (width, height) = (count(area.w), count(area.h));
    let columns: Vec<Range<usize>> = (0..width).map(|x| covered(x, width, map.columns)).collect();
    let mut rgb = vec![0; width.saturating_mul(height).saturating_mul(3)];
    let lines = rgb.par_chunks_exact_mut(width.saturating_mul(3).max(1)).enumerate();
    lines.for_each(|(y, line)| {
        let rows = covered(height - 1 - y, height, band.rows);
        for ((x, columns), pixel) in columns.iter().enumerate().zip(line.chunks_exact_mut(3)) {
            let pair = strongest(band, map.columns, &rows, columns);
            let (left, top) = (count(area.x) + x, count(area.y) + y);
            let (r, g, b) = match pair.change() {
                None => hatch(left, top, scale),
                Some(_) if is_line(pair, (left, top), scale) => ONE_SIDE,
                Some(change) => colours.colour(change / map.scale.max(f64::MIN_POSITIVE)),
            };
            pixel.copy_from_slice(&[r, g, b]);
        }
    });
    rgb
}

/// Whether a pixel is on a line over what is on one side only: lying ones for the new side, standing ones for the base.
fn is_line(pair: Pair, (x, y): (usize, usize), scale: usize) -> bool {
    let period = 5 * scale.max(1);
    match (pair.base, pair.new) {
        (None, Some(_)) => y % period < scale.max(1),
        (Some(_), None) => x % period < scale.max(1),
        _ => false,
    }
}

fn strongest(
    band: &DifferenceBand,
    width: usize,
    rows: &Range<usize>,
    columns: &Range<usize>,
) -> Pair {
    let mut found = Pair::default();
    let mut most = -1.0;
    for row in rows.clone() {
        let begin = row.saturating_mul(width);
        let cells = begin.saturating_add(columns.start)..begin.saturating_add(columns.end);
        for pair in band.cells.get(cells).unwrap_or_default() {
            let change = pair.change().map_or(-0.5, f64::abs);
            if change > most {
                (found, most) = (*pair, change);
            }
        }
    }
    found
}

/// Its size left of a band and its name right of it.
fn label<B: DrawingBackend>(
    pen: &mut Pen<B>,
    band: &DifferenceBand,
    area: Rect,
    layout: &Layout,
) -> Result<(), RenderError> {
    let faces = &layout.faces;
    let y = area.y + (area.h - faces.line()) / 2;
    let at = (area.x - faces.advance(), y);
    pen.text(&bytes(band.size), faces.plain, GREY_INK, at, HPos::Right)?;
    if layout.names.is_empty() {
        return Ok(());
    }
    let which = match (band.base, band.new) {
        (0, _) => " (new only)",
        (_, 0) => " (base only)",
        _ => "",
    };
    let room = count(layout.names.w / faces.advance().max(1)).saturating_sub(which.len());
    let name = format!("{}{which}", fit_name(&clean(&band.label), room));
    pen.text(&name, faces.plain, INK, (layout.names.x, y), HPos::Left)
}

/// How many mappings found no room.
fn left_out<B: DrawingBackend>(
    pen: &mut Pen<B>,
    map: &DifferenceMap,
    shown: usize,
    layout: &Layout,
) -> Result<(), RenderError> {
    let more = map.bands.len().saturating_sub(shown).saturating_add(map.others);
    if more == 0 || layout.names.is_empty() || layout.panel.is_empty() {
        return Ok(());
    }
    let text = format!("{more} more changed less");
    let text = layout.faces.plain.fit(&text, layout.names.w);
    pen.text(&text, layout.faces.plain, GREY_INK, (layout.names.x, layout.key.y), HPos::Left)
}

/// Expected working sets over the same columns.
fn panel<B: DrawingBackend>(
    pen: &mut Pen<B>,
    map: &DifferenceMap,
    layout: &Layout,
) -> Result<(), RenderError> {
    let (plot, faces) = (layout.panel, &layout.faces);
    if plot.is_empty() {
        return Ok(());
    }
    let at = (layout.key.x, layout.key.y);
    let heading = "expected working set";
    pen.text(heading, faces.bold, INK, at, HPos::Left)?;
    let mut x = at.0 + faces.bold.width(heading) + 3 * faces.advance();
    for (name, colour) in [("base", BASE), ("new", NEW)] {
        if x + faces.plain.width(name) + 4 * faces.advance() <= layout.key.right() {
            x = key_entry(pen, faces, (x, at.1), colour, name)?;
        }
    }
    let all = map.base.iter().chain(&map.new).flatten();
    let top = byte_scale(pen, faces, plot, all.copied().fold(1.0, f64::max))?;
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1).saturating_add(1);
    for (values, colour) in [(&map.base, BASE), (&map.new, NEW)] {
        let mut path: Vec<(i32, i32)> = Vec::new();
        for (column, value) in values.iter().enumerate() {
            let Some(value) = value else {
                pen_path(pen, &mut path, colour, stroke)?;
                continue;
            };
            let y = height_at(plot, top, *value);
            path.push((edge(plot, column, map.columns), y));
            path.push((edge(plot, column + 1, map.columns) - 1, y));
        }
        pen_path(pen, &mut path, colour, stroke)?;
    }
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)
}

fn pen_path<B: DrawingBackend>(
    pen: &mut Pen<B>,
    path: &mut Vec<(i32, i32)>,
    colour: Rgb,
    stroke: u32,
) -> Result<(), RenderError> {
    let points = std::mem::take(path);
    if points.is_empty() { Ok(()) } else { pen.path(&points, colour, stroke) }
}

/// The pixel at which a column begins.
fn edge(plot: Rect, column: usize, columns: usize) -> i32 {
    plot.x + round(f64::from(plot.w) * float_of(column) / float_of(columns.max(1)))
}

/// Progress in per cent, time, or the names of phases.
fn axis<B: DrawingBackend>(
    pen: &mut Pen<B>,
    map: &DifferenceMap,
    layout: &Layout,
) -> Result<(), RenderError> {
    let (faces, axis) = (&layout.faces, layout.axis);
    let limits = (axis.x - 4 * faces.advance(), layout.right);
    let names = map.phases.iter().filter_map(|(name, columns)| Some((name.as_ref()?, columns)));
    let mut named = false;
    for (name, columns) in names {
        named = true;
        let (from, to) =
            (edge(axis, columns.start, map.columns), edge(axis, columns.end, map.columns));
        pen.down(from, layout.map.y, layout.map.bottom(), FRAME)?;
        pen.down(from, layout.panel.y, axis.y + 4, FRAME)?;
        let text = faces.plain.fit(&clean(name), to - from - faces.advance());
        let at = (from + faces.advance() / 2, axis.y + 5);
        pen.text(&text, faces.plain, INK, at, HPos::Left)?;
    }
    if named {
        return Ok(());
    }
    let ticks: Vec<Tick> = match map.length_ns {
        Some(length) => {
            let room = count(axis.w / (11 * faces.advance()).max(1)).max(1);
            let ticks = time_ticks(0, 0, length, room).into_iter();
            let place = |offset: i128| {
                let offset = float(u64::try_from(offset).unwrap_or(0));
                axis.x + round(offset / float(length.max(1)) * f64::from(axis.w - 1))
            };
            ticks.map(|tick| Tick { x: place(tick.offset_ns), label: tick.label }).collect()
        }
        None => (0..=4_i32)
            .map(|quarter| Tick {
                x: axis.x + (axis.w - 1) * quarter / 4,
                label: format!("{} %", quarter * 25),
            })
            .collect(),
    };
    time_axis(pen, faces, axis, &ticks, limits)?;
    let text = if map.length_ns.is_some() { "since the start" } else { "progress" };
    if !layout.names.is_empty() {
        let at = (layout.names.x + 4 * faces.advance(), axis.y + 5);
        pen.text(text, faces.plain, GREY_INK, at, HPos::Left)?;
    }
    Ok(())
}

fn legend<B: DrawingBackend>(
    pen: &mut Pen<B>,
    map: &DifferenceMap,
    layout: &Layout,
    colours: &Diverging,
) -> Result<(), RenderError> {
    let (area, faces) = (layout.legend, &layout.faces);
    let (line, advance) = (faces.line(), faces.advance());
    let height = line * 3 / 4;
    let top = area.y + (line - height) / 2;
    let mut x = area.x;
    let put = |pen: &mut Pen<B>, x: i32, text: &str| -> Result<i32, RenderError> {
        let text = faces.plain.fit(text, area.right() - x);
        pen.text(&text, faces.plain, INK, (x, area.y), HPos::Left)?;
        Ok(x + faces.plain.width(&text) + advance)
    };
    let end = short_percent(map.scale * 100.0);
    x = put(pen, x, &format!("-{end}"))?;
    let bar = Rect::new(x, top, (area.w / 5).max(8 * advance), height);
    let last = f64::from((bar.w - 1).max(1));
    let pixels: Vec<u8> = (0..bar.w)
        .flat_map(|x| {
            let (r, g, b) = colours.colour(f64::from(x) / last * 2.0 - 1.0);
            [r, g, b]
        })
        .collect();
    pen.image(bar, &pixels.repeat(count(bar.h)))?;
    outline(pen, bar)?;
    x = put(pen, bar.right() + advance, &format!("+{end}"))?;
    let words = ["change of the access rate, new less base", "change of rate"];
    let samples = [
        ("new only", Pair { base: None, new: Some(0.0) }),
        ("base only", Pair { base: Some(0.0), new: None }),
        ("not monitored", Pair::default()),
    ];
    let needed: i32 =
        samples.iter().map(|(name, _)| 2 * line + 4 * advance + faces.plain.width(name)).sum();
    let room = area.right() - x - needed;
    let meaning = words.into_iter().find(|words| faces.plain.width(words) + 2 * advance <= room);
    if let Some(meaning) = meaning {
        x = put(pen, x, meaning)? + advance;
    }
    for (name, pair) in samples {
        if x + 2 * line + 2 * advance + faces.plain.width(name) > area.right() {
            break;
        }
        let swatch = Rect::new(x, top, 2 * line, height);
        pen.image(swatch, &sample(pair, swatch, colours, hatch_scale(faces)))?;
        outline(pen, swatch)?;
        x = put(pen, swatch.right() + advance, name)? + advance;
    }
    Ok(())
}

/// One cell, as bands show it.
fn sample(pair: Pair, area: Rect, colours: &Diverging, scale: usize) -> Vec<u8> {
    let band = DifferenceBand {
        label: String::new(),
        base: 0,
        new: 0,
        size: 0,
        row_bytes: 0,
        rows: 1,
        cells: vec![pair],
        moved: 0.0,
    };
    let map = DifferenceMap { columns: 1, scale: 1.0, ..DifferenceMap::default() };
    paint(&band, &map, area, colours, scale)
}

fn outline<B: DrawingBackend>(pen: &mut Pen<B>, area: Rect) -> Result<(), RenderError> {
    pen.frame(Rect::new(area.x - 1, area.y - 1, area.w + 2, area.h + 2), FRAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(size: u64, cells: &[(Option<f64>, Option<f64>)]) -> DifferenceBand {
        DifferenceBand {
            label: "[heap]".into(),
            base: 1,
            new: 1,
            size,
            row_bytes: 4096,
            rows: cells.len(),
            cells: cells.iter().map(|(base, new)| Pair { base: *base, new: *new }).collect(),
            moved: 0.0,
        }
    }

    #[test]
    fn each_band_has_a_line_and_large_ones_more() {
        let bands: Vec<DifferenceBand> =
            [1 << 30, 4096, 1 << 20].map(|size| band(size, &[])).into();
        let areas = stack(Rect::new(10, 20, 300, 400), &bands, 16);
        assert_eq!(areas.len(), 3);
        assert!(areas.iter().all(|area| area.h >= 16 && area.bottom() <= 420));
        assert!(areas[0].h > areas[2].h && areas[2].h > areas[1].h);
        assert!(areas.windows(2).all(|pair| pair[0].bottom() < pair[1].y));
        let many: Vec<DifferenceBand> = (0..100).map(|_| band(4096, &[])).collect();
        let areas = stack(Rect::new(10, 20, 300, 400), &many, 16);
        assert!(areas.len() < 100 && areas.last().unwrap().bottom() <= 420);
        assert!(stack(Rect::new(0, 0, 300, 0), &many, 16).is_empty());
    }

    #[test]
    fn more_less_nothing_and_no_data_look_different() {
        let cells =
            [(Some(0.5), Some(0.0)), (Some(0.2), Some(0.2)), (Some(0.0), Some(0.5)), (None, None)];
        let band = band(4 * 4096, &cells);
        let map = DifferenceMap { columns: 1, scale: 0.5, ..DifferenceMap::default() };
        let colours = Diverging::new();
        let rgb = paint(&band, &map, Rect::new(0, 0, 3, 4), &colours, 1);
        let at = |row: usize| (rgb[row * 9], rgb[row * 9 + 1], rgb[row * 9 + 2]);
        // The highest address is on top.
        assert_eq!(at(1), colours.colour(1.0));
        assert_eq!(at(2), colours.colour(0.0));
        assert_eq!(at(3), colours.colour(-1.0));
        assert_ne!(at(0), colours.colour(0.0));
    }

    #[test]
    fn a_small_change_among_many_cells_is_seen() {
        let mut cells = vec![(Some(0.0), Some(0.0)); 1000];
        cells[777] = (Some(0.0), Some(1.0));
        let band = band(1000 * 4096, &cells);
        let map = DifferenceMap { columns: 1, scale: 1.0, ..DifferenceMap::default() };
        let colours = Diverging::new();
        let rgb = paint(&band, &map, Rect::new(0, 0, 1, 10), &colours, 1);
        let hot: Vec<usize> = (0..10)
            .filter(|y| (rgb[y * 3], rgb[y * 3 + 1], rgb[y * 3 + 2]) == colours.colour(1.0))
            .collect();
        assert_eq!(hot, [2]);
    }
}
