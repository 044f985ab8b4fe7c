//! A development binary: a process that gets itself into awkward states on command, for the tests of the
//! backend `writes`. One command per line on standard input, one answer per line on standard output.

use damon_record::backend::writes::HELPER_ARGUMENT;
use damon_record::sys::test_target as target;
use damon_record::sys::test_target::{Kind, Memory};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawnp};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use nix::sys::select::{FdSet, select};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct State {
    memory: Option<Arc<Memory>>,
    counter: Arc<AtomicU64>,
    own: Vec<damon_record::sys::userfaultfd::Userfaultfd>,
}

/// First argument of the mode in which a thread other than the leader executes this program over and
/// over; the second counts how often.
const EXEC_LOOP: &str = "exec-loop";

/// First argument of the mode that starts a process the way `posix_spawn(3)` does; the second names a pipe.
const SPAWN_BEHIND: &str = "spawn-behind";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(EXEC_LOOP) {
        let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
        return exec_loop(count);
    }
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some(HELPER_ARGUMENT), Some(pid)) => {
            return hold(pid.parse().into_iter().chain(arguments.flat_map(|ms| ms.parse())));
        }
        (Some(SPAWN_BEHIND), Some(gate)) => return spawn_behind(&gate),
        _ => {}
    }
    let answered = answer("ready").and_then(|()| serve(State::default()));
    if answered.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Spawns a process that cannot execute its program before somebody writes to the named pipe `gate`; until
