//! `idle`: for how long memory has not been accessed.

use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::table_width;
use super::table::{Align, Table};
use super::words::{PERCENTILES, bytes, clean, duration, moment};
use super::wss::{NOT_RESIDENT, resident};
use super::{Streams, has_snapshots};
use crate::analysis::idle::IdleTimes;
use crate::analysis::info::{Aggregation, aggregation};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::recency::Recency;
use crate::analysis::view::View;
use crate::analysis::wss::ResidentSample;
use crate::cli::{Compat, Format, IdleArgs};
use crate::exit::Failure;
use crate::render::curve::{Curve, Picture, curve_png, curve_svg};
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &IdleArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    let trace = Trace::open_watched(&args.file, streams.reading)?;
    let query = args.part.query();
    let view = match &args.at {
        Some(at) => View::at(&trace, &query, at)?,
        None => View::new(&trace, &query)?,
    };
    streams.warn(trace.name(), &view.overview.damage);
    if args.at.is_some() && view.overview.snapshots() == 0 && !view.is_whole() {
        return Err(Failure::Usage(
            "no snapshot covers that moment; `damon-report raw` shows when there are any"
                .to_owned(),
        ));
    }
    has_snapshots(&trace, &view)?;
    if !view.overview.has_ages {
        return Err(Failure::Input(format!(
            "{}: idle times are not known: whatever recorded it did not tell the ages of regions \
             (kernels before 5.16 do not); `damon-report histogram` and `wss` do without",
            trace.name()
        )));
    }
    if args.compat == Some(Compat::Damo) {
        return compat(args, &trace, &view, streams);
    }
    let idle = view.idle_times(&trace);
    if let Some(file) = file {
        let (title, subtitle) = (heading(args, &view), subtitle(&trace, &view));
        let curves = [curve_of(&idle)];
        let picture = picture_of(&curves, &title, &subtitle);
        return file.put(&picture, curve_png, curve_svg, streams);
    }
    match args.format {
        Format::Text => Ok(text(streams.out, args, &trace, &view, &idle)?),
        Format::Csv => Ok(csv(streams.out, &idle)?),
        Format::Json => {
            let body = Body { origin_ns: view.origin_ns, resident: view.resident(), idle: &idle };
            json(streams, &Document { head: Head::of("idle", &trace, &view), body })
        }
    }
}

/// Bytes by how long they had not been accessed.
pub(super) fn curve_of(idle: &IdleTimes) -> Curve {
    let points = idle.untouched().into_iter().map(|(us, bytes)| (us * 1000.0, bytes));
    Curve { name: String::new(), points: points.collect() }
}

pub(super) fn picture_of<'a>(
    curves: &'a [Curve],
    title: &'a str,
    subtitle: &'a str,
) -> Picture<'a> {
    let caption = "memory that had not been accessed for at least ...";
    Picture { title, subtitle, caption, curves, steps: true }
}

/// What is looked at, and when if it is a moment.
fn heading(args: &IdleArgs, view: &View) -> String {
    let title = title(view);
    if args.at.is_none() {
        return title;
    }
    let what = title.rsplit_once(", ").map_or(title.as_str(), |(what, _)| what);
    format!("{what}, at {}", moment(view.selection.time.start, view.origin_ns))
}

#[derive(Serialize)]
struct Body<'a> {
    origin_ns: u64,
    /// Of all that was monitored, what may have been in memory.
    resident: Vec<ResidentSample>,
    #[serde(flatten)]
    idle: &'a IdleTimes,
}

