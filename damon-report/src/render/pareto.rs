//! Saving against promotions: all variants as faint points, the front, its knee, the choice, and the rate from which on it is felt.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID, INK, Rgb};
use super::furniture::{Tick, headings, time_axis, to_png, to_svg};
use super::heatmap::hatch_scale;
use super::layout::{Faces, Rect};
use super::lines::{EXPECTED, TOUCHED, byte_scale, key_entry};
use super::num::{coord, round, round_u64};
use super::one_plot::OnePlot;
use super::pen::Pen;
use super::series::height_at;
use super::units::bytes;

/// What is more than the limit.
const LIMIT: Rgb = (214, 96, 77);
/// A variant that is beaten by another.
const BEATEN: Rgb = (110, 118, 126);

/// A variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// Bytes.
    pub saving: f64,
    /// Per cent of the working set a minute.
    pub promotion: f64,
}

/// A variant with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Its position.
    pub at: usize,
    /// What it is: `knee: age 2 m`.
    pub label: String,
}

/// Characters of room right of the plot.
const RIGHT: i32 = 7;

/// Everything the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// What: command, pid, duration.
    pub title: &'a str,
    /// What was varied.
    pub subtitle: &'a str,
    /// All variants.
    pub dots: &'a [Dot],
    /// Positions of those on the front, ascending in both.
    pub front: &'a [usize],
    /// Those that are named, the most important one first; two at most.
    pub named: &'a [Named],
    /// From where on promotions are felt, per cent.
    pub limit: f64,
    /// What is 100 % on the right: bytes, and what they are.
    pub whole: (f64, &'a str),
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn pareto_png(picture: &Picture<'_>, width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let layout = OnePlot::new(width, height, RIGHT)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn pareto_svg(picture: &Picture<'_>, width: u32, height: u32) -> Result<String, RenderError> {
    let layout = OnePlot::new(width, height, RIGHT)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

/// Promotion rates on a logarithmic axis, with a place of its own for none.
struct Axis {
    /// Where none is.
    zero: i32,
    /// The logarithmic part.
    from: i32,
    width: i32,
    least: f64,
    most: f64,
}

/// Decades that are shown; what is less than that is as good as none.
const DECADES: i32 = 6;

impl Axis {
    fn new(picture: &Picture<'_>, plot: Rect, advance: i32) -> Self {
        let rates = || picture.dots.iter().map(|dot| dot.promotion).chain([picture.limit]);
        let positive = || rates().filter(|rate| *rate > 0.0 && rate.is_finite());
        let most = positive().fold(picture.limit.max(1e-9), f64::max);
        let least = positive().fold(most, f64::min).max(most / 10_f64.powi(DECADES));
        // Some room on both sides.
        let (least, most) = (least / 1.5, most * 1.5);
        let has_zero = rates().any(|rate| rate < least);
        let lane = if has_zero { (4 * advance).min(plot.w / 4) } else { 0 };
        Self { zero: plot.x + lane / 2, from: plot.x + lane, width: plot.w - lane, least, most }
    }

    fn x(&self, rate: f64) -> i32 {
        if rate < self.least {
            return self.zero;
        }
        let share = (rate / self.least).ln() / (self.most / self.least).ln();
        self.from + round(share.clamp(0.0, 1.0) * f64::from(self.width - 1))
    }

    /// 1, 2 and 5 of each power of ten, or only 1 where these are many.
    fn ticks(&self, plot: Rect) -> Vec<Tick> {
        let decades = (self.most / self.least).log10();
        let numbers: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        if self.from > plot.x {
            ticks.push(Tick { x: self.zero, label: "0".to_owned() });
        }
        for power in -12..=12 {
            for number in numbers {
                let rate = number * 10_f64.powi(power);
                if rate >= self.least && rate <= self.most {
                    ticks.push(Tick { x: self.x(rate), label: per_cent(rate) });
                }
            }
        }
        ticks
    }
}

/// `0.02 %`, `150 %`.
fn per_cent(rate: f64) -> String {
    let digits = [(1.0, 0_usize), (0.1, 1), (0.01, 2), (0.001, 3), (0.000_1, 4)];
    let found = digits.into_iter().find(|(least, _)| rate >= *least * 0.999);
    format!("{rate:.*} %", found.map_or(5, |(_, digits)| digits))
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &OnePlot,
) -> Result<(), RenderError> {
    let (faces, plot) = (&layout.faces, layout.plot);
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    key(pen, picture, layout)?;
    let most = picture.dots.iter().map(|dot| dot.saving).fold(1.0, f64::max);
    let top = byte_scale(pen, faces, plot, most * 1.05)?;
    shares(pen, faces, plot, top, picture.whole.0)?;
    let axis = Axis::new(picture, plot, faces.advance());
    let ticks = axis.ticks(plot);
    for tick in &ticks {
        pen.down(tick.x, plot.y, plot.bottom(), GRID)?;
    }
    let limit = axis.x(picture.limit);
    pen.tint(Rect::new(limit, plot.y, plot.right() - limit, plot.h), LIMIT, 0.05)?;
    pen.fill(Rect::new(limit, plot.y, 2, plot.h), LIMIT)?;
    let scale = coord(hatch_scale(faces)).max(1);
    let place = |dot: &Dot| (axis.x(dot.promotion), height_at(plot, top, dot.saving));
    for dot in picture.dots {
        square(pen, place(dot), scale + 1, BEATEN, 0.35)?;
    }
    let front: Vec<(i32, i32)> =
        picture.front.iter().filter_map(|at| picture.dots.get(*at)).map(place).collect();
    // What can be had for a rate is what the best one up to it saves.
    let corners = front.windows(2).filter_map(|pair| match pair {
        [one, next] => Some([*one, (next.0, one.1)]),
        _ => None,
    });
    let steps: Vec<(i32, i32)> = corners.flatten().chain(front.last().copied()).collect();
    if steps.len() > 1 {
        pen.path(&steps, TOUCHED, u32::try_from(scale).unwrap_or(1))?;
    }
    for at in &front {
        square(pen, *at, scale + 2, TOUCHED, 1.0)?;
    }
    name(pen, picture, layout, &place)?;
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.down(plot.right(), plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)?;
    let below = Rect::new(plot.x, plot.bottom(), plot.w, faces.line() + 5);
    let limits = (plot.x - 4 * faces.advance(), plot.right() + 2 * faces.advance());
    time_axis(pen, faces, below, &ticks, limits)?;
    let caption = "bytes that came back per minute, of the working set";
    let at = (plot.x + plot.w / 2, below.bottom());
    pen.text(&faces.plain.fit(caption, plot.w), faces.plain, GREY_INK, at, HPos::Center)
}

fn square<B: DrawingBackend>(
    pen: &mut Pen<B>,
    (x, y): (i32, i32),
    half: i32,
    colour: Rgb,
    alpha: f64,
) -> Result<(), RenderError> {
    pen.tint(Rect::new(x - half, y - half, 2 * half + 1, 2 * half + 1), colour, alpha)
}

fn key<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &OnePlot,
) -> Result<(), RenderError> {
    let (faces, area) = (&layout.faces, layout.key);
    let entries = [
        (TOUCHED, "nothing saves as much with less".to_owned()),
        (BEATEN, format!("all {} variants", picture.dots.len())),
        (LIMIT, format!("{}: felt from here on", per_cent(picture.limit))),
    ];
    let mut x = area.x;
    for (colour, text) in entries {
        if x + faces.plain.width(&text) + 3 * faces.advance() > area.right() + 7 * faces.advance() {
            break;
        }
        x = key_entry(pen, faces, (x, area.y), colour, &text)?;
    }
    Ok(())
}

/// Round shares of the whole on the right.
fn shares<B: DrawingBackend>(
    pen: &mut Pen<B>,
    faces: &Faces,
    plot: Rect,
    top: f64,
    whole: f64,
) -> Result<(), RenderError> {
    if whole <= 0.0 || top <= 0.0 {
        return Ok(());
    }
    let most = top / whole * 100.0;
    let room = f64::from((plot.h / (2 * faces.line()).max(1)).max(1));
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0];
    let step = steps.into_iter().find(|step| most / step <= room).unwrap_or(most);
    let mut index = 0_u32;
    while f64::from(index) * step <= most && index < 100 {
        let percent = f64::from(index) * step;
        let y = height_at(plot, top, percent / 100.0 * whole);
        pen.across(plot.right(), plot.right() + 4, y, FRAME)?;
        let digits = usize::from(step < 1.0);
        let text = format!("{percent:.digits$} %");
        let at = (plot.right() + 7, y - faces.line() / 2);
        pen.text(&text, faces.plain, INK, at, HPos::Left)?;
        index += 1;
    }
    Ok(())
}

