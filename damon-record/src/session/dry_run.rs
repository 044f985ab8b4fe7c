//! `--dry-run`: what a recording would set up and apply, without doing any of it.

use super::acting::{self, Acting};
use super::kernel::{Machine, Orders, physical_memory};
use super::{lifecycle, schemes};
use crate::backend::choose::{BUILT, check_name};
use crate::backend::kind::{Kind, Looks};
use crate::backend::{attach, damon};
use crate::damon::sysfs::{Operations, Planned, Target};
use crate::exit::Failure;
use crate::plan::{Plan, Subject};
use crate::proc::{ProcRoot, page_size};
use damon_format::damos::Schemes;
use std::fmt::Write as _;

/// What there is to say, line by line. Reads only.
pub fn dry_run(plan: Plan) -> Result<String, Failure> {
    let plan = plan.validated(page_size()).map_err(Failure::Usage)?;
    check_name(plan.backend.as_deref())?;
    let schemes = plan.schemes.as_deref().map(schemes::read).transpose()?;
    let proc = ProcRoot::default();
    let kind = kind(&plan, &proc)?;
    let mut text = String::new();
    let mut line = |words: &str| {
        let _infallible = writeln!(text, "{words}");
    };
    line(&format!("backend {}; its side effect: {}", kind.name, kind.side_effect));
    if let Some(schemes) = &schemes {
        for words in applied(schemes, &plan, kind, &proc)? {
            line(&words);
        }
    }
    if kind.looks != Looks::Kernel {
        line("nothing is written to the kernel's DAMON");
    } else if kind.auto {
        for words in written(&plan, kind, schemes.as_ref(), &proc)? {
            line(&words);
        }
    } else {
        line("nothing is written: a kdamond that somebody else runs is only watched");
    }
    line("this was a dry run: nothing was done");
    Ok(text)
}

/// What the schemes would do, as whoever would apply them understands them.
fn applied(
    schemes: &Schemes,
    plan: &Plan,
    kind: &Kind,
    proc: &ProcRoot,
) -> Result<Vec<String>, Failure> {
    let attrs = plan.attrs(plan.intervals(kind.intervals));
    if kind.looks == Looks::Kernel {
        let lines = schemes.describe().into_iter();
        return Ok(lines.chain(schemes::vanished_bounds(schemes, &attrs)?).collect());
    }
    let _can_be_applied = Acting::new(schemes, &attrs, proc)?;
    acting::explain(schemes, &attrs, kind.access, proc)
}

/// The backend that would be tried first.
fn kind(plan: &Plan, proc: &ProcRoot) -> Result<&'static Kind, Failure> {
    let wanted = match plan.subject {
        Subject::Physical => Some(damon::KIND.name),
        Subject::Kdamond(_) => Some(attach::KIND.name),
        Subject::Running(_) | Subject::Command(_) => plan.backend.as_deref(),
    };
    let mut why = Vec::new();
    for kind in &BUILT {
        if !wanted.map_or(kind.auto, |name| name == kind.name) {
            continue;
        }
        match (kind.self_test)(proc) {
            Ok(()) => return Ok(kind),
            Err(refusal) => why.push(format!("{}: {refusal}", kind.name)),
        }
    }
    Err(Failure::CannotObserve(format!("no backend can be used: {}", why.join("; "))))
}

/// Every file that the kernel's DAMON would be set up by, and how that is undone.
fn written(
    plan: &Plan,
    kind: &Kind,
    schemes: Option<&Schemes>,
    proc: &ProcRoot,
) -> Result<Vec<String>, Failure> {
    let attrs = plan.attrs(plan.intervals(kind.intervals));
    let orders = Orders::new(attrs, plan.goal, schemes)?;
    let limits = lifecycle::limits(plan);
    let mut lines = Vec::new();
    let (operations, targets) = match &plan.subject {
        Subject::Physical => {
            let regions = physical_memory(proc, limits).map_err(Failure::CannotObserve)?;
            (Operations::Paddr, vec![Target { pid: None, regions }])
        }
        Subject::Running(wanted) => {
            let target = |pid: &u32| Target { pid: Some(*pid), regions: limits.clone() };
            (virtual_operations(plan), wanted.pids.iter().map(target).collect())
        }
        Subject::Command(_) | Subject::Kdamond(_) => (virtual_operations(plan), Vec::new()),
    };
    let machine = Machine::default();
    let mut wanted = orders.wanted(operations);
    wanted.targets = targets;
    lines.push("written, one value after the other:".to_owned());
    for Planned { path, value, condition } in wanted.plan().listing(&machine.tree) {
        let condition = condition.map(|when| format!("   # {when}")).unwrap_or_default();
        lines.push(format!("  echo '{value}' > {}{condition}", path.display()));
    }
    if !matches!(plan.subject, Subject::Physical) {
        lines.push(
            "and for each process that is found: its number to targets/N/pid_target, and its mapped ranges to \
             targets/N/regions"
                .to_owned(),
        );
    }
    let root = machine.tree.root().join("kdamonds");
    lines.push("at the end, however it comes:".to_owned());
    for (value, path) in [("off", "0/state"), ("0", "0/contexts/nr_contexts"), ("0", "nr_kdamonds")]
    {
        lines.push(format!("  echo '{value}' > {}", root.join(path).display()));
    }
    Ok(lines)
}

fn virtual_operations(plan: &Plan) -> Operations {
    if plan.ranges.is_empty() { Operations::Vaddr } else { Operations::Fvaddr }
}
