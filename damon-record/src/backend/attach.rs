//! Backend `attach`: watches a kdamond that somebody else runs, without changing anything of it.

use super::damon;
use super::kind::{Kind, Looks, Refusal};
use crate::damon::collect;
use crate::damon::own::{OwnPlace, survey};
use crate::damon::sysfs::{Admin, State, Tree};
use std::path::Path;

/// The backend `attach`.
pub const KIND: Kind = Kind {
    name: "attach",
    auto: false,
    looks: Looks::Kernel,
    needs: "a kdamond that somebody else runs; root",
    side_effect: "none; what the kernel's DAMON does is its owner's affair",
    self_test: |_| self_test(&Admin::new(Tree::kernel()), &OwnPlace::of_this_machine().modules),
    ..damon::KIND
};

/// Whether anybody runs a kdamond, and its events can be read.
fn self_test(admin: &Admin, modules: &Path) -> Result<(), Refusal> {
    let survey = survey(admin, modules).map_err(|error| {
        if error.is_denied() {
            Refusal::only_root(error.to_string())
        } else {
            error.to_string().into()
        }
    })?;
    let runs = survey.kdamonds.iter().any(|kdamond| kdamond.state == Some(State::On));
    if !runs && survey.modules.is_empty() {
        let refusal = Refusal::with_remedy("no kdamond is running", "--backend damon sets one up");
        return Err(refusal.for_now());
    }
    collect::has_events().map_err(|error| error.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::put;

    #[test]
    fn without_a_kdamond_there_is_nothing_to_attach_to() {
        let dir = tempfile::tempdir().unwrap();
        let admin = Admin::new(Tree::at(dir.path()));
        let test = || self_test(&admin, Path::new("/nowhere"));
        assert!(test().unwrap_err().why.contains("nr_kdamonds"));
        put(dir.path(), "kdamonds/nr_kdamonds", "1\n");
        put(dir.path(), "kdamonds/0/state", "off\n");
        assert_eq!(test().unwrap_err().why, "no kdamond is running");
    }
}
