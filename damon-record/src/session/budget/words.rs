//! What is said about decisions, on the console and in the recording.

use super::num::count;
use super::{AIM, Budget, Change, Model, Setting, Share, Why};
use crate::plan::{DEFAULT_MAX_REGIONS, Plan};
use crate::units::show_duration;
use std::fmt::Write as _;
use std::time::Duration;

/// Intervals beyond this many times a useful one deserve a word.
const FAR: u32 = 3;
const USEFUL_SAMPLE: Duration = Duration::from_millis(250);
const USEFUL_LOOK: Duration = Duration::from_secs(2);

impl Budget {
    /// What `setting` is, in words.
    pub(in crate::session) fn describe(&self, setting: Setting) -> String {
        let (sample, aggr) = (setting.intervals.sample, setting.intervals.aggr);
        let mut text = match self.model {
            Model::Sampled(_) => format!("sampling every {}", show_duration(sample)),
            Model::Exact(_) => format!("looking every {}", show_duration(sample)),
        };
        let _infallible = write!(text, ", aggregating over {}", show_duration(aggr));
        if matches!(self.model, Model::Sampled(_)) {
            let _infallible = write!(text, ", at most {} regions", setting.max_regions);
        }
        text
    }

    /// The reason that is recorded with `change`.
    pub(in crate::session) fn explain(&self, change: &Change, plan: &Plan) -> String {
        let budget = show_percent(self.ceiling);
        let share = show_share(change.share);
        let cause = match change.why {
            Why::Above => format!("recording costs {share}, above the budget of {budget}"),
            Why::Room => format!("recording costs {share}, well below the budget of {budget}"),
            Why::Foreseen => format!(
                "with {} regions recording would cost {share}, above the budget of {budget}",
                self.current.max_regions
            ),
        };
        let now = self.describe(change.setting);
        let asked = self.overrides(change.setting, plan);
        format!("{cause}: from here on {now}{asked}")
    }

    /// The decision before the first snapshot.
    pub(in crate::session) fn explain_beginning(&self, setting: Setting, plan: &Plan) -> String {
        let budget = show_percent(self.ceiling);
        let cost = self.describe_cost(setting);
        let now = self.describe(setting);
        let asked = self.overrides(setting, plan);
        format!("budget {budget} of a core: {cost}, hence {now}{asked}")
    }

    /// The same for those who have just been told how `setting` looks; nothing where that is all that was asked for.
    pub(in crate::session) fn explain_shortly(
        &self,
        setting: Setting,
        plan: &Plan,
    ) -> Option<String> {
        let budget = show_percent(self.ceiling);
        let cost = self.describe_cost(setting);
        let asked = self.overrides(setting, plan);
        (setting != self.asked)
            .then(|| format!("more would exceed the budget of {budget} of a core: {cost}{asked}"))
    }

    fn describe_cost(&self, setting: Setting) -> String {
        match &self.model {
            Model::Sampled(fit) => {
                let regions = setting.max_regions.min(self.floor());
                let cost = show_cost(fit.line().at(f64::from(regions)));
                format!("one round over {regions} regions costs about {cost}")
            }
            Model::Exact(fit) => format!("one look costs about {}", show_cost(fit.expected())),
        }
    }

    /// What the user has asked for and does not get.
    fn overrides(&self, setting: Setting, plan: &Plan) -> String {
        let mut missed = Vec::new();
        if (plan.sample.is_some() || plan.aggr.is_some())
            && setting.intervals.sample > self.asked.intervals.sample
        {
            missed.push(format!("every {}", show_duration(self.asked.intervals.sample)));
        }
        if plan.max_regions != DEFAULT_MAX_REGIONS && setting.max_regions < plan.max_regions {
            missed.push(format!("{} regions", plan.max_regions));
        }
        if missed.is_empty() {
            return String::new();
        }
        format!("; {} as asked for would cost more than the budget", missed.join(" and "))
    }

    /// A sentence for budgets that leave next to nothing at `setting`: what is possible, and what a
    /// larger one would allow.
    pub(in crate::session) fn warn(&self, setting: Setting) -> Option<String> {
        let (useful, cost) = match &self.model {
            Model::Sampled(fit) => (USEFUL_SAMPLE, fit.line().at(f64::from(self.floor()))),
            Model::Exact(fit) => (USEFUL_LOOK, fit.expected()),
        };
        let useful = useful.max(self.asked.intervals.sample);
        if setting.intervals.sample <= useful * FAR {
            return None;
        }
        let enough = (cost / useful.as_secs_f64() + self.background.get()) / AIM;
        Some(format!(
            "a budget of {} allows one look every {} and a snapshot every {} only; {} would allow one \
             look every {}",
            show_percent(self.ceiling),
            show_duration(setting.intervals.sample),
            show_duration(setting.intervals.aggr),
            show_percent(enough),
            show_duration(useful),
        ))
    }
}

