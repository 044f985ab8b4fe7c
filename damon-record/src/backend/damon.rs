//! Backend `damon`: the kernel's own DAMON looks, and its events are recorded. Set up by the session, which knows
//! the targets; here is what can be said before.

use super::kind::{BECOME_ROOT, Kind, Looks, Refusal};
use super::passive::Passive;
use crate::damon::own::{self, OwnPlace};
use crate::damon::sysfs::{Admin, Tree};
use crate::plan::Intervals;
use damon_format::{AccessKind, Granularity};
use std::time::Duration;

/// The backend `damon`.
pub const KIND: Kind = Kind {
    name: "damon",
    auto: true,
    access: AccessKind::ReadWrite,
    granularity: Granularity::Region,
    looks: Looks::Kernel,
    intervals: Intervals { sample: Duration::from_millis(5), aggr: Duration::from_millis(100) },
    needs: "CONFIG_DAMON_SYSFS with vaddr (processes) or paddr (--physical), used by nobody else; root",
    side_effect: "the kernel clears the Accessed bit of one page per region and sampling interval; reclaim \
                  takes notice of what was cleared",
    self_test: |_| self_test(&Admin::new(Tree::kernel()), &OwnPlace::of_this_machine()),
    attach: |_, _| Ok(Box::new(Passive)),
};

/// Whether a kdamond could be had, and its events read. Reads only: whether the kernel has `vaddr` shows when
/// a kdamond is set up, since only then there is a file that says so.
fn self_test(admin: &Admin, place: &OwnPlace) -> Result<(), Refusal> {
    own::available(admin, place).map_err(|refusal| match refusal {
        own::Refusal::Denied(error) => Refusal::with_remedy(error.to_string(), BECOME_ROOT),
        refusal => Refusal { why: refusal.to_string(), remedy: None },
    })
}
