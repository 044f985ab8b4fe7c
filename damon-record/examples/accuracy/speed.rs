//! What recording costs: CPU of the recorder, and the speed of a target that does nothing but touch memory.

use std::path::Path;
use std::time::Duration;

use damon_record::workload::truth::{PhaseRun, Truth};

use super::judge::Recording;
use super::num::{float, mean_and_spread, ratio};
use super::programs::{Programs, Setup};

/// The recorder comes and goes so often while the target runs: with and without are compared on the machine as
/// it was then.
const TURNS: u32 = 3;
const TURN: Duration = Duration::from_millis(2200);
const PAUSE: Duration = Duration::from_secs(1);
/// What the recorder does before its first and after its last snapshot is neither with nor without it.
const MARGIN_NS: u64 = 200_000_000;

/// A target of 64 MiB, touched in random order as fast as it goes, half of it read and half written.
const WORKLOAD_AREAS: &str = "area all 64M\n";
const WORKLOAD_PHASE: &str =
    "phase max 50ms\n  write all 0..32M random max\n  read all 32M..64M random max\n";

/// What it cost.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Cost {
    /// Touches per second with the recorder over those without.
    pub speed: f64,
    /// Share of one core that the recorder used.
    pub cpu: f64,
}

/// Measures one setup.
pub fn measure(programs: &Programs, folder: &Path, setup: &Setup) -> Result<Cost, String> {
    let lasts = (TURN + PAUSE) * TURNS + PAUSE;
    let phases = usize::try_from(lasts.as_millis() / 50).unwrap_or(1);
    let workload = format!("{WORKLOAD_AREAS}{}", WORKLOAD_PHASE.repeat(phases));
    let (recordings, truth) = programs.run(folder, &workload, 1, |pid| {
        let mut recordings = Vec::new();
        for _ in 0..TURNS {
            std::thread::sleep(PAUSE);
            recordings.push(programs.attach(folder, pid, setup, TURN)?);
        }
        Ok(recordings)
    })?;
    let cpu: Vec<f64> = recordings.iter().filter_map(super::judge::cpu).collect();
    let speed = speed(&truth, &recordings).ok_or("the target was never undisturbed")?;
    let (cpu, _) = mean_and_spread(&cpu).ok_or("no recording came to its end")?;
    Ok(Cost { speed, cpu })
}

/// Median speed of the phases inside the recordings over that of the phases outside.
fn speed(truth: &Truth, recordings: &[Recording]) -> Option<f64> {
    let spans: Vec<(u64, u64)> = recordings
        .iter()
        .filter_map(|recording| {
            Some((recording.snapshots.first()?.start_ns, recording.snapshots.last()?.end_ns))
        })
        .collect();
    let phases = truth.phases.iter().filter(|phase| phase.round > 0 && phase.complete);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for phase in phases {
        let inside = |(from, to): &(u64, u64)| *from <= phase.start_ns && phase.end_ns <= *to;
        let near = |(from, to): &(u64, u64)| {
            phase.end_ns + MARGIN_NS >= *from && phase.start_ns <= to + MARGIN_NS
        };
        if spans.iter().any(inside) {
            with.extend(touches_per_second(phase));
        } else if !spans.iter().any(near) {
            without.extend(touches_per_second(phase));
        }
    }
    ratio(median(with)?, median(without)?)
}

fn touches_per_second(phase: &PhaseRun) -> Option<f64> {
    let touches = |access: &damon_record::workload::truth::AccessRun| {
        access.sweeps * access.sweep().touches() + access.partial
    };
    let all = phase.accesses.iter().map(touches).sum();
    ratio(float(all), float(phase.end_ns - phase.start_ns) / 1e9)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
