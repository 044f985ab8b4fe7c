//! Does idle page tracking work here? Tried on pages of our own.

use super::{IdleWatch, Places};
use crate::backend::kind::{BECOME_ROOT, Refusal};
use crate::backend::{Watch as _, WatchError};
use crate::proc::{PagemapFile, ProcRoot};
use crate::sys::own_pages::OwnPages;

/// Fresh pages reach the LRU lists in batches (`PAGEVEC_SIZE`, 31 at most), and only then can they be
/// marked; of these, most can.
const PAGES: usize = 128;

/// One page in so many may give a wrong answer: the kernel's own aging and DAMON use the same marks.
const WRONG: usize = 8;

/// Proves on memory of the recorder's own that pages used since they were marked are seen, and pages left
/// alone are not.
pub(super) fn self_test(proc: &ProcRoot, places: &Places) -> Result<(), Refusal> {
    let frames = places.open()?;
    let me = std::process::id();
    let mut pages = OwnPages::new(PAGES).map_err(|error| format!("cannot map memory: {error}"))?;
    for page in 0..PAGES {
        pages.write(page, 1);
    }
    let addresses: Vec<u64> = (0..PAGES).filter_map(|page| pages.address(page)).collect();
    if are_frames_hidden(proc, me, &addresses)? {
        return Err(Refusal::with_remedy(
            "the kernel hides page frame numbers from this user",
            format!("{BECOME_ROOT}; in a container, CAP_SYS_ADMIN outside of it is needed"),
        ));
    }
    let mut watch = IdleWatch::attach(proc, me, frames).map_err(|error| error.to_string())?;
    watch.prepare(&addresses).map_err(|error| failed(&error))?;
    pages.forget_translations().map_err(|error| format!("mprotect failed: {error}"))?;
    for page in (0..PAGES).step_by(2) {
        let _value = pages.read(page);
    }
    let mut accessed = [false; PAGES];
    watch.check(&addresses, &mut accessed).map_err(|error| failed(&error))?;
    let mut tally = Tally::default();
    for (page, (is_marked, accessed)) in watch.marked().zip(accessed).enumerate() {
        if is_marked {
            tally.count(page % 2 == 0, accessed);
        }
    }
    tally.judge()
}

fn failed(error: &WatchError) -> Refusal {
    error.to_string().into()
}

fn are_frames_hidden(proc: &ProcRoot, pid: u32, addresses: &[u64]) -> Result<bool, String> {
    let mut pagemap = PagemapFile::open(proc, pid).map_err(|error| error.to_string())?;
    for &address in addresses {
        let entry = pagemap.entry(address).map_err(|error| error.to_string())?;
        if entry.and_then(crate::proc::Entry::frame) == Some(0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What became of the pages that could be marked.
#[derive(Debug, Default)]
struct Tally {
    used: usize,
    used_seen: usize,
    idle: usize,
    idle_seen: usize,
}

impl Tally {
    fn count(&mut self, used: bool, seen: bool) {
        let (pages, hits) = if used {
            (&mut self.used, &mut self.used_seen)
        } else {
            (&mut self.idle, &mut self.idle_seen)
        };
        *pages += 1;
        *hits += usize::from(seen);
    }

    fn judge(&self) -> Result<(), Refusal> {
        let Self { used, used_seen, idle, idle_seen } = *self;
        if used == 0 || idle == 0 {
            return Err("the kernel accepts marks of idle pages and does nothing"
                .to_owned()
                .into());
        }
        if (used - used_seen) * WRONG > used {
            return Err(format!(
                "idle page tracking does not see accesses here: {used_seen} of {used} pages just used"
            )
            .into());
        }
        if idle_seen * WRONG > idle {
            return Err(format!(
                "idle page tracking sees accesses that were none here: to {idle_seen} of {idle} pages"
            )
            .into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(used: usize, used_seen: usize, idle: usize, idle_seen: usize) -> String {
        let tally = Tally { used, used_seen, idle, idle_seen };
        tally.judge().map_or_else(|refusal| refusal.why, |()| "works".to_owned())
    }

    #[test]
    fn a_page_or_two_may_be_wrong_and_no_more() {
        assert_eq!(verdict(40, 40, 40, 0), "works");
        assert_eq!(verdict(40, 37, 40, 2), "works");
        assert!(verdict(40, 0, 40, 0).contains("does not see"));
        assert!(verdict(40, 40, 40, 40).contains("were none"));
        assert!(verdict(0, 0, 0, 0).contains("does nothing"));
    }

    #[test]
    fn each_thing_that_is_missing_has_its_sentence_and_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let proc = ProcRoot::default();
        let mut places =
            Places { bitmap: dir.path().join("bitmap"), flags: dir.path().join("flags") };
        let refusal = self_test(&proc, &places).unwrap_err();
        assert!(refusal.why.contains("no idle page tracking"), "{refusal}");
        assert!(refusal.remedy.unwrap().contains("CONFIG_IDLE_PAGE_TRACKING=y"));
        std::fs::write(&places.bitmap, "").unwrap();
        let refusal = self_test(&proc, &places).unwrap_err();
        assert!(refusal.to_string().contains("CONFIG_PROC_PAGE_MONITOR"), "{refusal}");
        // Takes what is written, and that is all. An ordinary user does not get that far.
        places.flags = "/proc/kpageflags".into();
        let refusal = self_test(&proc, &places).unwrap_err();
        let expected =
            if nix::unistd::geteuid().is_root() { "does nothing" } else { "only root may read" };
        assert!(refusal.why.contains(expected), "{refusal}");
    }
}
