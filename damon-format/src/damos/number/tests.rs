use super::*;
use proptest::prelude::*;

#[test]
fn sizes_with_all_units() {
    for (text, bytes) in [
        ("0", 0),
        ("4096", 4096),
        ("8,192", 8192),
        ("4 K", 4096),
        ("4KiB", 4096),
        ("4 KB", 4096),
        ("1.5 G", 3 << 29),
        ("0.5 B", 0),
        ("1 E", 1 << 60),
        ("1e3", 1000),
        ("2.5E2 B", 250),
        (" 7 MiB ", 7 << 20),
        ("18,446,744,073,709,551,615", u64::MAX),
        ("max", u64::MAX),
        ("min", 0),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in
        ["", "K", "-1", "4 k", "4 KiBs", "1..2", "16 E", "1,0.0,1", "0x10", "maximum", "1e", "é"]
    {
        assert!(size(text).is_err(), "{text}");
    }
    assert!(size("4 k").unwrap_err().contains("KiB"));
    assert!(size("20 E").unwrap_err().contains("max"));
}

#[test]
fn addresses_in_both_bases() {
    assert_eq!(address("0x7f00"), Ok(0x7f00));
    assert_eq!(address("4,096"), Ok(4096));
    assert_eq!(address("4 K"), Ok(4096));
    assert!(address("0x").is_err() && address("7f00").is_err());
}

#[test]
fn times_in_groups_and_in_the_fields_own_unit() {
    for (text, us) in [
        ("5 ms", 5_000),
        ("5ms", 5_000),
        ("2 m", 120_000_000),
        ("1 h 2 m 3.5 s", 3_723_500_000),
        ("1h2m", 3_720_000_000),
        ("1,000 us", 1_000),
        ("1500 ns", 1),
        ("1 d", 86_400_000_000),
        ("100000", 100_000),
        ("0 ns", 0),
        ("max", u64::MAX),
        ("min", 0),
        ("18446744073709551615000000", u64::MAX),
    ] {
        assert_eq!(time(text, TimeUnit::Micros), Ok(us), "{text}");
    }
    assert_eq!(time("10", TimeUnit::Millis), Ok(10));
    assert_eq!(time("1 s", TimeUnit::Millis), Ok(1_000));
    for text in ["", "s", "5 sec", "1 h 2", "1 2 s", "-1 s", "5 ms x", "5 parsecs"] {
        assert!(time(text, TimeUnit::Micros).is_err(), "{text}");
    }
}

#[test]
fn frequencies_are_per_cent_unless_they_say_samples() {
    assert_eq!(frequency("5 %"), Ok(Frequency::percent(5)));
    assert_eq!(frequency("5"), Ok(Frequency::percent(5)));
    assert_eq!(frequency("0.5%"), Ok(Frequency::Percent(Frequency::PARTS_PER_PERCENT / 2)));
    assert_eq!(frequency("1,000 samples"), Ok(Frequency::Samples(1_000)));
    assert_eq!(frequency("max"), Ok(Frequency::Max));
    assert_eq!(frequency("18,446,744,073,709,551,615 %"), Ok(Frequency::Max));
    for text in ["", "%", "5 hz", "1.5 samples", "-1 %", "5 % %"] {
        assert!(frequency(text).is_err(), "{text}");
    }
}

#[test]
fn ages_are_times_unless_they_say_aggregations() {
    assert_eq!(age("2 m"), Ok(Age::Micros(120_000_000)));
    assert_eq!(age("1000"), Ok(Age::Micros(1_000)));
    assert_eq!(age("1,200 aggr_intervals"), Ok(Age::Aggregations(1_200)));
    assert_eq!(age("max"), Ok(Age::Max));
    assert_eq!(age("18446744073709551615000"), Ok(Age::Max));
    for text in ["", "2 aggr", "1.5 aggr_intervals", "soon"] {
        assert!(age(text).is_err(), "{text}");
    }
}

#[test]
fn shares_are_per_cent_or_the_fields_own_unit() {
    assert_eq!(share("40 %", 1_000), Ok(400));
    assert_eq!(share("0.1%", 1_000), Ok(1));
    assert_eq!(share("400", 1_000), Ok(400));
    assert_eq!(share("99.5 %", 10_000), Ok(9_950));
    assert!(share("4 permil", 1_000).is_err() && share("", 1_000).is_err());
}

proptest! {
    #[test]
    fn what_is_shown_reads_back(value: u64, shift in 0_u32..64) {
        let value = value >> shift;
        prop_assert_eq!(size(&show_size(value)), Ok(value));
        prop_assert_eq!(share(&show_percent(value, 1_000), 1_000), Ok(value));
    }

    #[test]
    fn shown_times_read_back(value in 0..u64::MAX / 1_000_000) {
        for unit in [TimeUnit::Micros, TimeUnit::Millis] {
            prop_assert_eq!(time(&show_time(value, unit), unit), Ok(value));
        }
    }

    #[test]
    fn no_text_panics(text in "[0-9a-zA-Z.,% +-]{0,24}") {
        drop((size(&text), address(&text), time(&text, TimeUnit::Micros), frequency(&text)));
        drop((age(&text), share(&text, 1_000), count(&text)));
    }
}
