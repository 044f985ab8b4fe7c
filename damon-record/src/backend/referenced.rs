//! Backend `referenced`: `/proc/PID/clear_refs` and the `Referenced` line of `/proc/PID/smaps`.
//!
//! Sees reads and writes of whole mappings, needs no privilege beyond owning the target, stops nothing
//! and leaves nothing behind. Clearing does not flush the processor's TLB (as DAMON's own clearing does
//! not on x86), so a hot set that fits into the TLB may be missed now and then.

use super::alone::{self, Clears};
use super::kind::{Kind, Looks};
use super::{Toll, Touched, Watch, WatchError, clear_refs};
use crate::plan::Intervals;
use crate::proc::{ProcError, ProcRoot, SmapsFile};
use crate::sys::own_pages::{OwnPages, page_size};
use damon_format::{AccessKind, Granularity, Mapping};
use std::fs::File;
use std::sync::Mutex;
use std::time::Duration;

/// This backend.
pub const KIND: Kind = Kind {
    name: "referenced",
    auto: true,
    access: AccessKind::ReadWrite,
    granularity: Granularity::Mapping,
    looks: Looks::Exact,
    // One look reads and clears every page table entry: 10 to 40 ms per GiB.
    intervals: Intervals { sample: Duration::from_millis(200), aggr: Duration::from_secs(1) },
    needs: "nothing; root for other users' processes",
    side_effect: "each look clears the accessed state of all pages of the target, so that the kernel's \
        reclaim sees them as colder, and delays its page faults and mmap calls for as long as it lasts",
    self_test: |proc| Ok(self_test(proc)?),
    attach: |proc, pid| {
        alone::attach(proc, pid, Clears::AccessedState, || Referenced::attach(proc, pid))
    },
};

/// Clears the accessed state of every page (Documentation/filesystems/proc.rst, `clear_refs`).
const CLEAR_ACCESSED: &[u8] = b"1";

/// What a page that was accessed has cost the target, about: its processor has to set the accessed bit
/// again, a locked update of a page table entry whose cache line was taken away.
const ACCESS: Duration = Duration::from_nanos(30);

/// One process seen through its `smaps`.
#[derive(Debug)]
pub struct Referenced {
    pid: u32,
    proc: ProcRoot,
    smaps: SmapsFile,
    clear_refs: File,
    armed: bool,
    /// Bytes found accessed since the last question for the toll.
    accessed: u64,
}

impl Referenced {
    /// Opens the files of `pid`; changes nothing yet.
    pub fn attach(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        let smaps = SmapsFile::open(proc, pid)?;
        let clear_refs = clear_refs::open(proc, pid)?;
        let proc = proc.clone();
        Ok(Self { pid, proc, smaps, clear_refs, armed: false, accessed: 0 })
    }

    /// The open files no longer tell of memory.
    fn ended(&self) -> WatchError {
        WatchError::of_lost_memory(&self.proc, self.pid)
    }

    fn clear(&mut self) -> Result<(), WatchError> {
        clear_refs::clear(&self.clear_refs, self.pid, CLEAR_ACCESSED)
    }
}

const SAMPLES_NO_PAGES: &str =
    "the backend referenced sees whole mappings and cannot sample single pages";

impl Watch for Referenced {
    fn prepare(&mut self, _addresses: &[u64]) -> Result<(), WatchError> {
        Err(WatchError::Failed(SAMPLES_NO_PAGES.into()))
    }

    fn check(&mut self, _addresses: &[u64], _accessed: &mut [bool]) -> Result<(), WatchError> {
        Err(WatchError::Failed(SAMPLES_NO_PAGES.into()))
    }

    fn look(&mut self, touched: &mut Vec<Touched>) -> Result<(), WatchError> {
        if self.armed {
            let accessed = &mut self.accessed;
            let seen = self.smaps.read(|entry| {
                let bytes = entry.referenced.min(entry.end - entry.start);
                *accessed = accessed.saturating_add(bytes);
                if bytes > 0 {
                    touched.push(Touched { start: entry.start, end: entry.end, bytes });
                }
            });
            match seen {
                Ok(0) | Err(ProcError::Gone { .. }) => return Err(self.ended()),
                Ok(_) => {}
                Err(error) => return Err(WatchError::Failed(error.to_string())),
            }
        }
        self.clear()?;
        self.armed = true;
        Ok(())
    }

    fn mappings_changed(&mut self, _mappings: &[Mapping]) -> Result<(), WatchError> {
        Ok(())
    }

