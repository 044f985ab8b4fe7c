//! The fixed parts of a trace: file header, block header, frame header, index entry, footer.
//!
//! One type per piece; all integers little-endian; `docs/FORMAT.md` describes the same bytes.

use crc32fast::Hasher;

/// Major version written; a reader refuses later ones.
pub const MAJOR: u16 = 1;
/// Minor version written; later ones only add what may be skipped.
pub const MINOR: u16 = 1;

/// A byte above 127, the name, CR LF, end-of-text and LF: text-mode transfers and 7-bit channels
/// are noticed at once.
pub const FILE_MAGIC: [u8; 8] = [0x89, b'D', b'M', b'N', b'\r', b'\n', 0x1a, b'\n'];
/// Begins each block; searched for when bytes before it are damaged.
pub const BLOCK_MAGIC: [u8; 4] = [0xb1, b'B', b'L', b'K'];
/// Begins the footer.
pub const FOOTER_MAGIC: [u8; 8] = [0xb2, b'D', b'M', b'N', b'E', b'N', b'D', b'\n'];

/// Largest stored length of a frame.
pub const MAX_FRAME_STORED: u32 = (1 << 24) - 1;
/// Largest length of a frame after decompression.
pub const MAX_FRAME_RAW: usize = 1 << 24;
/// Largest sum of regions (times one plus probe columns) that a decoder keeps at once.
pub const MAX_REGIONS: usize = 1 << 18;
/// Most probe columns of a snapshot.
pub const MAX_PROBES: usize = 1 << 8;
/// Largest zstd window, as a power of two.
pub const MAX_WINDOW_LOG: u32 = 20;
/// Largest decoded metadata record.
pub const MAX_RECORD: usize = 1 << 22;

/// CRC-32 (IEEE 802.3, as in PNG and gzip) of several parts in a row.
pub(crate) fn crc32(parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn checked<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    let crc = bytes.split_last_chunk::<4>().map(|(head, _)| crc32(&[head])).unwrap_or_default();
    if let Some((_, tail)) = bytes.split_last_chunk_mut::<4>() {
        *tail = crc.to_le_bytes();
    }
    bytes
}

fn crc_matches(bytes: &[u8]) -> bool {
    bytes
        .split_last_chunk::<4>()
        .is_some_and(|(head, tail)| crc32(&[head]) == u32::from_le_bytes(*tail))
}

fn place(bytes: &mut [u8], at: usize, part: &[u8]) {
    if let Some(slot) = bytes.get_mut(at..at + part.len()) {
        slot.copy_from_slice(part);
    }
}

/// The first 32 bytes of a trace.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | [`FILE_MAGIC`] |
/// | 8 | 2 | major version |
/// | 10 | 2 | minor version |
/// | 12 | 4 | zero |
/// | 16 | 8 | identity of the trace: wall-clock nanoseconds at which it was begun |
/// | 24 | 4 | zero |
/// | 28 | 4 | CRC-32 of bytes 0 to 27 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// Wall-clock nanoseconds at which the trace was begun.
    pub identity: u64,
}

/// Why the first bytes are not a usable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileHeaderError {
    /// The magic does not match.
    Magic,
    /// The checksum does not match.
    Checksum,
}

impl FileHeader {
    /// Stored length in bytes.
    pub const LEN: usize = 32;

    /// Whether the index tells of lasting records: not before version 1.1, and of a later version this one does not
    /// know all kinds.
    pub(crate) fn tells_lasting(&self) -> bool {
        self.major == MAJOR && (1..=MINOR).contains(&self.minor)
    }

    /// The stored form.
    ///
    /// ```
    /// let header = damon_format::layout::FileHeader { major: 1, minor: 0, identity: 0x0102 };
    /// assert_eq!(header.encode()[..18], *b"\x89DMN\r\n\x1a\n\x01\0\0\0\0\0\0\0\x02\x01");
    /// ```
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        place(&mut bytes, 0, &FILE_MAGIC);
        place(&mut bytes, 8, &self.major.to_le_bytes());
        place(&mut bytes, 10, &self.minor.to_le_bytes());
        place(&mut bytes, 16, &self.identity.to_le_bytes());
        checked(bytes)
    }

    /// Reads the stored form; the checksum is tested before anything is believed.
    ///
    /// # Errors
    /// When the magic or the checksum does not match.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, FileHeaderError> {
        if !bytes.starts_with(&FILE_MAGIC) {
            return Err(FileHeaderError::Magic);
        }
        if !crc_matches(bytes) {
            return Err(FileHeaderError::Checksum);
        }
        let fields = (|| Some((u16_at(bytes, 8)?, u16_at(bytes, 10)?, u64_at(bytes, 16)?)))();
        let (major, minor, identity) = fields.ok_or(FileHeaderError::Checksum)?;
        Ok(Self { major, minor, identity })
    }
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockKind(pub u8);

