//! Undoing what a recorder has done, if it is still so.

use super::record::{Claim, Phase, Record};
use crate::damon::sysfs::{Admin, Command, Context, Kdamond, State, TreeError};

/// How it was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The tree is as it was found.
    Undone,
    /// There was nothing to undo: nothing had been done, or somebody has removed it.
    NothingToDo,
}

/// What was ours is somebody else's now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kdamond {index} is no longer ours: {why}; nothing more was written to it")]
pub struct Lost {
    /// Its index.
    pub index: u32,
    /// What has changed.
    pub why: String,
}

/// Why the tree is not restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestored {
    /// There is nothing of ours any more, and trying again makes no sense.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// It may succeed later.
    #[error("what was set up in the kernel's DAMON could not be removed: {0}")]
    Tree(#[from] TreeError),
}

/// Whom to believe about a directory that was being created when the record ends: it is ours if it is as the
/// kernel makes it and nobody else had the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The recorder has died this moment.
    JustDied,
    /// It may have died long ago.
    LongDead,
}

/// Undoes what `record` says, unless something differs from it: then not a single write is made.
pub fn restore(admin: &Admin, record: &Record) -> Result<Restored, NotRestored> {
    restore_trusting(admin, record, Trust::JustDied)
}

pub(super) fn restore_trusting(
    admin: &Admin,
    record: &Record,
    trust: Trust,
) -> Result<Restored, NotRestored> {
    if record.phase == Phase::Nothing {
        return Ok(Restored::NothingToDo);
    }
    let undoing = Undoing { admin, record, trust };
    match undoing.undo() {
        Err(NotRestored::Tree(error)) if error.is_gone() => {
            // Somebody is faster, or was before us. What is there now?
            match undoing.look()? {
                Found::Nothing => Ok(Restored::NothingToDo),
                Found::Ours(..) => Err(error.into()),
            }
        }
        result => result,
    }
}

/// Whether there is something that [`restore_trusting`] would undo; reads only.
pub(super) fn is_ours(admin: &Admin, record: &Record, trust: Trust) -> bool {
    record.phase != Phase::Nothing
        && matches!(Undoing { admin, record, trust }.look(), Ok(Found::Ours(..)))
}

struct Undoing<'a> {
    admin: &'a Admin,
    record: &'a Record,
    trust: Trust,
}

enum Found {
    Nothing,
    Ours(Kdamond, Option<Context>),
}

impl Undoing<'_> {
    fn lost<T>(&self, why: impl Into<String>) -> Result<T, NotRestored> {
        Err(Lost { index: self.record.claim.index(), why: why.into() }.into())
    }

    /// Whether everything is as the record says; reads only.
    fn look(&self) -> Result<Found, NotRestored> {
        let Record { claim, phase, .. } = self.record;
        let count = self.admin.nr_kdamonds()?;
        if *claim == Claim::Created && count == 0 {
            return Ok(Found::Nothing);
        }
        if count != claim.count() {
            return self.lost(format!("there are {count} kdamonds now, not {}", claim.count()));
        }
        let kdamond = self.admin.kdamond(claim.index())?;
        let state = kdamond.state()?;
        let contexts = kdamond.nr_contexts()?;
        match self.record.kdamond {
            Some(identity) if identity == kdamond.identity()? => {}
            Some(_) => return self.lost("its directory was made anew"),
            None if self.trust == Trust::LongDead => {
                return self.lost("it is not known who has made its directory");
            }
            None if (state, contexts) == (State::Off, 0) => {}
            None => return self.lost("somebody else has set it up"),
        }
        if state == State::On {
            self.is_our_thread(&kdamond)?;
        }
        if contexts == 0 {
            // Of a spare one that is all there was; of our own one only the directory remains.
            return Ok(match claim {
                Claim::Created => Found::Ours(kdamond, None),
                Claim::Spare { .. } => Found::Nothing,
            });
        }
        let Some(context) = kdamond.context()? else { return self.lost("its context has changed") };
        match self.record.context {
            Some(identity) if identity == context.tree().identity()? => {}
            Some(_) => return self.lost("its context was made anew"),
            None if *phase < Phase::Context => {
                return self.lost("somebody else has made a context");
            }
            // In a directory of our own nobody else has any business.
            None if self.trust == Trust::LongDead && *claim != Claim::Created => {
                return self.lost("it is not known who has made its context");
            }
            None if context.nr_targets()? == 0 && context.nr_schemes()? == 0 => {}
            None => return self.lost("somebody else has set it up"),
        }
        Ok(Found::Ours(kdamond, Some(context)))
    }

    fn is_our_thread(&self, kdamond: &Kdamond) -> Result<(), NotRestored> {
        let Record { phase, tid, .. } = self.record;
        match (phase, tid, kdamond.tid()?) {
            // It has ended meanwhile, or its directory tells enough.
            (_, _, None) | (Phase::Starting, None, _) => Ok(()),
            (Phase::Running, Some(ours), Some(tid)) if *ours == tid => Ok(()),
            (_, _, Some(tid)) => {
                self.lost(format!("thread {tid} runs in it, which we have not started"))
            }
        }
    }

    fn undo(&self) -> Result<Restored, NotRestored> {
        let Found::Ours(kdamond, context) = self.look()? else {
            return Ok(Restored::NothingToDo);
        };
        self.stop(&kdamond)?;
        if context.is_some() {
            // Below the directory that was just identified, and never below another one.
            kdamond.tree().set(Kdamond::CONTEXTS, "0")?;
        }
        if self.record.claim == Claim::Created {
            // The one write that no open directory protects: everything is looked at once more.
            match self.look()? {
                Found::Ours(kdamond, None) if kdamond.state()? == State::Off => {
                    self.admin.tree().set(Admin::COUNT, "0")?;
                }
                Found::Ours(..) => return self.lost("somebody else sets it up at this moment"),
                Found::Nothing => {}
            }
        }
        Ok(Restored::Undone)
    }

    fn stop(&self, kdamond: &Kdamond) -> Result<(), NotRestored> {
        if kdamond.state()? == State::Off {
            return Ok(());
        }
        let stopped = kdamond.command(Command::Off);
        // Kernels differ in what they say about one that has stopped by itself meanwhile.
        match (kdamond.state()?, stopped) {
            (State::Off, _) => Ok(()),
            (State::On, Err(error)) => Err(error.into()),
            (State::On, Ok(())) => {
                self.is_our_thread(kdamond)?;
                let path = kdamond.tree().path(Kdamond::STATE);
                Err(TreeError::Ignored { path, value: "off".into(), read: "on".into() }.into())
            }
        }
    }
}
