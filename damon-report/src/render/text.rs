//! Letters without fonts: a drawing backend that writes with the bitmap glyphs of Noto Sans Mono.
//!
//! plotters asks the style for outlines, which needs a font stack and fonts on the system. Here the
//! glyphs come from a table instead: the same pixels on every machine.

use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};
use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontFamily, FontStyle,
};
use std::convert::Infallible;

use super::colour::Rgb;
use super::num::{coord, count, size};

/// Size and weight of letters; everything about their metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Face {
    height: RasterHeight,
    weight: FontWeight,
}

impl Face {
    /// The largest face not above `pixels`, at least 16.
    pub(super) fn new(pixels: i32, bold: bool) -> Self {
        let height = match pixels {
            i32::MIN..=19 => RasterHeight::Size16,
            20..=23 => RasterHeight::Size20,
            24..=31 => RasterHeight::Size24,
            _ => RasterHeight::Size32,
        };
        let weight = if bold { FontWeight::Bold } else { FontWeight::Regular };
        Self { height, weight }
    }

    /// Height of a line in pixels.
    pub(super) fn line(self) -> i32 {
        coord(self.height.val())
    }

    /// Width of every character in pixels.
    pub(super) fn advance(self) -> i32 {
        coord(get_raster_width(self.weight, self.height))
    }

    /// Width of a text in pixels.
    pub(super) fn width(self, text: &str) -> i32 {
        coord(text.chars().count()).saturating_mul(self.advance())
    }

    /// Distance from the top of the line to the baseline in pixels.
    pub(super) fn baseline(self) -> i32 {
        self.line() * 25 / 32
    }

    /// True for the heavier weight.
    pub(super) fn is_bold(self) -> bool {
        self.weight == FontWeight::Bold
    }

    /// The text, cut to `width` pixels; a cut is shown by two dots.
    pub(super) fn fit(self, text: &str, width: i32) -> String {
        fit(text, count(width / self.advance().max(1)))
    }
}

/// Makes foreign text harmless: one line, no control characters.
pub(super) fn clean(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(visible).collect()
}

/// The text, cut to so many characters; a cut is shown by two dots.
pub(super) fn fit(text: &str, characters: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= characters {
        return text;
    }
    let kept = characters.saturating_sub(2);
    let mut cut: String = text.chars().take(kept).collect();
    cut.extend(std::iter::repeat_n('.', characters - kept));
    cut
}

/// How a text is written.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    /// Size and weight.
    pub(super) face: Face,
    /// Ink.
    pub(super) colour: Rgb,
    /// Which point of the text lies on the given position.
    pub(super) anchor: Pos,
}

impl BackendTextStyle for Lettering {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        solid(self.colour)
    }

    fn size(&self) -> f64 {
        f64::from(self.face.line())
    }

    fn style(&self) -> FontStyle {
        if self.face.is_bold() { FontStyle::Bold } else { FontStyle::Normal }
    }

    fn anchor(&self) -> Pos {
        self.anchor
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Monospace
    }

    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), Infallible> {
        Ok(((0, 0), (self.face.width(text), self.face.line())))
    }

    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        text: &str,
        pos: BackendCoord,
        draw: F,
    ) -> Result<Result<(), E>, Infallible> {
        Ok(glyphs(self.face, self.color(), text, pos, draw))
    }
}

/// An opaque colour for the backend.
pub(super) fn solid(rgb: Rgb) -> BackendColor {
    BackendColor { alpha: 1.0, rgb }
}

/// The face a plotters style asks for, and the upper left corner its anchor means.
pub(super) fn resolve<S: BackendTextStyle>(
    style: &S,
    text: &str,
    pos: BackendCoord,
) -> (Face, BackendCoord) {
    let bold = matches!(style.style(), FontStyle::Bold);
    let face = Face::new(super::num::round(style.size()), bold);
    let anchor = style.anchor();
    let width = face.width(text);
    let x = match anchor.h_pos {
        HPos::Left => pos.0,
        HPos::Center => pos.0 - width / 2,
        HPos::Right => pos.0 - width,
    };
    let y = match anchor.v_pos {
        VPos::Top => pos.1,
        VPos::Center => pos.1 - face.line() / 2,
        VPos::Bottom => pos.1 - face.line(),
    };
    (face, (x, y))
}

