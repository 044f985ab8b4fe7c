//! From what is wanted to a monitor: a kdamond of our own, or one that somebody else runs.

use super::listen::Tracing;
use super::source::{Foreign, Own, Source};
use super::{Kernel, Slot};
use crate::damon::iomem::system_ram;
use crate::damon::modules::kdamond_threads;
use crate::damon::own::{KdamondSeen, Module, OwnPlace, Survey, TargetSeen, survey};
use crate::damon::sysfs::{Admin, Context, IntervalsGoal, Operations, State, Target, Tree, Wanted};
use crate::exit::Failure;
use crate::monitor::AddressRange;
use crate::proc::{ProcRoot, page_size};
use damon_format::damos::Schemes;
use damon_format::damos::kernel::Scheme;
use damon_format::{Attrs, Mapping, Permissions, TargetId};

/// The machine's DAMON, or what stands for it in tests.
#[derive(Clone, Debug)]
pub(in crate::session) struct Machine {
    /// Stands for `/sys/kernel/mm/damon/admin`.
    pub(in crate::session) tree: Tree,
    /// Where the lock, the modules and `/proc` are.
    pub(in crate::session) place: OwnPlace,
    pub(super) tracing: Tracing,
}

impl Default for Machine {
    fn default() -> Self {
        let tracing = Tracing::default();
        Self { tree: Tree::kernel(), place: OwnPlace::of_this_machine(), tracing }
    }
}

/// What a kdamond of our own is to do.
#[derive(Clone, Debug)]
pub(in crate::session) struct Orders {
    pub(in crate::session) attrs: Attrs,
    pub(in crate::session) goal: Option<IntervalsGoal>,
    pub(in crate::session) schemes: Vec<Scheme>,
}

impl Orders {
    /// With schemes in the units that `attrs` make of theirs.
    pub(in crate::session) fn new(
        attrs: Attrs,
        goal: Option<IntervalsGoal>,
        schemes: Option<&Schemes>,
    ) -> Result<Self, Failure> {
        let schemes = schemes
            .map(|schemes| schemes.to_kernel(&attrs))
            .transpose()
            .map_err(|error| Failure::Usage(format!("--schemes: {error}")))?
            .unwrap_or_default();
        Ok(Self { attrs, goal, schemes })
    }

    /// As it is said to the kernel; without targets.
    pub(in crate::session) fn wanted(&self, operations: Operations) -> Wanted {
        Wanted {
            operations,
            attrs: self.attrs,
            goal: self.goal,
            targets: Vec::new(),
            schemes: self.schemes.clone(),
        }
    }
}

/// The ranges of physical memory to be monitored: those asked for, or everything.
pub(in crate::session) fn physical_memory(
    proc: &ProcRoot,
    asked: Vec<AddressRange>,
) -> Result<Vec<AddressRange>, String> {
    if asked.is_empty() {
        system_ram(proc, page_size()).map_err(|error| error.to_string())
    } else {
        Ok(asked)
    }
}

/// Where there is memory, as if its ranges were mappings; nothing where that is hidden.
pub(super) fn memory_map(proc: &ProcRoot) -> Vec<Mapping> {
    let mapping = |range: AddressRange| Mapping {
        start: range.start,
        end: range.end,
        permissions: Permissions::default(),
        offset: 0,
        inode: 0,
        name: "System RAM".to_owned(),
    };
    system_ram(proc, page_size()).unwrap_or_default().into_iter().map(mapping).collect()
}

impl Kernel {
    /// Monitors processes, which are [added](Self::add): with the first the kdamond starts. With ranges `fixed`
    /// by the user only those are monitored.
    pub(in crate::session) fn of_processes(machine: Machine, orders: &Orders, fixed: bool) -> Self {
        let operations = if fixed { Operations::Fvaddr } else { Operations::Vaddr };
        Self::own(machine, orders, operations)
    }

    /// Monitors physical memory, from now on.
    pub(in crate::session) fn of_physical(
        machine: Machine,
        orders: &Orders,
        regions: Vec<AddressRange>,
    ) -> Result<Self, String> {
        let mut kernel = Self::own(machine, orders, Operations::Paddr);
        if let Source::Own(own) = &mut kernel.source {
            let tid = own.start(Target { pid: None, regions })?;
            kernel.slots.push(Slot::new(None, Some(TargetId(0))));
            kernel.listen(tid)?;
        }
        Ok(kernel)
    }

    fn own(machine: Machine, orders: &Orders, operations: Operations) -> Self {
        let Machine { tree, place, tracing } = machine;
        let own = Own::new(tree, place, orders.wanted(operations));
        Self::new(Source::Own(Box::new(own)), orders.attrs, tracing)
    }

    fn new(source: Source, attrs: Attrs, tracing: Tracing) -> Self {
        Self {
            source,
            attrs,
            unit: 1,
            slots: Vec::new(),
            tracing,
            events: None,
            deaf: None,
            past: Vec::new(),
            committed_ns: None,
            news: Vec::new(),
            applied: Vec::new(),
            series: super::Series::default(),
        }
    }

