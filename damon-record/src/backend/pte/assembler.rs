//! A small assembler for BPF (`Documentation/bpf/standardization/instruction-set.rst`): names for what the
//! programs here use, and labels instead of counted jumps.

use crate::sys::bpf::Instruction;

/// A register. 0 holds results, 1 to 5 are arguments and lost in calls, 6 to 9 survive calls, 10 is the end
/// of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    R8,
    R9,
    Stack,
}

impl Register {
    const fn number(self) -> u8 {
        match self {
            Self::R0 => 0,
            Self::R1 => 1,
            Self::R2 => 2,
            Self::R3 => 3,
            Self::R6 => 6,
            Self::R7 => 7,
            Self::R8 => 8,
            Self::R9 => 9,
            Self::Stack => 10,
        }
    }
}

/// Second operand: another register or a constant (sign-extended).
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    Reg(Register),
    Imm(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Reg(register)
    }
}

impl From<i32> for Operand {
    fn from(constant: i32) -> Self {
        Self::Imm(constant)
    }
}

/// Operations on 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alu {
    Add = 0x00,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Xor = 0xa0,
    Move = 0xb0,
}

/// Unsigned comparisons of 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition {
    Equal = 0x10,
    Greater = 0x20,
    GreaterOrEqual = 0x30,
    /// Any bit in common.
    AnyBit = 0x40,
    NotEqual = 0x50,
}

/// Functions of the kernel; their numbers are part of its interface (`include/uapi/linux/bpf.h`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Helper {
    GetCurrentTask = 35,
    ProbeReadKernel = 113,
}

/// A place in the program, bound once and jumped to from anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

const CLASS_LOAD: u8 = 0x01;
const CLASS_STORE_CONSTANT: u8 = 0x02;
const CLASS_STORE: u8 = 0x03;
const CLASS_JUMP: u8 = 0x05;
const CLASS_ALU64: u8 = 0x07;
const MODE_MEMORY: u8 = 0x60;
const SIZE_64: u8 = 0x18;
const SOURCE_REGISTER: u8 = 0x08;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// The only instruction of two slots: a constant of 64 bits.
const LOAD_64: u8 = 0x18;
/// Its source "register" when the constant is the address of an array's memory.
const PSEUDO_MAP_VALUE: u8 = 2;