/// What recording has cost so far.
pub(in crate::session) fn show_costs(
    elapsed: Duration,
    here: Duration,
    target: Duration,
) -> String {
    format!(
        "until {:.2} s: {:.1} ms of CPU time here, about {:.1} ms in the target",
        elapsed.as_secs_f64(),
        here.as_secs_f64() * 1e3,
        target.as_secs_f64() * 1e3
    )
}

fn show_share(share: Share) -> String {
    let all = show_percent(share.sum());
    if share.target < 0.0005 {
        return format!("{all} of a core");
    }
    let (here, there) = (show_percent(share.recorder), show_percent(share.target));
    format!("{all} of a core ({here} here, about {there} in the target)")
}

fn show_percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = if percent < 0.0995 {
        format!("{percent:.2}")
    } else if percent < 9.95 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.0}")
    };
    let short =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{}%", if short.is_empty() { "0" } else { short })
}

fn show_cost(seconds: f64) -> String {
    let us = count((seconds * 1e6).clamp(1.0, 1e12));
    let unit = 10_u64.pow(us.ilog10().saturating_sub(1));
    show_duration(Duration::from_micros((us + unit / 2) / unit * unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Intervals, Subject};
    use crate::session::budget::{Prior, RoundCost};

    const MS: Duration = Duration::from_millis(1);

    fn budget(percent: f64, prior: Prior) -> Budget {
        let intervals = Intervals { sample: 5 * MS, aggr: 100 * MS };
        Budget::new(percent, Setting { intervals, max_regions: 1000 }, 10, prior)
    }

    fn sampled(percent: f64) -> Budget {
        budget(percent, Prior::Sampled(RoundCost { fixed: 20e-6, per_region: 3e-6 }))
    }

    #[test]
    fn a_change_names_cause_and_consequence() {
        let budget = sampled(1.0);
        let intervals = Intervals { sample: 28 * MS, aggr: 560 * MS };
        let mut change = Change {
            setting: Setting { intervals, max_regions: 100 },
            why: Why::Above,
            share: Share { recorder: 0.021, target: 0.011 },
        };
        let mut plan = Plan::new(Subject::pid(1));
        assert_eq!(
            budget.explain(&change, &plan),
            "recording costs 3.2% of a core (2.1% here, about 1.1% in the target), above the budget of 1%: \
             from here on sampling every 28ms, aggregating over 560ms, at most 100 regions"
        );
        plan.sample = Some(5 * MS);
        plan.max_regions = 500;
        change.share = Share { recorder: 0.021, target: 0.0 };
        let text = budget.explain(&change, &plan);
        assert!(text.starts_with("recording costs 2.1% of a core, above"), "{text}");
        let end = "; every 5ms and 500 regions as asked for would cost more than the budget";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn the_beginning_is_explained_where_it_is_less_than_was_asked_for() {
        let mut small = sampled(1.0);
        let setting = small.begin();
        let plan = Plan { sample: Some(5 * MS), ..Plan::new(Subject::pid(1)) };
        let long = small.explain_beginning(setting, &plan);
        assert!(
            long.starts_with(
                "budget 1% of a core: one round over 100 regions costs about 320us, hence"
            ),
            "{long}"
        );
        assert_eq!(
            small.explain_shortly(setting, &plan).unwrap(),
            "more would exceed the budget of 1% of a core: one round over 100 regions costs about 320us; every 5ms \
             as asked for would cost more than the budget"
        );
        let mut large = sampled(90.0);
        let setting = large.begin();
        assert_eq!(large.explain_shortly(setting, &plan), None);
    }

    #[test]
    fn a_budget_too_small_to_be_useful_says_what_is_possible() {
        let mut small = sampled(0.01);
        let setting = small.begin();
        assert_eq!(
            small.warn(setting).unwrap(),
            "a budget of 0.01% allows one look every 3.8s and a snapshot every 76s only; 0.2% would allow \
             one look every 250ms"
        );
        let mut usual = sampled(1.0);
        let setting = usual.begin();
        assert_eq!(usual.warn(setting), None);
        let mut looks = budget(1.0, Prior::Exact(0.140));
        let setting = looks.begin();
        assert_eq!(
            looks.warn(setting).unwrap(),
            "a budget of 1% allows one look every 17s and a snapshot every 340s only; 8.2% would allow one look \
             every 2s"
        );
    }

    #[test]
    fn shares_are_shown_with_the_digits_that_matter() {
        let shown = [0.01, 0.0097, 0.0001, 0.123, 0.0, 1.5].map(show_percent);
        assert_eq!(shown, ["1%", "1%", "0.01%", "12%", "0%", "150%"]);
    }
}
