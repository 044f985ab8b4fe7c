//! The buffers of all CPUs side by side, in the order of time.

use super::clock::Clock;
use super::contents::Buffer;
use super::pages::Pages;
use super::ring::{Page, PageLayout};
use crate::import::ImportError;
use crate::import::tracepoints::{Item, Layout, What, unexpected};
use damon_format::ReadAt;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events of DAMON, whichever CPU told them.
#[derive(Debug)]
pub(super) struct Merge<'a, S: ?Sized> {
    how: How<'a>,
    cpus: Vec<Cpu<'a, S>>,
    /// Time of each CPU's next item, and which CPU it is of.
    next: BinaryHeap<Reverse<(u64, usize)>>,
}

/// How bytes become events.
#[derive(Debug)]
struct How<'a> {
    pages: PageLayout,
    events: &'a [Layout],
    clock: Clock,
}

#[derive(Debug)]
struct Cpu<'a, S: ?Sized> {
    pages: Pages<'a, S>,
    page_size: usize,
    /// Some pages, and which of them is being read.
    bytes: Vec<u8>,
    begin: usize,
    page: Page,
    /// Place of the bytes.
    at: u64,
    /// They are inflated, so that only the chunk has a place.
    is_packed: bool,
    is_open: bool,
    item: Option<Item>,
}

impl<'a, S: ReadAt + ?Sized> Merge<'a, S> {
    /// `size` is the file's; `buffers` are in it.
    pub(super) fn new(
        input: &'a S,
        size: u64,
        buffers: &[Buffer],
        pages: PageLayout,
        events: &'a [Layout],
        clock: Clock,
    ) -> Result<Self, ImportError> {
        refuse_overlap(buffers, size)?;
        let how = How { pages, events, clock };
        let (mut cpus, mut next) = (Vec::new(), BinaryHeap::new());
        let full = || buffers.iter().filter(|buffer| buffer.size > 0);
        let count = full().count();
        for buffer in full() {
            let mut cpu = Cpu {
                pages: Pages::new(input, size, buffer, count)?,
                page_size: usize::try_from(buffer.page_size).unwrap_or(usize::MAX),
                bytes: Vec::new(),
                begin: 0,
                page: Page::default(),
                at: buffer.offset,
                is_packed: buffer.packing.is_some(),
                is_open: false,
                item: None,
            };
            cpu.advance(&how)?;
            next.extend(cpu.item.as_ref().map(|item| Reverse((item.time_ns, cpus.len()))));
            cpus.push(cpu);
        }
        Ok(Self { how, cpus, next })
    }

    /// The next item.
    pub(super) fn next(&mut self) -> Result<Option<Item>, ImportError> {
        let Some(mut top) = self.next.peek_mut() else { return Ok(None) };
        let Some(cpu) = self.cpus.get_mut(top.0.1) else { return Ok(None) };
        let item = cpu.item.take();
        cpu.advance(&self.how)?;
        match &cpu.item {
            Some(next) => top.0.0 = next.time_ns,
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
        Ok(item)
    }
}

/// Refuses buffers that are longer than the file, all together: many could be the same few bytes, read as often.
fn refuse_overlap(buffers: &[Buffer], size: u64) -> Result<(), ImportError> {
    let mut sum = 0_u64;
    for buffer in buffers {
        let with = sum.checked_add(buffer.size).filter(|sum| *sum <= size);
        sum = with.ok_or_else(|| {
            let found = "more bytes of events than the file has";
            unexpected(buffer.offset, "buffers of CPUs one after another", found)
        })?;
    }
    Ok(())
}

impl<S: ReadAt + ?Sized> Cpu<'_, S> {
    /// Finds the next event of DAMON, or loss.
    fn advance(&mut self, how: &How<'_>) -> Result<(), ImportError> {
        loop {
            if !self.is_open && !self.turn(how)? {
                return Ok(());
            }
            if self.item.is_some() {
                return Ok(());
            }
            let at = self.place();
            let end = self.begin.saturating_add(self.page_size);
            let bytes = self.bytes.get(self.begin..end).unwrap_or(&[]);
            while let Some(event) = self.page.next(bytes, at)? {
                let Some(layout) = how.events.iter().find(|layout| layout.is_of(event)) else {
                    continue;
                };
                let Some((thread, event)) = layout.read(event) else {
                    return Err(unexpected(at, "an event of DAMON", "one that is too short"));
                };
                let time_ns = how.clock.ns(self.page.time());
                self.item = Some(Item { time_ns, at, what: What::Event { thread, event } });
                return Ok(());
            }
            self.is_open = false;
            self.begin = end;
        }
    }

    /// Opens the next page; what was lost before it is the next item. `false`: there is none.
    fn turn(&mut self, how: &How<'_>) -> Result<bool, ImportError> {
        if self.begin >= self.bytes.len() {
            let Some(at) = self.pages.next(&mut self.bytes)? else { return Ok(false) };
            (self.at, self.begin) = (at, 0);
        }
        let at = self.place();
        let end = self.begin.saturating_add(self.page_size);
        let bytes = self.bytes.get(self.begin..end).unwrap_or(&[]);
        let (page, lost) = Page::begin(how.pages, bytes, at)?;
        if let Some(count) = lost {
            let time_ns = how.clock.ns(page.time());
            self.item = Some(Item { time_ns, at, what: What::Lost(count) });
        }
        (self.page, self.is_open) = (page, true);
        Ok(true)
    }

    /// Place of the page that is being read.
    fn place(&self) -> u64 {
        if self.is_packed { self.at } else { self.at.saturating_add(self.begin as u64) }
    }
}
