//! `nr-regions`: how many regions there were.

use super::output::{Document, Head, json};
use super::picture::{subtitle, title};
use super::screen::Screen;
use super::table::{Align, Table};
use super::words::{PERCENTILES, clean, drawn_means, moment, percent};
use super::{Streams, open};
use crate::analysis::load::Trace;
use crate::analysis::nr_regions::{Limits, NrRegions, Percentiles, RegionCounts, nr_regions};
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::cli::{Format, NrRegionsArgs};
use crate::exit::Failure;
use crate::render::timeline::{TimeLine, time_lines};
use serde::Serialize;
use std::io::{self, Write};

/// Targets that the text shows beside the sum; JSON and CSV have all.
const MOST_TARGETS: usize = 8;

pub(super) fn run(args: &NrRegionsArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (trace, view) = open(&args.file, &args.part, streams)?;
    let skipped = args.skipped();
    let counts = nr_regions(&trace, &view, args.percentiles(), skipped);
    if counts.targets.is_empty() {
        let usual = if args.skip.is_none() { " (as damo does; ask for fewer)" } else { "" };
        return Err(Failure::Usage(format!(
            "--skip {skipped}{usual}: no target has more snapshots than that"
        )));
    }
    match args.format {
        Format::Text => {
            let screen = Screen::detect(args.columns, None, args.color);
            Ok(text(streams.out, &trace, &view, &counts, screen)?)
        }
        Format::Csv => Ok(csv(streams.out, &counts)?),
        Format::Json => {
            let body = Body { origin_ns: view.origin_ns, counts };
            json(streams, &Document { head: Head::of("nr-regions", &trace, &view), body })
        }
    }
}

#[derive(Serialize)]
struct Body {
    origin_ns: u64,
    #[serde(flatten)]
    counts: NrRegions,
}

/// The columns of the text: the sum and, where there are several, the targets.
fn shown(counts: &NrRegions) -> Vec<(String, &RegionCounts)> {
    let mut shown = vec![("regions".to_owned(), &counts.total)];
    if counts.targets.len() > 1 {
        let targets = counts.targets.iter().take(MOST_TARGETS);
        shown.extend(targets.map(|one| {
            (one.target.map(|target| format!("target {target}")).unwrap_or_default(), one)
        }));
    }
    shown
}

fn text(
    out: &mut dyn Write,
    trace: &Trace,
    view: &View,
    counts: &NrRegions,
    screen: Screen,
) -> io::Result<()> {
    writeln!(out, "{}", clean(&title(view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    let skipped = match counts.skipped {
        0 => String::new(),
        n => format!(", without the first {n} of each target"),
    };
    match counts.percentiles {
        Percentiles::TimeWeighted => writeln!(out, "regions in a snapshot{skipped}")?,
        Percentiles::Damo => writeln!(out, "regions in a snapshot, by damo's rules{skipped}")?,
    }
    writeln!(out)?;
    let shown = shown(counts);
    let of = match counts.percentiles {
        Percentiles::TimeWeighted => "of time",
        Percentiles::Damo => "of snapshots",
    };
    let mut lines: Vec<Vec<String>> = Vec::new();
    for percent in PERCENTILES {
        let values = shown.iter().map(|(_, one)| number(one.distribution.at(percent)));
        lines.push([format!("{percent} %")].into_iter().chain(values).collect());
    }
    let means = shown.iter().map(|(_, one)| format!("{:.1}", one.distribution.mean));
    lines.push(["mean".to_owned()].into_iter().chain(means).collect());
    let columns = vec![("", Align::Right); shown.len() + 1];
    let mut table = Table::new(&columns);
    let names = shown.iter().map(|(name, _)| name.clone());
    table.row([of.to_owned()].into_iter().chain(names).collect());
    for line in lines {
        table.row(line);
    }
    table.write_within(out, screen.table)?;
    writeln!(out)?;
    let time = view.time();
    let lines = shown
        .iter()
        .map(|(name, one)| TimeLine {
            name,
            greatest: format!("max {}", one.samples.iter().map(|s| s.regions).max().unwrap_or(0)),
            samples: one.samples.iter().map(|s| (s.start_ns, s.end_ns, float(s.regions))),
        })
        .collect();
    let span = (time.start, time.end);
    let drawn = time_lines(lines, span, view.origin_ns, screen.columns, screen.colours);
    write!(out, "{drawn}")?;
    writeln!(out)?;
    if let Some(cell_ns) = counts.cell_ns {
        writeln!(out, "{}", drawn_means(cell_ns))?;
    }
    limits(out, view, counts)
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}

fn limits_words(limits: &Limits) -> Option<String> {
    let (least, most) = limits.min_nr_regions.zip(limits.max_nr_regions)?;
    Some(format!("{least} .. {most}"))
}

fn limits(out: &mut dyn Write, view: &View, counts: &NrRegions) -> io::Result<()> {
    if let [first, changes @ ..] = counts.limits.as_slice() {
        let words = match limits_words(first) {
            Some(words) => format!("{words} regions, of all targets together"),
            None => "unknown".to_owned(),
        };
        writeln!(out, "limits: {words}")?;
        for change in changes {
            let words = limits_words(change).unwrap_or_else(|| "unknown".to_owned());
            writeln!(out, "  from {}: {words}", moment(change.time_ns, view.origin_ns))?;
        }
    }
    if let (Some(above), Some(below)) = (counts.total.above_max, counts.total.below_min) {
        writeln!(
            out,
            "above the limit {} % of the time, below it {} %",
            percent(above),
            percent(below)
        )?;
    } else {
        writeln!(out, "limits: not in the recording")?;
    }
    let left_out = counts.targets.len().saturating_sub(MOST_TARGETS);
    if left_out > 0 {
        writeln!(out, "{left_out} more targets are in json and csv")?;
    }
    Ok(())
}

fn csv(out: &mut dyn Write, counts: &NrRegions) -> io::Result<()> {
    writeln!(out, "target,start_ns,end_ns,regions")?;
    for one in [&counts.total].into_iter().chain(&counts.targets) {
        let target = one.target.map_or_else(|| "all".to_owned(), |target| target.to_string());
        for sample in one.samples.iter() {
            writeln!(out, "{target},{},{},{}", sample.start_ns, sample.end_ns, sample.regions)?;
        }
    }
    Ok(())
}
