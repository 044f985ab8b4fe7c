//! Processes that are to be recorded too: forked by targets, or wanted by number, name or control group.

use super::births::{Births, Brief};
use super::console::Console;
use super::events::Events;
use super::mode::Mode;
use super::run::Session;
use super::tracked::Tracked;
use crate::backend::WatchError;
use crate::backend::kind::AttachError;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::monitor::MOST_RANGES;
use crate::proc::{Identity, ProcRoot, descendants_of};
use crate::sys::kcmp::share_memory;
use crate::target::{Candidate, Roster};
use crate::units::show_duration;
use damon_format::{Note, Record, TargetId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two searches, at least …
const SEARCH_NS: u64 = 50_000_000;
/// … and at most; in between, this many times as long as a search takes.
const SEARCH_MOST_NS: u64 = 2_000_000_000;
const SEARCH_COST: u64 = 200;
/// Between two looks at what the kernel tells of children.
const LISTEN_NS: u64 = 20_000_000;
/// Attaching to many new processes in a row would keep the others from being sampled: so long at most, or
/// this part of a sampling interval.
const ATTACH_TIME_NS: u64 = 10_000_000;
const ATTACH_PART: u64 = 4;
/// Before the first round more time may be spent on those that are there from the beginning.
const BEGIN_TIME_NS: u64 = 2_000_000_000;
/// So many ranges are what DAMON itself monitors of a process.
const KERNEL_RANGES: u32 = 3;
/// Each target holds several files open.
const MOST_TARGETS: usize = 1000;
/// So many refusals are named one by one.
const MOST_NAMED: u32 = 20;
/// A recording of whoever comes goes on for so long when there is nobody.
const GRACE_NS: u64 = 1_000_000_000;
/// While there is nobody, it is asked this often whether somebody can still come.
const ASK_NS: u64 = 100_000_000;

/// Who may become a target, and who may not.
#[derive(Debug, Default)]
pub(super) struct Newcomers<'a> {
    roster: Option<Roster<'a>>,
    /// Not to be asked again, by pid.
    refused: BTreeMap<u32, Identity>,
    /// How many refusals were said.
    named: u32,
    /// Found with the memory of a target, and since when.
    sharing: BTreeMap<u32, Sharing>,
    /// What the kernel tells of children, where it does.
    births: Option<Births>,
    /// When to search again although the kernel tells of children.
    search_ns: u64,
    full_said: bool,
    deserted: Option<Deserted>,
}

/// Somebody has the memory of a target.
#[derive(Clone, Copy, Debug)]
struct Sharing {
    since_ns: u64,
    said: bool,
}

/// There is no target.
#[derive(Debug)]
struct Deserted {
    since_ns: u64,
    ask_ns: u64,
}

impl<'a> Newcomers<'a> {
    /// Those that `roster` wants.
    pub(super) fn of(roster: Option<Roster<'a>>) -> Self {
        Self { roster, ..Self::default() }
    }

    /// It will not be tried again.
    pub(super) fn refuse(&mut self, identity: Identity) {
        self.refused.insert(identity.pid, identity);
        self.settle(identity.pid);
    }

    /// It is recorded, or will not be, and that has been said.
    pub(super) fn settle(&mut self, pid: u32) {
        if let Some(births) = &mut self.births {
            births.settle(pid);
        }
    }

    /// Children that ended before anything could be recorded of them, and whether these are all; `None` where the
    /// kernel does not tell.
    pub(super) fn brief(&mut self) -> Option<(Brief, bool)> {
        let births = self.births.as_mut()?;
        births.hear();
        Some(births.brief())
    }
}

