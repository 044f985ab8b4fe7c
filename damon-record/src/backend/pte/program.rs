//! The programs that read kernel memory, and the array through which they are asked and answer.
//!
//! There are three. *Copy* copies a few bytes from any address. *Walk* walks the page tables of one process
//! for up to [`BATCH`] addresses. *Tables* copies up to [`TABLES`] whole page tables of one process. The
//! latter two check for themselves, before and after the work, that the task still is the process expected
//! and still uses the address space expected; and for each address, after the entry was read, that the
//! table it was read from still hangs where it hung (as `gup_fast_pte_range` of `mm/gup.c` does), because a
//! table that was freed meanwhile holds anything.

use super::assembler::{Alu, Assembler, Condition, Helper, Label, Register};
use crate::sys::bpf::Instruction;

use Register::{R0, R1, R2, R3, R6, R7, R8, R9, Stack};

/// Addresses that one run of *Walk* takes. The verifier follows every round of the loop.
pub(super) const BATCH: usize = 64;
/// Tables that one run of *Tables* copies.
pub(super) const TABLES: usize = 32;
/// Entries of a page table.
pub(super) const ENTRIES_PER_TABLE: usize = 512;
/// Bytes that one run of *Copy* copies at most.
pub(super) const MAX_COPY: usize = TABLES * 4096;

/// In place of a level: the walk ended at something that cannot be read or changed meanwhile.
pub(super) const UNSETTLED: u64 = 0xff;

/// What a program returned: it did what was asked.
pub(super) const DONE: u32 = 0;
/// The task is not the process expected, or uses another address space.
pub(super) const ANOTHER: u32 = 1;
/// *Copy*: there is nothing that can be read.
pub(super) const UNREADABLE: u32 = 2;

/// Words of the array.
pub(super) mod word {
    use super::{BATCH, ENTRIES_PER_TABLE, TABLES};

    /// *Copy*: address in the kernel, and bytes, at most [`super::MAX_COPY`].
    pub(in super::super) const ADDRESS: usize = 0;
    pub(in super::super) const LENGTH: usize = 1;
    /// *Copy* answers: `task_struct` of the thread that ran it.
    pub(in super::super) const CURRENT: usize = 2;
    /// The others: the task, what it is expected to be, and its address space.
    pub(in super::super) const TASK: usize = 3;
    pub(in super::super) const TGID: usize = 4;
    pub(in super::super) const START_TIME: usize = 5;
    pub(in super::super) const MM: usize = 6;
    pub(in super::super) const PGD: usize = 7;
    /// Physical addresses of tables lie below.
    pub(in super::super) const LIMIT: usize = 8;
    /// How many of the addresses below are given.
    pub(in super::super) const COUNT: usize = 9;
    /// *Tables*: copy tables whose entries have this level.
    pub(in super::super) const LEVEL: usize = 10;
    /// The addresses to walk for, and the answers.
    pub(in super::super) const ADDRESSES: usize = 16;
    pub(in super::super) const ENTRIES: usize = ADDRESSES + BATCH;
    pub(in super::super) const LEVELS: usize = ENTRIES + BATCH;
    /// Copies.
    pub(in super::super) const DATA: usize = 512;
    /// Words in all.
    pub(in super::super) const TOTAL: usize = DATA + TABLES * ENTRIES_PER_TABLE;
}

/// Where members lie, bytes from the beginning of their structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) tgid: u32,
    pub(super) start_time: u32,
    pub(super) mm: u32,
    pub(super) pgd: u32,
}

/// The machine's way to lay page tables out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// 4 or 5.
    pub(super) levels: u8,
    /// Where physical address 0 is mapped.
    pub(super) direct_map: u64,
    /// Bits of an entry that make a table's physical address.
    pub(super) frame: u64,
}

const ENTRY_PRESENT: i32 = 1;
const ENTRY_LARGE: i32 = 1 << 7;

/// Places on the stack: the value just read; the address and value of the entry above.
const VALUE: i16 = -8;
const PARENT: i16 = -16;
const PARENT_VALUE: i16 = -24;

const fn byte(word: usize) -> i16 {
    // The words concerned lie within the first 4096 bytes.
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 4096")]
    let byte = (word * 8) as i16;
    byte
}

fn offset(of: u32) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}

/// The program *Copy*; `array` is a descriptor.
pub(super) fn copy(array: i32) -> Option<Vec<Instruction>> {
    let mut asm = Assembler::new();
    let unreadable = asm.label();
    asm.array(R6, array);
    asm.call(Helper::GetCurrentTask);
    asm.store(R6, byte(word::CURRENT), R0);
    asm.mov(R1, R6);
    asm.add(R1, i32::from(byte(word::DATA)));
    asm.load(R2, R6, byte(word::LENGTH));
    asm.jump_if(Condition::Greater, R2, i32::try_from(MAX_COPY).ok()?, unreadable);
    asm.load(R3, R6, byte(word::ADDRESS));
    asm.call(Helper::ProbeReadKernel);
    asm.jump_if(Condition::NotEqual, R0, 0, unreadable);
    asm.exit(i32::try_from(DONE).ok()?);
    asm.bind(unreadable);
    asm.exit(i32::try_from(UNREADABLE).ok()?);
    asm.finish()
}

/// The program *Walk*.
pub(super) fn walk(array: i32, members: &Members, layout: Layout) -> Option<Vec<Instruction>> {
    walker(array, members, layout, BATCH, false)
}

/// The program *Tables*.
pub(super) fn tables(array: i32, members: &Members, layout: Layout) -> Option<Vec<Instruction>> {
    walker(array, members, layout, TABLES, true)
}

