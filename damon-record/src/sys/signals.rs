//! Dispositions that the standard library does not offer.
#![expect(unsafe_code, reason = "sigaction has no safe form")]

use nix::sys::signal::{SigAction, SigHandler, Signal, sigaction};

/// Lets a write beyond the file size limit (`ulimit -f`) fail with `EFBIG` instead of killing the
/// process; returns what was set before, for the command that is started.
pub fn ignore_file_size_signal() -> nix::Result<SigAction> {
    let ignore = SigAction::new(
        SigHandler::SigIgn,
        nix::sys::signal::SaFlags::empty(),
        nix::sys::signal::SigSet::empty(),
    );
    // SAFETY: SIG_IGN runs no code, so no handler can be called in a wrong context.
    unsafe { sigaction(Signal::SIGXFSZ, &ignore) }
}
