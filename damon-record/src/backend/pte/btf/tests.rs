use super::*;
use proptest::prelude::*;

/// A made-up kernel: types are appended one by one, the first has the number 1.
#[derive(Default)]
struct Maker {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Maker {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(text.bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, kind: u32, flag: bool, count: u32, word: u32, extra: &[u32]) {
        let name = self.name(name);
        let info = kind << 24 | count | u32::from(flag) << 31;
        for word in [name, info, word].iter().chain(extra) {
            self.types.extend(word.to_le_bytes());
        }
    }

    fn aggregate(&mut self, kind: u32, name: &str, flag: bool, members: &[(&str, u32, u32)]) {
        let extra: Vec<u32> =
            members.iter().flat_map(|(name, of, offset)| [self.name(name), *of, *offset]).collect();
        let count = u32::try_from(members.len()).unwrap();
        self.add(name, kind, flag, count, 64, &extra);
    }

    fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len(), self.strings.len());
        let words = [24, 0, types, types, strings].map(|word| u32::try_from(word).unwrap());
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

/// One of every kind, and structures inside one another.
fn sample() -> Vec<u8> {
    let mut maker = Maker::new();
    maker.add("u64", 1, false, 0, 8, &[64]);
    maker.add("", 2, false, 0, 1, &[]);
    maker.add("", 3, false, 0, 0, &[1, 1, 4]);
    maker.add("colour", 6, false, 2, 4, &[0, 0, 0, 1]);
    maker.add("wide", 19, false, 1, 8, &[0, 7, 9]);
    maker.add("", 13, false, 2, 1, &[0, 1, 0, 1]);
    maker.add("f", 12, false, 0, 6, &[]);
    maker.add("v", 14, false, 0, 1, &[0]);
    maker.add(".data", 15, false, 1, 8, &[8, 0, 8]);
    maker.add("float", 16, false, 0, 8, &[]);
    maker.add("tag", 17, false, 0, 1, &[0]);
    maker.add("mm_struct", 7, false, 0, 0, &[]);
    // 13 and 14: a union in a structure, neither with a name; 15: const of 14; 16: that as a member.
    maker.aggregate(UNION, "", false, &[("count", 1, 0), ("pgd", 1, 0)]);
    maker.aggregate(STRUCT, "", false, &[("owner", 1, 0), ("", 13, 64)]);
    maker.add("", 10, false, 0, 14, &[]);
    maker.aggregate(
        STRUCT,
        "mm_struct",
        true,
        &[("first", 1, 0), ("", 15, 128), ("flags", 1, 320)],
    );
    // Bit fields: the size is in the upper byte.
    maker.aggregate(STRUCT, "task_struct", true, &[("a", 1, 3 << 24), ("b", 1, 1 << 24 | 3)]);
    maker.bytes()
}

#[test]
fn members_are_found_through_nameless_aggregates_and_past_every_kind() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.offset("mm_struct", "first"), Some(0));
    assert_eq!(btf.offset("mm_struct", "owner"), Some(16));
    assert_eq!(btf.offset("mm_struct", "pgd"), Some(24));
    assert_eq!(btf.offset("mm_struct", "flags"), Some(40));
    assert_eq!(btf.offset("mm_struct", "flag"), None, "a prefix is no name");
    assert_eq!(btf.offset("mm", "first"), None);
}

#[test]
fn a_bit_field_has_an_offset_only_at_a_byte() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.offset("task_struct", "a"), Some(0));
    assert_eq!(btf.offset("task_struct", "b"), None);
}

#[test]
fn a_structure_that_contains_itself_ends() {
    let mut maker = Maker::new();
    let members: Vec<(&str, u32, u32)> = vec![("", 1, 0); 60_000];
    maker.aggregate(STRUCT, "task_struct", false, &members);
    let bytes = maker.bytes();
    assert_eq!(Btf::parse(&bytes).unwrap().offset("task_struct", "mm"), None);
    let mut circle = Maker::new();
    circle.add("t", 8, false, 0, 1, &[]);
    circle.aggregate(STRUCT, "task_struct", false, &[("", 1, 0), ("mm", 1, 64)]);
    let bytes = circle.bytes();
    assert_eq!(Btf::parse(&bytes).unwrap().offset("task_struct", "mm"), Some(8));
}

#[test]
fn cut_off_anywhere_it_is_refused() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert!(Btf::parse(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
    }
    let mut other = bytes.clone();
    other[0] = 0xeb;
    assert_eq!(Btf::parse(&other).unwrap_err(), BtfError::Header);
    other = bytes;
    other[24 + 7] = 31;
    assert_eq!(Btf::parse(&other).unwrap_err(), BtfError::UnknownKind(31));
}

#[test]
fn the_kernels_own_description_is_understood() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("SKIP: this kernel does not describe its types");
        return;
    };
    let btf = Btf::parse(&bytes).unwrap();
    assert!(btf.starts.len() > 1000);
    // The list has two words, so the next member is at least so far away.
    let tasks = btf.offset("task_struct", "tasks").unwrap();
    let mm = btf.offset("task_struct", "mm").unwrap();
    assert!(tasks.is_multiple_of(8) && mm.is_multiple_of(8) && tasks.abs_diff(mm) >= 8);
    assert!(btf.offset("mm_struct", "pgd").is_some(), "inside a nameless structure");
    assert_eq!(btf.offset("list_head", "prev"), Some(8));
}

proptest! {
    #[test]
    fn damage_never_panics(damage in prop::collection::vec((0_usize..2000, any::<u8>()), 1..40)) {
        let mut bytes = sample();
        let length = bytes.len();
        for (at, value) in damage {
            bytes[at % length] = value;
        }
        if let Ok(btf) = Btf::parse(&bytes) {
            for member in ["pgd", "owner", "b", ""] {
                let _any = btf.offset("mm_struct", member);
                let _any = btf.offset("task_struct", member);
            }
        }
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
        bytes.extend(noise);
        if let Ok(btf) = Btf::parse(&bytes) {
            let _any = btf.offset("task_struct", "mm");
        }
    }
}