/// `VALUE` = `bytes` bytes at `R3`; a jump when they cannot be read.
fn read(asm: &mut Assembler, bytes: i32, unreadable: Label) {
    asm.mov(R1, Stack);
    asm.add(R1, i32::from(VALUE));
    asm.mov(R2, bytes);
    asm.call(Helper::ProbeReadKernel);
    asm.jump_if(Condition::NotEqual, R0, 0, unreadable);
}

/// Jumps unless the task is the expected one and uses the expected address space.
fn expect_process(asm: &mut Assembler, members: &Members, another: Label) {
    let checks = [
        (word::TASK, members.tgid, 4, word::TGID),
        (word::TASK, members.start_time, 8, word::START_TIME),
        (word::TASK, members.mm, 8, word::MM),
        (word::MM, members.pgd, 8, word::PGD),
    ];
    for (base, member, bytes, expected) in checks {
        asm.store(Stack, VALUE, 0);
        asm.load(R3, R6, byte(base));
        asm.add(R3, offset(member));
        read(asm, bytes, another);
        asm.load(R1, Stack, VALUE);
        asm.load(R2, R6, byte(expected));
        asm.jump_if(Condition::NotEqual, R1, R2, another);
    }
}

/// R6: the array. R7: index of the address. R8: the array shifted by that many words. R9: the table.
fn walker(
    array: i32,
    members: &Members,
    layout: Layout,
    batch: usize,
    copy_tables: bool,
) -> Option<Vec<Instruction>> {
    let mut asm = Assembler::new();
    let another = asm.label();
    let (ended, unsettled, copy, next, done) =
        (asm.label(), asm.label(), asm.label(), asm.label(), asm.label());
    asm.array(R6, array);
    expect_process(&mut asm, members, another);
    asm.mov(R7, 0);

    let round = asm.here();
    asm.jump_if(Condition::GreaterOrEqual, R7, i32::try_from(batch).ok()?, done);
    asm.load(R1, R6, byte(word::COUNT));
    asm.jump_if(Condition::GreaterOrEqual, R7, R1, done);
    asm.mov(R8, R7);
    asm.alu(Alu::ShiftLeft, R8, 3);
    asm.add(R8, R6);
    // The entry above the topmost table is the word that points to it.
    asm.load(R9, R6, byte(word::PGD));
    asm.store(Stack, PARENT_VALUE, R9);
    asm.load(R1, R6, byte(word::MM));
    asm.add(R1, offset(members.pgd));
    asm.store(Stack, PARENT, R1);
    for level in (0..layout.levels).rev() {
        asm.store(R8, byte(word::LEVELS), i32::from(level));
        if copy_tables {
            asm.load(R1, R6, byte(word::LEVEL));
            asm.jump_if(Condition::Equal, R1, i32::from(level), copy);
        }
        asm.load(R1, R8, byte(word::ADDRESSES));
        asm.alu(Alu::ShiftRight, R1, i32::from(12 + 9 * level));
        asm.alu(Alu::And, R1, i32::try_from(ENTRIES_PER_TABLE - 1).ok()?);
        asm.alu(Alu::ShiftLeft, R1, 3);
        asm.add(R9, R1);
        asm.mov(R3, R9);
        read(&mut asm, 8, unsettled);
        if level == 0 {
            break;
        }
        asm.load(R3, Stack, VALUE);
        let present = asm.label();
        asm.jump_if(Condition::AnyBit, R3, ENTRY_PRESENT, present);
        asm.jump(ended);
        asm.bind(present);
        if level <= 2 {
            asm.jump_if(Condition::AnyBit, R3, ENTRY_LARGE, ended);
        }
        asm.store(Stack, PARENT, R9);
        asm.store(Stack, PARENT_VALUE, R3);
        asm.mov64(R1, layout.frame);
        asm.alu(Alu::And, R3, R1);
        asm.load(R1, R6, byte(word::LIMIT));
        asm.jump_if(Condition::GreaterOrEqual, R3, R1, unsettled);
        asm.mov64(R9, layout.direct_map);
        asm.add(R9, R3);
    }

    asm.bind(ended);
    asm.load(R1, Stack, VALUE);
    asm.store(R8, byte(word::ENTRIES), R1);
    let settle = asm.here();
    asm.load(R3, Stack, PARENT);
    read(&mut asm, 8, unsettled);
    asm.load(R1, Stack, VALUE);
    asm.load(R2, Stack, PARENT_VALUE);
    asm.alu(Alu::Xor, R1, R2);
    // Everything that the hardware changes by itself (Accessed, Dirty) lies outside.
    asm.mov64(R2, layout.frame | u64::from((ENTRY_PRESENT | ENTRY_LARGE).unsigned_abs()));
    asm.jump_if(Condition::AnyBit, R1, R2, unsettled);
    asm.jump(next);

    if copy_tables {
        asm.bind(copy);
        asm.mov(R1, R7);
        asm.alu(Alu::ShiftLeft, R1, 12);
        asm.add(R1, R6);
        asm.add(R1, i32::from(byte(word::DATA)));
        asm.mov(R2, 4096);
        asm.mov(R3, R9);
        asm.call(Helper::ProbeReadKernel);
        asm.jump_if(Condition::Equal, R0, 0, settle);
    } else {
        asm.bind(copy);
    }

    asm.bind(unsettled);
    asm.store(R8, byte(word::LEVELS), i32::try_from(UNSETTLED).ok()?);
    asm.bind(next);
    asm.add(R7, 1);
    asm.jump(round);

    asm.bind(done);
    expect_process(&mut asm, members, another);
    asm.exit(i32::try_from(DONE).ok()?);
    asm.bind(another);
    asm.exit(i32::try_from(ANOTHER).ok()?);
    asm.finish()
}
