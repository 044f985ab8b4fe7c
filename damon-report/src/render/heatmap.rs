//! The heatmap picture: heat over time and address, the working set below it on the same time axis.
//!
//! ```
//! use damon_report::render::{Extras, heatmap};
//! // 1. Ask how many cells the picture shows, 2. let the analysis bin exactly to them, 3. draw.
//! let bands = [0x1000..0x9000, 0x7f00_0000_0000..0x7f00_0100_0000];
//! let grid = heatmap::grid(1200, 800, &bands, Extras::default())?;
//! assert_eq!(grid.rows.len(), 2);
//! # Ok::<(), damon_report::render::RenderError>(())
//! ```

use damon_format::{AccessKind, Mark};
use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;
use std::ops::Range;

use crate::analysis::cells::Cell;
use crate::analysis::heat::Heatmap;
use crate::analysis::samples::Samples;
use crate::analysis::wss::ResidentSample;

use super::address_axis;
use super::cells::Painter;
use super::colour::{ColourMap, FRAME, GREY_INK, GRID, INK};
use super::furniture::{Tick, headings, on_png, tick_labels, ticks, time_axis, to_svg};
use super::layout::{Extras, Faces, Grid, Layout, Rect};
use super::legend;
use super::lines::{Lines, byte_scale, line_key};
use super::num::count;
use super::pen::Pen;
use super::series::TimeSpan;
use super::text::clean;
use super::{Look, RenderError};
use super::{marginal, marks, names};

/// Everything a heatmap picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The cells; best with the sizes [`grid`] asks for.
    pub heatmap: &'a Heatmap,
    /// The working set over the same time; may be empty.
    pub working_set: &'a Samples,
    /// Resident memory over the same time; may be empty.
    pub resident: &'a [ResidentSample],
    /// What: command, pid, duration.
    pub title: &'a str,
    /// How: backend, access kind, granularity, intervals.
    pub subtitle: &'a str,
    /// Which accesses were seen.
    pub access: AccessKind,
    /// Zero of the time axis, `CLOCK_MONOTONIC` nanoseconds: the start of the recording.
    pub origin_ns: u64,
    /// Samples a second, if all of the recording has as many: what a rate of 100 % means.
    pub samples_per_second: Option<f64>,
    /// Moments that the user named, ascending; may be empty.
    pub marks: &'a [Mark],
    /// The heat of each band's rows over all the time ([`Heatmap::marginal`]); ranks names, too.
    pub marginal: &'a [Vec<Cell>],
    /// Whether it is drawn beside the map, if there is room.
    pub show_marginal: bool,
    /// How rates become colours.
    pub look: &'a Look,
}

impl Picture<'_> {
    pub(super) fn span(&self) -> TimeSpan {
        TimeSpan { start_ns: self.heatmap.start_ns, end_ns: self.heatmap.end_ns }
    }

    fn address_ranges(&self) -> Vec<Range<u64>> {
        self.heatmap.bands.iter().map(|b| b.start..b.end).collect()
    }

    fn layout(&self, width: u32, height: u32) -> Result<Layout, RenderError> {
        Layout::new(width, height, &self.address_ranges(), self.extras())
    }

    pub(super) fn extras(&self) -> Extras {
        let bands = self.heatmap.bands.iter().map(|b| (b.start..b.end, b.mappings.as_slice()));
        Extras { marks: !self.marks.is_empty(), marginal: self.show_marginal, names: 0 }
            .with_names(&bands.collect::<Vec<_>>())
    }

    /// What 100 % means, the longest words first.
    pub(super) fn meanings(&self) -> [String; 4] {
        let which = self.look.which();
        let words = match self.access {
            AccessKind::ReadWrite => [
                "share of samples that found the page accessed (read or written)",
                "share of samples that found the page accessed",
                if which.is_empty() {
                    "accessed, share of samples"
                } else {
                    "share of samples accessed"
                },
                "access rate",
            ],
            AccessKind::Write => [
                "share of samples that found the page written (reads are invisible)",
                "share of samples that found the page written",
                if which.is_empty() {
                    "written, share of samples"
                } else {
                    "share of samples written"
                },
                "write rate",
            ],
        };
        words.map(|words| format!("{which}{words}"))
    }

    /// What 100 % means, as short as `characters` demand; nothing where that is too short.
    pub(super) fn meaning(&self, characters: usize) -> String {
        self.meanings().into_iter().find(|w| w.len() <= characters).unwrap_or_default()
    }

    /// What 100 % is in accesses a second, if there is room after the meaning: more than one between two samples cannot
    /// be told from one.
    pub(super) fn looks(&self, characters: usize) -> String {
        let Some(rate) = self.samples_per_second.filter(|rate| *rate > 0.0) else {
            return String::new();
        };
        let text = format!("; 100 % = {}/s or more", plain_number(rate));
        let used = self.meaning(characters).len();
        if used > 0 && used + text.len() <= characters { text } else { String::new() }
    }
}

