//! bpf(2): an array that is mapped into our memory, and programs that run only when we ask for it.
//!
//! Nothing is attached to anything and nothing is pinned, so the kernel removes array and programs with
//! their last descriptor, which closes on exec and with the process, however it ends.
//! Constants and layouts from `include/uapi/linux/bpf.h`.

#![expect(unsafe_code, reason = "bpf(2) takes pointers, and the array's memory is mapped")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
/// Levels 1 (instructions and reasons) of the verifier's log.
const LOG_LEVEL: u32 = 1;
const LOG_BYTES: usize = 1 << 18;
/// In `include/linux/license.h`'s list of licences that may call helpers reserved for the GPL.
const LICENSE: &[u8] = b"Dual MIT/GPL\0";
/// Loading and running give up with `EAGAIN` or `EINTR` when a signal arrives.
const TRIES: u32 = 16;
/// Bytes of a [`Array`]'s word.
const WORD: usize = size_of::<u64>();

/// `struct bpf_insn`: one instruction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the lower four bits, source register in the upper four.
    pub registers: u8,
    /// Offset of a jump or of a memory access.
    pub offset: i16,
    /// Constant.
    pub constant: i32,
}

/// Why the kernel did not accept a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{errno}{}{log}", if log.is_empty() { "" } else { "; the verifier says: " })]
pub struct LoadError {
    /// What bpf(2) said.
    pub errno: Errno,
    /// The last lines of the verifier's log; empty when it had nothing to say.
    pub log: String,
}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    returned: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_long, Errno> {
    let address = &raw mut *attributes;
    let mut tries = 0;
    loop {
        // SAFETY: `T` is one of the structures above, each the beginning of `union bpf_attr` for its
        // command; the kernel takes the rest as zero and reads and writes no more of it than the size
        // given. What its pointers refer to is kept alive by the callers in this file.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, address, size_of::<T>()) };
        tries += 1;
        match Errno::result(result) {
            Err(Errno::EAGAIN | Errno::EINTR) if tries < TRIES => {}
            result => return result,
        }
    }
}

fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(fd).map_err(|_too_big| Errno::EBADF)?;
    // SAFETY: the kernel has just created this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An array of 64-bit words that programs and we see at the same time: a BPF array of one element whose
/// memory is mapped here.
#[derive(Debug)]
pub struct Array {
    fd: OwnedFd,
    base: NonNull<c_void>,
    words: usize,
}

// SAFETY: an address range without thread affinity, owned by this value alone; every access is volatile and
// through `&self` for reading, `&mut self` for writing.
unsafe impl Send for Array {}

impl Array {
    /// Makes an array of `words` words, all zero.
    ///
    /// # Errors
    /// `EPERM`: neither `CAP_BPF` nor root, or (before 5.11) more than `RLIMIT_MEMLOCK`. `ENOSYS`: a kernel
    /// without bpf(2). `EINVAL`: before 5.5.
    pub fn new(words: usize) -> Result<Self, Errno> {
        let bytes = words.checked_mul(WORD).ok_or(Errno::E2BIG)?;
        let length = NonZeroUsize::new(bytes).ok_or(Errno::EINVAL)?;
        let mut attributes = MapCreate {
            map_type: BPF_MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: u32::try_from(bytes).map_err(|_too_big| Errno::E2BIG)?,
            max_entries: 1,
            map_flags: BPF_F_MMAPABLE,
        };
        let fd = owned(bpf(BPF_MAP_CREATE, &mut attributes)?)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &fd, 0) }?;
        Ok(Self { fd, base, words })
    }

    /// Words in it.
    pub fn len(&self) -> usize {
        self.words
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    fn word(&self, index: usize) -> Option<*mut u64> {
        (index < self.words).then(|| self.base.as_ptr().cast::<u64>().wrapping_add(index))
    }

    /// The word at `index`; 0 past the end.
    pub fn get(&self, index: usize) -> u64 {
        self.word(index).map_or(0, |word| {
            // SAFETY: `word` is aligned and inside our mapping, which lives as long as `self`; a program
            // may write to it at the same time, therefore volatile, and every bit pattern is a u64.
            unsafe { word.read_volatile() }
        })
    }

    /// Sets the word at `index`; nothing happens past the end.
    pub fn set(&mut self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            // SAFETY: as for reading; `&mut self` excludes other accesses of ours.
            unsafe { word.write_volatile(value) }
        }
    }

    /// Copies the words from `first` on; 0 past the end.
    pub fn read(&self, first: usize, words: &mut [u64]) {
        let inside = self.words.saturating_sub(first).min(words.len());
        let (words, past_the_end) = words.split_at_mut(inside);
        past_the_end.fill(0);
        let base = self.base.as_ptr().cast::<u64>().wrapping_add(first);
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: `first + index` is below `self.words` by the choice of `inside`, so this is aligned and
            // inside our mapping; volatile as in `get`.
            *word = unsafe { base.wrapping_add(index).read_volatile() };
        }
    }
}

