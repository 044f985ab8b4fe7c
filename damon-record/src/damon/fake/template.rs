//! What each new directory holds, in each release.

use super::node::{Child, Dir, File, Kind, Node};
use std::collections::BTreeMap;

/// Makes directories as a release has them.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) release: (u32, u32),
    pub(super) operations: &'a [String],
    pub(super) next_id: &'a mut u64,
}

const ULONG: Kind = Kind::Number(u64::MAX);
const UINT: Kind = Kind::Number(u32::MAX as u64);

impl Builder<'_> {
    fn since(&self, major: u32, minor: u32) -> bool {
        self.release >= (major, minor)
    }

    fn dir(&mut self, files: Vec<(&str, Kind, &str)>, dirs: Vec<(&str, Dir)>) -> Dir {
        *self.next_id += 1;
        let mut entries: BTreeMap<String, Node> = files
            .into_iter()
            .map(|(name, kind, value)| {
                (name.to_owned(), Node::File(File { value: value.to_owned(), kind }))
            })
            .collect();
        entries.extend(dirs.into_iter().map(|(name, dir)| (name.to_owned(), Node::Dir(dir))));
        Dir { id: *self.next_id, entries }
    }

    pub(super) fn root(&mut self) -> Dir {
        let count = Kind::Count(Child::Kdamond, u64::from(u32::MAX));
        let kdamonds = self.dir(vec![("nr_kdamonds", count, "0")], vec![]);
        self.dir(vec![], vec![("kdamonds", kdamonds)])
    }

    pub(super) fn child(&mut self, child: Child) -> Dir {
        match child {
            Child::Kdamond => self.kdamond(),
            Child::Context => self.context(),
            Child::Target => self.target(),
            Child::Region => self.dir(vec![("start", ULONG, "0"), ("end", ULONG, "0")], vec![]),
            Child::Scheme => self.scheme(),
            Child::Goal => self.goal(),
            Child::Filter => self.filter(&[&["addr", "target"], OPS_FILTERS]),
            Child::CoreFilter => self.filter(&[&["addr", "target"]]),
            Child::OpsFilter => self.filter(&[OPS_FILTERS]),
            Child::Dest => self.dir(vec![("id", UINT, "0"), ("weight", UINT, "0")], vec![]),
        }
    }

    fn kdamond(&mut self) -> Dir {
        let contexts = self.counted("nr_contexts", Child::Context, 1);
        let mut files = vec![("state", Kind::State, "off"), ("pid", Kind::Pid, "-1")];
        if self.since(6, 17) {
            files.push(("refresh_ms", UINT, "0"));
        }
        self.dir(files, vec![("contexts", contexts)])
    }

    fn counted(&mut self, name: &str, child: Child, most: u64) -> Dir {
        self.dir(vec![(name, Kind::Count(child, most), "0")], vec![])
    }

    fn context(&mut self) -> Dir {
        let many = u64::from(u32::MAX);
        let targets = self.counted("nr_targets", Child::Target, many);
        let schemes = self.counted("nr_schemes", Child::Scheme, many);
        let mut goal = Vec::new();
        if self.since(6, 15) {
            let names = ["access_bp", "aggrs", "min_sample_us", "max_sample_us"];
            let files = names.map(|name| (name, ULONG, "0")).to_vec();
            goal.push(("intervals_goal", self.dir(files, vec![])));
        }
        let intervals = self.dir(
            vec![
                ("sample_us", ULONG, "5000"),
                ("aggr_us", ULONG, "100000"),
                ("update_us", ULONG, "60000000"),
            ],
            goal,
        );
        let nr_regions = self.dir(vec![("min", ULONG, "10"), ("max", ULONG, "1000")], vec![]);
        let attrs = self.dir(vec![], vec![("intervals", intervals), ("nr_regions", nr_regions)]);
        let built = self.operations.join("\n");
        let mut files = vec![("operations", words(&["vaddr", "fvaddr", "paddr"]), "vaddr")];
        if self.since(5, 19) {
            files.push(("avail_operations", Kind::ReadOnly, built.as_str()));
        }
        if self.since(6, 18) {
            files.push(("addr_unit", ULONG, "1"));
        }
        let dirs = vec![("monitoring_attrs", attrs), ("targets", targets), ("schemes", schemes)];
        self.dir(files, dirs)
    }

    fn target(&mut self) -> Dir {
        let regions = self.counted("nr_regions", Child::Region, u64::from(u32::MAX));
        let mut files = vec![("pid_target", Kind::Signed, "0")];
        if self.since(6, 19) {
            files.push(("obsolete_target", Kind::Flag, "N"));
        }
        self.dir(files, vec![("regions", regions)])
    }

    fn range(&mut self, kind: &Kind) -> Dir {
        self.dir(vec![("min", kind.clone(), "0"), ("max", kind.clone(), "0")], vec![])
    }

    fn scheme(&mut self) -> Dir {
        let many = u64::from(u32::MAX);
        let (sz, nr_accesses, age) = (self.range(&ULONG), self.range(&UINT), self.range(&UINT));
        let pattern = vec![("sz", sz), ("nr_accesses", nr_accesses), ("age", age)];
        let pattern = self.dir(vec![], pattern);
        let quotas = self.quotas();
        let watermarks = self.dir(
            vec![
                ("metric", words(&["none", "free_mem_rate"]), "none"),
                ("interval_us", ULONG, "0"),
                ("high", ULONG, "0"),
                ("mid", ULONG, "0"),
                ("low", ULONG, "0"),
            ],
            vec![],
        );
        let stats = self.stats();
        let mut actions = vec!["willneed", "cold", "pageout", "hugepage", "nohugepage", "stat"];
        if self.since(6, 0) {
            actions.extend(["lru_prio", "lru_deprio"]);
        }
        let mut files = Vec::new();
        if self.since(6, 7) {
            files.push(("apply_interval_us", ULONG, "0"));
        }
        if self.since(6, 11) {
            actions.extend(["migrate_hot", "migrate_cold"]);
            files.push(("target_nid", Kind::Signed, "-1"));
        }
        files.push(("action", words(&actions), "stat"));
        let mut dirs = vec![
            ("access_pattern", pattern),
            ("quotas", quotas),
            ("watermarks", watermarks),
            ("stats", stats),
        ];
        if self.since(6, 2) {
            let total =
                if self.since(6, 6) { vec![("total_bytes", Kind::ReadOnly, "0")] } else { vec![] };
            dirs.push(("tried_regions", self.dir(total, vec![])));
        }
        if self.since(6, 3) {
            dirs.push(("filters", self.counted("nr_filters", Child::Filter, many)));
        }
        if self.since(6, 15) {
            dirs.push(("core_filters", self.counted("nr_filters", Child::CoreFilter, many)));
            dirs.push(("ops_filters", self.counted("nr_filters", Child::OpsFilter, many)));
        }
        if self.since(6, 17) {
            dirs.push(("dests", self.counted("nr_dests", Child::Dest, many)));
        }
        self.dir(files, dirs)
    }

    pub(super) fn tried_region(next_id: &mut u64, values: &[String; 4]) -> Dir {
        *next_id += 1;
        let names = ["start", "end", "nr_accesses", "age"];
        let file = |(name, value): (&str, &String)| {
            (name.to_owned(), Node::File(File { value: value.clone(), kind: Kind::ReadOnly }))
        };
        Dir { id: *next_id, entries: names.into_iter().zip(values).map(file).collect() }
    }

    fn stats(&mut self) -> Dir {
        let mut names = vec!["nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds"];
        if self.since(6, 14) {
            names.push("sz_ops_filter_passed");
        }
        if self.since(7, 0) {
            names.push("nr_snapshots");
        }
        let mut files: Vec<_> = names.into_iter().map(|name| (name, Kind::ReadOnly, "0")).collect();
        if self.since(7, 0) {
            files.push(("max_nr_snapshots", ULONG, "0"));
        }
        self.dir(files, vec![])
    }

    fn quotas(&mut self) -> Dir {
        let weights = ["sz_permil", "nr_accesses_permil", "age_permil"];
        let weights = self.dir(weights.map(|name| (name, UINT, "0")).to_vec(), vec![]);
        let mut dirs = vec![("weights", weights)];
        let mut files =
            vec![("ms", ULONG, "0"), ("bytes", ULONG, "0"), ("reset_interval_ms", ULONG, "0")];
        if self.since(6, 8) {
            dirs.push(("goals", self.counted("nr_goals", Child::Goal, u64::from(u32::MAX))));
        }
        if self.since(6, 9) {
            files.push(("effective_bytes", Kind::ReadOnly, "0"));
        }
        if self.since(7, 1) {
            files.push(("goal_tuner", words(&["consist", "temporal"]), "consist"));
        }
        if self.since(7, 2) {
            files.push(("fail_charge_num", UINT, "0"));
            files.push(("fail_charge_denom", UINT, "0"));
        }
        self.dir(files, dirs)
    }

    fn goal(&mut self) -> Dir {
        let mut files = vec![("target_value", ULONG, "0"), ("current_value", ULONG, "0")];
        let mut metrics = vec!["user_input", "some_mem_psi_us"];
        if self.since(6, 16) {
            metrics.extend(["node_mem_used_bp", "node_mem_free_bp"]);
            files.push(("nid", Kind::Signed, "0"));
        }
        if self.since(6, 19) {
            metrics.extend(["node_memcg_used_bp", "node_memcg_free_bp"]);
            files.push(("path", Kind::Path, ""));
        }
        if self.since(7, 0) {
            metrics.extend(["active_mem_bp", "inactive_mem_bp"]);
        }
        if self.since(6, 9) {
            files.push(("target_metric", words(&metrics), "user_input"));
        }
        self.dir(files, vec![])
    }

    fn filter(&mut self, types: &[&[&str]]) -> Dir {
        let known: Vec<&str> = types
            .iter()
            .flat_map(|types| types.iter().copied())
            .filter(|name| match *name {
                "anon" | "memcg" => true,
                "addr" | "target" => self.since(6, 6),
                "young" => self.since(6, 10),
                _ => self.since(6, 15),
            })
            .collect();
        let first = known.first().copied().unwrap_or("anon");
        let mut files = vec![
            ("type", words(&known), first),
            ("matching", Kind::Flag, "N"),
            ("memcg_path", Kind::Path, ""),
        ];
        if self.since(6, 6) {
            files.extend([
                ("addr_start", ULONG, "0"),
                ("addr_end", ULONG, "0"),
                ("damon_target_idx", UINT, "0"),
            ]);
        }
        if self.since(6, 14) {
            files.push(("allow", Kind::Flag, "N"));
        }
        if self.since(6, 15) {
            files.extend([("min", ULONG, "0"), ("max", ULONG, "0")]);
        }
        self.dir(files, vec![])
    }
}

const OPS_FILTERS: &[&str] = &["anon", "memcg", "young", "hugepage_size", "unmapped", "active"];

fn words(words: &[&str]) -> Kind {
    Kind::Word(words.iter().map(|word| (*word).to_owned()).collect())
}
