//! Nothing that can be written into a trace, and no damage to one, makes the analysis panic.

mod common;

use damon_format::damos::Schemes;
use damon_format::{
    Mapping, MappingsChanged, MemorySample, Permissions, Record, Region, Sampling, Snapshot,
    TargetId,
};
use damon_report::analysis::axis;
use damon_report::analysis::bandwidth::bandwidth;
use damon_report::analysis::bins::BinScale;
use damon_report::analysis::histogram::{HistogramOptions, Metric, histogram};
use damon_report::analysis::info::Info;
use damon_report::analysis::load::Trace;
use damon_report::analysis::nr_regions::{Percentiles, nr_regions};
use damon_report::analysis::pattern::Pattern;
use damon_report::analysis::regions::{RegionOptions, regions};
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::{Options, Plan};
use damon_report::analysis::source::Source;
use damon_report::analysis::strip::strip;
use damon_report::analysis::temperature::Temperature;
use damon_report::analysis::times::times;
use damon_report::analysis::view::View;
use damon_report::analysis::wss::WorkingSetOptions;
use proptest::prelude::*;

/// Everything the commands compute; the total heat, if there was anything to work with.
fn analyse(bytes: Vec<u8>, query: &Query) -> Option<f64> {
    let trace = Trace::from_source("test".into(), Source::memory(bytes)).ok()?;
    let view = View::new(&trace, query).ok()?;
    let info = Info::new(&trace, &view.overview);
    assert!(serde_json::to_string(&info).is_ok());
    let spans = view.shown(&trace);
    let bands = axis::bands(spans, 9);
    let rows = axis::share_rows(&bands, 20, 1);
    let frame = view.frame(13, bands, rows);
    let options = WorkingSetOptions::for_backend(&trace.info().backend, 1);
    let (map, set) = view.heat(&trace, &frame, options);
    for sample in &set.samples {
        assert!(sample.expected_low <= sample.expected && sample.expected <= sample.expected_high);
    }
    distributions(&trace, &view);
    simulated(&trace, &view);
    let cells = map.bands.iter().flat_map(|b| b.cells.iter());
    let heat = cells.map(|c| c.heat).sum::<f64>();
    assert!(heat.is_finite() && heat >= 0.0);
    Some(heat)
}

/// Regions, histograms, counts, bandwidth and times.
fn distributions(trace: &Trace, view: &View) {
    for at in [None, Some("0"), Some("50%"), Some("100%")] {
        let at = at.and_then(|text| text.parse().ok());
        let Ok((table, moment)) = regions(trace, view, at.as_ref(), &RegionOptions::default())
        else {
            continue;
        };
        assert!(table.rows.iter().all(|r| r.rate_low <= r.rate && r.rate <= r.rate_high));
        assert!(strip(&moment, &view.selection, Temperature::UseTime, 30).len() <= 30);
    }
    let weights = Temperature::Weights { size: 1.0, rate: -1.0, age: f64::MAX };
    for metric in [Metric::Rate, Metric::Age, Metric::Size, Metric::Temperature] {
        for (scale, temperature) in [(BinScale::Linear, weights), (BinScale::Log, weights)] {
            let options = HistogramOptions { metric, bins: 7, scale: Some(scale), temperature };
            let found = histogram(trace, &view.selection, &options);
            assert!(found.monitored.is_finite() && found.bins.len() <= 8, "{found:?}");
        }
    }
    let counts = nr_regions(trace, view, Percentiles::Damo, 1);
    assert!(counts.total.samples.len() <= 100);
    let speed = bandwidth(trace, view, false);
    assert!(speed.samples.iter().all(|s| s.low <= s.low_to && s.low <= s.high * 1.000_001));
    let when = times(trace, view, &Pattern::default(), 4096);
    assert!(when.matched_ns <= when.observed_ns);
}