/// Two digits that matter, and no zeros after the point.
fn plain_number(value: f64) -> String {
    let text = if value >= 9.95 { format!("{value:.0}") } else { format!("{value:.1}") };
    text.trim_end_matches(".0").to_owned()
}

/// How many time columns, and how many rows of each band (address ranges, ascending), a picture of this size shows
/// at one cell per pixel. Analysis that bins to this grid loses nothing to resampling.
pub fn grid(
    width: u32,
    height: u32,
    bands: &[Range<u64>],
    extras: Extras,
) -> Result<Grid, RenderError> {
    Ok(Layout::new(width, height, bands, extras)?.grid())
}

/// So many bands can be told apart in a picture of this size; with more of them, the analysis should leave small gaps
/// in (as cells that were not monitored) rather than start a new band at each.
pub fn max_bands(width: u32, height: u32) -> Result<usize, RenderError> {
    Ok(Layout::new(width, height, &[], Extras::default())?.max_bands())
}

/// So many bands can be read in a picture of this size; beyond that, what hardly matters had better be left out.
pub fn readable_bands(width: u32, height: u32) -> Result<usize, RenderError> {
    Ok(Layout::new(width, height, &[], Extras::default())?.readable_bands())
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn heatmap_png(picture: &Picture<'_>, width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let layout = picture.layout(width, height)?;
    let colours = ColourMap::new(picture.look);
    // Canvas and map in one go: the map is most of it.
    let page = painter(picture, &layout, &colours).page((width, height));
    on_png(page, (width, height), |pen| draw(pen, picture, &layout, &colours, |_| Ok(())))
}

/// The picture as SVG; cells are an embedded PNG, everything else are vectors and text.
pub fn heatmap_svg(picture: &Picture<'_>, width: u32, height: u32) -> Result<String, RenderError> {
    let layout = picture.layout(width, height)?;
    let colours = ColourMap::new(picture.look);
    let map = painter(picture, &layout, &colours).map();
    to_svg(width, height, picture.title, |pen| {
        draw(pen, picture, &layout, &colours, |pen| pen.image(layout.map, &map))
    })
}

fn painter<'a>(
    picture: &Picture<'a>,
    layout: &'a Layout,
    colours: &'a ColourMap<'a>,
) -> Painter<'a> {
    Painter { heatmap: picture.heatmap, layout, colours, hatch_scale: hatch_scale(&layout.faces) }
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
    colours: &ColourMap<'_>,
    map: impl FnOnce(&mut Pen<B>) -> Result<(), RenderError>,
) -> Result<(), RenderError> {
    let faces = &layout.faces;
    let title = (picture.title, layout.title);
    let subtitle = (picture.subtitle, layout.subtitle);
    headings(pen, faces, title, subtitle)?;
    if picture.heatmap.bands.is_empty() {
        draw_nothing(pen, layout)?;
    } else {
        map(pen)?;
    }
    address_axis::draw(pen, picture.heatmap, layout)?;
    names::draw(pen, picture, layout)?;
    marginal::draw(pen, picture, layout)?;
    let ticks = ticks(picture.span(), picture.origin_ns, layout.map, faces);
    draw_panel(pen, picture, layout, &ticks)?;
    marks::draw(pen, picture, layout)?;
    let limits = (layout.map.x - 4 * faces.advance(), layout.map.right() + 3 * faces.advance());
    let limits = (limits.0, limits.1.min(layout.canvas.right()));
    time_axis(pen, faces, layout.time_axis, &ticks, limits)?;
    let says_since = axis_unit(pen, layout, &ticks, limits)?;
    legend::draw(pen, picture, layout, colours, says_since)
}

