//! Do the page tables that are read agree with `/proc/PID/pagemap`?

use super::pagemap::{Page, Pagemap};
use super::tables::Leaf;
use std::time::Duration;

/// Looks at one address before a disagreement is believed. A page that is given back and mapped again
/// between the two readings, perhaps to the same frame, is no disagreement.
const LOOKS: u32 = 12;
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// The answer for some addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreement {
    /// Pages that are in memory by both.
    pub(super) agreed: usize,
    /// The first page that never agreed.
    pub(super) disagreed: Option<Disagreement>,
    /// `pagemap` shows no frame numbers.
    pub(super) hidden: bool,
}

/// What two sources say of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disagreement {
    pub(super) address: u64,
    pub(super) leaf: Leaf,
    pub(super) frame: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The same frame.
    Agree,
    /// Nothing can be said: both have nothing, or the entry is one for the kernel alone (swapped, migrating,
    /// or protected from everything).
    Nothing,
    Disagree,
}

fn judge(address: u64, leaf: Leaf, page: Page) -> Verdict {
    match (leaf.frame(), page.frame()) {
        (Some(first), Some(frame)) => {
            let own = first + ((address & (leaf.size() - 1)) >> 12);
            if own == frame { Verdict::Agree } else { Verdict::Disagree }
        }
        (Some(_), None) => Verdict::Disagree,
        (None, Some(_)) if leaf.entry == 0 => Verdict::Disagree,
        (None, _) => Verdict::Nothing,
    }
}

/// Whether both have the page in memory, in the same frame, at the first look.
pub(super) fn agrees(pagemap: &Pagemap, address: u64, leaf: Leaf) -> bool {
    let page = pagemap.page(address).unwrap_or_default();
    judge(address, leaf, page) == Verdict::Agree
}

/// Compares. `walk` gives the leaf for an address.
pub(super) fn compare<E>(
    pagemap: &Pagemap,
    addresses: &[u64],
    mut walk: impl FnMut(u64) -> Result<Leaf, E>,
) -> Result<Agreement, E> {
    let mut result = Agreement::default();
    for &address in addresses {
        let mut pause = Duration::from_micros(20);
        let mut last = None;
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            let leaf = walk(address)?;
            // An address space that is gone reads as nothing; the walk says so itself.
            let page = pagemap.page(address).unwrap_or_default();
            if page.frame() == Some(0) {
                result.hidden = true;
                return Ok(result);
            }
            last = None;
            match judge(address, leaf, page) {
                Verdict::Agree => {
                    result.agreed += 1;
                    break;
                }
                Verdict::Nothing => break,
                Verdict::Disagree => {
                    last = Some(Disagreement { address, leaf, frame: page.frame() });
                }
            }
        }
        if last.is_some() {
            result.disagreed = last;
            return Ok(result);
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_huge_page_lies_inside_its_frame() {
        let leaf = Leaf { entry: 0x4020_0087, level: 1 };
        assert_eq!(judge(0x20_3000, leaf, Page::present(0x4_0203)), Verdict::Agree);
        assert_eq!(judge(0x20_3000, leaf, Page::present(0x4_0200)), Verdict::Disagree);
    }

    #[test]
    fn absent_on_one_side_only_is_a_disagreement_unless_the_kernel_keeps_a_note() {
        let (nothing, swapped) = (Leaf::default(), Leaf { entry: 0x60, level: 0 });
        assert_eq!(judge(0, nothing, Page::present(5)), Verdict::Disagree);
        assert_eq!(judge(0, swapped, Page::present(5)), Verdict::Nothing);
        assert_eq!(judge(0, nothing, Page::default()), Verdict::Nothing);
        let mapped = Leaf { entry: 0x5067, level: 0 };
        assert_eq!(judge(0, mapped, Page::default()), Verdict::Disagree);
    }

    /// The `pagemap` of a made-up process 5 whose page at address 0 has frame 7.
    fn pagemap(dir: &std::path::Path) -> Pagemap {
        std::fs::create_dir(dir.join("5")).unwrap();
        std::fs::write(dir.join("5/pagemap"), ((1_u64 << 63) | 7).to_le_bytes()).unwrap();
        Pagemap::open(&crate::proc::ProcRoot::new(dir), 5).unwrap()
    }

    #[test]
    fn only_what_never_agrees_disagrees() {
        let dir = tempfile::tempdir().unwrap();
        let pagemap = pagemap(dir.path());
        let (right, wrong) = (Leaf { entry: 0x7067, level: 0 }, Leaf { entry: 0x8067, level: 0 });
        let found = compare(&pagemap, &[0], |_| Ok::<_, ()>(wrong)).unwrap();
        assert_eq!(found.disagreed, Some(Disagreement { address: 0, leaf: wrong, frame: Some(7) }));
        let mut looks = 0;
        let found = compare(&pagemap, &[0], |_| {
            looks += 1;
            Ok::<_, ()>(if looks < 4 { wrong } else { right })
        });
        assert_eq!(found, Ok(Agreement { agreed: 1, ..Agreement::default() }));
        assert!(agrees(&pagemap, 0, right) && !agrees(&pagemap, 0, wrong));
        assert!(!agrees(&pagemap, 4096, right), "past the end nothing is in memory");
    }

    #[test]
    fn hidden_frames_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let pagemap = pagemap(dir.path());
        std::fs::write(dir.path().join("5/pagemap"), (1_u64 << 63).to_le_bytes()).unwrap();
        let found = compare(&pagemap, &[0], |_| Ok::<_, ()>(Leaf::default())).unwrap();
        assert!(found.hidden);
    }
}