impl AsFd for Array {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        // SAFETY: the range is exactly the mapping made in `new`, and no reference into it exists.
        let unmapped = unsafe { munmap(self.base, self.words * WORD) };
        debug_assert_eq!(unmapped, Ok(()), "munmap of our own mapping");
    }
}

/// A program that the verifier has accepted. It keeps the arrays it uses alive.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Loads a program of the type `RAW_TRACEPOINT`, which is never attached.
    ///
    /// # Errors
    /// `EPERM`: neither root nor `CAP_BPF` with `CAP_PERFMON`. Otherwise see the log.
    pub fn load(code: &[Instruction]) -> Result<Self, LoadError> {
        let bare = |errno| LoadError { errno, log: String::new() };
        let count = u32::try_from(code.len()).map_err(|_too_long| bare(Errno::E2BIG))?;
        let attributes = || ProgramLoad {
            program_type: BPF_PROG_TYPE_RAW_TRACEPOINT,
            instruction_count: count,
            instructions: code.as_ptr() as u64,
            license: LICENSE.as_ptr() as u64,
            ..ProgramLoad::default()
        };
        // Writing the log takes longer than everything else, so it is asked for only when needed.
        let first = match bpf(BPF_PROG_LOAD, &mut attributes()).and_then(owned) {
            Ok(fd) => return Ok(Self(fd)),
            Err(errno) => errno,
        };
        let mut log = vec![0_u8; LOG_BYTES];
        let mut logged = ProgramLoad {
            log_level: LOG_LEVEL,
            log_size: u32::try_from(log.len()).unwrap_or(0),
            log_buffer: log.as_mut_ptr() as u64,
            ..attributes()
        };
        match bpf(BPF_PROG_LOAD, &mut logged).and_then(owned) {
            Ok(fd) => Ok(Self(fd)),
            // Too long a log hides the error itself.
            Err(Errno::ENOSPC) => Err(LoadError { errno: first, log: last_lines(&log) }),
            Err(errno) => Err(LoadError { errno, log: last_lines(&log) }),
        }
    }

    /// Runs it once, on this CPU, without arguments, and returns what it returned.
    ///
    /// # Errors
    /// `ENOTSUPP` (524) or `EINVAL`: before 5.10.
    pub fn run(&self) -> Result<u32, Errno> {
        let program = u32::try_from(self.0.as_raw_fd()).map_err(|_negative| Errno::EBADF)?;
        let mut attributes = TestRun { program, ..TestRun::default() };
        bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
        Ok(attributes.returned)
    }
}

/// The end of a log in one line, without the statistics and the trace of instructions before it.
fn last_lines(log: &[u8]) -> String {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(log.get(..end).unwrap_or_default());
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("processed "))
        .collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    fn insn(code: u8, registers: u8, offset: i16, constant: i32) -> Instruction {
        Instruction { code, registers, offset, constant }
    }

    /// Stores 7 in the array's word 2 and returns 5.
    fn program(array: &Array) -> Vec<Instruction> {
        vec![
            insn(0x18, 0x21, 0, array.as_fd().as_raw_fd()),
            insn(0, 0, 0, 0),
            insn(0x7a, 0x01, 16, 7),
            insn(0xb7, 0x00, 0, 5),
            insn(0x95, 0, 0, 0),
        ]
    }

    fn array() -> Option<Array> {
        match Array::new(512) {
            Ok(array) => Some(array),
            Err(errno) => {
                assert!(!nix::unistd::geteuid().is_root(), "{errno}");
                println!("SKIP: no bpf(2) without root: {errno}");
                None
            }
        }
    }

    #[test]
    fn words_have_their_places_and_the_end_holds() {
        let Some(mut array) = array() else { return };
        array.set(511, u64::MAX);
        array.set(512, 1);
        let mut words = [9; 3];
        array.read(510, &mut words);
        assert_eq!(words, [0, u64::MAX, 0]);
        array.read(usize::MAX, &mut words);
        assert_eq!(words, [0; 3]);
        assert_eq!((array.get(511), array.get(usize::MAX)), (u64::MAX, 0));
    }

    #[test]
    fn a_program_runs_and_writes_where_we_read() {
        let Some(array) = array() else { return };
        let program = Program::load(&program(&array)).unwrap();
        assert_eq!(array.get(2), 0);
        assert_eq!(program.run(), Ok(5));
        assert_eq!(array.get(2), 7);
    }

    #[test]
    fn descriptors_close_on_exec() {
        let Some(array) = array() else { return };
        let program = Program::load(&program(&array)).unwrap();
        for fd in [array.as_fd(), program.0.as_fd()] {
            let flags = FdFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFD).unwrap());
            assert!(flags.contains(FdFlag::FD_CLOEXEC));
        }
    }

    #[test]
    fn a_bad_program_is_refused_with_the_verifiers_words() {
        let Some(array) = array() else { return };
        let mut code = program(&array);
        code[2].offset = 4096;
        let error = Program::load(&code).unwrap_err();
        assert!(error.to_string().contains("invalid access to map value"), "{error}");
        assert!(!error.log.contains('\n') && error.log.len() < 1000, "{error}");
    }
}
