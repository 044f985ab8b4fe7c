//! The histogram picture: bytes as bars over bins, accessed ones below idle ones.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::bins::Unit;
use crate::analysis::histogram::{Bin, Histogram, Metric};

use super::RenderError;
use super::colour::{FRAME, GREY_INK, INK, Rgb};
use super::furniture::{headings, to_png, to_svg};
use super::layout::{Faces, Rect, Sheet};
use super::lines::{byte_scale, key_entry};
use super::num::{coord, round_u64};
use super::pen::Pen;
use super::series::height_at;
use super::units::{amount, bytes, short_percent};

/// Accessed bytes.
const ACCESSED: Rgb = (0, 90, 160);
/// Idle bytes.
const IDLE: Rgb = (176, 190, 203);

/// Everything a histogram picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The bins.
    pub histogram: &'a Histogram,
    /// Bars show all bytes up to their upper edge.
    pub cumulative: bool,
    /// What: command, pid, duration.
    pub title: &'a str,
    /// How: backend, access kind, granularity, intervals.
    pub subtitle: &'a str,
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn histogram_png(
    picture: &Picture<'_>,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, RenderError> {
    let layout = HistogramLayout::new(width, height)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn histogram_svg(
    picture: &Picture<'_>,
    width: u32,
    height: u32,
) -> Result<String, RenderError> {
    let layout = HistogramLayout::new(width, height)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

/// Geometry of the picture.
#[derive(Clone, Debug)]
struct HistogramLayout {
    faces: Faces,
    title: Rect,
    subtitle: Rect,
    key: Rect,
    plot: Rect,
}

impl HistogramLayout {
    fn new(width: u32, height: u32) -> Result<Self, RenderError> {
        let Sheet { w, h, faces, margin, title, subtitle } = Sheet::new(width, height)?;
        let (line, advance) = (faces.line(), faces.advance());
        let left = margin + 10 * advance;
        let key = Rect::new(left, subtitle.bottom() + line / 2, w - margin - left, line);
        let top = key.bottom() + line * 5 / 4;
        let bottom = h - margin / 2 - 2 * line - 8;
        let plot = Rect::new(left, top, w - left - margin - 2 * advance, bottom - top);
        Ok(Self { faces, title, subtitle, key, plot })
    }
}

/// A bin with what its bar shows.
struct Bar {
    bin: Bin,
    accessed: f64,
    idle: f64,
    area: Rect,
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &HistogramLayout,
) -> Result<(), RenderError> {
    let (faces, plot) = (&layout.faces, layout.plot);
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    let bars = bars(picture, plot);
    if bars.is_empty() {
        pen.frame(plot, FRAME)?;
        let at = (plot.x + plot.w / 2, plot.y + (plot.h - faces.line()) / 2);
        let text = faces.plain.fit("no bytes of known value in this selection", plot.w);
        return pen.text(&text, faces.plain, GREY_INK, at, HPos::Center);
    }
    key(pen, picture.histogram, layout)?;
    let greatest = bars.iter().map(|bar| bar.accessed + bar.idle).fold(0.0, f64::max);
    // Room for the words above the highest bar.
    let room = f64::from((plot.h - faces.line() - 2).max(plot.h / 2).max(1));
    let greatest = greatest * f64::from(plot.h) / room;
    let top = byte_scale(pen, faces, plot, greatest)?;
    for bar in &bars {
        draw_bar(pen, faces, bar, (plot, top), picture.cumulative)?;
    }
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)?;
    edges(pen, faces, &bars, plot, picture.histogram.unit)?;
    let caption = caption(picture);
    let short = caption.split([':', ',']).next().unwrap_or_default();
    let fits = faces.plain.width(caption) <= plot.w;
    let caption = faces.plain.fit(if fits { caption } else { short }, plot.w);
    let at = (plot.x + plot.w / 2, plot.bottom() + faces.line() + 6);
    pen.text(&caption, faces.plain, GREY_INK, at, HPos::Center)
}

/// The bars from left to right; that of exactly zero stands apart.
fn bars(picture: &Picture<'_>, plot: Rect) -> Vec<Bar> {
    let bins = &picture.histogram.bins;
    // In quarters of a bin: where it begins, with a gap of two quarters on each side of the bin of zero.
    let zero = bins.iter().position(Bin::is_zero).map(|at| i64::from(coord(at)));
    let begin = |i: i64| {
        let before = zero.is_some_and(|zero| zero > 0 && i >= zero);
        let after = zero.is_some_and(|zero| i > zero);
        4 * i + 2 * (i64::from(before) + i64::from(after))
    };
    let quarters = match i64::from(coord(bins.len())) {
        0 => 1,
        n => begin(n - 1) + 4,
    };
    let x_at = |quarter: i64| {
        let offset = i64::from(plot.w) * quarter / quarters;
        plot.x + i32::try_from(offset).unwrap_or(0)
    };
    let (mut accessed, mut idle) = (0.0, 0.0);
    let bar = |(i, bin): (i64, &Bin)| {
        if picture.cumulative {
            accessed += bin.accessed;
            idle += bin.idle;
        } else {
            (accessed, idle) = (bin.accessed, bin.idle);
        }
        let (from, to) = (x_at(begin(i)), x_at(begin(i) + 4));
        let area = Rect::new(from, plot.y, to - from, plot.h);
        Bar { bin: *bin, accessed, idle, area }
    };
    (0..).zip(bins).map(bar).collect()
}

fn draw_bar<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    bar: &Bar,
    (plot, top): (Rect, f64),
    cumulative: bool,
) -> Result<(), RenderError> {
    let sum = bar.accessed + bar.idle;
    // Wide bars stand apart from each other.
    let space = i32::from(bar.area.w >= 4) + i32::from(bar.area.w >= 24);
    let (x, w) = (bar.area.x + space, (bar.area.w - space).max(1));
    // A bar that is there is seen, however low it is.
    let foot = plot.bottom();
    let y_of = |value: f64| height_at(plot, top, value).min(foot - 2);
    let (y_sum, y_accessed) = (y_of(sum), y_of(bar.accessed));
    if bar.idle > 0.0 {
        pen.fill(Rect::new(x, y_sum, w, foot - y_sum), IDLE)?;
    }
    if bar.accessed > 0.0 {
        pen.fill(Rect::new(x, y_accessed, w, foot - y_accessed), ACCESSED)?;
    }
    let share = if cumulative { bar.bin.cumulative } else { bar.bin.share };
    let rounded = match share * 100.0 {
        percent if percent < 0.5 => "<1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    };
    let choices = [short_percent(share * 100.0), rounded];
    let room = bar.area.w - faces.advance() / 2;
    let text = choices.iter().find(|text| faces.plain.width(text) <= room);
    if let Some(text) = text.filter(|_| sum > 0.0) {
        let at = (bar.area.x + bar.area.w / 2, y_sum - faces.line() - 1);
        pen.text(text, faces.plain, INK, at, HPos::Center)?;
    }
    Ok(())
}

/// Marks at the edges of the bins, and labels at as many as do not touch each other.
fn edges<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    bars: &[Bar],
    plot: Rect,
    unit: Unit,
) -> Result<(), RenderError> {
    let has_zero = bars.iter().any(|bar| bar.bin.is_zero());
    let mut places: Vec<(i32, f64)> = Vec::new();
    for bar in bars {
        if bar.bin.is_zero() {
            places.push((bar.area.x + bar.area.w / 2, 0.0));
            continue;
        }
        for (x, value) in [(bar.area.x, bar.bin.from), (bar.area.right(), bar.bin.to)] {
            pen.down(x.min(plot.right() - 1), plot.bottom(), plot.bottom() + 4, FRAME)?;
            // The bin of zero says it for the edges beside it.
            if places.last().is_none_or(|last| last.0 != x) && !(has_zero && value == 0.0) {
                places.push((x, value));
            }
        }
    }
    let limit = plot.right() + 3 * faces.advance();
    let label = |&(x, value): &(i32, f64)| {
        let text = amount(value, unit);
        let width = faces.plain.width(&text);
        ((x - width / 2).min(limit - width), width, text)
    };
    let labels: Vec<(i32, i32, String)> = places.iter().map(label).collect();
    // Every n-th edge has a label, zero among them.
    let zero = places.iter().position(|(_, value)| *value == 0.0).unwrap_or(0);
    let every = |n: usize| labels.iter().skip(zero % n).step_by(n);
    let fits = |n: &usize| {
        let gap = faces.advance();
        every(*n).zip(every(*n).skip(1)).all(|(one, next)| one.0 + one.1 + gap <= next.0)
    };
    let n = (1..=labels.len()).find(fits).unwrap_or(1);
    for (x, _, text) in every(n) {
        pen.text(text, faces.plain, INK, (*x, plot.bottom() + 5), HPos::Left)?;
    }
    Ok(())
}

