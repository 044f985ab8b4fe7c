//! How far files have been read, for people who wait.

use damon_format::ReadAt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The files that a command reads, in the order in which it opened them. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Reading(Arc<Mutex<Vec<Arc<Place>>>>);

/// A file, and where in it somebody reads. Other threads may look at any time: the numbers are good enough for the screen,
/// and nothing depends on them.
#[derive(Debug)]
pub struct Place {
    /// What the user called it.
    pub name: String,
    /// Its size in bytes; `None` of what comes through a pipe.
    pub size: Option<u64>,
    at: AtomicU64,
}

impl Place {
    /// Bytes from the beginning of the file, or how many have come so far.
    pub fn at(&self) -> u64 {
        self.at.load(Ordering::Relaxed)
    }

    /// Reading has come to this place; it may go back.
    pub fn reach(&self, offset: u64) {
        self.at.store(offset, Ordering::Relaxed);
    }

    fn advance(&self, bytes: usize) {
        self.at.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Reading {
    /// Another file is opened.
    pub fn begin(&self, name: &str, size: Option<u64>) -> Arc<Place> {
        let place = Arc::new(Place { name: name.to_owned(), size, at: AtomicU64::new(0) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&place));
        place
    }

    /// All that were opened.
    pub fn places(&self) -> Vec<Arc<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts the bytes that are read, from wherever.
#[derive(Debug)]
pub struct Counted<T> {
    from: T,
    place: Option<Arc<Place>>,
}

impl<T> Counted<T> {
    /// Tells `place`.
    pub fn new(from: T, place: Arc<Place>) -> Self {
        Self { from, place: Some(place) }
    }

    fn count(&self, read: io::Result<usize>) -> io::Result<usize> {
        if let (Ok(bytes), Some(place)) = (&read, &self.place) {
            place.advance(*bytes);
        }
        read
    }
}

/// Nobody waits.
impl<T> From<T> for Counted<T> {
    fn from(from: T) -> Self {
        Self { from, place: None }
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buf);
        self.count(read)
    }
}

impl<T: ReadAt> ReadAt for Counted<T> {
    fn size(&self) -> io::Result<u64> {
        self.from.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.count(self.from.read_at(buf, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_counts_however_it_is_read() {
        let reading = Reading::default();
        let place = reading.begin("a", Some(6));
        let mut file = Counted::new(&b"abcdef"[..], Arc::clone(&place));
        let mut room = [0; 4];
        assert_eq!(file.read(&mut room).unwrap(), 4);
        assert_eq!(file.read(&mut room).unwrap(), 2);
        assert_eq!((file.read(&mut room).unwrap(), place.at()), (0, 6));
        let file = Counted::new(vec![0; 3], reading.begin("b", None));
        assert_eq!((file.read_at(&mut room, 2).unwrap(), file.size().unwrap()), (1, 3));
        let seen: Vec<_> = reading.places().iter().map(|p| (p.name.clone(), p.at())).collect();
        assert_eq!(seen, [("a".to_owned(), 6), ("b".to_owned(), 1)]);
    }
}
