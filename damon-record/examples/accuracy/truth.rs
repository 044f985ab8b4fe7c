//! What a window of time was really like: the share of its samples in which each page was touched.

use std::ops::Range;

use damon_format::Snapshot;
use damon_record::monitor::census::SCALE;
use damon_record::workload::truth::{AccessRun, PhaseRun, Touch, Truth};

use super::num::float;

/// Neighbouring pages that were touched in the same share of the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Share of the samples in which each page was touched, 0..=1.
    pub rate: f64,
}

/// The truth about one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reality {
    /// Ascending and disjoint, without holes: they cover exactly the memory that is judged.
    pub pieces: Vec<Piece>,
    /// Bytes of the pages that were touched at least once.
    pub touched: f64,
}

impl Reality {
    /// The expected working set: bytes times rate.
    pub fn expected(&self) -> f64 {
        self.pieces.iter().map(|piece| float(piece.end - piece.start) * piece.rate).sum()
    }

    /// The memory that is judged.
    pub fn domain(&self) -> Range<u64> {
        let start = self.pieces.first().map_or(0, |piece| piece.start);
        start..self.pieces.last().map_or(start, |piece| piece.end)
    }
}

/// A window of so many samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Begin of the first sample.
    pub start_ns: u64,
    /// End of the last one.
    pub end_ns: u64,
    /// More than 0.
    pub samples: u32,
}

impl Window {
    /// The window of a snapshot. Counters of exact backends are multiples of their looks.
    pub fn of(snapshot: &Snapshot, exact: bool) -> Self {
        let max = snapshot.sampling.max_nr_accesses;
        let samples = if exact { max / SCALE } else { max };
        Self {
            start_ns: snapshot.start_ns,
            end_ns: snapshot.end_ns.max(snapshot.start_ns + 1),
            samples: samples.max(1),
        }
    }

    /// The length of a sample as it really was, nanoseconds.
    pub fn sample_ns(&self) -> f64 {
        float(self.end_ns - self.start_ns) / f64::from(self.samples)
    }

    fn sample(&self, index: u32) -> (f64, f64) {
        let start = float(self.start_ns) + self.sample_ns() * f64::from(index);
        (start, start + self.sample_ns())
    }
}

/// A generator's account, asked about windows.
#[derive(Debug)]
pub struct Account<'a> {
    truth: &'a Truth,
    touch: Touch,
}

impl<'a> Account<'a> {
    /// Of all touches, or of those that a backend can see.
    pub fn new(truth: &'a Truth, touch: Touch) -> Self {
        Self { truth, touch }
    }

    /// From the first area to the last one; the gaps between them are never touched.
    pub fn domain(&self) -> Range<u64> {
        let areas = &self.truth.begin.areas;
        let start = areas.first().map_or(0, |area| area.start);
        start..areas.last().map_or(start, |area| area.end)
    }

