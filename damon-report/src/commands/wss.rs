//! `wss`: how large the working set was.

use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::Screen;
use super::words::{PERCENTILES, bytes, clean, short_bytes};
use super::{Streams, has_snapshots, open, wss_more};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::analysis::wss::{ResidentSample, WorkingSet, WorkingSetOptions};
use crate::cli::{Format, WssArgs};
use crate::exit::Failure;
use crate::render::terminal;
use crate::render::wss::{Picture, wss_png, wss_svg};
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &WssArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    if args.compat.is_some() || args.windows || args.per_target {
        let (trace, view) = open(&args.file, &args.part, streams)?;
        if args.compat.is_some() {
            return wss_more::compat(args, &trace, &view, streams);
        }
        if args.windows {
            return wss_more::windows(args, &trace, &view, file, streams);
        }
        let options = WorkingSetOptions::for_backend(&trace.info().backend, args.threshold);
        return wss_more::per_target(args, &trace, &view, options, streams);
    }
    let (trace, view, set) = View::open_for_working_set::<Failure>(
        &args.file,
        &args.part.query(),
        args.threshold,
        streams.reading,
    )?;
    streams.warn(trace.name(), &view.overview.damage);
    has_snapshots(&trace, &view)?;
    let options = WorkingSetOptions::for_backend(&trace.info().backend, args.threshold);
    if let Some(file) = file {
        let (title, subtitle) = (title(&view), subtitle(&trace, &view));
        let picture = picture_of(&view, &set, &title, &subtitle);
        return file.put(&picture, wss_png, wss_svg, streams);
    }
    match args.format {
        Format::Text => {
            let screen = Screen::detect(args.columns, None, args.color);
            Ok(text(streams.out, &trace, &view, &set, options, screen)?)
        }
        Format::Csv => Ok(csv(streams.out, &set)?),
        Format::Json => json(
            streams,
            &Document {
                head: Head::of("wss", &trace, &view),
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

pub(super) fn picture_of<'a>(
    view: &View,
    set: &'a WorkingSet,
    title: &'a str,
    subtitle: &'a str,
) -> Picture<'a> {
    let time = view.time();
    Picture {
        working_set: set,
        title,
        subtitle,
        start_ns: time.start,
        end_ns: time.end,
        origin_ns: view.origin_ns,
    }
}

/// Below this many characters a line, sizes are written short.
const WIDE: usize = 32;

fn text(
    out: &mut dyn Write,
    trace: &Trace,
    view: &View,
    set: &WorkingSet,
    options: WorkingSetOptions,
    screen: Screen,
) -> io::Result<()> {
    let (title, subtitle) = (title(view), subtitle(trace, view));
    writeln!(out, "{}", clean(&title))?;
    writeln!(out, "{subtitle}")?;
    legend(out, set.threshold)?;
    writeln!(out)?;
    table(out, set, screen.columns)?;
    writeln!(out)?;
    write!(
        out,
        "{}",
        terminal::wss(&picture_of(view, set, &title, &subtitle), screen.columns, screen.colours)
    )?;
    writeln!(out)?;
    sampling_error(out, set, options)?;
    let monitored = set.samples.iter().map(|s| s.monitored);
    if let (Some(least), Some(most)) = (monitored.clone().min(), monitored.max()) {
        writeln!(out, "monitored: {}", span(least, most))?;
    }
    resident(out, &set.resident, "")
}

/// What monitored addresses say of memory, for whoever shows bytes that were not accessed.
pub(super) const NOT_RESIDENT: &str = " in all; what is monitored beyond that was not in memory";

/// How much was resident, where that was recorded, and something after it.
pub(super) fn resident(
    out: &mut dyn Write,
    samples: &[ResidentSample],
    rest: &str,
) -> io::Result<()> {
    // Nothing is resident when nobody is left: that is no size of anything.
    let sizes = samples.iter().map(|s| s.rss).filter(|rss| *rss > 0);
    match (sizes.clone().min(), sizes.max()) {
        (Some(least), Some(most)) => writeln!(out, "resident: {}{rest}", span(least, most)),
        _ => Ok(()),
    }
}

/// What the two estimates are.
pub(super) fn legend(out: &mut dyn Write, threshold: u32) -> io::Result<()> {
    let times = times(threshold);
    writeln!(out, "touched: upper estimate, all of a region seen accessed {times}")?;
    writeln!(out, "expected: lower estimate, size x access rate")
}

/// How far the expected working set can be from the truth.
pub(super) fn sampling_error(
    out: &mut dyn Write,
    set: &WorkingSet,
    options: WorkingSetOptions,
) -> io::Result<()> {
    if options.exact {
        return writeln!(out, "sampling error: none, every page was looked at");
    }
    let (low, high) = set.expected_interval;
    writeln!(
        out,
        "sampling error: expected of one moment lies in {} .. {} (95 %, mean over the moments)",
        bytes(low),
        bytes(high)
    )?;
    if options.rounds_down {
        writeln!(
            out,
            "the kernel rounds rates down where it merges regions: expected is too low, most where accesses are rare, by about\n\
             {}, which the upper end has",
            bytes(set.expected_lost)
        )?;
    }
    Ok(())
}

pub(super) fn table(out: &mut dyn Write, set: &WorkingSet, columns: usize) -> io::Result<()> {
    let wide = columns >= WIDE;
    let (width, size): (usize, fn(f64) -> String) =
        if wide { (12, bytes) } else { (7, short_bytes) };
    let name = if wide { "of time" } else { "" };
    let expected = if wide { "expected" } else { "expect" };
    let mut line = |name: &str, touched: &str, expected: &str| {
        writeln!(out, "{name:>5} {touched:>width$} {expected:>width$}")
    };
    line(name, "touched", expected)?;
    for percent in PERCENTILES {
        let at = (set.touched.at(percent), set.expected.at(percent));
        if let (Some(touched), Some(expected)) = at {
            line(&format!("{percent} %"), &size(touched), &size(expected))?;
        }
    }
    line("mean", &size(set.touched.mean), &size(set.expected.mean))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_left_is_not_the_least_that_was_resident() {
        let said = |sizes: &[u64]| {
            let sample = |(time_ns, rss): (u64, &u64)| ResidentSample { time_ns, rss: *rss };
            let samples: Vec<ResidentSample> = (0..).zip(sizes).map(sample).collect();
            let mut out = Vec::new();
            resident(&mut out, &samples, "").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(said(&[2048, 4096, 0]), "resident: 2.00 KiB .. 4.00 KiB\n");
        assert_eq!(said(&[4096, 0]), "resident: 4.00 KiB\n");
        assert_eq!(said(&[0]), "");
        assert_eq!(said(&[]), "");
    }
}
