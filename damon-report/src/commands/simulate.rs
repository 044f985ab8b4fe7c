//! `simulate`: what schemes would have done.

use super::outcomes;
use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title, write};
use super::screen::table_width;
use super::table::{Align, Table};
use super::words::{bytes, clean, duration, moment, percent};
use super::{Streams, has_snapshots, sweep};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::simulate::emit::{Place, emit};
use crate::analysis::simulate::{
    Options, Outlook, PRESETS, Plan, SchemeOutcome, SimulateError, Simulation, TIER_OF_A_SIZE,
    at_once, moves_memory, preset,
};
use crate::analysis::view::View;
use crate::cli::{Format, Show, SimulateArgs};
use crate::exit::Failure;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::{Action, Scheme};
use serde::Serialize;
use std::io::{self, Read as _, Write};

/// A scheme file larger than this is none.
const MOST_BYTES: u64 = 16 << 20;

pub(super) fn run(args: &SimulateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let schemes = schemes(args)?;
    if args.applied && args.format != Format::Json {
        return Err(Failure::Usage("--applied needs --format json".to_owned()));
    }
    if let Some(axes) = &args.sweep {
        return sweep::run(args, axes, &schemes, streams);
    }
    if args.emit.is_some() && !(args.part.address.is_empty() && args.part.mapping.is_empty()) {
        let why = "--emit hands schemes over as they are, for all of what they will be applied to: with --address or \
                   --mapping they were judged by a part of it; give the schemes a filter of type addr instead";
        return Err(Failure::Usage(why.to_owned()));
    }
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    let trace = Trace::open_watched(&args.file, streams.reading)?;
    let options = options(args);
    let done = match args.emit {
        Some(_) => None,
        None => at_once(&trace, &args.part.query(), &schemes, &options)?,
    };
    let (view, simulation) = if let Some((view, done)) = done {
        (view, done.map_err(|error| said(args, &trace, &error))?)
    } else {
        let view = viewed(args, &trace, streams)?;
        let plan = Plan::new(&trace, &view, &schemes, options)
            .map_err(|error| said(args, &trace, &error))?;
        if let Some(form) = args.emit {
            plan.warnings().iter().for_each(|text| streams.say(&format!("warning: {text}")));
            let handed = emit(form.into(), &schemes, &Place::of(&trace, &view, &plan))
                .map_err(|error| said(args, &trace, &error))?;
            handed.notes.iter().for_each(|text| streams.say(text));
            return Ok(write!(streams.out, "{}", handed.text)?);
        }
        let simulation = plan.run(&trace).map_err(|error| said(args, &trace, &error))?;
        (view, simulation)
    };
    let migrates = schemes.as_slice().iter().all(|scheme| scheme.action.migrates());
    let show = args.show.unwrap_or(if migrates { Show::Tiers } else { Show::Line });
    if let Some(file) = file {
        warn(streams, &simulation);
        let (title, subtitle) = (title(&view), subtitle(&trace, &view));
        let drawn = outcomes::Drawn { title: &title, subtitle: &subtitle, verb: verb(&simulation) };
        return write(file.path, &drawn.picture(show, &view, &simulation, file)?, streams);
    }
    match args.format {
        Format::Text => {
            writeln!(streams.out, "{}", clean(&title(&view)))?;
            writeln!(streams.out, "{}", subtitle(&trace, &view))?;
            Ok(text(streams.out, &view, &simulation, table_width(args.columns))?)
        }
        Format::Csv => {
            warn(streams, &simulation);
            match show {
                Show::Line => Ok(csv(streams.out, &simulation)?),
                Show::Tiers => Ok(outcomes::curve_csv(streams.out, &simulation)?),
            }
        }
        Format::Json => {
            warn(streams, &simulation);
            let body = Body {
                origin_ns: view.origin_ns,
                start_ns: view.time().start,
                end_ns: view.time().end,
                simulation: &simulation,
            };
            json(streams, &Document { head: Head::of("simulate", &trace, &view), body })
        }
    }
}

/// The trace and the selected part of it.
pub(super) fn opened(
    args: &SimulateArgs,
    streams: &mut Streams<'_>,
) -> Result<(Trace, View), Failure> {
    let trace = Trace::open_watched(&args.file, streams.reading)?;
    let view = viewed(args, &trace, streams)?;
    Ok((trace, view))
}

/// The selected part, with the damage in it told.
fn viewed(args: &SimulateArgs, trace: &Trace, streams: &mut Streams<'_>) -> Result<View, Failure> {
    // Free memory and pressure are asked for at any time.
    let view = View::with_all_records(trace, &args.part.query())?;
    streams.warn(trace.name(), &view.overview.damage);
    has_snapshots(trace, &view)?;
    Ok(view)
}

/// What the user decided.
pub(super) fn options(args: &SimulateArgs) -> Options {
    Options {
        kernel: args.kernel,
        bytes_per_ms: args.kib_per_ms.saturating_mul(1024),
        ignore_watermarks: args.ignore_watermarks,
        ignore_page_filters: args.ignore_page_filters,
        accept_write_only: args.accept_write_only,
        keep_applied: args.applied,
        group_by: args.group.into(),
        fast_tier: args.fast_tier,
        follow_tiers: args.show == Some(Show::Tiers),
        ..Options::default()
    }
}

