//! What a session does about the kernel's DAMON beside fetching its events.

use super::begin::memory_map;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::session::console::Console;
use crate::session::events::Events;
use crate::session::mode::Mode;
use crate::session::run::Session;
use crate::session::tracked::Tracked;
use damon_format::{MappingsChanged, Note, Record, TargetId, TargetKind, TargetStarted};

impl Session<'_> {
    /// Whether physical memory is recorded, which is always there.
    pub(in crate::session) fn is_physical(&self) -> bool {
        matches!(&self.mode, Mode::Kernel(kernel) if kernel.is_physical())
    }

    /// Takes up what a kdamond monitors that has been started already.
    pub(in crate::session) fn begin_kernel(
        &mut self,
        events: &Events,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Mode::Kernel(kernel) = &self.mode else {
            return Ok(());
        };
        let processes = kernel.unclaimed();
        self.tell_kernel_news(console)?;
        if self.is_physical() {
            self.begin_physical()?;
        }
        for pid in processes {
            let id = TargetId(self.next_id);
            let taken = match Tracked::attach(self.proc, self.kind, pid, id, None) {
                Ok(target) => {
                    self.take_up(events, target, None)?.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = taken {
                let text =
                    format!("process {pid}, which the kdamond monitors, is not recorded: {why}");
                console.say(&text);
                self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))?;
            }
        }
        Ok(())
    }

    /// Says and records how the kdamond is listened to, and what had to be done for it.
    pub(in crate::session) fn tell_kernel_news(
        &mut self,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Mode::Kernel(kernel) = &mut self.mode else {
            return Ok(());
        };
        for (time_ns, text) in kernel.news() {
            console.detail(&text);
            self.trace.record(&Record::Note(Note { time_ns, text }))?;
        }
        Ok(())
    }

    fn begin_physical(&mut self) -> Result<(), Failure> {
        let (target, time_ns) = (TargetId(0), monotonic_ns());
        self.next_id = self.next_id.max(1);
        self.trace.record(&Record::TargetStarted(TargetStarted {
            target,
            time_ns,
            kind: TargetKind::Physical,
            pid: 0,
            start_ticks: 0,
            parent: None,
            comm: String::new(),
            exe: String::new(),
        }))?;
        let added = memory_map(self.proc);
        let removed = Vec::new();
        self.trace.record(&Record::MappingsChanged(MappingsChanged {
            target,
            time_ns,
            removed,
            added,
        }))
    }

    /// Records what is known of the kdamond beside its events, and notices its end.
    pub(in crate::session) fn sample_kernel(&mut self) -> Result<(), Failure> {
        let Mode::Kernel(kernel) = &mut self.mode else {
            return Ok(());
        };
        for record in kernel.sample(self.proc) {
            self.trace.record(&record)?;
        }
        // Asked first: a target that exits before it is asked whether it lives explains the end that was seen.
        let ended = kernel.why_ended(self.proc);
        // While its targets exit the kdamond does, too; that is noticed elsewhere.
        let exiting = self.targets.iter().any(|target| !self.proc.is_alive(target.identity));
        let nobody = self.targets.is_empty() && !kernel.is_physical();
        if !exiting
            && !nobody
            && let Some(why) = ended
            && let Err(error) = kernel.revive()
        {
            self.stopped.get_or_insert(format!("{why}; it was not started anew: {error}"));
        }
        Ok(())
    }

    /// Stops a kdamond of our own, restores what there was before, and stores its last events.
    pub(in crate::session) fn release_kernel(
        &mut self,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Mode::Kernel(kernel) = &mut self.mode else {
            return Ok(());
        };
        for record in kernel.sample(self.proc) {
            self.trace.record(&record)?;
        }
        if let Err(why) = kernel.release() {
            console.error(&why);
        }
        kernel.finish(&mut self.trace)?;
        self.tell_kernel_news(console)
    }
}
