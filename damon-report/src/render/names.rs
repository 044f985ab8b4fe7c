//! Names of mappings right of the map: a bracket along each, a leader to its name, names never overlapping.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::heat::{Band, Cell, Heatmap, NamedRange};

use super::RenderError;
use super::colour::{FRAME, INK, PAGE};
use super::heatmap::{Picture, extent, label_text};
use super::labels::{Wish, place};
use super::layout::{Layout, Rect};
use super::num::float_of;
use super::pen::Pen;
use super::text::fit;
use super::units::bytes;

/// A mapping beside the map.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// First row.
    pub(super) top: i32,
    /// One past the last row; always below `top`.
    pub(super) bottom: i32,
    /// Top of its name, if that is shown.
    pub(super) name_top: Option<i32>,
    pub(super) text: String,
}

/// A mapping of fewer rows than this is a hair line, and a name on it noise...
const NAMED_HEIGHT: i32 = 4;

/// ...unless it has this part of the picture's heat, or its band for itself.
const NAMED_HEAT: f64 = 0.01;

/// All mappings with the places of their names.
pub(super) fn entries(heatmap: &Heatmap, marginal: &[Vec<Cell>], layout: &Layout) -> Vec<Entry> {
    let total: f64 = marginal.iter().flatten().map(|c| heat(c.heat)).sum();
    let none = Vec::new();
    let marginal = marginal.iter().chain(std::iter::repeat(&none));
    let characters = usize::try_from(layout.names.w / layout.faces.advance()).unwrap_or(0);
    let mut wishes = Vec::new();
    let mut named = Vec::new();
    let mut entries = Vec::new();
    for ((band, area), rows) in heatmap.bands.iter().zip(&layout.bands).zip(marginal) {
        if area.h <= 0 {
            continue;
        }
        for mapping in &band.mappings {
            let (top, bottom) =
                extent(*area, &(band.start..band.end), &(mapping.start..mapping.end));
            let top = top.min(area.bottom() - 1);
            let bottom = bottom.max(top + 1);
            let share = f64::from(bottom - top) / f64::from(layout.map.h.max(1));
            let hot = if total > 0.0 { rows_heat(band, rows, mapping) / total } else { 0.0 };
            let alone = band.mappings.len() == 1;
            if alone || bottom - top >= NAMED_HEIGHT || hot >= NAMED_HEAT {
                wishes.push(Wish { centre: i32::midpoint(top, bottom), weight: share + hot });
                named.push(entries.len());
            }
            entries.push(Entry { top, bottom, name_top: None, text: caption(mapping, characters) });
        }
    }
    let line = layout.faces.line();
    let limits = (layout.names.y - line / 4, layout.names.bottom() + line / 4);
    for (index, top) in named.into_iter().zip(place(&wishes, line, limits.0, limits.1)) {
        if let Some(entry) = entries.get_mut(index) {
            entry.name_top = top;
        }
    }
    entries
}

