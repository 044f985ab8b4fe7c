//! A comparison for the terminal.

use super::super::table::{Align as Side, Table};
use super::super::words::{bytes, clean};
use super::Report;
use super::words::{
    decides, gated, limit, moved, reach, relative, sentence, setting, side, signed, terms, verdict,
};
use crate::analysis::compare::{Compared, Verdict};
use std::io::{self, Write};

/// Lines of a list that is no verdict.
const MOST: usize = 10;

pub(super) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let found = report.found;
    writeln!(out, "{}: {}", verdict(found.verdict).to_uppercase(), sentence(found))?;
    writeln!(out, "base: {}", side(&found.base))?;
    writeln!(out, "new:  {}", side(&found.new))?;
    if let Some(setting) = setting(found) {
        writeln!(out, "{setting}")?;
    }
    writeln!(out, "{}", terms(found))?;
    writeln!(out)?;
    metrics(&gated(found).collect::<Vec<_>>(), "verdict", &|m| verdict(m.verdict))
        .write_within(out, report.width)?;
    mappings(out, report)?;
    unmatched(out, report)?;
    if !found.warnings.is_empty() {
        writeln!(out, "\nto know:")?;
        found.warnings.iter().try_for_each(|text| writeln!(out, "- {}", clean(text)))?;
    }
    let open: Vec<(String, String)> = gated(found)
        .filter_map(|metric| Some((metric.metric.to_string(), decides(metric)?)))
        .collect();
    if !open.is_empty() {
        writeln!(out, "\nwhat would decide:")?;
    }
    for (metric, what) in open {
        writeln!(out, "- {}: {what}", clean(&metric))?;
    }
    if let Some(picture) = report.picture {
        writeln!(out, "\npicture: {}", clean(picture))?;
    }
    Ok(())
}

/// Where names are longer than this, they stand after the numbers, lest those be out of sight.
const LONG: usize = 48;

/// A line for each metric.
fn metrics(
    metrics: &[&Compared],
    last: &'static str,
    word: &dyn Fn(&Compared) -> &'static str,
) -> Table {
    let names: Vec<String> = metrics.iter().map(|m| clean(&m.metric.to_string())).collect();
    let long_names = names.iter().any(|name| name.chars().count() > LONG);
    let mut columns = vec![
        ("base", Side::Right),
        ("new", Side::Right),
        ("change", Side::Right),
        ("relative", Side::Right),
        ("+-", Side::Right),
        ("limit", Side::Right),
        (last, Side::Left),
    ];
    let place = if long_names { columns.len() } else { 0 };
    columns.insert(place, ("metric", Side::Left));
    let mut table = Table::new(&columns);
    for (metric, name) in metrics.iter().zip(names) {
        let mut row = vec![
            bytes(metric.base_mean),
            bytes(metric.new_mean),
            signed(metric.change),
            relative(metric),
            reach(metric),
            // Text is plain ASCII.
            limit(metric).replace('±', "+-"),
            word(metric).to_owned(),
        ];
        row.insert(place, name);
        table.row(row);
    }
    table
}

fn mappings(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let found = report.found;
    let moved = moved(found);
    if moved.is_empty() {
        return writeln!(out, "\nno mapping changed much");
    }
    writeln!(out, "\nmappings that changed most:")?;
    let sure = |metric: &Compared| match metric.verdict {
        Verdict::Regressed | Verdict::Improved => "yes",
        Verdict::Pass | Verdict::Inconclusive => "no",
    };
    metrics(moved.get(..MOST).unwrap_or(&moved), "certain", &sure)
        .write_within(out, report.width)?;
    match moved.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}

fn unmatched(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let found = report.found;
    if found.unmatched.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nmappings of one side only:")?;
    let mut table = Table::new(&[
        ("size", Side::Right),
        ("base runs", Side::Right),
        ("new runs", Side::Right),
        ("mapping", Side::Left),
    ]);
    for one in found.unmatched.iter().take(MOST) {
        table.row(vec![
            bytes(one.size),
            one.base.to_string(),
            one.new.to_string(),
            clean(&one.label),
        ]);
    }
    table.write_within(out, report.width)?;
    match found.unmatched.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}
