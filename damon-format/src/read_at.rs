//! Positioned reading, so that blocks can be decoded independently and in any order.

use std::io;

/// Something that can be read at any offset, from several threads at once.
pub trait ReadAt: Send + Sync {
    /// Length in bytes at this moment.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to `buf.len()` bytes at `offset`; 0 means end of file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for std::fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|o| self.get(o..)).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buf, offset)
    }
}

impl<S: ReadAt + ?Sized> ReadAt for &S {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }
}

/// Reads `[offset, end)` of a [`ReadAt`] front to back.
#[derive(Debug)]
pub(crate) struct Cursor<'a, S: ?Sized> {
    source: &'a S,
    offset: u64,
    end: u64,
}

impl<'a, S: ReadAt + ?Sized> Cursor<'a, S> {
    pub(crate) fn new(source: &'a S, offset: u64, end: u64) -> Self {
        Self { source, offset, end }
    }
}

impl<S: ReadAt + ?Sized> io::Read for Cursor<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let Some(part) = buf.get_mut(..len) else {
            return Ok(0);
        };
        let read = self.source.read_at(part, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