    /// The pattern's phases that the window lies in; nothing if it reaches beyond them.
    pub fn phases(&self, window: &Window) -> Option<&'a [PhaseRun]> {
        let phases = &self.truth.phases;
        let first = phases.iter().position(|phase| phase.end_ns > window.start_ns)?;
        let last = phases.iter().position(|phase| phase.end_ns >= window.end_ns)?;
        let inside = phases.get(first..=last)?;
        let begun = inside.first()?;
        (begun.round > 0 && begun.start_ns <= window.start_ns).then_some(inside)
    }

    /// Whether the generator touched every page as often as it should, in each of `phases` and from one to
    /// the next, as far as samples of `sample_ns` can tell.
    pub fn kept_pace(phases: &[PhaseRun], sample_ns: f64) -> bool {
        let pause = |pair: &[PhaseRun]| pair[1].start_ns.saturating_sub(pair[0].end_ns);
        let on_time = |access: &AccessRun| {
            let period = float(access.period_ns.unwrap_or(0));
            // Pages that are touched in every sample may be late, if only they are touched in every sample; for
            // others the number of sweeps decides.
            let gap = float(access.max_gap_ns);
            let often = 2.0 * period <= sample_ns;
            access.sweeps > 0
                && (if often {
                    gap <= sample_ns
                } else {
                    access.missed == 0 && gap <= 1.5 * period + sample_ns
                })
        };
        phases.iter().all(|phase| phase.accesses.iter().all(on_time))
            && phases.windows(2).all(|pair| float(pause(pair)) <= sample_ns / 2.0)
    }

    /// What the window was like.
    pub fn reality(&self, window: &Window) -> Option<Reality> {
        let phases = self.phases(window)?;
        let accesses: Vec<(&PhaseRun, &AccessRun)> = phases
            .iter()
            .flat_map(|phase| phase.accesses.iter().map(move |access| (phase, access)))
            .filter(|(_, access)| {
                self.touch == Touch::Any || access.write == (self.touch == Touch::Write)
            })
            .collect();
        let domain = self.domain();
        let mut bounds = vec![domain.start, domain.end];
        bounds.extend(accesses.iter().flat_map(|(_, access)| [access.start, access.end]));
        bounds.retain(|bound| domain.start <= *bound && *bound <= domain.end);
        bounds.sort_unstable();
        bounds.dedup();
        let mut reality = Reality::default();
        for pair in bounds.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            let here: Vec<_> = accesses
                .iter()
                .filter(|(_, access)| access.start <= start && end <= access.end)
                .map(|(phase, access)| Stream::of(phase, access))
                .collect();
            let shares =
                (0..window.samples).map(|index| touched_share(&here, window.sample(index)));
            let rate = shares.sum::<f64>() / f64::from(window.samples);
            let whole = (float(window.start_ns), float(window.end_ns));
            reality.touched += touched_share(&here, whole) * float(end - start);
            reality.pieces.push(Piece { start, end, rate });
        }
        Some(reality)
    }

    /// What things were like in the middle of a phase, judged by samples of `sample_ns`.
    pub fn reality_in(&self, phase: &PhaseRun, sample_ns: f64) -> Option<Reality> {
        // A window of one phase, and samples that fit into it.
        let length = float(phase.end_ns.saturating_sub(phase.start_ns));
        let samples = (length / sample_ns).floor().clamp(1.0, 1000.0);
        let window =
            Window { start_ns: phase.start_ns, end_ns: phase.end_ns, samples: whole(samples) };
        self.reality(&window)
    }

    /// When the access pattern changed: starts of phases whose name differs from that of the one before.
    pub fn changes(&self) -> Vec<&'a PhaseRun> {
        let pairs = self.truth.phases.windows(2);
        pairs
            .filter(|pair| pair[0].round > 0 && pair[0].name != pair[1].name)
            .map(|pair| &pair[1])
            .collect()
    }

    /// When the first phase began.
    pub fn begin_ns(&self) -> Option<u64> {
        self.truth.phases.iter().find(|phase| phase.round > 0).map(|phase| phase.start_ns)
    }
}

/// Touches of one page, evenly spread over a stretch of time.
#[derive(Clone, Copy, Debug)]
struct Stream {
    start: f64,
    end: f64,
    period: f64,
}

impl Stream {
    fn of(phase: &PhaseRun, access: &AccessRun) -> Self {
        Self {
            start: float(phase.start_ns),
            end: float(phase.end_ns),
            period: float(access.period_ns.unwrap_or(1).max(1)),
        }
    }
}

