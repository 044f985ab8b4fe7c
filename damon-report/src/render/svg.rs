//! A drawing backend that writes compact SVG: rectangles of one colour share a path, cells are an
//! embedded PNG, text keeps the metrics of the bitmap glyphs whatever font the viewer has.

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};
use std::fmt::Write as _;

use super::RenderError;
use super::png;
use super::text::{clean, resolve};

/// The document while it is drawn.
pub(super) struct Svg {
    size: (u32, u32),
    body: String,
    /// Filled rectangles of one colour that are not written yet, as path data.
    rects: Option<(BackendColor, String)>,
}

type Failure = DrawingErrorKind<RenderError>;

impl Svg {
    pub(super) fn new(size: (u32, u32), title: &str) -> Self {
        let (width, height) = size;
        let mut svg = Self { size, body: String::new(), rects: None };
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" \
             font-family=\"'Noto Sans Mono','DejaVu Sans Mono',Menlo,Consolas,monospace\">\n\
             <title>{}</title>\n",
            escape(title)
        ));
        svg
    }

    /// The finished document.
    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.body.push_str("</svg>\n");
        self.body
    }

    /// Writing to a `String` cannot fail.
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        if self.body.write_fmt(text).is_err() {
            self.body.push_str("<!-- formatting failed -->");
        }
    }

    fn flush(&mut self) {
        if let Some((colour, data)) = self.rects.take() {
            self.put(format_args!("<path d=\"{data}\"{}/>\n", paint("fill", colour)));
        }
    }
}

/// Attributes for a colour.
fn paint(what: &str, colour: BackendColor) -> String {
    let (r, g, b) = colour.rgb;
    if colour.alpha < 1.0 {
        format!(" {what}=\"#{r:02x}{g:02x}{b:02x}\" {what}-opacity=\"{:.3}\"", colour.alpha)
    } else {
        format!(" {what}=\"#{r:02x}{g:02x}{b:02x}\"")
    }
}

/// Text for XML, which has no way to write control characters at all.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in clean(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('?'),
            other => safe.push(other),
        }
    }
    safe
}

fn same(a: BackendColor, b: BackendColor) -> bool {
    a.rgb == b.rgb && a.alpha.to_bits() == b.alpha.to_bits()
}

fn points(path: impl IntoIterator<Item = BackendCoord>, shift: &str) -> String {
    let points = path.into_iter().map(|(x, y)| format!("{x}{shift},{y}{shift}"));
    points.collect::<Vec<_>>().join(" ")
}

impl DrawingBackend for Svg {
    type ErrorType = RenderError;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), Failure> {
        self.flush();
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Result<(), Failure> {
        self.draw_rect(point, (point.0 + 1, point.1 + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Result<(), Failure> {
        self.draw_path([from, to], style)
    }

    /// The lower right corner does not belong to a filled rectangle, as with plotters' bitmaps.
    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<(), Failure> {
        let (x, y) = upper_left;
        let (width, height) = (bottom_right.0 - x, bottom_right.1 - y);
        if fill {
            let data = format!("M{x} {y}h{width}v{height}h-{width}z");
            match &mut self.rects {
                Some((colour, path)) if same(*colour, style.color()) => path.push_str(&data),
                _ => {
                    self.flush();
                    self.rects = Some((style.color(), data));
                }
            }
        } else {
            self.flush();
            self.put(format_args!(
                "<rect x=\"{x}.5\" y=\"{y}.5\" width=\"{width}\" height=\"{height}\" fill=\"none\"{}/>\n",
                paint("stroke", style.color())
            ));
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Result<(), Failure> {
        self.flush();
        let width = style.stroke_width();
        let shift = if width % 2 == 1 { ".5" } else { "" };
        self.put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{}/>\n",
            points(path, shift),
            paint("stroke", style.color())
        ));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Result<(), Failure> {
        self.flush();
        self.put(format_args!(
            "<polygon points=\"{}\"{}/>\n",
            points(path, ""),
            paint("fill", style.color())
        ));
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        pos: BackendCoord,
    ) -> Result<(), Failure> {
        self.flush();
        let (face, (x, top)) = resolve(style, text, pos);
        let turn = match style.transform() {
            FontTransform::None => String::new(),
            FontTransform::Rotate90 => format!(" transform=\"rotate(90 {} {})\"", pos.0, pos.1),
            FontTransform::Rotate180 => format!(" transform=\"rotate(180 {} {})\"", pos.0, pos.1),
            FontTransform::Rotate270 => format!(" transform=\"rotate(270 {} {})\"", pos.0, pos.1),
        };
        let weight = if face.is_bold() { " font-weight=\"bold\"" } else { "" };
        // Monospaced fonts advance by about 0.6 em.
        let size = f64::from(face.advance()) / 0.6;
        self.put(format_args!(
            "<text x=\"{x}\" y=\"{}\" font-size=\"{size:.1}\" textLength=\"{}\" \
             lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\"{weight}{turn}{}>{}</text>\n",
            top + face.baseline(),
            face.width(text),
            paint("fill", style.color()),
            escape(text)
        ));
        Ok(())
    }

    fn blit_bitmap(
        &mut self,
        (x, y): BackendCoord,
        (width, height): (u32, u32),
        src: &[u8],
    ) -> Result<(), Failure> {
        self.flush();
        let image = png::encode(src, width, height).map_err(DrawingErrorKind::DrawingError)?;
        self.put(format_args!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             style=\"image-rendering:pixelated\" preserveAspectRatio=\"none\" \
             href=\"data:image/png;base64,{}\"/>\n",
            png::base64(&image)
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters_backend::text_anchor::Pos;

    use crate::render::text::{Face, Lettering, solid};

    #[test]
    fn foreign_text_cannot_break_the_document() {
        let mut svg = Svg::new((100, 50), "a<b & \"c\"\u{7}");
        let style =
            Lettering { face: Face::new(16, false), colour: (0, 0, 0), anchor: Pos::default() };
        svg.draw_text("</text><script>\u{0}", &style, (0, 0)).unwrap();
        let text = svg.finish();
        assert!(text.contains("<title>a&lt;b &amp; &quot;c&quot;?</title>"));
        assert!(text.contains(">&lt;/text&gt;&lt;script&gt;?</text>"));
        assert!(!text.contains("<script>"));
    }

    #[test]
    fn rectangles_of_one_colour_share_a_path() {
        let mut svg = Svg::new((100, 50), "");
        let red = solid((255, 0, 0));
        svg.draw_rect((1, 2), (4, 5), &red, true).unwrap();
        svg.draw_rect((5, 6), (6, 7), &red, true).unwrap();
        svg.draw_rect((7, 8), (10, 10), &solid((0, 0, 255)), true).unwrap();
        let text = svg.finish();
        assert!(text.contains("<path d=\"M1 2h3v3h-3zM5 6h1v1h-1z\" fill=\"#ff0000\"/>"));
        assert!(text.contains("<path d=\"M7 8h3v2h-3z\" fill=\"#0000ff\"/>"));
    }
}