impl Session<'_> {
    /// Whether processes may become targets.
    pub(super) fn seeks_newcomers(&self) -> bool {
        self.plan.children
            || self.newcomers.roster.as_ref().is_some_and(|r| r.is_open() || r.named().len() > 1)
    }

    /// Whether there is no target and none will come.
    pub(super) fn is_over(&mut self) -> bool {
        if !self.targets.is_empty() || self.is_physical() {
            self.newcomers.deserted = None;
            return false;
        }
        let now = monotonic_ns();
        let deserted = &mut self.newcomers.deserted;
        let Deserted { since_ns, ask_ns } =
            deserted.get_or_insert(Deserted { since_ns: now, ask_ns: now });
        // A parent that ends at once leaves children that have not been taken up.
        if let Some(births) = &mut self.newcomers.births
            && now.saturating_sub(*since_ns) < GRACE_NS
            && births.has_orphans(|pid| self.proc.stat(pid).is_ok_and(|stat| !stat.is_dead()))
        {
            self.due.take_up_now();
            return false;
        }
        let Some(roster) = self.newcomers.roster.as_ref().filter(|roster| roster.is_open()) else {
            return true;
        };
        if now < *ask_ns {
            return false;
        }
        *ask_ns = now.saturating_add(ASK_NS);
        let refused = &self.newcomers.refused;
        roster.is_closed()
            || (!self.plan.wait
                && now.saturating_sub(*since_ns) >= GRACE_NS
                && roster.search(|pid| refused.contains_key(&pid)).is_empty())
    }

    /// Asks the kernel to tell of children from now on. Where it does not, they are searched for.
    pub(super) fn listen_for_children(&mut self, console: &mut Console) -> Result<(), Failure> {
        if !self.plan.children {
            return Ok(());
        }
        match Births::listen() {
            Ok(births) => {
                self.newcomers.births = Some(births);
                Ok(())
            }
            Err(why) => {
                let text = format!(
                    "forked processes are looked for every {} ms: who lives shorter is neither recorded nor \
                     counted, as the kernel does not tell of them ({why})",
                    SEARCH_NS / 1_000_000
                );
                console.detail(&text);
                self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))
            }
        }
    }

    /// Takes up those that are there from the beginning.
    pub(super) fn welcome(
        &mut self,
        events: &Events,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if self.seeks_newcomers() {
            self.find_newcomers_within(BEGIN_TIME_NS, events, console)?;
        }
        Ok(())
    }

    /// Takes up new processes; tells when to search again.
    pub(super) fn find_newcomers(
        &mut self,
        events: &Events,
        console: &mut Console,
    ) -> Result<u64, Failure> {
        let time_ns = ATTACH_TIME_NS.max(self.sample_ns() / ATTACH_PART);
        self.find_newcomers_within(time_ns, events, console)
    }

    fn find_newcomers_within(
        &mut self,
        time_ns: u64,
        events: &Events,
        console: &mut Console,
    ) -> Result<u64, Failure> {
        let begin = monotonic_ns();
        let proc = self.proc;
        self.newcomers.refused.retain(|_, identity| proc.is_alive(*identity));
        let found = self.new_processes(begin);
        let found = self.with_memory_of_their_own(found, begin, console)?;
        let searched = monotonic_ns();
        let pause = searched.saturating_sub(begin).saturating_mul(SEARCH_COST);
        let most = self.most_targets();
        let mut left = found.as_slice();
        while let Some((candidate, others)) = left.split_first() {
            if self.targets.len() >= most {
                self.say_full(left, most, console)?;
                break;
            }
            if monotonic_ns().saturating_sub(searched) > time_ns {
                // The rest is found again at the end of the next round.
                return Ok(0);
            }
            self.take_up_newcomer(*candidate, events, console)?;
            left = others;
        }
        let least = if self.newcomers.births.is_some() { LISTEN_NS } else { SEARCH_NS };
        Ok(searched.saturating_add(pause.clamp(least, SEARCH_MOST_NS)))
    }

    /// Ranges that a target may have, each of which is a region at least.
    fn ranges_of_each(&self) -> u32 {
        match self.mode {
            Mode::Sampled(_) | Mode::Exact(_) => MOST_RANGES,
            Mode::Kernel(_) => KERNEL_RANGES,
        }
    }

    fn most_targets(&self) -> usize {
        usize::try_from(self.plan.max_regions / self.ranges_of_each())
            .unwrap_or(MOST_TARGETS)
            .clamp(1, MOST_TARGETS)
    }

    fn say_full(
        &mut self,
        left: &[Candidate],
        most: usize,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if let Some(births) = &mut self.newcomers.births {
            for candidate in left {
                births.excuse(candidate.pid);
            }
        }
        if std::mem::replace(&mut self.newcomers.full_said, true) {
            return Ok(());
        }
        let left = left.len();
        let why = if most < MOST_TARGETS {
            let max = self.plan.max_regions;
            let each = self.ranges_of_each();
            format!(", as each may need {each} of --max-regions {max}: raise that for more")
        } else {
            String::new()
        };
        let verb = if left == 1 { "process is" } else { "processes are" };
        self.note(
            format!("{left} more {verb} not recorded: at most {most} at a time{why}"),
            console,
        )
    }

    /// Processes that should be targets and are none yet; parents before their children.
    fn new_processes(&mut self, now: u64) -> Vec<Candidate> {
        let targets: BTreeSet<u32> = self.targets.iter().map(|t| t.identity.pid).collect();
        let Newcomers { roster, refused, births, search_ns, .. } = &mut self.newcomers;
        let known = |pid: u32| targets.contains(&pid) || refused.contains_key(&pid);
        let mut is_search_due = self.plan.children;
        if let Some(births) = births {
            births.hear();
            is_search_due = now >= *search_ns || births.must_be_searched();
        }
        // Nobody tells of those that are wanted by name.
        let mut found = roster.as_ref().map(|roster| roster.search(known)).unwrap_or_default();
        let mut below = Vec::new();
        if is_search_due {
            *search_ns = now.saturating_add(SEARCH_MOST_NS);
            below = below_targets(self.proc, &targets);
            if let Some(births) = births {
                let proc = self.proc;
                births.searched(&below, |pid| proc.stat(pid).is_ok());
            }
        }
        let below = below.into_iter().map(|(pid, parent)| Candidate { pid, parent });
        let told = births.as_ref().map(Births::pending);
        let mut seen: BTreeSet<u32> = found.iter().map(|candidate| candidate.pid).collect();
        for candidate in told.into_iter().flatten().chain(below) {
            if !known(candidate.pid) && seen.insert(candidate.pid) {
                found.push(candidate);
            }
        }
        found
    }

    /// Leaves out who has the memory of a target: a vfork(2) child until it executes its program, and
    /// others made with `CLONE_VM` for ever. Memory is recorded once.
    fn with_memory_of_their_own(
        &mut self,
        found: Vec<Candidate>,
        now: u64,
        console: &mut Console,
    ) -> Result<Vec<Candidate>, Failure> {
        let before = std::mem::take(&mut self.newcomers.sharing);
        let mut own: Vec<Candidate> = Vec::with_capacity(found.len());
        for candidate in found {
            let pid = candidate.pid;
            let targets = self.targets.iter().map(|target| target.identity.pid);
            // Of newcomers that share memory with each other the first is taken up.
            let mut others = targets.chain(own.iter().map(|other| other.pid));
            let Some(other) = others.find(|other| share_memory(pid, *other)) else {
                own.push(candidate);
                continue;
            };
            let mut sharing =
                before.get(&pid).copied().unwrap_or(Sharing { since_ns: now, said: false });
            if !sharing.said && now.saturating_sub(sharing.since_ns) >= SEARCH_NS {
                sharing.said = true;
                let text = format!(
                    "process {pid} has the memory of process {other} and is recorded there"
                );
                self.note(text, console)?;
                if let Some(births) = &mut self.newcomers.births {
                    // It may execute a program yet.
                    births.excuse(pid);
                }
            }
            self.newcomers.sharing.insert(pid, sharing);
        }
        Ok(own)
    }

    fn take_up_newcomer(
        &mut self,
        candidate: Candidate,
        events: &Events,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Candidate { pid, parent } = candidate;
        let Ok(stat) = self.proc.stat(pid) else { return Ok(()) };
        let identity = Identity { pid, start_ticks: stat.start_ticks };
        let parent = self.targets.iter().find(|t| t.identity.pid == parent).map(|t| t.id);
        let id = TargetId(self.next_id);
        let why = match Tracked::attach(self.proc, self.kind, pid, id, None) {
            Ok(target) => match self.take_up(events, target, parent)? {
                Ok(()) => {
                    console.detail(&format!("process {pid} ({}) is recorded too", stat.comm));
                    return Ok(());
                }
                // Replaced: in the middle of an exec, found again at the next search.
                Err(WatchError::Gone | WatchError::Replaced) => return Ok(()),
                // Many live shorter than it takes to add them to what the kernel monitors.
                Err(WatchError::Failed(_)) if !self.proc.is_alive(identity) => return Ok(()),
                Err(WatchError::Failed(why)) => why,
            },
            Err(AttachError::Gone) => return Ok(()),
            Err(AttachError::Refused(why)) => why,
        };
        self.newcomers.refuse(identity);
        self.newcomers.named = self.newcomers.named.saturating_add(1);
        match self.newcomers.named {
            ..=MOST_NAMED => {
                let comm = stat.comm;
                self.note(format!("process {pid} ({comm}) is not recorded: {why}"), console)
            }
            number if number == MOST_NAMED + 1 => {
                self.note("further processes that cannot be recorded are not named".into(), console)
            }
            _ => Ok(()),
        }
    }

    /// Records how many children ended before anything could be recorded of them; the summary says it.
    pub(super) fn tell_brief_lives(&mut self, console: &mut Console) -> Result<(), Failure> {
        let Some((Brief { count, longest_ns }, is_all)) =
            self.newcomers.brief().filter(|(brief, _)| brief.count > 0)
        else {
            return Ok(());
        };
        let least = if is_all { "" } else { "at least " };
        let (processes, longest) = match count {
            1 => ("process", "it"),
            _ => ("processes", "the longest"),
        };
        let text = format!(
            "{least}{count} forked {processes} ended before anything could be recorded of them; {longest} lived {}",
            show_duration(Duration::from_micros(longest_ns.div_ceil(100_000).saturating_mul(100)))
        );
        console.detail(&text);
        self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))
    }

    fn note(&mut self, text: String, console: &mut Console) -> Result<(), Failure> {
        console.say(&text);
        self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))
    }
}

/// All processes below `targets` with their parents, parents first; not this one and its helpers.
fn below_targets(proc: &ProcRoot, targets: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let me = std::process::id();
    let mut found = Vec::new();
    let mut searched = BTreeSet::new();
    for target in targets {
        // A target that was met below an earlier one has been searched with it.
        if !searched.insert(*target) {
            continue;
        }
        for (pid, parent) in descendants_of(proc, *target) {
            searched.insert(pid);
            if pid != me && parent != me {
                found.push((pid, parent));
            }
        }
    }
    found
}
