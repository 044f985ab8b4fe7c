//! A picture of one plot: where title, key and plot are.

use super::RenderError;
use super::layout::{Faces, Rect, Sheet};

/// The areas; labels of the vertical axis stand left of the plot, those of the horizontal one below.
#[derive(Debug)]
pub(super) struct OnePlot {
    pub(super) faces: Faces,
    pub(super) title: Rect,
    pub(super) subtitle: Rect,
    pub(super) key: Rect,
    pub(super) plot: Rect,
}

impl OnePlot {
    /// With room for so many characters right of the plot.
    pub(super) fn new(width: u32, height: u32, right: i32) -> Result<Self, RenderError> {
        let Sheet { w, h, faces, margin, title, subtitle } = Sheet::new(width, height)?;
        let (line, advance) = (faces.line(), faces.advance());
        let left = margin + 10 * advance;
        let width = w - left - margin - right * advance;
        let key = Rect::new(left, subtitle.bottom() + line / 2, width, line);
        let top = key.bottom() + line * 3 / 4;
        let bottom = h - margin / 2 - 2 * line - 6;
        Ok(Self { faces, title, subtitle, key, plot: Rect::new(left, top, width, bottom - top) })
    }
}
