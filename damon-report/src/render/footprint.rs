//! Memory that is held against memory that is used, over time on one byte axis.

use plotters_backend::DrawingBackend;
use plotters_backend::text_anchor::HPos;

use crate::analysis::footprint::Footprint;
use crate::analysis::samples::Samples;

use super::RenderError;
use super::colour::{FRAME, GREY_INK, GRID, Rgb};
use super::furniture::{headings, ticks, time_axis, to_png, to_svg};
use super::heatmap::hatch_scale;
use super::layout::Rect;
use super::lines::{
    EXPECTED, RESIDENT, RIBBON, TOUCHED, byte_scale, cut_above, greatest, key_entry,
};
use super::num::{float, round_u64};
use super::one_plot::OnePlot;
use super::pen::Pen;
use super::series::{Columns, TimeSpan, height_at};
use super::units::bytes;

/// Memory in swap space.
const SWAPPED: Rgb = (136, 46, 114);
/// Resident memory, what is shared in proportion.
const PROPORTIONAL: Rgb = (17, 119, 51);
/// Memory of the machine.
const SYSTEM: Rgb = (110, 110, 110);

/// So many times everything else, the machine's memory is drawn on a scale of its own.
const OFF_SCALE: f64 = 4.0;

/// Everything the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// What was held.
    pub footprint: &'a Footprint,
    /// What was used, at the same time.
    pub working_set: &'a Samples,
    /// What: command, pid, duration.
    pub title: &'a str,
    /// How: backend, access kind, granularity, intervals.
    pub subtitle: &'a str,
    /// Left edge of the time axis, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// Right edge.
    pub end_ns: u64,
    /// Zero of the time axis: the start of the recording.
    pub origin_ns: u64,
}

/// The picture as PNG: the same input gives the same bytes, no font is needed.
pub fn footprint_png(
    picture: &Picture<'_>,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, RenderError> {
    let layout = OnePlot::new(width, height, 1)?;
    to_png(width, height, |pen| draw(pen, picture, &layout))
}

/// The picture as SVG.
pub fn footprint_svg(
    picture: &Picture<'_>,
    width: u32,
    height: u32,
) -> Result<String, RenderError> {
    let layout = OnePlot::new(width, height, 1)?;
    to_svg(width, height, picture.title, |pen| draw(pen, picture, &layout))
}

/// A line with its names, the longest first.
struct Line {
    columns: Columns,
    colour: Rgb,
    names: Vec<String>,
    /// The value of the upper edge, where that is not the plot's.
    own_top: Option<f64>,
}

impl Line {
    fn new(columns: Columns, colour: Rgb, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { columns, colour, names, own_top: None }
    }

    /// The longest name, the next one and so on; the last for ever.
    fn name(&self, shorter: usize) -> &str {
        self.names.get(shorter).or(self.names.last()).map_or("", String::as_str)
    }
}

/// All lines that there is something of, the working set first, and the greatest value on the plot's scale.
fn lines(picture: &Picture<'_>, width: i32) -> (Vec<Line>, f64) {
    let span = TimeSpan { start_ns: picture.start_ns, end_ns: picture.end_ns };
    let (mut touched, mut expected) = (Columns::new(span, width), Columns::new(span, width));
    for sample in picture.working_set {
        touched.add(sample.start_ns, sample.end_ns, float(sample.touched));
        expected.add(sample.start_ns, sample.end_ns, sample.expected);
    }
    let found = picture.footprint;
    let held = |values: Vec<(u64, u64)>| {
        let mut columns = Columns::new(span, width);
        let until = values.iter().skip(1).map(|value| value.0).chain([picture.end_ns]);
        for (&(from, value), to) in values.iter().zip(until) {
            columns.add(from, to.max(from), float(value));
        }
        columns
    };
    let resident = held(found.samples.iter().map(|s| (s.time_ns, s.rss)).collect());
    let shared = held(found.proportional.iter().map(|s| (s.time_ns, s.pss)).collect());
    let swapped = held(found.samples.iter().map(|s| (s.time_ns, s.swap)).collect());
    let system = held(found.machine.iter().map(|s| (s.time_ns, s.used)).collect());
    let most_touched = greatest(&[&touched]);
    let cut = cut_above(&touched, &expected, &resident);
    let mut top =
        cut.unwrap_or(most_touched).max(greatest(&[&expected, &resident, &shared, &swapped]));
    let most_system = greatest(&[&system]);
    let is_apart = top > 0.0 && most_system > OFF_SCALE * top;
    if !is_apart {
        top = top.max(most_system);
    }
    let mut lines = vec![
        Line::new(touched, TOUCHED, &["touched (upper)", "touched"]),
        Line::new(expected, EXPECTED, &["expected (lower)", "expected"]),
        Line::new(resident, RESIDENT, &["resident (RSS)", "RSS"]),
        Line::new(shared, PROPORTIONAL, &["proportional (PSS)", "PSS"]),
        Line::new(swapped, SWAPPED, &["swapped", "swap"]),
        Line::new(system, SYSTEM, &["system used", "system"]),
    ];
    if let (Some(_), [touched, ..]) = (cut, lines.as_mut_slice()) {
        let most = bytes(round_u64(most_touched));
        touched.names =
            vec![format!("touched off scale, max {most}"), format!("touched (max {most})")];
    }
    if let (true, [.., system]) = (is_apart, lines.as_mut_slice()) {
        system.own_top = Some(most_system);
        let most = bytes(round_u64(most_system));
        system.names =
            vec![format!("system used, own scale up to {most}"), format!("system (0..{most})")];
    }
    // Nothing swapped is no line on the axis.
    lines.retain(|line| !line.columns.is_empty());
    lines.retain(|line| line.colour != SWAPPED || greatest(&[&line.columns]) > 0.0);
    (lines, top)
}

