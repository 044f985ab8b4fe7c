//! `heatmap`: hotness over time and address.

use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::Screen;
use super::words::{percent, wrapped};
use super::{Streams, has_snapshots};
use crate::analysis::axis::BandSpan;
use crate::analysis::cells::{Cell, Pool, Ranks};
use crate::analysis::heat::{Frame, Heatmap, NamedRange, TargetName};
use crate::analysis::load::Trace;
use crate::analysis::num::{edge, float};
use crate::analysis::summary;
use crate::analysis::view::{Drawn, LeftOut, View, Wanted};
use crate::analysis::wss::{WorkingSet, WorkingSetOptions};
use crate::cli::{Colors, Format, HeatmapArgs, Pooling, Saturation};
use crate::exit::Failure;
use crate::render::heatmap::{Picture, grid, heatmap_png, heatmap_svg, max_bands, readable_bands};
use crate::render::{Extras, Grid, Look, Palette, Scale, terminal as text};
use damon_format::{AccessKind, Mark, Record, TargetId};
use serde::Serialize;
use std::io::{self, Write};
use std::ops::Range;

/// Cells of the JSON and CSV output unless told otherwise.
pub(super) const COLUMNS: usize = 100;
pub(super) const ROWS: usize = 50;

pub(super) fn run(args: &HeatmapArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    let (trace, view) =
        View::open_for_picture::<Failure>(&args.file, &args.part.query(), terminal.reading)?;
    terminal.warn(trace.name(), &view.overview.damage);
    has_snapshots(&trace, &view)?;
    match file {
        Some(file) => picture(args, &trace, &view, file, terminal),
        None => match args.format {
            Format::Text => text(args, &trace, &view, terminal),
            Format::Json | Format::Csv => cells(args, &trace, &view, terminal),
        },
    }
}

/// What had no room, in words.
fn missing(left_out: &LeftOut) -> Option<String> {
    let s = if left_out.ranges == 1 { "" } else { "s" };
    (left_out.ranges > 0).then(|| {
        format!(
            "{} address range{s} with {} % of the heat",
            left_out.ranges,
            percent(left_out.heat_share)
        )
    })
}

/// What all drawings show, whatever they are made of.
pub(super) struct Drawing {
    heatmap: Heatmap,
    pub(super) working_set: WorkingSet,
    title: String,
    subtitle: String,
    access: AccessKind,
    origin_ns: u64,
    samples_per_second: Option<f64>,
    marks: Vec<Mark>,
    marginal: Vec<Vec<Cell>>,
    show_marginal: bool,
    look: Look,
}

impl Drawing {
    /// `grid` has the resolution for the bands; says what does not fit.
    fn new(
        args: &HeatmapArgs,
        trace: &Trace,
        view: &View,
        (most, readable): (usize, usize),
        grid: impl Fn(&[Range<u64>], Extras) -> Result<Grid, Failure>,
        terminal: &mut Streams<'_>,
    ) -> Result<Self, Failure> {
        // Pictures show no intervals.
        let options = WorkingSetOptions::without_intervals(1);
        let wanted = Wanted { unmapped: args.unmapped, most, readable, options };
        let drawn =
            view.picture(trace, &wanted, |bands| fitted(view, bands, args.marginal, &grid))?;
        let Drawn { left_out, heatmap, working_set } = drawn;
        Ok(Self::of(args, (trace, view), (heatmap, &left_out), working_set, terminal))
    }

    /// Of what was computed already.
    pub(super) fn of(
        args: &HeatmapArgs,
        (trace, view): (&Trace, &View),
        (mut heatmap, left_out): (Heatmap, &LeftOut),
        working_set: WorkingSet,
        terminal: &mut Streams<'_>,
    ) -> Self {
        let mut subtitle = subtitle(trace, view);
        if let Some(what) = missing(left_out) {
            terminal.say(&format!(
                "note: not shown: {what}; a larger picture, --address or --target shows it"
            ));
            if args.output.is_some() {
                subtitle.push_str("; not shown: ");
                subtitle.push_str(&what);
            }
        }
        name_targets(&mut heatmap);
        Self {
            look: look(args, &heatmap),
            marginal: heatmap.marginal(),
            show_marginal: args.marginal,
            heatmap,
            working_set,
            title: title(view),
            subtitle,
            access: trace.info().backend.access,
            origin_ns: view.origin_ns,
            samples_per_second: samples_per_second(view),
            marks: marks(view),
        }
    }

    pub(super) fn picture(&self) -> Picture<'_> {
        Picture {
            heatmap: &self.heatmap,
            working_set: &self.working_set.samples,
            resident: &self.working_set.resident,
            title: &self.title,
            subtitle: &self.subtitle,
            access: self.access,
            origin_ns: self.origin_ns,
            samples_per_second: self.samples_per_second,
            marks: &self.marks,
            marginal: &self.marginal,
            show_marginal: self.show_marginal,
            look: &self.look,
        }
    }
}

