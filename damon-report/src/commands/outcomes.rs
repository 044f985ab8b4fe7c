//! What `simulate` tells of what would have come of it, beside the bytes away.

use super::table::{Align, Table};
use super::words::{bytes, clean, percent};
use crate::analysis::simulate::{MappingOutcome, Outlook, Simulation};
use std::io::{self, Write};

/// Groups that the text shows; JSON has all.
const MOST_GROUPS: usize = 10;

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
