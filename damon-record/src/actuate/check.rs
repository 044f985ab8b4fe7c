//! What can be done from user space, and what it will be.

use crate::sys::madvise::Advice;
use crate::units::show_duration;
use damon_format::damos::kernel::{self, Action, Bounds, GoalMetric};
use damon_format::damos::{Scheme, Schemes};
use damon_format::{AccessKind, Attrs, Sampling};
use std::time::Duration;

/// The advice that does `action`; `None` where there is none, because there is nothing to do.
pub(super) fn advice(action: Action) -> Result<Option<Advice>, ()> {
    match action {
        Action::Willneed => Ok(Some(Advice::Willneed)),
        Action::Cold => Ok(Some(Advice::Cold)),
        Action::Pageout => Ok(Some(Advice::Pageout)),
        Action::Collapse => Ok(Some(Advice::Collapse)),
        Action::Stat => Ok(None),
        Action::Hugepage
        | Action::Nohugepage
        | Action::LruPrio
        | Action::LruDeprio
        | Action::MigrateHot
        | Action::MigrateCold => Err(()),
    }
}

/// Whether all of `schemes` can be applied from user space. Returns the advice needed for them, without
/// repetitions; otherwise one sentence for each thing that cannot be done.
pub fn check(schemes: &Schemes) -> Result<Vec<Advice>, Vec<String>> {
    let (mut needed, mut problems) = (Vec::new(), Vec::new());
    for (index, scheme) in schemes.as_slice().iter().enumerate() {
        match advice(scheme.action) {
            Ok(Some(advice)) if !needed.contains(&advice) => needed.push(advice),
            Ok(_) => {}
            Err(()) => problems.push(format!(
                "schemes[{index}].action: {} cannot be done to another process from user space; possible \
                 are willneed, cold, pageout, collapse and stat, the others need the kernel's DAMON \
                 (--backend damon)",
                scheme.action
            )),
        }
        let filters = scheme.filters.iter().enumerate();
        problems.extend(filters.filter(|(_, filter)| !filter.kind.is_core()).map(|(at, filter)| {
            format!(
                "schemes[{index}].filters[{at}]: {} filters look at single pages, which only the kernel's \
                 DAMON can; possible are addr and target",
                filter.kind.keyword()
            )
        }));
        let goals = scheme.quota.goals.iter().enumerate();
        problems.extend(goals.filter(|(_, goal)| !is_readable(goal.metric)).map(|(at, goal)| {
            format!(
                "schemes[{index}].quotas.goals[{at}]: {} is known to the kernel's DAMON only; possible are \
                 user_input, some_mem_psi_us, node_mem_used_bp, node_mem_free_bp, active_mem_bp and \
                 inactive_mem_bp",
                goal.metric
            )
        }));
    }
    if problems.is_empty() { Ok(needed) } else { Err(problems) }
}

fn is_readable(metric: GoalMetric) -> bool {
    match metric {
        GoalMetric::UserInput
        | GoalMetric::SomeMemPsiUs
        | GoalMetric::NodeMemUsedBp
        | GoalMetric::NodeMemFreeBp
        | GoalMetric::ActiveMemBp
        | GoalMetric::InactiveMemBp => true,
        GoalMetric::NodeMemcgUsedBp
        | GoalMetric::NodeMemcgFreeBp
        | GoalMetric::NodeEligibleMemBp => false,
    }
}

/// What the effect of schemes depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// What the backend sees.
    pub access: AccessKind,
    /// Swap space of the machine in bytes; `None` where it is not known.
    pub swap: Option<u64>,
}

/// What `schemes` will do with these intervals: one line for each, in words and in the kernel's units, then one
/// for each thing that may surprise.
pub fn explain(
    schemes: &Schemes,
    attrs: &Attrs,
    now: Circumstances,
) -> Result<Vec<String>, String> {
    let translated = schemes.to_kernel(attrs).map_err(|error| error.to_string())?;
    let both = || schemes.as_slice().iter().zip(&translated).enumerate();
    let mut lines: Vec<String> =
        both().map(|(n, (human, exact))| line(n, human, exact, attrs)).collect();
    for (index, (human, exact)) in both() {
        let mut warn = |text: &str| lines.push(format!("scheme {index}: {text}"));
        if now.access == AccessKind::Write && !exact.nr_accesses.contains(&u32::MAX) {
            warn(
                "this backend sees writes only: what is read all the time counts as never accessed",
            );
        }
        if (1..attrs.aggr_us).contains(&human.apply_interval_us) {
            warn("user space applies schemes at aggregations, not more often");
        }
    }
    lines.extend(in_vain(schemes, now.swap));
    lines.extend(vanished_bounds(schemes, attrs)?);
    Ok(lines)
}

/// One line for each scheme that can do little on a machine with so many bytes of swap, whoever applies it.
pub fn in_vain(schemes: &Schemes, swap: Option<u64>) -> Vec<String> {
    let all = schemes.as_slice().iter().enumerate();
    let vain = all.filter(|(_, scheme)| scheme.action == Action::Pageout && swap == Some(0));
    vain.map(|(index, _)| {
        format!(
            "scheme {index}: this machine has no swap: only pages of files leave, and the kernel counts the \
             others as applied all the same"
        )
    })
    .collect()
}

/// One line for each bound of which these intervals leave nothing, whoever applies the schemes.
pub fn vanished_bounds(schemes: &Schemes, attrs: &Attrs) -> Result<Vec<String>, String> {
    let translated = schemes.to_kernel(attrs).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for (index, (human, exact)) in schemes.as_slice().iter().zip(&translated).enumerate() {
        let any = Scheme::new(human.action);
        if exact.nr_accesses.min == 0 && human.nr_accesses.min != any.nr_accesses.min {
            lines.push(format!(
                "scheme {index}: its least access frequency is less than one sample: memory never accessed matches, too"
            ));
        }
        if exact.age.min == 0 && human.age.min != any.age.min {
            lines.push(format!(
                "scheme {index}: its least age is less than one aggregation: memory of any age matches"
            ));
        }
    }
    Ok(lines)
}

