//! One recorder clears the accessed state of a process at a time: two of them would each miss what the
//! other has cleared.
//!
//! The claim is an abstract unix socket named after the process. It has no file, so nothing is left
//! behind however the recorder dies. Recorders in different network namespaces do not see each other.

use crate::proc::Identity;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Why a process cannot be claimed; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another recorder has it.
    #[error(
        "{} already clears the accessed state of process {pid}, and two that do so would each miss what \
         the other has cleared; stop it first, or record with --backend writes meanwhile",
        by.map_or_else(|| "another damon-record".to_owned(), |by| format!("damon-record (process {by})"))
    )]
    Held {
        /// The process asked for.
        pid: u32,
        /// The other recorder, where the kernel tells.
        by: Option<i32>,
    },
    /// The system does not let us make the socket.
    #[error(
        "cannot make sure that no other damon-record clears the accessed state of process {pid}: {source}"
    )]
    Io {
        /// The process asked for.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
}

/// The right to clear the accessed state of one process; given up when dropped, or when we die.
#[derive(Debug)]
pub struct Claim {
    _socket: UnixListener,
}

/// This process's own claims: attaching anew to a target that executed another program overlaps with
/// the old claim.
static OWN: Mutex<Vec<(Identity, Weak<Claim>)>> = Mutex::new(Vec::new());

/// Claims the process; shared with earlier claims of this recorder.
pub fn claim(target: Identity) -> Result<Arc<Claim>, ClaimError> {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    own.retain(|(_, claim)| claim.strong_count() > 0);
    let known = own.iter().find(|(identity, _)| *identity == target);
    if let Some(claim) = known.and_then(|(_, claim)| claim.upgrade()) {
        return Ok(claim);
    }
    let pid = target.pid;
    let address = address(target).map_err(|source| ClaimError::Io { pid, source })?;
    match UnixListener::bind_addr(&address) {
        Ok(socket) => {
            let claim = Arc::new(Claim { _socket: socket });
            own.push((target, Arc::downgrade(&claim)));
            Ok(claim)
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(ClaimError::Held { pid, by: holder(&address) })
        }
        Err(source) => Err(ClaimError::Io { pid, source }),
    }
}

fn address(target: Identity) -> io::Result<SocketAddr> {
    let name = format!("damon-record/accessed/{}/{}", target.pid, target.start_ticks);
    SocketAddr::from_abstract_name(name)
}

/// Who listens there.
fn holder(address: &SocketAddr) -> Option<i32> {
    let stream = UnixStream::connect_addr(address).ok()?;
    // 0: a process outside of our pid namespace.
    getsockopt(&stream, PeerCredentials).ok().map(|peer| peer.pid()).filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(start_ticks: u64) -> Identity {
        Identity { pid: std::process::id(), start_ticks }
    }

    #[test]
    fn one_recorder_may_claim_again_and_another_may_not() {
        let first = claim(target(1)).unwrap();
        let again = claim(target(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        drop((first, again));

        // As another recorder would hold it.
        let other = UnixListener::bind_addr(&address(target(1)).unwrap()).unwrap();
        let refused = claim(target(1)).unwrap_err();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(refused, ClaimError::Held { by: Some(by), .. } if by == me),
            "{refused:?}"
        );
        let text = refused.to_string();
        assert!(text.contains("--backend writes") && text.contains("stop it first"), "{text}");
        drop(other);
        assert!(claim(target(1)).is_ok(), "free again");
    }

    #[test]
    fn another_life_of_the_same_pid_is_another_process() {
        let _first = claim(target(2)).unwrap();
        let _other = UnixListener::bind_addr(&address(target(3)).unwrap()).unwrap();
        assert!(matches!(claim(target(3)), Err(ClaimError::Held { .. })));
        assert!(claim(target(2)).is_ok());
    }
}
