//! The algorithm alone: the engine on touch logs, whose touches are the exact truth. Nothing here depends on the
//! machine; the same numbers come out everywhere.

use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};

use damon_format::{Attrs, Snapshot};
use damon_record::monitor::AddressRange;
use damon_record::replay::lackey;
use damon_record::replay::log::LogReader;
use damon_record::replay::perform::{Observer, Settings, perform};
use damon_record::workload::driver::{Options, play};
use damon_record::workload::simulated::Simulated;
use damon_record::workload::spec::Spec;
use damon_report::analysis::wss::WorkingSetOptions;

use super::coverage::{self, Coverage};
use super::judge::{SETTLE_NS, Verdict};
use super::metrics::Score;
use super::num::float;
use super::truth::{Piece, Reality};

/// The touch log of a workload.
pub fn simulate(text: &str, seed: u64) -> Result<Vec<u8>, String> {
    let spec = Spec::parse(text).map_err(|error| error.to_string())?;
    let options = Options {
        name: "a pattern".into(),
        seed,
        rounds: Some(1),
        limit_ns: None,
        delay_ns: 0,
        wait: false,
    };
    let error = |error: &dyn std::fmt::Display| error.to_string();
    let mut machine = Simulated::new(Vec::new(), &spec, &options.name).map_err(|e| error(&e))?;
    let _no_signal =
        play(&spec, &mut machine, &options, &mut std::io::sink()).map_err(|e| error(&e))?;
    machine.finish(&spec).map_err(|e| error(&e))
}

/// The touch log of a program, traced by valgrind; what it prints is lost.
pub fn trace(folder: &Path, command: &[&str], rate: u64) -> Result<Vec<u8>, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    // Its log goes to standard error, so that nothing is stored; these programs write nothing there.
    let mut child = Command::new("valgrind")
        .args(["--tool=lackey", "--trace-mem=yes"])
        .args(command)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("valgrind cannot be started", &error))?;
    let lines = child.stderr.take().ok_or("valgrind has no output")?;
    let mut log = Vec::new();
    let folded = lackey::fold(BufReader::with_capacity(1 << 16, lines), &mut log, command[0], rate);
    let _status = child.wait();
    folded.map(|_| log).map_err(|error| error.to_string())
}

/// Intervals as by default.
pub fn attrs(max_nr_regions: u32) -> Attrs {
    Attrs {
        sample_us: 5_000,
        aggr_us: 100_000,
        update_us: 1_000_000,
        min_nr_regions: 10,
        max_nr_regions,
    }
}

/// Monitors a log and judges the snapshots by it. `settle_ns` at the start are not judged.
pub fn judge(log: &[u8], max_regions: u32, seed: u64, settle_ns: u64) -> Result<Verdict, String> {
    let open = || LogReader::open(log).map_err(|error| error.to_string());
    let areas = open()?.tail().map_err(|error| error.to_string())?.areas;
    let attrs = attrs(max_regions);
    let domains = areas.iter().map(|area| area.range).collect();
    let mut judge = Judge {
        settle_ns,
        touched: Vec::new(),
        samples: 0,
        domains,
        previous: None,
        verdict: Verdict {
            working_set: Some(Coverage::default()),
            regions: Some(Coverage::default()),
            ..Verdict::default()
        },
    };
    let settings = Settings { attrs, seed, exact: false };
    perform(open()?, &areas, &settings, &mut judge).map_err(|error| error.to_string())?;
    Ok(judge.verdict)
}

/// The usual time to settle.
pub const SETTLE: u64 = SETTLE_NS;

struct Judge {
    settle_ns: u64,
    /// Begins and ends of what was touched in the samples since the last snapshot.
    touched: Vec<(u64, i32)>,
    samples: u32,
    domains: Vec<AddressRange>,
    previous: Option<Snapshot>,
    verdict: Verdict,
}

impl Judge {
    /// What the samples since the last snapshot were like, from the first area to the last: what lies between
    /// is never touched.
    fn reality(&mut self) -> Reality {
        let start = self.domains.first().map_or(0, |range| range.start);
        let end = self.domains.last().map_or(start, |range| range.end);
        count(&mut self.touched, self.samples, start, end)
    }
}

