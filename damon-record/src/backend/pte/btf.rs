//! The kernel's description of its own types: where a member lies in a structure.
//!
//! BPF Type Format (`Documentation/bpf/btf.rst`), as far as needed. Nothing in the bytes is trusted: every
//! access is checked, and the work for one question is bounded.

/// Why bytes are not BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BtfError {
    /// The header is not one of BTF version 1 in this machine's byte order.
    #[error("it does not begin with a BTF header of version 1")]
    Header,
    /// A section, or a type in it, is cut off.
    #[error("it is cut off")]
    Truncated,
    /// A kind of type that this version does not know, so that the rest cannot be found.
    #[error("it contains types of an unknown kind ({0})")]
    UnknownKind(u32),
}

/// Members looked at for one question; the kernel's largest structures have a few hundred.
const MAX_MEMBERS: u32 = 1 << 16;
/// Structures inside structures, and names for names, followed for one question.
const MAX_DEPTH: u32 = 16;
const MAGIC: u16 = 0xeb9f;
/// Bytes before the part of a type that depends on its kind.
const TYPE_BYTES: usize = 12;

const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// `typedef`, `volatile`, `const`, `restrict`, type tag: each names another type.
const NAMING_KINDS: [u32; 5] = [8, 9, 10, 11, 18];

/// Parsed BTF; borrows the bytes.
#[derive(Clone, Debug)]
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; the type with the number `n` is at `n - 1`, number 0 is `void`.
    starts: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Type {
    start: usize,
    name: u32,
    kind: u32,
    count: u32,
    /// Set where members give the size of bit fields together with the offset.
    flag: bool,
    /// Size in bytes, or the number of the type that this one names.
    word: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Bytes after the common part of a type (`struct btf_array` and so on).
fn extra_bytes(kind: u32, count: u32) -> Result<usize, BtfError> {
    let each = |size: usize| to_usize(count).saturating_mul(size);
    Ok(match kind {
        // Pointer, forward, function, float, and those that name another type.
        2 | 7 | 8 | 9 | 10 | 11 | 12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Structure, union, data section, enumeration of 64 bits.
        STRUCT | UNION | 15 | 19 => each(12),
        // Enumeration, function prototype.
        6 | 13 => each(8),
        unknown => return Err(BtfError::UnknownKind(unknown)),
    })
}

impl<'a> Btf<'a> {
    /// Finds the types in the content of `/sys/kernel/btf/vmlinux`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        if u16_at(bytes, 0) != Some(MAGIC) || bytes.get(2) != Some(&1) {
            return Err(BtfError::Header);
        }
        let field = |index: usize| u32_at(bytes, 4 + 4 * index).ok_or(BtfError::Truncated);
        let header = to_usize(field(0)?);
        let section = |offset: u32, length: u32| {
            let start = header.checked_add(to_usize(offset))?;
            bytes.get(start..start.checked_add(to_usize(length))?)
        };
        let types = section(field(1)?, field(2)?).ok_or(BtfError::Truncated)?;
        let strings = section(field(3)?, field(4)?).ok_or(BtfError::Truncated)?;
        let mut btf = Self { types, strings, starts: Vec::with_capacity(types.len() / 24) };
        let mut start = 0;
        while start < types.len() {
            let found = btf.read_type(start).ok_or(BtfError::Truncated)?;
            btf.starts.push(u32::try_from(start).map_err(|_too_long| BtfError::Truncated)?);
            start += TYPE_BYTES + extra_bytes(found.kind, found.count)?;
        }
        if start > types.len() {
            return Err(BtfError::Truncated);
        }
        Ok(btf)
    }

    fn read_type(&self, start: usize) -> Option<Type> {
        let info = u32_at(self.types, start + 4)?;
        Some(Type {
            start,
            name: u32_at(self.types, start)?,
            kind: info >> 24 & 0x1f,
            count: info & 0xffff,
            flag: info >> 31 != 0,
            word: u32_at(self.types, start + 8)?,
        })
    }

    fn type_number(&self, number: u32) -> Option<Type> {
        self.read_type(to_usize(*self.starts.get(to_usize(number.checked_sub(1)?))?))
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        self.strings
            .get(to_usize(offset)..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Offset in bytes of `member` in `struct structure`, be it inside structures or unions without a name of
    /// their own. `None`: there is no such member, or it is a bit field that begins inside a byte.
    pub(super) fn offset(&self, structure: &str, member: &str) -> Option<u32> {
        let mut budget = MAX_MEMBERS;
        self.starts
            .iter()
            .filter_map(|start| self.read_type(to_usize(*start)))
            .filter(|found| found.kind == STRUCT && found.count > 0)
            .filter(|found| self.is_named(found.name, structure))
            .find_map(|found| self.member(found, member, MAX_DEPTH, &mut budget))
            .filter(|bits| bits % 8 == 0)
            .map(|bits| bits / 8)
    }

    /// Offset in bits of a member.
    fn member(&self, of: Type, name: &str, depth: u32, budget: &mut u32) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        for index in 0..to_usize(of.count) {
            *budget = budget.checked_sub(1)?;
            let at = of.start + TYPE_BYTES + 12 * index;
            let its_name = u32_at(self.types, at)?;
            let word = u32_at(self.types, at + 8)?;
            let bits = if of.flag { word & 0x00ff_ffff } else { word };
            if self.is_named(its_name, name) {
                return Some(bits);
            }
            if self.is_named(its_name, "")
                && let Some(inner) = self.aggregate(u32_at(self.types, at + 4)?)
                && let Some(found) = self.member(inner, name, depth, budget)
            {
                return bits.checked_add(found);
            }
        }
        None
    }

    /// The structure or union that a number stands for.
    fn aggregate(&self, number: u32) -> Option<Type> {
        let mut found = self.type_number(number)?;
        for _ in 0..MAX_DEPTH {
            match found.kind {
                STRUCT | UNION => return Some(found),
                kind if NAMING_KINDS.contains(&kind) => found = self.type_number(found.word)?,
                _ => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
