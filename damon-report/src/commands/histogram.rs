//! `histogram`: how monitored bytes are distributed.

use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::Screen;
use super::table::{Align, Table};
use super::words::{bytes, clean, duration, moment, percent};
use super::wss::{NOT_RESIDENT, resident};
use super::{Streams, open_as};
use crate::analysis::bins::Unit;
use crate::analysis::histogram::{Bin, Histogram, Metric, histogram};
use crate::analysis::load::Trace;
use crate::analysis::moment::CoveredMoment;
use crate::analysis::num::float;
use crate::analysis::temperature::Temperature;
use crate::analysis::view::View;
use crate::analysis::wss::ResidentSample;
use crate::cli::{By, Colour, Format, HistogramArgs};
use crate::exit::Failure;
use crate::render::amount;
use crate::render::bars::bar;
use crate::render::histogram::{Picture, histogram_png, histogram_svg};
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &HistogramArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    if args.temperature.is_some() && args.by != By::Temperature {
        let why = "--temperature weighs temperatures: say --by temperature, too";
        return Err(Failure::Usage(why.to_owned()));
    }
    let query = args.part.query();
    // One moment is found by the index, and only that is read.
    let view = |trace: &Trace| match &args.at {
        Some(at) => View::around(trace, &query, Some(at)),
        None => View::new(trace, &query),
    };
    let (trace, view) = open_as(&args.file, streams, view)?;
    let at = match &args.at {
        Some(spec) => Some(CoveredMoment::find(&trace, &view, Some(spec))?),
        None => None,
    };
    let view = match &at {
        Some(moment) => view.of_moment(&trace, moment),
        None => view,
    };
    let narrow = at.as_ref().map(|moment| moment.selection(&view.selection));
    let selection = narrow.as_ref().unwrap_or(&view.selection);
    let histogram = histogram(&trace, selection, &args.options());
    let at_ns = at.map(|moment| moment.time_ns);
    if let Some(file) = file {
        let title = match at_ns {
            Some(at) => format!("{}, at {}", title(&view), moment(at, view.origin_ns)),
            None => title(&view),
        };
        let subtitle = subtitle(&trace, &view);
        let picture = Picture {
            histogram: &histogram,
            cumulative: args.cumulative,
            title: &title,
            subtitle: &subtitle,
        };
        return file.put(&picture, histogram_png, histogram_svg, streams);
    }
    match args.format {
        Format::Text => {
            let screen = Screen::detect(args.columns, None, Colour::Never);
            writeln!(streams.out, "{}", clean(&title(&view)))?;
            writeln!(streams.out, "{}", subtitle(&trace, &view))?;
            let over = match at_ns {
                Some(at) => format!("at {}", moment(at, view.origin_ns)),
                None => mean_over(&histogram),
            };
            text(streams.out, &histogram, &over, args.cumulative, screen)?;
            Ok(resident(streams.out, &view.resident_in(selection), NOT_RESIDENT)?)
        }
        Format::Csv => Ok(csv(streams.out, &histogram)?),
        Format::Json => {
            let (origin_ns, time) = (view.origin_ns, selection_time(&view));
            let resident = view.resident_in(selection);
            let body =
                Body { origin_ns, start_ns: time.0, end_ns: time.1, at_ns, resident, histogram };
            json(streams, &Document { head: Head::of("histogram", &trace, &view), body })
        }
    }
}

fn selection_time(view: &View) -> (u64, u64) {
    let time = view.time();
    (time.start, time.end)
}

#[derive(Serialize)]
struct Body {
    origin_ns: u64,
    start_ns: u64,
    end_ns: u64,
    /// The one moment that was asked for.
    at_ns: Option<u64>,
    /// Of all that was monitored, what may have been in memory.
    resident: Vec<ResidentSample>,
    #[serde(flatten)]
    histogram: Histogram,
}

fn mean_over(histogram: &Histogram) -> String {
    let s = if histogram.snapshots == 1 { "" } else { "s" };
    format!(
        "mean over {} in {} snapshot{s}",
        duration(float(histogram.time_ns)),
        histogram.snapshots
    )
}

fn heading(histogram: &Histogram) -> &'static str {
    match (histogram.metric, histogram.temperature) {
        (Metric::Rate, _) => "access rate",
        (Metric::Age, _) => "age",
        (Metric::Size, _) => "size of region",
        (Metric::Temperature, Temperature::UseTime) => "time in use",
        (Metric::Temperature, Temperature::Weights { .. }) => "temperature",
    }
}

fn range(bin: &Bin, unit: Unit) -> (String, String) {
    if bin.is_zero() {
        return (String::new(), "0".to_owned());
    }
    (format!("{} ..", amount(bin.from, unit)), amount(bin.to, unit))
}

const HEADS: [&str; 6] = ["above", "up to", "accessed", "idle", "share", "sum"];

fn text(
    out: &mut dyn Write,
    histogram: &Histogram,
    over: &str,
    cumulative: bool,
    screen: Screen,
) -> io::Result<()> {
    writeln!(out, "bytes by {}, {over}", heading(histogram))?;
    writeln!(
        out,
        "# accessed, . idle{}",
        if cumulative { "; all up to the upper end" } else { "" }
    )?;
    writeln!(out)?;
    let cells = |bin: &Bin| {
        let (from, to) = range(bin, histogram.unit);
        let (share, sum) = (percent(bin.share), percent(bin.cumulative));
        let bytes = (bytes(bin.accessed), bytes(bin.idle));
        [from, to, bytes.0, bytes.1, format!("{share} %"), format!("{sum} %")]
    };
    let rows: Vec<[String; 6]> = histogram.bins.iter().map(cells).collect();
    let widest = |column: usize, head: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(head.len()) + 2
    };
    let used: usize = (0..).zip(HEADS).map(|(column, head)| widest(column, head)).sum();
    let width = screen.columns.saturating_sub(used).max(screen.columns / 8);
    let bars = bars(&histogram.bins, cumulative);
    let greatest = bars.iter().map(|(accessed, idle)| accessed + idle).fold(0.0, f64::max);
    let heads = HEADS.map(|head| (head, Align::Right));
    let mut table = Table::new(&[&heads[..], &[("", Align::Left)]].concat());
    for (row, (accessed, idle)) in rows.into_iter().zip(bars) {
        let bar = bar(accessed, idle, greatest, width);
        table.row(row.into_iter().chain([bar]).collect());
    }
    table.write_within(out, screen.table)?;
    writeln!(out)?;
    writeln!(out, "monitored: {}", bytes(histogram.monitored))?;
    if histogram.unknown > 0.0 {
        writeln!(out, "in no bin, since ages were not observed: {}", bytes(histogram.unknown))?;
    }
    Ok(())
}

/// What the bars show: the bytes of each bin, or of it and all before.
fn bars(bins: &[Bin], cumulative: bool) -> Vec<(f64, f64)> {
    let mut sum = (0.0, 0.0);
    let next = |bin: &Bin| {
        let before = if cumulative { sum } else { (0.0, 0.0) };
        sum = (before.0 + bin.accessed, before.1 + bin.idle);
        sum
    };
    bins.iter().map(next).collect()
}

fn csv(out: &mut dyn Write, histogram: &Histogram) -> io::Result<()> {
    writeln!(out, "from,to,accessed,idle,share,cumulative")?;
    for bin in &histogram.bins {
        writeln!(
            out,
            "{},{},{},{},{},{}",
            bin.from, bin.to, bin.accessed, bin.idle, bin.share, bin.cumulative
        )?;
    }
    Ok(())
}
