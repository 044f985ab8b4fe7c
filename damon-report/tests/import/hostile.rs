//! Inputs that are damaged, or made to do harm.

use crate::collect::{at, snapshots};
use crate::damo_text::{compress, text};
use damon_format::Sampling;
use damon_report::import::damo_json::Pace;
use damon_report::import::{ImportError, ImportOptions, Position};

fn whole() -> Vec<u8> {
    let usual = Some(Sampling::from_intervals(5_000, 100_000));
    text(usual, "0", snapshots(&[2, 0, 3])).into_bytes()
}

fn refused(bytes: &[u8], compressed: bool) -> String {
    let (_, result) = at(Pace::default(), bytes, compressed, &ImportOptions::default());
    result.unwrap_err().to_string()
}

#[test]
fn a_cut_is_always_noticed() {
    let text = whole();
    for end in 0..text.len() {
        let (_, result) = at(Pace::default(), &text[..end], false, &ImportOptions::default());
        let Err(ImportError::Unexpected { position: Position::Byte(place), .. }) = result else {
            panic!("cut at {end}: {result:?}");
        };
        assert!(place <= end as u64, "{place} of {end}");
    }
    let deflated = compress(&text);
    for end in 0..deflated.len() {
        let error = refused(&deflated[..end], true);
        assert!(error.contains("expected"), "cut at {end}: {error}");
    }
}

#[test]
fn no_flipped_bit_does_harm() {
    let text = whole();
    let deflated = compress(&text);
    for (bytes, compressed) in [(text, false), (deflated, true)] {
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            let (_, result) = at(Pace::default(), &flipped, compressed, &ImportOptions::default());
            assert!(!compressed || place < 2 || result.is_err(), "the checksum finds {place}");
        }
    }
}

#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("", "byte 0: expected [, the start of a list of records, found nothing more"),
        ("[]", "damo's json without a snapshot"),
        ("[{}]", "damo's json without a snapshot"),
        ("{}", "byte 0: expected [, the start of a list of records, found \"{}\""),
        ("[1]", "byte 1: expected {, the start of a record, found \"1]\""),
        (
            "[{\"snapshots\": 5}]",
            "byte 15: expected [, the start of a list of snapshots, found \"5}]\"",
        ),
        ("[{\"a\" 5}]", "byte 6: expected a colon, found \"5}]\""),
        ("[{\"a\": 5,}]", "byte 9: expected a key in quotation marks, found \"}]\""),
        ("[{\"a\": [1, 2}]", "byte 12: expected a comma or ], found \"}]\""),
        ("[{\"target_id\": true}]", "byte 15: expected a number, found \"true}]\""),
        ("[{\"target_id\": \"x y\"}]", "byte 15: expected a number, found \"x y\""),
        ("[{\"target_id\": nil}]", "byte 15: expected a value, found \"nil}]\""),
        (
            "[{\"target_id\": 99999999999999999999}]",
            "byte 15: expected a number, found \"99999999999999999999\"",
        ),
        ("[{\"a\": \"\\x\"}]", "byte 8: expected an escaped character, found \"\\\\x\\\"}]\""),
        (
            "[{\"a\": \"\\ud8",
            "byte 8: expected four hexadecimal digits after \\u, found \"\\\\ud8\"",
        ),
        (
            "[{\"snapshots\": [{\"end_time\": 5, \"regions\": [{}]}]}]",
            "byte 46: expected start and end in the region before this place, found \"]}]}]\"",
        ),
        (
            "[{\"snapshots\": [{}]}]",
            "byte 18: expected end_time in the snapshot before this place, found \"]}]\"",
        ),
        (
            "[{\"snapshots\": [{\"end_time\": \"soon\"}]}]",
            "byte 29: expected a time (\"5000\", \"5 ms\", \"1 m 2 s\"), found \"soon\"",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text.as_bytes(), false), expected, "{text}");
    }
    assert!(refused(b"\x78\x9cgarbage", true).starts_with("byte "));
    assert_eq!(
        refused(&compress(b"[1]"), true),
        "byte 1 of the uncompressed text: expected {, the start of a record, found \"1]\""
    );
    let deep = "[".repeat(1000);
    assert!(
        refused(format!("[{{\"a\": {deep}").as_bytes(), false).contains("fewer lists and objects")
    );
    let not_utf8 = b"[{\"\xff\xfe\": \"\xff\", \"data_source\": \"\xff\"}]";
    assert_eq!(refused(not_utf8, false), "damo's json without a snapshot");
    assert!(refused(b"[\xff", false).ends_with("found \"\\xff\""));
}