/// Schemes with everything that can be simulated.
fn simulated(trace: &Trace, view: &View) {
    const SCHEMES: &str = r#"[
        {"action": "pageout", "access_pattern": {"nr_accesses": {"max": "60 %"}},
         "quotas": {"sz_bytes": "5 MiB", "time_ms": 3, "reset_interval_ms": "200 ms",
            "weights": {"nr_accesses_permil": 3, "age_permil": 7}}},
        {"action": "willneed", "access_pattern": {"nr_accesses": {"min": "40 %"}, "sz_bytes": {"max": "1 E"}},
         "filters": [{"filter_type": "addr", "matching": true, "allow": false,
            "address_range": {"start": 4097, "end": 18446744073709551615}}]},
        {"action": "cold", "quotas": {"sz_bytes": "1 T", "reset_interval_ms": "max"}},
        {"action": "migrate_hot", "target_nid": 0, "access_pattern": {"nr_accesses": {"min": "1 %"}},
         "quotas": {"sz_bytes": "1 G", "reset_interval_ms": "100 ms",
            "goals": [{"metric": "node_mem_used_bp", "nid": 0, "target_value": "90 %"}]}},
        {"action": "migrate_cold", "target_nid": 1, "dests": [{"id": 0, "weight": 1}, {"id": 2, "weight": 2}]},
        {"action": "hugepage"},
        {"action": "nohugepage", "access_pattern": {"nr_accesses": {"max": "0 %"}}}]"#;
    let schemes = Schemes::from_json(SCHEMES);
    assert!(schemes.is_ok(), "{schemes:?}");
    let Ok(schemes) = schemes else { return };
    let options = Options {
        accept_write_only: true,
        keep_applied: true,
        fast_tier: Some(64 << 20),
        ..Options::default()
    };
    let Ok(found) = Plan::new(trace, view, &schemes, options).and_then(|plan| plan.run(trace))
    else {
        return;
    };
    for of in [found.away.mean, found.away.most, found.refaulted, found.put_away] {
        let all = [of.optimistic, of.expected, of.pessimistic];
        assert!(all.iter().all(|bytes| bytes.is_finite() && *bytes >= 0.0), "{of:?}");
    }
    assert!(found.tiers.is_some() && found.huge.is_some(), "schemes are about both");
    let (Some(tiers), Some(huge)) = (&found.tiers, &found.huge) else { return };
    let of_mappings = found.by_mapping.iter().flat_map(|one| [one.away.expected, one.share]);
    let others = [
        tiers.fast.mean,
        tiers.slow.most,
        tiers.promoted,
        tiers.demoted,
        tiers.served_fast.unwrap_or(0.0),
        huge.mean,
        huge.hot,
        huge.bloat,
    ];
    let curve = tiers.curve.iter().map(|point| point.mean);
    let mut all = of_mappings.chain(others).chain(curve);
    assert!(all.all(|value| value.is_finite() && value >= 0.0), "{found:?}");
    assert!(found.line.len() <= 2048);
}

#[test]
fn no_single_damaged_byte_and_no_cut_does_harm() {
    let mut writer = common::writer(&common::info());
    for snapshot in common::snapshots(0, 20) {
        writer.snapshot(&snapshot).unwrap();
    }
    let whole = writer.finish().unwrap();
    let intact = analyse(whole.clone(), &Query::default()).unwrap();
    for at in 0..whole.len() {
        let cut = analyse(whole[..at].to_vec(), &Query::default());
        assert!(cut.is_none_or(|heat| heat <= intact * (1.0 + 1e-12)));
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        analyse(flipped, &Query::default());
    }
}

/// Numbers near the ends of their range as often as others.
fn extreme() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(1 << 63),
        0..10_000_u64,
        any::<u64>(),
    ]
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let region = (extreme(), extreme(), prop_oneof![0..30_u32, any::<u32>()]);
    let parts = (0..3_u32, extreme(), extreme(), extreme(), extreme(), any::<u32>());
    (parts, prop::collection::vec(region, 0..6)).prop_map(|(parts, regions)| {
        let (target, a, b, sample_us, aggr_us, max) = parts;
        let mut edges: Vec<u64> = regions.iter().flat_map(|r| [r.0, r.1]).collect();
        edges.sort_unstable();
        edges.dedup();
        let regions = edges
            .chunks_exact(2)
            .zip(&regions)
            .map(|(edge, region)| Region {
                start: edge[0],
                end: edge[1],
                nr_accesses: region.2,
                age: region.2,
            })
            .collect();
        let sampling = Sampling { sample_us, aggr_us, max_nr_accesses: max.max(1) };
        Snapshot::new(TargetId(target), a.min(b), a.max(b), sampling, regions)
    })
}

fn record() -> impl Strategy<Value = Record> {
    (0..3_u32, extreme(), extreme(), extreme(), any::<bool>()).prop_map(
        |(target, time_ns, start, end, memory)| {
            let target = TargetId(target);
            if memory {
                return Record::Memory(MemorySample {
                    target,
                    time_ns,
                    rss: start,
                    swap: end,
                    virtual_size: end,
                    minor_faults: 0,
                    major_faults: 0,
                });
            }
            Record::MappingsChanged(MappingsChanged {
                target,
                time_ns,
                removed: vec![end],
                added: vec![Mapping {
                    start,
                    end,
                    permissions: Permissions::default(),
                    offset: 0,
                    inode: 0,
                    name: String::new(),
                }],
            })
        },
    )
}

proptest! {
    #[test]
    fn no_value_overflows(
        snapshots in prop::collection::vec(snapshot(), 0..8),
        records in prop::collection::vec(record(), 0..8),
        selected in any::<bool>(),
    ) {
        let mut writer = common::writer(&common::info());
        let mut kept = 0;
        for record in &records {
            prop_assert!(writer.record(record).is_ok());
        }
        for snapshot in &snapshots {
            // What the format refuses cannot be in a trace.
            kept += u32::from(writer.snapshot(snapshot).is_ok());
        }
        let query = Query {
            time: selected.then(|| "10%..90%".parse().unwrap()),
            address: if selected {
                ["1..7fffffffffffffff", "1000..ffff"].map(|a| a.parse().unwrap()).to_vec()
            } else {
                Vec::new()
            },
            mapping: Vec::new(),
            target: None,
        };
        let heat = analyse(writer.finish().unwrap(), &query);
        prop_assert!(heat.is_some() || selected, "{kept} snapshots");
    }
}