impl BlockKind {
    /// One frame: the description of the recording, not compressed. Always the first block.
    pub const INFO: Self = Self(1);
    /// Frames that are one zstd stream of sections.
    pub const DATA: Self = Self(2);
    /// Frames of index entries, not compressed. Always the last block.
    pub const INDEX: Self = Self(3);
}

/// The head of a block; frames follow until the next block, the footer or the end of the file.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | [`BLOCK_MAGIC`] |
/// | 4 | 1 | kind |
/// | 5 | 1 | flags: bit 0 = a reader that does not know the kind may skip the block |
/// | 6 | 2 | zero |
/// | 8 | 4 | sequence number of the block, from 0 |
/// | 12 | 8 | start: nanoseconds of `CLOCK_MONOTONIC` to which times inside the block are relative |
/// | 20 | 4 | CRC-32 of bytes 0 to 19 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the block holds.
    pub kind: BlockKind,
    /// Whether an unknown kind may be skipped.
    pub optional: bool,
    /// Number of the block in its trace.
    pub sequence: u32,
    /// Base of the times inside.
    pub start_ns: u64,
}

impl BlockHeader {
    /// Stored length in bytes.
    pub const LEN: usize = 24;

    /// The stored form.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        place(&mut bytes, 0, &BLOCK_MAGIC);
        place(&mut bytes, 4, &[self.kind.0, u8::from(self.optional)]);
        place(&mut bytes, 8, &self.sequence.to_le_bytes());
        place(&mut bytes, 12, &self.start_ns.to_le_bytes());
        checked(bytes)
    }

    /// Reads the stored form; `None` unless magic and checksum match.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..Self::LEN)?;
        if !bytes.starts_with(&BLOCK_MAGIC) || !crc_matches(bytes) {
            return None;
        }
        Some(Self {
            kind: BlockKind(*bytes.get(4)?),
            optional: bytes.get(5)? & 1 != 0,
            sequence: u32_at(bytes, 8)?,
            start_ns: u64_at(bytes, 12)?,
        })
    }
}

/// The head of a frame, the unit of flushing; `length` payload bytes follow.
///
/// Short form, lengths below 2^14:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 2 | big-endian: two 1 bits, then the length of the payload |
/// | 2 | 4 | CRC-32 (little-endian) of: block sequence (4 bytes, little-endian), frame number in the block (4 bytes, little-endian), bytes 0 and 1, payload |
///
/// Long form:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 1 | 0xa0 |
/// | 1 | 3 | length of the payload |
/// | 4 | 4 | CRC-32 of: block sequence, frame number, bytes 0 to 3, payload |
///
/// The two numbers are not stored: the checksum alone binds a frame to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Length of the payload in bytes.
    pub length: u32,
    /// Checksum over place, head and payload.
    pub crc: u32,
}

const LONG_FRAME: u8 = 0xa0;
const SHORT_FRAME: u8 = 0xc0;

impl FrameHeader {
    /// Longest stored form in bytes.
    pub const MAX_LEN: usize = 8;

    /// True for the first byte of a frame.
    pub fn begins_with(byte: u8) -> bool {
        byte >= SHORT_FRAME || byte == LONG_FRAME
    }

    /// Length of the stored form in bytes.
    pub fn stored_len(self) -> usize {
        if self.length < 1 << 14 { 6 } else { 8 }
    }

    /// The bytes before the checksum: two or four of the four.
    fn head(length: u32) -> ([u8; 4], usize) {
        let [a, b, c, _] = length.to_le_bytes();
        if length < 1 << 14 { ([SHORT_FRAME | b, a, 0, 0], 2) } else { ([LONG_FRAME, a, b, c], 4) }
    }

    /// The checksum of `payload` as frame number `frame` of block `sequence`.
    pub fn checksum(sequence: u32, frame: u32, payload: &[u8]) -> u32 {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let (head, used) = Self::head(length);
        let head = head.get(..used).unwrap_or_default();
        crc32(&[&sequence.to_le_bytes(), &frame.to_le_bytes(), head, payload])
    }

    /// The head of `payload`, which may be at most [`MAX_FRAME_STORED`] bytes long.
    pub fn for_payload(sequence: u32, frame: u32, payload: &[u8]) -> Self {
        Self {
            length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            crc: Self::checksum(sequence, frame, payload),
        }
    }

