//! What a walk through another process's page tables brings: plain types, and the trait behind which
//! tests put tables of their own.

use crate::backend::WatchError;

/// Bit 0 of an x86-64 page table entry: it maps something.
const PRESENT: u64 = 1;
/// Bit 5: the processor has used it since somebody cleared the bit.
const ACCESSED: u64 = 1 << 5;
/// Bits 12 to 51: the page frame.
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// The entry that ends the walk for one address (Intel SDM volume 3, section 4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// As the hardware reads it; 0 where nothing is mapped.
    pub entry: u64,
    /// 0 for a page of 4 KiB, 1 for 2 MiB, 2 for 1 GiB; where nothing is mapped, the level at which
    /// the walk ended.
    pub level: u8,
}

impl Leaf {
    /// Whether it maps something.
    pub fn is_present(self) -> bool {
        self.entry & PRESENT != 0
    }

    /// Whether the Accessed bit of a present entry is set.
    pub fn is_accessed(self) -> bool {
        self.is_present() && self.entry & ACCESSED != 0
    }

    /// Bytes that the entry maps.
    pub fn size(self) -> u64 {
        4096 << (9 * u32::from(self.level.min(2)))
    }

    /// Number of the first 4 KiB page frame that a present entry maps.
    pub fn frame(self) -> Option<u64> {
        self.is_present().then(|| (self.entry & FRAME & !(self.size() - 1)) >> 12)
    }
}

/// The page tables of one process, read while the process runs.
///
/// Every call finds out whether the tables are still the ones of the process as it was located:
/// [`WatchError::Gone`] after its exit, [`WatchError::Replaced`] after it executed another program.
pub trait Tables {
    /// Walks for each of `addresses`; the answer is in the element of `leaves` with the same index.
    /// The slices have the same length.
    fn walk(&mut self, addresses: &[u64], leaves: &mut [Leaf]) -> Result<(), WatchError>;

    /// Hands each piece of the tables that maps anything in `start..end` to `each`, ascending: the
    /// address that its first entry maps, the level of the entries (0: 4 KiB each, 1: 2 MiB, 2: 1 GiB),
    /// and the entries. Above level 0 only entries that are leaves matter; the others are zero.
    fn scan(
        &mut self,
        start: u64,
        end: u64,
        each: &mut dyn FnMut(u64, u8, &[u64]),
    ) -> Result<(), WatchError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_taken_apart_as_the_hardware_does() {
        let small = Leaf { entry: 0x8000_0001_2345_6067, level: 0 };
        assert!(small.is_present() && small.is_accessed());
        assert_eq!((small.size(), small.frame()), (4096, Some(0x12_3456)));
        // Bit 12 of a large entry is PAT, no part of the frame.
        let large = Leaf { entry: 0x4020_1087, level: 1 };
        assert!(!large.is_accessed());
        assert_eq!((large.size(), large.frame()), (2 << 20, Some(0x4_0200)));
        let swapped = Leaf { entry: 0x60, level: 0 };
        assert!(!swapped.is_accessed());
        assert_eq!(swapped.frame(), None);
    }
}