/// Whose fault an error is.
pub(super) fn said(args: &SimulateArgs, trace: &Trace, error: &SimulateError) -> Failure {
    match error {
        SimulateError::NoAges
        | SimulateError::TooShort { .. }
        | SimulateError::Crowded { .. }
        | SimulateError::CrowdedBlock { .. }
        | SimulateError::Mixed { .. } => Failure::Input(format!("{}: {error}", trace.name())),
        _ => Failure::Usage(format!("{}: {error}", args.schemes)),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    origin_ns: u64,
    start_ns: u64,
    end_ns: u64,
    #[serde(flatten)]
    simulation: &'a Simulation,
}

/// Reads the schemes, and says what is wrong with them where it is.
fn schemes(args: &SimulateArgs) -> Result<Schemes, Failure> {
    let name = &args.schemes;
    let wrong = |why: String| Failure::Usage(format!("{name}: {why}"));
    if let Some(preset) = preset(name) {
        let is_sized = preset.name == "tier" && args.fast_tier.is_some();
        let json = if is_sized { TIER_OF_A_SIZE } else { preset.json };
        return Schemes::from_json(json).map_err(|error| wrong(error.to_string()));
    }
    let mut text = String::new();
    let read = if name == "-" {
        if args.file.as_os_str() == "-" {
            return Err(Failure::Usage(
                "the trace and the schemes cannot both come from standard input".to_owned(),
            ));
        }
        io::stdin().take(MOST_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(name).and_then(|f| f.take(MOST_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| {
        let presets: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        wrong(format!("cannot read schemes: {error}; presets are {}", presets.join(", ")))
    })?;
    Schemes::from_json(&text).map_err(|error| wrong(error.to_string()))
}

fn warn(streams: &mut Streams<'_>, simulation: &Simulation) {
    for warning in &simulation.warnings {
        streams.say(&format!("warning: {warning}"));
    }
}

fn text(
    out: &mut dyn Write,
    view: &View,
    simulation: &Simulation,
    width: Option<usize>,
) -> io::Result<()> {
    for warning in &simulation.warnings {
        writeln!(out, "warning: {}", clean(warning))?;
    }
    writeln!(out)?;
    for (index, outcome) in simulation.schemes.iter().enumerate() {
        scheme(out, index, outcome, width)?;
        writeln!(out)?;
    }
    let actions = || simulation.schemes.iter().map(|outcome| outcome.scheme.action);
    if actions().any(|action| moves_memory(action) && !action.migrates()) {
        consequences(out, view, simulation, width)?;
        writeln!(out)?;
        outcomes::by_mapping(out, simulation, width)?;
    }
    outcomes::tiers(out, simulation, width)?;
    outcomes::huge(out, simulation, width)?;
    writeln!(out, "this rests on:")?;
    simulation.assumptions.iter().try_for_each(|text| writeln!(out, "- {}", clean(text)))
}

/// One scheme: its pattern and its account.
fn scheme(
    out: &mut dyn Write,
    index: usize,
    outcome: &SchemeOutcome,
    width: Option<usize>,
) -> io::Result<()> {
    let stats = &outcome.stats;
    writeln!(out, "scheme {index}: {}", pattern(&outcome.scheme))?;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    let mut row =
        |name: &str, value: String, more: String| table.row(vec![name.into(), value, more]);
    row("nr_tried", stats.nr_tried.to_string(), String::new());
    row("sz_tried", bytes(float(stats.sz_tried)), since_begin(outcome));
    row("nr_applied", stats.nr_applied.to_string(), String::new());
    row("sz_applied", bytes(float(stats.sz_applied)), String::new());
    let limited = outcome.windows_limited.map_or_else(String::new, |share| {
        format!("{} % of {} windows used up the quota", percent(share), outcome.windows)
    });
    row("qt_exceeds", stats.qt_exceeds.to_string(), limited);
    row("matching", bytes(outcome.eligible), format!("mean of {} passes", outcome.passes));
    if outcome.skipped > 0.0 {
        let most = format!("of it not tried, mean; most {}", bytes(float(outcome.skipped_most)));
        row("skipped", bytes(outcome.skipped), most);
    }
    if outcome.off > 0.0 {
        row("off", format!("{} %", percent(outcome.off)), "of the time, by watermarks".into());
    }
    if outcome.unknown > 0.0 {
        let why = "mean; may match: as old as the recording, which is younger than the least age";
        row("unknown", bytes(outcome.unknown), why.into());
    }
    table.write_within(out, width)
}

fn since_begin(outcome: &SchemeOutcome) -> String {
    if outcome.tried_since_begin > 0.0 {
        format!("{} % as old as the recording or older", percent(outcome.tried_since_begin))
    } else {
        String::new()
    }
}

/// `pageout, nr_accesses 0..0, age 5.., size ..`, in the kernel's units.
fn pattern(scheme: &Scheme) -> String {
    let bounds = |name: &str, min: u64, max: u64, all: u64| {
        let upper = if max == all { String::new() } else { max.to_string() };
        if min == 0 && upper.is_empty() {
            String::new()
        } else {
            format!(", {name} {min}..{upper}")
        }
    };
    let top = u64::from(u32::MAX);
    let (nr, age) = (scheme.nr_accesses, scheme.age);
    let mut text = scheme.action.to_string();
    text += &bounds("nr_accesses", nr.min.into(), nr.max.into(), top);
    text += &bounds("age", age.min.into(), age.max.into(), top);
    text += &bounds("sz", scheme.sz.min, scheme.sz.max, u64::MAX);
    if scheme.quota.is_set() {
        text += ", quota";
        if scheme.quota.bytes > 0 {
            text.extend([" ", &bytes(float(scheme.quota.bytes))]);
        }
        if scheme.quota.ms > 0 {
            text.extend([" ", &scheme.quota.ms.to_string(), " ms"]);
        }
        text.extend([" per ", &duration(float(scheme.quota.reset_interval_ms) * 1e6)]);
    }
    text
}

fn verb(simulation: &Simulation) -> &'static str {
    let actions: Vec<Action> = simulation.schemes.iter().map(|s| s.scheme.action).collect();
    match actions.iter().find(|action| moves_memory(**action)) {
        Some(Action::Pageout) => "paged out",
        Some(Action::MigrateCold | Action::MigrateHot) => "on the slow tier",
        _ => "deactivated",
    }
}

fn consequences(
    out: &mut dyn Write,
    view: &View,
    simulation: &Simulation,
    width: Option<usize>,
) -> io::Result<()> {
    let mut table = Table::new(&[
        (verb(simulation), Align::Left),
        ("optimistic", Align::Right),
        ("expected", Align::Right),
        ("pessimistic", Align::Right),
    ]);
    let three = |of: &Outlook, write: &dyn Fn(f64) -> String| {
        [of.optimistic, of.expected, of.pessimistic].map(write)
    };
    let mut row = |name: String, of: &Outlook, write: &dyn Fn(f64) -> String| {
        let mut cells = vec![name];
        cells.extend(three(of, write));
        table.row(cells);
    };
    let rate = |value: f64| format!("{}/s", bytes(value));
    let per_minute = |value: f64| format!("{value:.3} %");
    row("bytes away, mean".into(), &simulation.away.mean, &bytes);
    row("bytes away, most".into(), &simulation.away.most, &bytes);
    row("bytes away, end".into(), &simulation.away.end, &bytes);
    if let Some(resident) = &simulation.resident {
        let name = format!("resident, mean (recorded {})", bytes(resident.recorded));
        row(name, &resident.left, &bytes);
        row("resident, least".into(), &resident.floor, &bytes);
    }
    row("put away".into(), &simulation.put_away, &bytes);
    if simulation.brought_back != Outlook::default() {
        row("brought back by schemes".into(), &simulation.brought_back, &bytes);
    }
    row(format!("refaulted, {} times", simulation.refaults), &simulation.refaulted, &bytes);
    row("out".into(), &simulation.out_per_second, &rate);
    row("in".into(), &simulation.in_per_second, &rate);
    row(
        "refaulted per minute, of the working set".into(),
        &simulation.promotion_percent,
        &per_minute,
    );
    if let Some(per_day) = &simulation.paged_out_per_day {
        row("paged out a day (device wear)".into(), per_day, &bytes);
    }
    if let Some(worst) = &simulation.worst_minute {
        let at = worst.minute.saturating_mul(60_000_000_000).saturating_add(view.origin_ns);
        let name = format!("worst minute, from {}", moment(at, view.origin_ns));
        row(name, &worst.percent, &per_minute);
    }
    table.write_within(out, width)?;
    outcomes::verdict(out, simulation)?;
    let resident = simulation.resident.as_ref().map(|resident| resident.recorded);
    if resident.is_some_and(|resident| simulation.away.most.expected > resident) {
        writeln!(
            out,
            "more is away than was resident: some of it never had pages, and is no saving"
        )?;
    }
    Ok(())
}

fn csv(out: &mut dyn Write, simulation: &Simulation) -> io::Result<()> {
    writeln!(
        out,
        "start_ns,end_ns,observed_ns,away_optimistic,away,away_pessimistic,put_away,\
         refaulted_optimistic,refaulted,refaulted_pessimistic,refaults,tried,resident,huge,served_fast"
    )?;
    for p in &simulation.line {
        write!(
            out,
            "{},{},{},{},{},{},{},{},{},{},{},{},",
            p.start_ns,
            p.end_ns,
            p.observed_ns,
            p.away.optimistic,
            p.away.expected,
            p.away.pessimistic,
            p.put_away.expected,
            p.refaulted.optimistic,
            p.refaulted.expected,
            p.refaulted.pessimistic,
            p.refaults,
            p.tried
        )?;
        let optional =
            |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let served = p.served.and_then(|served| served.share());
        writeln!(out, "{},{},{}", optional(p.resident), optional(p.huge), optional(served))?;
    }
    Ok(())
}