/// Names lines as far as there is room, and returns how many.
fn key<B: DrawingBackend>(
    pen: &mut Pen<B>,
    layout: &OnePlot,
    lines: &[Line],
) -> Result<usize, RenderError> {
    let (faces, area) = (&layout.faces, layout.key);
    let width = |shorter: usize| -> i32 {
        lines.iter().map(|l| faces.plain.width(l.name(shorter)) + 5 * faces.advance()).sum()
    };
    let shorter = usize::from(width(0) > area.w);
    let mut x = area.x;
    for (named, line) in lines.iter().enumerate() {
        let name = line.name(shorter);
        if x + faces.plain.width(name) + 3 * faces.advance() > area.right() {
            return Ok(named);
        }
        x = key_entry(pen, faces, (x, area.y), line.colour, name)?;
    }
    Ok(lines.len())
}

fn draw<B: DrawingBackend>(
    pen: &mut Pen<B>,
    picture: &Picture<'_>,
    layout: &OnePlot,
) -> Result<(), RenderError> {
    let (faces, plot) = (&layout.faces, layout.plot);
    headings(pen, faces, (picture.title, layout.title), (picture.subtitle, layout.subtitle))?;
    let span = TimeSpan { start_ns: picture.start_ns, end_ns: picture.end_ns };
    let (mut lines, most) = lines(picture, plot.w);
    // A line without a name says nothing.
    let named = key(pen, layout, &lines)?;
    lines.truncate(named);
    let top = byte_scale(pen, faces, plot, most)?;
    let ticks = ticks(span, picture.origin_ns, plot, faces);
    for tick in &ticks {
        pen.down(tick.x, plot.y, plot.bottom(), GRID)?;
    }
    ribbon(pen, plot, top, &lines)?;
    let stroke = u32::try_from(hatch_scale(faces)).unwrap_or(1);
    for line in lines.iter().rev() {
        let top = line.own_top.unwrap_or(top);
        for path in line.columns.paths(plot, top, false) {
            pen.path(&path, line.colour, stroke)?;
        }
        // Where it leaves the plot.
        for (x, cell) in (plot.x..).zip(line.columns.cells()) {
            if cell.is_some_and(|s| s.greatest > top) {
                pen.fill(Rect::new(x, plot.y - 4, 1, 4), line.colour)?;
            }
        }
    }
    pen.down(plot.x - 1, plot.y, plot.bottom(), FRAME)?;
    pen.across(plot.x - 1, plot.right(), plot.bottom(), FRAME)?;
    let axis = Rect::new(plot.x, plot.bottom(), plot.w, faces.line() + 5);
    let limits = (plot.x - 4 * faces.advance(), plot.right() + faces.advance());
    time_axis(pen, faces, axis, &ticks, limits)?;
    let caption = faces.plain.fit("time since the recording began", plot.w);
    let at = (plot.x + plot.w / 2, axis.bottom());
    pen.text(&caption, faces.plain, GREY_INK, at, HPos::Center)
}

