//! Regions without tracing: a scheme with the action `stat` and a pattern that everything matches has been tried on
//! every region, and the kernel can be asked to list those (`update_schemes_tried_regions`, 6.2). Four files are read for
//! each region, and the kernel answers at the next aggregation only, so this is for where nothing else is allowed.

use super::{Collect, CollectError, Collected, Tally};
use crate::damon::events::Event;
use crate::damon::sysfs::Tree;
use crate::host::monotonic_ns;
use damon_format::Region;
use std::os::fd::BorrowedFd;

/// The collector: each draining is one look, which waits for the end of an aggregation.
pub struct TriedRegions<U> {
    folder: Tree,
    thread: i32,
    update: U,
    tally: Tally,
}

impl<U> std::fmt::Debug for TriedRegions<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TriedRegions").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl<U: FnMut() -> Result<bool, String>> TriedRegions<U> {
    /// `folder`: the scheme's `tried_regions`. `thread`: what events are to say about who told them; the kdamond.
    /// `update`: writes the command and waits until it is done: `false` when there is nothing new, because the kdamond
    /// has ended; or says why that failed.
    ///
    /// The context must have one target only: the kernel lists regions of several without saying whose they are.
    pub fn new(folder: Tree, thread: i32, update: U) -> Self {
        Self { folder, thread, update, tally: Tally::default() }
    }
}

impl<U: FnMut() -> Result<bool, String>> Collect for TriedRegions<U> {
    fn drain(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        if !(self.update)().map_err(|reason| CollectError::Update { reason })? {
            return Ok(());
        }
        let time_ns = monotonic_ns();
        let regions = read(&self.folder)?;
        let nr_regions = u32::try_from(regions.len()).unwrap_or(u32::MAX);
        for region in regions {
            let event = Event::Aggregated { target: 0, nr_regions, region, has_age: true };
            self.tally.events += 1;
            each(Collected::Event { time_ns, thread: self.thread, event });
        }
        Ok(())
    }

    /// Does nothing: nothing is held back, and another look would be another aggregation.
    fn settle(&mut self, _each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        Ok(())
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn describe(&self) -> String {
        format!(
            "regions of the kdamond's thread {} are read from {} once an aggregation, without tracing: what happens \
             between two looks is not seen",
            self.thread,
            self.folder.root().display()
        )
    }
}

/// Reads the regions in a `tried_regions` folder, in the order of their numbers, which are not consecutive where
/// several schemes are tried (6.12).
///
/// # Errors
/// A file cannot be read or holds no number; a region is empty; regions are not ascending.
pub fn read(folder: &Tree) -> Result<Vec<Region>, CollectError> {
    let numbers = folder.numbers("")?;
    let mut regions: Vec<Region> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let value = |name: &str| folder.number::<u64>(&format!("{number}/{name}"));
        let region = Region {
            start: value("start")?,
            end: value("end")?,
            nr_accesses: narrow(value("nr_accesses")?),
            age: narrow(value("age")?),
        };
        if region.start >= region.end {
            let found = format!("{}, with start {}", region.end, region.start);
            let end = folder.path(&format!("{number}/end"));
            return Err(CollectError::unexpected(&end, found.as_bytes(), "more than the start"));
        }
        if regions.last().is_some_and(|last| last.end > region.start) {
            let (index, start) = (regions.len(), region.start);
            let folder = folder.root().to_owned();
            return Err(CollectError::Unsorted { folder, index, start });
        }
        regions.push(region);
    }
    Ok(regions)
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damon::events::{Assembled, Assembler};
    use damon_format::Sampling;
    use std::path::Path;

    fn write(folder: &Path, number: u32, region: [&str; 4]) {
        let folder = folder.join(number.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        for (name, value) in ["start", "end", "nr_accesses", "age"].iter().zip(region) {
            std::fs::write(folder.join(name), format!("{value}\n")).unwrap();
        }
    }

    #[test]
    fn a_look_becomes_a_complete_snapshot() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("total_bytes"), "99\n").unwrap();
        // Twelve, so that 10 would come before 2 in the order of names; with gaps, as other schemes leave them.
        for i in 0..12_u32 {
            let (start, end) = ((i * 10).to_string(), (i * 10 + 5).to_string());
            write(root.path(), i * 3 + 1, [start.as_str(), end.as_str(), "3", "70"]);
        }
        let mut updates = 0;
        let update = || {
            updates += 1;
            // The kdamond ends before the third look: what is listed is that of the second still.
            Ok(updates < 3)
        };
        let mut collector = TriedRegions::new(Tree::at(root.path()), 77, update);
        let mut assembler = Assembler::default();
        assembler.watch(77, Sampling::from_intervals(5_000, 100_000));
        let mut out: Vec<Assembled> = Vec::new();
        for _ in 0..3 {
            let each = &mut |collected| {
                let Collected::Event { time_ns, thread, event } = collected else { panic!() };
                assembler.push(time_ns, thread, &event, &mut |a| out.push(a.clone()));
            };
            collector.drain(each).unwrap();
        }
        assert_eq!(collector.tally().events, 24);
        assert_eq!(updates, 3);
        assert_eq!(out.len(), 2);
        assert!(out.iter().all(|a| a.is_complete() && a.regions.len() == 12));
        assert_eq!(out[1].start_ns, out[0].end_ns);
        assert_eq!(out[0].regions[11], Region { start: 110, end: 115, nr_accesses: 3, age: 70 });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let root = tempfile::tempdir().unwrap();
        let read = || read(&Tree::at(root.path()));
        let mut collector =
            TriedRegions::new(Tree::at(root.path()), 77, || Err("EBUSY".to_owned()));
        let error = collector.drain(&mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("EBUSY"), "{error}");

        let none = super::read(&Tree::at(root.path().join("none"))).unwrap_err().to_string();
        assert!(none.contains("none"), "{none}");
        assert_eq!(read().unwrap(), []);
        let error = |region| {
            write(root.path(), 1, region);
            read().unwrap_err().to_string()
        };
        write(root.path(), 0, ["0", "10", "0", "0"]);
        assert!(error(["9", "20", "0", "0"]).contains("begins at 0x9"));
        assert!(error(["20", "20", "0", "0"]).contains("20, with start 20"));
        let text = error(["ten", "20", "0", "0"]);
        assert!(text.contains("1/start") && text.contains("\"ten\""), "{text}");
        write(root.path(), 1, ["10", "20", "99999999999", "0"]);
        assert_eq!(read().unwrap()[1].nr_accesses, u32::MAX);
        std::fs::remove_file(root.path().join("1/age")).unwrap();
        let text = read().unwrap_err().to_string();
        assert!(text.contains("1/age"), "{text}");
    }
}
