//! The legend: what the colours mean.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use super::RenderError;
use super::cells::hatch;
use super::colour::{ColourMap, FRAME, GREY_INK, INK, Scale, bar_level};
use super::heatmap::{Picture, SINCE, hatch_scale};
use super::layout::{Layout, Rect};
use super::num::{count, round};
use super::pen::Pen;
use super::units::{percent, short_percent};

pub(super) fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
    colours: &ColourMap<'_>,
    says_since: bool,
) -> Result<(), RenderError> {
    let faces = &layout.faces;
    let (line, advance) = (faces.line(), faces.advance());
    let area = layout.legend;
    let tall = area.h >= 2 * line;
    let bar_height = if tall { line * 3 / 4 } else { line * 5 / 8 };
    let bar_top = area.y + (line - bar_height) / 2;
    if tall {
        // Zero has a swatch of its own: it is a statement, not the left end of a gradient.
        let left = layout.map.x.min(area.x + 15 * advance);
        let zero = Rect::new(left, bar_top, 3 * advance, bar_height);
        pen.fill(zero, colours.colour(0))?;
        outline(pen, zero)?;
        let width = (layout.map.w / 3).clamp(24 * advance, 60 * advance);
        let bar = Rect::new(zero.right() + 2 * advance, bar_top, width, bar_height);
        gradient(pen, bar, colours)?;
        let text = percent(0.0);
        let x = zero.x + (zero.w - faces.plain.width(&text)) / 2;
        let below = bar.bottom() + 4;
        pen.text(&text, faces.plain, INK, (x, below), HPos::Left)?;
        let mut free_from = x + faces.plain.width(&text);
        for (place, rate) in colours.landmarks() {
            let x = bar.x + round(place * f64::from((bar.w - 1).max(0)));
            let text = short_percent(rate);
            // The first label may begin with the bar, so that it does not meet that of zero.
            let middle = x - faces.plain.width(&text) / 2;
            let left = if x == bar.x { bar.x } else { middle };
            pen.down(x, bar.bottom(), bar.bottom() + 3, FRAME)?;
            if left >= free_from {
                pen.text(&text, faces.plain, INK, (left, below), HPos::Left)?;
                free_from = left + faces.plain.width(&text) + advance;
            }
        }
        let x = bar.right() + 2 * advance;
        let room = count((area.right() - x) / advance);
        let meaning = picture.meaning(room) + &picture.looks(room);
        pen.text(&meaning, faces.plain, INK, (x, area.y), HPos::Left)?;
        let y = area.y + line + 5;
        let x = x.max(free_from + advance);
        let x = swatch(pen, layout, Rect::new(x, y + line / 6, 2 * line, line * 2 / 3))?;
        let text = "not monitored";
        let x = put(pen, layout, (x, y), text)?;
        let torn = "white stripe: addresses left out";
        let fits = x + faces.plain.width(torn) <= area.right();
        let x = if (1..line).contains(&layout.gap) && layout.bands.len() > 1 && fits {
            put(pen, layout, (x, y), torn)?
        } else {
            x
        };
        let scale = format!("colour scale: {}", picture.look.scale.as_str());
        let time = if says_since { String::new() } else { format!("time {SINCE}") };
        let mut x = x;
        for text in [scale, time] {
            let width = faces.plain.width(&text);
            if width > 0 && x + width <= area.right() {
                pen.text(&text, faces.plain, GREY_INK, (x, y), HPos::Left)?;
                x += width + 3 * advance;
            }
        }
        return Ok(());
    }
    let marks = colours.landmarks();
    let least = match picture.look.scale {
        Scale::Linear | Scale::Sqrt => 0.0,
        Scale::Log | Scale::Rank => marks.first().map_or(0.0, |(_, rate)| *rate),
    };
    let low = short_percent(least);
    let high = marks.last().map_or_else(|| percent(100.0), |(_, rate)| short_percent(*rate));
    let x = put(pen, layout, (area.x, area.y), &low)? - advance;
    let bar = Rect::new(x, bar_top, (area.w / 4).max(8 * advance), bar_height);
    gradient(pen, bar, colours)?;
    let x = put(pen, layout, (bar.right() + advance, area.y), &high)?;
    let needed = 2 * line + advance + faces.plain.width("not monitored");
    let room = area.right() - x - needed - 2 * advance;
    let x = put(pen, layout, (x, area.y), &picture.meaning(count(room / advance)))?;
    if x + needed <= area.right() {
        let x = swatch(pen, layout, Rect::new(x, bar_top, 2 * line, bar_height))?;
        put(pen, layout, (x, area.y), "not monitored")?;
    }
    Ok(())
}

/// Writes and returns where the next thing may begin.
fn put<B: DrawingBackend>(
    pen: &mut Pen<B>,
    layout: &Layout,
    at: (i32, i32),
    text: &str,
) -> Result<i32, RenderError> {
    if text.is_empty() {
        return Ok(at.0);
    }
    let text = layout.faces.plain.fit(text, layout.legend.right() - at.0);
    pen.text(&text, layout.faces.plain, INK, at, HPos::Left)?;
    Ok(at.0 + layout.faces.plain.width(&text) + 2 * layout.faces.advance())
}

fn gradient<B: DrawingBackend>(
    pen: &mut Pen<B>,
    bar: Rect,
    colours: &ColourMap<'_>,
) -> Result<(), RenderError> {
    let width = count(bar.w);
    let line = (0..width).flat_map(|x| {
        let (r, g, b) = colours.colour(bar_level(x, width));
        [r, g, b]
    });
    let line: Vec<u8> = line.collect();
    pen.image(bar, &line.repeat(count(bar.h)))?;
    outline(pen, bar)
}

/// A sample of "not monitored"; returns where its text begins.
fn swatch<B: DrawingBackend>(
    pen: &mut Pen<B>,
    layout: &Layout,
    area: Rect,
) -> Result<i32, RenderError> {
    let scale = hatch_scale(&layout.faces);
    let (width, height) = (count(area.w), count(area.h));
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (r, g, b) = hatch(count(area.x) + x, count(area.y) + y, scale);
            pixels.extend([r, g, b]);
        }
    }
    pen.image(area, &pixels)?;
    outline(pen, area)?;
    Ok(area.right() + layout.faces.advance())
}

fn outline<B: DrawingBackend>(pen: &mut Pen<B>, area: Rect) -> Result<(), RenderError> {
    pen.frame(Rect::new(area.x - 1, area.y - 1, area.w + 2, area.h + 2), FRAME)
}
