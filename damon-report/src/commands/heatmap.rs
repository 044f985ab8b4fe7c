//! `heatmap`: hotness over time and address.

use super::output::{Document, Head, json};
use super::picture::{Kind, subtitle, title, write};
use super::{Streams, open};
use crate::analysis::axis::{self, BandSpan};
use crate::analysis::heat::{Frame, Heatmap};
use crate::analysis::load::Trace;
use crate::analysis::num::edge;
use crate::analysis::view::View;
use crate::analysis::wss::WorkingSetOptions;
use crate::cli::{Format, HeatmapArgs};
use crate::exit::Failure;
use crate::render::Scale;
use crate::render::heatmap::{Picture, grid, heatmap_png, heatmap_svg, max_bands};
use serde::Serialize;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

/// Cells of the JSON and CSV output unless told otherwise.
const COLUMNS: usize = 100;
const ROWS: usize = 50;

pub(super) fn run(args: &HeatmapArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let kind = args.output.as_deref().map(Kind::of).transpose()?;
    let (trace, view) = open(&args.file, &args.part, terminal)?;
    match (&args.output, kind) {
        (Some(path), Some(kind)) => picture(args, &trace, &view, (path, kind), terminal),
        _ => match args.format {
            Format::Text => Err(Failure::Usage(
                "say where to draw with -o FILE.png, or ask for cells with --format json"
                    .to_owned(),
            )),
            Format::Json | Format::Csv => cells(args, &trace, &view, terminal),
        },
    }
}

fn spans(args: &HeatmapArgs, view: &View) -> Vec<BandSpan> {
    if args.unmapped {
        axis::monitored(&view.overview)
    } else {
        axis::shown(&view.overview, &view.time())
    }
}

fn picture(
    args: &HeatmapArgs,
    trace: &Trace,
    view: &View,
    (path, kind): (&Path, Kind),
    terminal: &mut Streams<'_>,
) -> Result<(), Failure> {
    let (width, height) = args.size;
    let bands = axis::bands(spans(args, view), max_bands(width, height)?);
    let ranges: Vec<Range<u64>> = bands.iter().map(|b| b.range.clone()).collect();
    let grid = grid(width, height, &ranges)?;
    let frame = view.frame(grid.columns, bands, grid.rows);
    let options = WorkingSetOptions::for_backend(&trace.info().backend, 1);
    let (heatmap, working_set) = view.heat(trace, &frame, options);
    let picture = Picture {
        heatmap: &heatmap,
        working_set: &working_set.samples,
        resident: &working_set.resident,
        title: &title(view),
        subtitle: &subtitle(trace, view),
        access: trace.info().backend.access,
        origin_ns: view.origin_ns,
        scale: Scale::default(),
    };
    match kind {
        Kind::Png => write(path, &heatmap_png(&picture, width, height)?, terminal),
        Kind::Svg => write(path, heatmap_svg(&picture, width, height)?.as_bytes(), terminal),
    }
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
    let bands = axis::bands(spans(args, view), rows);
    let shares = axis::share_rows(&bands, rows, 1);
    let frame = view.frame(args.columns.unwrap_or(COLUMNS), bands, shares);
    let options = WorkingSetOptions::for_backend(&trace.info().backend, 1);
    let (heatmap, _) = view.heat(trace, &frame, options);
    if args.format == Format::Csv {
        return Ok(csv(terminal.out, &frame, &heatmap)?);
    }
    let body = Body { origin_ns: view.origin_ns, heatmap: &heatmap };
    json(terminal, &Document { head: Head::new("heatmap", trace), body })
}

fn csv(out: &mut dyn Write, frame: &Frame, heatmap: &Heatmap) -> io::Result<()> {
    writeln!(out, "target,start,end,start_ns,end_ns,heat,monitored,rate")?;
    let Range { start, end } = frame.time;
    for band in &heatmap.bands {
        for (row, cells) in band.cells.chunks(heatmap.columns.max(1)).enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                write!(
                    out,
                    "{},{},{},{},{},{},{},",
                    band.target,
                    edge(band.start, band.end, row, band.rows),
                    edge(band.start, band.end, row + 1, band.rows),
                    edge(start, end, column, heatmap.columns),
                    edge(start, end, column + 1, heatmap.columns),
                    cell.heat,
                    cell.monitored,
                )?;
                match cell.rate() {
                    Some(rate) => writeln!(out, "{rate}")?,
                    None => writeln!(out)?,
                }
            }
        }
    }
    Ok(())
}
