//! What is asked of the kernel's DAMON, and of nobody else.

use super::{AUTO, RecordArgs};
use crate::backend::{attach, damon};

impl RecordArgs {
    /// Whether what only the kernel's DAMON knows is asked of it, and nothing that it ignores.
    pub(super) fn check_kernel(&self) -> Result<(), String> {
        let (attach, damon) = (attach::KIND.name, damon::KIND.name);
        let refused = |given: &[(&str, bool)]| {
            let given = given.iter().filter(|(_, is_given)| *is_given);
            let names: Vec<&str> = given.map(|(name, _)| *name).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        if self.backend == attach {
            let given = refused(&[
                ("--schemes", self.schemes.is_some()),
                ("--intervals-goal", self.intervals_goal.is_some()),
                ("--sample", self.sample.is_some()),
                ("--aggr", self.aggr.is_some()),
                ("--regions", !self.regions.is_empty()),
                ("--children", self.children),
                ("--physical", self.physical),
            ]);
            return given.map_or(Ok(()), |given| {
                Err(format!(
                    "--backend {attach} changes nothing of somebody else's kdamond: leave out {given}"
                ))
            });
        }
        if self.kdamond.is_some() {
            return Err(format!(
                "--kdamond chooses among the kdamonds for --backend {attach}: give both"
            ));
        }
        let is_ours = [AUTO, damon].contains(&self.backend.as_str());
        let only = refused(&[
            ("--physical", self.physical),
            ("--intervals-goal", self.intervals_goal.is_some()),
        ]);
        if let Some(only) = only.filter(|_| !is_ours) {
            return Err(format!(
                "only the kernel's DAMON knows {only}: leave out --backend {}, or give --backend {damon}",
                self.backend
            ));
        }
        if self.physical && self.children {
            return Err(
                "--physical records the whole machine, all processes in it: leave out --children"
                    .into(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use crate::exit::Failure;
    use crate::plan::Plan;
    use clap::Parser as _;

    fn plan(args: &[&str]) -> Result<Plan, Failure> {
        let all = [&["damon-record"], args].concat();
        Cli::try_parse_from(all).unwrap().record.plan()
    }

    #[test]
    fn what_only_the_kernels_damon_knows_is_not_ignored_by_others() {
        for only in [&["--physical"][..], &["--intervals-goal", "4%", "5"]] {
            let with = |backend: &str| plan(&[&["--backend", backend], only].concat());
            let Err(Failure::Usage(text)) = with("pte") else { panic!("{only:?}") };
            assert!(text.contains(only[0]) && text.contains("--backend pte"), "{text}");
            assert_eq!(with("damon").unwrap().backend.as_deref(), Some("damon"));
        }
        let Err(Failure::Usage(text)) = plan(&["--physical", "--children"]) else { panic!() };
        assert!(text.contains("--children"), "{text}");
        let goal = plan(&["--intervals-goal", "4%", "5"]).unwrap();
        assert_eq!(goal.backend.as_deref(), Some("damon"), "nobody else can");
    }
}
