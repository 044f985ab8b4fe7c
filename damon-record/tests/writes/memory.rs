//! Which writes are seen, in which kinds of memory, and what becomes of changing mappings.

use crate::common::{
    NOTHING, PAGE, Target, assert_unregistered, attach, indices, looked, mappings, registered,
    skipped, wait_until,
};
use damon_record::backend::{Watch, WatchError};
use std::io::Write;

/// Populated memory: written pages are reported exactly, read ones not, and only once.
fn exact_in(command: &str, populate: &str) {
    let mut target = Target::start();
    let base = target.map(command);
    target.ask(populate);
    let mut watch = target.attach();
    assert_eq!(looked(&mut watch, base, 64), NOTHING, "the first look only arms");
    target.ask("write 3 5 7");
    target.ask("read 1 30 2");
    assert_eq!(looked(&mut watch, base, 64), [3, 10, 17, 24, 31], "{command}");
    assert_eq!(looked(&mut watch, base, 64), NOTHING, "{command}: nothing new");
    target.ask("write 10 2");
    assert_eq!(looked(&mut watch, base, 64), [10, 11], "{command}: armed again");
    drop(watch);
    target.assert_unharmed();
    assert_unregistered(target.pid());
}

#[test]
fn anonymous_memory() {
    if !skipped() {
        exact_in("map anonymous 64", "write 0 64");
    }
}

#[test]
fn shared_memory() {
    if !skipped() {
        exact_in("map shared 64", "write 0 64");
    }
}

#[test]
fn files_mapped_privately_and_shared() {
    if skipped() {
        return;
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![1; 64 * 4096]).unwrap();
    file.flush().unwrap();
    let path = file.path().display();
    exact_in(&format!("map shared-file 64 {path}"), "write 0 64");
    exact_in(&format!("map shared-file 64 {path}"), "read 0 64");
    exact_in(&format!("map private-file 64 {path}"), "write 0 64");
    exact_in(&format!("map private-file 64 {path}"), "read 0 64");
}

#[test]
fn memory_that_was_only_read_before() {
    if !skipped() {
        exact_in("map anonymous 64", "read 0 64");
    }
}

#[test]
fn locked_memory() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("lock");
    let mut watch = target.attach();
    looked(&mut watch, base, 64);
    target.ask("write 9 2");
    assert_eq!(looked(&mut watch, base, 64), [9, 10]);
    drop(watch);
    target.assert_unharmed();
}

#[test]
fn a_huge_page_is_split_by_its_first_write_and_reported_to_the_page() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map huge 2048");
    target.ask("write 0 2048");
    let huge = |pid: i32| {
        std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .unwrap()
            .lines()
            .any(|line| line.starts_with("AnonHugePages:") && !line.contains(" 0 kB"))
    };
    if !huge(target.pid()) {
        println!("SKIP: no transparent huge pages to be had now");
        return;
    }
    let mut watch = target.attach();
    looked(&mut watch, base, 2048);
    target.ask("write 5 1");
    target.ask("write 1100 2");
    let seen = looked(&mut watch, base, 2048);
    assert_eq!(seen, [5, 1100, 1101]);
}

#[test]
fn reserved_huge_pages_count_as_a_whole() {
    if skipped() {
        return;
    }
    let info = std::fs::read_to_string("/proc/meminfo").unwrap();
    if !info.lines().any(|line| line == "Hugepagesize:       2048 kB")
        || info.lines().any(|line| line.starts_with("HugePages_Free:") && line.ends_with(" 0"))
    {
        println!("SKIP: no free huge page of 2 MiB; `sysctl vm.nr_hugepages=4` gives some");
        return;
    }
    let mut target = Target::start();
    let base = target.map("map reserved 512");
    target.ask("write 0 512");
    let mut watch = target.attach();
    let page = [base + 100 * PAGE];
    let mut accessed = [true];
    watch.prepare(&page).unwrap();
    watch.check(&page, &mut accessed).unwrap();
    assert_eq!(accessed, [false]);
    target.ask("write 300 1");
    watch.check(&page, &mut accessed).unwrap();
    assert_eq!(accessed, [true], "another part of the same page");
    looked(&mut watch, base, 512);
    assert_eq!(looked(&mut watch, base, 512), NOTHING);
    target.ask("write 5 1");
    assert_eq!(looked(&mut watch, base, 512).len(), 512);
}

