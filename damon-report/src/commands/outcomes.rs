//! What `simulate` tells of what would have come of it, beside the bytes away.

use super::table::{Align, Table};
use super::words::{bytes, clean, percent};
use crate::analysis::num::float;
use crate::analysis::simulate::{MappingOutcome, Outlook, Simulation, Verdict};
use std::io::{self, Write};

/// Groups that the text shows; JSON has all.
const MOST_GROUPS: usize = 10;

/// Whether what comes back is felt, and how fine the evidence is.
pub(super) fn verdict(out: &mut dyn Write, simulation: &Simulation) -> io::Result<()> {
    let limit = simulation.promotion_limit_percent;
    let working_set = bytes(simulation.working_set);
    write!(out, "working set {working_set} (touched per aggregation, mean); ")?;
    match simulation.promotion_verdict {
        Verdict::Below => {
            writeln!(out, "below {limit} % a minute under each reading: hardly felt")?;
        }
        Verdict::Above => {
            writeln!(out, "ABOVE {limit} % a minute under each reading: it is felt")?;
        }
        Verdict::Unsure => {
            let expected = simulation.promotion_percent.expected;
            let side = if expected > limit { "ABOVE" } else { "below" };
            writeln!(
                out,
                "expected {side} {limit} % a minute, from where on it is felt, but the readings disagree"
            )?;
        }
    }
    let Some(found) = &simulation.granularity else { return Ok(()) };
    let share = |share: f64| format!("{} %", percent(share));
    write!(
        out,
        "of what was put away: {} in regions over {}",
        share(found.in_large),
        bytes(float(found.large))
    )?;
    if let (Some(few), Some(unseen)) = (found.on_few_samples, found.unseen) {
        write!(
            out,
            "; {} on fewer than {} samples; {} with pages that were never looked at",
            share(few),
            found.few_samples,
            share(unseen)
        )?;
    }
    writeln!(out)
}

/// Whose memory it is.
pub(super) fn by_mapping(out: &mut dyn Write, simulation: &Simulation) -> io::Result<()> {
    let all = &simulation.by_mapping;
    if all.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("away, mean", Align::Right),
        ("of all", Align::Right),
        ("put away", Align::Right),
        ("refaulted", Align::Right),
        ("", Align::Left),
    ]);
    let mut row = |one: &MappingOutcome, label: String| {
        table.row(vec![
            bytes(one.away.expected),
            format!("{} %", percent(one.share)),
            bytes(one.put_away.expected),
            bytes(one.refaulted.expected),
            label,
        ]);
    };
    let (shown, others) = all.split_at(MOST_GROUPS.min(all.len()));
    for one in shown {
        row(one, clean(&one.group.label()));
    }
    if let Some(first) = others.first() {
        let mut sum = MappingOutcome { share: 0.0, ..first.clone() };
        let add = |of: &dyn Fn(&MappingOutcome) -> Outlook| {
            Outlook::same(others.iter().map(|one| of(one).expected).sum())
        };
        sum.away = add(&|one| one.away);
        sum.put_away = add(&|one| one.put_away);
        sum.refaulted = add(&|one| one.refaulted);
        sum.share = others.iter().map(|one| one.share).sum();
        row(&sum, format!("{} others (json has all)", others.len()));
    }
    table.write(out)?;
    writeln!(out)
}
