//! A watch that looks at nothing, for targets whose accesses somebody else sees: the kernel's DAMON.

use super::{Touched, Watch, WatchError};
use damon_format::Mapping;

/// Sees nothing and costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passive;

impl Watch for Passive {
    fn prepare(&mut self, _addresses: &[u64]) -> Result<(), WatchError> {
        Ok(())
    }

    fn check(&mut self, _addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError> {
        accessed.fill(false);
        Ok(())
    }

    fn look(&mut self, _touched: &mut Vec<Touched>) -> Result<(), WatchError> {
        Ok(())
    }

    fn mappings_changed(&mut self, _mappings: &[Mapping]) -> Result<(), WatchError> {
        Ok(())
    }
}