    fn toll(&mut self) -> Toll {
        let pages = std::mem::take(&mut self.accessed) / page_size().max(1) as u64;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        Toll { target: ACCESS.saturating_mul(pages), ..Toll::default() }
    }
}

/// Size of the block that [`self_test`] touches: large enough to stand out of whatever else shares its
/// mapping.
const BLOCK: usize = 1 << 20;

/// How much of the block may be missing: the kernel's own aging and reclaim, when memory is short, clear
/// the accessed state of a page now and then too. What does not see accesses misses all of it.
const MAY_BE_MISSED: usize = BLOCK / 16;

static SELF_TEST: Mutex<()> = Mutex::new(());

/// Proves on memory of the recorder's own that pages just touched are seen and pages left alone are not.
pub fn self_test(proc: &ProcRoot) -> Result<(), String> {
    // Clearing concerns the whole process: two tests at once would see each other.
    let _alone = SELF_TEST.lock();
    let me = std::process::id();
    let attached = Referenced::attach(proc, me);
    let mut watch = attached.map_err(|error| error.to_string())?;
    let mut look = |address: u64| -> Result<u64, String> {
        let mut touched = Vec::new();
        watch.look(&mut touched).map_err(|error| error.to_string())?;
        Ok(touched.iter().find(|t| (t.start..t.end).contains(&address)).map_or(0, |t| t.bytes))
    };
    // Memory that is fresh after the first look: its pages cannot be in the TLB yet.
    look(0)?;
    let count = BLOCK / page_size();
    // A mapping that the kernel does not join with one that other threads use.
    let mut block = OwnPages::new(count).map_err(|error| format!("cannot map memory: {error}"))?;
    for page in 0..count {
        block.write(page, 1);
    }
    let address = block.address(0).unwrap_or_default();
    let hot = look(address)?;
    let cold = look(address)?;
    let size = BLOCK as u64;
    if hot < size - MAY_BE_MISSED as u64 {
        return Err(format!(
            "clear_refs and smaps do not see accesses here: {hot} of {size} bytes just written are marked"
        ));
    }
    if cold > hot - size / 2 {
        return Err(format!(
            "clear_refs has no effect here: {cold} bytes are still marked after it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root, stat_line};

    const SMAPS: &str = "1000-5000 rw-p 0 0:0 0 [heap]\nReferenced: 8 kB\n\
                         9000-a000 rw-p 0 0:0 0\nReferenced: 0 kB\n\
                         c000-d000 rw-p 0 0:0 0\nReferenced: 2048 kB\n";

    #[test]
    fn the_self_test_passes_on_a_real_kernel() {
        assert_eq!(self_test(&ProcRoot::default()), Ok(()));
    }

    #[test]
    fn the_first_look_only_arms_and_later_ones_report_mappings() {
        let (dir, proc) = root();
        put(dir.path(), "5/smaps", SMAPS);
        put(dir.path(), "5/clear_refs", "");
        let mut watch = Referenced::attach(&proc, 5).unwrap();
        let mut touched = Vec::new();
        watch.look(&mut touched).unwrap();
        assert!(touched.is_empty());
        assert_eq!(std::fs::read(dir.path().join("5/clear_refs")).unwrap(), b"1");
        watch.look(&mut touched).unwrap();
        let expected = [(0x1000, 0x5000, 0x2000), (0xc000, 0xd000, 0x1000)]
            .map(|(start, end, bytes)| Touched { start, end, bytes });
        assert_eq!(touched, expected);
    }

    #[test]
    fn an_address_space_that_became_empty_tells_exec_from_exit() {
        let (dir, proc) = root();
        put(dir.path(), "5/stat", &stat_line(5, "x", 'S', 1, 1));
        put(dir.path(), "5/smaps", SMAPS);
        put(dir.path(), "5/clear_refs", "");
        let mut watch = Referenced::attach(&proc, 5).unwrap();
        let mut touched = Vec::new();
        watch.look(&mut touched).unwrap();
        put(dir.path(), "5/smaps", "");
        put(dir.path(), "5/maps", "1000-2000 r-xp 0 0:0 0 /bin/other\n");
        assert!(matches!(watch.look(&mut touched), Err(WatchError::Replaced)));
        put(dir.path(), "5/maps", "");
        assert!(matches!(watch.look(&mut touched), Err(WatchError::Gone)));
    }

    #[test]
    fn sampling_single_pages_is_refused_not_answered_with_zeros() {
        let mut watch = Referenced::attach(&ProcRoot::default(), std::process::id()).unwrap();
        assert!(watch.prepare(&[0]).is_err());
        assert!(watch.check(&[0], &mut [false]).is_err());
    }
}
