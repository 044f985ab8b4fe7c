//! Which way events are brought, and why not the better ones.

use super::{Collect, CollectError, Tracefs, Wanted, perf, tracefs};
use crate::damon::events::{Catalog, EventKind};
use std::os::fd::BorrowedFd;

/// A way that is not taken.
#[derive(Debug)]
pub struct Refusal {
    /// `perf`, `tracefs`.
    pub way: &'static str,
    /// What is in the way and what would help.
    pub reason: CollectError,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.way, self.reason)
    }
}

/// What [`choose`] found.
#[derive(Debug)]
pub struct Chosen {
    // Dropped before the mount that its files are in.
    collector: Option<Box<dyn Collect>>,
    refused: Vec<Refusal>,
    tracefs: Option<Tracefs>,
}

impl Chosen {
    /// The collector; `None` when tracing is forbidden altogether and only
    /// [`TriedRegions`](super::tried_regions::TriedRegions) is left.
    pub fn collector(&mut self) -> Option<&mut dyn Collect> {
        match &mut self.collector {
            Some(collector) => Some(collector.as_mut()),
            None => None,
        }
    }

    /// What [`Collect::fds`] says of it.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.collector.as_ref().map(|collector| collector.fds()).unwrap_or_default()
    }

    /// What [`Collect::tells_losses_in_order`] says of it.
    pub fn tells_losses_in_order(&self) -> bool {
        self.collector.as_ref().is_some_and(|collector| collector.tells_losses_in_order())
    }

    /// Why the ways before the chosen one are not taken.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// Whether tracefs had to be mounted for us alone.
    pub fn mounted_tracefs(&self) -> bool {
        self.tracefs.as_ref().is_some_and(Tracefs::is_private)
    }

    /// What is used and why nothing better is, for the recording and for people.
    pub fn describe(&self) -> String {
        let used = match &self.collector {
            Some(collector) => collector.describe(),
            None => "no tracing; only regions that a scheme was tried on can be read".to_owned(),
        };
        format!("{used}{}", self.reasons())
    }

    /// Why nothing better is used, to be put after what is.
    pub fn reasons(&self) -> String {
        let all: Vec<String> =
            self.refused.iter().map(|refusal| format!("; not by {refusal}")).collect();
        all.concat()
    }

    /// What was chosen, without asking the machine.
    #[cfg(test)]
    pub(crate) fn fake(collector: Option<Box<dyn Collect>>) -> Self {
        let reason = CollectError::NoTracefs { reason: "tracing is forbidden here".to_owned() };
        let refused = vec![Refusal { way: "perf or tracefs", reason }];
        Self { collector, refused, tracefs: None }
    }
}

/// Whether the kernel tells of aggregations, and we may know how.
///
/// # Errors
/// What is in the way.
pub fn has_events() -> Result<(), CollectError> {
    let tracefs = Tracefs::find()?;
    Catalog::read(tracefs.path(), &[EventKind::Aggregated])?;
    Ok(())
}

/// Tries perf, then a private tracefs instance, with the tracefs of this machine.
pub fn choose(threads: &[i32], events: &[EventKind], bytes: usize) -> Chosen {
    choose_with(Tracefs::find(), threads, events, bytes)
}

fn choose_with(
    tracefs: Result<Tracefs, CollectError>,
    threads: &[i32],
    events: &[EventKind],
    bytes: usize,
) -> Chosen {
    let tracefs = match tracefs {
        Ok(tracefs) => tracefs,
        Err(reason) => {
            let refused = vec![Refusal { way: "perf or tracefs", reason }];
            return Chosen { collector: None, refused, tracefs: None };
        }
    };
    let wanted = Wanted { tracefs: tracefs.path(), threads, events, bytes };
    let mut refused = Vec::new();
    let mut collector: Option<Box<dyn Collect>> = None;
    match perf::open(&wanted) {
        Ok(opened) => collector = Some(Box::new(opened)),
        Err(reason) => refused.push(Refusal { way: "perf", reason }),
    }
    if collector.is_none() {
        match tracefs::open(&wanted) {
            Ok(opened) => collector = Some(Box::new(opened)),
            Err(reason) => refused.push(Refusal { way: "tracefs", reason }),
        }
    }
    Chosen { collector, refused, tracefs: Some(tracefs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_works_every_reason_is_said() {
        let reason = "tracefs is mounted nowhere".to_owned();
        let mut chosen =
            choose_with(Err(CollectError::NoTracefs { reason }), &[77], &EventKind::ALL, 0);
        assert!(chosen.collector().is_none() && !chosen.mounted_tracefs());
        let described = chosen.describe();
        assert!(described.contains("no tracing") && described.contains("nowhere"), "{described}");

        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("events")).unwrap();
        let tracefs = Tracefs::among(&[root.path()]);
        let mut chosen = choose_with(tracefs, &[77], &EventKind::ALL, 0);
        assert!(chosen.collector().is_none());
        let ways: Vec<_> = chosen.refused().iter().map(|refusal| refusal.way).collect();
        assert_eq!(ways, ["perf", "tracefs"]);
        let described = chosen.describe();
        assert_eq!(described.matches("has no event damon_aggregated").count(), 2, "{described}");
    }
}
