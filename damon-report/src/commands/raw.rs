//! `raw`: every snapshot, region and record, as it was recorded.

use super::Streams;
use super::output::{Document, Head};
use super::words::{access, bytes, clean, duration, moment};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::select::Selection;
use crate::analysis::view::View;
use crate::cli::{RawArgs, RawFormat};
use crate::exit::Failure;
use crate::export::{self, ExportError, Part, Survey};
use damon_format::{Damage, Record, RecordingInfo, Region, SnapshotView, Visitor};
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &RawArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    // It may be empty.
    let trace = Trace::open_watched(&args.file, terminal.reading)?;
    let view = View::new(&trace, &args.part.query())?;
    terminal.warn(trace.name(), &view.overview.damage);
    if args.format == RawFormat::Damo {
        let survey = Survey::read(&trace, &view.selection, &view.overview.records);
        let part = Part { trace: &trace, selection: &view.selection, survey: &survey };
        return export::raw_form(&part, &mut *terminal.out).map_err(|error| match error {
            ExportError::Write(error) => Failure::Stdout(error),
            error @ ExportError::Unsuitable(_) => Failure::Usage(error.to_string()),
        });
    }
    let head = Document {
        head: Head::new("raw", &trace),
        body: Begin { origin_ns: view.origin_ns, recording: trace.info() },
    };
    match args.format {
        RawFormat::Text => {
            writeln!(terminal.out, "access {}", access(&trace.info().backend))?;
        }
        RawFormat::Json => {
            serde_json::to_writer(&mut *terminal.out, &head)?;
            writeln!(terminal.out)?;
        }
        RawFormat::Damo => {}
        RawFormat::Csv => writeln!(
            terminal.out,
            "target,start_ns,end_ns,sample_us,aggr_us,max_nr_accesses,start,end,nr_accesses,age"
        )?,
    }
    let mut printer = Printer {
        out: terminal.out,
        format: args.format,
        selection: &view.selection,
        whole: view.is_whole(),
        origin_ns: view.origin_ns,
        result: Ok(()),
    };
    let damage: Vec<Damage> = trace
        .blocks()
        .iter()
        .filter(|block| view.selection.overlaps(block))
        .map_while(|block| {
            let damage = trace.visit_block(block, &mut printer).err();
            printer.result.is_ok().then_some(damage)
        })
        .flatten()
        .collect();
    // All damage was said when the trace was opened.
    drop(damage);
    Ok(printer.result?)
}

#[derive(Serialize)]
struct Begin<'a> {
    origin_ns: u64,
    recording: &'a RecordingInfo,
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    format: RawFormat,
    selection: &'a Selection,
    whole: bool,
    origin_ns: u64,
    result: io::Result<()>,
}

impl Visitor for Printer<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if self.result.is_ok() && (self.whole || self.selection.has_snapshot(snapshot)) {
            self.result = match self.format {
                RawFormat::Text => self.snapshot_text(snapshot),
                RawFormat::Json => self.snapshot_json(snapshot),
                RawFormat::Csv => self.snapshot_csv(snapshot),
                RawFormat::Damo => Ok(()),
            };
        }
    }

    fn record(&mut self, record: Record) {
        let wanted = self.whole || self.selection.has_record(&record);
        if self.result.is_ok() && wanted {
            self.result = match self.format {
                RawFormat::Text => self.record_text(&record),
                RawFormat::Json => self.line(&Line::Record(&record)),
                RawFormat::Csv | RawFormat::Damo => Ok(()),
            };
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line<'a> {
    Snapshot(&'a damon_format::Snapshot),
    Record(&'a Record),
}

impl Printer<'_> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, line)?;
        writeln!(self.out)
    }

    /// The selected pieces of regions, with the index of the region. Counters stay as they are.
    fn regions<'v>(
        selection: &'v Selection,
        snapshot: &'v SnapshotView<'_>,
    ) -> impl Iterator<Item = (usize, Region)> + 'v {
        snapshot.regions().enumerate().flat_map(|(index, region)| {
            let pieces = selection.pieces(snapshot.target, region.start, region.end);
            pieces
                .map(move |piece| (index, Region { start: piece.start, end: piece.end, ..region }))
        })
    }

    fn snapshot_text(&mut self, snapshot: &SnapshotView<'_>) -> io::Result<()> {
        let sampling = snapshot.sampling;
        writeln!(
            self.out,
            "snapshot target {} {} .. {} sample {} aggregate {} max_nr_accesses {}",
            snapshot.target,
            moment(snapshot.start_ns, self.origin_ns),
            moment(snapshot.end_ns, self.origin_ns),
            duration(float(sampling.sample_us) * 1000.0),
            duration(float(sampling.aggr_us) * 1000.0),
            sampling.max_nr_accesses
        )?;
        for (index, region) in Self::regions(self.selection, snapshot) {
            write!(
                self.out,
                "  {:#x}-{:#x} {} nr_accesses {}",
                region.start,
                region.end,
                bytes(float(region.size())),
                region.nr_accesses
            )?;
            if snapshot.ages.is_some() {
                write!(self.out, " age {}", region.age)?;
            }
            for probe in snapshot.probes {
                write!(self.out, " probe {}", probe.get(index).copied().unwrap_or(0))?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn snapshot_json(&mut self, snapshot: &SnapshotView<'_>) -> io::Result<()> {
        let mut owned = snapshot.to_snapshot();
        if !self.selection.address.is_all() {
            let pieces = Self::regions(self.selection, snapshot);
            let (keep, regions): (Vec<usize>, Vec<Region>) = pieces.unzip();
            owned.regions = regions;
            for probe in &mut owned.probes {
                *probe = keep.iter().filter_map(|i| probe.get(*i).copied()).collect();
            }
        }
        self.line(&Line::Snapshot(&owned))
    }

    fn snapshot_csv(&mut self, snapshot: &SnapshotView<'_>) -> io::Result<()> {
        let sampling = snapshot.sampling;
        for (_, region) in Self::regions(self.selection, snapshot) {
            write!(
                self.out,
                "{},{},{},{},{},{},{},{},{},",
                snapshot.target,
                snapshot.start_ns,
                snapshot.end_ns,
                sampling.sample_us,
                sampling.aggr_us,
                sampling.max_nr_accesses,
                region.start,
                region.end,
                region.nr_accesses
            )?;
            if snapshot.ages.is_some() {
                write!(self.out, "{}", region.age)?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn record_text(&mut self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_string(record)?;
        writeln!(self.out, "record {}", clean(&text))
    }
}
