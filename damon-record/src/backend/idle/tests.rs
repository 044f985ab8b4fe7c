//! Against a machine in memory with the kernel's rules.

use super::fake::Machine;
use super::watch::IdleWatch;
use crate::backend::{Toll, Watch as _, WatchError};
use crate::proc::fake::{put, root};
use crate::proc::{Entry, ProcRoot, page_size};
use proptest::prelude::*;
use std::rc::Rc;

/// A watch, and the addresses of some pages of its target.
struct Trial {
    watch: IdleWatch,
    addresses: Vec<u64>,
}

impl Trial {
    fn new(machine: &Rc<Machine>, pages: &[u64]) -> Self {
        let watch = machine.watch(&ProcRoot::new("/nonexistent"));
        // Anywhere in the page.
        let addresses = pages.iter().map(|page| page * page_size() + 123).collect();
        Self { watch, addresses }
    }

    fn prepare(&mut self) {
        self.watch.prepare(&self.addresses).unwrap();
    }

    fn check(&mut self) -> Vec<bool> {
        let mut accessed = vec![true; self.addresses.len()];
        self.watch.check(&self.addresses, &mut accessed).unwrap();
        accessed
    }
}

/// A machine whose target has page n in frame n + 100.
fn mapped(pages: usize) -> Rc<Machine> {
    let machine = Machine::new(1024);
    for page in 0..pages {
        machine.map(page, page as u64 + 100);
    }
    machine
}

#[test]
fn used_pages_are_accessed_and_others_are_not() {
    let machine = mapped(8);
    let mut trial = Trial::new(&machine, &[0, 3, 5]);
    // What happened before does not count.
    machine.touch(105);
    trial.prepare();
    assert_eq!(machine.marked(), [100, 103, 105], "no other frame of their words is marked");
    machine.touch(103);
    machine.touch(104);
    assert_eq!(trial.check(), [false, true, false]);
    trial.prepare();
    machine.touch(100);
    assert_eq!(trial.check(), [true, false, false]);
    assert_eq!(trial.watch.toll(), Toll::default());
}

#[test]
fn marks_that_share_a_word_are_set_and_read_together() {
    let machine = mapped(256);
    let mut trial = Trial::new(&machine, &[200, 28, 201, 30, 31]);
    trial.prepare();
    machine.touch(131);
    assert_eq!(trial.check(), [false, false, false, false, true]);
    let [pagemap, _, reads, writes] = machine.calls.get();
    assert_eq!((pagemap, reads, writes), (10, 2, 2), "frames 128..192 and 256..320");
}

#[test]
fn a_large_folio_is_seen_through_its_head() {
    let machine = Machine::new(2048);
    machine.make_folio(512, 512);
    machine.map(0, 512 + 17);
    machine.map(1, 512 + 300);
    machine.map(2, 512);
    let mut trial = Trial::new(&machine, &[0, 1, 2]);
    machine.touch(700);
    trial.prepare();
    assert_eq!(machine.marked(), [512]);
    assert_eq!(trial.check(), [false; 3], "marks of tails are ignored and would read as accessed");
    trial.prepare();
    machine.touch(1023);
    assert_eq!(trial.check(), [true; 3], "any byte of it");
}

#[test]
fn coming_is_an_access_and_going_is_none() {
    let machine = mapped(3);
    machine.set_entry(1, 0);
    machine.set_entry(2, Entry::SWAPPED | 77 << 5);
    let mut trial = Trial::new(&machine, &[0, 1, 2]);
    trial.prepare();
    machine.set_entry(0, Entry::SWAPPED | 99 << 5);
    machine.map(1, 300);
    assert_eq!(trial.check(), [false, true, false]);
    assert_eq!(trial.watch.toll().missed, 0);
}

#[test]
fn what_cannot_be_known_is_missed_and_counted() {
    let machine = mapped(5);
    machine.set_on_lru(100, false);
    let mut trial = Trial::new(&machine, &[0, 1, 2, 3]);
    trial.prepare();
    machine.map(1, 400);
    machine.touch(102);
    machine.set_on_lru(102, false);
    machine.touch(103);
    assert_eq!(trial.check(), [false, false, false, true], "off list, migrated, isolated, used");
    let toll = trial.watch.toll();
    assert_eq!(toll.missed, 3);
    assert!(!toll.why.is_empty());
    assert_eq!(trial.watch.toll(), Toll::default(), "since the last call");
}

