//! Cells to pixels.
//!
//! Where the grid has one cell per pixel (see [`super::Grid`]) this is a copy. Fewer cells are repeated, never
//! smoothed; of more cells in one pixel the hottest is shown, so that a hot island does not vanish.

use crate::analysis::heat::{Band, Heatmap};

use super::colour::{ColourMap, HATCH, Level, PAGE, Rgb};
use super::layout::Layout;
use super::num::count;
use rayon::prelude::*;

/// What a pixel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    /// Nobody looked.
    NotMonitored,
    /// A level of the colour map.
    Heat(Level),
}

/// A band resampled to `width × height` dots, the highest address first.
pub(super) fn resample(
    band: &Band,
    columns: usize,
    width: usize,
    height: usize,
    map: &ColourMap<'_>,
) -> Vec<Dot> {
    let mut dots = vec![Dot::NotMonitored; width.saturating_mul(height)];
    let parts = dots.par_chunks_mut(width.max(1).saturating_mul(LINES)).enumerate();
    parts.for_each(|(part, dots)| {
        resample_lines(band, columns, (part * LINES, height), map, (width, dots));
    });
    dots
}

/// Lines that are resampled together: so many rows of a column lie beside each other in memory, which is read in advance as long
/// as that goes on.
const LINES: usize = 32;

/// Some lines of dots, from the `first` on; they are [`Dot::NotMonitored`] before.
fn resample_lines(
    band: &Band,
    columns: usize,
    (first, height): (usize, usize),
    map: &ColourMap<'_>,
    (width, dots): (usize, &mut [Dot]),
) {
    let lines = dots.len() / width.max(1);
    if (width, height) != (columns, band.rows) {
        for (line, dots) in (first..).zip(dots.chunks_exact_mut(width.max(1))) {
            resample_line(band, columns, (line, height), map, dots);
        }
        return;
    }
    // A cell a pixel.
    let top = height.saturating_sub(first);
    for x in 0..width.min(band.cells.columns()) {
        let cells = band.cells.part(top.saturating_sub(lines)..top, x);
        for (cell, line) in cells.iter().zip((0..lines).rev()) {
            if let Some(slot) = dots.get_mut(line * width + x) {
                *slot = dot(map.of(cell));
            }
        }
    }
}

/// One line of dots; they are [`Dot::NotMonitored`] before.
fn resample_line(
    band: &Band,
    columns: usize,
    (line, height): (usize, usize),
    map: &ColourMap<'_>,
    dots: &mut [Dot],
) {
    // Rows that are promised but hold no cells cost nothing.
    let present = band.cells.rows();
    let width = dots.len();
    let rows = covered(height - 1 - line, height, band.rows);
    let rows = rows.start..rows.end.min(present);
    for (x, slot) in dots.iter_mut().enumerate() {
        let part = covered(x, width, columns);
        let part = part.start..part.end.min(band.cells.columns());
        let under =
            |row| part.clone().filter_map(move |column| map.of(&band.cells.get(row, column)));
        *slot = dot(rows.clone().flat_map(under).max());
    }
}

fn dot(level: Option<Level>) -> Dot {
    level.map_or(Dot::NotMonitored, Dot::Heat)
}

/// The cells (of `cells`) under pixel `index` of `pixels`; never empty unless there are no cells.
pub(super) fn covered(index: usize, pixels: usize, cells: usize) -> std::ops::Range<usize> {
    let pixels = pixels.max(1);
    let begin = index.saturating_mul(cells) / pixels;
    let end = (index + 1).saturating_mul(cells) / pixels;
    begin..end.max(begin + 1).min(cells)
}

/// The colour of the "not monitored" hatching at a pixel.
pub(super) fn hatch(x: usize, y: usize, scale: usize) -> Rgb {
    let period = 6 * scale.max(1);
    let [pale, dark] = HATCH;
    if (x + y) % period < scale.max(1) { dark } else { pale }
}

/// What paints a map.
pub(super) struct Painter<'a> {
    pub(super) heatmap: &'a Heatmap,
    pub(super) layout: &'a Layout,
    pub(super) colours: &'a ColourMap<'a>,
    pub(super) hatch_scale: usize,
}

