//! The kernel's description of an event (`Documentation/trace/events.rst`, "Event formats"): which field of its bytes is
//! where. They differ between kernels, so nothing about an event's bytes is known but by them.

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) struct Field {
    offset: usize,
    size: usize,
    signed: bool,
    /// Its four bytes say where an array is, and how long.
    is_dynamic: bool,
}

impl Field {
    /// Where it is in the event.
    pub(in crate::import) fn offset(self) -> usize {
        self.offset
    }

    /// The number at its place; negative ones as two's complement. `None`: the bytes end before it does.
    #[inline]
    pub(in crate::import) fn number(self, event: &[u8]) -> Option<u64> {
        let bytes = event.get(self.offset..)?;
        Some(match (self.size, self.signed) {
            (8, _) => u64::from_le_bytes(*bytes.first_chunk()?),
            (4, false) => u64::from(u32::from_le_bytes(*bytes.first_chunk()?)),
            (4, true) => i64::from(i32::from_le_bytes(*bytes.first_chunk()?)).cast_unsigned(),
            (2, false) => u64::from(u16::from_le_bytes(*bytes.first_chunk()?)),
            (2, true) => i64::from(i16::from_le_bytes(*bytes.first_chunk()?)).cast_unsigned(),
            (1, false) => u64::from(*bytes.first()?),
            (1, true) => i64::from(bytes.first()?.cast_signed()).cast_unsigned(),
            _ => return None,
        })
    }

    /// The bytes of a dynamic array.
    pub(in crate::import) fn array(self, event: &[u8]) -> Option<&[u8]> {
        let place = u32::from_le_bytes(*event.get(self.offset..)?.first_chunk()?);
        let (offset, length) = (place & 0xffff, place >> 16);
        event.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(length).ok()?)
    }
}

/// The description of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Format {
    /// Its name.
    pub(in crate::import) name: String,
    /// Its number in the recording.
    pub(in crate::import) id: u64,
    fields: Vec<(String, Field)>,
}

impl Format {
    /// Reads a description; lines that are not understood are passed over. `None`: it has no name or number.
    pub(in crate::import) fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let line = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key));
        let name = line("name:")?.trim().to_owned();
        let id = line("ID:")?.trim().parse().ok()?;
        Some(Self { name, id, fields: fields(&text) })
    }

    /// A field that is a number.
    pub(in crate::import) fn number(&self, name: &str) -> Option<Field> {
        let field = self.field(name)?;
        (!field.is_dynamic && matches!(field.size, 1 | 2 | 4 | 8)).then_some(field)
    }

    /// A field that is a dynamic array.
    pub(in crate::import) fn array(&self, name: &str) -> Option<Field> {
        self.field(name).filter(|field| field.is_dynamic && field.size == 4)
    }

    fn field(&self, name: &str) -> Option<Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| *field)
    }
}

/// All fields of a description, by their names.
pub(in crate::import) fn fields(text: &str) -> Vec<(String, Field)> {
    text.lines().filter_map(|line| field(line.trim())).collect()
}

/// `field:unsigned long start; offset:24; size:8; signed:0;`
fn field(line: &str) -> Option<(String, Field)> {
    let mut parts = line.strip_prefix("field:")?.split(';').map(str::trim);
    let declaration = parts.next()?;
    let is_dynamic = declaration.starts_with("__data_loc");
    let name = declaration.split('[').next()?.rsplit(' ').next()?;
    let name = if is_dynamic { declaration.rsplit(' ').next()? } else { name };
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", value)) => offset = value.parse().ok(),
            Some(("size", value)) => size = value.parse().ok(),
            Some(("signed", value)) => signed = value == "1",
            _ => {}
        }
    }
    let field = Field { offset: offset?, size: size?, signed, is_dynamic };
    Some((name.to_owned(), field))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: damon_region_aggregated\nID: 771\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:unsigned long start;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:char comm[16];\toffset:24;\tsize:16;\tsigned:0;\n\
        \tfield:__data_loc unsigned char[] probe_hits;\toffset:8;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"%lu\", REC->start\n";

    #[test]
    fn fields_are_found_and_read() {
        let format = Format::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((format.name.as_str(), format.id), ("damon_region_aggregated", 771));
        let mut event = vec![0; 24];
        event[4..8].copy_from_slice(&(-2_i32).to_le_bytes());
        event[16..24].copy_from_slice(&0x1234_5678_9abc_def0_u64.to_le_bytes());
        event[8..12].copy_from_slice(&[24, 0, 3, 0]);
        event.extend([7, 8, 9, 0]);
        assert_eq!(format.number("start").unwrap().number(&event), Some(0x1234_5678_9abc_def0));
        let pid = format.number("common_pid").unwrap();
        assert_eq!(pid.number(&event).map(u64::cast_signed), Some(-2));
        let hits = format.array("probe_hits").unwrap();
        assert_eq!(hits.array(&event), Some(&[7, 8, 9][..]));
        assert_eq!(hits.array(&event[..26]), None);
        assert_eq!(format.number("start").unwrap().number(&event[..23]), None);
        assert_eq!(format.number("comm"), None);
        assert_eq!(format.number("probe_hits"), None);
        assert_eq!(Format::parse(b"name: x\n"), None);
    }
}
