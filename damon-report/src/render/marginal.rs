//! The mean rate of each address row over all the time, as bars right of the map: how much memory is how hot.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::cells::Cell;

use super::RenderError;
use super::cells::covered;
use super::colour::{FRAME, GREY_INK, GRID};
use super::heatmap::Picture;
use super::layout::{Layout, Rect};
use super::num::{count, round};
use super::pen::Pen;
use super::units::short_percent;

/// The mean rate under each pixel row, the greatest where rows share one; `None` where nothing was monitored.
fn rates(picture: &Picture<'_>, layout: &Layout) -> Vec<(i32, f64)> {
    let mut rates = Vec::new();
    for (rows, area) in picture.marginal.iter().zip(&layout.bands) {
        let height = count(area.h);
        for (line, y) in (0..height).zip(area.y..) {
            let under = rows.get(covered(height - 1 - line, height, rows.len()));
            let under = under.unwrap_or_default().iter().filter_map(Cell::rate);
            rates.extend(under.filter(|r| r.is_finite()).reduce(f64::max).map(|rate| (y, rate)));
        }
    }
    rates
}

pub(super) fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
) -> Result<(), RenderError> {
    let (area, faces) = (layout.marginal, &layout.faces);
    if area.is_empty() || layout.bands.is_empty() {
        return Ok(());
    }
    let rates = rates(picture, layout);
    let top = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    for band in &layout.bands {
        pen.down(area.x, band.y, band.bottom(), GRID)?;
    }
    for (y, rate) in rates.into_iter().filter(|(_, rate)| *rate > 0.0) {
        let width = round(rate / top * f64::from(area.w)).clamp(1, area.w);
        pen.fill(Rect::new(area.x, y, width, 1), GREY_INK)?;
    }
    pen.across(area.x, area.right(), area.bottom(), FRAME)?;
    for x in [area.x, area.right() - 1] {
        pen.down(x, area.bottom(), area.bottom() + 4, FRAME)?;
    }
    // The words stand beside the panel's heading, below the map.
    let label = format!("mean, {} at most", short_percent(top * 100.0));
    let choices = [label, format!("mean {}", short_percent(top * 100.0))];
    let room = layout.canvas.right() - area.x;
    if let Some(label) = choices.iter().find(|label| faces.plain.width(label) <= room) {
        pen.text(label, faces.plain, GREY_INK, (area.x, area.bottom() + 6), HPos::Left)?;
    }
    Ok(())
}