impl Painter<'_> {
    /// The RGB pixels of the whole map; between the bands there is the page.
    pub(super) fn map(&self) -> Vec<u8> {
        let map = self.layout.map;
        self.painted((count(map.w), count(map.h)), (count(map.x), count(map.y)))
    }

    /// The RGB pixels of a page of this size with nothing but the map on it.
    pub(super) fn page(&self, (width, height): (u32, u32)) -> Vec<u8> {
        let size = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
        self.painted((size(width), size(height)), (0, 0))
    }

    /// A part of the page, with what is of the map in it; `corner` is its upper left one. Some lines at a time, by all threads:
    /// the first to touch new memory waits for it.
    fn painted(&self, (width, height): (usize, usize), corner: (usize, usize)) -> Vec<u8> {
        let mut rgb = vec![0; width.saturating_mul(height).saturating_mul(3)];
        let some_lines = width.saturating_mul(3 * LINES).max(1);
        rgb.par_chunks_mut(some_lines).enumerate().for_each(|(part, pixels)| {
            let (r, g, b) = PAGE;
            let (pixels, _) = pixels.as_chunks_mut();
            pixels.fill([r, g, b]);
            self.paint((corner.0, corner.1 + part * LINES), width, pixels);
        });
        rgb
    }

    /// Paints the map into lines of so many pixels; the first one is at `left` and `top` of the page.
    fn paint(&self, (left, top): (usize, usize), width: usize, pixels: &mut [[u8; 3]]) {
        let (heatmap, map) = (self.heatmap, self.layout.map);
        let bottom = top + pixels.len() / width.max(1);
        for (band, area) in heatmap.bands.iter().zip(&self.layout.bands) {
            let (high, height) = (count(area.y), count(area.h));
            let (from, to) = (top.max(high), bottom.min(high.saturating_add(height)));
            if map.w <= 0 || from >= to {
                continue;
            }
            let columns = count(map.w);
            let mut dots = vec![Dot::NotMonitored; columns.saturating_mul(to - from)];
            let lines = (from - high, height);
            resample_lines(band, heatmap.columns, lines, self.colours, (columns, &mut dots));
            let under = pixels.chunks_mut(width.max(1)).skip(from - top);
            for ((y, dots), pixels) in (from..to).zip(dots.chunks(columns)).zip(under) {
                let beside = count(map.x).saturating_sub(left);
                let places = (count(map.x)..).zip(pixels.iter_mut().skip(beside));
                for (dot, (x, pixel)) in dots.iter().zip(places) {
                    let (r, g, b) = match dot {
                        Dot::Heat(level) => self.colours.colour(*level),
                        Dot::NotMonitored => hatch(x, y, self.hatch_scale),
                    };
                    *pixel = [r, g, b];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::cells::{Cell, Cells};
    use crate::render::{Look, Scale};

    fn band(rows: usize, rates: &[Option<f64>]) -> Band {
        let cell = |rate: &Option<f64>| Cell {
            heat: rate.unwrap_or(0.0) * 10.0,
            monitored: if rate.is_some() { 10.0 } else { 0.0 },
            max_rate: 1.0,
        };
        Band {
            target: damon_format::TargetId(0),
            start: 0,
            end: 4096,
            rows,
            cells: Cells::by_rows(
                rates.len().div_ceil(rows.max(1)),
                &rates.iter().map(cell).collect::<Vec<_>>(),
            ),
            mappings: Vec::new(),
        }
    }

    fn linear() -> Look {
        Look { scale: Scale::Linear, ..Look::default() }
    }

    fn heat(rate: f64) -> Dot {
        Dot::Heat(ColourMap::new(&linear()).level(rate))
    }

    #[test]
    fn one_cell_per_pixel_is_a_copy_with_low_addresses_below() {
        let look = linear();
        let map = ColourMap::new(&look);
        let band = band(2, &[Some(0.0), Some(0.25), Some(1.0), None]);
        let dots = resample(&band, 2, 2, 2, &map);
        assert_eq!(dots, [heat(1.0), Dot::NotMonitored, heat(0.0), heat(0.25)]);
    }

    #[test]
    fn fewer_cells_are_repeated_not_blended() {
        let look = linear();
        let map = ColourMap::new(&look);
        let dots = resample(&band(1, &[Some(0.0), Some(1.0)]), 2, 4, 2, &map);
        let line = [heat(0.0), heat(0.0), heat(1.0), heat(1.0)];
        assert_eq!(dots, [line, line].concat());
    }

    #[test]
    fn a_hot_island_smaller_than_a_pixel_stays() {
        let look = linear();
        let map = ColourMap::new(&look);
        let mut rates = vec![Some(0.0); 1000];
        rates[777] = Some(0.5);
        let dots = resample(&band(1000, &rates), 1, 1, 10, &map);
        assert_eq!(dots.iter().filter(|d| **d == heat(0.5)).count(), 1);
        assert_eq!(dots[2], heat(0.5));
    }

    #[test]
    fn missing_cells_are_not_monitored() {
        let look = linear();
        let map = ColourMap::new(&look);
        assert_eq!(resample(&band(2, &[Some(1.0)]), 1, 1, 2, &map), [Dot::NotMonitored, heat(1.0)]);
        assert_eq!(resample(&band(0, &[]), 0, 1, 1, &map), [Dot::NotMonitored]);
    }
}
