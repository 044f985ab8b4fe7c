//! Where things go: pure geometry in pixels, no drawing.
//!
//! The layout depends on the canvas and on the address ranges of the bands only, so that the analysis can
//! ask first ([`Grid`]) and bin exactly one cell per pixel.

use std::ops::Range;

use crate::analysis::heat::NamedRange;

use super::RenderError;
use super::names::full_caption;
use super::num::{coord, count, float, round};
use super::text::Face;

/// Narrowest picture.
pub const MIN_WIDTH: u32 = 320;
/// Lowest picture.
pub const MIN_HEIGHT: u32 = 200;
/// Largest width and height.
pub const MAX_SIDE: u32 = 10_000;

/// How many cells a picture can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Time columns.
    pub columns: usize,
    /// Address rows of each band, in the order of the bands.
    pub rows: Vec<usize>,
}

/// What a picture has room for beside the map, if there is something to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Names of moments above the map.
    pub marks: bool,
    /// The mean of each row right of the map.
    pub marginal: bool,
    /// Characters of the longest name beside the map; 0 leaves no room for names.
    pub names: usize,
}

impl Extras {
    /// With room for the names of these bands' mappings. What is but a line in the picture has to do with what the others
    /// need, or with a few characters.
    #[must_use]
    pub fn with_names(self, bands: &[(Range<u64>, &[NamedRange])]) -> Self {
        const SHORT: usize = 16;
        let bytes = |range: &Range<u64>| range.end.saturating_sub(range.start);
        let all = bands.iter().fold(0, |sum: u64, (range, _)| sum.saturating_add(bytes(range)));
        let names = bands.iter().flat_map(|(band, mappings)| {
            let least = (bytes(band) / 8).min(all / 100);
            mappings.iter().map(move |mapping| {
                let length = full_caption(mapping).chars().count();
                let is_area = mapping.end.saturating_sub(mapping.start) >= least;
                if is_area || mappings.len() == 1 { length } else { length.min(SHORT) }
            })
        });
        Self { names: names.max().unwrap_or(0), ..self }
    }
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) w: i32,
    pub(super) h: i32,
}

impl Rect {
    pub(super) fn new(x: i32, y: i32, w: i32, h: i32) -> Self {
        Self { x, y, w, h }
    }

    /// One past the last column.
    pub(super) fn right(&self) -> i32 {
        self.x + self.w
    }

    /// One past the last row.
    pub(super) fn bottom(&self) -> i32 {
        self.y + self.h
    }

    pub(super) fn is_empty(&self) -> bool {
        self.w <= 0 || self.h <= 0
    }
}

/// The faces of a picture, by its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faces {
    pub(super) plain: Face,
    pub(super) bold: Face,
    pub(super) title: Face,
}

impl Faces {
    pub(super) fn new(width: i32, height: i32) -> Self {
        let pixels = match (width / 4).min(height / 3) {
            i32::MIN..=399 => 16,
            400..=599 => 20,
            600..=799 => 24,
            _ => 32,
        };
        let title = if width < 640 { pixels } else { pixels + 4 };
        Self {
            plain: Face::new(pixels, false),
            bold: Face::new(pixels, true),
            title: Face::new(title, true),
        }
    }

    pub(super) fn line(&self) -> i32 {
        self.plain.line()
    }

    pub(super) fn advance(&self) -> i32 {
        self.plain.advance()
    }
}

pub(super) fn checked_size(width: u32, height: u32) -> Result<(i32, i32), RenderError> {
    let fits = |value: u32, min: u32| (min..=MAX_SIDE).contains(&value);
    match (i32::try_from(width), i32::try_from(height)) {
        (Ok(w), Ok(h)) if fits(width, MIN_WIDTH) && fits(height, MIN_HEIGHT) => Ok((w, h)),
        _ => Err(RenderError::Size { width, height }),
    }
}

/// An address as it is written on the axis.
pub(super) fn address(value: u64) -> String {
    format!("{value:#x}")
}

/// What all pictures begin with: the size that was asked for, faces that fit it, a margin, a title and a subtitle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sheet {
    pub(super) w: i32,
    pub(super) h: i32,
    pub(super) faces: Faces,
    /// Pixels left and right of everything.
    pub(super) margin: i32,
    pub(super) title: Rect,
    /// Empty when there is no room.
    pub(super) subtitle: Rect,
}

