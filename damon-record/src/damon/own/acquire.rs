//! Getting a kdamond, and holding it.

use super::guard::Guard;
use super::lock::{Attempt, Leftover, Lock, LockError};
use super::place::OwnPlace;
use super::record::{Claim, Phase, Record};
use super::refusal::Refusal;
use super::restore::{Lost, NotRestored, Restored, Trust, is_ours, restore, restore_trusting};
use super::survey::{Survey, survey};
use crate::damon::sysfs::{Admin, Command, Context, Kdamond, State, TreeError};
use crate::proc::{Identity, ProcRoot};
use std::time::{Duration, Instant};

/// How long the guard of a recorder that has died may take before we give up waiting for it.
const GUARD_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// What can go wrong with a kdamond of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnError {
    /// It is somebody else's now.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A file of the tree.
    #[error(transparent)]
    Tree(TreeError),
    /// What is about to be done could not be recorded, so it was not done.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It has ended right after it was started.
    #[error(
        "the kdamond stopped as soon as it was started: its targets have exited, or have no memory that it \
         could monitor"
    )]
    StoppedAtOnce,
}

/// A kdamond of ours with one context. Restores the tree when dropped, and through its guard when we die.
#[derive(Debug)]
pub struct Owned {
    keeper: Keeper,
    kdamond: Kdamond,
    context: Context,
}

/// Keeps the record, and undoes what it says.
#[derive(Debug)]
struct Keeper {
    admin: Admin,
    record: Record,
    lock: Lock,
    guard: Option<Guard>,
    finished: bool,
}

impl Owned {
    /// Creates a kdamond with an empty context if nobody uses DAMON, or takes a spare one if `place` allows.
    /// Refuses without a single write to the tree in all other cases.
    pub fn acquire(admin: &Admin, place: &OwnPlace) -> Result<Self, Refusal> {
        probe(admin)?;
        let lock = take_lock(admin, place)?;
        match Keeper::start(admin, place, lock)? {
            keeper if keeper.record.claim == Claim::Created => keeper.create(),
            keeper => keeper.take_spare(),
        }
    }

    /// Its files.
    pub fn kdamond(&self) -> &Kdamond {
        &self.kdamond
    }

    /// Its context's files.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What would be undone.
    pub fn record(&self) -> &Record {
        &self.keeper.record
    }

    /// Starts it with what the files say: the id of its thread.
    pub fn start(&mut self) -> Result<u32, OwnError> {
        self.keeper.enter(Phase::Starting, |record| record.tid = None)?;
        self.kdamond.command(Command::On).map_err(|error| self.judge(error))?;
        // It may be gone already.
        let running = self.kdamond.state().and_then(|state| match state {
            State::On => self.kdamond.tid(),
            State::Off => Ok(None),
        });
        let tid = running.map_err(|error| self.judge(error))?.ok_or(OwnError::StoppedAtOnce)?;
        self.keeper.enter(Phase::Running, |record| record.tid = Some(tid))?;
        Ok(tid)
    }

    /// Stops it if it runs and is ours; it can be started again.
    pub fn stop(&self) -> Result<(), OwnError> {
        if self.state()? == State::Off {
            return Ok(());
        }
        let stopped = self.kdamond.command(Command::Off);
        match self.state()? {
            State::Off => Ok(()),
            State::On => {
                let path = self.kdamond.tree().path(Kdamond::STATE);
                let ignored = TreeError::Ignored { path, value: "off".into(), read: "on".into() };
                Err(OwnError::Tree(stopped.err().unwrap_or(ignored)))
            }
        }
    }

    /// Whether it runs, and whether it is still ours.
    pub fn state(&self) -> Result<State, OwnError> {
        let state = self.kdamond.state().map_err(|error| self.judge(error))?;
        if state == State::Off {
            return Ok(state);
        }
        match (self.kdamond.tid().map_err(|error| self.judge(error))?, self.keeper.record.tid) {
            (None, _) => Ok(State::Off),
            (Some(tid), ours) if ours == Some(tid) => Ok(State::On),
            (Some(tid), _) => {
                Err(self.lost(format!("thread {tid} runs in it, which we have not started")).into())
            }
        }
    }

    /// What an error of a file below our directories means: if they have vanished, that they are no longer
    /// ours.
    pub fn judge(&self, error: TreeError) -> OwnError {
        let ours = |identity: Result<u64, TreeError>, known| identity.ok() == known;
        let record = &self.keeper.record;
        let there = self.keeper.admin.kdamond(record.claim.index()).is_ok_and(|kdamond| {
            ours(kdamond.identity(), record.kdamond)
                && kdamond.context().is_ok_and(|context| {
                    context.is_some_and(|context| ours(context.tree().identity(), record.context))
                })
        });
        if error.is_gone() && !there {
            self.lost("its directory was removed or made anew").into()
        } else {
            OwnError::Tree(error)
        }
    }

