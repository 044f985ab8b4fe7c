//! What came out, in Markdown.

use super::trials::{Change, Ends, Plan, SIDES, Sides, Tally};
use super::workload::PROGRAMS;
use std::io::{self, Write};

/// Most of the false alarms.
const FALSE_ALARMS: f64 = 0.01;
/// Least of what is found with five runs a side.
const FOUND: f64 = 0.95;

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn share(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn percent(part: usize, all: usize) -> String {
    format!("{:.1} %", 100.0 * share(part, all))
}

fn named(sides: Sides) -> String {
    let history = if sides.history { ", with a history" } else { "" };
    format!("{0} against {0}{history}", sides.runs)
}

/// The tables.
pub(crate) fn write(out: &mut impl Write, plan: &Plan, tally: &Tally) -> io::Result<()> {
    let size = plan.size;
    writeln!(
        out,
        "{} programs, {} runs of each; recordings of {} aggregations and at most {} regions; sizes and rates vary by {} % from run to run.\n",
        PROGRAMS.len(),
        plan.pool,
        size.aggregations,
        size.regions,
        plan.spread * 100.0,
    )?;
    writeln!(
        out,
        "| what changed | runs | comparisons | regressed | inconclusive | pass | improved |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for change in Change::ALL {
        for sides in SIDES {
            let ends = tally.total(change, sides);
            if ends.all() > 0 {
                line(out, &format!("{} | {}", change.words(), named(sides)), ends)?;
            }
        }
    }
    writeln!(
        out,
        "\nBy program, 5 against 5: regressed where nothing changed, with a working set +10 %, with a hot set +5 %; and how much the gated \
         metrics really vary from run to run (standard deviation).\n"
    )?;
    writeln!(
        out,
        "| program | what it does | false alarms | +10 % found | +5 % hot found | varies by |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (index, program) in PROGRAMS.iter().enumerate() {
        let found = |change| {
            let five = Sides { runs: 5, history: false };
            let ends = tally.cells.get(&(index, change, five)).copied().unwrap_or_default();
            format!("{} of {}", ends.regressed, ends.all())
        };
        let [nothing, working_set, hot] = Change::ALL.map(found);
        let noise = noise(tally, index);
        writeln!(
            out,
            "| {} | {} | {nothing} | {working_set} | {hot} | {noise} |",
            program.name, program.what
        )?;
    }
    if !tally.false_alarms.is_empty() {
        writeln!(out, "\nMetrics in false alarms:")?;
        for (metric, count) in &tally.false_alarms {
            writeln!(out, "{metric} {count}")?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn noise(tally: &Tally, program: usize) -> String {
    let of = tally.noise.iter().filter(|((index, _), _)| *index == program);
    let words = of.map(|((_, metric), (sum, count))| {
        format!("{metric} {:.1} %", (sum / (*count).max(1) as f64).sqrt() * 100.0)
    });
    words.collect::<Vec<String>>().join(", ")
}

fn line(out: &mut impl Write, head: &str, ends: Ends) -> io::Result<()> {
    let all = ends.all();
    writeln!(
        out,
        "| {head} | {all} | {} ({}) | {} | {} | {} |",
        ends.regressed,
        percent(ends.regressed, all),
        percent(ends.inconclusive, all),
        percent(ends.pass, all),
        percent(ends.improved, all),
    )
}

/// In what the results are not what they should be.
pub(crate) fn failures(tally: &Tally) -> Vec<String> {
    let mut list = Vec::new();
    for sides in SIDES {
        let ends = tally.total(Change::Nothing, sides);
        if share(ends.regressed, ends.all()) > FALSE_ALARMS {
            let rate = percent(ends.regressed, ends.all());
            list.push(format!("{}: {rate} of the alarms are false", named(sides)));
        }
    }
    let five = Sides { runs: 5, history: false };
    for change in [Change::WorkingSet, Change::Hot] {
        let ends = tally.total(change, five);
        if ends.all() > 0 && share(ends.regressed, ends.all()) < FOUND {
            let rate = percent(ends.regressed, ends.all());
            list.push(format!("{}, {}: {rate} were found", change.words(), named(five)));
        }
    }
    list
}