impl Sheet {
    pub(super) fn new(width: u32, height: u32) -> Result<Self, RenderError> {
        let (w, h) = checked_size(width, height)?;
        let faces = Faces::new(w, h);
        let (line, advance) = (faces.line(), faces.advance());
        let margin = if w < 640 { advance } else { 2 * advance };
        let inner = w - 2 * margin;
        let title = Rect::new(margin, margin / 2 + 2, inner, faces.title.line());
        let subtitle_height = if h >= 15 * line { line + 2 } else { 0 };
        let subtitle = Rect::new(margin, title.bottom(), inner, subtitle_height);
        Ok(Self { w, h, faces, margin, title, subtitle })
    }
}

/// Geometry of a heatmap picture.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) canvas: Rect,
    pub(super) faces: Faces,
    /// Where the title may be written.
    pub(super) title: Rect,
    /// Where the subtitle may be written; empty when there is no room.
    pub(super) subtitle: Rect,
    /// The heatmap with all bands and gaps.
    pub(super) map: Rect,
    /// One rectangle per band, in the order of the bands: the first (lowest addresses) is at the bottom.
    pub(super) bands: Vec<Rect>,
    /// Height of the mark between two bands.
    pub(super) gap: i32,
    /// Names of moments; empty without marks.
    pub(super) marks: Rect,
    /// The mean of each row; empty when there is no room for it.
    pub(super) marginal: Rect,
    /// Room for names right of the map; empty when there is none.
    pub(super) names: Rect,
    /// Heading of the panel.
    pub(super) panel_heading: Rect,
    /// The working set panel; empty when there is no room.
    pub(super) panel: Rect,
    /// Labels of the time axis.
    pub(super) time_axis: Rect,
    /// Colour bar and explanations.
    pub(super) legend: Rect,
}

impl Layout {
    pub(super) fn new(
        width: u32,
        height: u32,
        spans: &[Range<u64>],
        extras: Extras,
    ) -> Result<Self, RenderError> {
        let Sheet { w, h, faces, margin, title, subtitle } = Sheet::new(width, height)?;
        let (line, advance) = (faces.line(), faces.advance());
        let inner = w - 2 * margin;

        let legend_height = if h >= 18 * line && w >= 80 * advance { 2 * line + 6 } else { line };
        let legend = Rect::new(margin, h - margin / 2 - legend_height - 1, inner, legend_height);
        let axis_gap = if h >= 18 * line { line / 2 } else { 3 };
        let time_axis_top = legend.y - axis_gap - (line + 5);

        let longest = spans.iter().map(|s| address(s.start).len()).max().unwrap_or(0);
        let left = margin + coord(longest.max(9)) * advance + 8;
        // The marginal stands on the panel's heading, where its scale is written, and beside the names.
        let roomy = extras.marginal && w >= 110 * advance && h >= 22 * line;
        let marginal_width = if roomy { 10 * advance } else { 0 };
        let most_of_name = coord(extras.names).min((w * 21 / 100 / advance).clamp(16, 36));
        let right = if w < 80 * advance {
            margin
        } else if most_of_name > 0 {
            (most_of_name + 3) * advance + margin
        } else {
            // Half of the last label of the time axis; or what the scale of the marginal takes beyond it.
            (if roomy { 9 } else { 3 }) * advance + margin
        };
        let plot_width = w - left - right - marginal_width;

        let marks = Rect::new(
            left,
            subtitle.bottom() + line / 4,
            w - margin - left,
            if extras.marks && h >= 18 * line { line } else { 0 },
        );
        let top = subtitle.bottom() + line / 2 + marks.h;
        let below = time_axis_top;
        let panel_height =
            if h >= 22 * line { ((below - top) * 19 / 100).max(3 * line) } else { 0 };
        let panel = Rect::new(left, below - panel_height, plot_width, panel_height);
        let heading_height = if panel_height > 0 { line + line / 4 } else { 0 };
        let heading_gap = if panel_height > 0 { line / 2 } else { 0 };
        let panel_heading = Rect::new(left, panel.y - heading_height, plot_width, heading_height);
        let map = Rect::new(left, top, plot_width, panel_heading.y - heading_gap - top);
        let marginal = if roomy {
            Rect::new(map.right() + advance, map.y, marginal_width - advance, map.h)
        } else {
            Rect::new(map.right(), map.y, 0, 0)
        };
        let names = if right > margin && most_of_name > 0 {
            let x = marginal.right() + 3 * advance;
            Rect::new(x, map.y, most_of_name * advance, map.h)
        } else {
            Rect::new(map.right(), map.y, 0, 0)
        };
        let (bands, gap) = stack(map, spans, line);
        Ok(Self {
            canvas: Rect::new(0, 0, w, h),
            faces,
            title,
            subtitle,
            map,
            bands,
            gap,
            marks,
            marginal,
            names,
            panel_heading,
            panel,
            time_axis: Rect::new(left, below, plot_width, line + 5),
            legend,
        })
    }