/// Columns, and rows of each band, of a drawing that has room for marks and names. How high the bands are does not depend on
/// names, and which names there are does on that.
pub(super) fn fitted(
    view: &View,
    bands: &[BandSpan],
    marginal: bool,
    grid: &impl Fn(&[Range<u64>], Extras) -> Result<Grid, Failure>,
) -> Result<(usize, Vec<usize>), Failure> {
    let ranges: Vec<_> = bands.iter().map(|band| band.range.clone()).collect();
    let extras = Extras { marks: !marks(view).is_empty(), marginal, names: 0 };
    let Grid { columns, rows } = grid(&ranges, extras)?;
    let frame = view.frame(columns, bands.to_vec(), rows);
    let targets = frame.targets(&view.overview);
    let mut names = frame.names(&view.overview);
    for (band, names) in bands.iter().zip(&mut names) {
        name_target(&targets, band.target, names);
    }
    let named = ranges.iter().cloned().zip(names.iter().map(Vec::as_slice));
    let extras = extras.with_names(&named.collect::<Vec<_>>());
    let Grid { columns, rows } = grid(&ranges, extras)?;
    Ok((columns, rows))
}

/// The user's marks in the selected time, ascending.
fn marks(view: &View) -> Vec<Mark> {
    let time = view.time();
    let marks = view.overview.records.iter().filter_map(|record| match record {
        Record::Mark(mark) if (time.start..=time.end).contains(&mark.time_ns) => Some(mark.clone()),
        _ => None,
    });
    let mut marks: Vec<Mark> = marks.collect();
    marks.sort_by_key(|mark| mark.time_ns);
    marks
}

/// Samples a second, where all snapshots have the same sampling interval.
fn samples_per_second(view: &View) -> Option<f64> {
    let mut intervals = view.overview.samplings.iter().map(|s| s.sample_us);
    let first = intervals.next().filter(|us| *us > 0)?;
    intervals.all(|us| us == first).then(|| 1e6 / float(first))
}

fn look(args: &HeatmapArgs, heatmap: &Heatmap) -> Look {
    let scale = match args.scale {
        Saturation::Sqrt => Scale::Sqrt,
        Saturation::Linear => Scale::Linear,
        Saturation::Log => Scale::Log,
        Saturation::Rank => Scale::Rank,
    };
    let palette = match args.colors {
        Colors::Dusk => Palette::Dusk,
        Colors::Inferno => Palette::Inferno,
        Colors::Viridis => Palette::Viridis,
        Colors::Cividis => Palette::Cividis,
        Colors::Magma => Palette::Magma,
        Colors::Grey => Palette::Grey,
    };
    let pool = match args.pool {
        Pooling::Mean => Pool::Mean,
        Pooling::Max => Pool::Max,
    };
    let ranks = if scale == Scale::Rank { heatmap.ranks(pool) } else { Ranks::default() };
    Look { scale, palette, pool, ranks }
}

/// Fewer cells than pixels: every band keeps its share of the rows, and one at least.
pub(super) fn coarser(grid: Grid, resolution: Option<(usize, usize)>) -> Grid {
    let Some((columns, rows)) = resolution else {
        return grid;
    };
    let pixels = grid.rows.iter().sum::<usize>().max(1);
    let share = |of: &usize| (of.saturating_mul(rows) / pixels).max(1).min((*of).max(1));
    Grid { columns: columns.min(grid.columns).max(1), rows: grid.rows.iter().map(share).collect() }
}

fn name_targets(heatmap: &mut Heatmap) {
    for band in &mut heatmap.bands {
        name_target(&heatmap.targets, band.target, &mut band.mappings);
    }
}

/// With several targets in one picture, a mapping's name says whose it is; the pid where the command does not
/// tell targets apart.
fn name_target(targets: &[TargetName], whose: TargetId, mappings: &mut [NamedRange]) {
    let Some(target) = targets.iter().find(|t| t.target == whose).filter(|_| targets.len() > 1)
    else {
        return;
    };
    let namesakes = targets.iter().filter(|t| t.comm == target.comm).count();
    let owner =
        if namesakes > 1 { format!("{} {}", target.comm, target.pid) } else { target.comm.clone() };
    for mapping in mappings {
        mapping.name = format!("{owner}: {}", mapping.name);
    }
}

fn picture(
    args: &HeatmapArgs,
    trace: &Trace,
    view: &View,
    file: PictureFile<'_>,
    terminal: &mut Streams<'_>,
) -> Result<(), Failure> {
    let (width, height) = args.size;
    let limits = (max_bands(width, height)?, readable_bands(width, height)?);
    let cells = |bands: &[Range<u64>], extras| {
        Ok(coarser(grid(width, height, bands, extras)?, args.resolution))
    };
    let drawing = Drawing::new(args, trace, view, limits, cells, terminal)?;
    let picture = drawing.picture();
    file.put(&picture, heatmap_png, heatmap_svg, terminal)
}

