//! Reads a trace front to back, from a file or a pipe, in constant memory.

use crate::block::BlockDecoder;
use crate::layout::{BlockKind, FileHeader, FileHeaderError, Footer, MAJOR};
use crate::scan::{Piece, Scanner};
use crate::{Damage, DamageKind, OpenError, RecordingInfo, Visitor, wire};
use std::io::Read;

/// A trace that is read once, front to back.
#[derive(Debug)]
pub struct StreamReader<R> {
    scanner: Scanner<R>,
    header: FileHeader,
    info: RecordingInfo,
    damage: Vec<Damage>,
    footer: Option<Footer>,
}

impl<R: Read> StreamReader<R> {
    /// Reads the file header and the description of the recording.
    pub fn new(mut reader: R) -> Result<Self, OpenError> {
        let header = read_header(&mut reader)?;
        let mut scanner = Scanner::new(reader, FileHeader::LEN as u64, 0);
        let info = read_info(&mut scanner)?;
        Ok(Self { scanner, header, info, damage: Vec::new(), footer: None })
    }

    /// What was recorded, and how.
    pub fn info(&self) -> &RecordingInfo {
        &self.info
    }

    /// The file header.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Hands everything that is readable to `visitor`; damage is passed over and remembered.
    pub fn visit(&mut self, visitor: &mut impl Visitor) {
        let mut decoder = BlockDecoder::default();
        let mut current = None;
        while let Some(piece) = self.scanner.next() {
            let (offset, result) = match piece {
                Piece::Block { offset, header } => {
                    current = Some(header.sequence);
                    (offset, decoder.block(&header))
                }
                Piece::Frame { offset, payload, .. } => (offset, decoder.frame(payload, visitor)),
                Piece::Footer(footer) => {
                    self.footer = Some(footer);
                    continue;
                }
                Piece::Damage(damage) => {
                    self.damage.push(damage);
                    continue;
                }
            };
            if let Err(kind) = result {
                self.damage.push(Damage { offset, block: current, kind });
            }
        }
    }

    /// What could not be used, in file order; complete after [`visit`](Self::visit).
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// True when the footer was seen, i.e. the recorder ended in good order; known after
    /// [`visit`](Self::visit).
    pub fn is_finished(&self) -> bool {
        self.footer.is_some()
    }
}

/// Reads and checks the first bytes.
pub(crate) fn read_header(reader: &mut impl Read) -> Result<FileHeader, OpenError> {
    let mut bytes = [0; FileHeader::LEN];
    let mut have = 0;
    while let Some(room) = bytes.get_mut(have..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if have == 0 {
        return Err(OpenError::Empty);
    }
    let magic = crate::layout::FILE_MAGIC.len().min(have);
    if bytes.get(..magic) != crate::layout::FILE_MAGIC.get(..magic) {
        return Err(OpenError::NotATrace);
    }
    if have < bytes.len() {
        return Err(OpenError::TruncatedHead(have as u64));
    }
    let header = FileHeader::decode(&bytes).map_err(|error| match error {
        FileHeaderError::Magic => OpenError::NotATrace,
        FileHeaderError::Checksum => OpenError::HeaderDamaged,
    })?;
    if header.major > MAJOR {
        return Err(OpenError::NewerVersion { major: header.major, minor: header.minor });
    }
    Ok(header)
}

/// Reads the first block.
pub(crate) fn read_info<R: Read>(scanner: &mut Scanner<R>) -> Result<RecordingInfo, OpenError> {
    let offset = scanner.offset();
    let damaged = |offset, kind| OpenError::InfoDamaged(Damage { offset, block: Some(0), kind });
    let missing = || DamageKind::Malformed("the trace does not begin with it".into());
    match scanner.next() {
        Some(Piece::Block { header, .. }) if header.kind == BlockKind::INFO => {}
        Some(Piece::Damage(damage)) => return Err(cut_off(damage)),
        Some(_) => return Err(damaged(offset, missing())),
        None => return Err(OpenError::TruncatedHead(offset)),
    }
    let offset = scanner.offset();
    match scanner.next() {
        Some(Piece::Frame { payload, .. }) => {
            wire::get_info(payload).map_err(|why| damaged(offset, DamageKind::Malformed(why)))
        }
        Some(Piece::Damage(damage)) => Err(cut_off(damage)),
        Some(_) => Err(damaged(offset, missing())),
        None => Err(OpenError::TruncatedHead(offset)),
    }
}

fn cut_off(damage: Damage) -> OpenError {
    match damage.kind {
        DamageKind::Truncated { .. } => OpenError::TruncatedHead(damage.offset),
        _ => OpenError::InfoDamaged(damage),
    }
}
