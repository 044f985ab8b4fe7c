//! Owning a kdamond in real processes that die, on a fake of the kernel's DAMON that they share.

#[cfg(test)]
mod common;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod killed;
