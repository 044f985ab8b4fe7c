//! A machine without memory: touches go to a touch log ([`crate::replay`]), on a clock that is never late. What a
//! monitor makes of such a log is its own doing, and the same each time.

use std::io::{self, Write};

use super::driver::Stage;
use super::run::Machine;
use super::spec::Spec;
use super::truth::AreaTruth;
use crate::monitor::AddressRange;
use crate::replay::log::{Area, Head, LogWriter};

/// Where the first area may begin: in the part of an x86-64 address space that large mappings get.
const BASE: u64 = 0x7f00_0000_0000;
const PAGE_SIZE: u64 = 4096;
const QUANTUM_NS: u64 = 1_000_000;
/// How long a touch takes.
const TOUCH_NS: u64 = 5;

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the touches: {0}")]
pub struct SimulationError(#[from] io::Error);

/// Areas at made-up addresses.
#[derive(Debug)]
pub struct Simulated<W> {
    log: LogWriter<W>,
    areas: Vec<AddressRange>,
    now_ns: u64,
}

impl<W: Write> Simulated<W> {
    /// Lays out the areas of `spec` as the real machine does: in order, aligned, with gaps between them.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn new(out: W, spec: &Spec, name: &str) -> Result<Self, SimulationError> {
        let head = Head {
            page_size: PAGE_SIZE,
            quantum_ns: QUANTUM_NS,
            name: name.into(),
            clock: format!("simulated; a touch takes {TOUCH_NS} ns and nothing is ever late"),
        };
        let mut end = BASE;
        let mut areas = Vec::new();
        for area in &spec.areas {
            // Sizes add up to 2^44 at most (checked with the workload), far from the end of 64 bits.
            let start = (end + spec.gap).next_multiple_of(area.align.max(PAGE_SIZE));
            end = start + area.size;
            areas.push(AddressRange { start, end });
        }
        Ok(Self { log: LogWriter::create(out, head)?, areas, now_ns: 0 })
    }

    /// Ends the log.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self, spec: &Spec) -> Result<W, SimulationError> {
        let areas = self.areas.iter().zip(&spec.areas);
        let areas: Vec<Area> = areas
            .map(|(&range, area)| Area { range, name: format!("[anon:{}]", area.name) })
            .collect();
        Ok(self.log.finish(self.now_ns, &areas)?)
    }
}

impl<W: Write> Machine for Simulated<W> {
    type Error = SimulationError;

    fn now(&mut self) -> u64 {
        self.now_ns
    }

    fn sleep_until(&mut self, ns: u64) -> Result<(), SimulationError> {
        self.now_ns = self.now_ns.max(ns);
        Ok(())
    }

    fn interrupted(&mut self) -> bool {
        false
    }

    fn touch(&mut self, area: usize, offset: u64, write: bool) -> Result<(), SimulationError> {
        let start = self.areas.get(area).map_or(BASE, |range| range.start);
        self.log.touch(self.now_ns, start + offset, write)?;
        self.now_ns += TOUCH_NS;
        Ok(())
    }
}

impl<W: Write> Stage for Simulated<W> {
    /// Nobody records what happens on no machine.
    fn begins(&mut self, _phase: &str) {}

    fn areas(&self, spec: &Spec) -> Vec<AreaTruth> {
        let areas = self.areas.iter().zip(&spec.areas);
        areas
            .map(|(range, area)| AreaTruth {
                name: area.name.clone(),
                kind: area.kind.to_string(),
                huge: area.huge,
                start: range.start,
                end: range.end,
            })
            .collect()
    }

    fn wait(&mut self) -> Result<(), SimulationError> {
        Ok(())
    }

    fn signal(&self) -> Option<i32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver::{Options, play};
    use super::super::truth::{Touch, Truth};
    use super::*;
    use crate::replay::log::LogReader;

    const TEXT: &str = "area a 1M lazy\narea b 64K\nphase one 40ms\n  write a 64K..128K random every 4ms\n  \
                        read b every 20ms\nphase idle 10ms\n";

    #[test]
    fn the_log_holds_what_the_account_says() {
        let spec = Spec::parse(TEXT).unwrap();
        let options = Options {
            name: "x".into(),
            seed: 1,
            rounds: Some(1),
            limit_ns: None,
            delay_ns: 0,
            wait: false,
        };
        let mut machine = Simulated::new(Vec::new(), &spec, "x").unwrap();
        let mut truth = Vec::new();
        assert_eq!(play(&spec, &mut machine, &options, &mut truth).unwrap(), None);
        let bytes = machine.finish(&spec).unwrap();
        let truth = Truth::read(truth.as_slice()).unwrap();
        assert_eq!(truth.end.map(|end| end.1), Some(true));
        let phase = &truth.phases[1];
        assert_eq!((phase.accesses[0].sweeps, phase.accesses[1].sweeps), (10, 2));
        assert!(phase.accesses.iter().all(|access| access.late + access.missed == 0));

        let mut log = LogReader::open(bytes.as_slice()).unwrap();
        let (mut written, mut read, mut touched) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(quantum) = log.quantum(&mut touched).unwrap() {
            // After the population.
            for run in touched.iter().filter(|_| quantum > 0) {
                let into = if run.written { &mut written } else { &mut read };
                into.push((quantum, run.end - run.start));
            }
        }
        let hot = phase.hot(Touch::Write, 4096);
        assert_eq!(hot.bytes(), 65536);
        let sweeps: Vec<u64> = written.iter().map(|(quantum, _)| *quantum).collect();
        assert_eq!(
            sweeps,
            [4, 8, 12, 16, 20, 24, 28, 32, 36],
            "one every 4 ms, the first among the population"
        );
        assert!(written.iter().all(|(_, bytes)| *bytes == 65536));
        // Two sweeps of 20 ms in four slices each, the very first of which is among the population.
        assert_eq!(read.iter().map(|(_, bytes)| bytes).sum::<u64>(), 2 * 65536 - 65536 / 4);
        let areas: Vec<String> = log.tail().unwrap().areas.into_iter().map(|a| a.name).collect();
        assert_eq!(areas, ["[anon:a]", "[anon:b]"]);
    }
}