    /// Watches a kdamond that somebody else runs: the one with the index `which`, or the only one there is.
    pub(in crate::session) fn of_somebody(
        machine: &Machine,
        which: Option<u32>,
    ) -> Result<Self, String> {
        let admin = Admin::new(machine.tree.clone());
        let (proc, modules) = (&machine.place.proc, &machine.place.modules);
        let survey = survey(&admin, modules).map_err(|error| error.to_string())?;
        let found = somebody(&survey, which)?;
        let (foreign, attrs, unit, slots) = match found {
            Somebody::Kdamond(seen) => {
                let context = admin
                    .kdamond(seen.index)
                    .and_then(|kdamond| kdamond.context())
                    .map_err(|error| error.to_string())?
                    .ok_or_else(|| format!("kdamond {} has no context any more", seen.index))?;
                let tid = seen.tid.ok_or_else(|| {
                    format!("the thread of kdamond {} cannot be told from its files", seen.index)
                })?;
                let attrs = context.attrs().map_err(|error| error.to_string())?;
                let foreign = Foreign { tid, name: seen.index.to_string() };
                (foreign, attrs, unit(&context), slots(&seen.targets))
            }
            Somebody::Module(module) => {
                let others: Vec<u32> = survey.kdamonds.iter().filter_map(|k| k.tid).collect();
                let tid = module.tid(modules).or_else(|| {
                    kdamond_threads(proc).into_iter().find(|tid| !others.contains(tid))
                });
                let tid = tid.ok_or_else(|| {
                    format!(
                        "{} is enabled, and there is no thread kdamond.N that could be its",
                        module.name()
                    )
                })?;
                let foreign = Foreign { tid, name: module.name().to_owned() };
                (foreign, module.attrs(modules), 1, slots(&[TargetSeen::Physical]))
            }
        };
        let tid = foreign.tid;
        let mut kernel = Self::new(Source::Foreign(foreign), attrs, machine.tracing.clone());
        (kernel.unit, kernel.slots) = (unit, slots);
        kernel.listen(tid)?;
        Ok(kernel)
    }
}

/// Physical memory is taken up at once; processes when they are followed.
fn slots(targets: &[TargetSeen]) -> Vec<Slot> {
    let slot = |target: &TargetSeen| match target {
        TargetSeen::Physical => Slot::new(None, Some(TargetId(0))),
        TargetSeen::Process(pid) => Slot::new(u32::try_from(*pid).ok().or(Some(0)), None),
    };
    targets.iter().map(slot).collect()
}

/// Bytes per address unit (6.18); its file is not everywhere.
fn unit(context: &Context) -> u64 {
    context.addr_unit().unwrap_or(1).max(1)
}

/// Who monitors.
enum Somebody<'a> {
    Kdamond(&'a KdamondSeen),
    Module(Module),
}

/// The kdamond asked for, or the only one that runs.
fn somebody(survey: &Survey, which: Option<u32>) -> Result<Somebody<'_>, String> {
    let mut running = survey.kdamonds.iter().filter(|seen| seen.state == Some(State::On));
    if let Some(index) = which {
        return running.find(|seen| seen.index == index).map(Somebody::Kdamond).ok_or_else(|| {
            format!("kdamond {index} does not run; of the kernel's DAMON there is: {survey}")
        });
    }
    match (running.next(), running.next(), survey.modules.as_slice()) {
        (Some(one), None, []) => Ok(Somebody::Kdamond(one)),
        (None, _, [module, ..]) => Ok(Somebody::Module(*module)),
        (None, _, []) => Err(format!(
            "no kdamond is running ({survey} uses the kernel's DAMON): --backend damon sets one up"
        )),
        _ => Err(format!("several kdamonds run: choose one with --kdamond INDEX among {survey}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(index: u32, state: State) -> KdamondSeen {
        KdamondSeen {
            index,
            state: Some(state),
            tid: Some(70 + index),
            nr_contexts: Some(1),
            operations: Some("vaddr".into()),
            targets: vec![TargetSeen::Process(7)],
        }
    }

    fn survey(kdamonds: Vec<KdamondSeen>, modules: Vec<Module>) -> Survey {
        let nr_kdamonds = u32::try_from(kdamonds.len()).unwrap();
        Survey { nr_kdamonds, kdamonds, modules }
    }

    #[test]
    fn the_only_one_that_runs_is_found_and_several_must_be_chosen_from() {
        let index = |found: Result<Somebody<'_>, String>| match found {
            Ok(Somebody::Kdamond(seen)) => Ok(seen.index),
            Ok(Somebody::Module(module)) => Err(module.name().to_owned()),
            Err(why) => Err(why),
        };
        let both = survey(vec![seen(0, State::Off), seen(1, State::On)], Vec::new());
        assert_eq!(index(somebody(&both, None)), Ok(1));
        assert!(index(somebody(&both, Some(0))).unwrap_err().contains("does not run"));
        let two = survey(vec![seen(0, State::On), seen(1, State::On)], Vec::new());
        assert!(index(somebody(&two, None)).unwrap_err().contains("--kdamond"));
        assert_eq!(index(somebody(&two, Some(1))), Ok(1));
        let module = survey(Vec::new(), vec![Module::Reclaim]);
        assert_eq!(index(somebody(&module, None)), Err("damon_reclaim".into()));
        let none = survey(Vec::new(), Vec::new());
        assert!(index(somebody(&none, None)).unwrap_err().contains("nobody uses"));
    }
}
