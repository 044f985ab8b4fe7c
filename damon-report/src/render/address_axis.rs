//! The address axis: where bands begin, offsets inside them, and the marks between them.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::heat::{Band, Heatmap, TargetName};

use super::RenderError;
use super::colour::{FRAME, GREY_INK, INK, PAGE};
use super::heatmap::extent;
use super::layout::{Layout, Rect, address};
use super::num::count;
use super::pen::Pen;
use super::units::{byte_step, bytes};

/// A label left of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AxisLabel {
    /// The row the tick points at.
    pub(super) tick: i32,
    /// Top of the text.
    pub(super) top: i32,
    pub(super) text: String,
    /// True for the address a band begins at, false for an offset inside it.
    pub(super) is_start: bool,
}

/// Labels of all bands, none overlapping another: first where bands begin, high bands first, then offsets.
pub(super) fn labels(heatmap: &Heatmap, layout: &Layout) -> Vec<AxisLabel> {
    let line = layout.faces.line();
    let mut shown: Vec<AxisLabel> = Vec::new();
    let mut bands: Vec<_> = heatmap.bands.iter().zip(&layout.bands).collect();
    bands.sort_by_key(|(band, area)| (std::cmp::Reverse(area.h), band.start));
    let lowest = layout.map.bottom() + 4 - line;
    let free = |shown: &[AxisLabel], top: i32, distance: i32| {
        shown.iter().all(|label| (label.top - top).abs() >= distance)
    };
    for (band, area) in bands.iter().filter(|(_, area)| area.h > 0) {
        let tick = area.bottom() - 1;
        let top = (area.bottom() + 4 - line).clamp(layout.map.y - line / 2, lowest);
        if free(&shown, top, line) {
            shown.push(AxisLabel { tick, top, text: address(band.start), is_start: true });
        }
    }
    for (band, area) in bands {
        let size = band.end.saturating_sub(band.start);
        let room = count(area.h / (line * 5 / 2).max(1));
        if room == 0 || size == 0 {
            continue;
        }
        let step = byte_step(size, room);
        let mut offset = step;
        while offset < size {
            let address = band.start.saturating_add(offset);
            let (tick, _) = extent(*area, &(band.start..band.end), &(band.start..address));
            let top = tick - line / 2;
            if top >= layout.map.y - line / 2 && free(&shown, top, line * 5 / 4) {
                shown.push(AxisLabel {
                    tick,
                    top,
                    text: format!("+{}", bytes(offset)),
                    is_start: false,
                });
            }
            let Some(next) = offset.checked_add(step) else {
                break;
            };
            offset = next;
        }
    }
    shown
}

pub(super) fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    heatmap: &Heatmap,
    layout: &Layout,
) -> Result<(), RenderError> {
    let faces = &layout.faces;
    let map = layout.map;
    for area in layout.bands.iter().filter(|_| layout.gap >= 2) {
        pen.down(area.x - 1, area.y, area.bottom(), FRAME)?;
        pen.down(area.right(), area.y, area.bottom(), FRAME)?;
    }
    for (pair, areas) in heatmap.bands.windows(2).zip(layout.bands.windows(2)) {
        if let ([below, above], [lower, upper]) = (pair, areas) {
            let gap = Rect::new(map.x, upper.bottom(), map.w, lower.y - upper.bottom());
            draw_gap(pen, layout, gap, &between(heatmap, below, above))?;
        }
    }
    for label in labels(heatmap, layout) {
        let colour = if label.is_start { INK } else { GREY_INK };
        let length = if label.is_start { 6 } else { 4 };
        pen.across(map.x - length, map.x, label.tick, FRAME)?;
        let at = (map.x - 8, label.top);
        pen.text(&label.text, faces.plain, colour, at, HPos::Right)?;
    }
    Ok(())
}

/// What lies between two bands: addresses that were left out, or the border of two processes.
pub(super) fn between(heatmap: &Heatmap, below: &Band, above: &Band) -> String {
    if below.target == above.target {
        return format!("{} not shown", bytes(above.start.saturating_sub(below.end)));
    }
    let name = |band: &Band| {
        let target = heatmap.targets.iter().find(|t| t.target == band.target);
        target.map_or_else(String::new, TargetName::name)
    };
    format!("above: {}, below: {}", name(above), name(below))
}

/// A mark across the map where addresses were left out, with their size if a line of text fits.
fn draw_gap<B: DrawingBackend>(
    pen: &mut Pen<B>,
    layout: &Layout,
    gap: Rect,
    text: &str,
) -> Result<(), RenderError> {
    if gap.h < 2 {
        return Ok(());
    }
    let faces = &layout.faces;
    pen.fill(gap, PAGE)?;
    if gap.h >= faces.line() - 2 {
        let depth = faces.line() / 5;
        torn_edge(pen, gap, gap.y, depth)?;
        torn_edge(pen, gap, gap.bottom() - 1 - depth, depth)?;
        let text = faces.plain.fit(text, gap.w - 2 * faces.advance());
        let width = faces.plain.width(&text);
        let centre = gap.x + gap.w / 2;
        let top = gap.y + (gap.h - faces.line()) / 2;
        let pad = faces.advance();
        if width + 2 * pad <= gap.w {
            let behind = Rect::new(centre - width / 2 - pad, gap.y, width + 2 * pad, gap.h);
            pen.fill(behind, PAGE)?;
            pen.text(&text, faces.plain, GREY_INK, (centre, top), HPos::Center)?;
        }
    }
    Ok(())
}

/// A zigzag line, the sign of torn paper.
fn torn_edge<B: DrawingBackend>(
    pen: &mut Pen<B>,
    gap: Rect,
    y: i32,
    depth: i32,
) -> Result<(), RenderError> {
    let period = 4 * depth.max(1);
    let last = gap.right() - 1;
    // As far as the map goes, so that the last stroke may end on its way.
    let height = |x: i32| {
        let (turns, beyond) = ((x - gap.x) / period, (x - gap.x) % period);
        let done = depth * beyond / period;
        if turns % 2 == 0 { y + done } else { y + depth - done }
    };
    let turns = (gap.x..last).step_by(usize::try_from(period).unwrap_or(1));
    let points: Vec<_> = turns.chain([last]).map(|x| (x, height(x))).collect();
    if points.len() > 1 {
        pen.path(&points, FRAME, 1)?;
    }
    Ok(())
}
