#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

use super::*;
use crate::host::monotonic_ns;
use crate::sys::private_mount::private_mount;
use std::path::PathBuf;

/// The id of a tracepoint of this machine; a printed reason where it cannot be had.
fn id(event: &str) -> Option<u32> {
    let mount = private_mount(c"tracefs");
    let path = match &mount {
        Ok(mount) => PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())),
        Err(_) => PathBuf::from("/sys/kernel/tracing"),
    };
    match std::fs::read_to_string(path.join("events").join(event).join("id")) {
        Ok(id) => Some(id.trim().parse().unwrap()),
        Err(error) => {
            println!("SKIP: no {event} here: {error}");
            None
        }
    }
}

fn ring(ids: &[u32], at: Where, bytes: usize) -> Option<PerfRing> {
    match PerfRing::open(ids, at, bytes) {
        Ok(ring) => Some(ring),
        Err(error) => {
            let may = nix::unistd::geteuid().is_root();
            assert!(!may || error.errno == Errno::EPERM || error.errno == Errno::EACCES, "{error}");
            println!("SKIP: {error}");
            None
        }
    }
}

fn samples(ring: &mut PerfRing) -> Vec<(u64, i32, Vec<u8>)> {
    let mut samples = Vec::new();
    let _continue = ring.drain(|record| {
        match record {
            Record::Sample(sample) => {
                samples.push((sample.time_ns, sample.tid, sample.raw.to_vec()));
            }
            other => panic!("{other:?}"),
        }
        ControlFlow::<()>::Continue(())
    });
    samples
}

/// Sleeps, so that the thread is switched out and its timer is started.
fn sleep_a_little() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

#[test]
fn events_of_this_thread_come_with_its_number_and_the_monotonic_clock() {
    let (Some(switch), Some(timer)) = (id("sched/sched_switch"), id("timer/hrtimer_start")) else {
        return;
    };
    let own = nix::unistd::gettid();
    let Some(mut ring) = ring(&[switch, timer], Where::Thread(own.as_raw()), 1 << 16) else {
        return;
    };
    let before = monotonic_ns();
    (0..20).for_each(|_| sleep_a_little());
    let after = monotonic_ns();
    let seen = samples(&mut ring);
    let kind = |raw: &[u8]| u32::from(u16::from_ne_bytes([raw[0], raw[1]]));
    for id in [switch, timer] {
        assert!(seen.iter().filter(|(.., raw)| kind(raw) == id).count() >= 20, "{id} {seen:?}");
    }
    assert!(
        seen.iter().all(|(time, tid, _)| (before..=after).contains(time) && *tid == own.as_raw())
    );
    // Two events, one ring, and still the order in which things happened.
    assert!(seen.is_sorted_by_key(|(time, ..)| *time));
    assert_eq!(ring.lost(), Some(0));
}

#[test]
fn what_does_not_fit_is_counted_and_told_and_reading_goes_on() {
    let Some(switch) = id("sched/sched_switch") else { return };
    let own = nix::unistd::gettid().as_raw();
    let Some(mut ring) = ring(&[switch], Where::Thread(own), 1) else { return };
    // Each record takes at least 40 bytes, so this is more than the ring holds.
    (0..ring.capacity() / 40 + 200)
        .for_each(|_| std::thread::sleep(std::time::Duration::from_micros(1)));
    let Some(counted) = ring.lost() else { return };
    assert!(counted >= 200, "{counted}");
    let (mut seen, mut told) = (0_usize, 0);
    let mut drain = |ring: &mut PerfRing| {
        let _continue = ring.drain(|record| {
            match record {
                Record::Sample(_) => seen += 1,
                Record::Lost { time_ns, count } => {
                    assert!(time_ns.is_some());
                    told += count;
                }
                other @ (Record::Damaged { .. } | Record::Task(_)) => panic!("{other:?}"),
            }
            ControlFlow::<()>::Continue(())
        });
    };
    drain(&mut ring);
    sleep_a_little();
    drain(&mut ring);
    assert!(told >= counted, "{told} of {counted}");
    assert!(seen > 100);
}