fn text(
    out: &mut dyn Write,
    args: &IdleArgs,
    trace: &Trace,
    view: &View,
    idle: &IdleTimes,
) -> io::Result<()> {
    let width = table_width(args.columns);
    writeln!(out, "{}", clean(&heading(args, view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    writeln!(out, "idle time: (age + 1) aggregations where no access was seen, else 0")?;
    writeln!(out)?;
    let mut table = Table::new(&[("of bytes", Align::Right), ("idle at most", Align::Right)]);
    for percent in PERCENTILES {
        if let Some(us) = idle.percentiles.get(percent) {
            table.row(vec![format!("{percent} %"), duration(us * 1000.0)]);
        }
    }
    table.write_within(out, width)?;
    writeln!(out)?;
    let share = |bytes: f64| {
        if idle.known > 0.0 { format!("{:.1} %", bytes / idle.known * 100.0) } else { "-".into() }
    };
    let mut table = Table::new(&[
        ("untouched for", Align::Right),
        ("bytes", Align::Right),
        ("of all", Align::Right),
    ]);
    // From the last time at which nothing is gone yet.
    let whole = idle.known - idle.accessed;
    let first = idle.curve.iter().rposition(|p| p.bytes >= whole * (1.0 - 1e-9)).unwrap_or(0);
    for point in idle.curve.iter().skip(first) {
        let time = format!(">= {}", duration(float(point.at_least_us) * 1000.0));
        table.row(vec![time, bytes(point.bytes), share(point.bytes)]);
    }
    table.row(vec!["idle at all".into(), bytes(whole), share(whole)]);
    table.row(vec!["accessed".into(), bytes(idle.accessed), share(idle.accessed)]);
    table.write_within(out, width)?;
    writeln!(out)?;
    writeln!(
        out,
        "since the recording began or longer: {} ({}); these were last accessed before it",
        bytes(idle.since_begin),
        share(idle.since_begin)
    )?;
    if idle.unknown > 0.0 {
        writeln!(out, "left out, since no age was recorded: {}", bytes(idle.unknown))?;
    }
    resident(out, &view.resident(), NOT_RESIDENT)?;
    if let (Some(text), None) = (stretched(view), &args.at) {
        writeln!(out, "{text}")?;
    }
    if idle.resolution > 0.0 {
        let within = idle.resolution * 100.0;
        writeln!(out, "resolution: times are told to within {within:.1} %")?;
    }
    Ok(())
}

/// Ages count aggregations. Where these take longer than they should, so do idle times.
fn stretched(view: &View) -> Option<String> {
    /// Less than this is not worth a line.
    const NOTABLE: f64 = 1.05;
    let Aggregation { nominal_mean_ns, real_mean_ns, .. } = aggregation(&view.overview.targets)?;
    let times = real_mean_ns / nominal_mean_ns;
    (nominal_mean_ns > 0.0 && times >= NOTABLE).then(|| {
        format!(
            "aggregations took {} on average, and not {}:\nidle times were {times:.2} times as long as told here",
            duration(real_mean_ns),
            duration(nominal_mean_ns)
        )
    })
}

fn csv(out: &mut dyn Write, idle: &IdleTimes) -> io::Result<()> {
    writeln!(out, "idle_least_us,idle_most_us,bytes")?;
    writeln!(out, "0,0,{}", idle.accessed)?;
    for bin in &idle.bins {
        writeln!(out, "{},{},{}", bin.least_us, bin.most_us, bin.bytes)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct CompatBody {
    compat: &'static str,
    targets: Vec<Recency>,
}

fn compat(
    args: &IdleArgs,
    trace: &Trace,
    view: &View,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let targets = view.recency(trace);
    match args.format {
        Format::Json => {
            let head = Head::of("idle", trace, view);
            return json(streams, &Document { head, body: CompatBody { compat: "damo", targets } });
        }
        Format::Csv => {
            writeln!(streams.out, "target,percent,idle_us")?;
            for one in &targets {
                for (percent, us) in &one.percentiles {
                    writeln!(streams.out, "{},{percent},{us}", one.target)?;
                }
            }
        }
        Format::Text => {
            for one in &targets {
                let when = moment(one.start_ns, view.origin_ns);
                writeln!(streams.out, "# target {}, snapshot at {when}", one.target)?;
                writeln!(streams.out, "# percentile  idle time")?;
                for (percent, us) in &one.percentiles {
                    writeln!(streams.out, "{percent:>12}  {}", duration(float(*us) * 1000.0))?;
                }
            }
        }
    }
    Ok(())
}
