//! `summary`: what there is to say first about a recording.

use super::heatmap::{COLUMNS, Drawing, ROWS, coarser, fitted};
use super::idle::{curve_of, picture_of};
use super::output::{Document, Head, json};
use super::picture::{subtitle, title, write};
use super::screen::Screen;
use super::table::{Align, Table};
use super::words::{bytes, clean, count, duration};
use super::{Streams, has_snapshots};
use crate::analysis::axis::BandSpan;
use crate::analysis::distribution::Distribution;
use crate::analysis::heat::Heatmap;
use crate::analysis::idle::{IdleTimes, Untouched};
use crate::analysis::load::Trace;
use crate::analysis::mapping_use::{GroupUse, MappingUse};
use crate::analysis::num::float;
use crate::analysis::summary::{Parts, Summary};
use crate::analysis::view::{View, Wanted};
use crate::analysis::wss::{WorkingSet, WorkingSetOptions};
use crate::cli::{
    Colors, Colour, Format, HeatmapArgs, Part, PlainFormat, Pooling, Saturation, SummaryArgs,
};
use crate::exit::Failure;
use crate::render::curve::curve_png;
use crate::render::heatmap::{grid, heatmap_png, max_bands, readable_bands};
use crate::render::terminal as map;
use crate::render::wss::wss_png;
use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

/// Percentiles that the text shows; JSON has all.
const SHOWN: [usize; 6] = [0, 25, 50, 75, 95, 100];

/// Lines of the text beside the map.
const BESIDE_MAP: usize = 21;
/// Lines of the map, with its axis and legend, however small the screen is.
const LEAST_MAP: usize = 12;
/// Mappings that the text shows.
const MAPPINGS: usize = 5;
/// Points of the curve of idle times that the text shows.
const LANDMARKS: usize = 4;

const HEATMAP: (u32, u32) = (1280, 800);
const CURVE: (u32, u32) = (1280, 560);

/// From so many region rows on, the cells of the picture are coarser than its pixels.
const LONG: u64 = 1 << 26;
const COARSE: (usize, usize) = (640, 400);

