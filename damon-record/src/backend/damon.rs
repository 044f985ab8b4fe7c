//! Backend `damon`: the kernel's own DAMON looks, and its events are recorded. Set up by the session, which knows
//! the targets; here is what can be said before.

use super::kind::{Kind, Looks, Refusal};
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

/// Whether a kdamond could be had. Reads only: whether the kernel has `vaddr` shows when a kdamond is set up, since only
/// then there is a file that says so; and whether its events can be read when there is a thread to attach to.
fn self_test(admin: &Admin, place: &OwnPlace) -> Result<(), Refusal> {
    own::available(admin, place).map_err(|refusal| match refusal {
        own::Refusal::Denied(error) => Refusal::only_root(error.to_string()),
        own::Refusal::NoDamon { .. } => refusal.to_string().into(),
        refusal => Refusal::from(refusal.to_string()).for_now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::put;

    #[test]
    fn what_is_and_what_to_do_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let admin = Admin::new(Tree::at(dir.path()));
        let place = OwnPlace { lock_dirs: Vec::new(), ..OwnPlace::of_this_machine() };
        let place = OwnPlace { modules: dir.path().join("module"), ..place };
        let refusal = || self_test(&admin, &place).unwrap_err();
        assert!(!refusal().kernel && refusal().why.contains("no DAMON"));
        put(dir.path(), "kdamonds/nr_kdamonds", "1\n");
        put(dir.path(), "kdamonds/0/state", "on\n");
        let busy = refusal();
        assert!(
            busy.kernel && busy.why == "the kernel's DAMON is in use by kdamond 0 (on)",
            "{busy}"
        );
        assert!(busy.remedy.unwrap().contains("--backend attach"));
        put(dir.path(), "kdamonds/0/state", "off\n");
        let left = refusal();
        assert!(left.kernel && left.remedy.unwrap().contains("none of it runs"));
        put(dir.path(), "kdamonds/nr_kdamonds", "0\n");
        assert_eq!(self_test(&admin, &place), Ok(()));
    }
}