fn key<B: DrawingBackend>(
    pen: &mut Pen<B>,
    histogram: &Histogram,
    layout: &HistogramLayout,
) -> Result<(), RenderError> {
    let (faces, area) = (&layout.faces, layout.key);
    let sum = |part: fn(&Bin) -> f64| bytes(round_u64(histogram.bins.iter().map(part).sum()));
    let names = |accessed: &str, idle: &str, rest: &str| {
        [accessed.to_owned(), idle.to_owned(), rest.to_owned()]
    };
    let unknown = if histogram.unknown > 0.0 {
        format!("age not known: {}", bytes(round_u64(histogram.unknown)))
    } else {
        String::new()
    };
    let (accessed, idle) = (sum(|b| b.accessed), sum(|b| b.idle));
    let choices = [
        names(
            &format!("accessed, {accessed} on average"),
            &format!("idle, {idle} on average"),
            &unknown,
        ),
        names(&format!("accessed, {accessed}"), &format!("idle, {idle}"), &unknown),
        names("accessed", "idle", ""),
    ];
    let fits = |names: &&[String; 3]| {
        let words: i32 = names.iter().map(|name| faces.plain.width(name)).sum();
        words + 11 * faces.advance() <= area.w
    };
    let Some([accessed, idle, rest]) = choices.iter().find(fits) else {
        return Ok(());
    };
    let x = key_entry(pen, faces, (area.x, area.y), ACCESSED, accessed)?;
    let x = key_entry(pen, faces, (x, area.y), IDLE, idle)?;
    pen.text(rest, faces.plain, GREY_INK, (x, area.y), HPos::Left)
}

fn caption(picture: &Picture<'_>) -> &'static str {
    match (picture.histogram.metric, picture.cumulative) {
        (Metric::Rate, false) => "access rate: samples that were positive",
        (Metric::Rate, true) => "access rate, and all lower ones",
        (Metric::Age, false) => "age: time since the accesses last changed",
        (Metric::Age, true) => "age, and all lower ones",
        (Metric::Size, false) => "size of the region",
        (Metric::Size, true) => "size of the region, and all smaller ones",
        (Metric::Temperature, false) => match picture.histogram.unit {
            Unit::Number => "temperature: weighted size, access rate and age, idle below zero",
            _ => "temperature: time in use, idle time below zero",
        },
        (Metric::Temperature, true) => "temperature, and all lower ones",
    }
}