pub(super) fn run(args: &SummaryArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let trace = Trace::open_watched(&args.file, streams.reading)?;
    let new = |parts: &Parts<&GridOf<'_>>| Summary::new(&trace, &args.part.query(), parts);
    if let Some(directory) = &args.output {
        let limits = (max_bands(HEATMAP.0, HEATMAP.1)?, readable_bands(HEATMAP.0, HEATMAP.1)?);
        // What a long recording needs of memory beside its cells is a lot already.
        let rows = trace.blocks().iter().fold(0, |sum: u64, block| sum.saturating_add(block.rows));
        let resolution = (rows > LONG).then_some(COARSE);
        let cells = |view: &View, bands: &[BandSpan]| {
            fitted(view, bands, true, &|ranges: &[Range<u64>], extras| {
                Ok(coarser(grid(HEATMAP.0, HEATMAP.1, ranges, extras)?, resolution))
            })
        };
        let picture = Some((wanted(limits), &cells as &GridOf<'_>));
        let parts = Parts { cells: Some((COLUMNS, ROWS)), picture };
        let summary = checked(&trace, new(&parts)?, streams)?;
        return files(args, directory, &trace, summary, streams);
    }
    match args.format {
        PlainFormat::Json => {
            let summary = new(&Parts { cells: Some((COLUMNS, ROWS)), picture: None })?;
            let summary = checked(&trace, summary, streams)?;
            json(streams, &document(&trace, &summary))
        }
        PlainFormat::Text => {
            let mut screen = Screen::detect(args.columns, None, args.color);
            screen.lines = screen.lines.saturating_sub(BESIDE_MAP).max(LEAST_MAP);
            let most = map::max_bands(screen.lines);
            let cells = |view: &View, bands: &[BandSpan]| {
                let Screen { columns, lines, colours, .. } = screen;
                fitted(view, bands, true, &|ranges: &[Range<u64>], extras| {
                    Ok(map::heatmap_grid(columns, lines, ranges, colours, extras))
                })
            };
            let picture = Some((wanted((most, most)), &cells as &GridOf<'_>));
            let summary = new(&Parts { cells: None, picture })?;
            let summary = checked(&trace, summary, streams)?;
            text(args, &trace, summary, screen, streams)
        }
    }
}

/// Columns, and rows of each band.
type GridOf<'a> = dyn Fn(&View, &[BandSpan]) -> Result<(usize, Vec<usize>), Failure> + 'a;

fn wanted((most, readable): (usize, usize)) -> Wanted {
    let options = WorkingSetOptions::without_intervals(1);
    Wanted { unmapped: false, most, readable, options }
}

/// Says what is damaged; there must be something left.
fn checked(trace: &Trace, summary: Summary, streams: &mut Streams<'_>) -> Result<Summary, Failure> {
    streams.warn(trace.name(), &summary.view.overview.damage);
    has_snapshots(trace, &summary.view)?;
    Ok(summary)
}

/// As the heatmap is drawn unless told otherwise.
fn usual(args: &SummaryArgs) -> HeatmapArgs {
    HeatmapArgs {
        file: args.file.clone(),
        output: args.output.clone(),
        size: HEATMAP,
        format: Format::Text,
        columns: args.columns,
        rows: None,
        color: Colour::Auto,
        resolution: None,
        scale: Saturation::Sqrt,
        pool: Pooling::Mean,
        colors: Colors::Dusk,
        marginal: true,
        unmapped: false,
        part: Part::default(),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    /// Zero of relative times.
    origin_ns: u64,
    start_ns: u64,
    end_ns: u64,
    snapshots: u64,
    rows: u64,
    /// Fewest and most in a snapshot.
    regions: (usize, usize),
    working_set: Sizes<'a>,
    /// As `idle` has it; null where no ages were recorded.
    idle: Option<&'a IdleTimes>,
    /// As `mappings` has it; null where no mappings were recorded.
    mappings: Option<Mappings<'a>>,
    /// As `heatmap` has it.
    heatmap: Option<&'a Heatmap>,
}

/// As `wss` has it, without the time line and the sampling error.
#[derive(Serialize)]
struct Sizes<'a> {
    threshold: u32,
    touched: &'a Distribution,
    expected: &'a Distribution,
}

/// As `mappings` has it, without the resident memory.
#[derive(Serialize)]
struct Mappings<'a> {
    idle_ns: u64,
    groups: &'a [GroupUse],
}

fn document<'a>(trace: &Trace, summary: &'a Summary) -> Document<Body<'a>> {
    let Summary { view, working_set, idle, mappings, cells, .. } = summary;
    let time = view.time();
    let WorkingSet { threshold, touched, expected, .. } = working_set;
    let body = Body {
        origin_ns: view.origin_ns,
        start_ns: time.start,
        end_ns: time.end,
        snapshots: view.overview.snapshots(),
        rows: view.overview.rows(),
        regions: least_and_most(view),
        working_set: Sizes { threshold: *threshold, touched, expected },
        idle: idle.as_ref(),
        mappings: mappings.as_ref().map(|of| Mappings { idle_ns: of.idle_ns, groups: &of.groups }),
        heatmap: cells.as_ref(),
    };
    Document { head: Head::of("summary", trace, view), body }
}

fn files(
    args: &SummaryArgs,
    directory: &Path,
    trace: &Trace,
    summary: Summary,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| {
        Failure::Output(format!("{}: cannot make the directory: {error}", directory.display()))
    })?;
    let mut numbers = serde_json::to_vec(&document(trace, &summary)).map_err(io::Error::from)?;
    numbers.push(b'\n');
    let Summary { view, working_set, idle, picture, .. } = summary;
    let (title, subtitle) = (title(&view), subtitle(trace, &view));
    let mut working_set = working_set;
    if let Some((heatmap, left_out)) = picture {
        let drawing =
            Drawing::of(&usual(args), (trace, &view), (heatmap, &left_out), working_set, streams);
        let png = heatmap_png(&drawing.picture(), HEATMAP.0, HEATMAP.1)?;
        write(&directory.join("heatmap.png"), &png, streams)?;
        working_set = drawing.working_set;
    }
    let sizes = super::wss::picture_of(&view, &working_set, &title, &subtitle);
    write(&directory.join("wss.png"), &wss_png(&sizes, CURVE.0, CURVE.1)?, streams)?;
    match &idle {
        Some(idle) => {
            let curves = [curve_of(idle)];
            let picture = picture_of(&curves, &title, &subtitle);
            write(&directory.join("idle.png"), &curve_png(&picture, CURVE.0, CURVE.1)?, streams)?;
        }
        None => streams.say("note: no idle.png: the ages of regions were not recorded"),
    }
    write(&directory.join("summary.json"), &numbers, streams)
}

fn text(
    args: &SummaryArgs,
    trace: &Trace,
    summary: Summary,
    screen: Screen,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let Summary { view, working_set, idle, mappings, picture, .. } = summary;
    writeln!(streams.out, "{}", clean(&title(&view)))?;
    writeln!(streams.out, "{}", subtitle(trace, &view))?;
    writeln!(streams.out, "{}", amounts(&view))?;
    writeln!(streams.out)?;
    table(&working_set, idle.as_ref(), screen, streams.out)?;
    match &idle {
        Some(idle) => writeln!(streams.out, "{}", untouched(idle))?,
        None => writeln!(streams.out, "idle times: not known, no ages were recorded")?,
    }
    if let Some(mappings) = &mappings {
        hottest(mappings, screen, streams.out)?;
    }
    let Some((heatmap, left_out)) = picture else { return Ok(()) };
    let drawing =
        Drawing::of(&usual(args), (trace, &view), (heatmap, &left_out), working_set, streams);
    let drawn = map::heatmap(&drawing.picture(), screen.columns, screen.lines, screen.colours);
    // Title and subtitle stand above already.
    for line in drawn.lines().skip(2) {
        writeln!(streams.out, "{line}")?;
    }
    Ok(())
}

