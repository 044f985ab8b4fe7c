//! `wss` by target, by the length of windows, and as damo computes it.

use super::Streams;
use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::{Screen, table_width};
use super::table::{Align, Table};
use super::words::{bytes, clean, duration};
use super::wss::{legend, sampling_error, table};
use crate::analysis::heat::TargetName;
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::analysis::windows::WindowLevel;
use crate::analysis::wss::{WorkingSet, WorkingSetOptions};
use crate::analysis::wss_damo::{DamoOptions, DamoWss};
use crate::cli::{Format, WssArgs, WssSort};
use crate::exit::Failure;
use crate::render::curve::{Curve, Picture, curve_png, curve_svg};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct OfTarget<'a> {
    #[serde(flatten)]
    name: &'a TargetName,
    #[serde(flatten)]
    working_set: &'a WorkingSet,
}

#[derive(Serialize)]
struct Targets<'a> {
    origin_ns: u64,
    targets: Vec<OfTarget<'a>>,
}

/// Each target for itself.
pub(super) fn per_target(
    args: &WssArgs,
    trace: &Trace,
    view: &View,
    options: WorkingSetOptions,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let sets = view.working_sets(trace, options);
    let names = view.overview.target_names();
    let named = names.iter().filter_map(|name| Some((name, sets.get(&name.target)?)));
    match args.format {
        Format::Json => {
            let of = |(name, working_set)| OfTarget { name, working_set };
            let body = Targets { origin_ns: view.origin_ns, targets: named.map(of).collect() };
            json(streams, &Document { head: Head::of("wss", trace, view), body })
        }
        Format::Csv => {
            writeln!(
                streams.out,
                "target,start_ns,end_ns,touched,expected,expected_low,expected_high,monitored"
            )?;
            for (name, set) in named {
                for s in &set.samples {
                    writeln!(
                        streams.out,
                        "{},{},{},{},{},{},{},{}",
                        name.target,
                        s.start_ns,
                        s.end_ns,
                        s.touched,
                        s.expected,
                        s.expected_low,
                        s.expected_high,
                        s.monitored
                    )?;
                }
            }
            Ok(())
        }
        Format::Text => {
            let screen = Screen::detect(args.columns, None, args.color);
            writeln!(streams.out, "{}", clean(&title(view)))?;
            writeln!(streams.out, "{}", subtitle(trace, view))?;
            legend(streams.out, options.threshold)?;
            for (name, set) in named {
                let who = match name.name() {
                    who if name.pid == 0 && name.comm.is_empty() => who,
                    who => format!("target {}: {who}", name.target),
                };
                writeln!(streams.out, "\n{}", clean(&who))?;
                table(streams.out, set, screen.columns)?;
                sampling_error(streams.out, set, options)?;
            }
            Ok(())
        }
    }
}

#[derive(Serialize)]
struct Windows<'a> {
    threshold: u32,
    windows: &'a [WindowLevel],
}

/// By the length of the window.
pub(super) fn windows(
    args: &WssArgs,
    trace: &Trace,
    view: &View,
    file: Option<PictureFile<'_>>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let levels = view.windows(trace, args.threshold);
    if let Some(file) = file {
        let (title, subtitle) = (title(view), subtitle(trace, view));
        let curve = |name: &str, value: &dyn Fn(&WindowLevel) -> f64| Curve {
            name: name.to_owned(),
            points: levels.iter().map(|l| (float(l.length_ns), value(l))).collect(),
        };
        let curves = [
            curve("touched (upper)", &|level| level.touched.mean),
            curve("expected", &|level| level.expected.mean),
        ];
        let picture = Picture {
            title: &title,
            subtitle: &subtitle,
            caption: "mean working set of windows of this length",
            curves: &curves,
            steps: false,
        };
        return file.put(&picture, curve_png, curve_svg, streams);
    }
    match args.format {
        Format::Json => {
            let body = Windows { threshold: args.threshold, windows: &levels };
            json(streams, &Document { head: Head::of("wss", trace, view), body })
        }
        Format::Csv => Ok(windows_csv(streams.out, &levels)?),
        Format::Text => {
            Ok(windows_text(streams.out, trace, view, &levels, table_width(args.columns))?)
        }
    }
}