#[test]
fn a_kernel_that_does_nothing_does_not_make_everything_hot() {
    let machine = mapped(2);
    machine.ignores_marks.set(true);
    let mut trial = Trial::new(&machine, &[0, 1]);
    trial.prepare();
    machine.touch(100);
    assert_eq!(trial.check(), [false, false]);
    let toll = trial.watch.toll();
    assert_eq!((toll.missed, toll.why), (2, "the kernel did not mark pages idle"));
}

#[test]
fn frames_past_the_end_of_memory_are_missed() {
    let machine = mapped(1);
    machine.map(0, 1 << 20);
    let mut trial = Trial::new(&machine, &[0]);
    trial.prepare();
    assert_eq!(trial.check(), [false]);
    assert_eq!(trial.watch.toll().missed, 1);
}

#[test]
fn the_last_word_of_a_machine_that_does_not_fill_it_is_seen_through_the_flags() {
    let machine = Machine::new(100);
    machine.map(0, 70);
    machine.map(1, 99);
    let mut trial = Trial::new(&machine, &[0, 1]);
    trial.prepare();
    machine.touch(99);
    assert_eq!(trial.check(), [false, true]);
    assert_eq!(trial.watch.toll().missed, 0);
}

#[test]
fn hidden_frame_numbers_are_refused_with_what_is_needed() {
    let machine = mapped(1);
    machine.map(0, 0);
    let mut trial = Trial::new(&machine, &[0]);
    let error = trial.watch.prepare(&trial.addresses).unwrap_err();
    assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
    assert!(trial.watch.check(&trial.addresses, &mut [false]).is_err(), "nothing was prepared");
}

#[test]
fn an_address_space_that_is_gone_tells_exec_from_exit() {
    let (dir, proc) = root();
    let machine = mapped(1);
    let mut watch = machine.watch(&proc);
    watch.prepare(&[0]).unwrap();
    machine.end_address_space();
    assert!(matches!(watch.check(&[0], &mut [false]), Err(WatchError::Gone)));
    put(dir.path(), "5/maps", "1000-2000 r-xp 0 0:0 0 /bin/other\n");
    assert!(matches!(watch.prepare(&[0]), Err(WatchError::Replaced)));
}

#[test]
fn exact_looks_are_refused_not_answered_with_nothing() {
    let mut watch = mapped(1).watch(&ProcRoot::new("/nonexistent"));
    assert!(watch.look(&mut Vec::new()).is_err());
}

/// Folios of any orders, each at a multiple of its size as the page allocator makes them.
fn folios() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec(0..10_u32, 1..20).prop_map(|orders| {
        let mut position = 0_usize;
        orders
            .iter()
            .map(|order| {
                let count = 1 << order;
                let head = position.next_multiple_of(count);
                position = head + count;
                (head, count)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_head_of_every_frame_is_found(folios in folios(), picks: Vec<prop::sample::Index>) {
        let machine = Machine::new(folios.last().map_or(0, |(head, count)| head + count));
        for (head, count) in &folios {
            machine.make_folio(*head, *count);
        }
        let frames = machine.frames();
        let all = folios.last().map_or(0, |(head, count)| head + count);
        for frame in picks.iter().map(|pick| pick.index(all)) {
            let (head, _) = frames.head(frame as u64).unwrap();
            prop_assert_eq!(head, machine.head_of(frame) as u64);
        }
    }

    /// Whatever is touched between marking and checking: a page is accessed when its folio was.
    #[test]
    fn every_answer_is_the_truth(
        folios in folios(),
        pages in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        touched in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let all = folios.last().map_or(0, |(head, count)| head + count);
        let machine = Machine::new(all.max(64));
        for (head, count) in &folios {
            machine.make_folio(*head, *count);
        }
        let frames: Vec<usize> = pages.iter().map(|pick| 1 + pick.index(all.max(2) - 1)).collect();
        for (page, frame) in frames.iter().enumerate() {
            machine.map(page, *frame as u64);
        }
        let numbers: Vec<u64> = (0..frames.len() as u64).collect();
        let mut trial = Trial::new(&machine, &numbers);
        trial.prepare();
        let touched: Vec<usize> = touched.iter().map(|pick| pick.index(all)).collect();
        for frame in &touched {
            machine.touch(*frame);
        }
        let heads: Vec<usize> = touched.iter().map(|frame| machine.head_of(*frame)).collect();
        let truth: Vec<bool> =
            frames.iter().map(|frame| heads.contains(&machine.head_of(*frame))).collect();
        prop_assert_eq!(trial.check(), truth);
        prop_assert_eq!(trial.watch.toll().missed, 0);
    }
}
