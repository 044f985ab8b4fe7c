//! A block of somebody else's writer whose checksum is right and in which an age is none.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::by_hand::{block_behind, golomb, indexed, section};
use common::made::open;
use common::program::{Ran, bench, run};
use common::{BEGIN, SECOND, started, writer};

/// A second by our writer, and a block of two snapshots with one region of 4 KiB each. Its age in the second one is a number less
/// than the predicted one, which is 1.
fn blocks(less: u64) -> Vec<u8> {
    let mut trace = writer(&common::info());
    trace.record(&started(0, 4711, "work")).unwrap();
    for snapshot in common::snapshots(0, 10) {
        trace.snapshot(&snapshot).unwrap();
    }
    let trace = trace.finish().unwrap();
    let heads = golomb((SECOND / 10) << 1, 6) + &golomb(1 << 1, 2) + &golomb(0, 6) + &golomb(0, 2);
    // The boundary stated in granules, counter and age as predicted; then the same region, whose age differs.
    let first = "1111".to_owned() + "00" + "1110" + &golomb(1, 8);
    let second = "1110".to_owned() + &golomb(2 * less - 2, 2);
    let sections = [section(0, 2, &(heads + &first + &second), 0)];
    block_behind(trace, BEGIN + SECOND, &sections)
}

/// With an index, which does not tell what is wrong.
fn recording(less: u64) -> Vec<u8> {
    let right = open(blocks(1));
    indexed(blocks(less), right.blocks().to_vec())
}

fn ran(less: u64, args: &[&str]) -> Ran {
    let (_directory, file) = bench(&recording(less));
    let args: Vec<&str> =
        args.iter().map(|arg| if *arg == "FILE" { &file } else { *arg }).collect();
    let mut ran = run(&args, "2");
    for text in [&mut ran.out, &mut ran.err] {
        *text = text.replace(&file, "FILE");
    }
    ran
}

#[test]
fn who_looks_at_ages_names_the_block_and_uses_what_is_before() {
    let schemes = tempfile::NamedTempFile::new().unwrap();
    let scheme = r#"[{"action": "pageout", "access_pattern": {"age": {"min": "100 ms"}}}]"#;
    std::fs::write(schemes.path(), scheme).unwrap();
    let schemes = schemes.path().to_str().unwrap();
    for args in [
        &["idle", "FILE"][..],
        &["regions", "FILE"],
        &["mappings", "FILE"],
        &["histogram", "FILE"],
        &["times", "FILE"],
        &["raw", "FILE"],
        &["simulate", "FILE", "--accept-write-only", "--schemes", schemes],
    ] {
        let (right, wrong) = (ran(1, args), ran(2, args));
        assert_eq!((right.status, wrong.status), (0, 0), "{args:?}: {}", wrong.err);
        let damage =
            |ran: &Ran| ran.err.contains("FILE: byte ") && ran.err.contains("violate the format");
        assert!(damage(&wrong), "{args:?}: {}", wrong.err);
        assert!(!right.err.contains("byte "), "{args:?}: {}", right.err);
        assert_ne!(wrong.out, right.out, "{args:?}: the last snapshot is missing");
    }
    assert_eq!([1, 2].map(|less| ran(less, &["verify", "FILE"]).status), [0, 4]);
}

#[test]
fn who_does_not_look_at_ages_has_nothing_to_complain_about() {
    for args in [&["wss", "FILE"][..], &["heatmap", "FILE"]] {
        let (right, wrong) = (ran(1, args), ran(2, args));
        assert_eq!((wrong.status, &wrong.err, &wrong.out), (0, &right.err, &right.out), "{args:?}");
        assert!(!wrong.err.contains("byte "), "{args:?}: {}", wrong.err);
    }
}
