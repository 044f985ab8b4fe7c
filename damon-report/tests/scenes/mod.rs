//! Synthetic recordings to draw: exact functions of time and address, binned like the analysis does.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "round numbers"
)]

use damon_format::{AccessKind, Mark, TargetId};
use damon_report::analysis::heat::{Band, Cell, Cells, Heatmap, NamedRange, TargetName};
use damon_report::analysis::wss::{Distribution, ResidentSample, WorkingSet, WorkingSetSample};
use damon_report::render::heatmap::Picture;
use damon_report::render::{Extras, Grid, Look, wss};
use std::ops::Range;

mod list;
pub(crate) use list::*;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// Rate at a share of the time and an address, `None` where not monitored.
type Rate = fn(f64, u64) -> Option<f64>;

/// A recording given by a function.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) access: AccessKind,
    pub(crate) seconds: f64,
    pub(crate) bands: Vec<(Range<u64>, Vec<NamedRange>)>,
    pub(crate) rate: Rate,
    /// Share of the time, and what the user said.
    pub(crate) marks: &'static [(f64, &'static str)],
}

/// The numbers of one picture.
pub(crate) struct Data {
    pub(crate) title: &'static str,
    pub(crate) access: AccessKind,
    pub(crate) heatmap: Heatmap,
    pub(crate) working_set: WorkingSet,
    pub(crate) marks: Vec<Mark>,
    pub(crate) marginal: Vec<Vec<Cell>>,
    pub(crate) look: Look,
}

impl Data {
    fn subtitle(&self) -> &'static str {
        match self.access {
            AccessKind::Write => {
                "backend writes: write only, page granularity, sample 5 ms, aggregation 100 ms"
            }
            AccessKind::ReadWrite => {
                "backend damon: read+write, region granularity, sample 5 ms, aggregation 100 ms"
            }
        }
    }

    pub(crate) fn wss_picture(&self) -> wss::Picture<'_> {
        wss::Picture {
            working_set: &self.working_set,
            title: self.title,
            subtitle: self.subtitle(),
            start_ns: self.heatmap.start_ns,
            end_ns: self.heatmap.end_ns,
            origin_ns: ORIGIN,
        }
    }

    pub(crate) fn picture(&self) -> Picture<'_> {
        Picture {
            heatmap: &self.heatmap,
            working_set: &self.working_set.samples,
            resident: &self.working_set.resident,
            title: self.title,
            subtitle: self.subtitle(),
            access: self.access,
            origin_ns: ORIGIN,
            samples_per_second: Some(200.0),
            marks: &self.marks,
            marginal: &self.marginal,
            show_marginal: true,
            look: &self.look,
        }
    }
}

const ORIGIN: u64 = 5_000_000_000;

fn float(value: u64) -> f64 {
    value as f64
}

impl Scene {
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        self.bands.iter().map(|(range, _)| range.clone()).collect()
    }

    /// Moments that the user named: in one scene.
    fn marks(&self) -> Vec<Mark> {
        let mark = |(share, text): &(f64, &str)| Mark {
            time_ns: ORIGIN + (share * self.seconds * 1e9) as u64,
            text: (*text).to_owned(),
        };
        self.marks.iter().map(mark).collect()
    }

    pub(crate) fn extras(&self) -> Extras {
        let names = self.bands.iter().map(|(range, names)| (range.clone(), names.as_slice()));
        let extras = Extras { marks: !self.marks.is_empty(), marginal: true, names: 0 };
        extras.with_names(&names.collect::<Vec<_>>())
    }

    /// Rates at pixel centres; heat and monitored in byte·nanoseconds.
    pub(crate) fn data(&self, grid: &Grid) -> Data {
        let ns = (self.seconds * 1e9) as u64;
        let bands = self.bands.iter().zip(&grid.rows).map(|((range, mappings), rows)| {
            let size = range.end - range.start;
            let cell_bytes = float(size) / *rows as f64;
            let cell_time = float(ns) / grid.columns as f64;
            let cells: Vec<Cell> = (0..*rows)
                .flat_map(|row| {
                    (0..grid.columns).map(move |column| {
                        let t = (column as f64 + 0.5) / grid.columns as f64;
                        let address = range.start + ((row as f64 + 0.5) * cell_bytes) as u64;
                        let area = cell_bytes * cell_time;
                        (self.rate)(t, address).map_or(Cell::default(), |rate| Cell {
                            heat: rate * area,
                            monitored: area,
                            max_rate: rate,
                        })
                    })
                })
                .collect();
            Band {
                target: TargetId(0),
                start: range.start,
                end: range.end,
                rows: *rows,
                cells: Cells::by_rows(grid.columns, &cells),
                mappings: mappings.clone(),
            }
        });
        let heatmap = Heatmap {
            targets: vec![TargetName { target: TargetId(0), pid: 1, comm: self.name.to_owned() }],
            start_ns: ORIGIN,
            end_ns: ORIGIN + ns,
            columns: grid.columns,
            bands: bands.collect(),
        };
        let snapshots = ((self.seconds * 10.0).ceil() as u64).min(300);
        let working_set = (0..snapshots).map(|i| {
            let t = (float(i) + 0.5) / float(snapshots);
            let (mut touched, mut expected, mut monitored) = (0.0, 0.0, 0.0);
            for (range, _) in &self.bands {
                let parts = 100;
                let part = float(range.end - range.start) / float(parts);
                for k in 0..parts {
                    let address = range.start + ((float(k) + 0.5) * part) as u64;
                    if let Some(rate) = (self.rate)(t, address) {
                        monitored += part;
                        expected += part * rate;
                        touched += if rate > 0.0 { part } else { 0.0 };
                    }
                }
            }
            WorkingSetSample {
                start_ns: ORIGIN + ns / snapshots * i,
                end_ns: ORIGIN + ns / snapshots * (i + 1),
                touched: touched as u64,
                expected,
                expected_low: expected * 0.9,
                expected_high: expected * 1.1,
                expected_lost: 0.0,
                monitored: monitored as u64,
            }
        });
        let working_set: Vec<_> = working_set.collect();
        let most = working_set.iter().map(|s| s.monitored).max().unwrap_or(0);
        let resident = (0..=self.seconds as u64).map(|s| ResidentSample {
            time_ns: ORIGIN + s * 1_000_000_000,
            rss: (float(most) * 0.7 * (1.0 - 0.5 * (-float(s)).exp())) as u64,
        });
        Data {
            title: self.title,
            access: self.access,
            marks: self.marks(),
            marginal: heatmap.marginal(),
            look: Look::default(),
            heatmap,
            working_set: WorkingSet {
                threshold: 1,
                expected_interval: (0.0, 0.0),
                expected_lost: 0.0,
                touched: distribution(working_set.iter().map(|s| float(s.touched)).collect()),
                expected: distribution(working_set.iter().map(|s| s.expected).collect()),
                samples: working_set.into_iter().collect(),
                resident: resident.collect(),
            },
        }
    }
}

/// All samples last equally long here.
fn distribution(mut values: Vec<f64>) -> Distribution {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return Distribution::default();
    };
    Distribution {
        mean: values.iter().sum::<f64>() / values.len() as f64,
        percentiles: (0..=100).map(|p| values[last * p / 100]).collect(),
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Scene> {
    vec![
        stairs(),
        islands(),
        two_level(),
        sparse(),
        crowd(),
        tiny(),
        idle(),
        holes(),
        many_bands(),
        nothing(),
    ]
}