    /// Appends the stored form.
    pub fn encode(self, out: &mut Vec<u8>) {
        let (head, used) = Self::head(self.length);
        out.extend(head.iter().take(used));
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads the stored form; `None` unless it begins like one and is complete.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [first, second] = array(bytes, 0)?;
        if first >= SHORT_FRAME {
            let length = u32::from(first & !SHORT_FRAME) << 8 | u32::from(second);
            return Some(Self { length, crc: u32_at(bytes, 2)? });
        }
        let [a, b, c] = array(bytes, 1)?;
        let length = u32::from_le_bytes([a, b, c, 0]);
        // One length, one form: otherwise a changed head could pass with the same checksum.
        let canonical = first == LONG_FRAME && length >= 1 << 14;
        canonical.then_some(Self { length, crc: u32_at(bytes, 4)? })
    }
}

/// What the index says of one block.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | offset of the block header in the file |
/// | 8 | 8 | stored length of the block with all its frames |
/// | 16 | 8 | earliest time inside, nanoseconds of `CLOCK_MONOTONIC` |
/// | 24 | 8 | latest time inside |
/// | 32 | 8 | region rows |
/// | 40 | 4 | snapshots |
/// | 44 | 4 | records |
/// | 48 | 4 | sequence number |
/// | 52 | 4 | one more than the number of lasting records; zero does not tell it |
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BlockEntry {
    /// Offset of the block header in the file.
    pub offset: u64,
    /// Stored length of the block with all its frames.
    pub stored_len: u64,
    /// Earliest time inside (snapshot starts and records).
    pub start_ns: u64,
    /// Latest time inside (snapshot ends and records).
    pub end_ns: u64,
    /// Region rows.
    pub rows: u64,
    /// Snapshots.
    pub snapshots: u32,
    /// Metadata records.
    pub records: u32,
    /// Sequence number of the block.
    pub sequence: u32,
    /// Records that matter to later moments than those of this block and the next one, see
    /// [`Lasting`](crate::Lasting): those that matter from their time on, and for each
    /// [`Series`](crate::Series) one, unless the next data block has a record of the series. `None` where the index does not tell.
    pub lasting: Option<u32>,
}

impl BlockEntry {
    /// Stored length in bytes.
    pub const LEN: usize = 56;

    /// The stored form.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        place(&mut bytes, 0, &self.offset.to_le_bytes());
        place(&mut bytes, 8, &self.stored_len.to_le_bytes());
        place(&mut bytes, 16, &self.start_ns.to_le_bytes());
        place(&mut bytes, 24, &self.end_ns.to_le_bytes());
        place(&mut bytes, 32, &self.rows.to_le_bytes());
        place(&mut bytes, 40, &self.snapshots.to_le_bytes());
        place(&mut bytes, 44, &self.records.to_le_bytes());
        place(&mut bytes, 48, &self.sequence.to_le_bytes());
        let lasting = self.lasting.map_or(0, |count| count.saturating_add(1));
        place(&mut bytes, 52, &lasting.to_le_bytes());
        bytes
    }

    /// Reads the stored form; `None` when there are too few bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            offset: u64_at(bytes, 0)?,
            stored_len: u64_at(bytes, 8)?,
            start_ns: u64_at(bytes, 16)?,
            end_ns: u64_at(bytes, 24)?,
            rows: u64_at(bytes, 32)?,
            snapshots: u32_at(bytes, 40)?,
            records: u32_at(bytes, 44)?,
            sequence: u32_at(bytes, 48)?,
            lasting: u32_at(bytes, 52)?.checked_sub(1),
        })
    }
}

/// The last 24 bytes of a trace that was finished.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | [`FOOTER_MAGIC`] |
/// | 8 | 8 | offset of the index block |
/// | 16 | 4 | number of index entries |
/// | 20 | 4 | CRC-32 of bytes 0 to 19 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Offset of the index block.
    pub index_offset: u64,
    /// Number of entries in it.
    pub entries: u32,
}

impl Footer {
    /// Stored length in bytes.
    pub const LEN: usize = 24;

    /// The stored form.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        place(&mut bytes, 0, &FOOTER_MAGIC);
        place(&mut bytes, 8, &self.index_offset.to_le_bytes());
        place(&mut bytes, 16, &self.entries.to_le_bytes());
        checked(bytes)
    }

    /// Reads the stored form; `None` unless magic and checksum match.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..Self::LEN)?;
        if !bytes.starts_with(&FOOTER_MAGIC) || !crc_matches(bytes) {
            return None;
        }
        Some(Self { index_offset: u64_at(bytes, 8)?, entries: u32_at(bytes, 16)? })
    }
}
