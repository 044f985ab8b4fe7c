//! damo's JSON: one record for each target, with all its snapshots in it.

use super::number::{commas, exact_time};
use super::{ExportError, Part, TargetSurvey};
use damon_format::{ProbeColumn, SnapshotView};
use std::io::Write;

/// Writes what is selected as damo writes its `json`: the same keys in the same order, four spaces for each level, numbers as
/// texts. Compressed with zlib it is damo's `json_compressed`.
///
/// Intervals are those of a target's first snapshot; the form has one pair for all, and none where ages are missing. Its `sample_interval_us` of single
/// snapshots stays empty, since damo reads it a thousand times too large. Probe columns are `probe_hits`, but for one that is called
/// `sz_filter_passed`.
///
/// # Errors
/// When the output fails.
pub fn damo_json(part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let update_us = part.trace.info().attrs.update_us;
    let mut text = Vec::new();
    let mut first_record = true;
    for target in part.survey.targets() {
        text.clear();
        text.extend_from_slice(if first_record { b"[\n" } else { b",\n" });
        first_record = false;
        let scale = Scale::of(target);
        begin_record(target, scale, update_us, &mut text)?;
        out.write_all(&text)?;
        let mut first = true;
        part.trace.walk_snapshots(&part.of(target), |one| {
            text.clear();
            text.extend_from_slice(if first { b"\n" } else { b",\n" });
            first = false;
            let columns = part.survey.columns(target.target, one.start_ns);
            snapshot(one, scale, columns, &mut text)?;
            out.write_all(&text)
        })?;
        out.write_all(b"\n        ],\n        \"data_source\": \"unknown\"\n    }")?;
    }
    out.write_all(if first_record { b"[]" } else { b"\n]" })?;
    Ok(())
}

/// What counters are relative to; nothing where the recording does not know its intervals.
#[derive(Clone, Copy)]
struct Scale {
    intervals: Option<(u64, u64)>,
}

impl Scale {
    fn of(target: &TargetSurvey) -> Self {
        let (sample, aggr) = (target.sampling.sample_us, target.sampling.aggr_us);
        // With intervals but without an age damo multiplies what is not there, and ends.
        let known = sample > 0 && aggr >= sample && target.without_ages == 0;
        Self { intervals: known.then_some((sample, aggr)) }
    }

    /// `nr_accesses` in percent of the samples that fit into an aggregation, rounded down.
    fn percent(self, nr_accesses: u32) -> Option<u64> {
        let (sample, aggr) = self.intervals?;
        let scaled = u128::from(nr_accesses) * 100 * u128::from(sample) / u128::from(aggr);
        u64::try_from(scaled).ok()
    }
}

fn begin_record(
    target: &TargetSurvey,
    scale: Scale,
    update_us: u64,
    text: &mut Vec<u8>,
) -> std::io::Result<()> {
    text.extend_from_slice(
        b"    {\n        \"kdamond_idx\": 0,\n        \"context_idx\": 0,\n        \"intervals\": ",
    );
    match scale.intervals {
        None => text.extend_from_slice(b"null"),
        Some((sample, aggr)) => write!(
            text,
            "{{\n            \"sample_us\": \"{sample}\",\n            \"aggr_us\": \"{aggr}\",\n            \
             \"ops_update_us\": \"{update_us}\",\n            \"intervals_goal\": {{\n                \
             \"access_bp\": \"0.000000\",\n                \"aggrs\": \"0\",\n                \
             \"min_sample_us\": \"0\",\n                \"max_sample_us\": \"0\"\n            }}\n        }}"
        )?,
    }
    write!(
        text,
        ",\n        \"scheme_idx\": null,\n        \"target_id\": {},\n        \"scheme_filters\": [],\n        \
         \"snapshots\": [",
        target.target
    )
}

/// The bytes of a region that passed a scheme's filters, as exact as they are here.
fn passed(one: &SnapshotView<'_>, columns: &[ProbeColumn], index: usize) -> Option<u64> {
    let column = columns.iter().position(|column| column.name == ProbeColumn::PASSED)?;
    let count = one.probes.get(column)?.get(index)?;
    columns.get(column).map(|column| column.unit.saturating_mul(u64::from(*count)))
}

fn snapshot(
    one: &SnapshotView<'_>,
    scale: Scale,
    columns: &[ProbeColumn],
    text: &mut Vec<u8>,
) -> std::io::Result<()> {
    let is_hits = |place: usize| columns.get(place).is_none_or(|c| c.name != ProbeColumn::PASSED);
    let hits: Vec<&Vec<u32>> =
        one.probes.iter().enumerate().filter(|(i, _)| is_hits(*i)).map(|(_, p)| p).collect();
    write!(
        text,
        "            {{\n                \"start_time\": \"{}\",\n                \"end_time\": \"{}\",\n                \
         \"regions\": [",
        one.start_ns, one.end_ns
    )?;
    let mut total = 0_u64;
    for (index, region) in one.regions().enumerate() {
        total = total.saturating_add(region.size());
        text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
        text.extend_from_slice(b"                    {\n                        \"start\": \"");
        commas(region.start, text);
        text.extend_from_slice(b"\",\n                        \"end\": \"");
        commas(region.end, text);
        write!(
            text,
            "\",\n                        \"nr_accesses\": {{\n                            \"samples\": {},\n\
             \x20                           \"percent\": ",
            region.nr_accesses
        )?;
        match scale.percent(region.nr_accesses) {
            Some(percent) => write!(text, "{percent}")?,
            None => text.extend_from_slice(b"null"),
        }
        text.extend_from_slice(
            b"\n                        },\n                        \"age\": {\n                            \"usec\": ",
        );
        age(one.ages.map(|_| region.age), scale, text);
        text.extend_from_slice(
            b"\n                        },\n                        \"probe_hits\": [",
        );
        for (place, probe) in hits.iter().enumerate() {
            let hits = probe.get(index).copied().unwrap_or(0);
            let before = if place == 0 { "" } else { "," };
            write!(text, "{before}\n                            {hits}")?;
        }
        if !hits.is_empty() {
            text.extend_from_slice(b"\n                        ");
        }
        text.extend_from_slice(b"],\n                        \"sz_filter_passed\": \"");
        match passed(one, columns, index).unwrap_or(0) {
            0 => text.extend_from_slice(b"0 B"),
            // Bytes without a unit are exact; damo's own form is rounded.
            bytes => write!(text, "{bytes}")?,
        }
        text.extend_from_slice(b"\"\n                    }");
    }
    if !one.is_empty() {
        text.extend_from_slice(b"\n                ");
    }
    write!(
        text,
        "],\n                \"total_bytes\": \"{total}\",\n                \"damos_stats\": null,\n                \
         \"sample_interval_us\": null\n            }}"
    )
}

fn age(age: Option<u32>, scale: Scale, text: &mut Vec<u8>) {
    match (age, scale.intervals) {
        (Some(age), Some((_, aggr))) => {
            text.push(b'"');
            exact_time(u64::from(age).saturating_mul(aggr), text);
            text.push(b'"');
        }
        _ => text.extend_from_slice(b"null"),
    }
    text.extend_from_slice(b",\n                            \"aggr_intervals\": ");
    match age {
        Some(age) => {
            text.push(b'"');
            commas(u64::from(age), text);
            text.push(b'"');
        }
        None => text.extend_from_slice(b"null"),
    }
}
