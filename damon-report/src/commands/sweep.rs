//! `simulate --sweep`: which variants of schemes are worth a thought.

use super::Streams;
use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::table_width;
use super::simulate::{opened, options, said};
use super::table::{Align, Table};
use super::words::{bytes, clean, csv_text, percent};
use crate::analysis::simulate::Outlook;
use crate::analysis::simulate::sweep::{
    AroundVariant, Axes, Axis, Reason, Shifted, Sweep, Value, Variant,
};
use crate::analysis::view::View;
use crate::cli::{Format, SimulateArgs};
use crate::exit::Failure;
use crate::render::pareto::{Dot, Named, Picture, pareto_png, pareto_svg};
use damon_format::damos::Schemes;
use serde::Serialize;
use std::io::{self, Write};

/// Rows of the front that the text shows; JSON and CSV have all.
const MOST_ROWS: usize = 24;

/// Reasons to leave variants out that the text shows.
const MOST_REASONS: usize = 3;

/// Per cent of the whole that are not worth the trouble.
const LITTLE: f64 = 0.5;

pub(super) fn run(
    args: &SimulateArgs,
    axes: &str,
    base: &Schemes,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    let axes = Axes::parse(axes, base)
        .map_err(|error| Failure::Usage(format!("--sweep {axes}: {error}")))?;
    let (trace, view) = opened(args, streams)?;
    let sweep = Sweep::run(&trace, &view, base, axes, &options(args))
        .map_err(|error| said(args, &trace, &error))?;
    let chosen = sweep.choice.and_then(|choice| sweep.schemes(base, choice.variant));
    if args.output.is_some() || args.format != Format::Text {
        sweep.warnings.iter().for_each(|warning| streams.say(&format!("warning: {warning}")));
    }
    if let Some(file) = file {
        return picture(&view, &sweep, file, streams);
    }
    match args.format {
        Format::Text => {
            writeln!(streams.out, "{}", clean(&title(&view)))?;
            writeln!(streams.out, "{}", subtitle(&trace, &view))?;
            Ok(text(streams.out, &sweep, chosen.as_ref(), table_width(args.columns))?)
        }
        Format::Csv => Ok(csv(streams.out, &sweep)?),
        Format::Json => {
            let body = Body {
                origin_ns: view.origin_ns,
                start_ns: view.time().start,
                end_ns: view.time().end,
                sweep: &sweep,
                chosen_schemes: chosen.map(|schemes| schemes.to_json()),
            };
            json(streams, &Document { head: Head::of("sweep", &trace, &view), body })
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    origin_ns: u64,
    start_ns: u64,
    end_ns: u64,
    #[serde(flatten)]
    sweep: &'a Sweep,
    /// What [`Sweep::choice`] is, in the form that is applied.
    chosen_schemes: Option<serde_json::Value>,
}

/// `age`, or `1.age` where it is not the first scheme's.
fn axis_name(axis: &Axis) -> String {
    match axis.scheme {
        0 => axis.parameter.to_string(),
        scheme => format!("{scheme}.{}", axis.parameter),
    }
}

/// `age 2 m, max_rate 0 %`.
fn valued(sweep: &Sweep, values: &[Value]) -> String {
    let axes = sweep.axes.as_slice().iter().zip(values);
    let all: Vec<String> =
        axes.map(|(axis, value)| format!("{} {value}", axis_name(axis))).collect();
    all.join(", ")
}

/// `age (32 values, 10 s to 10 m)`.
fn varied(sweep: &Sweep) -> String {
    let axes = sweep.axes.as_slice().iter().map(|axis| {
        let values = &axis.values;
        match values.as_slice() {
            [first, .., last] => {
                format!("{} ({} values, {first} to {last})", axis_name(axis), values.len())
            }
            [only] => format!("{} ({only})", axis_name(axis)),
            [] => axis_name(axis),
        }
    });
    axes.collect::<Vec<_>>().join(", ")
}

/// What stands before the limit, and after it.
fn reason(why: Reason) -> (&'static str, &'static str) {
    match why {
        Reason::MostBelowLimit => ("of those that bring back less than", "it saves most"),
        Reason::Knee => {
            ("none brings back less than", "beyond this one, more saving costs much more")
        }
        Reason::FewestPromotions => ("none brings back less than", "this one is nearest to that"),
    }
}

fn whole(sweep: &Sweep) -> (f64, &'static str) {
    sweep.resident.map_or((sweep.monitored, "monitored"), |resident| (resident, "resident"))
}

fn text(
    out: &mut dyn Write,
    sweep: &Sweep,
    chosen: Option<&Schemes>,
    width: Option<usize>,
) -> io::Result<()> {
    for warning in &sweep.warnings {
        writeln!(out, "warning: {}", clean(warning))?;
    }
    writeln!(out)?;
    let same = sweep.variants.iter().filter(|variant| variant.same_as.is_some()).count();
    writeln!(out, "{} variants: {}", sweep.variants.len(), varied(sweep))?;
    if same > 0 {
        writeln!(out, "{same} of them are the same as others in the recording's intervals")?;
    }
    if !sweep.left_out.is_empty() {
        writeln!(out, "{} more mean nothing and are left out:", sweep.left_out.len())?;
        for one in sweep.left_out.iter().take(MOST_REASONS) {
            writeln!(out, "- {}: {}", valued(sweep, &one.values), clean(&one.why))?;
        }
    }
    writeln!(out)?;
    front(out, sweep, width)?;
    for around in &sweep.sensitivity {
        writeln!(out)?;
        sensitivity(out, sweep, around, width)?;
    }
    if let (Some(choice), Some(schemes)) = (sweep.choice, chosen)
        && let Some(variant) = sweep.variants.get(choice.variant)
    {
        writeln!(out)?;
        let (values, limit) = (valued(sweep, &variant.values), sweep.promotion_limit_percent);
        let (compared, because) = reason(choice.why);
        writeln!(out, "take {values}: {compared} {limit} % a minute, {because}")?;
        if variant.saved_percent.expected < LITTLE {
            writeln!(out, "which saves next to nothing: below that rate there is nothing to gain")?;
        }
        writeln!(out, "{}", serde_json::to_string_pretty(&schemes.to_json()).unwrap_or_default())?;
    }
    writeln!(out)?;
    writeln!(out, "this rests on:")?;
    sweep.assumptions.iter().try_for_each(|text| writeln!(out, "- {}", clean(text)))
}

fn front(out: &mut dyn Write, sweep: &Sweep, width: Option<usize>) -> io::Result<()> {
    if sweep.front.is_empty() {
        return writeln!(out, "no variant puts anything away");
    }
    let (_, of) = whole(sweep);
    writeln!(
        out,
        "the {} that nobody beats, of {}: no other one saves as much with fewer promotions",
        sweep.front.len(),
        sweep.variants.len()
    )?;
    let mut columns: Vec<(&'static str, Align)> = Vec::new();
    columns.extend(sweep.axes.as_slice().iter().map(|axis| (axis.parameter.name(), Align::Right)));
    columns.extend([
        ("bytes away", Align::Right),
        (if of == "resident" { "of resident" } else { "of monitored" }, Align::Right),
        ("back per minute, of the working set", Align::Right),
        ("worst minute", Align::Right),
        ("", Align::Left),
    ]);
    let mut table = Table::new(&columns);
    let marked = |at: usize| {
        let mut marks = Vec::new();
        if sweep.choice.is_some_and(|choice| choice.variant == at) {
            marks.push("take this");
        }
        if sweep.knee == Some(at) {
            marks.push("knee");
        }
        marks.join(", ")
    };
    let last = sweep.front.len().saturating_sub(1);
    // Evenly spread, with both ends.
    let shown: Vec<usize> = (0..MOST_ROWS).map(|row| row * last / (MOST_ROWS - 1)).collect();
    let mut left_out = false;
    for (row, at) in sweep.front.iter().enumerate() {
        let mark = marked(*at);
        let Some(variant) = sweep.variants.get(*at) else { continue };
        if last >= MOST_ROWS && !shown.contains(&row) && mark.is_empty() {
            left_out = true;
            continue;
        }
        let mut cells: Vec<String> = variant.values.iter().map(ToString::to_string).collect();
        let worst = variant
            .worst_minute
            .map_or_else(|| "-".to_owned(), |worst| format!("{:.3} %", worst.percent.expected));
        cells.extend([
            bytes(variant.away.mean.expected),
            format!("{} %", percent(variant.saved_percent.expected / 100.0)),
            format!("{:.3} %", variant.promotion_percent.expected),
            worst,
            mark,
        ]);
        table.row(cells);
    }
    table.write_within(out, width)?;
    if left_out {
        writeln!(out, "not all of them are shown here; --format csv has all variants")?;
    }
    Ok(())
}

fn sensitivity(
    out: &mut dyn Write,
    sweep: &Sweep,
    around: &AroundVariant,
    width: Option<usize>,
) -> io::Result<()> {
    let Some(variant) = sweep.variants.get(around.variant) else { return Ok(()) };
    writeln!(out, "a quarter less and more, around {}", valued(sweep, &variant.values))?;
    let mut table = Table::new(&[
        ("", Align::Left),
        ("away, less", Align::Right),
        ("more", Align::Right),
        ("elasticity", Align::Right),
        ("back per minute, less", Align::Right),
        ("more", Align::Right),
        ("elasticity", Align::Right),
    ]);
    let dash = || "-".to_owned();
    let elasticity = |value: Option<f64>| value.map_or_else(dash, |value| format!("{value:+.2}"));
    for of in &around.axes {
        let two = |show: &dyn Fn(&Shifted) -> String| {
            [&of.lower, &of.higher].map(|shifted| match shifted {
                None => dash(),
                Some(shifted) if shifted.same => "the same".to_owned(),
                Some(shifted) => show(shifted),
            })
        };
        let [less, more] = two(&|shifted| bytes(shifted.saving));
        let [less_back, more_back] = two(&|shifted| format!("{:.3} %", shifted.promotion_percent));
        let name = match of.scheme {
            0 => format!("{} {}", of.parameter, of.value),
            scheme => format!("{scheme}.{} {}", of.parameter, of.value),
        };
        table.row(vec![
            name,
            less,
            more,
            elasticity(of.saving_elasticity),
            less_back,
            more_back,
            elasticity(of.promotion_elasticity),
        ]);
    }
    table.write_within(out, width)
}

fn csv(out: &mut dyn Write, sweep: &Sweep) -> io::Result<()> {
    write!(out, "variant")?;
    for axis in sweep.axes.as_slice() {
        let name = axis_name(axis);
        write!(out, ",{name},{name}_number")?;
    }
    writeln!(
        out,
        ",same_as,too_short,front,knee,choice,away_optimistic,away,away_pessimistic,away_most,saved_percent,\
         resident_left,put_away,refaulted_optimistic,refaulted,refaulted_pessimistic,promotion_percent_optimistic,\
         promotion_percent,promotion_percent_pessimistic,worst_minute_percent,nr_tried,sz_tried,windows,qt_exceeds"
    )?;
    for (index, variant) in sweep.variants.iter().enumerate() {
        write!(out, "{index}")?;
        for value in &variant.values {
            write!(out, ",{},{}", csv_text(&value.to_string()), value.number)?;
        }
        let same = variant.same_as.map(|same| same.to_string()).unwrap_or_default();
        write!(
            out,
            ",{same},{},{},{},{}",
            variant.too_short,
            sweep.front.contains(&index),
            sweep.knee == Some(index),
            sweep.choice.is_some_and(|choice| choice.variant == index)
        )?;
        numbers(out, variant)?;
    }
    Ok(())
}

fn numbers(out: &mut dyn Write, variant: &Variant) -> io::Result<()> {
    let three = |of: &Outlook| format!("{},{},{}", of.optimistic, of.expected, of.pessimistic);
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    writeln!(
        out,
        ",{},{},{},{},{},{},{},{},{},{},{},{}",
        three(&variant.away.mean),
        variant.away.most.expected,
        variant.saved_percent.expected,
        optional(variant.resident.map(|resident| resident.left.expected)),
        variant.put_away.expected,
        three(&variant.refaulted),
        three(&variant.promotion_percent),
        optional(variant.worst_minute.map(|worst| worst.percent.expected)),
        variant.nr_tried,
        variant.sz_tried,
        variant.windows,
        variant.qt_exceeds
    )
}

fn picture(
    view: &View,
    sweep: &Sweep,
    file: PictureFile<'_>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let dots: Vec<Dot> = sweep
        .variants
        .iter()
        .map(|variant| Dot {
            saving: variant.away.mean.expected,
            promotion: variant.promotion_percent.expected,
        })
        .collect();
    let label = |at: usize, what: &str| {
        let values = sweep.variants.get(at).map(|variant| valued(sweep, &variant.values));
        Named { at, label: format!("{what}: {}", values.unwrap_or_default()) }
    };
    let choice = sweep.choice.map(|choice| choice.variant);
    let mut named = Vec::new();
    if let Some(at) = choice {
        let what = if sweep.knee == choice { "take this (the knee)" } else { "take this" };
        named.push(label(at, what));
    }
    named.extend(sweep.knee.filter(|knee| Some(*knee) != choice).map(|at| label(at, "knee")));
    let what = format!("bytes away, mean, of {} variants: {}", dots.len(), varied(sweep));
    let picture = Picture {
        title: &title(view),
        subtitle: &what,
        dots: &dots,
        front: &sweep.front,
        named: &named,
        limit: sweep.promotion_limit_percent,
        whole: whole(sweep),
    };
    file.put(&picture, pareto_png, pareto_svg, streams)
}
