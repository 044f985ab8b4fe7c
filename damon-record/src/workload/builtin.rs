//! The workloads that come with the program.

/// Name and text of each, `testdata/workloads/NAME.txt`.
pub const ALL: &[(&str, &str)] = &[
    ("stairs", include_str!("../../../testdata/workloads/stairs.txt")),
    ("zigzag", include_str!("../../../testdata/workloads/zigzag.txt")),
    ("islands", include_str!("../../../testdata/workloads/islands.txt")),
    ("two-level", include_str!("../../../testdata/workloads/two-level.txt")),
    ("shifting", include_str!("../../../testdata/workloads/shifting.txt")),
];

/// The text of the built-in workload `name`.
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Pace, Spec};
    use super::*;

    fn spec(name: &str) -> Spec {
        Spec::parse(text(name).unwrap()).unwrap()
    }

    #[test]
    fn all_are_modest_and_explain_themselves() {
        for (name, text) in ALL {
            let spec = Spec::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!spec.title.is_empty(), "{name}");
            let bytes: u64 = spec.areas.iter().map(|area| area.size).sum();
            assert!(bytes <= 256 << 20, "{name}: {bytes}");
            let time: u64 = spec.phases.iter().map(|phase| phase.duration_ns).sum();
            assert!((9_000_000_000..=11_000_000_000).contains(&time), "{name}: {time}");
            for access in spec.phases.iter().flat_map(|phase| &phase.accesses) {
                let Pace::Every(period) = access.pace else {
                    panic!("{name} has an access without a period");
                };
                assert!((access.end - access.start) / 4096 * 1_000_000_000 / period <= 3_000_000);
            }
        }
    }

    #[test]
    fn stairs_climb_one_whole_area_at_a_time() {
        let spec = spec("stairs");
        assert_eq!(spec.areas.len(), spec.phases.len());
        for (index, phase) in spec.phases.iter().enumerate() {
            let [access] = phase.accesses.as_slice() else {
                panic!("{phase:?}");
            };
            assert_eq!((access.area, access.write), (index, true));
            assert_eq!((access.start, access.end), (0, spec.areas[index].size));
        }
    }

    #[test]
    fn zigzag_goes_up_and_down_in_adjacent_pieces() {
        let starts: Vec<_> = spec("zigzag")
            .phases
            .iter()
            .map(|phase| (phase.accesses[0].start, phase.accesses[0].end))
            .collect();
        for pair in starts.windows(2) {
            assert!(pair[0].1 == pair[1].0 || pair[1].1 == pair[0].0, "{pair:?}");
        }
        let turns = starts.windows(3).filter(|w| w[0] == w[2]).count();
        assert!(turns >= 2, "{turns}");
    }

    #[test]
    fn shifting_keeps_its_size_and_overlaps_itself() {
        let phases = spec("shifting").phases;
        for pair in phases.windows(2) {
            let (a, b) = (&pair[0].accesses[0], &pair[1].accesses[0]);
            assert_eq!(a.end - a.start, b.end - b.start);
            assert!(a.start < b.start && b.start < a.end);
        }
    }
}
