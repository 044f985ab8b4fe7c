//! Cells to pixels.
//!
//! Where the grid has one cell per pixel (see [`super::Grid`]) this is a copy. Fewer cells are repeated, never
//! smoothed; of more cells in one pixel the hottest is shown, so that a hot island does not vanish.

use crate::analysis::heat::{Band, Cell};

use super::colour::{ColourMap, HATCH, Level, Rgb};
use super::layout::Rect;
use super::num::count;

/// What a pixel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    /// Nobody looked.
    NotMonitored,
    /// A level of the colour map.
    Heat(Level),
}

/// Access rate of a cell, `None` where nothing was monitored.
fn rate(cell: &Cell) -> Option<f64> {
    (cell.monitored > 0.0).then(|| cell.heat / cell.monitored)
}

/// A band resampled to `width × height` dots, the highest address first.
pub(super) fn resample(
    band: &Band,
    columns: usize,
    width: usize,
    height: usize,
    map: &ColourMap,
) -> Vec<Dot> {
    // Rows that are promised but hold no cells cost nothing.
    let present = band.cells.len().div_ceil(columns.max(1));
    let mut dots = Vec::with_capacity(width.saturating_mul(height));
    for line in 0..height {
        let rows = covered(height - 1 - line, height, band.rows);
        let rows = rows.start..rows.end.min(present);
        for x in 0..width {
            let hottest = rows
                .clone()
                .flat_map(|row| {
                    let begin = row.saturating_mul(columns);
                    let part = covered(x, width, columns);
                    band.cells
                        .get(begin.saturating_add(part.start)..begin.saturating_add(part.end))
                        .unwrap_or_default()
                })
                .filter_map(rate)
                .map(|rate| map.level(rate))
                .max();
            dots.push(hottest.map_or(Dot::NotMonitored, Dot::Heat));
        }
    }
    dots
}

/// The cells (of `cells`) under pixel `index` of `pixels`; never empty unless there are no cells.
fn covered(index: usize, pixels: usize, cells: usize) -> std::ops::Range<usize> {
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

/// The RGB pixels of a rectangle filled by a band.
pub(super) fn paint(
    band: &Band,
    columns: usize,
    area: Rect,
    map: &ColourMap,
    hatch_scale: usize,
) -> Vec<u8> {
    let (width, height) = (count(area.w), count(area.h));
    let (left, top) = (count(area.x), count(area.y));
    let mut rgb = Vec::with_capacity(width.saturating_mul(height).saturating_mul(3));
    for (i, dot) in resample(band, columns, width, height, map).into_iter().enumerate() {
        let (r, g, b) = match dot {
            Dot::Heat(level) => map.colour(level),
            Dot::NotMonitored => hatch(left + i % width, top + i / width, hatch_scale),
        };
        rgb.extend([r, g, b]);
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Scale;

    fn band(rows: usize, rates: &[Option<f64>]) -> Band {
        let cell = |rate: &Option<f64>| Cell {
            heat: rate.unwrap_or(0.0) * 10.0,
            monitored: if rate.is_some() { 10.0 } else { 0.0 },
        };
        Band {
            target: damon_format::TargetId(0),
            start: 0,
            end: 4096,
            rows,
            cells: rates.iter().map(cell).collect(),
            mappings: Vec::new(),
        }
    }

    fn heat(rate: f64) -> Dot {
        Dot::Heat(ColourMap::new(Scale::Linear).level(rate))
    }

    #[test]
    fn one_cell_per_pixel_is_a_copy_with_low_addresses_below() {
        let map = ColourMap::new(Scale::Linear);
        let band = band(2, &[Some(0.0), Some(0.25), Some(1.0), None]);
        let dots = resample(&band, 2, 2, 2, &map);
        assert_eq!(dots, [heat(1.0), Dot::NotMonitored, heat(0.0), heat(0.25)]);
    }

    #[test]
    fn fewer_cells_are_repeated_not_blended() {
        let map = ColourMap::new(Scale::Linear);
        let dots = resample(&band(1, &[Some(0.0), Some(1.0)]), 2, 4, 2, &map);
        let line = [heat(0.0), heat(0.0), heat(1.0), heat(1.0)];
        assert_eq!(dots, [line, line].concat());
    }

    #[test]
    fn a_hot_island_smaller_than_a_pixel_stays() {
        let map = ColourMap::new(Scale::Linear);
        let mut rates = vec![Some(0.0); 1000];
        rates[777] = Some(0.5);
        let dots = resample(&band(1000, &rates), 1, 1, 10, &map);
        assert_eq!(dots.iter().filter(|d| **d == heat(0.5)).count(), 1);
        assert_eq!(dots[2], heat(0.5));
    }

    #[test]
    fn missing_cells_are_not_monitored() {
        let map = ColourMap::new(Scale::Linear);
        assert_eq!(resample(&band(2, &[Some(1.0)]), 1, 1, 2, &map), [Dot::NotMonitored, heat(1.0)]);
        assert_eq!(resample(&band(0, &[]), 0, 1, 1, &map), [Dot::NotMonitored]);
    }
}