/// In place of a map without bands.
fn draw_nothing<B: DrawingBackend>(pen: &mut Pen<B>, layout: &Layout) -> Result<(), RenderError> {
    let faces = &layout.faces;
    pen.frame(layout.map, GRID)?;
    let middle = layout.map.y + layout.map.h / 2 - faces.line() / 2;
    let text = faces.plain.fit("no memory was monitored", layout.map.w);
    let x = layout.map.x + layout.map.w / 2;
    pen.text(&text, faces.plain, GREY_INK, (x, middle), HPos::Center)
}

/// Width of the hatching's lines, growing with the letters.
pub(super) fn hatch_scale(faces: &Faces) -> usize {
    count(faces.line() / 16).max(1)
}

fn draw_panel<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
    ticks: &[Tick],
) -> Result<(), RenderError> {
    let (plot, faces) = (layout.panel, &layout.faces);
    for tick in ticks.iter().filter(|_| !plot.is_empty()) {
        pen.down(tick.x, layout.map.bottom(), layout.map.bottom() + 4, FRAME)?;
        pen.down(tick.x, plot.y, plot.bottom(), GRID)?;
    }
    if plot.is_empty() {
        return Ok(());
    }
    let lines = Lines::new(picture.span(), plot.w, picture.working_set, picture.resident);
    if lines.is_empty() {
        let at = (layout.panel_heading.x, layout.panel_heading.y);
        pen.text("working set", faces.bold, INK, at, HPos::Left)?;
        pen.frame(plot, GRID)?;
        let at = (plot.x + plot.w / 2, plot.y + (plot.h - faces.line()) / 2);
        let text = faces.plain.fit("no samples in this time", plot.w);
        return pen.text(&text, faces.plain, GREY_INK, at, HPos::Center);
    }
    line_key(pen, faces, layout.panel_heading, "working set", &lines)?;
    let top = byte_scale(pen, faces, plot, lines.greatest)?;
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    lines.draw(pen, plot, top, stroke)?;
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)
}

/// What the time axis counts.
pub(super) const SINCE: &str = "since the recording began";

/// Says what the time axis counts, where the labels leave room for it, and whether they do.
fn axis_unit<B: DrawingBackend>(
    pen: &mut Pen<B>,
    layout: &Layout,
    ticks: &[Tick],
    limits: (i32, i32),
) -> Result<bool, RenderError> {
    let faces = &layout.faces;
    let axis = layout.time_axis;
    let labels = tick_labels(ticks, faces, limits);
    let used = labels.last().map_or(axis.x, |(x, label)| x + faces.plain.width(label));
    let start = used.max(axis.right()) + 2 * faces.advance();
    if start + faces.plain.width(SINCE) <= layout.canvas.right() - layout.faces.advance() {
        pen.text(SINCE, faces.plain, GREY_INK, (start, axis.y + 5), HPos::Left)?;
        return Ok(true);
    }
    Ok(false)
}

/// The area right of the plots as one rectangle with a title for screen readers: texts are cleaned here.
pub(super) fn label_text(name: &str) -> String {
    if name.is_empty() { "anon".to_owned() } else { clean(name) }
}

/// The rectangle rows of an address range inside a band.
pub(super) fn extent(area: Rect, band: &Range<u64>, range: &Range<u64>) -> (i32, i32) {
    use super::num::{float, round};
    let size = float(band.end.saturating_sub(band.start).max(1));
    let place = |address: u64| {
        let offset = float(address.clamp(band.start, band.end.max(band.start)) - band.start);
        area.bottom() - round(offset / size * f64::from(area.h))
    };
    (place(range.end), place(range.start))
}