    /// One cell per pixel.
    pub(super) fn grid(&self) -> Grid {
        Grid { columns: count(self.map.w), rows: self.bands.iter().map(|b| count(b.h)).collect() }
    }

    /// So many bands can be told apart.
    pub(super) fn max_bands(&self) -> usize {
        count(self.map.h / 7).max(1)
    }

    /// So many bands can be read: each with a line of text, and half a line to the next.
    pub(super) fn readable_bands(&self) -> usize {
        count(self.map.h * 2 / (3 * self.faces.line()).max(1)).max(1)
    }
}

/// Distributes the height over bands: proportional to their sizes above a minimum, with marks of equal
/// height between them that are as high as the room allows (a line of text at best).
pub(super) fn stack(map: Rect, spans: &[Range<u64>], line: i32) -> (Vec<Rect>, i32) {
    let n = coord(spans.len());
    if n == 0 || map.is_empty() {
        return (Vec::new(), 0);
    }
    let gaps = n - 1;
    let gap = [line, 7, 4, 2, 1]
        .into_iter()
        .find(|g| gaps.saturating_mul(*g) <= map.h * 3 / 10 && map.h - gaps * g >= n)
        .unwrap_or(0);
    let room = map.h - gaps.saturating_mul(gap);
    let minimum = (room / (2 * n)).min(line).max(i32::from(room >= n));
    let sizes: Vec<u64> = spans.iter().map(|s| s.end.saturating_sub(s.start)).collect();
    let heights = share(room, minimum, &sizes);
    let mut bottom = map.bottom();
    let mut bands = Vec::with_capacity(spans.len());
    for height in heights {
        let height = height.min(bottom - map.y).max(0);
        bands.push(Rect::new(map.x, bottom - height, map.w, height));
        bottom = (bottom - height - gap).max(map.y);
    }
    (bands, gap)
}

/// Splits `room` in proportion to `sizes`, each part at least `minimum`; the parts add up to `room`.
fn share(room: i32, minimum: i32, sizes: &[u64]) -> Vec<i32> {
    let mut fixed = vec![false; sizes.len()];
    loop {
        let held = coord(fixed.iter().filter(|f| **f).count()).saturating_mul(minimum);
        let free = f64::from((room - held).max(0));
        let total: f64 = free_sizes(sizes, &fixed).sum();
        let mut changed = false;
        for (fix, size) in fixed.iter_mut().zip(sizes) {
            let want = if total > 0.0 { free * float(*size) / total } else { 0.0 };
            if !*fix && want < f64::from(minimum) {
                *fix = true;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let held = coord(fixed.iter().filter(|f| **f).count()).saturating_mul(minimum);
    let free = f64::from((room - held).max(0));
    let total: f64 = free_sizes(sizes, &fixed).sum();
    let mut passed = 0.0;
    let mut given = 0;
    let mut parts: Vec<i32> = fixed
        .iter()
        .zip(sizes)
        .map(|(fix, size)| {
            if *fix {
                return minimum;
            }
            passed += free * float(*size) / total;
            let part = round(passed) - given;
            given += part;
            part
        })
        .collect();
    // All bands at their minimum: the largest takes what is left.
    let left = room - parts.iter().fold(0i32, |sum, p| sum.saturating_add(*p));
    let largest = (0..sizes.len()).max_by_key(|i| sizes.get(*i).copied());
    if let Some(part) = largest.and_then(|i| parts.get_mut(i)) {
        *part = (*part + left).max(0);
    }
    parts
}

fn free_sizes(sizes: &[u64], fixed: &[bool]) -> impl Iterator<Item = f64> {
    sizes.iter().zip(fixed).filter(|(_, fix)| !**fix).map(|(size, _)| float(*size))
}
