//! Sections: what the decompressed stream of a data block is made of.
//!
//! Each section is one varint, the length of its body times two plus one if it holds snapshots, and its
//! body. A body that does not hold snapshots begins with its kind (varint).

use crate::columns::{Scratch, SectionHead, TargetDecoder};
use crate::layout::MAX_REGIONS;
use crate::varint::{Bytes, Malformed, put};
use crate::{DamageKind, Record, Visitor, wire};
use std::collections::BTreeMap;

/// One metadata record.
const RECORD: u64 = 1;
/// Unknown kinds from here on may be skipped; unknown kinds below refuse the block.
const OPTIONAL: u64 = 64;

/// Appends a section with snapshots of one target.
pub(crate) fn put_snapshots(body: &[u8], out: &mut Vec<u8>) {
    put(out, (body.len() as u64) << 1 | 1);
    out.extend_from_slice(body);
}

/// Appends a section with one metadata record.
pub(crate) fn put_record(body: &[u8], out: &mut Vec<u8>) {
    // The kind takes one byte.
    put(out, (body.len() as u64 + 1) << 1);
    put(out, RECORD);
    out.extend_from_slice(body);
}

/// What a decoder remembers from frame to frame of one block.
#[derive(Debug)]
pub(crate) struct Sections {
    base_ns: u64,
    targets: BTreeMap<u32, TargetDecoder>,
    scratch: Scratch,
    kept: usize,
}

impl Sections {
    /// `base_ns` is the start time in the block's header.
    pub(crate) fn new(base_ns: u64) -> Self {
        Self { base_ns, targets: BTreeMap::new(), scratch: Scratch::default(), kept: 0 }
    }

    /// Hands over one frame's records and passes over its snapshots, so that those of later frames cannot be
    /// decoded any more.
    pub(crate) fn frame_records(
        &mut self,
        raw: &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<(), DamageKind> {
        self.sections(raw, visitor, |_, _, _| Ok(()))
    }

    /// Decodes one frame's sections.
    pub(crate) fn frame(
        &mut self,
        raw: &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<(), DamageKind> {
        self.sections(raw, visitor, Self::snapshots)
    }

    fn sections<V: Visitor>(
        &mut self,
        raw: &[u8],
        visitor: &mut V,
        snapshots: impl Fn(&mut Self, &mut Bytes<'_>, &mut V) -> Result<(), Malformed>,
    ) -> Result<(), DamageKind> {
        let mut bytes = Bytes::new(raw);
        while !bytes.is_empty() {
            let (kind, mut body) = section(&mut bytes)
                .map_err(|Malformed| DamageKind::Malformed("a section is cut off".into()))?;
            match kind {
                None => snapshots(self, &mut body, visitor).map_err(|Malformed| {
                    DamageKind::Malformed("a section of snapshots makes no sense".into())
                })?,
                Some(RECORD) => {
                    if let Some(record) = record(&mut body)? {
                        visitor.record(record);
                    }
                }
                Some(OPTIONAL..) => {}
                Some(unknown) => {
                    return Err(DamageKind::Unsupported(format!("section kind {unknown}")));
                }
            }
        }
        Ok(())
    }

    fn snapshots(
        &mut self,
        body: &mut Bytes<'_>,
        visitor: &mut impl Visitor,
    ) -> Result<(), Malformed> {
        let head = SectionHead::read(body)?;
        // A target without regions is small, but there may not be any number of them either.
        if self.targets.len() >= MAX_REGIONS >> 4 && !self.targets.contains_key(&head.target.0) {
            return Err(Malformed);
        }
        let base_ns = self.base_ns;
        let target =
            self.targets.entry(head.target.0).or_insert_with(|| TargetDecoder::new(base_ns));
        let before = target.kept();
        // Twice: the snapshot being decoded and the one it is predicted from.
        let budget = MAX_REGIONS.saturating_sub(self.kept - before);
        target.section(&head, body, budget, &mut self.scratch, visitor)?;
        self.kept = self.kept - before + target.kept();
        Ok(())
    }
}

/// The kind of the next section, `None` for snapshots, and its body.
fn section<'a>(bytes: &mut Bytes<'a>) -> Result<(Option<u64>, Bytes<'a>), Malformed> {
    let head = bytes.varint()?;
    let mut body = bytes.take(head >> 1)?;
    let kind = if head & 1 == 1 { None } else { Some(body.varint()?) };
    Ok((kind, body))
}

fn record(body: &mut Bytes<'_>) -> Result<Option<Record>, DamageKind> {
    let malformed = |why: &str| DamageKind::Malformed(format!("a record cannot be read: {why}"));
    let kind = body.varint().map_err(|Malformed| malformed("it has no kind"))?;
    wire::get_record(kind, body.as_slice()).map_err(|why| malformed(&why))
}
