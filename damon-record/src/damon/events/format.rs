//! The `format` files of tracefs (`Documentation/trace/events.rst`, "Event formats"): which field of a binary event is
//! where. They differ between kernels, so nothing about an event's layout is known but by them.

#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

/// One field of a binary event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes before it.
    pub offset: usize,
    /// Bytes of it.
    pub size: usize,
    /// Whether its highest bit is a sign.
    pub signed: bool,
}

impl Field {
    /// Whether it is a number that can be read.
    pub fn is_number(self) -> bool {
        matches!(self.size, 1 | 2 | 4 | 8)
    }

    /// The number at its place in an event's bytes, in the machine's byte order; negative ones as two's complement.
    /// `None` where the bytes end before it does or it is no number.
    #[inline]
    pub fn number(self, event: &[u8]) -> Option<u64> {
        let bytes = event.get(self.offset..)?;
        Some(match (self.size, self.signed) {
            (8, _) => u64::from_ne_bytes(*bytes.first_chunk()?),
            (4, false) => u64::from(u32::from_ne_bytes(*bytes.first_chunk()?)),
            (4, true) => i64::from(i32::from_ne_bytes(*bytes.first_chunk()?)).cast_unsigned(),
            (2, false) => u64::from(u16::from_ne_bytes(*bytes.first_chunk()?)),
            (2, true) => i64::from(i16::from_ne_bytes(*bytes.first_chunk()?)).cast_unsigned(),
            (1, false) => u64::from(*bytes.first()?),
            (1, true) => i64::from(bytes.first()?.cast_signed()).cast_unsigned(),
            _ => return None,
        })
    }
}

/// Why a text is not a `format` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It has no `ID:` line with a number.
    #[error("there is no line \"ID: NUMBER\"")]
    NoId,
    /// It has no line that describes a field.
    #[error("there is no line \"field:TYPE NAME; offset:N; size:N; signed:N;\"")]
    NoFields,
}

/// The layout of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The event's number on this boot of this kernel.
    pub id: u32,
    fields: Vec<(String, Field)>,
}

impl Format {
    /// Reads a `format` file. Lines that it does not understand are passed over.
    ///
    /// # Errors
    /// See [`FormatError`].
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let text = String::from_utf8_lossy(text);
        let id = text.lines().find_map(|line| line.trim().strip_prefix("ID:"));
        let id = id.and_then(|id| id.trim().parse().ok()).ok_or(FormatError::NoId)?;
        let fields = parse_fields(&text);
        if fields.is_empty() {
            return Err(FormatError::NoFields);
        }
        Ok(Self { id, fields })
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| *field)
    }

    /// The fields' names in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

/// The lines that describe fields; also those of `events/header_page`, which has no id.
pub(in crate::damon) fn parse_fields(text: &str) -> Vec<(String, Field)> {
    // Behind this comes C, in which anything may stand.
    let fields = text.split("print fmt:").next().unwrap_or_default();
    fields.lines().filter_map(field).collect()
}

fn field(line: &str) -> Option<(String, Field)> {
    let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
    let declaration = parts.next()?;
    let mut number = |name| parts.next()?.strip_prefix(name)?.trim().parse::<usize>().ok();
    let offset = number("offset:")?;
    let size = number("size:")?;
    // Before 2.6.32 the sign was not shown.
    let signed = number("signed:").unwrap_or(0) != 0;
    // `char comm[16]`, `__data_loc unsigned char[] hits`, `const char *name`.
    let name = declaration.split_whitespace().rev().find(|word| !word.starts_with('['))?;
    let name = name.trim_start_matches('*').split('[').next()?;
    (!name.is_empty()).then(|| (name.to_owned(), Field { offset, size, signed }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A made-up event with everything that may stand in such a file.
    const FORMAT: &str = "name: sample
ID: 767
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long start;\toffset:8;\tsize:8;\tsigned:0;
\tfield:char comm[16];\toffset:16;\tsize:16;\tsigned:0;
\tfield:__data_loc unsigned char[] hits;\toffset:32;\tsize:4;\tsigned:0;
\tfield:const char *name;\toffset:40;\tsize:8;\tsigned:0;
\tfield:s8 tiny;\toffset:48;\tsize:1;\tsigned:1;
\tfield:broken;\toffset:x;\tsize:1;\tsigned:1;

print fmt: \"field:int fake;\toffset:1;\tsize:4; %lu\", REC->start
";

    #[test]
    fn fields_have_their_names_and_places() {
        let format = Format::parse(FORMAT.as_bytes()).unwrap();
        assert_eq!(format.id, 767);
        let names: Vec<&str> = format.names().collect();
        let expected = ["common_type", "common_pid", "start", "comm", "hits", "name", "tiny"];
        assert_eq!(names, expected);
        let pid = format.field("common_pid").unwrap();
        assert_eq!(pid, Field { offset: 4, size: 4, signed: true });
        assert!(pid.is_number() && !format.field("comm").unwrap().is_number());
        assert_eq!(format.field("fake"), None);
    }

    #[test]
    fn what_is_no_format_is_refused() {
        assert_eq!(Format::parse(b""), Err(FormatError::NoId));
        assert_eq!(Format::parse(b"ID: seven"), Err(FormatError::NoId));
        assert_eq!(Format::parse(b"ID: 7\nfield:int x;\n"), Err(FormatError::NoFields));
    }

    #[test]
    fn numbers_are_read_in_all_widths_and_never_past_the_end() {
        let event: Vec<u8> = (0x81..=0x90).collect();
        let read = |offset, size, signed| Field { offset, size, signed }.number(&event);
        assert_eq!(read(0, 1, false), Some(0x81));
        assert_eq!(read(0, 1, true), Some((-127_i64).cast_unsigned()));
        assert_eq!(read(1, 2, false), Some(u64::from(u16::from_ne_bytes([0x82, 0x83]))));
        let negative = i32::from_ne_bytes([0x82, 0x83, 0x84, 0x85]);
        assert_eq!(read(1, 4, true), Some(i64::from(negative).cast_unsigned()));
        assert_eq!(read(8, 8, true), Some(u64::from_ne_bytes(*event.last_chunk().unwrap())));
        for (offset, size) in [(9, 8), (16, 1), (usize::MAX, 8), (0, 3), (0, 0), (0, 16)] {
            assert_eq!(read(offset, size, false), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_borne(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _result = Format::parse(&text);
        }

        #[test]
        fn any_damage_to_a_format_is_borne(at in 0..FORMAT.len(), byte: u8, cut in 0..FORMAT.len()) {
            let mut text = FORMAT.as_bytes().to_vec();
            text[at] = byte;
            text.truncate(cut);
            if let Ok(format) = Format::parse(&text) {
                for name in format.names() {
                    let _number = format.field(name).unwrap().number(&[1; 64]);
                }
            }
        }
    }
}