    fn lost(&self, why: impl Into<String>) -> Lost {
        Lost { index: self.keeper.record.claim.index(), why: why.into() }
    }

    /// Stops it and leaves the tree as it was found. If that fails, the guard goes on trying for a while.
    pub fn release(mut self) -> Result<Restored, NotRestored> {
        self.keeper.finish()
    }
}

/// Whether [`Owned::acquire`] would get a kdamond, as far as reading tells. What a killed recorder and its guard have
/// left is no obstacle: acquiring removes it.
pub fn available(admin: &Admin, place: &OwnPlace) -> Result<(), Refusal> {
    probe(admin)?;
    let survey = survey(admin, &place.modules)?;
    match survey.modules.first() {
        Some(module) => return Err(Refusal::Module(*module)),
        None if survey.nr_kdamonds == 0 => return Ok(()),
        None => {}
    }
    let by_us = Lock::peek(&place.lock_dirs).filter(|record| {
        boot_id(&place.proc).is_ok_and(|boot| boot == record.boot_id)
            && admin.tree().root().as_os_str() == record.root.as_str()
            && is_ours(admin, record, Trust::LongDead)
    });
    match by_us {
        Some(record) if is_another(&place.proc, &record) => {
            Err(Refusal::Busy { by: Some(record.pid) })
        }
        Some(_) => Ok(()),
        None => Err(Refusal::InUse { survey }),
    }
}

/// Refuses where there is no DAMON, or none for us.
fn probe(admin: &Admin) -> Result<(), Refusal> {
    match admin.nr_kdamonds() {
        Ok(_) => Ok(()),
        Err(error) if error.is_gone() => Err(Refusal::NoDamon { path: error.path().to_owned() }),
        Err(error) => Err(error.into()),
    }
}

