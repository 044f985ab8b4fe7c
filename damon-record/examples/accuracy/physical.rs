//! Snapshots of physical memory, as a process that is in it would have them.

use std::path::Path;

use damon_format::{Region, Snapshot};
use damon_record::proc::{Entry, PagemapFile, ProcRoot, page_size};
use damon_record::workload::truth::{Event, Truth};

/// Where the pages of a process are, by its addresses: ascending and disjoint runs of pages that follow each
/// other in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    runs: Vec<Run>,
}

/// Bytes from `start` on, `size` of them, that lie from `physical` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u64,
    size: u64,
    physical: u64,
}

impl Frames {
    /// Of the generator's areas, once its account says that they are populated; nothing before.
    pub fn of_generator(account: &Path, pid: u32) -> Result<Option<Self>, String> {
        let Some(areas) = populated_areas(account) else {
            return Ok(None);
        };
        let mut pagemap =
            PagemapFile::open(&ProcRoot::default(), pid).map_err(|error| error.to_string())?;
        let mut frames = Self::default();
        for (start, end) in areas {
            let pages = usize::try_from((end - start) / page_size()).unwrap_or(0);
            let mut entries = vec![Entry::default(); pages];
            pagemap.read(start, &mut entries).map_err(|error| error.to_string())?;
            let addresses = (start..end).step_by(usize::try_from(page_size()).unwrap_or(4096));
            for (address, entry) in addresses.zip(entries) {
                match entry.frame() {
                    Some(0) => return Err("the kernel hides page frames: run it as root".into()),
                    Some(frame) => frames.push(address, page_size(), frame * page_size()),
                    None => return Err(format!("the page at {address:#x} is not in memory")),
                }
            }
        }
        Ok(Some(frames))
    }

    /// Adds what comes next.
    fn push(&mut self, start: u64, size: u64, physical: u64) {
        match self.runs.last_mut() {
            Some(run) if run.start + run.size == start && run.physical + run.size == physical => {
                run.size += size;
            }
            _ => self.runs.push(Run { start, size, physical }),
        }
    }

    /// The snapshot by the addresses of the process: each page has the counter of the region that its frame lies
    /// in, and neighbours of equal counters are one region. Of ages nothing is known.
    pub fn translate(&self, snapshot: &Snapshot) -> Snapshot {
        let mut regions: Vec<Region> = Vec::new();
        for run in &self.runs {
            let end = run.physical + run.size;
            let first = snapshot.regions.partition_point(|region| region.end <= run.physical);
            let here = snapshot.regions.iter().skip(first).take_while(|region| region.start < end);
            for &Region { start, end: region_end, nr_accesses, .. } in here {
                let start = start.max(run.physical) - run.physical + run.start;
                let end = region_end.min(end) - run.physical + run.start;
                match regions.last_mut() {
                    Some(last) if last.end == start && last.nr_accesses == nr_accesses => {
                        last.end = end;
                    }
                    _ => regions.push(Region { start, end, nr_accesses, age: 0 }),
                }
            }
        }
        Snapshot { regions, ..snapshot.clone() }
    }
}

/// The areas in an account that is still being written, if they are populated.
fn populated_areas(account: &Path) -> Option<Vec<(u64, u64)>> {
    let text = std::fs::read_to_string(account).ok()?;
    // The last line may be half of one.
    let whole = text.get(..=text.rfind('\n')?)?;
    let ready = whole.lines().any(|line| matches!(event(line), Some(Event::Ready { .. })));
    let truth = Truth::read(whole.as_bytes()).ok().filter(|_| ready)?;
    Some(truth.begin.areas.iter().map(|area| (area.start, area.end)).collect())
}

fn event(line: &str) -> Option<Event> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Sampling, TargetId};

    fn regions(of: &[(u64, u64, u32)]) -> Vec<Region> {
        let region = |&(start, end, nr_accesses)| Region { start, end, nr_accesses, age: 0 };
        of.iter().map(region).collect()
    }

    fn snapshot(of: &[(u64, u64, u32)]) -> Snapshot {
        let sampling = Sampling { sample_us: 5000, aggr_us: 100_000, max_nr_accesses: 20 };
        Snapshot::new(TargetId(0), 1000, 2000, sampling, regions(of))
    }

    #[test]
    fn each_page_has_the_counter_of_its_frame() {
        let mut frames = Frames::default();
        // Two pages that follow each other in both address spaces, one before them, one in no region.
        for (page, frame) in [(100, 7), (101, 8), (102, 2), (103, 20), (110, 9)] {
            frames.push(page * 10, 10, frame * 10);
        }
        assert_eq!(frames.runs.len(), 4);
        let physical = snapshot(&[(0, 85, 3), (85, 200, 5)]);
        let virtual_ = frames.translate(&physical);
        let expected = [(1000, 1015, 3), (1015, 1020, 5), (1020, 1030, 3), (1100, 1110, 5)];
        assert_eq!(virtual_.regions, regions(&expected));
        assert_eq!((virtual_.start_ns, virtual_.end_ns), (1000, 2000));
        // Neighbours that lie apart in memory are one region if their counters are equal.
        let even = snapshot(&[(0, 30, 4), (60, 100, 4), (100, 300, 4)]);
        assert_eq!(frames.translate(&even).regions, regions(&[(1000, 1040, 4), (1100, 1110, 4)]));
        assert_eq!(frames.translate(&snapshot(&[])).regions, []);
    }

    #[test]
    fn an_account_names_areas_when_they_are_populated_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        assert_eq!(populated_areas(&path), None);
        let begin = concat!(
            r#"{"event":"begin","format":1,"workload":"w","pid":1,"page_size":4096,"seed":1,"time_ns":0,"#,
            r#""areas":[{"name":"a","kind":"anon","huge":false,"start":4096,"end":12288}]}"#,
            "\n"
        );
        let ready = "{\"event\":\"ready\",\"time_ns\":5}\n";
        let cases = [
            (begin.to_owned(), None),
            (format!("{begin}{}", &ready[..9]), None),
            (format!("{begin}{ready}"), Some(vec![(4096, 12288)])),
            (format!("{begin}{ready}{{\"event"), Some(vec![(4096, 12288)])),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(populated_areas(&path), expected, "{text}");
        }
    }
}
