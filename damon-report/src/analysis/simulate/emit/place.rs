//! On what schemes are to be applied, as far as a recording tells, and what of it cannot be handed over.

use super::plain;
use crate::analysis::load::Trace;
use crate::analysis::simulate::SimulateError;
use crate::analysis::simulate::plan::{Plan, default_attrs};
use crate::analysis::view::View;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::FilterType;
use damon_format::{Attrs, Record, TargetId, TargetKind};
use std::ops::Range;

/// A process that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number in the recording, which filters of schemes mean.
    pub target: TargetId,
    /// What it was called.
    pub name: String,
    /// Its number in the system then.
    pub pid: u32,
}

/// On what it is to be applied, as far as the recording tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What was recorded, for comments.
    pub name: String,
    /// Intervals and region limits, in whose units schemes are installed.
    pub attrs: Attrs,
    /// Physical addresses instead of processes, and which.
    pub physical: Option<Vec<Range<u64>>>,
    /// All that was monitored, where the recorder was told so (`--regions`); empty where it was everything.
    pub regions: Vec<Range<u64>>,
    /// Release of the recorded kernel; empty where it is not known.
    pub kernel: String,
    /// Recorded processes, in the order of their targets. Whoever applies schemes names processes in this order.
    pub processes: Vec<Process>,
    /// What was simulated and will not be so, or may not; one sentence each.
    pub limits: Vec<String>,
}

impl Place {
    /// That of a recording: the same intervals, region limits, ranges and kind of targets.
    pub fn of(trace: &Trace, view: &View, plan: &Plan<'_>) -> Self {
        let info = trace.info();
        let physical = view.overview.records.iter().find_map(|record| match record {
            Record::TargetStarted(t) if t.kind == TargetKind::Physical => Some(t.target),
            _ => None,
        });
        let ranges = physical.map(|target| {
            let extents = view.overview.targets.iter().filter(|extent| extent.target == target);
            extents.flat_map(|extent| extent.spans.ranges()).collect()
        });
        let names = view.overview.target_names();
        let recorded = |target| view.overview.targets.iter().any(|t| t.target == target);
        let processes = names.into_iter().filter(|name| recorded(name.target));
        let asked = match info.tool.as_str() {
            "damon-record" => Asked::by(&info.command_line, info.page_size),
            _ => Asked::default(),
        };
        // Joined recordings tell how the first of them was made.
        let mut spans = view.overview.targets.iter().flat_map(|extent| extent.spans.ranges());
        let is_inside = spans.all(|span| {
            asked.regions.iter().any(|range| range.start <= span.start && span.end <= range.end)
        });
        let mut place = Self {
            name: trace.name().to_owned(),
            attrs: default_attrs(info.attrs, &view.overview.samplings),
            physical: ranges,
            regions: if is_inside { asked.regions } else { Vec::new() },
            kernel: info.kernel.clone(),
            processes: processes
                .map(|name| Process { target: name.target, name: name.comm, pid: name.pid })
                .collect(),
            limits: Vec::new(),
        };
        place.limits = place.limits(asked.children, view.overview.samplings.len() > 1);
        place.limits.extend(plan.assumptions().iter().cloned());
        place
    }

    fn limits(&self, children: bool, intervals_changed: bool) -> Vec<String> {
        let mut limits = Vec::new();
        if !self.regions.is_empty() && self.physical.is_none() {
            limits.push(format!(
                "only {} was recorded and judged, and only that is monitored: addresses of the process that was recorded. \
                 Another one, or the same program started again, has other memory there, or none",
                words(&self.regions)
            ));
        }
        if children && self.physical.is_none() {
            limits.push(
                "child processes were recorded, too: schemes are applied to the processes that are named, and not to those that \
                 they start later"
                    .to_owned(),
            );
        }
        if intervals_changed {
            limits.push(
                "intervals changed while it was recorded: those that it began with are handed over"
                    .to_owned(),
            );
        }
        limits
    }