#[test]
fn processes_and_threads_are_told_when_they_begin_and_end() {
    // Its start is told on the CPU of its parent, its end on its own: all are listened to.
    let mut rings = Vec::new();
    for cpu in 0.. {
        match PerfRing::tasks(cpu, 1 << 18) {
            Ok(ring) => rings.push(ring),
            // No such CPU: off, or beyond what the kernel is made for.
            Err(OpenError { errno: Errno::ENODEV | Errno::EINVAL, .. }) if cpu > 0 => break,
            Err(error) => {
                let may = nix::unistd::geteuid().is_root();
                assert!(!may || [Errno::EPERM, Errno::EACCES].contains(&error.errno), "{error}");
                assert_eq!(error.step, Step::OpenTasks);
                println!("SKIP: {error}");
                return;
            }
        }
    }
    let before = monotonic_ns();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    child.wait().unwrap();
    let tid = std::thread::spawn(|| nix::unistd::gettid().as_raw()).join().unwrap();
    let after = monotonic_ns();
    let mut tasks = Vec::new();
    for ring in &mut rings {
        let _continue = ring.drain(|record| {
            if let Record::Task(task) = record {
                tasks.push(task);
            }
            ControlFlow::<()>::Continue(())
        });
    }
    let me = i32::try_from(std::process::id()).unwrap();
    let find = |tid, began| {
        let found = tasks.iter().find(|task| (task.tid, task.began) == (tid, began));
        *found.unwrap_or_else(|| panic!("{tid} {began}: {tasks:?}"))
    };
    let (born, gone) = (find(pid, true), find(pid, false));
    assert_eq!((born.pid, born.parent, gone.pid), (pid, me, pid));
    assert!(before <= born.time_ns && born.time_ns < gone.time_ns && gone.time_ns <= after);
    assert_eq!((find(tid, true).pid, find(tid, true).parent), (me, me));
}

#[test]
fn a_filter_keeps_others_out() {
    let Some(switch) = id("sched/sched_switch") else { return };
    let own = nix::unistd::gettid().as_raw();
    let Some(mut ring) = ring(&[switch], Where::Thread(own), 1 << 16) else { return };
    assert_eq!(ring.filter(c"no_such_field == 1"), Err(Errno::EINVAL));
    ring.filter(c"common_pid == 2147483647").unwrap();
    let _before = samples(&mut ring);
    (0..5).for_each(|_| sleep_a_little());
    assert_eq!(samples(&mut ring), []);
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let Some(switch) = id("sched/sched_switch") else { return };
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let error = |ids: &[u32], at| PerfRing::open(ids, at, 0).map(drop).unwrap_err();
    let missing = error(&[switch], Where::Thread(i32::MAX));
    assert_eq!(missing, OpenError { step: Step::Open(switch), errno: Errno::ESRCH });
    assert_eq!(error(&[switch], Where::Cpu(1 << 20)).step, Step::Open(switch));
    let own = Where::Thread(nix::unistd::gettid().as_raw());
    let unknown = error(&[switch, u32::MAX], own);
    assert_eq!(unknown, OpenError { step: Step::Open(u32::MAX), errno: Errno::EINVAL });
    assert!(PerfRing::open(&[], own, 0).is_err());
}

#[test]
fn less_memory_is_asked_for_until_it_is_granted_or_useless() {
    let attempt = |granted: usize, errno: Errno| {
        let mut asked = Vec::new();
        let result = shrink(64, 16, |size| {
            asked.push(size);
            if size <= granted { Ok(size) } else { Err(errno) }
        });
        (result, asked)
    };
    assert_eq!(attempt(64, Errno::EPERM), (Ok(64), vec![64]));
    assert_eq!(attempt(20, Errno::EPERM), (Ok(16), vec![64, 32, 16]));
    assert_eq!(attempt(0, Errno::ENOMEM), (Err(Errno::ENOMEM), vec![64, 32, 16]));
    assert_eq!(attempt(32, Errno::ENODEV), (Err(Errno::ENODEV), vec![64]));
}
