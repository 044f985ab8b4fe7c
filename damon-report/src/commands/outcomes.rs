//! What `simulate` tells of what would have come of it, beside the bytes away.

use super::picture::PictureFile;
use super::table::{Align, Table};
use super::words::{bytes, clean, percent};
use crate::analysis::num::float;
use crate::analysis::simulate::{MappingOutcome, Outlook, Simulation, Verdict};
use crate::analysis::view::View;
use crate::cli::Show;
use crate::exit::Failure;
use crate::render::{tiers, what_if};
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
pub(super) fn by_mapping(
    out: &mut dyn Write,
    simulation: &Simulation,
    width: Option<usize>,
) -> io::Result<()> {
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
    table.write_within(out, width)?;
    writeln!(out)
}

/// Shares of the accesses that the text tells, per cent; JSON and csv have all.
const SHOWN: [f64; 7] = [50.0, 80.0, 90.0, 95.0, 99.0, 99.9, 100.0];

/// Fast and slow memory, and how much is needed for how much of the accesses.
pub(super) fn tiers(
    out: &mut dyn Write,
    simulation: &Simulation,
    width: Option<usize>,
) -> io::Result<()> {
    let Some(tiers) = &simulation.tiers else { return Ok(()) };
    let share = |share: f64| format!("{} %", percent(share));
    let size = tiers.fast_size.map_or_else(|| "no limit".to_owned(), |size| bytes(float(size)));
    writeln!(out, "fast tier: node {}, {size}", tiers.fast_node)?;
    let mut table =
        Table::new(&[("", Align::Left), ("mean", Align::Right), ("most", Align::Right)]);
    for (name, level) in [("in the fast tier", tiers.fast), ("in slow ones", tiers.slow)] {
        table.row(vec![name.into(), bytes(level.mean), bytes(level.most)]);
    }
    table.write_within(out, width)?;
    let moved = |moved: f64, rate: f64| format!("{}, {}/s", bytes(moved), bytes(rate));
    let up = moved(tiers.promoted, tiers.promoted_per_second);
    let down = moved(tiers.demoted, tiers.demoted_per_second);
    writeln!(out, "promoted {up}; demoted {down}")?;
    match (tiers.served_fast, tiers.served_at_best) {
        (None, _) => writeln!(out, "nothing was accessed")?,
        (Some(served), None) => {
            writeln!(out, "{} of all accesses served by the fast tier", share(served))?;
        }
        (Some(served), Some(best)) => writeln!(
            out,
            "{} of all accesses served by the fast tier; {} if it held what is hottest in each aggregation",
            share(served),
            share(best)
        )?,
    }
    writeln!(out)?;
    let mut table = Table::new(&[
        ("accesses", Align::Right),
        ("served by, mean", Align::Right),
        ("most", Align::Right),
        ("", Align::Left),
    ]);
    let shown = |percent: f64| SHOWN.iter().any(|shown| (shown - percent).abs() < 1e-9);
    for point in tiers.curve.iter().filter(|point| shown(point.percent)) {
        let accesses = format!("{} %", point.percent);
        let what =
            if point.percent < 100.0 { "of the hottest memory" } else { "of all memory accessed" };
        table.row(vec![accesses, bytes(point.mean), bytes(point.most), what.into()]);
    }
    table.write_within(out, width)?;
    writeln!(out)
}

/// Huge pages.
pub(super) fn huge(
    out: &mut dyn Write,
    simulation: &Simulation,
    width: Option<usize>,
) -> io::Result<()> {
    let Some(huge) = &simulation.huge else { return Ok(()) };
    let mut table = Table::new(&[
        ("in huge pages", Align::Left),
        ("mean", Align::Right),
        ("most", Align::Right),
        ("", Align::Left),
    ]);
    let mut row = |name: &str, mean: f64, most: Option<u64>, why: &str| {
        let most = most.map_or_else(String::new, |most| bytes(float(most)));
        table.row(vec![name.into(), bytes(mean), most, why.into()]);
    };
    row("bytes", huge.mean, Some(huge.most), "");
    let rate =
        format!("in regions that were accessed; by their rates {}", bytes(huge.hot_expected));
    row("hot", huge.hot, None, &rate);
    row("bloat", huge.bloat, Some(huge.bloat_most), "no access recorded so far");
    table.row(vec![
        "huge pages".into(),
        format!("{:.1}", huge.pages),
        huge.pages_most.to_string(),
        format!("{} at the end", huge.pages_end),
    ]);
    table.write_within(out, width)?;
    writeln!(out)
}

/// How much memory serves how much of the accesses.
pub(super) fn curve_csv(out: &mut dyn Write, simulation: &Simulation) -> io::Result<()> {
    writeln!(out, "percent,mean,most")?;
    let points = simulation.tiers.iter().flat_map(|tiers| &tiers.curve);
    for point in points {
        writeln!(out, "{},{},{}", point.percent, point.mean, point.most)?;
    }
    Ok(())
}

/// What a picture is told beside the numbers.
pub(super) struct Drawn<'a> {
    pub(super) title: &'a str,
    pub(super) subtitle: &'a str,
    pub(super) verb: &'a str,
}

impl Drawn<'_> {
    /// One of the pictures, ready to be written.
    pub(super) fn picture(
        &self,
        show: Show,
        view: &View,
        simulation: &Simulation,
        file: PictureFile<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let &Drawn { title, subtitle, verb } = self;
        match show {
            Show::Line => {
                let percent = simulation.promotion_limit_percent;
                let limit = simulation.working_set * percent / 100.0 / 60.0;
                let what = format!("{percent} % of the working set a minute");
                let picture = what_if::Picture {
                    line: &simulation.line,
                    verb,
                    limit: (limit, &what),
                    title,
                    subtitle,
                    start_ns: view.time().start,
                    end_ns: view.time().end,
                    origin_ns: view.origin_ns,
                };
                file.draw(&picture, what_if::what_if_png, what_if::what_if_svg)
            }
            Show::Tiers => {
                let tiers = simulation.tiers.as_ref();
                let picture = tiers::Picture {
                    curve: tiers.map_or(&[], |tiers| &tiers.curve),
                    fast_size: tiers.and_then(|tiers| tiers.fast_size).map(float),
                    title,
                    subtitle,
                };
                file.draw(&picture, tiers::tiers_png, tiers::tiers_svg)
            }
        }
    }
}
