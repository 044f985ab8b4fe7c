//! `footprint`: memory that is held against memory that is used.

use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::table_width;
use super::table::{Align, Table};
use super::words::{bytes, clean};
use super::{Streams, open};
use crate::analysis::footprint::{Footprint, FootprintSample, ProportionalSample};
use crate::analysis::load::Trace;
use crate::analysis::view::View;
use crate::analysis::wss::{Distribution, WorkingSetOptions};
use crate::cli::{FootprintArgs, Format};
use crate::exit::Failure;
use crate::render::footprint::{Picture, footprint_png, footprint_svg};
use serde::Serialize;
use std::io::{self, Write};

/// Percentiles that the text shows; JSON has all.
const SHOWN: [usize; 7] = [0, 5, 25, 50, 75, 95, 100];

pub(super) fn run(args: &FootprintArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    let (trace, view) = open(&args.file, &args.part, streams)?;
    let options = WorkingSetOptions::for_backend(&trace.info().backend, args.threshold);
    let (found, working_set) = view.footprint(&trace, options);
    if found.samples.is_empty() && found.machine.is_empty() {
        return Err(Failure::Input(format!(
            "{}: no memory sizes were recorded in the selected part; `damon-report wss` does without",
            trace.name()
        )));
    }
    if let Some(file) = file {
        let time = view.time();
        let picture = Picture {
            footprint: &found,
            working_set: &working_set,
            title: &title(&view),
            subtitle: &subtitle(&trace, &view),
            start_ns: time.start,
            end_ns: time.end,
            origin_ns: view.origin_ns,
        };
        return file.put(&picture, footprint_png, footprint_svg, streams);
    }
    match args.format {
        Format::Text => Ok(text(streams.out, (&trace, &view), &found, table_width(args.columns))?),
        Format::Csv => Ok(csv(streams.out, &found)?),
        Format::Json => {
            let body = Body { origin_ns: view.origin_ns, footprint: &found };
            json(streams, &Document { head: Head::of("footprint", &trace, &view), body })
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    origin_ns: u64,
    #[serde(flatten)]
    footprint: &'a Footprint,
}

fn text(
    out: &mut dyn Write,
    (trace, view): (&Trace, &View),
    found: &Footprint,
    width: Option<usize>,
) -> io::Result<()> {
    writeln!(out, "{}", clean(&title(view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    writeln!(out, "touched: upper estimate; expected: lower estimate, size x access rate")?;
    writeln!(out)?;
    let mut columns: Vec<(&'static str, &Distribution)> = Vec::new();
    if !found.samples.is_empty() {
        let sizes = &found.sizes;
        columns.extend([
            ("resident", &sizes.rss),
            ("proportional", &sizes.pss),
            ("swapped", &sizes.swap),
            ("virtual", &sizes.virtual_size),
        ]);
        columns.retain(|(title, of)| *title != "proportional" || !of.percentiles.is_empty());
    }
    columns.extend(found.machine_used.as_ref().map(|used| ("system used", used)));
    columns.extend([("touched", &found.touched), ("expected", &found.expected)]);
    table(out, &columns, width)?;
    writeln!(out)?;
    let times = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
    let held = if found.samples.is_empty() { "system used" } else { "resident" };
    writeln!(
        out,
        "{held} is {} x touched and {} x expected (means)",
        times(found.resident_per_touched),
        times(found.resident_per_expected)
    )?;
    if found.proportional_per_touched.is_some() {
        writeln!(
            out,
            "proportional (what is shared counts once for all) is {} x touched and {} x expected (means)",
            times(found.proportional_per_touched),
            times(found.proportional_per_expected)
        )?;
    }
    if found.targets.len() > 1 {
        let has_shared = !found.proportional.is_empty();
        writeln!(out)?;
        let right = |title| (title, Align::Right);
        let mut titles = vec![right("target"), right("resident"), right("max")];
        titles.extend(has_shared.then_some(right("proportional")));
        titles.extend([right("swapped"), right("virtual"), ("", Align::Left)]);
        let mut table = Table::new(&titles);
        let names = view.overview.target_names();
        for one in &found.targets {
            let name = names.iter().find(|name| name.target == one.target);
            let sizes = &one.sizes;
            let most = bytes(sizes.rss.at(100).unwrap_or(0.0));
            let mut row = vec![one.target.to_string(), bytes(sizes.rss.mean), most];
            let is_known = !sizes.pss.percentiles.is_empty();
            let shared = || if is_known { bytes(sizes.pss.mean) } else { "-".to_owned() };
            row.extend(has_shared.then(shared));
            let name = name.map_or_else(String::new, |name| clean(&name.name()));
            row.extend([bytes(sizes.swap.mean), bytes(sizes.virtual_size.mean), name]);
            table.row(row);
        }
        table.write_within(out, width)?;
    }
    let most = |value: fn(&FootprintSample) -> Option<f64>| {
        found.samples.iter().filter_map(value).fold(0.0, f64::max)
    };
    if !found.samples.is_empty() {
        let (minor, major) = (most(|s| s.minor_faults), most(|s| s.major_faults));
        writeln!(out, "faults a second, at most: {minor:.1} minor, {major:.1} major")?;
    }
    Ok(())
}

fn table(
    out: &mut dyn Write,
    columns: &[(&'static str, &Distribution)],
    width: Option<usize>,
) -> io::Result<()> {
    let mut titles = vec![("of time", Align::Right)];
    titles.extend(columns.iter().map(|(title, _)| (*title, Align::Right)));
    let mut table = Table::new(&titles);
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), bytes);
    for percent in SHOWN {
        let mut row = vec![format!("{percent} %")];
        row.extend(columns.iter().map(|(_, of)| cell(of.at(percent))));
        table.row(row);
    }
    let mut row = vec!["mean".to_owned()];
    row.extend(columns.iter().map(|(_, of)| bytes(of.mean)));
    table.row(row);
    table.write_within(out, width)
}

fn csv(out: &mut dyn Write, found: &Footprint) -> io::Result<()> {
    writeln!(
        out,
        "time_ns,target,rss,swap,virtual_size,minor_faults,major_faults,system_used,pss,swap_pss"
    )?;
    let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    let line = |out: &mut dyn Write, target: &str, s: &FootprintSample| {
        writeln!(
            out,
            "{},{target},{},{},{},{},{},,,",
            s.time_ns,
            s.rss,
            s.swap,
            s.virtual_size,
            optional(s.minor_faults),
            optional(s.major_faults)
        )
    };
    for one in &found.targets {
        for sample in &one.samples {
            line(out, &one.target.to_string(), sample)?;
        }
    }
    for sample in found.samples.iter().filter(|_| found.targets.len() != 1) {
        line(out, "all", sample)?;
    }
    for sample in &found.machine {
        writeln!(out, "{},system,,,,,,{},,", sample.time_ns, sample.used)?;
    }
    let shared = |out: &mut dyn Write, target: &str, s: &ProportionalSample| {
        writeln!(out, "{},{target},,,,,,,{},{}", s.time_ns, s.pss, s.swap_pss)
    };
    for one in &found.targets {
        one.proportional.iter().try_for_each(|s| shared(out, &one.target.to_string(), s))?;
    }
    let mut all = found.proportional.iter().filter(|_| found.targets.len() != 1);
    all.try_for_each(|s| shared(out, "all", s))?;
    Ok(())
}
