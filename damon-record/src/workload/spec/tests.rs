use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn a_file_with_everything() {
    let spec = Spec::parse(
        "# All at once\n\
         gap 64K\n\
         \n\
         area heap 16M            # anonymous\n\
         area big 4M thp lazy\n\
         area table 1M shared align 1M nothp\n\
         area log 8K file\n\
         phase busy 1.5s\n\
         write heap\n\
         \tread table 25%..50% random every 20ms\n\
         read heap 1M..2M stride 64K rate 10K/s\n\
         write log max weight 3 sequential\n\
         phase idle 20ms\n",
    )
    .unwrap();
    assert_eq!(spec.title, "All at once");
    assert_eq!(spec.gap, 65536);
    let kinds: Vec<_> = spec.areas.iter().map(|a| (a.kind, a.align)).collect();
    assert_eq!(
        kinds,
        [(Kind::Anon, 2 * MIB), (Kind::Anon, 2 * MIB), (Kind::Shared, MIB), (Kind::File, 4096)]
    );
    assert!(spec.areas[1].huge && spec.areas[1].lazy && !spec.areas[0].huge);
    assert_eq!(spec.phases[1].accesses, []);
    assert_eq!(spec.phases[1].duration_ns, 20_000_000);
    let [first, second, third, fourth] = spec.phases[0].accesses.as_slice() else {
        panic!("{:?}", spec.phases[0]);
    };
    assert_eq!(
        (first.start, first.end, first.write, first.pace),
        (0, 16 * MIB, true, Pace::Every(DEFAULT_PERIOD_NS))
    );
    assert_eq!(
        (second.area, second.start, second.end, second.pattern),
        (2, MIB / 4, MIB / 2, Pattern::Random)
    );
    assert!(!second.write);
    assert_eq!(third.stride, Some(65536));
    assert_eq!(third.pace, Pace::Rate(10_000));
    assert_eq!(fourth.pace, Pace::Max(3));
}

#[test]
fn open_ranges_and_rounded_per_cents() {
    let spec = Spec::parse(
        "area a 100K\nphase p 1s\nread a ..33%\nread a 33%..\nread a 0..4K\nread a 8K..",
    )
    .unwrap();
    let ranges: Vec<_> =
        spec.phases[0].accesses.iter().map(|access| (access.start, access.end)).collect();
    assert_eq!(ranges, [(0, 32768), (32768, 102_400), (0, 4096), (8192, 102_400)]);
}

#[test]
fn every_mistake_is_named_with_its_line() {
    for (text, line, words) in [
        ("", 1, "no phase"),
        ("area a 4K\n# only\n", 2, "no phase"),
        ("phase p 1s\nfoo", 2, "`foo` starts no line"),
        ("area", 1, "a name is missing after `area`"),
        ("area a", 1, "a size is missing after `a`"),
        ("area a/b 4K", 1, "`a/b` is no name"),
        ("area a 5000", 1, "`5000` is no size"),
        ("area a 0K", 1, "`0K` is no size"),
        ("area a 6000K\narea b 5K", 2, "`5K` is no size"),
        ("area a 4K\narea a 4K", 2, "second area called `a`"),
        ("area a 4K anon shared", 1, "`shared` says again"),
        ("area a 4K thp nothp", 1, "`nothp` says again"),
        ("area a 4K huge", 1, "`huge` is not understood"),
        ("area a 4K align 3K", 1, "`3K` is no alignment"),
        ("area a 4K align", 1, "a size is missing after `align`"),
        ("area a 16000G\narea b 1000G", 2, "larger than 16 TiB"),
        ("gap 3K", 1, "`3K` is no size"),
        ("gap 4K 4K", 1, "`4K` is not understood"),
        ("phase p", 1, "a duration is missing"),
        ("phase p 0s", 1, "`0s` is no duration"),
        ("phase p 5", 1, "`5` is no duration"),
        ("phase p 1s\narea a 4K", 2, "move all areas above"),
        ("area a 4K\nread a", 2, "outside a phase"),
        ("phase p 1s\nread b", 2, "no area called `b`"),
        ("area a 4K\nphase p 1s\nread a 4K..8K", 3, "ends beyond the 4096"),
        ("area a 4K\nphase p 1s\nread a 1%..2%", 3, "is empty"),
        ("area a 4K\nphase p 1s\nread a x..y", 3, "`x..y` is no range"),
        ("area a 4K\nphase p 1s\nread a 0..150%", 3, "is no range"),
        ("area a 4K\nphase p 1s\nread a every 1us", 3, "from 100us to 1h"),
        ("area a 4K\nphase p 1s\nread a every fast", 3, "`fast` is no duration"),
        ("area a 4K\nphase p 1s\nread a rate 0", 3, "`0` is no rate"),
        ("area a 4K\nphase p 1s\nread a max rate 5", 3, "`rate` says again"),
        ("area a 4K\nphase p 1s\nread a weight 2", 3, "only together with max"),
        ("area a 4K\nphase p 1s\nread a max weight 0", 3, "`0` is no weight"),
        ("area a 4K\nphase p 1s\nread a stride 100", 3, "`100` is no stride"),
        ("area a 4K\nphase p 1s\nread a backwards", 3, "`backwards` is not"),
    ] {
        let error = Spec::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        let message = error.to_string();
        assert!(message.contains(words), "{text:?}: {message}");
    }
    let long = "#".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(Spec::parse(&long).unwrap_err().problem, Problem::TooLong);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "area ", "gap ", "phase ", "read ", "write ", "a ", "4K ", "100G ", "1s ", "\n",
            "0.. ", "..4K ", "10%..20% ", "every ", "4ms ", "rate ", "max ", "weight ", "9 ",
            "stride ", "align ", "..", "% ", "é ", "# ", "99999999999G ", "random ",
        ]), 0..60)) {
        let _either = Spec::parse(&words.concat());
    }
}
