//! A 32-bit target, made of literal bytes: the machine may have no 32-bit compiler or library.

use crate::common::{PAGE, assert_unregistered, attach, looked, skipped, wait_until};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Child, Command, Stdio};

const BASE: u32 = 0x0804_8000;
const HEADERS: u32 = 52 + 32;
const CODE_LEN: u32 = 22;
const COUNTER: u32 = BASE + 0x1000;

/// `for (;;) { counter++; nanosleep(1 ms); }` with `int $0x80`, as a static i386 executable.
fn program() -> Vec<u8> {
    let entry = BASE + HEADERS;
    let time = entry + CODE_LEN;
    let file_len = HEADERS + CODE_LEN + 8;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |bytes: &mut Vec<u8>, value: u16| bytes.extend(value.to_le_bytes());
    half(&mut bytes, 2); // ET_EXEC
    half(&mut bytes, 3); // EM_386
    for word in [1, entry, 52, 0, 0] {
        bytes.extend(u32::to_le_bytes(word)); // version, entry, program headers, sections, flags
    }
    for value in [52, 32, 1, 0, 0, 0] {
        half(&mut bytes, value); // sizes and counts
    }
    // One PT_LOAD, readable, writable and executable, with a zero page behind the file's bytes.
    for word in [1, 0, BASE, BASE, file_len, 0x2000, 7, 0x1000] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend([0xff, 0x05]); // incl COUNTER
    bytes.extend(COUNTER.to_le_bytes());
    bytes.extend([0xb8, 162, 0, 0, 0]); // mov $162 (nanosleep), %eax
    bytes.push(0xbb); // mov $time, %ebx
    bytes.extend(time.to_le_bytes());
    bytes.extend([0x31, 0xc9]); // xor %ecx, %ecx
    bytes.extend([0xcd, 0x80]); // int $0x80
    bytes.extend([0xeb, 0xea]); // jmp to the first instruction
    assert_eq!(bytes.len(), (HEADERS + CODE_LEN) as usize);
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(1_000_000u32.to_le_bytes());
    bytes
}

struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_reaped = self.0.wait();
    }
}

#[test]
fn a_32_bit_process_is_watched_and_goes_on() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i386");
    fs::write(&path, program()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = match Command::new(&path).stdout(Stdio::null()).spawn() {
        Ok(child) => Guard(child),
        Err(error) => {
            println!("SKIP: no 32-bit programs here: {error}");
            return;
        }
    };
    let pid = i32::try_from(child.0.id()).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let counter = || {
        let mut word = [0; 4];
        // Just after the exec the page may not be mapped yet.
        let read = memory.read_exact_at(&mut word, u64::from(COUNTER));
        read.map_or(0, |()| u32::from_le_bytes(word))
    };
    wait_until("it counts", || counter() > 2);
    for _ in 0..30 {
        let mut watch = attach(pid);
        let base = u64::from(BASE);
        looked(&mut watch, base, 2);
        let before = counter();
        wait_until("it goes on", || counter() > before);
        assert_eq!(looked(&mut watch, base, 2), [u64::from(COUNTER - BASE) / PAGE]);
        drop(watch);
        assert_unregistered(pid);
    }
    assert!(child.0.try_wait().unwrap().is_none());
}