/// A program in the making.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn emit(&mut self, code: u8, destination: u8, source: u8, offset: i16, constant: i32) {
        let registers = destination | source << 4;
        self.code.push(Instruction { code, registers, offset, constant });
    }

    fn emit_operand(&mut self, code: u8, first: Register, second: Operand, offset: i16) {
        match second {
            Operand::Reg(register) => {
                self.emit(code | SOURCE_REGISTER, first.number(), register.number(), offset, 0);
            }
            Operand::Imm(constant) => self.emit(code, first.number(), 0, offset, constant),
        }
    }

    pub(super) fn alu(&mut self, operation: Alu, to: Register, operand: impl Into<Operand>) {
        self.emit_operand(CLASS_ALU64 | operation as u8, to, operand.into(), 0);
    }

    pub(super) fn mov(&mut self, to: Register, from: impl Into<Operand>) {
        self.alu(Alu::Move, to, from);
    }

    pub(super) fn add(&mut self, to: Register, operand: impl Into<Operand>) {
        self.alu(Alu::Add, to, operand);
    }

    /// A constant of 64 bits.
    pub(super) fn mov64(&mut self, to: Register, constant: u64) {
        let [low, high] = halves(constant);
        self.emit(LOAD_64, to.number(), 0, 0, low);
        self.emit(0, 0, 0, 0, high);
    }

    /// The address of the memory of the array with this descriptor.
    pub(super) fn array(&mut self, to: Register, fd: i32) {
        self.emit(LOAD_64, to.number(), PSEUDO_MAP_VALUE, 0, fd);
        self.emit(0, 0, 0, 0, 0);
    }

    /// `to` = the 64 bits at `base + offset`.
    pub(super) fn load(&mut self, to: Register, base: Register, offset: i16) {
        self.emit(CLASS_LOAD | MODE_MEMORY | SIZE_64, to.number(), base.number(), offset, 0);
    }

    /// The 64 bits at `base + offset` = `from`.
    pub(super) fn store(&mut self, base: Register, offset: i16, from: impl Into<Operand>) {
        let bits = MODE_MEMORY | SIZE_64;
        match from.into() {
            Operand::Reg(from) => {
                self.emit(CLASS_STORE | bits, base.number(), from.number(), offset, 0);
            }
            Operand::Imm(constant) => {
                self.emit(CLASS_STORE_CONSTANT | bits, base.number(), 0, offset, constant);
            }
        }
    }

    pub(super) fn call(&mut self, helper: Helper) {
        self.emit(CLASS_JUMP | CALL, 0, 0, 0, helper as i32);
    }

    pub(super) fn exit(&mut self, result: i32) {
        self.mov(Register::R0, result);
        self.emit(CLASS_JUMP | EXIT, 0, 0, 0, 0);
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label means the next instruction.
    pub(super) fn bind(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    /// A new label that means the next instruction.
    pub(super) fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(CLASS_JUMP, 0, 0, 0, 0);
    }

    pub(super) fn jump_if(
        &mut self,
        condition: Condition,
        first: Register,
        second: impl Into<Operand>,
        to: Label,
    ) {
        self.jumps.push((self.code.len(), to));
        self.emit_operand(CLASS_JUMP | condition as u8, first, second.into(), 0);
    }

    /// The program; `None` when a label was never bound or is too far away.
    pub(super) fn finish(mut self) -> Option<Vec<Instruction>> {
        for (at, label) in &self.jumps {
            let target = isize::try_from((*self.labels.get(label.0)?)?).ok()?;
            let next = isize::try_from(at + 1).ok()?;
            self.code.get_mut(*at)?.offset = i16::try_from(target - next).ok()?;
        }
        Some(self.code)
    }
}

/// The lower and the upper half, each as the field of an instruction holds it.
fn halves(constant: u64) -> [i32; 2] {
    let half = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0).cast_signed();
    [half(constant), half(constant >> 32)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_encoded_as_the_kernel_documents_them() {
        let mut asm = Assembler::new();
        let end = asm.label();
        asm.mov(Register::R6, 3);
        asm.load(Register::R1, Register::R6, -8);
        asm.store(Register::Stack, -16, Register::R1);
        asm.store(Register::Stack, -16, 1);
        asm.mov64(Register::R2, 0xffff_8880_1234_5678);
        asm.jump_if(Condition::Equal, Register::R0, Register::R1, end);
        asm.call(Helper::ProbeReadKernel);
        asm.bind(end);
        asm.exit(0);
        let bytes: Vec<_> = asm
            .finish()
            .unwrap()
            .iter()
            .map(|i| (i.code, i.registers, i.offset, i.constant))
            .collect();
        assert_eq!(
            bytes,
            [
                (0xb7, 0x06, 0, 3),
                (0x79, 0x61, -8, 0),
                (0x7b, 0x1a, -16, 0),
                (0x7a, 0x0a, -16, 1),
                (0x18, 0x02, 0, 0x1234_5678),
                (0x00, 0x00, 0, -0x7780),
                (0x1d, 0x10, 1, 0),
                (0x85, 0x00, 0, 113),
                (0xb7, 0x00, 0, 0),
                (0x95, 0x00, 0, 0),
            ]
        );
    }

    #[test]
    fn jumps_go_both_ways_and_nowhere_is_refused() {
        let mut asm = Assembler::new();
        let start = asm.here();
        asm.mov(Register::R1, 0);
        asm.jump(start);
        assert_eq!(asm.finish().unwrap()[1].offset, -2);
        let mut asm = Assembler::new();
        let nowhere = asm.label();
        asm.jump(nowhere);
        assert_eq!(asm.finish(), None);
    }
}