/// Counts for each page the samples in which it was touched; `events` are begins (1) and ends (-1) of what was
/// touched in each sample.
pub fn count(events: &mut [(u64, i32)], samples: u32, start: u64, end: u64) -> Reality {
    events.sort_unstable();
    let mut reality = Reality::default();
    let (mut from, mut times) = (start, 0_i32);
    let mut piece = |from: u64, to: u64, times: i32| {
        if from < to {
            let rate = f64::from(times) / f64::from(samples.max(1));
            reality.touched += if times > 0 { float(to - from) } else { 0.0 };
            match reality.pieces.last_mut() {
                Some(last) if last.rate.total_cmp(&rate).is_eq() => last.end = to,
                _ => reality.pieces.push(Piece { start: from, end: to, rate }),
            }
        }
    };
    for &(address, change) in events.iter() {
        piece(from, address, times);
        from = address.max(from);
        times += change;
    }
    piece(from, end, times);
    reality
}

impl Observer for Judge {
    type Error = std::convert::Infallible;

    fn interval(&mut self, touched: &[AddressRange]) -> Result<(), Self::Error> {
        self.samples += 1;
        self.touched.extend(touched.iter().flat_map(|range| [(range.start, 1), (range.end, -1)]));
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Self::Error> {
        if snapshot.start_ns >= self.settle_ns && snapshot.sampling.max_nr_accesses == self.samples
        {
            let reality = self.reality();
            self.verdict.score.add(&Score::of(&reality, snapshot));
            self.verdict.nr_regions += snapshot.regions.len() as u64;
            if let Some(all) = &mut self.verdict.working_set {
                let options = WorkingSetOptions::sampled(1);
                coverage::working_set(all, &reality, self.previous.as_ref(), snapshot, options);
            }
            if let Some(all) = &mut self.verdict.regions {
                coverage::regions(all, &reality, snapshot);
            }
        }
        self.previous = Some(snapshot.clone());
        self.touched.clear();
        self.samples = 0;
        Ok(())
    }
}

/// A program that nobody here wrote.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// For people.
    pub name: &'static str,
    /// Run by `sh -c` beforehand, in an empty folder.
    pub prepare: &'static str,
    /// Traced in that folder.
    pub command: &'static [&'static str],
}

/// Programs of some ten million instructions.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "sort",
        prepare: "seq 1 20000 | sort -R --random-source=/dev/zero > lines",
        command: &["sort", "lines"],
    },
    Program { name: "gzip", prepare: "seq 1 60000 > numbers", command: &["gzip", "-c", "numbers"] },
    Program {
        name: "sqlite3",
        prepare: "true",
        command: &[
            "sqlite3",
            ":memory:",
            "create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<8000) \
             insert into t select x, x*7919%10007 from c; select count(*) from t join t u on t.a=u.b;",
        ],
    },
    Program {
        name: "perl",
        prepare: "true",
        command: &["perl", "-e", "for (1..40000) { $h{$_*7919%100003} = $_ } print scalar keys %h"],
    },
];

/// Prepares and traces a program.
pub fn program(folder: &Path, program: &Program) -> Result<Vec<u8>, String> {
    let prepared = Command::new("sh")
        .args(["-c", program.prepare])
        .current_dir(folder)
        .status()
        .map_err(|error| error.to_string())?;
    if !prepared.success() {
        return Err(format!("it cannot be prepared: {}", program.prepare));
    }
    trace(folder, program.command, lackey::DEFAULT_RATE)
}

#[cfg(test)]
mod tests {
    use super::super::patterns;
    use super::*;

    #[test]
    fn touches_are_counted_page_by_page() {
        let mut events = vec![(10, 1), (30, -1), (20, 1), (40, -1), (20, 1), (30, -1)];
        let reality = count(&mut events, 4, 0, 50);
        let pieces: Vec<_> =
            reality.pieces.iter().map(|p| (p.start, p.end, p.rate * 4.0)).collect();
        let expected = [(0, 10, 0.0), (10, 20, 1.0), (20, 30, 3.0), (30, 40, 1.0), (40, 50, 0.0)];
        assert_eq!(pieces, expected);
        assert!((reality.touched - 30.0).abs() < 1e-12);
        assert!(count(&mut [], 4, 5, 5).pieces.is_empty());
    }

    /// A pattern of patterns.rs under the engine.
    fn verdict(name: &str, max_regions: u32) -> Verdict {
        let pattern = patterns::all().into_iter().find(|pattern| pattern.name == name).unwrap();
        let log = simulate(&pattern.text(), 1).unwrap();
        judge(&log, max_regions, 1, SETTLE).unwrap()
    }

    #[test]
    fn the_algorithm_finds_stationary_patterns() {
        for name in ["span", "islands", "two-level"] {
            let score = verdict(name, 200).score;
            let f1 = score.f1().unwrap();
            assert!(f1 >= 0.97, "{name}: {f1}");
            let ratio = score.expected_ratio().unwrap();
            assert!((0.95..=1.05).contains(&ratio), "{name}: {ratio}");
            assert!(score.windows >= 40, "{name}: {}", score.windows);
        }
    }
}