fn line(index: usize, human: &Scheme, exact: &kernel::Scheme, attrs: &Attrs) -> String {
    let most = Sampling::from_intervals(attrs.sample_us, attrs.aggr_us).max_nr_accesses;
    let how = match advice(exact.action) {
        Ok(Some(advice)) => format!("by process_madvise({})", advice.name()),
        Ok(None) => "only counted".to_owned(),
        Err(()) => "not possible from user space".to_owned(),
    };
    format!(
        "scheme {index}: {}; {how}; that is {} of {most} samples, ages of {} aggregations of {}",
        human.describe(),
        bounds(exact.nr_accesses),
        bounds(exact.age),
        show_duration(Duration::from_micros(attrs.aggr_us)),
    )
}

fn bounds(bounds: Bounds<u32>) -> String {
    match (bounds.min, bounds.max) {
        (0, u32::MAX) => "any".to_owned(),
        (min, u32::MAX) => format!("{min} or more"),
        (min, max) if min == max => min.to_string(),
        (min, max) => format!("{min} to {max}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRS: Attrs = Attrs {
        sample_us: 5_000,
        aggr_us: 100_000,
        update_us: 1_000_000,
        min_nr_regions: 10,
        max_nr_regions: 1000,
    };

    const SEES_ALL: Circumstances =
        Circumstances { access: AccessKind::ReadWrite, swap: Some(1 << 30) };

    fn schemes(json: &str) -> Schemes {
        Schemes::from_json(json).unwrap()
    }

    #[test]
    fn what_user_space_can_do_needs_advice() {
        let possible = schemes(
            r#"[{"action": "pageout"}, {"action": "stat"}, {"action": "cold"}, {"action": "pageout"},
                {"action": "willneed", "filters": [{"filter_type": "target", "damon_target_idx": 0}]},
                {"action": "collapse"}]"#,
        );
        let needed = [Advice::Pageout, Advice::Cold, Advice::Willneed, Advice::Collapse];
        assert_eq!(check(&possible), Ok(needed.to_vec()));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let impossible = schemes(
            r#"[{"action": "hugepage"}, {"action": "migrate_hot", "target_nid": 1},
                {"action": "cold", "filters": [{"filter_type": "target", "damon_target_idx": 0},
                                               {"filter_type": "young"}],
                 "quotas": {"reset_interval_ms": "1 s", "goals": [{"target_value": 5},
                   {"metric": "node_memcg_used_bp", "target_value": 5, "nid": 0, "memcg_path": "/a"}]}}]"#,
        );
        let problems = check(&impossible).unwrap_err();
        let beginnings = [
            "schemes[0].action: hugepage cannot",
            "schemes[1].action: migrate_hot cannot",
            "schemes[2].filters[1]: young filters look at single pages",
            "schemes[2].quotas.goals[1]: node_memcg_used_bp is known to the kernel's",
        ];
        assert_eq!(problems.len(), beginnings.len(), "{problems:?}");
        for (problem, beginning) in problems.iter().zip(beginnings) {
            assert!(problem.starts_with(beginning), "{problem}");
        }
    }

    #[test]
    fn every_action_is_either_possible_or_refused() {
        for action in Action::ALL {
            let one = Schemes::new(vec![Scheme::new(*action)]).unwrap();
            assert_eq!(check(&one).is_ok(), advice(*action).is_ok(), "{action}");
        }
    }

    #[test]
    fn schemes_are_explained_in_words_and_units() {
        let one = schemes(
            r#"[{"action": "pageout", "access_pattern": {"age": {"min": "2 m"},
                "nr_accesses": {"max": "0 %"}}}]"#,
        );
        assert_eq!(
            explain(&one, &ATTRS, SEES_ALL).unwrap(),
            [
                "scheme 0: pageout regions never accessed, unchanged for 2 m and more; at each aggregation; by \
              process_madvise(MADV_PAGEOUT); that is 0 of 20 samples, ages of 1200 or more aggregations of \
              100ms"
            ]
        );
        let poor = Circumstances { access: AccessKind::Write, swap: Some(0) };
        let lines = explain(&one, &ATTRS, poor).unwrap();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].contains("writes only") && lines[2].contains("no swap"), "{lines:?}");
        assert_eq!((in_vain(&one, Some(0)).len(), in_vain(&one, Some(1)).len()), (1, 0));
        assert!(in_vain(&schemes(r#"[{"action": "cold"}]"#), Some(0)).is_empty());
    }

    #[test]
    fn what_may_surprise_is_said() {
        let odd = schemes(
            r#"[{"action": "stat", "apply_interval_us": "50 ms", "access_pattern":
                {"age": {"min": "99 ms"}, "nr_accesses": {"min": "4 %"}}}]"#,
        );
        let lines = explain(&odd, &ATTRS, SEES_ALL).unwrap();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[1].contains("at aggregations"));
        assert!(lines[2].contains("less than one sample"));
        assert!(lines[3].contains("less than one aggregation"));
        let never = schemes(r#"[{"access_pattern": {"nr_accesses": {"min": "21 samples"}}}]"#);
        let error = explain(&never, &ATTRS, SEES_ALL).unwrap_err();
        assert!(error.starts_with("schemes[0].access_pattern.nr_accesses.min"), "{error}");
    }
}
