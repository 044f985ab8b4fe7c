//! Simulating in one pass over a trace.
//!
//! A plan has to be there before the pass, and rests on what all of the recording is like. So it is made for what a few blocks
//! tell and for all records, which are read without the snapshots; and made again when all is known. If both would do the
//! same, as they do nearly always, that was it.

use super::engine::Engine;
use super::feed::{HELD, PASSES, Source};
use super::plan::{Options, Plan, SimulateError};
use super::{Simulation, simulation};
use crate::analysis::load::Trace;
use crate::analysis::overview::Overview;
use crate::analysis::records::Records;
use crate::analysis::select::{Query, SelectError};
use crate::analysis::spans::SpanSet;
use crate::analysis::view::View;
use crate::analysis::wss::ResidentSample;
use damon_format::TargetId;
use damon_format::damos::Schemes;
use std::collections::BTreeMap;

/// A simulation, or why there is none, with the view of what was simulated.
pub type Viewed = (View, Result<Simulation, SimulateError>);

/// Simulates schemes on what a query selects, with the view of it that [`View::with_all_records`] would make. `None` where that
/// cannot be done in one pass: a plan and its [run](Plan::run) do it, or say what is wrong.
///
/// # Errors
/// What the query asks for is not there.
pub fn at_once(
    trace: &Trace,
    query: &Query,
    schemes: &Schemes,
    options: &Options,
) -> Result<Option<Viewed>, SelectError> {
    if !trace.damage().is_empty() {
        return Ok(None);
    }
    let Some(guess) = View::sketch(trace, query)? else { return Ok(None) };
    Ok(simulate(trace, guess, schemes, options))
}

fn simulate(
    trace: &Trace,
    mut guess: View,
    schemes: &Schemes,
    options: &Options,
) -> Option<Viewed> {
    let Records { records, mappings } = Overview::records_alone(trace, &guess.selection)?;
    let overview = Overview { records, mappings, ..std::mem::take(&mut guess.overview) };
    let mut guess = guess.with_overview(overview);
    let guessed_time = guess.time();
    let selection = guess.selection.clone();
    let plan = Plan::new(trace, &guess, schemes, options.clone()).ok()?;
    let mut engine: Option<Engine<'_>> = None;
    let single = plan.single;
    let (observe, held, passes) = (true, HELD, PASSES);
    let source = Source { trace, selection: &selection, single, observe, held, passes };
    let fed = source.feed(|batch| {
        for moment in batch.moments() {
            let new = || Engine::new(&plan, &plan.schemes, moment.sampling());
            engine.get_or_insert_with(new).step(&moment);
        }
    });
    if fed.damaged || fed.is_whole().is_err() {
        return None;
    }
    let (ended, without_ages) = (engine?.end(), fed.without_ages);
    let guessed = plan.depends();
    let Overview { records, mappings, .. } = std::mem::take(&mut guess.overview);
    let known = Records { records, mappings };
    let view = guess.with_overview(Overview::of_snapshots(fed.seen?, known));
    let plan = Plan::new(trace, &view, schemes, options.clone()).ok()?;
    if view.time() != guessed_time || !plan.is_as(&guessed) {
        return None;
    }
    let simulation = simulation(&plan, ended, without_ages);
    drop(plan);
    Some((view, simulation))
}

/// What of a plan depends on the snapshots of a recording.
#[derive(Debug)]
struct Depends {
    single: bool,
    mapped: BTreeMap<TargetId, SpanSet>,
    resident: Vec<ResidentSample>,
    assumptions: Vec<String>,
}

impl Plan<'_> {
    /// What of it depends on the snapshots, beside the warnings.
    fn depends(self) -> Depends {
        let Self { single, mapped, resident, assumptions, .. } = self;
        Depends { single, mapped, resident, assumptions }
    }

    /// Whether it does what a plan did that depended on this.
    fn is_as(&self, other: &Depends) -> bool {
        let Depends { single, mapped, resident, assumptions } = other;
        self.single == *single
            && self.mapped == *mapped
            && self.resident == *resident
            && self.assumptions == *assumptions
    }
}
