//! Sending a message with at most one file descriptor over a unix socket (`SCM_RIGHTS`).

#![expect(unsafe_code, reason = "received descriptors arrive as bare integers")]

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A connected pair that keeps message boundaries; both ends close on exec.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// Sends one message; a vanished peer is `EPIPE`, never a signal.
pub fn send(
    socket: BorrowedFd<'_>,
    message: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let raw: Option<[RawFd; 1]> = fd.map(|fd| [fd.as_raw_fd()]);
    let rights: Option<[ControlMessage<'_>; 1]> =
        raw.as_ref().map(|fds| [ControlMessage::ScmRights(fds)]);
    let control: &[ControlMessage<'_>] = rights.as_ref().map_or(&[], |rights| rights);
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(message)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Receives one message into `buffer`: its length (0 when the peer is gone) and the descriptor that
/// came along, which closes on exec.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut received = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            for fd in fds {
                // SAFETY: recvmsg has just installed this descriptor in our table; it is ours alone.
                received = Some(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    Ok((message.bytes, received))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    #[test]
    fn message_and_descriptor_arrive_together() {
        let (a, b) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"through the socket").unwrap();
        file.rewind().unwrap();
        send(a.as_fd(), b"hello", Some(file.as_fd())).unwrap();
        send(a.as_fd(), b"bare", None).unwrap();
        drop(a);
        let mut buffer = [0; 16];
        let (len, fd) = receive(b.as_fd(), &mut buffer).unwrap();
        assert_eq!(buffer.get(..len), Some(&b"hello"[..]));
        let mut text = String::new();
        std::fs::File::from(fd.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the socket");
        let (len, fd) = receive(b.as_fd(), &mut buffer).unwrap();
        assert_eq!((len, fd.is_none()), (4, true));
        let (len, _none) = receive(b.as_fd(), &mut buffer).unwrap();
        assert_eq!(len, 0, "the peer is gone");
    }

    #[test]
    fn a_vanished_peer_is_an_error_not_a_signal() {
        let (a, b) = pair().unwrap();
        drop(b);
        assert_eq!(send(a.as_fd(), b"x", None).unwrap_err(), Errno::EPIPE);
    }
}