/// The lock, after whatever a recorder that was killed has left is removed.
fn take_lock(admin: &Admin, place: &OwnPlace) -> Result<Lock, Refusal> {
    let deadline = Instant::now() + GUARD_LIMIT;
    loop {
        match Lock::attempt(&place.lock_dirs)? {
            Attempt::Taken(lock, None) => return Ok(lock),
            Attempt::Taken(lock, Some(Leftover::Text(text))) => {
                return Err(Refusal::StrangeLock { path: lock.path().to_owned(), text });
            }
            Attempt::Taken(lock, Some(Leftover::Record(record))) => {
                recover(admin, &place.proc, &record, &lock)?;
                return Ok(lock);
            }
            Attempt::Held(by) => {
                // The guard of one that has died is about to be done.
                let dead = by.as_ref().is_some_and(|record| !is_alive(&place.proc, record));
                if !dead || Instant::now() >= deadline {
                    return Err(Refusal::Busy { by: by.map(|record| record.pid) });
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn is_alive(proc: &ProcRoot, record: &Record) -> bool {
    proc.is_alive(Identity { pid: record.pid, start_ticks: record.start_ticks })
}

/// Whether another recorder lives that has written this. Of our own it is what an earlier release could not do.
fn is_another(proc: &ProcRoot, record: &Record) -> bool {
    record.pid != std::process::id() && is_alive(proc, record)
}

/// Undoes what a recorder and its guard, both killed, have left.
fn recover(admin: &Admin, proc: &ProcRoot, record: &Record, lock: &Lock) -> Result<(), Refusal> {
    if record.phase == Phase::Nothing || boot_id(proc)? != record.boot_id {
        return Ok(());
    }
    if is_another(proc, record) {
        // It has lost its lock, perhaps with the file; it may still use what it has.
        return Err(Refusal::Busy { by: Some(record.pid) });
    }
    if admin.tree().root().as_os_str() != record.root.as_str() {
        let text = format!("it is about {}", record.root);
        return Err(Refusal::StrangeLock { path: lock.path().to_owned(), text });
    }
    match restore_trusting(admin, record, Trust::LongDead) {
        // What is there now is somebody else's, and treated like that.
        Ok(_) | Err(NotRestored::Lost(_)) => Ok(()),
        Err(source) => Err(Refusal::Recovery { pid: record.pid, source }),
    }
}

fn boot_id(proc: &ProcRoot) -> Result<String, Refusal> {
    let path = proc.path().join("sys/kernel/random/boot_id");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(Refusal::Proc(format!("{}: {error}", path.display()))),
    }
}

/// What may be ours, as things are.
fn claim(survey: &Survey, place: &OwnPlace) -> Result<Claim, Refusal> {
    if let Some(module) = survey.modules.first() {
        return Err(Refusal::Module(*module));
    }
    match survey.spare() {
        _ if survey.nr_kdamonds == 0 => Ok(Claim::Created),
        Some(spare) if place.use_spare => {
            Ok(Claim::Spare { index: spare.index, count: survey.nr_kdamonds })
        }
        _ => Err(Refusal::InUse { survey: survey.clone() }),
    }
}

impl Keeper {
    /// Decides what may be done, and sees to it that it will be undone. Nothing is written to the tree.
    fn start(admin: &Admin, place: &OwnPlace, lock: Lock) -> Result<Self, Refusal> {
        let started = Self::record(admin, place).and_then(|record| {
            lock.write(&record)?;
            let guard = place.guard.as_ref().map(|program| Guard::start(program, &lock));
            Ok((record, guard.transpose()?))
        });
        match started {
            Ok((record, guard)) => {
                Ok(Self { admin: admin.clone(), record, lock, guard, finished: false })
            }
            Err(refusal) => {
                // An empty file is no leftover, should it stay.
                let _left_empty = lock.clear();
                Err(refusal)
            }
        }
    }

    fn record(admin: &Admin, place: &OwnPlace) -> Result<Record, Refusal> {
        let claim = claim(&survey(admin, &place.modules)?, place)?;
        let pid = std::process::id();
        let root = admin.tree().root();
        let unusable = || Refusal::Proc(format!("{} is no plain text", root.display()));
        Ok(Record {
            version: Record::VERSION,
            pid,
            start_ticks: place
                .proc
                .stat(pid)
                .map_err(|error| Refusal::Proc(error.to_string()))?
                .start_ticks,
            boot_id: boot_id(&place.proc)?,
            root: root.to_str().ok_or_else(unusable)?.to_owned(),
            claim,
            phase: Phase::Nothing,
            kdamond: None,
            context: None,
            tid: None,
        })
    }

    /// Records that `phase` begins.
    fn enter(&mut self, phase: Phase, change: impl FnOnce(&mut Record)) -> Result<(), LockError> {
        let mut record = Record { phase, ..self.record.clone() };
        change(&mut record);
        self.lock.write(&record)?;
        self.record = record;
        Ok(())
    }

    fn create(mut self) -> Result<Owned, Refusal> {
        // Once more, as late as possible: from here on an empty kdamond 0 is taken for ours.
        let count = self.admin.nr_kdamonds()?;
        if count != 0 {
            return Err(self.in_use());
        }
        self.enter(Phase::Kdamond, |_| {})?;
        if let Err(error) = self.admin.tree().command(Admin::COUNT, "1") {
            // What may be there is not ours.
            self.enter(Phase::Nothing, |_| {})?;
            return Err(error.into());
        }
        let kdamond = self.admin.kdamond(0)?;
        let identity = kdamond.identity()?;
        self.enter(Phase::Kdamond, |record| record.kdamond = Some(identity))?;
        let count = self.admin.nr_kdamonds()?;
        if count != 1 {
            let why = format!("it was to be the only one, and there are {count} now");
            return Err(Lost { index: 0, why }.into());
        }
        self.add_context(kdamond)
    }

    fn take_spare(mut self) -> Result<Owned, Refusal> {
        let kdamond = self.admin.kdamond(self.record.claim.index())?;
        let identity = kdamond.identity()?;
        if (kdamond.state()?, kdamond.nr_contexts()?) != (State::Off, 0) {
            return Err(self.in_use());
        }
        self.enter(Phase::Nothing, |record| record.kdamond = Some(identity))?;
        self.add_context(kdamond)
    }

    fn add_context(mut self, kdamond: Kdamond) -> Result<Owned, Refusal> {
        let before = self.record.phase;
        self.enter(Phase::Context, |_| {})?;
        if let Err(error) = kdamond.tree().command(Kdamond::CONTEXTS, "1") {
            self.enter(before, |_| {})?;
            return Err(error.into());
        }
        let Some(context) = kdamond.context()? else {
            let why = "its context was removed at once".to_owned();
            return Err(Lost { index: kdamond.index(), why }.into());
        };
        let identity = context.tree().identity()?;
        self.enter(Phase::SetUp, |record| record.context = Some(identity))?;
        Ok(Owned { keeper: self, kdamond, context })
    }

    fn in_use(&self) -> Refusal {
        match self.admin.nr_kdamonds() {
            Ok(nr_kdamonds) => Refusal::InUse {
                survey: Survey { nr_kdamonds, kdamonds: Vec::new(), modules: Vec::new() },
            },
            Err(error) => error.into(),
        }
    }

    fn finish(&mut self) -> Result<Restored, NotRestored> {
        self.finished = true;
        let result = restore(&self.admin, &self.record);
        match &result {
            Ok(_) | Err(NotRestored::Lost(_)) => {
                // Without a record nobody will undo anything; a file that cannot be removed is empty.
                let _left_behind = self.lock.clear();
                if let Some(guard) = self.guard.take() {
                    guard.dismiss();
                }
            }
            // Closing its socket leaves it to the guard.
            Err(NotRestored::Tree(_)) => drop(self.guard.take()),
        }
        result
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody is left to hear about it; the guard and the lock file know.
            let _unheard = self.finish();
        }
    }
}
