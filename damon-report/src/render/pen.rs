//! Primitives in the words of pictures, over any drawing backend.

use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendStyle, DrawingBackend, DrawingErrorKind};
use std::fmt::Display;

use super::RenderError;
use super::colour::Rgb;
use super::layout::Rect;
use super::num::size;
use super::text::{Face, Lettering, solid};

/// A colour with a stroke width.
struct Stroke {
    colour: BackendColor,
    width: u32,
}

impl BackendStyle for Stroke {
    fn color(&self) -> BackendColor {
        self.colour
    }

    fn stroke_width(&self) -> u32 {
        self.width
    }
}

/// Draws on a backend.
pub(super) struct Pen<B> {
    backend: B,
}

fn failed<E: std::error::Error + Send + Sync>(error: DrawingErrorKind<E>) -> RenderError
where
    DrawingErrorKind<E>: Display,
{
    RenderError::Draw(error.to_string())
}

impl<B: DrawingBackend> Pen<B> {
    pub(super) fn new(backend: B) -> Self {
        Self { backend }
    }

    pub(super) fn into_backend(self) -> B {
        self.backend
    }

    /// A filled rectangle.
    pub(super) fn fill(&mut self, area: Rect, colour: Rgb) -> Result<(), RenderError> {
        self.tint(area, colour, 1.0)
    }

    /// A filled translucent rectangle.
    pub(super) fn tint(&mut self, area: Rect, rgb: Rgb, alpha: f64) -> Result<(), RenderError> {
        if area.is_empty() {
            return Ok(());
        }
        let colour = BackendColor { alpha, rgb };
        let corner = (area.right(), area.bottom());
        self.backend.draw_rect((area.x, area.y), corner, &colour, true).map_err(failed)
    }

    /// A horizontal line of one pixel, `x1` not included.
    pub(super) fn across(&mut self, x0: i32, x1: i32, y: i32, c: Rgb) -> Result<(), RenderError> {
        self.fill(Rect::new(x0, y, x1 - x0, 1), c)
    }

    /// A vertical line of one pixel, `y1` not included.
    pub(super) fn down(&mut self, x: i32, y0: i32, y1: i32, c: Rgb) -> Result<(), RenderError> {
        self.fill(Rect::new(x, y0, 1, y1 - y0), c)
    }

    /// The outline of one pixel just inside a rectangle.
    pub(super) fn frame(&mut self, area: Rect, colour: Rgb) -> Result<(), RenderError> {
        if area.is_empty() {
            return Ok(());
        }
        self.across(area.x, area.right(), area.y, colour)?;
        self.across(area.x, area.right(), area.bottom() - 1, colour)?;
        self.down(area.x, area.y, area.bottom(), colour)?;
        self.down(area.right() - 1, area.y, area.bottom(), colour)
    }

    /// A connected line.
    pub(super) fn path(
        &mut self,
        points: &[(i32, i32)],
        colour: Rgb,
        width: u32,
    ) -> Result<(), RenderError> {
        let colour = solid(colour);
        self.backend.draw_path(points.iter().copied(), &Stroke { colour, width }).map_err(failed)
    }

    /// Text; `at` is the top of the line and, depending on `to`, its left end, middle or right end.
    pub(super) fn text(
        &mut self,
        text: &str,
        face: Face,
        colour: Rgb,
        at: (i32, i32),
        to: HPos,
    ) -> Result<(), RenderError> {
        if text.is_empty() {
            return Ok(());
        }
        let anchor = Pos::new(to, VPos::Top);
        let style = Lettering { face, colour, anchor };
        self.backend.draw_text(text, &style, at).map_err(failed)
    }

    /// RGB pixels; an image that would leave the canvas is left out, since the bitmap backend cannot cut it.
    pub(super) fn image(&mut self, area: Rect, rgb: &[u8]) -> Result<(), RenderError> {
        let (width, height) = self.backend.get_size();
        let inside = area.x >= 0
            && area.y >= 0
            && size(area.right()) <= width
            && size(area.bottom()) <= height;
        if area.is_empty() || !inside {
            return Ok(());
        }
        self.backend
            .blit_bitmap((area.x, area.y), (size(area.w), size(area.h)), rgb)
            .map_err(failed)
    }
}