fn heat(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// Heat of the rows a mapping covers, to rank names.
fn rows_heat(band: &Band, of_rows: &[Cell], mapping: &NamedRange) -> f64 {
    let rows = i32::try_from(of_rows.len()).unwrap_or(i32::MAX);
    let area = Rect::new(0, 0, 1, rows);
    let (top, bottom) = extent(area, &(band.start..band.end), &(mapping.start..mapping.end));
    let from = usize::try_from(rows - bottom).unwrap_or(0);
    let to = usize::try_from(rows - top).unwrap_or(0);
    if from == to {
        // Smaller than a row: its part of the row it lies in.
        let row = of_rows.get(from.min(of_rows.len().saturating_sub(1)));
        let whole = row.map_or(0.0, |c| heat(c.heat));
        return whole / float_of(band.mappings.len().max(1));
    }
    of_rows.get(from..to).unwrap_or_default().iter().map(|c| heat(c.heat)).sum()
}

/// Name and size.
pub(super) fn full_caption(mapping: &NamedRange) -> String {
    let size = mapping.end.saturating_sub(mapping.start);
    format!("{} {}", label_text(&mapping.name), bytes(size))
}

/// Name and size; a long name loses its end, never the size.
fn caption(mapping: &NamedRange, characters: usize) -> String {
    let size = bytes(mapping.end.saturating_sub(mapping.start));
    let room = characters.saturating_sub(size.len() + 1);
    if room < 6 {
        return fit(&label_text(&mapping.name), characters);
    }
    format!("{} {size}", fit(&label_text(&mapping.name), room))
}

pub(super) fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
) -> Result<(), RenderError> {
    let map = layout.map;
    let on_dark = picture.look.palette.is_dark();
    let (edge_ink, alpha) = if on_dark { (PAGE, 0.35) } else { (INK, 0.22) };
    let entries = entries(picture.heatmap, picture.marginal, layout);
    for entry in entries.iter().filter(|e| e.bottom - e.top >= 6) {
        let edge = Rect::new(map.x, entry.top, map.w, 1);
        if layout.bands.iter().all(|b| b.y != entry.top) {
            pen.tint(edge, edge_ink, alpha)?;
        }
    }
    if layout.names.is_empty() {
        return Ok(());
    }
    let advance = layout.faces.advance();
    let line = layout.faces.line();
    let bracket = map.right().max(layout.marginal.right()) + advance / 2 + 1;
    let elbow = bracket + advance / 2;
    let end = layout.names.x - advance / 2;
    for entry in &entries {
        let inset = i32::from(entry.bottom - entry.top >= 4);
        pen.down(bracket, entry.top + inset, entry.bottom - inset, FRAME)?;
        let Some(name_top) = entry.name_top else {
            continue;
        };
        if entry.bottom - entry.top >= 4 {
            pen.across(bracket - 2, bracket, entry.top + 1, FRAME)?;
            pen.across(bracket - 2, bracket, entry.bottom - 2, FRAME)?;
        }
        let middle = name_top + line / 2;
        // The leader leaves the bracket level with the name where it can.
        let from =
            middle.clamp(entry.top + inset, (entry.bottom - 1 - inset).max(entry.top + inset));
        if from == middle {
            pen.across(bracket, end, middle, FRAME)?;
        } else {
            pen.path(
                &[(bracket, from), (elbow, from), (end - 2, middle), (end, middle)],
                FRAME,
                1,
            )?;
        }
        let at = (layout.names.x, name_top);
        pen.text(&entry.text, layout.faces.plain, INK, at, HPos::Left)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::cells::Cells;
    use crate::render::Extras;
    use damon_format::TargetId;

    #[test]
    fn hair_lines_get_a_name_only_if_hot_or_alone() {
        let size = 1_000_000;
        let layout = Layout::new(
            1280,
            800,
            &[0..size, 2 * size..3 * size],
            Extras { names: 20, ..Extras::default() },
        );
        let layout = layout.unwrap();
        let rows = usize::try_from(layout.bands[0].h).unwrap();
        let mut cells = vec![Cell { heat: 0.0, monitored: 1.0, max_rate: 0.0 }; rows];
        let last = rows - 1;
        cells[last].heat = 1.0;
        let name = |start, end, name: &str| NamedRange { start, end, name: name.to_owned() };
        let band = |start, cells: &[Cell], mappings| Band {
            target: TargetId(0),
            start,
            end: start + size,
            rows,
            cells: Cells::by_rows(1, cells),
            mappings,
        };
        let (large, cold, hot) =
            (name(0, 900_000, "large"), name(900_000, 900_100, "cold"), name(999_900, size, "hot"));
        let alone = name(2 * size, 2 * size + 100, "alone");
        let heatmap = Heatmap {
            targets: Vec::new(),
            start_ns: 0,
            end_ns: 1,
            columns: 1,
            bands: vec![band(0, &cells, vec![large, cold, hot]), band(2 * size, &[], vec![alone])],
        };
        let named: Vec<bool> = entries(&heatmap, &heatmap.marginal(), &layout)
            .iter()
            .map(|e| e.name_top.is_some())
            .collect();
        assert_eq!(named, [true, false, true, true]);
    }
}