    /// The schemes with filters of targets that mean processes by their place on the command line, and what is to be
    /// said of them.
    pub(super) fn renumbered(
        &self,
        schemes: &Schemes,
    ) -> Result<(Schemes, Vec<String>), SimulateError> {
        let mut list = schemes.as_slice().to_vec();
        let mut said = Vec::new();
        for (index, scheme) in list.iter_mut().enumerate() {
            for filter in &mut scheme.filters {
                let FilterType::Target { index: number } = &mut filter.kind else { continue };
                let found = self.processes.iter().position(|p| p.target == TargetId(*number));
                let place =
                    found.and_then(|at| Some((u32::try_from(at).ok()?, self.processes.get(at)?)));
                let Some((at, process)) = place else {
                    let why = format!(
                        ".filters: nothing was recorded of target {number} in the selected part, so that it cannot be told which \
                         process that will be"
                    );
                    return Err(SimulateError::Unknown { index, why });
                };
                *number = at;
                let text = format!(
                    "filters by target mean the order in which processes are given: target {at} is {} (pid {} then)",
                    plain(&process.name),
                    process.pid
                );
                if self.physical.is_none() && !said.contains(&text) {
                    said.push(text);
                }
            }
        }
        let schemes = Schemes::new(list).unwrap_or_else(|| schemes.clone());
        Ok((schemes, said))
    }

    /// The monitored ranges as an option takes them, `between` one and the next; nothing where all is monitored.
    pub(super) fn option(&self, between: &str, show: fn(u64) -> String) -> Option<String> {
        let ranges = self.regions.iter().map(|r| format!("{}-{}", show(r.start), show(r.end)));
        let ranges: Vec<String> = ranges.collect();
        (!ranges.is_empty()).then(|| ranges.join(between))
    }
}

/// Ranges for people; how many more where they are many.
fn words(ranges: &[Range<u64>]) -> String {
    const MOST: usize = 4;
    let named = ranges.iter().take(MOST).map(|r| format!("{:#x}..{:#x}", r.start, r.end));
    let named = named.collect::<Vec<_>>().join(", ");
    match ranges.len().checked_sub(MOST).filter(|more| *more > 0) {
        Some(more) => format!("{named} and {more} more"),
        None => named,
    }
}

/// What the recorder was asked for, by the command line that it has noted down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    regions: Vec<Range<u64>>,
    children: bool,
}

impl Asked {
    fn by(command_line: &[String], page_size: u32) -> Self {
        let mut asked = Self::default();
        let mut list = Vec::new();
        let mut words = command_line.iter().take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            match word.split_once('=') {
                Some(("--regions", ranges)) => list.extend(ranges.split(',')),
                None if word == "--regions" => {
                    list.extend(words.next().into_iter().flat_map(|w| w.split(',')));
                }
                None if word == "--children" => asked.children = true,
                _ => {}
            }
        }
        // Ends are rounded to pages, as the recorder does.
        let mask = u64::from(page_size.max(1)).next_power_of_two() - 1;
        let ranges = list.into_iter().map(|text| {
            let (start, end) = text.split_once('-')?;
            let (start, end) = (address(start)? & !mask, address(end)?.checked_add(mask)? & !mask);
            (start < end).then_some(start..end)
        });
        let ranges: Option<Vec<Range<u64>>> = ranges.collect();
        asked.regions = ranges.unwrap_or_default();
        asked.regions.sort_by_key(|range| range.start);
        asked
    }
}

fn address(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Asked {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Asked::by(&words, 4096)
    }

    #[test]
    fn ranges_are_those_that_the_recorder_took() {
        let one =
            asked(&["damon-record", "--regions", "0x5001-0x6001,0x1fff-8193", "-d", "3s", "17"]);
        let pairs: Vec<(u64, u64)> = one.regions.iter().map(|r| (r.start, r.end)).collect();
        assert_eq!(pairs, [(0x1000, 0x3000), (0x5000, 0x7000)]);
        assert!(!one.children);
        let twice = asked(&["--children", "--regions=0x1000-0x2000", "--regions=0x4000-0x5000"]);
        assert!(twice.children && twice.regions.len() == 2);
        let of_the_command =
            asked(&["-o", "x", "--", "tool", "--regions", "0x1000-0x2000", "--children"]);
        assert_eq!(of_the_command, Asked::default());
        for text in ["", "0x2000", "0x2000-0x1000", "x-y", "0xffffffffffffff00-0xffffffffffffffff"]
        {
            assert!(asked(&["--regions", text]).regions.is_empty(), "{text}");
        }
        assert_eq!(asked(&["--regions"]), Asked::default());
    }
}
