//! The patterns that monitors are judged by, as workload files (`docs/WORKLOADS.md`).
//!
//! A page that is touched every `p` is touched in the share `min(1, s / p)` of sampling intervals of
//! length `s`: with `s` = 5 ms, every 2 ms is rate 1, every 8 ms 0.63, every 16 ms 0.31, and so on. No rate
//! lies at 0.5, where "hot" begins. All patterns are cut into phases of 128 ms, a multiple of
//! every period: the truth tells of each phase whether the generator kept its pace, so that a stall spoils
//! one window and not the whole run.

use std::fmt::Write as _;

/// Length of a phase, milliseconds.
pub const PHASE_MS: u32 = 128;

/// What a monitor is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// One word.
    pub name: &'static str,
    /// What it is like, for people.
    pub what: &'static str,
    /// The access pattern does not change.
    pub stationary: bool,
    /// Statements about areas.
    areas: &'static str,
    /// One after the other: accesses, and for how many phases they last.
    stages: Vec<(String, u32)>,
}

impl Pattern {
    /// The workload file.
    pub fn text(&self) -> String {
        let mut text = format!("# {}: {}\n{}", self.name, self.what, self.areas);
        for (index, (accesses, phases)) in self.stages.iter().enumerate() {
            for _ in 0..*phases {
                // Writing to a string cannot fail.
                let _written = write!(text, "phase stage{index} {PHASE_MS}ms\n{accesses}");
            }
        }
        text
    }

    /// How long it runs, milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.stages.iter().map(|stage| u64::from(stage.1) * u64::from(PHASE_MS)).sum()
    }
}

fn steady(name: &'static str, what: &'static str, areas: &'static str, accesses: &str) -> Pattern {
    // 2 s to find out, 4 s to be judged, and a little for the recorder to begin.
    let stages = vec![(accesses.to_owned(), 48)];
    Pattern { name, what, stationary: true, areas, stages }
}

fn moving(
    name: &'static str,
    what: &'static str,
    areas: &'static str,
    stages: impl IntoIterator<Item = String>,
) -> Pattern {
    // 2.2 s each: even exact looks once a second have one that lies within it.
    let stages = stages.into_iter().map(|accesses| (accesses, 17)).collect();
    Pattern { name, what, stationary: false, areas, stages }
}

fn hot(area: &str, start: u32, end: u32) -> String {
    format!("  write {area} {start}M..{end}M random every 2ms\n")
}

/// All patterns.
pub fn all() -> Vec<Pattern> {
    let islands = (0..8).map(|island| {
        let kind = if island % 2 == 0 { "write" } else { "read" };
        let start = 6 + island * 24 + island % 3;
        format!("  {kind} sea {start}M..{}M random every 2ms\n", start + 2)
    });
    let sparse = (0..16).map(|chunk| {
        let start = 100 + chunk * 512 + (chunk * 37) % 200;
        format!("  write space {start}M..{}M every 4ms\n", start + 5)
    });
    vec![
        steady(
            "uniform",
            "all of 32 MiB at rate 1",
            "area all 32M\n",
            "  write all random every 2ms\n",
        ),
        steady(
            "span",
            "16 MiB at rate 1 in the middle of 192 MiB that are idle",
            "area field 192M\n",
            &hot("field", 80, 96),
        ),
        steady(
            "islands",
            "eight islands of 2 MiB at rate 1, four written and four read, in 192 MiB that are idle",
            "area sea 192M\n",
            &islands.collect::<String>(),
        ),
        steady(
            "two-level",
            "8 MiB at rate 1, 64 MiB at 0.16, 120 MiB idle",
            "area all 192M\n",
            "  write all 40M..48M random every 2ms\n  write all 80M..144M random every 32ms\n",
        ),
        steady(
            "zipf",
            "bands whose rate halves when their rank doubles: 8 MiB at rate 1, 8 MiB at 0.63, 16 MiB at 0.31, \
             32 MiB at 0.16, 64 MiB at 0.08, 64 MiB idle",
            "area all 192M\n",
            "  write all 0..8M random every 2ms\n  write all 8M..16M random every 8ms\n  \
             write all 16M..32M random every 16ms\n  write all 32M..64M random every 32ms\n  \
             write all 64M..128M random every 64ms\n",
        ),
        steady(
            "huge",
            "as span, on transparent huge pages",
            "area field 192M thp\n",
            &hot("field", 80, 96),
        ),
        steady(
            "sparse",
            "1 % of 8 GiB at rate 1, in sixteen pieces of 5 MiB; the rest is not even populated",
            "area space 8G lazy\n",
            &sparse.collect::<String>(),
        ),
        moving(
            "stairs",
            "four areas of 16 MiB, at rate 1 one after the other, 2.2 s each",
            "area a 16M\narea b 16M\narea c 16M\narea d 16M\n",
            ["a", "b", "c", "d"].map(|area| hot(area, 0, 16)),
        ),
        moving(
            "zigzag",
            "16 MiB of 96 MiB at rate 1, one place further every 2.2 s, up and down again",
            "area field 96M\n",
            [0, 1, 2, 1, 0].map(|place| hot("field", place * 16, place * 16 + 16)),
        ),
        moving(
            "walk",
            "16 MiB of 128 MiB at rate 1, 6 MiB up or down every 2.2 s",
            "area field 128M\n",
            [8, 9, 8, 7, 6].map(|place| hot("field", place * 6, place * 6 + 16)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_record::workload::spec::{Pace, Spec};

    fn specs() -> Vec<(Pattern, Spec)> {
        all().into_iter().map(|p| (p.clone(), Spec::parse(&p.text()).unwrap())).collect()
    }

    #[test]
    fn accesses_of_a_phase_share_no_page_and_fit_into_it() {
        for (pattern, spec) in specs() {
            for phase in &spec.phases {
                let mut ranges = Vec::new();
                for access in &phase.accesses {
                    let Pace::Every(period) = access.pace else {
                        panic!("{}: an access without a period", pattern.name);
                    };
                    assert!(phase.duration_ns.is_multiple_of(period), "{}", pattern.name);
                    ranges.push((access.area, access.start, access.end));
                }
                ranges.sort_unstable();
                for pair in ranges.windows(2) {
                    let apart = pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1;
                    assert!(apart, "{}: {pair:?}", pattern.name);
                }
            }
        }
    }

    #[test]
    fn the_generator_stays_light() {
        for (pattern, spec) in specs() {
            for phase in &spec.phases {
                let rate = phase.accesses.iter().map(|access| match access.pace {
                    Pace::Every(period) => {
                        (access.end - access.start) / 4096 * 1_000_000_000 / period
                    }
                    _ => u64::MAX,
                });
                assert!(rate.sum::<u64>() <= 5_500_000, "{}", pattern.name);
            }
        }
    }

    #[test]
    fn a_stationary_pattern_has_one_stage_and_a_moving_one_several() {
        for pattern in all() {
            assert_eq!(pattern.stages.len() == 1, pattern.stationary, "{}", pattern.name);
            let runs = pattern.duration_ms();
            assert!((6_000..12_000).contains(&runs), "{}: {runs} ms", pattern.name);
        }
    }

    #[test]
    fn walls_between_steps_are_where_the_text_says() {
        let walk = all().into_iter().find(|pattern| pattern.name == "walk").unwrap();
        let spec = Spec::parse(&walk.text()).unwrap();
        let mut places: Vec<u64> = spec.phases.iter().map(|p| p.accesses[0].start >> 20).collect();
        places.dedup();
        assert_eq!(places, [48, 54, 48, 42, 36]);
    }
}