#[test]
fn sampling_sees_the_sampled_page_only() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut watch = target.attach();
    let addresses: Vec<u64> = [0, 7, 8, 63].map(|page| base + page * PAGE + 123).to_vec();
    let mut accessed = [true; 4];
    watch.prepare(&addresses).unwrap();
    watch.check(&addresses, &mut accessed).unwrap();
    assert_eq!(accessed, [false; 4], "nothing happened");
    watch.prepare(&addresses).unwrap();
    target.ask("write 7 1");
    target.ask("write 9 1");
    target.ask("read 0 64");
    watch.check(&addresses, &mut accessed).unwrap();
    assert_eq!(accessed, [false, true, false, false]);
    watch.prepare(&addresses).unwrap();
    watch.check(&addresses, &mut accessed).unwrap();
    assert_eq!(accessed, [false; 4], "prepare forgets");
}

#[test]
fn sampling_what_is_not_there_reads_as_not_accessed() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 16");
    target.ask("write 0 16");
    let mut watch = target.attach();
    let code = mappings(target.pid())
        .into_iter()
        .find(|mapping| mapping.permissions.execute)
        .unwrap()
        .start;
    let addresses = [0, 4096, code, u64::MAX, 1 << 63, base];
    let mut accessed = [true; 6];
    watch.prepare(&addresses).unwrap();
    target.ask("write 0 1");
    watch.check(&addresses, &mut accessed).unwrap();
    assert_eq!(accessed, [false, false, false, false, false, true]);
    let error = watch.check(&addresses[..2], &mut accessed[..2]).unwrap_err();
    assert!(error.to_string().contains("2 pages were checked, 6 were prepared"), "{error}");
}

#[test]
fn writes_by_the_kernel_are_seen_and_do_not_fail() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 256");
    target.ask("write 0 256");
    let mut watch = target.attach();
    looked(&mut watch, base, 256);
    assert_eq!(target.ask("fill 0 256"), (256 * PAGE).to_string(), "no EFAULT, nothing short");
    assert_eq!(looked(&mut watch, base, 256).len(), 256);
}

#[test]
fn memory_given_back_counts_only_when_used_again() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 1024");
    target.ask("write 0 1024");
    let mut watch = target.attach();
    looked(&mut watch, base, 1024);
    target.ask("dontneed 0 1024");
    assert_eq!(looked(&mut watch, base, 1024), NOTHING);
    target.ask("write 100 3");
    assert_eq!(looked(&mut watch, base, 1024), [100, 101, 102]);
}

#[test]
fn more_ranges_than_fit_into_one_call() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 8192");
    target.ask("write 0 8192");
    let mut watch = target.attach();
    looked(&mut watch, base, 8192);
    target.ask("write 0 4096 2");
    let expected: Vec<u64> = (0..4096).map(|page| page * 2).collect();
    assert_eq!(looked(&mut watch, base, 8192), expected);
    target.ask("write 1 512 2");
    assert_eq!(looked(&mut watch, base, 8192).len(), 512, "exactly as many as fit");
    assert_eq!(looked(&mut watch, base, 8192), NOTHING);
}

#[test]
fn new_mappings_heap_growth_and_moves_are_followed() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let old = target.map("map anonymous 16");
    target.ask("write 0 16");
    let mut watch = target.attach();
    looked(&mut watch, old, 16);

    let moved = target.map("move");
    watch.mappings_changed(&mappings(target.pid())).unwrap();
    looked(&mut watch, moved, 32);
    target.ask("write 20 2");
    assert_eq!(looked(&mut watch, moved, 32), [20, 21], "after mremap");

    let new = target.map("map anonymous 16");
    target.ask("write 4 1");
    assert_eq!(looked(&mut watch, new, 16), NOTHING, "not known yet");
    watch.mappings_changed(&mappings(target.pid())).unwrap();
    assert_eq!(looked(&mut watch, new, 16), [4], "written since it was mapped");

    let heap = target.map("brk 65536");
    watch.mappings_changed(&mappings(target.pid())).unwrap();
    assert_eq!(looked(&mut watch, heap.next_multiple_of(PAGE), 15).len(), 15);
    assert_eq!(looked(&mut watch, heap.next_multiple_of(PAGE), 15).len(), 0);
}

