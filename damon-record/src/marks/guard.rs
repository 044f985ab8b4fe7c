//! The process that looks after the FIFO when the recorder cannot.
//!
//! A FIFO that nobody reads blocks whoever opens it, and one that loses its reader kills whoever writes (`SIGPIPE`). Both
//! would be harm that the recorder's death does to the recorded program. So this very program is started again with one
//! hidden argument, as the injection helper is (`backend::writes`). It leaves the recorder's session, process group and
//! terminal, and blocks all signals. All it has is a socket to the recorder, the FIFO, and a descriptor of the
//! command, if there is one. It sleeps until the recorder is gone. Then it throws away what is written until the
//! command has ended, removes what was made, and goes when no writer is left.
//!
//! What it cannot survive: `SIGKILL` of its own. Then the FIFO stays where it was asked for; or in a directory for temporary
//! files, until a later recorder finds it (`sweep`).

use super::fifo::Site;
use crate::sys::file_lock::{release, try_exclusive};
use crate::sys::{detached, fdpass};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// The hidden first argument that makes the program a guard.
const ARGUMENT: &str = "--internal-marks-guard";
/// A path is no longer than this.
const PATH_LEN: usize = 4096;
/// "The FIFO is there for this process."
const SERVE: u8 = b'S';
/// "I do not read it any more."
const DISCARD: u8 = b'D';
/// Between two times that something is thrown away, so that whoever floods the FIFO does not keep a core busy.
const PAUSE: Duration = Duration::from_millis(10);
/// So often it reads between two pauses.
const MOST_READS: u32 = 16;
/// Who cannot have the lock for so many pauses (1 s) leaves the FIFO to whoever has it. Our own recorder, that is just
/// ending, has it for a moment only.
const MOST_TAKEN: u32 = 100;

/// The recorder's side.
#[derive(Debug)]
pub(super) struct Guard {
    socket: OwnedFd,
    _child: Child,
}

impl Guard {
    /// Starts it.
    pub(super) fn start(site: &Site, fifo: &File) -> io::Result<Self> {
        let (socket, theirs) = fdpass::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut message = vec![u8::from(site.made), u8::from(site.private)];
        message.extend_from_slice(site.path.as_os_str().as_bytes());
        fdpass::send(socket.as_fd(), &message, Some(fifo.as_fd()))?;
        Ok(Self { socket, _child: child })
    }

    pub(super) fn serve(&self, process: BorrowedFd<'_>) {
        let _was_killed = fdpass::send(self.socket.as_fd(), &[SERVE], Some(process));
    }

    /// Has it throw away what comes; false if it is not there any more.
    pub(super) fn discard(&self) -> bool {
        fdpass::send(self.socket.as_fd(), &[DISCARD], None).is_ok()
    }
}

/// To be called first thing in `main`, before the arguments are parsed and before anything is opened:
/// serves as the guard when the program was started as one, and returns its exit code.
pub fn serve_if_asked(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let asked = arguments.nth(1).as_deref() == Some(OsStr::new(ARGUMENT));
    asked.then(|| if serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve() -> Result<(), Errno> {
    detached::detach_from_starter()?;
    let _stays = nix::unistd::chdir("/");
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    let mut message = vec![0; PATH_LEN + 2];
    let (length, fifo) = fdpass::receive(socket, &mut message)?;
    let fifo = File::from(fifo.ok_or(Errno::EINVAL)?);
    let [made, private, path @ ..] = message.get(..length).ok_or(Errno::EINVAL)? else {
        return Err(Errno::EINVAL);
    };
    let path = PathBuf::from(OsStr::from_bytes(path));
    let site = Site { path, made: *made != 0, private: *private != 0 };
    let command = while_the_recorder_lives(socket, &fifo);
    if let Some(command) = command {
        while_it_lives(command.as_fd(), &fifo);
    }
    // Before its name is gone, so that whoever opens it until then has a reader. This waits for nobody: we can write.
    let reader = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", fifo.as_raw_fd()));
    site.remove(&fifo);
    drop(fifo);
    if let Ok(reader) = reader {
        until_no_writer_is_left(&reader);
    }
    Ok(())
}

/// Returns the command that the FIFO is there for, if there is one, when the recorder is gone.
fn while_the_recorder_lives(socket: BorrowedFd<'_>, fifo: &File) -> Option<OwnedFd> {
    let (mut command, mut discards) = (None, false);
    loop {
        let mut fds = vec![PollFd::new(socket, PollFlags::POLLIN)];
        fds.extend(discards.then(|| PollFd::new(fifo.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_cannot_wait) => return command,
            Ok(_) => {}
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let (told, written) = (ready.next() == Some(true), ready.next() == Some(true));
        if told {
            let mut word = [0];
            match fdpass::receive(socket, &mut word) {
                Ok((1, process)) if word == [SERVE] => command = process,
                Ok((1, _)) if word == [DISCARD] => discards = true,
                Ok((0, _)) | Err(_) => return command,
                Ok(_) => {}
            }
        }
        if written {
            discard(fifo);
            std::thread::sleep(PAUSE);
        }
    }
}

fn while_it_lives(process: BorrowedFd<'_>, fifo: &File) {
    loop {
        let mut fds = [process, fifo.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_cannot_wait) => return,
            Ok(_) => {}
        }
        let [ended, written] = fds.map(|fd| fd.any().unwrap_or(false));
        if ended {
            return;
        }
        if written {
            discard(fifo);
            std::thread::sleep(PAUSE);
        }
    }
}

/// Throws away what comes, for as long as this process lives.
pub(super) fn discard_for_good(fifo: &File) {
    loop {
        let mut fds = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => _ = discard(fifo),
            Err(Errno::EINTR) => {}
            Err(_cannot_wait) => return,
        }
        std::thread::sleep(PAUSE);
    }
}

/// Throws away what is there, without waiting; true when nobody has it open for writing any more.
fn discard(mut fifo: &File) -> bool {
    let mut buffer = [0; 4096];
    for _ in 0..MOST_READS {
        match fifo.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) if count == buffer.len() => {}
            _ => return false,
        }
    }
    false
}

/// Throws away what is written until the last writer has gone, or another recorder reads. It has the lock whenever it
/// reads, and then only: so it takes no mark from that one, nor keeps it away.
fn until_no_writer_is_left(reader: &File) {
    let mut taken = 0;
    while taken < MOST_TAKEN {
        let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_cannot_wait) => return,
        }
        if try_exclusive(reader) == Ok(true) {
            taken = 0;
            let is_over = discard(reader);
            if release(reader).is_err() || is_over {
                return;
            }
        } else {
            taken += 1;
        }
        std::thread::sleep(PAUSE);
    }
}