/// Fewest and most regions in a snapshot.
fn least_and_most(view: &View) -> (usize, usize) {
    let targets = &view.overview.targets;
    let least = targets.iter().map(|target| target.min_regions).min().unwrap_or(0);
    let most = targets.iter().map(|target| target.max_regions).max().unwrap_or(0);
    (least, most)
}

/// `864000 snapshots of 180 to 210 regions, 173 M region rows`.
fn amounts(view: &View) -> String {
    let targets = &view.overview.targets;
    let (least, most) = least_and_most(view);
    let regions = match (least, most) {
        (1, 1) => "1 region".to_owned(),
        _ if least == most => format!("{least} regions"),
        _ => format!("{least} to {most} regions"),
    };
    let of = match targets.len() {
        0 | 1 => String::new(),
        n => format!(" of {n} targets"),
    };
    format!(
        "{}{of} with {regions}, {}",
        count(view.overview.snapshots(), "snapshot"),
        count(view.overview.rows(), "region row")
    )
}

fn table(
    set: &WorkingSet,
    idle: Option<&IdleTimes>,
    screen: Screen,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new(&[
        ("share", Align::Right),
        ("touched", Align::Right),
        ("expected", Align::Right),
        ("idle at most", Align::Right),
    ]);
    let size = |of: &Distribution, percent| of.at(percent).map(bytes).unwrap_or_default();
    for percent in SHOWN {
        let lasted = idle.and_then(|idle| idle.percentiles.get(percent));
        table.row(vec![
            format!("{percent} %"),
            size(&set.touched, percent),
            size(&set.expected, percent),
            lasted.map_or_else(|| "-".to_owned(), |us| duration(us * 1000.0)),
        ]);
    }
    let mean = [bytes(set.touched.mean), bytes(set.expected.mean)];
    let [touched, expected] = mean;
    table.row(vec!["mean".to_owned(), touched, expected, String::new()]);
    table.write_within(out, screen.table)?;
    writeln!(
        out,
        "working set: share of the time, sampling error left out; idle time: share of the bytes"
    )
}

/// The mappings with most heat; all are told by `mappings`.
fn hottest(all: &MappingUse, screen: Screen, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&[
        ("heat", Align::Right),
        ("rate", Align::Right),
        ("size", Align::Right),
        ("touched", Align::Right),
        ("mapping", Align::Left),
    ]);
    let share = |value: f64| format!("{:.1} %", value * 100.0);
    for GroupUse { label, heat_share, used, .. } in all.groups.iter().take(MAPPINGS) {
        table.row(vec![
            share(*heat_share),
            share(used.rate),
            bytes(used.size),
            bytes(used.touched),
            clean(label),
        ]);
    }
    table.write_within(out, screen.table)?;
    let others = all.groups.get(MAPPINGS..).unwrap_or_default();
    if others.is_empty() {
        return Ok(());
    }
    let rest: f64 = others.iter().map(|group| group.heat_share).sum();
    let rest = share(rest);
    writeln!(out, "{rest} of the heat in {} others: see damon-report mappings", others.len())
}

/// `untouched for >= 1 s 13 MiB (65 %), >= 1 min 2 MiB (10 %); accessed 4 MiB (20 %)`.
fn untouched(idle: &IdleTimes) -> String {
    let share = |bytes: f64| if idle.known > 0.0 { bytes / idle.known * 100.0 } else { 0.0 };
    let size = |of: f64| format!("{} ({:.1} %)", bytes(of), share(of));
    // From the last time at which nothing is gone yet.
    let whole = idle.known - idle.accessed;
    let first = idle.curve.iter().rposition(|p| p.bytes >= whole * (1.0 - 1e-9)).unwrap_or(0);
    let points: Vec<&Untouched> = idle.curve.iter().skip(first + 1).collect();
    let last = points.len().saturating_sub(1);
    let mut shown: Vec<usize> = (0..LANDMARKS).map(|i| last * i / (LANDMARKS - 1)).collect();
    shown.dedup();
    let points = shown.into_iter().filter_map(|index| points.get(index));
    let told = points.map(|point| {
        let time = duration(float(point.at_least_us) * 1000.0);
        format!("\n  >= {time}: {}", size(point.bytes))
    });
    let told: String = told.collect();
    format!("accessed: {}; untouched: {}{told}", size(idle.accessed), size(whole))
}
