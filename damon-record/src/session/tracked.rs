//! One target while it is recorded.

use super::mode::Mode;
use crate::backend::kind::{AttachError, Kind};
use crate::backend::{Watch, WatchError};
use crate::host::monotonic_ns;
use crate::monitor::AddressRange;
use crate::proc::{Identity, MapsFile, ProcError, ProcRoot, delta};
use crate::sys::pidfd;
use damon_format::{Mapping, MappingsChanged, TargetId, TargetStarted};
use std::os::fd::OwnedFd;

/// Mappings of a new program change fast: it is read again after this time, and then after twice, four
/// times … as long, up to the update interval.
const FIRST_REFRESH_NS: u64 = 5_000_000;

/// How long a target that seems to exit is left alone.
const REST_NS: u64 = 50_000_000;

/// Mappings are read again after at least this many times as long as reading them took: those of a
/// process with ten thousands of mappings take milliseconds.
const REFRESH_COST: u64 = 500;

/// A process under observation.
pub(super) struct Tracked {
    pub(super) id: TargetId,
    pub(super) identity: Identity,
    pub(super) comm: String,
    pub(super) exe: String,
    /// Of its watch, since it was taken up.
    pub(super) failures: u32,
    pub(super) pidfd: OwnedFd,
    /// When observing it began, nanoseconds of the monotonic clock.
    pub(super) since_ns: u64,
    pub(super) watch: Box<dyn Watch>,
    pub(super) mappings: Vec<Mapping>,
    pub(super) refresh_at_ns: u64,
    /// Its address space is gone and its pidfd does not say so yet: it is exiting, which takes large
    /// processes a while. It is left alone until the next refresh.
    pub(super) dormant: bool,
    /// A snapshot of it was stored. Not known of what the kernel looks at.
    pub(super) seen: bool,
    maps: MapsFile,
    fresh: Vec<Mapping>,
    refresh_step_ns: u64,
}

/// What reading the mappings again brought.
pub(super) enum Refresh {
    Same,
    Changed(MappingsChanged),
    /// The address space is gone: exit or exec.
    Ended,
}

impl Tracked {
    /// Opens everything about `pid` and attaches `watch`, or a new watch of `kind`.
    pub(super) fn attach(
        proc: &ProcRoot,
        kind: &Kind,
        pid: u32,
        id: TargetId,
        watch: Option<Box<dyn Watch>>,
    ) -> Result<Self, AttachError> {
        let start_ticks = proc.stat(pid)?.start_ticks;
        let number = i32::try_from(pid).map_err(|_too_large| AttachError::Gone)?;
        let pidfd = pidfd::open(number).map_err(|errno| match errno {
            nix::errno::Errno::ESRCH => AttachError::Gone,
            errno => AttachError::Refused(format!("pidfd_open for {pid} failed: {errno}")),
        })?;
        // The descriptor means the process that the times were read of only if these still agree.
        let identity = Identity { pid, start_ticks };
        if !proc.is_alive(identity) {
            return Err(AttachError::Gone);
        }
        let stat = proc.stat(pid)?;
        let mut maps = MapsFile::open(proc, pid)?;
        let mut mappings = Vec::new();
        maps.read(&mut mappings)?;
        if mappings.is_empty() {
            // Exiting: a process without an address space that is no zombie yet.
            return Err(AttachError::Gone);
        }
        let watch = match watch {
            Some(watch) => watch,
            None => (kind.attach)(proc, pid).map_err(|error| {
                // A process that loses its address space meanwhile looks strange to a backend.
                match maps.read(&mut mappings) {
                    Ok(true) if mappings.is_empty() => AttachError::Gone,
                    _ => error,
                }
            })?,
        };
        let mut tracked = Self {
            id,
            identity,
            comm: stat.comm,
            exe: proc.exe(pid),
            failures: 0,
            pidfd,
            since_ns: monotonic_ns(),
            watch,
            mappings,
            refresh_at_ns: 0,
            dormant: false,
            seen: false,
            maps,
            fresh: Vec::new(),
            refresh_step_ns: FIRST_REFRESH_NS,
        };
        tracked.schedule(monotonic_ns(), u64::MAX, 0);
        Ok(tracked)
    }

    /// Tells watch and monitor what there is, and takes the first look of an exact session.
    pub(super) fn arm(
        &mut self,
        mode: &mut Mode,
        limits: &[AddressRange],
    ) -> Result<(), WatchError> {
        self.watch.mappings_changed(&self.mappings)?;
        if matches!(mode, Mode::Exact(_)) {
            self.watch.look(&mut Vec::new())?;
        }
        mode.add(self.id, self.identity.pid, &self.mappings, limits).map_err(WatchError::Failed)
    }

    /// The record of its appearance.
    pub(super) fn started(&self, parent: Option<TargetId>) -> TargetStarted {
        TargetStarted {
            target: self.id,
            time_ns: monotonic_ns(),
            kind: damon_format::TargetKind::Process,
            pid: self.identity.pid,
            start_ticks: self.identity.start_ticks,
            parent,
            comm: self.comm.clone(),
            exe: self.exe.clone(),
        }
    }

    /// Leaves it alone for a while.
    pub(super) fn rest(&mut self) {
        self.dormant = true;
        self.refresh_at_ns = monotonic_ns().saturating_add(REST_NS);
    }

    /// Reads the mappings again.
    pub(super) fn refresh(&mut self, update_ns: u64) -> Result<Refresh, ProcError> {
        let now = monotonic_ns();
        let read = self.maps.read(&mut self.fresh);
        let done = monotonic_ns();
        let least = done.saturating_sub(now).saturating_mul(REFRESH_COST);
        self.schedule(done, update_ns, least);
        match read {
            Ok(false) => return Ok(Refresh::Same),
            Ok(true) if self.fresh.is_empty() => return Ok(Refresh::Ended),
            Ok(true) => {}
            Err(ProcError::Gone { .. }) => return Ok(Refresh::Ended),
            Err(error) => return Err(error),
        }
        let changes = delta(&self.mappings, &self.fresh);
        std::mem::swap(&mut self.mappings, &mut self.fresh);
        if changes.is_empty() {
            return Ok(Refresh::Same);
        }
        Ok(Refresh::Changed(MappingsChanged {
            target: self.id,
            time_ns: now,
            removed: changes.removed,
            added: changes.added,
        }))
    }

    fn schedule(&mut self, now: u64, update_ns: u64, least_ns: u64) {
        let step = self.refresh_step_ns.min(update_ns).max(least_ns);
        self.refresh_at_ns = now.saturating_add(step);
        self.refresh_step_ns = self.refresh_step_ns.saturating_mul(2);
    }
}
