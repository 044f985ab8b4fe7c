//! Who may touch what of the kernel's DAMON. Its interface knows no owners: whoever is root may destroy what
//! somebody else has set up. So we keep rules.
//!
//! - [`survey()`] reads, and never writes.
//! - [`Owned::acquire`] creates a kdamond only where there is none at all and no module of the kernel
//!   monitors; everything else is refused with a sentence. A spare kdamond (off, without a context) that
//!   somebody has provided is used with explicit consent only, and left as it was.
//! - What is ours is told by more than an index: by the identity of its directories and by its thread. Directories
//!   are held open, so that what is written below them cannot reach anybody else's.
//! - It is restored when we are done ([`Owned::release`], also by `Drop`), by a [guard process](Guard) when we
//!   die before, and by the next recorder from the lock file when the guard was killed as well.
//!
//! All three restore by the same function and from the same [`Record`] in the lock file, which says before
//! each step what may have been done.

mod acquire;
mod guard;
mod lock;
mod place;
mod record;
mod refusal;
mod restore;
mod serve;
mod survey;
#[cfg(test)]
mod tests;

pub use acquire::{OwnError, Owned, available};
pub use guard::{Guard, GuardError, GuardProgram};
pub use lock::{Lock, LockError};
pub use place::OwnPlace;
pub use record::{Claim, Phase, Record};
pub use refusal::Refusal;
pub use restore::{Lost, NotRestored, Restored, restore};
pub use serve::{GUARD_ARGUMENT, serve, serve_if_asked};
pub use survey::{KdamondSeen, Module, Survey, TargetSeen, survey};
