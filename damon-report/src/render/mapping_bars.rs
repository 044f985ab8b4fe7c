//! Horizontal bars: how much of each mapping was used.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID, INK, PAGE, Rgb};
use super::furniture::{headings, to_png, to_svg};
use super::layout::{Faces, Rect, Sheet};
use super::lines::{EXPECTED, TOUCHED, key_entry};
use super::num::{coord, count, float, round, round_u64};
use super::pen::Pen;
use super::text::fit;
use super::units::{byte_axis, bytes};

/// All of a mapping.
const SIZE: Rgb = (210, 216, 222);
/// What was idle.
const IDLE: Rgb = (214, 160, 80);

/// One mapping; all sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is called.
    pub name: String,
    /// All of it.
    pub size: f64,
    /// Touched working set.
    pub touched: f64,
    /// Expected working set.
    pub expected: f64,
    /// What was idle, where that is known.
    pub idle: Option<f64>,
}

/// Everything the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// What: command, pid, duration.
    pub title: &'a str,
    /// How: backend, access kind, granularity, intervals.
    pub subtitle: &'a str,
    /// What idle means: `idle for 10 s`.
    pub idle: &'a str,
    /// From top to bottom; those that find no room are counted.
    pub bars: &'a [Bar],
    /// So many more were left out before.
    pub others: usize,
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn mappings_png(
    picture: &Picture<'_>,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, RenderError> {
    let layout = Layout::new(width, height)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn mappings_svg(picture: &Picture<'_>, width: u32, height: u32) -> Result<String, RenderError> {
    let layout = Layout::new(width, height)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

#[derive(Debug)]
struct Layout {
    faces: Faces,
    title: Rect,
    subtitle: Rect,
    key: Rect,
    names: Rect,
    plot: Rect,
    values: Rect,
}

impl Layout {
    fn new(width: u32, height: u32) -> Result<Self, RenderError> {
        let Sheet { w, h, faces, margin, title, subtitle } = Sheet::new(width, height)?;
        let (line, advance) = (faces.line(), faces.advance());
        let inner = w - 2 * margin;
        let key = Rect::new(margin, subtitle.bottom() + line / 2, inner, line);
        let top = key.bottom() + line * 3 / 4;
        let bottom = h - margin / 2 - line - 6;
        let names = Rect::new(margin, top, inner * 3 / 10, bottom - top);
        let values_width = if w >= 90 * advance { 11 * advance } else { 0 };
        let left = names.right() + advance;
        let plot_width = w - margin - values_width - left;
        Ok(Self {
            faces,
            title,
            subtitle,
            key,
            names,
            plot: Rect::new(left, top, plot_width, bottom - top),
            values: Rect::new(left + plot_width, top, values_width, bottom - top),
        })
    }
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
) -> Result<(), RenderError> {
    let faces = &layout.faces;
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    draw_key(pen, picture, layout)?;
    let plot = layout.plot;
    let least = (faces.line() * 7 / 4).max(1);
    let room = count(plot.h / least);
    let all = picture.bars.len().saturating_add(picture.others);
    let step = (plot.h / coord(all).max(1)).clamp(least, 2 * least);
    // The last line says how many found no room.
    let shown = if all > room || picture.others > 0 { room.saturating_sub(1) } else { room };
    let shown = picture.bars.get(..shown).unwrap_or(picture.bars);
    let most = longest(shown, !layout.values.is_empty());
    let ticks =
        byte_axis(round_u64(most.ceil()), count(plot.w / (12 * faces.advance())).clamp(1, 8));
    let top = ticks.last().map_or(1.0, |value| float(*value));
    let place = |value: f64| round((value / top).clamp(0.0, 1.0) * f64::from(plot.w - 1));
    for value in &ticks {
        let x = plot.x + place(float(*value));
        pen.down(x, plot.y, plot.bottom() + 4, GRID)?;
        let text = bytes(*value);
        let half = faces.plain.width(&text) / 2;
        let x = x.min(layout.values.right().max(plot.right()) - half);
        pen.text(&text, faces.plain, INK, (x, plot.bottom() + 5), HPos::Center)?;
    }
    for (index, bar) in shown.iter().enumerate() {
        let y = plot.y + coord(index) * step;
        let text = fit_name(&bar.name, count(layout.names.w / faces.advance().max(1)));
        pen.text(
            &text,
            faces.plain,
            INK,
            (layout.names.right(), y + (step * 3 / 4 - faces.line()) / 2),
            HPos::Right,
        )?;
        let height = step * 3 / 4;
        pen.fill(Rect::new(plot.x, y, place(bar.size) + 1, height), SIZE)?;
        if let Some(idle) = bar.idle.filter(|idle| *idle > 0.0) {
            // From the right, since what is idle is not touched; of a bar that is cut, what lies before the cut.
            let to = place(bar.size) + 1;
            let from = place(bar.size - idle).min(to - 1);
            pen.fill(Rect::new(plot.x + from, y + height * 2 / 3, to - from, height / 3), IDLE)?;
        }
        let parts = [(bar.touched, TOUCHED, 0), (bar.expected, EXPECTED, height / 3)];
        for (value, colour, down) in parts.into_iter().filter(|part| part.0 > 0.0) {
            pen.fill(Rect::new(plot.x, y + down, place(value) + 1, height / 3), colour)?;
        }
        if bar.size > top {
            for stripe in 1..=2 {
                let x = plot.right() - 2 * stripe * faces.advance();
                pen.fill(Rect::new(x, y, faces.advance() / 2, height), PAGE)?;
            }
        }
        if !layout.values.is_empty() {
            let at = (layout.values.right(), y + (height - faces.line()) / 2);
            pen.text(&bytes(round_u64(bar.size)), faces.plain, GREY_INK, at, HPos::Right)?;
        }
    }
    let left = all - shown.len();
    if left > 0 {
        let y = plot.y + coord(shown.len()) * step + step / 8;
        let text = format!("{left} more");
        pen.text(&text, faces.plain, GREY_INK, (layout.names.right(), y), HPos::Right)?;
    }
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)
}

/// A name in so many characters: of a path the end, which tells more than its start.
pub(super) fn fit_name(name: &str, room: usize) -> String {
    let surplus = name.chars().count().saturating_sub(room);
    if surplus == 0 || !name.starts_with('/') {
        return fit(name, room);
    }
    let kept: String = name.chars().skip(surplus.saturating_add(2)).collect();
    fit(&format!("..{kept}"), room)
}

/// So many times what has to be shown of it, the longest bar is cut if its size stands beside it: as addresses that were never
/// mapped, of which there are gigabytes between the mappings of many programs.
const OFF_SCALE: f64 = 5.0;

/// What the longest bar that is not cut stands for, bytes: all of the others, and what was touched of any.
fn longest(bars: &[Bar], may_cut: bool) -> f64 {
    let mut sizes: Vec<f64> = bars.iter().map(|bar| bar.size).collect();
    sizes.sort_unstable_by(|a, b| f64::total_cmp(b, a));
    let used = bars.iter().map(|bar| bar.touched.max(bar.expected)).fold(0.0, f64::max);
    match sizes.as_slice() {
        [first, second, ..] if may_cut && *second > 0.0 => {
            let shown = second.max(used);
            if *first > OFF_SCALE * shown { shown * 1.5 } else { first.max(1.0) }
        }
        [first, ..] => first.max(1.0),
        [] => 1.0,
    }
}

fn draw_key<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &Layout,
) -> Result<(), RenderError> {
    let (faces, area) = (&layout.faces, layout.key);
    let idle = if picture.bars.iter().any(|bar| bar.idle.is_some()) { picture.idle } else { "" };
    let long = [
        ("monitored", SIZE),
        ("touched (upper)", TOUCHED),
        ("expected (lower)", EXPECTED),
        (idle, IDLE),
    ];
    let short = [("all", SIZE), ("touched", TOUCHED), ("expected", EXPECTED), (idle, IDLE)];
    let fits = |entries: &[(&str, Rgb); 4]| {
        let words: i32 = entries.iter().map(|(name, _)| faces.plain.width(name)).sum();
        words + 4 * 5 * faces.advance() <= area.w
    };
    let Some(entries) = [long, short].into_iter().find(fits) else {
        return Ok(());
    };
    let mut x = area.x;
    for (name, colour) in entries.into_iter().filter(|(name, _)| !name.is_empty()) {
        x = key_entry(pen, faces, (x, area.y), colour, name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_ends() {
        assert_eq!(fit_name("/usr/lib/libwork.so.1 +0x26000", 20), "..work.so.1 +0x26000");
        assert_eq!(fit_name("/usr/lib/a", 10), "/usr/lib/a");
        assert_eq!(fit_name("anonymous 64 MiB #0", 12), "anonymous ..");
        assert!(fit_name("/usr/lib/a", 1).chars().count() <= 1);
    }

    #[test]
    fn one_huge_bar_is_cut_where_its_size_is_written() {
        let bar = |size| Bar { name: String::new(), size, touched: 0.0, expected: 0.0, idle: None };
        let bars = [bar(30.0), bar(1200.0), bar(4.0)];
        assert_eq!(round(longest(&bars, true)), 45);
        assert_eq!(round(longest(&bars, false)), 1200);
        assert_eq!(round(longest(&[bar(30.0), bar(140.0)], true)), 140);
        // What was used of it stays in sight.
        let used = |touched| Bar { touched, ..bar(1200.0) };
        assert_eq!(round(longest(&[bar(30.0), used(100.0)], true)), 150);
        assert_eq!(round(longest(&[bar(30.0), used(400.0)], true)), 1200);
        assert_eq!(round(longest(&[bar(30.0)], true)), 30);
        assert_eq!(round(longest(&[], true)), 1);
    }
}
