//! Version 6: one thing after the other, the places of the events last.

use super::contents::{Buffer, Contents, MAX_BUFFERS};
use super::options::{self, ids};
use crate::import::ImportError;
use crate::import::tracepoints::{Bytes, Span, unexpected};
use damon_format::ReadAt;
use std::io::{BufReader, Read};

const OPTIONS: &[u8; 10] = b"options  \0";
const RECORDS: &[u8; 10] = b"flyrecord\0";
const TEXT: &[u8; 10] = b"latency  \0";
/// Further instances of the tracer.
const MAX_INSTANCES: usize = 256;

/// Reads what stands behind the preamble.
pub(super) fn contents<R: Read>(
    from: &mut Bytes<R>,
    input: &(impl ReadAt + ?Sized),
    size: u64,
    page_size: u32,
) -> Result<Contents, ImportError> {
    let mut found = Contents::new(page_size);
    found.tracing.pages(from)?;
    found.tracing.events(from)?;
    let length = from.u32("size of the kernel's symbols")?;
    from.skip(length.into(), "the kernel's symbols")?;
    let length = from.u32("size of the formats of trace_printk")?;
    from.skip(length.into(), "the formats of trace_printk")?;
    found.names(from)?;
    let at = from.offset();
    let cpus = from.u32("number of CPUs")?;
    if cpus as usize > MAX_BUFFERS {
        return Err(unexpected(at, "at most 16384 CPUs", &cpus.to_string()));
    }
    let mut instances = Vec::new();
    let mut at = from.offset();
    let mut what = kind(from)?;
    if what == *OPTIONS {
        options(&mut found, from, cpus, &mut instances)?;
        at = from.offset();
        what = kind(from)?;
    }
    match &what {
        RECORDS => buffers(&mut found, from, cpus)?,
        TEXT => {
            return Err(ImportError::Useless(
                "it holds the text of a latency tracer and no events; record with trace-cmd record -e damon:damon_aggregated".into(),
            ));
        }
        _ => return Err(unexpected(at, "options or places of events", "something else")),
    }
    for offset in instances {
        let mut from = Bytes::new(BufReader::new(Span::new(input, offset, size)), offset, size);
        if kind(&mut from)? != *RECORDS {
            return Err(unexpected(offset, "places of an instance's events", "something else"));
        }
        buffers(&mut found, &mut from, cpus)?;
    }
    Ok(found)
}

fn kind(from: &mut Bytes<impl Read>) -> Result<[u8; 10], ImportError> {
    let mut what = [0; 10];
    from.fill(&mut what, "options or places of events")?;
    Ok(what)
}

fn options(
    found: &mut Contents,
    from: &mut Bytes<impl Read>,
    cpus: u32,
    instances: &mut Vec<u64>,
) -> Result<(), ImportError> {
    loop {
        let at = from.offset();
        let id = from.u16("an option")?;
        if id == ids::DONE {
            return Ok(());
        }
        let length = from.u32("size of an option")?;
        let data = from.vec(length.into(), options::LONGEST, "an option")?;
        if id == ids::CPUCOUNT {
            // Of an instance; where its buffers are is listed for so many CPUs, and not for `cpus`.
            let count = data.first_chunk().map_or(cpus, |count| u32::from_le_bytes(*count));
            if count != cpus {
                return Err(ImportError::Useless(format!(
                    "it has buffers of {cpus} CPUs and an instance with {count}; use the text of trace-cmd report"
                )));
            }
        }
        if id != ids::BUFFER {
            found.options.learn(id, &data);
            continue;
        }
        let Some(offset) = data.first_chunk() else {
            return Err(unexpected(at, "the place of an instance's events", "the end"));
        };
        if instances.len() >= MAX_INSTANCES {
            return Err(unexpected(at, "at most 256 instances", "more"));
        }
        instances.push(u64::from_le_bytes(*offset));
    }
}

fn buffers(
    found: &mut Contents,
    from: &mut Bytes<impl Read>,
    cpus: u32,
) -> Result<(), ImportError> {
    for _ in 0..cpus {
        let at = from.offset();
        let offset = from.u64("place of a CPU's events")?;
        let size = from.u64("size of a CPU's events")?;
        let page_size = found.tracing.page_size;
        found.buffer(Buffer { offset, size, page_size, packing: None }, at)?;
    }
    Ok(())
}
