//! What monitoring by the kernel costs, against the budget. It is not ours to throttle: what there is to do is
//! said.

use crate::exit::Failure;
use crate::session::console::Console;
use crate::session::mode::Mode;
use crate::session::run::Session;
use damon_format::{Note, Record};
use std::time::Duration;

/// Before that a share says nothing yet.
const SETTLED: Duration = Duration::from_secs(5);

impl Session<'_> {
    /// Says once when the kdamond that we have set up takes more than the budget.
    pub(in crate::session) fn warn_of_kdamond(
        &mut self,
        now: u64,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Mode::Kernel(kernel) = &self.mode else {
            return Ok(());
        };
        let elapsed = Duration::from_nanos(now.saturating_sub(self.started_ns));
        if self.warned || !kernel.is_ours() {
            return Ok(());
        }
        let used = kernel.cpu().unwrap_or_default();
        let Some(text) = excess(used, elapsed, self.plan.budget_percent) else {
            return Ok(());
        };
        self.warned = true;
        console.say(&text);
        self.trace.record(&Record::Note(Note { time_ns: now, text }))
    }
}

fn excess(used: Duration, elapsed: Duration, budget_percent: f64) -> Option<String> {
    let percent = used.as_secs_f64() / elapsed.as_secs_f64().max(1e-9) * 100.0;
    (elapsed >= SETTLED && percent > budget_percent).then(|| {
        format!(
            "the kernel's kdamond takes {percent:.1}% of a core, above the budget of {budget_percent}%: fewer regions \
             (--max-regions) or a longer --sample would make it cheaper"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kdamond_beyond_the_budget_is_named_once_it_is_known() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        assert_eq!(excess(ms(40), s(1), 1.0), None, "too early to tell");
        assert_eq!(excess(ms(90), s(10), 1.0), None);
        let text = excess(ms(400), s(10), 1.0).unwrap();
        assert!(text.contains("4.0% of a core, above the budget of 1%"), "{text}");
        assert_eq!(excess(s(9), s(10), 100.0), None, "no ceiling");
    }
}
