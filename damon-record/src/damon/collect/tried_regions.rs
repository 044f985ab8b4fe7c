//! Regions without tracing: a scheme with the action `stat` and a pattern that everything matches has been tried on
//! every region, and the kernel can be asked to list those (`update_schemes_tried_regions`). Four files are read for
//! each region, and the kernel answers at the next aggregation only, so this is for where nothing else is allowed.

use super::{Collect, CollectError, Collected, Tally};
use crate::damon::events::Event;
use crate::host::monotonic_ns;
use damon_format::Region;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// The collector: each draining is one look, which waits for the end of an aggregation.
pub struct TriedRegions<U> {
    folder: PathBuf,
    thread: i32,
    update: U,
    tally: Tally,
}

impl<U> std::fmt::Debug for TriedRegions<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TriedRegions").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl<U: FnMut() -> Result<(), String>> TriedRegions<U> {
    /// `folder`: the scheme's `tried_regions`. `thread`: what events are to say about who told them; the kdamond.
    /// `update`: writes the command and waits until it is done, or says why that failed.
    ///
    /// The context must have one target only: the kernel lists regions of several without saying whose they are.
    pub fn new(folder: impl Into<PathBuf>, thread: i32, update: U) -> Self {
        Self { folder: folder.into(), thread, update, tally: Tally::default() }
    }
}

impl<U: FnMut() -> Result<(), String>> Collect for TriedRegions<U> {
    fn drain(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        (self.update)().map_err(|reason| CollectError::Update { reason })?;
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
            "reading {} once an aggregation, without tracing: what happens between two looks is not seen",
            self.folder.display()
        )
    }
}

/// Reads the regions in a `tried_regions` folder, in the order of their numbers.
///
/// # Errors
/// A file cannot be read or holds no number; a region is empty; regions are not ascending.
pub fn read(folder: &Path) -> Result<Vec<Region>, CollectError> {
    let entries = std::fs::read_dir(folder).map_err(|source| CollectError::read(folder, source))?;
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let mut regions: Vec<Region> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let folder_of_region = folder.join(number.to_string());
        let region = Region {
            start: decimal(&folder_of_region.join("start"))?,
            end: decimal(&folder_of_region.join("end"))?,
            nr_accesses: narrow(decimal(&folder_of_region.join("nr_accesses"))?),
            age: narrow(decimal(&folder_of_region.join("age"))?),
        };
        if region.start >= region.end {
            let found = format!("{}, with start {}", region.end, region.start);
            let end = folder_of_region.join("end");
            return Err(CollectError::unexpected(&end, found.as_bytes(), "more than the start"));
        }
        if regions.last().is_some_and(|last| last.end > region.start) {
            let (index, start) = (regions.len(), region.start);
            return Err(CollectError::Unsorted { folder: folder.to_owned(), index, start });
        }
        regions.push(region);
    }
    Ok(regions)
}

fn decimal(path: &Path) -> Result<u64, CollectError> {
    let text = std::fs::read(path).map_err(|source| CollectError::read(path, source))?;
    let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| CollectError::unexpected(path, &text, "a number"))
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damon::events::{Assembled, Assembler};
    use damon_format::Sampling;

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
        // Twelve, so that 10 would come before 2 in the order of names.
        for i in 0..12_u32 {
            let (start, end) = ((i * 10).to_string(), (i * 10 + 5).to_string());
            write(root.path(), i, [start.as_str(), end.as_str(), "3", "70"]);
        }
        let mut updates = 0;
        let update = || {
            updates += 1;
            Ok(())
        };
        let mut collector = TriedRegions::new(root.path(), 77, update);
        let mut assembler = Assembler::default();
        assembler.watch(77, Sampling::from_intervals(5_000, 100_000));
        let mut out: Vec<Assembled> = Vec::new();
        for _ in 0..2 {
            let each = &mut |collected| {
                let Collected::Event { time_ns, thread, event } = collected else { panic!() };
                assembler.push(time_ns, thread, &event, &mut |a| out.push(a.clone()));
            };
            collector.drain(each).unwrap();
        }
        assert_eq!(collector.tally().events, 24);
        assert_eq!(updates, 2);
        assert_eq!(out.len(), 2);
        assert!(out.iter().all(|a| a.is_complete() && a.regions.len() == 12));
        assert_eq!(out[1].start_ns, out[0].end_ns);
        assert_eq!(out[0].regions[11], Region { start: 110, end: 115, nr_accesses: 3, age: 70 });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let root = tempfile::tempdir().unwrap();
        let mut collector = TriedRegions::new(root.path(), 77, || Err("EBUSY".to_owned()));
        let error = collector.drain(&mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("EBUSY"), "{error}");

        assert!(matches!(read(&root.path().join("none")), Err(CollectError::Read { .. })));
        assert_eq!(read(root.path()).unwrap(), []);
        let error = |region| {
            write(root.path(), 1, region);
            read(root.path()).unwrap_err().to_string()
        };
        write(root.path(), 0, ["0", "10", "0", "0"]);
        assert!(error(["9", "20", "0", "0"]).contains("begins at 0x9"));
        assert!(error(["20", "20", "0", "0"]).contains("20, with start 20"));
        assert!(error(["ten", "20", "0", "0"]).contains("1/start says \"ten\\n\""));
        std::fs::remove_file(root.path().join("1/age")).unwrap();
        assert!(error_of_missing(root.path()).contains("1/start"));
        write(root.path(), 1, ["10", "20", "99999999999", "0"]);
        assert_eq!(read(root.path()).unwrap()[1].nr_accesses, u32::MAX);
    }

    fn error_of_missing(folder: &Path) -> String {
        read(folder).unwrap_err().to_string()
    }
}