fn windows_csv(out: &mut dyn Write, levels: &[WindowLevel]) -> io::Result<()> {
    write!(out, "aggregations,length_ns,windows,touched_mean,touched_p50,touched_p95,touched_max")?;
    writeln!(out, ",expected_mean,expected_p50,expected_p95,expected_max")?;
    for level in levels {
        write!(out, "{},{},{}", level.aggregations, level.length_ns, level.windows)?;
        for values in [&level.touched, &level.expected] {
            write!(out, ",{}", values.mean)?;
            for percent in [50, 95, 100] {
                write!(out, ",{}", values.at(percent).unwrap_or(0.0))?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn windows_text(
    out: &mut dyn Write,
    trace: &Trace,
    view: &View,
    levels: &[WindowLevel],
    width: Option<usize>,
) -> io::Result<()> {
    writeln!(out, "{}", clean(&title(view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    writeln!(
        out,
        "touched: union of what was touched in any aggregation of a window, an upper estimate"
    )?;
    writeln!(
        out,
        "expected: 1 - product of (1 - access rate), if aggregations tell nothing of one another"
    )?;
    writeln!(out)?;
    let mut titles = vec![("window", Align::Right), ("windows", Align::Right)];
    for name in ["touched", "expected"] {
        titles.extend([name, "p50", "p95", "max"].map(|title| (title, Align::Right)));
    }
    let mut table = Table::new(&titles);
    for level in levels {
        let mut cells = vec![duration(float(level.length_ns)), level.windows.to_string()];
        for values in [&level.touched, &level.expected] {
            cells.push(bytes(values.mean));
            cells.extend([50, 95, 100].map(|p| bytes(values.at(p).unwrap_or(0.0))));
        }
        table.row(cells);
    }
    table.write_within(out, width)
}

/// Percentiles that damo shows.
const SHOWN: [u32; 5] = [0, 25, 50, 75, 100];

#[derive(Serialize)]
struct CompatBody {
    compat: &'static str,
    targets: Vec<DamoWss>,
}

/// As damo computes it.
pub(super) fn compat(
    args: &WssArgs,
    trace: &Trace,
    view: &View,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let options = DamoOptions {
        threshold: args.threshold,
        skip: args.skip,
        work_time_us: args.work_time / 1000,
        sorted: args.sort == WssSort::Size,
        per_target: args.per_target,
    };
    let targets = view.damo_wss(trace, options);
    if targets.iter().all(|one| one.sizes.is_empty()) {
        return Err(Failure::Usage(format!(
            "no snapshots are left when {} of each target are left out; --skip says how many are",
            args.skip
        )));
    }
    match args.format {
        Format::Json => {
            let head = Head::of("wss", trace, view);
            return json(streams, &Document { head, body: CompatBody { compat: "damo", targets } });
        }
        Format::Csv => {
            writeln!(streams.out, "target,index,wss")?;
            for one in &targets {
                for (index, size) in one.sizes.iter().enumerate() {
                    writeln!(streams.out, "{},{index},{size}", one.target)?;
                }
            }
        }
        Format::Text => {
            for one in &targets {
                writeln!(streams.out, "# target {}", one.target)?;
                writeln!(streams.out, "# percentile  bytes")?;
                for percent in SHOWN {
                    if let Some(size) = one.percentile(percent) {
                        writeln!(streams.out, "{percent:>12}  {size}")?;
                    }
                }
                writeln!(streams.out, "# mean: {:.0}", one.mean.trunc())?;
            }
        }
    }
    Ok(())
}