/// The named variants, each with a box around it and its label beside it.
fn name<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &OnePlot,
    place: &impl Fn(&Dot) -> (i32, i32),
) -> Result<(), RenderError> {
    let (faces, plot) = (&layout.faces, layout.plot);
    let (line, advance) = (faces.line(), faces.advance());
    let mut taken: Option<i32> = None;
    for (named, colour) in picture.named.iter().zip([LIMIT, EXPECTED]) {
        let Some(dot) = picture.dots.get(named.at) else { continue };
        let (x, y) = place(dot);
        let half = line / 3;
        for grown in 0..2 {
            let side = 2 * (half + grown) + 1;
            pen.frame(Rect::new(x - half - grown, y - half - grown, side, side), colour)?;
        }
        let percent = if picture.whole.0 > 0.0 {
            format!(" ({:.1} % of {})", dot.saving / picture.whole.0 * 100.0, picture.whole.1)
        } else {
            String::new()
        };
        let saving = bytes(round_u64(dot.saving));
        let rows =
            [named.label.clone(), format!("{saving}{percent}, {} a minute", rate(dot.promotion))];
        // Left of the front and above it there is nothing: it would beat the front.
        let widest = rows.iter().map(|row| faces.plain.width(row)).max().unwrap_or(0);
        let left = (x - half - advance - widest).max(plot.x + advance);
        let mut text_y = (y - half - 2 * line - 2).max(plot.y);
        if let Some(before) = taken.filter(|before| (text_y - before).abs() < 2 * line + 4) {
            let above = before - 2 * line - 4;
            text_y = if above >= plot.y { above } else { before + 2 * line + 4 };
        }
        taken = Some(text_y);
        pen.tint(Rect::new(left - 3, text_y, widest + 6, 2 * line), (255, 255, 255), 0.7)?;
        let [first, second] = rows;
        let fits = plot.right() - left;
        pen.text(&faces.bold.fit(&first, fits), faces.bold, INK, (left, text_y), HPos::Left)?;
        let at = (left, text_y + line);
        pen.text(&faces.plain.fit(&second, fits), faces.plain, GREY_INK, at, HPos::Left)?;
    }
    Ok(())
}

