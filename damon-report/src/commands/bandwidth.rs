//! `bandwidth`: how much memory was passed over per second.

use super::output::{Document, Head, json};
use super::picture::{subtitle, title};
use super::screen::Screen;
use super::table::{Align, Table};
use super::words::{PERCENTILES, bytes, clean, drawn_means};
use super::{Streams, open};
use crate::analysis::bandwidth::{Bandwidth, BandwidthSample, bandwidth};
use crate::analysis::load::Trace;
use crate::analysis::view::View;
use crate::analysis::wss::WorkingSetOptions;
use crate::cli::{BandwidthArgs, Format};
use crate::exit::Failure;
use crate::render::timeline::{TimeLine, time_lines};
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &BandwidthArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (trace, view) = open(&args.file, &args.part, streams)?;
    let exact = WorkingSetOptions::for_backend(&trace.info().backend, 1).exact;
    let estimate = bandwidth(&trace, &view, exact);
    match args.format {
        Format::Text => {
            let screen = Screen::detect(args.columns, None, args.color);
            Ok(text(streams.out, &trace, &view, (&estimate, exact), screen)?)
        }
        Format::Csv => Ok(csv(streams.out, &estimate)?),
        Format::Json => {
            let body = Body { origin_ns: view.origin_ns, unit: "bytes per second", estimate };
            json(streams, &Document { head: Head::of("bandwidth", &trace, &view), body })
        }
    }
}

#[derive(Serialize)]
struct Body {
    origin_ns: u64,
    unit: &'static str,
    #[serde(flatten)]
    estimate: Bandwidth,
}

fn speed(value: f64) -> String {
    format!("{}/s", bytes(value))
}

fn text(
    out: &mut dyn Write,
    trace: &Trace,
    view: &View,
    (estimate, exact): (&Bandwidth, bool),
    screen: Screen,
) -> io::Result<()> {
    writeln!(out, "{}", clean(&title(view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    writeln!(out, "low: what was accessed is passed over once per aggregation")?;
    writeln!(out, "high: every positive sample is one pass over the whole region (as damo does)")?;
    writeln!(out)?;
    let mut table =
        Table::new(&[("of time", Align::Right), ("low", Align::Right), ("high", Align::Right)]);
    for percent in PERCENTILES {
        if let (Some(low), Some(high)) = (estimate.low.at(percent), estimate.high.at(percent)) {
            table.row(vec![format!("{percent} %"), speed(low), speed(high)]);
        }
    }
    table.row(vec!["mean".to_owned(), speed(estimate.low.mean), speed(estimate.high.mean)]);
    table.write_within(out, screen.table)?;
    writeln!(out)?;
    let line = |name, value: fn(&BandwidthSample) -> f64| TimeLine {
        name,
        greatest: speed(estimate.samples.iter().map(|s| value(&s)).fold(0.0, f64::max)),
        samples: estimate.samples.iter().map(move |s| (s.start_ns, s.end_ns, value(&s))),
    };
    let lines = vec![line("low", |s| s.low), line("high", |s| s.high)];
    let time = view.time();
    let span = (time.start, time.end);
    let drawn = time_lines(lines, span, view.origin_ns, screen.columns, screen.colours);
    write!(out, "{drawn}")?;
    writeln!(out)?;
    if let Some(cell_ns) = estimate.cell_ns {
        writeln!(out, "{}", drawn_means(cell_ns))?;
    }
    if !exact {
        let (from, to) = estimate.low_interval;
        writeln!(
            out,
            "sampling error: low of one moment lies in {} .. {} (95 %, mean over the moments)",
            speed(from),
            speed(to)
        )?;
    }
    writeln!(
        out,
        "neither is a measurement: a touched page counts as wholly passed over, whatever was"
    )?;
    writeln!(
        out,
        "read of it and wherever it came from, caches included; several touches within one"
    )?;
    writeln!(out, "sampling interval count once, so that even more than high is possible")
}

fn csv(out: &mut dyn Write, estimate: &Bandwidth) -> io::Result<()> {
    writeln!(out, "start_ns,end_ns,low,low_from,low_to,high")?;
    for s in estimate.samples.iter() {
        writeln!(
            out,
            "{},{},{},{},{},{}",
            s.start_ns, s.end_ns, s.low, s.low_from, s.low_to, s.high
        )?;
    }
    Ok(())
}