#[test]
fn a_hole_and_fresh_memory_under_an_old_address() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut watch = target.attach();
    looked(&mut watch, base, 64);
    target.ask("unmap 20 10");
    target.ask("write 0 1");
    target.ask("write 40 1");
    assert_eq!(looked(&mut watch, base, 64), [0, 40], "across a hole");

    target.ask("replace 40 10");
    target.ask("write 45 1");
    target.ask("write 60 1");
    let seen = looked(&mut watch, base, 64);
    assert!(seen.contains(&60), "nothing beside fresh memory is missed: {seen:?}");
    target.ask("write 46 1");
    assert!(looked(&mut watch, base, 64).contains(&46), "fresh memory is registered by then");

    target.ask("replace 50 5");
    let address = [base + 52 * PAGE];
    let mut accessed = [false];
    watch.mappings_changed(&mappings(target.pid())).unwrap();
    watch.prepare(&address).unwrap();
    target.ask("write 52 1");
    watch.check(&address, &mut accessed).unwrap();
    assert_eq!(accessed, [true], "sampling registers what the kernel has forgotten");
}

#[test]
fn ranges_of_the_targets_own_userfaultfd_are_left_alone() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    target.ask("claim 16 32");
    let mut watch = attach(target.pid());
    assert_eq!(watch.coverage().refused, 32 * PAGE);
    looked(&mut watch, base, 64);
    target.ask("write 0 64");
    let seen = looked(&mut watch, base, 64);
    assert_eq!(seen.len(), 32, "{seen:?}");
    assert!(!seen.iter().any(|page| (16..48).contains(page)));
}

#[test]
fn a_forked_child_is_not_watched_until_it_is_attached_itself() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut watch = target.attach();
    looked(&mut watch, base, 64);
    let child: i32 = target.ask("fork").parse().unwrap();
    assert_eq!(registered(child), 0);
    target.ask("write 30 1");
    let seen = looked(&mut watch, base, 64);
    assert!(seen.contains(&30) && seen.len() < 8, "the parent's own writes only: {seen:?}");
    let mut of_child = attach(child);
    looked(&mut of_child, base, 64);
    let mut seen = Vec::new();
    wait_until("the child's eight pages", || {
        seen.extend(looked(&mut of_child, base, 64));
        seen.len() >= 8
    });
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn exec_is_told_from_exit() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut watch = target.attach();
    looked(&mut watch, base, 64);
    target.send("exec");
    assert_eq!(target.receive(), "ready");
    let mut touched = Vec::new();
    assert!(matches!(watch.look(&mut touched), Err(WatchError::Replaced)));
    assert!(matches!(watch.prepare(&[base]), Err(WatchError::Replaced)));
    assert!(matches!(watch.mappings_changed(&mappings(target.pid())), Err(WatchError::Replaced)));

    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut watch = target.attach();
    looked(&mut watch, base, 64);
    target.ask("write 1 1");
    assert_eq!(looked(&mut watch, base, 64), [1], "attached again");
    let before = mappings(target.pid());
    target.send("exit");
    target.wait();
    assert!(matches!(watch.look(&mut touched), Err(WatchError::Gone)));
    assert!(matches!(watch.prepare(&[base]), Err(WatchError::Gone)));
    let mut changed = before;
    for mapping in &mut changed {
        mapping.end += PAGE;
    }
    assert!(matches!(watch.mappings_changed(&changed), Err(WatchError::Gone)));
}

#[test]
fn a_killed_target_is_gone_before_it_is_reaped() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 65536");
    target.ask("write 0 65536");
    let mut watch = target.attach();
    looked(&mut watch, base, 64);
    target.kill();
    let mut touched = Vec::new();
    let error = loop {
        match watch.look(&mut touched) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WatchError::Gone), "{error}");
    assert_eq!(indices(&touched, base, 65536), NOTHING);
}