/// Three digits of a rate in per cent.
fn rate(rate: f64) -> String {
    let digits = match rate {
        r if r >= 99.95 || r <= 0.0 => 0,
        r if r >= 9.995 => 1,
        r if r >= 0.995 => 2,
        _ => 3,
    };
    format!("{rate:.digits$} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::num::float;

    fn picture<'a>(dots: &'a [Dot], front: &'a [usize]) -> Picture<'a> {
        Picture {
            title: "",
            subtitle: "",
            dots,
            front,
            named: &[],
            limit: 0.2,
            whole: (float(1 << 30), "resident"),
        }
    }

    #[test]
    fn none_has_a_place_of_its_own_and_the_limit_is_always_shown() {
        let plot = Rect::new(100, 0, 1000, 100);
        let dot = |promotion| Dot { saving: 1.0, promotion };
        let dots = [dot(0.0), dot(2.0), dot(20.0)];
        let axis = Axis::new(&picture(&dots, &[]), plot, 10);
        assert!(axis.zero > plot.x && axis.zero < axis.from);
        assert_eq!(axis.x(0.0), axis.zero);
        assert!(
            axis.from <= axis.x(0.2) && axis.x(0.2) < axis.x(2.0) && axis.x(20.0) < plot.right()
        );
        let labels: Vec<String> = axis.ticks(plot).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["0", "0.2 %", "0.5 %", "1 %", "2 %", "5 %", "10 %", "20 %"]);
        let axis = Axis::new(&picture(&dots[1..], &[]), plot, 10);
        assert_eq!(axis.from, plot.x, "nothing is at none");
        // So little more than none that it cannot be told apart.
        let dots = [dot(1e-9), dot(20.0)];
        let axis = Axis::new(&picture(&dots, &[]), plot, 10);
        assert_eq!(axis.x(1e-9), axis.zero);
    }

    #[test]
    fn nothing_and_nonsense_can_be_drawn() {
        for dots in [
            vec![],
            vec![Dot { saving: 0.0, promotion: 0.0 }],
            vec![Dot { saving: f64::NAN, promotion: f64::INFINITY }],
        ] {
            let front: Vec<usize> = (0..dots.len()).collect();
            assert!(pareto_svg(&picture(&dots, &front), 640, 400).unwrap().contains("</svg>"));
        }
    }
}