/// The share of pages touched between two moments: each stream touches all of them once in its period.
fn touched_share(streams: &[Stream], (from, to): (f64, f64)) -> f64 {
    let share =
        |stream: &Stream| (to.min(stream.end) - from.max(stream.start)).max(0.0) / stream.period;
    streams.iter().map(share).sum::<f64>().min(1.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number of samples"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_record::workload::pattern::Pattern;
    use damon_record::workload::truth::{AreaTruth, Begin, FORMAT};

    const MS: u64 = 1_000_000;

    fn access(start: u64, end: u64, period_ms: u64, write: bool) -> AccessRun {
        AccessRun {
            area: "a".into(),
            start,
            end,
            step: 4096,
            write,
            pattern: Pattern::Random,
            seed: 1,
            period_ns: Some(period_ms * MS),
            sweeps: 10,
            partial: 0,
            late: 0,
            missed: 0,
            first_ns: 0,
            swept_ns: 0,
            last_ns: 0,
            max_gap_ns: period_ms * MS,
            busy_ns: 0,
        }
    }

    fn phase(name: &str, start_ms: u64, accesses: Vec<AccessRun>) -> PhaseRun {
        PhaseRun {
            round: 1,
            index: 0,
            name: name.into(),
            start_ns: start_ms * MS,
            end_ns: (start_ms + 100) * MS,
            complete: true,
            accesses,
        }
    }

    fn truth(phases: Vec<PhaseRun>) -> Truth {
        let area = AreaTruth {
            name: "a".into(),
            kind: "anon".into(),
            huge: false,
            start: 0x1000,
            end: 0x9000,
        };
        let begin = Begin {
            format: FORMAT,
            workload: "w".into(),
            pid: 1,
            page_size: 4096,
            seed: 1,
            time_ns: 0,
            areas: vec![area],
        };
        Truth { begin, phases, end: None }
    }

    /// In per cent.
    fn rates(reality: &Reality) -> Vec<(u64, u64, u32)> {
        let percent = |rate: f64| whole((100.0 * rate).round());
        reality.pieces.iter().map(|p| (p.start, p.end, percent(p.rate))).collect()
    }

    fn window(start_ms: u64, end_ms: u64, samples: u32) -> Window {
        Window { start_ns: start_ms * MS, end_ns: end_ms * MS, samples }
    }

    #[test]
    fn the_rate_is_the_sample_over_the_period_and_never_more_than_one() {
        let accesses = vec![access(0x2000, 0x3000, 2, true), access(0x4000, 0x6000, 20, false)];
        let truth = truth(vec![phase("x", 1000, accesses)]);
        let any = Account::new(&truth, Touch::Any);
        let reality = any.reality(&window(1000, 1100, 20)).unwrap();
        let expected = [
            (0x1000, 0x2000, 0),
            (0x2000, 0x3000, 100),
            (0x3000, 0x4000, 0),
            (0x4000, 0x6000, 25),
            (0x6000, 0x9000, 0),
        ];
        assert_eq!(rates(&reality), expected);
        assert!((reality.touched - 3.0 * 4096.0).abs() < 1e-6);
        assert_eq!(reality.domain(), any.domain());

        let written = Account::new(&truth, Touch::Write).reality(&window(1000, 1100, 20)).unwrap();
        assert_eq!(rates(&written), [expected[0], expected[1], (0x3000, 0x9000, 0)]);

        // Ten samples of 1 ms: half of the sweeps of 2 ms, one twentieth of those of 20 ms.
        let fine = any.reality(&window(1010, 1020, 10)).unwrap();
        assert_eq!(rates(&fine)[1].2, 50);
        assert_eq!(rates(&fine)[3].2, 5);
        assert!((fine.touched - 4096.0 - 4096.0).abs() < 1e-6);
    }

    #[test]
    fn a_window_across_a_change_sees_both_patterns() {
        let one = phase("one", 1000, vec![access(0x1000, 0x3000, 2, true)]);
        let two = phase("two", 1100, vec![access(0x2000, 0x4000, 2, true)]);
        let truth = truth(vec![one, two]);
        let account = Account::new(&truth, Touch::Any);
        let across = account.reality(&window(1075, 1175, 20)).unwrap();
        let expected = [
            (0x1000, 0x2000, 25),
            (0x2000, 0x3000, 100),
            (0x3000, 0x4000, 75),
            (0x4000, 0x9000, 0),
        ];
        assert_eq!(rates(&across), expected);
        assert_eq!(account.changes().iter().map(|p| p.start_ns).collect::<Vec<_>>(), [1100 * MS]);
        // A single sample that reaches over the change sees the pages of both.
        let single = account.reality(&window(1075, 1175, 1)).unwrap();
        assert_eq!(rates(&single)[0].2, 100);
    }

    #[test]
    fn windows_outside_the_pattern_are_not_judged() {
        let mut populate = phase("populate", 900, vec![]);
        populate.round = 0;
        let truth = truth(vec![populate, phase("x", 1000, vec![])]);
        let account = Account::new(&truth, Touch::Any);
        assert!(account.reality(&window(990, 1010, 4)).is_none());
        assert!(account.reality(&window(1000, 1100, 20)).is_some());
        assert!(account.reality(&window(1050, 1101, 20)).is_none());
        assert_eq!(account.begin_ns(), Some(1000 * MS));
    }

    #[test]
    fn late_sweeps_spoil_what_depends_on_them() {
        let kept = |change: fn(&mut AccessRun)| {
            let mut accesses =
                vec![access(0x1000, 0x2000, 2, true), access(0x3000, 0x4000, 20, true)];
            change(&mut accesses[1]);
            Account::kept_pace(&[phase("x", 1000, accesses)], 5e6)
        };
        assert!(kept(|_| ()));
        assert!(kept(|access| access.max_gap_ns = 35 * MS));
        assert!(!kept(|access| access.max_gap_ns = 36 * MS));
        assert!(!kept(|access| access.missed = 1));
        assert!(!kept(|access| access.sweeps = 0));
        let mut slow = phase("x", 1000, vec![access(0x1000, 0x2000, 2, true)]);
        slow.accesses[0].max_gap_ns = 6 * MS;
        assert!(!Account::kept_pace(std::slice::from_ref(&slow), 5e6));
        assert!(Account::kept_pace(&[slow.clone()], 10e6));
        let next = phase("x", 1200, vec![]);
        assert!(!Account::kept_pace(&[phase("x", 1000, vec![]), next], 5e6), "a pause between");
    }

    #[test]
    fn exact_backends_count_in_multiples_of_their_looks() {
        let sampling = damon_format::Sampling {
            sample_us: 1_000_000,
            aggr_us: 2_000_000,
            max_nr_accesses: 2 * SCALE,
        };
        let snapshot =
            Snapshot::new(damon_format::TargetId(0), 5 * MS, 25 * MS, sampling, Vec::new());
        let window = Window::of(&snapshot, true);
        assert_eq!((window.start_ns, window.end_ns, window.samples), (5 * MS, 25 * MS, 2));
        assert!((window.sample_ns() - 10e6).abs() < 1e-6);
    }
}
