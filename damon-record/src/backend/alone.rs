//! Backends that clear what others look at: one of them at a time on each process.

use super::conflict::{self, Verdict};
use super::exclusive::{Claim, claim};
use super::kind::AttachError;
use super::{Toll, Touched, Watch, WatchError};
use crate::proc::{Identity, ProcRoot};
use damon_format::Mapping;
use std::path::Path;
use std::sync::Arc;

/// What a backend clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clears {
    /// Accessed bits or the idle flag, which the kernel's DAMON looks at as well.
    AccessedState,
    /// Something that DAMON takes no notice of.
    OtherState,
}

/// A watch that nobody else disturbs for as long as it lives.
struct Alone<W> {
    watch: W,
    remark: Option<String>,
    _claim: Arc<Claim>,
}

/// Attaches by `attach`, unless another recorder or the kernel's DAMON looks at the process.
pub(super) fn attach<W, E>(
    proc: &ProcRoot,
    pid: u32,
    clears: Clears,
    attach: impl FnOnce() -> Result<W, E>,
) -> Result<Box<dyn Watch>, AttachError>
where
    W: Watch + 'static,
    AttachError: From<E>,
{
    let remark = match clears {
        Clears::OtherState => None,
        Clears::AccessedState => match conflict::look(Path::new(conflict::SYS), pid) {
            Verdict::Alone => None,
            Verdict::Beside(text) => Some(text),
            Verdict::Refused(why) => return Err(AttachError::Refused(why)),
        },
    };
    let start_ticks = proc.stat(pid)?.start_ticks;
    let claim = claim(Identity { pid, start_ticks })
        .map_err(|error| AttachError::Refused(error.to_string()))?;
    Ok(Box::new(Alone { watch: attach()?, remark, _claim: claim }))
}

impl<W: Watch> Watch for Alone<W> {
    fn prepare(&mut self, addresses: &[u64]) -> Result<(), WatchError> {
        self.watch.prepare(addresses)
    }

    fn check(&mut self, addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError> {
        self.watch.check(addresses, accessed)
    }

    fn look(&mut self, touched: &mut Vec<Touched>) -> Result<(), WatchError> {
        self.watch.look(touched)
    }

    fn mappings_changed(&mut self, mappings: &[Mapping]) -> Result<(), WatchError> {
        self.watch.mappings_changed(mappings)
    }

    fn toll(&mut self) -> Toll {
        self.watch.toll()
    }

    fn remark(&mut self) -> Option<String> {
        self.remark.take().or_else(|| self.watch.remark())
    }
}