fn text(
    args: &HeatmapArgs,
    trace: &Trace,
    view: &View,
    terminal: &mut Streams<'_>,
) -> Result<(), Failure> {
    let Screen { columns, mut lines, colours, .. } =
        Screen::detect(args.columns, args.rows, args.color);
    // How it was recorded is not cut off where a line more is enough.
    let header = wrapped(&subtitle(trace, view), columns);
    let is_wrapped = header.len() == 2 && lines > text::MIN_LINES;
    lines -= usize::from(is_wrapped);
    let most = text::max_bands(lines);
    let cells = |bands: &[Range<u64>], extras| {
        Ok(text::heatmap_grid(columns, lines, bands, colours, extras))
    };
    let drawing = Drawing::new(args, trace, view, (most, most), cells, terminal)?;
    let map = text::heatmap(&drawing.picture(), columns, lines, colours);
    if !is_wrapped {
        return Ok(terminal.out.write_all(map.as_bytes())?);
    }
    for (index, line) in map.lines().enumerate() {
        match index {
            1 => header.iter().try_for_each(|line| writeln!(terminal.out, "{line}"))?,
            _ => writeln!(terminal.out, "{line}")?,
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Body<'a> {
    /// Zero of relative times.
    origin_ns: u64,
    /// Cells have byte·nanoseconds; rate = heat / monitored.
    #[serde(flatten)]
    heatmap: &'a Heatmap,
}

fn cells(
    args: &HeatmapArgs,
    trace: &Trace,
    view: &View,
    terminal: &mut Streams<'_>,
) -> Result<(), Failure> {
    let rows = args.rows.unwrap_or(ROWS);
    let frame = summary::cells(view, args.columns.unwrap_or(COLUMNS), rows);
    let heatmap = view.heat_alone(trace, &frame);
    if args.format == Format::Csv {
        return Ok(csv(terminal.out, &frame, &heatmap)?);
    }
    let body = Body { origin_ns: view.origin_ns, heatmap: &heatmap };
    json(terminal, &Document { head: Head::of("heatmap", trace, view), body })
}

fn csv(out: &mut dyn Write, frame: &Frame, heatmap: &Heatmap) -> io::Result<()> {
    writeln!(out, "target,start,end,start_ns,end_ns,heat,monitored,rate,max_rate")?;
    let Range { start, end } = frame.time;
    let times = (0..heatmap.columns).map(|column| {
        let at = |column| edge(start, end, column, heatmap.columns);
        format!("{},{},", at(column), at(column + 1))
    });
    let times: Vec<String> = times.collect();
    let [mut heat, mut monitored, mut rate, mut max_rate] = [(); 4].map(|()| Written::default());
    for band in &heatmap.bands {
        for row in 0..band.cells.rows() {
            let (low, high) = (row, row + 1);
            let at = |row| edge(band.start, band.end, row, band.rows);
            let addresses = format!("{},{},{},", band.target, at(low), at(high));
            for (time, cell) in times.iter().zip(band.cells.row(row)) {
                out.write_all(addresses.as_bytes())?;
                out.write_all(time.as_bytes())?;
                heat.write(out, cell.heat, b",")?;
                monitored.write(out, cell.monitored, b",")?;
                match cell.rate() {
                    Some(mean) => {
                        rate.write(out, mean, b",")?;
                        max_rate.write(out, cell.max_rate, b"\n")?;
                    }
                    None => out.write_all(b",\n")?,
                }
            }
        }
    }
    Ok(())
}

/// A number and its text: neighbours in a column often agree, and finding the shortest text takes most of the time.
#[derive(Default)]
struct Written {
    bits: u64,
    text: String,
}

impl Written {
    fn write(&mut self, out: &mut dyn Write, value: f64, end: &[u8]) -> io::Result<()> {
        if self.text.is_empty() || self.bits != value.to_bits() {
            *self = Self { bits: value.to_bits(), text: value.to_string() };
        }
        out.write_all(self.text.as_bytes())?;
        out.write_all(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::heat::{Band, Cells, NamedRange, TargetName};
    use damon_format::TargetId;

    #[test]
    fn several_targets_are_told_apart_by_name_and_if_need_be_by_pid() {
        let target =
            |id, pid, comm: &str| TargetName { target: TargetId(id), pid, comm: comm.to_owned() };
        let band = |id| Band {
            target: TargetId(id),
            start: 0,
            end: 1,
            rows: 0,
            cells: Cells::default(),
            mappings: vec![NamedRange { start: 0, end: 1, name: "[heap]".to_owned() }],
        };
        let names = |count: usize| -> Vec<String> {
            let targets = [target(0, 7, "sort"), target(1, 8, "cat"), target(2, 9, "cat")];
            let mut heatmap = Heatmap {
                targets: targets.into_iter().take(count).collect(),
                start_ns: 0,
                end_ns: 1,
                columns: 0,
                bands: (0..3).map(band).take(count).collect(),
            };
            name_targets(&mut heatmap);
            heatmap.bands.iter().flat_map(|b| &b.mappings).map(|m| m.name.clone()).collect()
        };
        assert_eq!(names(1), ["[heap]"]);
        assert_eq!(names(3), ["sort: [heap]", "cat 8: [heap]", "cat 9: [heap]"]);
    }
}
