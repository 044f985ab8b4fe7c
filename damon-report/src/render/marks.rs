//! Moments that the user named: a line through everything on the time axis, the name above the map.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use super::RenderError;
use super::colour::{INK, PAGE};
use super::heatmap::Picture;
use super::layout::Layout;
use super::pen::Pen;
use super::text::clean;

/// A moment in pixels; several in one column have one line and share the room for names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    x: i32,
    text: String,
}

fn flags(picture: &Picture<'_>, layout: &Layout) -> Vec<Flag> {
    let span = picture.span();
    let mut flags: Vec<Flag> = Vec::new();
    for mark in picture.marks {
        let Some(x) = span.column(mark.time_ns, layout.map.w).map(|x| layout.map.x + x) else {
            continue;
        };
        match flags.last_mut() {
            Some(last) if last.x == x => {
                last.text.push_str(", ");
                last.text.push_str(&clean(&mark.text));
            }
            _ => flags.push(Flag { x, text: clean(&mark.text) }),
        }
    }
    flags.sort_by_key(|flag| flag.x);
    flags
}

/// A name shorter than this says nothing.
const LEAST_CHARACTERS: i32 = 3;

pub(super) fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
) -> Result<(), RenderError> {
    let face = layout.faces.plain;
    let flags = flags(picture, layout);
    for (index, flag) in flags.iter().enumerate() {
        let line = layout.marks.y;
        let top = if layout.marks.is_empty() { layout.map.y } else { line + 2 };
        for (top, bottom) in [(top, layout.map.bottom()), (layout.panel.y, layout.panel.bottom())] {
            // Two colours beside each other show on cells of any colour.
            pen.down(flag.x, top, bottom, INK)?;
            if flag.x + 1 < layout.map.right() {
                pen.down(flag.x + 1, top.max(layout.map.y), bottom, PAGE)?;
            }
        }
        let next = flags.get(index + 1).map_or(layout.marks.right(), |next| next.x);
        let left = flag.x + face.advance() / 2;
        let room = next - left - face.advance() / 2;
        if !layout.marks.is_empty() && room >= LEAST_CHARACTERS * face.advance() {
            pen.text(&face.fit(&flag.text, room), face, INK, (left, line), HPos::Left)?;
        }
    }
    Ok(())
}
