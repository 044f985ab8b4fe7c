//! `regions`: what is hot and what is cold at one moment.

use super::output::{Document, Head, json};
use super::picture::{subtitle, title};
use super::screen::Screen;
use super::table::{Align, Table};
use super::words::{bytes, clean, count, duration, moment, percent};
use super::{Streams, check, open_as};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::regions::{RegionOptions, RegionRow, RegionTable, RegionTotals, regions};
use crate::analysis::strip::strip;
use crate::analysis::temperature::Temperature;
use crate::analysis::view::View;
use crate::analysis::wss::WorkingSetOptions;
use crate::cli::{Format, RegionsArgs, Style};
use crate::exit::Failure;
use crate::render::regions as draw;
use crate::render::regions::StripText;
use crate::render::terminal::Colours;
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &RegionsArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let pattern = check(args.pattern.pattern())?;
    let around = |trace: &Trace| View::around(trace, &args.part.query(), args.at.as_ref());
    let (trace, view) = open_as(&args.file, streams, around)?;
    let options = RegionOptions {
        pattern,
        temperature: args.temperature.unwrap_or_default(),
        order: args.sort.order(),
        top: args.top,
        exact: WorkingSetOptions::for_backend(&trace.info().backend, 1).exact,
    };
    let (table, moment) = regions(&trace, &view, args.at.as_ref(), &options)?;
    match args.format {
        Format::Text => {
            let screen = Screen::detect(args.columns, None, args.color);
            let cells = strip(&moment, &view.selection, table.temperature, screen.columns);
            let strip = draw::strip(&cells, screen.colours);
            Ok(text(streams.out, (&trace, &view), &table, &strip, (args.style, screen))?)
        }
        Format::Csv => Ok(csv(streams.out, &table)?),
        Format::Json => json(
            streams,
            &Document {
                head: Head::of("regions", &trace, &view),
                body: Body { origin_ns: view.origin_ns, table: &table },
            },
        ),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    origin_ns: u64,
    #[serde(flatten)]
    table: &'a RegionTable,
}