/// Between the two estimates of the working set.
fn ribbon<B: DrawingBackend>(
    pen: &mut Pen<B>,
    plot: Rect,
    top: f64,
    lines: &[Line],
) -> Result<(), RenderError> {
    let of = |colour: Rgb| lines.iter().find(|line| line.colour == colour);
    let (Some(touched), Some(expected)) = (of(TOUCHED), of(EXPECTED)) else {
        return Ok(());
    };
    let pairs = touched.columns.cells().iter().zip(expected.columns.cells());
    for (x, pair) in (plot.x..).zip(pairs) {
        if let (Some(upper), Some(lower)) = pair {
            let y0 = height_at(plot, top, upper.greatest);
            let y1 = height_at(plot, top, lower.least);
            pen.fill(Rect::new(x, y0, 1, y1 + 1 - y0), RIBBON)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::distribution::Distribution;
    use crate::analysis::footprint::{FootprintSample, MachineSample, ProportionalSample, Sizes};
    use crate::analysis::wss::WorkingSetSample;

    const MIB: u64 = 1 << 20;

    fn footprint(rss: u64, swap: u64, used: u64) -> Footprint {
        let sample = |time_ns| FootprintSample { time_ns, rss, swap, ..FootprintSample::default() };
        let machine = MachineSample { time_ns: 0, used, unavailable: used, swap: 0 };
        Footprint {
            targets: Vec::new(),
            proportional: Vec::new(),
            samples: if rss > 0 { vec![sample(10), sample(20)] } else { Vec::new() },
            sizes: Sizes::default(),
            machine: if used > 0 { vec![machine] } else { Vec::new() },
            machine_used: None,
            touched: Distribution::default(),
            expected: Distribution::default(),
            resident_per_touched: None,
            resident_per_expected: None,
            proportional_per_touched: None,
            proportional_per_expected: None,
        }
    }

    /// Names and the upper edge, MiB, of the picture of a hundred nanoseconds with 40 MiB touched in three of them, 5 MiB later.
    fn shown(footprint: &Footprint) -> (Vec<String>, u64) {
        let sample = |start_ns, end_ns, touched| WorkingSetSample {
            start_ns,
            end_ns,
            touched,
            expected: 3.0 * float(MIB),
            expected_low: 0.0,
            expected_high: 0.0,
            expected_lost: 0.0,
            monitored: 4096 * MIB,
        };
        let working_set: Samples =
            [sample(0, 3, 40 * MIB), sample(3, 100, 5 * MIB)].into_iter().collect();
        let picture = Picture {
            footprint,
            working_set: &working_set,
            title: "",
            subtitle: "",
            start_ns: 0,
            end_ns: 100,
            origin_ns: 0,
        };
        let (lines, top) = lines(&picture, 100);
        (lines.iter().map(|line| line.name(1).to_owned()).collect(), round_u64(top) / MIB)
    }

    #[test]
    fn what_there_is_has_a_line_and_the_machine_does_not_flatten_a_process() {
        let (names, top) = shown(&footprint(100 * MIB, 0, 0));
        assert_eq!((names.join(" "), top), ("touched expected RSS".to_owned(), 100));
        let (names, top) = shown(&footprint(100 * MIB, 200 * MIB, 300 * MIB));
        assert_eq!((names.join(" "), top), ("touched expected RSS swap system".to_owned(), 300));
        let (names, top) = shown(&footprint(100 * MIB, 0, 8192 * MIB));
        assert_eq!(names.last().map(String::as_str), Some("system (0..8 GiB)"));
        assert_eq!(top, 100);
        let mut shared = footprint(100 * MIB, 0, 0);
        shared.proportional = vec![ProportionalSample {
            time_ns: 10,
            pss: 60 * MIB,
            ..ProportionalSample::default()
        }];
        let (names, _) = shown(&shared);
        assert_eq!(names.join(" "), "touched expected RSS PSS");
        // So much more than all that is resident cannot be true.
        let (names, top) = shown(&footprint(11 * MIB, 0, 0));
        assert_eq!((names[0].as_str(), top), ("touched (max 40 MiB)", 11));
    }

    #[test]
    fn a_size_holds_from_its_sample_to_the_next_and_not_before_the_first() {
        let found = footprint(100 * MIB, 0, 0);
        let none = Samples::default();
        let picture = Picture {
            footprint: &found,
            working_set: &none,
            title: "",
            subtitle: "",
            start_ns: 0,
            end_ns: 100,
            origin_ns: 0,
        };
        let (lines, _) = lines(&picture, 10);
        let cells: Vec<bool> = lines[0].columns.cells().iter().map(Option::is_some).collect();
        assert_eq!((lines.len(), cells[0], cells[1], cells[9]), (1, false, true, true));
    }
}