/// Hands every pixel of a text to `draw`; characters without a glyph become `?`.
fn glyphs<E>(
    face: Face,
    colour: BackendColor,
    text: &str,
    (x, y): BackendCoord,
    mut draw: impl FnMut(i32, i32, BackendColor) -> Result<(), E>,
) -> Result<(), E> {
    let mut left = x;
    for character in text.chars() {
        let glyph = get_raster(character, face.weight, face.height)
            .or_else(|| get_raster('?', face.weight, face.height));
        for (dy, row) in glyph.iter().flat_map(RasterizedChar::rows).enumerate() {
            for (dx, intensity) in row.iter().enumerate().filter(|(_, i)| **i > 0) {
                // In few steps: a picture has a limited number of colours.
                let ink = colour.mix(f64::from(intensity / 17) / 15.0);
                draw(left + coord(dx), y + coord(dy), ink)?;
            }
        }
        left += face.advance();
    }
    Ok(())
}

/// A drawing backend whose texts are bitmap glyphs; everything else is passed on.
pub(super) struct Lettered<B> {
    inner: B,
}

impl<B: DrawingBackend> Lettered<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<B: DrawingBackend> DrawingBackend for Lettered<B> {
    type ErrorType = B::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.inner.get_size()
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.inner.ensure_prepared()
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.inner.present()
    }

    fn draw_pixel(
        &mut self,
        point: BackendCoord,
        color: BackendColor,
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.inner.draw_pixel(point, color)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.inner.draw_line(from, to, style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.inner.draw_rect(upper_left, bottom_right, style, fill)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.inner.draw_path(path, style)
    }

    fn blit_bitmap(
        &mut self,
        pos: BackendCoord,
        size: (u32, u32),
        src: &[u8],
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        self.inner.blit_bitmap(pos, size, src)
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Self::ErrorType>> {
        let (face, _) = resolve(style, text, (0, 0));
        Ok((size(face.width(text)), size(face.line())))
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        pos: BackendCoord,
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        let (face, (left, top)) = resolve(style, text, pos);
        let turn = style.transform();
        let (width, height) = self.get_size();
        let inside = |x: i32, y: i32| x >= 0 && y >= 0 && size(x) < width && size(y) < height;
        let turned = |x: i32, y: i32| {
            let (dx, dy) = turn.transform(x - pos.0, y - pos.1);
            (pos.0 + dx, pos.1 + dy)
        };
        glyphs(face, style.color(), text, (left, top), |x, y, ink| {
            let (x, y) = turned(x, y);
            if inside(x, y) { self.inner.draw_pixel((x, y), ink) } else { Ok(()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::backend::BitMapBackend;

    #[test]
    fn texts_are_cut_visibly_and_cleaned() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdef", 5), "abc..");
        assert_eq!(fit("abcdef", 1), ".");
        assert_eq!(fit("a\u{1b}[2J\nb", 20), "a?[2J?b");
    }

    #[test]
    fn baseline_is_where_capitals_end() {
        for pixels in [16, 20, 24, 32] {
            for bold in [false, true] {
                let face = Face::new(pixels, bold);
                let mut lowest = 0;
                let ink = solid((0, 0, 0));
                glyphs(face, ink, "HEI", (0, 0), |_, y, c| {
                    if c.alpha > 0.5 {
                        lowest = lowest.max(y + 1);
                    }
                    Ok::<(), Infallible>(())
                })
                .unwrap();
                let off = (face.baseline() - lowest).abs();
                assert!(off <= 1, "{pixels} {bold}: {} against {lowest}", face.baseline());
            }
        }
    }

    #[test]
    fn ink_stays_inside_the_estimated_box_and_the_canvas() {
        let (width, height) = (120u32, 40u32);
        let mut buffer = vec![255u8; 120 * 40 * 3];
        let style = Lettering {
            face: Face::new(16, true),
            colour: (0, 0, 0),
            anchor: Pos::new(HPos::Right, VPos::Top),
        };
        let mut backend = Lettered::new(BitMapBackend::with_buffer(&mut buffer, (width, height)));
        assert_eq!(
            backend.estimate_text_size("µ×Ag\u{4e16}", &style).unwrap(),
            (size(5 * style.face.advance()), 16)
        );
        backend.draw_text("µ×Ag\u{4e16}", &style, (100, 10)).unwrap();
        backend.draw_text("outside", &style, (-3, 35)).unwrap();
        drop(backend);
        let mut inked = 0;
        for (i, pixel) in buffer.chunks_exact(3).enumerate() {
            if pixel != [255, 255, 255] {
                let (x, y) = (i % 120, i / 120);
                assert!((100 - 5 * 8..100).contains(&x) && (10..26).contains(&y), "{x},{y}");
                inked += 1;
            }
        }
        assert!(inked > 50);
    }
}
