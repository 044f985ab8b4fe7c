//! `wss`: how large the working set was.

use super::output::{Document, Head, json};
use super::words::{access, bytes, duration};
use super::{Streams, open};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::analysis::wss::{WorkingSet, WorkingSetOptions};
use crate::cli::{Format, WssArgs};
use crate::exit::Failure;
use serde::Serialize;
use std::io::{self, Write};

/// Percentiles that the text shows; JSON has all.
const SHOWN: [usize; 9] = [0, 1, 5, 25, 50, 75, 95, 99, 100];

pub(super) fn run(args: &WssArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let (trace, view) = open(&args.file, &args.part, terminal)?;
    let options = WorkingSetOptions::for_backend(&trace.info().backend, args.threshold);
    let set = view.working_set(&trace, options);
    match args.format {
        Format::Text => Ok(text(terminal.out, &trace, &view, &set, options)?),
        Format::Csv => Ok(csv(terminal.out, &set)?),
        Format::Json => json(
            terminal,
            &Document {
                head: Head::new("wss", &trace),
                body: Body {
                    origin_ns: view.origin_ns,
                    start_ns: view.time().start,
                    end_ns: view.time().end,
                    working_set: &set,
                },
            },
        ),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    origin_ns: u64,
    start_ns: u64,
    end_ns: u64,
    #[serde(flatten)]
    working_set: &'a WorkingSet,
}

fn text(
    out: &mut dyn Write,
    trace: &Trace,
    view: &View,
    set: &WorkingSet,
    options: WorkingSetOptions,
) -> io::Result<()> {
    let time = view.time();
    writeln!(out, "access: {}", access(&trace.info().backend))?;
    writeln!(
        out,
        "time: {}, {} moments",
        duration(float(time.end.saturating_sub(time.start))),
        set.samples.len()
    )?;
    writeln!(
        out,
        "touched: upper estimate, all of a region seen accessed {}",
        times(set.threshold)
    )?;
    writeln!(out, "expected: lower estimate, size x access rate")?;
    writeln!(out)?;
    writeln!(out, "{:>5} {:>12} {:>12}", "time", "touched", "expected")?;
    let mut line = |name: &str, touched: f64, expected: f64| {
        writeln!(out, "{name:>5} {:>12} {:>12}", bytes(touched), bytes(expected))
    };
    for percent in SHOWN {
        if let (Some(touched), Some(expected)) = (set.touched.at(percent), set.expected.at(percent))
        {
            line(&format!("{percent} %"), touched, expected)?;
        }
    }
    line("mean", set.touched.mean, set.expected.mean)?;
    writeln!(out)?;
    if options.exact {
        writeln!(out, "sampling error: none, every page was looked at")?;
    } else {
        let (low, high) = set.expected_interval;
        writeln!(
            out,
            "sampling error: expected of one moment lies in {} .. {} (95 %, mean over the moments)",
            bytes(low),
            bytes(high)
        )?;
    }
    let monitored = set.samples.iter().map(|s| s.monitored);
    if let (Some(least), Some(most)) = (monitored.clone().min(), monitored.max()) {
        writeln!(out, "monitored: {}", span(least, most))?;
    }
    let resident = set.resident.iter().map(|s| s.rss);
    if let (Some(least), Some(most)) = (resident.clone().min(), resident.max()) {
        writeln!(out, "resident: {}", span(least, most))?;
    }
    Ok(())
}

fn times(threshold: u32) -> String {
    match threshold {
        0 => "or not".to_owned(),
        1 => "at least once".to_owned(),
        n => format!("in at least {n} samples"),
    }
}

fn span(least: u64, most: u64) -> String {
    if least == most {
        bytes(float(least))
    } else {
        format!("{} .. {}", bytes(float(least)), bytes(float(most)))
    }
}

fn csv(out: &mut dyn Write, set: &WorkingSet) -> io::Result<()> {
    writeln!(
        out,
        "start_ns,end_ns,touched,expected,expected_low,expected_high,monitored,resident"
    )?;
    let mut resident = set.resident.iter().peekable();
    let mut last = None;
    for sample in &set.samples {
        while let Some(seen) = resident.next_if(|r| r.time_ns <= sample.end_ns) {
            last = Some(seen.rss);
        }
        write!(
            out,
            "{},{},{},{},{},{},{},",
            sample.start_ns,
            sample.end_ns,
            sample.touched,
            sample.expected,
            sample.expected_low,
            sample.expected_high,
            sample.monitored
        )?;
        match last {
            Some(rss) => writeln!(out, "{rss}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}
