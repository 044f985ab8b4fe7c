//! What speaks against believing a simulation, as far as the recording tells before it is gone over.

use super::Plan;
use crate::analysis::num::float;
use crate::analysis::overview::TargetExtent;
use crate::analysis::simulate::line::share;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::Action;
use damon_format::{AccessKind, Record};

/// A part of the time that is not covered below which nobody is told.
const GAPS: f64 = 0.01;

/// The same for the part by which aggregations are too long; a few per cent are usual with the kernel's DAMON.
const STRETCH: f64 = 0.05;

/// How much of the time was not observed, and how much longer aggregations took than they should.
pub(super) fn coverage(targets: &[TargetExtent]) -> Vec<String> {
    let sum = |of: &dyn Fn(&TargetExtent) -> u64| {
        float(targets.iter().map(of).fold(0, u64::saturating_add))
    };
    let spanned = sum(&|t| t.end_ns.saturating_sub(t.start_ns));
    let (observed, nominal) = (sum(&|t| t.observed_ns), sum(&|t| t.nominal_ns));
    let mut warnings = Vec::new();
    let missing = share(spanned - observed, spanned);
    if missing > GAPS {
        warnings.push(format!(
            "{:.1} % of the time was not recorded: what was accessed then is not seen, and nothing is applied",
            missing * 100.0
        ));
    }
    let stretch = share(observed - nominal, nominal);
    if stretch > STRETCH {
        warnings.push(format!(
            "aggregations took {:.1} % longer than their interval: ages are that much greater in truth, and schemes would \
             be applied as much later",
            stretch * 100.0
        ));
    }
    warnings
}

impl Plan<'_> {
    pub(super) fn warn_of_recording(&mut self, access: AccessKind, records: &[Record]) {
        if access == AccessKind::Write {
            self.warnings.push(
                "WRITES ONLY: cold means not written; memory that is only read counts as cold, and its refaults are \
                 not seen"
                    .into(),
            );
        }
        let acted = records.iter().any(|record| {
            matches!(record, Record::SchemeInstalled(installed) if is_acting(&installed.json))
        });
        if acted && !self.options.replay {
            self.warnings.push(
                "schemes were active while recording: they have reset ages and changed what was accessed".into(),
            );
        }
    }
}

/// Whether a scheme that was in force did anything but count.
fn is_acting(json: &str) -> bool {
    Schemes::from_json(&format!("[{json}]"))
        .or_else(|_| Schemes::from_json(json))
        .map_or(true, |schemes| schemes.as_slice().iter().any(|s| s.action != Action::Stat))
}