/// then it has the memory of this one, which waits for its end.
fn spawn_behind(gate: &str) -> ExitCode {
    let Ok(mut actions) = PosixSpawnFileActions::init() else { return ExitCode::FAILURE };
    let opened = actions.add_open(0, gate, OFlag::O_RDONLY, Mode::empty());
    let attributes = PosixSpawnAttr::init();
    let (Ok(()), Ok(attributes)) = (opened, attributes) else { return ExitCode::FAILURE };
    let words = [c"sleep", c"600"];
    match posix_spawnp(c"sleep", &actions, &attributes, &words, &[] as &[&CStr]) {
        Ok(pid) => {
            let _its_end = nix::sys::wait::waitpid(pid, None);
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Looks like an injection helper of a recorder that was killed: traces a process for some milliseconds.
fn hold(mut numbers: impl Iterator<Item = i32>) -> ExitCode {
    let (Some(pid), Some(ms)) = (numbers.next(), numbers.next()) else {
        return ExitCode::FAILURE;
    };
    let options = nix::sys::ptrace::Options::empty();
    let held = nix::sys::ptrace::seize(nix::unistd::Pid::from_raw(pid), options);
    if held.is_err() || answer("ready").is_err() {
        return ExitCode::FAILURE;
    }
    std::thread::sleep(Duration::from_millis(u64::from(ms.unsigned_abs())));
    ExitCode::SUCCESS
}

fn exec_loop(count: u64) -> ExitCode {
    for _ in 0..2 {
        std::thread::spawn(|| -> ! {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    let other = std::thread::spawn(move || {
        let mut program = Command::new("/proc/self/exe");
        program.arg(EXEC_LOOP).arg((count + 1).to_string()).exec()
    });
    let _failed = other.join();
    ExitCode::FAILURE
}

fn answer(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// One line, byte by byte: nothing of the next one may get stuck in a buffer.
fn line() -> Result<Option<String>, Failure> {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        match target::read_once(io::stdin().as_fd(), &mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte == *b"\n" => return Ok(Some(String::from_utf8(text)?)),
            Ok(_) => text.extend(byte),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn serve(mut state: State) -> Result<(), Failure> {
    while let Some(line) = line()? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((&command, arguments)) = words.split_first() else {
            continue;
        };
        match command {
            "exit" => return Ok(()),
            "leader-exit" => {
                std::thread::spawn(move || {
                    let _ended = answer("ok").and_then(|()| serve(state));
                });
                target::exit_this_thread();
                return Ok(());
            }
            _ => {}
        }
        let numbers: Vec<usize> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
        let text = match run(&mut state, command, arguments, &numbers) {
            Ok(text) => text,
            Err(failure) => format!("error {failure}"),
        };
        answer(&text)?;
    }
    Ok(())
}

fn number(numbers: &[usize], index: usize) -> usize {
    numbers.get(index).copied().unwrap_or(0)
}

fn milliseconds(numbers: &[usize]) -> Duration {
    Duration::from_millis(number(numbers, 0) as u64)
}

fn run(
    state: &mut State,
    command: &str,
    arguments: &[&str],
    numbers: &[usize],
) -> Result<String, Failure> {
    let ok = || Ok("ok".to_owned());
    match command {
        "map" => {
            let pages = number(numbers, 0);
            let memory = match arguments.first().copied() {
                Some("huge") => Memory::map(Kind::Huge, pages)?,
                Some("reserved") => Memory::map(Kind::Reserved, pages)?,
                Some("shared") => Memory::map(Kind::Shared, pages)?,
                Some("private-file") => {
                    Memory::map(Kind::PrivateFile(&file(arguments, pages)?), pages)?
                }
                Some("shared-file") => {
                    Memory::map(Kind::SharedFile(&file(arguments, pages)?), pages)?
                }
                _ => Memory::map(Kind::Anonymous, pages)?,
            };
            let address = memory.address();
            state.memory = Some(Arc::new(memory));
            Ok(format!("{address:x}"))
        }
        "flush" => flush().map(|()| "ok".to_owned()),
        "write" | "read" | "dontneed" | "unmap" | "replace" | "fill" | "claim" | "lock"
        | "move" => {
            let memory = state.memory.as_mut().ok_or("nothing mapped")?;
            with_memory(memory, &mut state.own, command, numbers)
        }
        "brk" => {
            let bytes = number(numbers, 0);
            let address = target::grow_heap(bytes)?;
            target::write_heap(address, bytes);
            Ok(format!("{address:x}"))
        }
        "nondumpable" => {
            nix::sys::prctl::set_dumpable(false)?;
            ok()
        }
        "seccomp" => {
            target::forbid_userfaultfd(arguments.first() == Some(&"kill"))?;
            ok()
        }
        "count" => {
            let counter = Arc::clone(&state.counter);
            std::thread::spawn(move || -> ! {
                loop {
                    counter.fetch_add(1, Ordering::Relaxed);
                    std::hint::spin_loop();
                }
            });
            ok()
        }
        "hammer" => {
            let memory = Arc::clone(state.memory.as_ref().ok_or("nothing mapped")?);
            let counter = Arc::clone(&state.counter);
            let (first, count) = (number(numbers, 0), number(numbers, 1));
            std::thread::spawn(move || {
                while (first..first + count).try_for_each(|page| memory.write(page)).is_ok() {
                    counter.fetch_add(count as u64, Ordering::Relaxed);
                }
            });
            ok()
        }
        "storm" => {
            let memory = Arc::clone(state.memory.as_ref().ok_or("nothing mapped")?);
            let counter = Arc::clone(&state.counter);
            let (first, count) = (number(numbers, 0), number(numbers, 1));
            std::thread::spawn(move || {
                let once = || {
                    memory.replace(first, count)?;
                    (first..first + count).step_by(64).try_for_each(|page| memory.write(page))
                };
                while once().is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
            ok()
        }
        "counter" => Ok(state.counter.load(Ordering::Relaxed).to_string()),
        "threads" => {
            for _ in 0..number(numbers, 0) {
                std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3600)));
            }
            ok()
        }
        "fork" => match target::fork()? {
            Some(child) => Ok(child.to_string()),
            None => child(state),
        },
        "sequence" => {
            answer("ok")?;
            Ok(format!("error {:?}", target::stay_in_restartable_sequence()))
        }
        "exec" => Err(Command::new("/proc/self/exe").exec().into()),
        "signals" => {
            target::count_signals(target::real_time_signal(), number(numbers, 0) == 1)?;
            ok()
        }
        "counted" => Ok(target::signals_counted().to_string()),
        _ => blocked(command, numbers),
    }
}

/// Makes the processor forget all translations of this process: more pages go at once than the kernel flushes
/// one by one (`tlb_single_page_flush_ceiling`, 33).
fn flush() -> Result<(), Failure> {
    const PAGES: usize = 128;
    let passing = Memory::map(Kind::Anonymous, PAGES)?;
    Ok((0..PAGES).try_for_each(|page| passing.write(page))?)
}

fn file(arguments: &[&str], pages: usize) -> Result<File, Failure> {
    let path = arguments.get(2).ok_or("no file named")?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let bytes = pages * damon_record::sys::own_pages::page_size();
    file.set_len(u64::try_from(bytes)?)?;
    Ok(file)
}

fn with_memory(
    memory: &mut Arc<Memory>,
    own: &mut Vec<damon_record::sys::userfaultfd::Userfaultfd>,
    command: &str,
    numbers: &[usize],
) -> Result<String, Failure> {
    let (first, count) = (number(numbers, 0), number(numbers, 1));
    let step = number(numbers, 2).max(1);
    match command {
        "write" => (0..count).try_for_each(|page| memory.write(first + page * step))?,
        "read" => {
            for page in 0..count {
                memory.read(first + page * step)?;
            }
        }
        "dontneed" => memory.give_back(first, count)?,
        "unmap" => memory.unmap(first, count)?,
        "replace" => memory.replace(first, count)?,
        "fill" => {
            let bytes = memory.fill_from(&File::open("/dev/zero")?, first, count)?;
            return Ok(bytes.to_string());
        }
        "claim" => own.push(memory.claim(first, count)?),
        "lock" => memory.lock()?,
        _ => {
            Arc::get_mut(memory).ok_or("somebody uses it")?.move_and_grow()?;
            return Ok(format!("{:x}", memory.address()));
        }
    }
    Ok("ok".to_owned())
}

/// The forked child writes to its first eight pages for ever, and dies with its parent.
fn child(state: &State) -> Result<String, Failure> {
    nix::sys::prctl::set_pdeathsig(Some(nix::sys::signal::Signal::SIGKILL))?;
    let memory = state.memory.as_ref().ok_or("nothing mapped")?;
    while nix::unistd::getppid().as_raw() > 1 {
        (0..8).try_for_each(|page| memory.write(page))?;
        target::sleep(Duration::from_millis(1))?;
    }
    std::process::abort()
}

/// Waits in one system call and tells how long, and what it returned.
fn blocked(command: &str, numbers: &[usize]) -> Result<String, Failure> {
    let limit = milliseconds(numbers);
    let begun = Instant::now();
    let outcome = match command {
        "sleep" => target::sleep(limit).map(|()| 0),
        "vfork" => target::sleep_like_vfork(limit).map(|()| 0),
        "sigtimedwait" => target::wait_for_signal(limit),
        "select" => {
            let mut time = nix::sys::time::TimeVal::from(nix::libc::timeval {
                tv_sec: i64::try_from(limit.as_secs())?,
                tv_usec: i64::from(limit.subsec_micros()),
            });
            select(None, Some(&mut FdSet::new()), None, None, Some(&mut time))
        }
        "poll" => {
            let (reader, _writer) = nix::unistd::pipe()?;
            let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::try_from(limit)?)
        }
        "epoll" => {
            let epoll = Epoll::new(EpollCreateFlags::empty())?;
            let mut events = [EpollEvent::empty()];
            epoll
                .wait(&mut events, EpollTimeout::try_from(limit)?)
                .map(|ready| i32::try_from(ready).unwrap_or(-1))
        }
        "raw-read" => {
            let mut buffer = [0; 4];
            target::read_once(io::stdin().as_fd(), &mut buffer)
                .map(|len| i32::try_from(len).unwrap_or(-1))
        }
        _ => return Err(format!("unknown command {command}").into()),
    };
    let result = match outcome {
        Ok(value) => value.to_string(),
        Err(errno) => format!("{errno:?}"),
    };
    Ok(format!("{} {result}", begun.elapsed().as_millis()))
}
