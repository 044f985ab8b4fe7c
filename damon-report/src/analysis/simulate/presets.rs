//! Schemes by name: what the kernel's modules do unless told otherwise.

/// A scheme list by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// The schemes in the form of docs/SCHEMES.md.
    pub json: &'static str,
}

/// All there are.
pub const PRESETS: [Preset; 4] = [
    Preset {
        name: "reclaim",
        about: "DAMON_RECLAIM's defaults: page out what was not accessed for 120 s, the coldest first, 128 MiB and \
                10 ms a second at most, while 20 % to 50 % of memory is free",
        json: r#"[{"action": "pageout",
            "access_pattern": {"sz_bytes": {"min": "4 KiB"}, "nr_accesses": {"max": "0 %"}, "age": {"min": "120 s"}},
            "quotas": {"time_ms": 10, "sz_bytes": "128 MiB", "reset_interval_ms": "1 s", "weights": {"age_permil": 1}},
            "watermarks": {"metric": "free_mem_rate", "interval_us": "5 s",
                "high_permil": 500, "mid_permil": 400, "low_permil": 200}}]"#,
    },
    Preset {
        name: "lru-sort",
        about: "DAMON_LRU_SORT's defaults: what is accessed in half of all samples to the front of the LRU lists, \
                what was not for 120 s to their end, 5 ms a second each, while 5 % to 20 % of memory is free",
        json: r#"[{"action": "lru_prio",
            "access_pattern": {"sz_bytes": {"min": "4 KiB"}, "nr_accesses": {"min": "50 %"}},
            "quotas": {"time_ms": 5, "reset_interval_ms": "1 s", "weights": {"nr_accesses_permil": 1}},
            "watermarks": {"metric": "free_mem_rate", "interval_us": "5 s",
                "high_permil": 200, "mid_permil": 150, "low_permil": 50}},
          {"action": "lru_deprio",
            "access_pattern": {"sz_bytes": {"min": "4 KiB"}, "nr_accesses": {"max": "0 %"}, "age": {"min": "120 s"}},
            "quotas": {"time_ms": 5, "reset_interval_ms": "1 s", "weights": {"age_permil": 1}},
            "watermarks": {"metric": "free_mem_rate", "interval_us": "5 s",
                "high_permil": 200, "mid_permil": 150, "low_permil": 50}}]"#,
    },
    Preset {
        name: "thp",
        about: "huge pages for regions of 2 MiB and more that are accessed in 5 % of all samples, none for those not \
                accessed for 7 s",
        json: r#"[{"action": "hugepage",
            "access_pattern": {"sz_bytes": {"min": "2 MiB"}, "nr_accesses": {"min": "5 %"}}},
          {"action": "nohugepage",
            "access_pattern": {"sz_bytes": {"min": "2 MiB"}, "nr_accesses": {"max": "0 %"}, "age": {"min": "7 s"}}}]"#,
    },
    Preset {
        name: "tier",
        about: "what is accessed to node 0, the hottest first, and what was not for 10 s to node 1, the coldest first, \
                200 MiB a second each; with --fast-tier as long as node 0 is neither full nor has room",
        json: r#"[{"action": "migrate_hot", "target_nid": 0,
            "access_pattern": {"nr_accesses": {"min": "5 %"}}, "apply_interval_us": "1 s",
            "quotas": {"sz_bytes": "200 MiB", "reset_interval_ms": "1 s",
                "weights": {"nr_accesses_permil": 1, "age_permil": 1}}},
          {"action": "migrate_cold", "target_nid": 1,
            "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "10 s"}}, "apply_interval_us": "1 s",
            "quotas": {"sz_bytes": "200 MiB", "reset_interval_ms": "1 s",
                "weights": {"nr_accesses_permil": 1, "age_permil": 1}}}]"#,
    },
];

/// `tier` for a fast tier of limited size: quotas are tuned by how full node 0 is (Linux 6.16), so that it is nearly full of
/// what is hottest. The targets are those of the kernel's example (`samples/damon/mtier.c`).
pub const TIER_OF_A_SIZE: &str = r#"[{"action": "migrate_hot", "target_nid": 0,
    "access_pattern": {"nr_accesses": {"min": "5 %"}}, "apply_interval_us": "1 s",
    "quotas": {"sz_bytes": "200 MiB", "reset_interval_ms": "1 s",
        "weights": {"nr_accesses_permil": 1, "age_permil": 1},
        "goals": [{"metric": "node_mem_used_bp", "nid": 0, "target_value": 9970}]}},
  {"action": "migrate_cold", "target_nid": 1,
    "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "10 s"}}, "apply_interval_us": "1 s",
    "quotas": {"sz_bytes": "200 MiB", "reset_interval_ms": "1 s",
        "weights": {"nr_accesses_permil": 1, "age_permil": 1},
        "goals": [{"metric": "node_mem_free_bp", "nid": 0, "target_value": 50}]}}]"#;

/// The preset of this name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::damos::Schemes;
    use damon_format::damos::kernel::Action;

    #[test]
    fn presets_are_schemes() {
        let actions: Vec<Vec<Action>> = PRESETS
            .iter()
            .map(|preset| {
                let schemes = Schemes::from_json(preset.json).unwrap();
                schemes.as_slice().iter().map(|scheme| scheme.action).collect()
            })
            .collect();
        assert_eq!(
            actions,
            [
                vec![Action::Pageout],
                vec![Action::LruPrio, Action::LruDeprio],
                vec![Action::Hugepage, Action::Nohugepage],
                vec![Action::MigrateHot, Action::MigrateCold],
            ]
        );
        assert_eq!(preset("thp").map(|preset| preset.name), Some("thp"));
        assert_eq!(preset("THP"), None);
        let sized = Schemes::from_json(TIER_OF_A_SIZE).unwrap();
        assert!(sized.as_slice().iter().all(|scheme| scheme.quota.goals.len() == 1));
    }
}