fn text(
    out: &mut dyn Write,
    (trace, view): (&Trace, &View),
    table: &RegionTable,
    strip: &StripText,
    (style, screen): (Style, Screen),
) -> io::Result<()> {
    writeln!(out, "{}", clean(&title(view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    let at = |time| moment(time, view.origin_ns);
    writeln!(out, "snapshot {} .. {}", at(table.start_ns), at(table.end_ns))?;
    writeln!(out)?;
    if !strip.text.is_empty() {
        writeln!(out, "{}", strip.text)?;
        let is_plain = screen.colours == Colours::None;
        writeln!(out, "{}", strip_legend(strip, table.temperature, is_plain))?;
        writeln!(out)?;
    }
    match style {
        _ if table.matching.regions == 0 => writeln!(out, "no region is like that")?,
        _ if table.rows.is_empty() => {}
        Style::Table => lines(out, view, table, screen)?,
        Style::Boxes => boxes(out, view, table, screen)?,
    }
    footer(out, table)
}

fn strip_legend(strip: &StripText, temperature: Temperature, is_plain: bool) -> String {
    let Some((coldest, hottest)) = strip.ends else {
        return "temperature is not known: ages were not observed".to_owned();
    };
    let words = |value| warmth(Some(value), temperature);
    let [cold, hot] = if is_plain { ["0", "9"] } else { ["dark", "bright"] };
    format!("temperature: {cold} is {}, {hot} is {}, ~ a gap", words(coldest), words(hottest))
}

/// A temperature in words.
fn warmth(value: Option<f64>, temperature: Temperature) -> String {
    match (value, temperature) {
        (None, _) => "-".to_owned(),
        (Some(ns), Temperature::UseTime) if ns < 0.0 => format!("-{}", duration(-ns)),
        (Some(ns), Temperature::UseTime) => duration(ns),
        (Some(value), Temperature::Weights { .. }) if value.abs() < 1e15 => format!("{value:.0}"),
        (Some(value), Temperature::Weights { .. }) => format!("{value:e}"),
    }
}

/// Names of what is mapped, the largest part first.
fn names(row: &RegionRow) -> String {
    const MOST: usize = 2;
    let shown: Vec<String> = row.mappings.iter().take(MOST).map(|m| clean(&m.name)).collect();
    let more = row.mappings.len().saturating_sub(MOST);
    let rest = if more > 0 { format!(" +{more}") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

fn rate(row: &RegionRow) -> String {
    format!("{} %", percent(row.rate))
}

fn interval(row: &RegionRow) -> String {
    format!("{} .. {} %", percent(row.rate_low), percent(row.rate_high))
}

fn age(row: &RegionRow) -> String {
    row.age_ns.map_or_else(|| "-".to_owned(), |ns| duration(float(ns)))
}

fn lines(out: &mut dyn Write, view: &View, table: &RegionTable, screen: Screen) -> io::Result<()> {
    let several = view.overview.targets.len() > 1;
    let mut columns = vec![
        ("addresses", Align::Right),
        ("size", Align::Right),
        ("rate", Align::Right),
        ("95 % interval", Align::Right),
        ("samples", Align::Right),
        ("age", Align::Right),
        ("temperature", Align::Right),
        ("mapping", Align::Left),
    ];
    if several {
        columns.insert(0, ("target", Align::Right));
    }
    let mut text = Table::new(&columns);
    for row in &table.rows {
        let mut cells = vec![
            format!("{:#x}-{:#x}", row.start, row.end),
            bytes(float(row.size)),
            rate(row),
            interval(row),
            format!("{}/{}", row.nr_accesses, row.max_nr_accesses),
            age(row),
            warmth(row.temperature, table.temperature),
            names(row),
        ];
        if several {
            cells.insert(0, row.target.to_string());
        }
        text.row(cells);
    }
    text.write_within(out, screen.table)?;
    writeln!(out)
}

/// Characters that a box may be wide, and what is written beside it.
const BESIDE: usize = 48;

fn boxes(out: &mut dyn Write, view: &View, table: &RegionTable, screen: Screen) -> io::Result<()> {
    let several = view.overview.targets.len() > 1;
    let width = screen.columns.saturating_sub(BESIDE).max(screen.columns / 3).max(1);
    let boxes = draw::boxes(&table.rows, width, screen.colours);
    for (row, shape) in table.rows.iter().zip(&boxes) {
        let target = if several { format!("target {}: ", row.target) } else { String::new() };
        let beside = format!(
            "{target}{:#x} {}, {}, age {} {}",
            row.start,
            bytes(float(row.size)),
            rate(row),
            age(row),
            names(row)
        );
        let pad = " ".repeat(width.saturating_sub(shape.width) + 1);
        writeln!(out, "{}{pad}{}", shape.text, beside.trim_end())?;
        for _ in 1..shape.lines {
            writeln!(out, "{}", shape.text)?;
        }
    }
    writeln!(out)?;
    writeln!(out, "width: size (logarithmic); height: access rate, 1 line idle, 4 above 67 %;")?;
    writeln!(out, "filled by age, youngest 0 (bright) to oldest 9 (dark), ? not known")?;
    writeln!(out)
}

fn footer(out: &mut dyn Write, table: &RegionTable) -> io::Result<()> {
    let line = |name: &str, totals: &RegionTotals| {
        format!(
            "{name}: {} in {}: hot {}, cold {}, expected {}",
            bytes(float(totals.monitored)),
            count(totals.regions, "region"),
            bytes(float(totals.hot)),
            bytes(float(totals.cold)),
            bytes(totals.expected)
        )
    };
    let shown = u64::try_from(table.rows.len()).unwrap_or(u64::MAX);
    if table.matching.regions != table.total.regions {
        writeln!(out, "{}", line("matching", &table.matching))?;
    }
    if shown < table.matching.regions {
        writeln!(out, "shown: {shown} of {} regions", table.matching.regions)?;
    }
    writeln!(out, "{}", line("monitored", &table.total))?;
    writeln!(out, "hot: at least one positive sample; expected: size x rate")?;
    match table.temperature {
        Temperature::UseTime => writeln!(
            out,
            "temperature: time in use, rate x (age + 1 aggregation); below zero: idle time"
        ),
        Temperature::Weights { size, rate, age } => writeln!(
            out,
            "temperature: {size} x bytes + {rate} x % + {age} x us of age; below zero: idle"
        ),
    }
}

fn csv(out: &mut dyn Write, table: &RegionTable) -> io::Result<()> {
    writeln!(
        out,
        "target,start,end,size,nr_accesses,max_nr_accesses,rate,rate_low,rate_high,age,age_ns,\
         temperature,mapping"
    )?;
    let known = |value: Option<String>| value.unwrap_or_default();
    for row in &table.rows {
        let name = row.mappings.first().map_or("", |m| m.name.as_str());
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{},{},{}",
            row.target,
            row.start,
            row.end,
            row.size,
            row.nr_accesses,
            row.max_nr_accesses,
            row.rate,
            row.rate_low,
            row.rate_high,
            known(row.age.map(|age| age.to_string())),
            known(row.age_ns.map(|age| age.to_string())),
            known(row.temperature.map(|t| t.to_string())),
            super::words::csv_text(name)
        )?;
    }
    Ok(())
}
