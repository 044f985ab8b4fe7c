//! What stands behind an event's name: `key=value`, `START-END:` and bare numbers.

use super::number::{decimal, number};
use crate::import::events::{Event, Hits, Kind};
use damon_format::Region;
use damon_format::damos::rules::Stats;

/// What is common to all names.
pub(super) const STEM: &[u8] = b"damo";

/// The event whose name, with a colon, begins here, and the length of both.
#[inline]
pub(super) fn named(text: &[u8]) -> Option<(Kind, usize)> {
    let colon = |name: &[u8]| text.get(name.len()) == Some(&b':');
    let found = Kind::NAMES.iter().find(|(name, _)| text.starts_with(name) && colon(name))?;
    Some((found.1, found.0.len() + 1))
}

/// The event of this kind that the text tells. `None`: it does not.
#[inline]
pub(super) fn parse(kind: Kind, text: &[u8]) -> Option<Event> {
    if kind == Kind::Aggregated
        && let Some(event) = usual(text)
    {
        return Some(event);
    }
    Fields::read(text)?.event(kind)
}

/// What all kernels write for `damon_aggregated`.
#[inline]
fn usual(text: &[u8]) -> Option<Event> {
    let text = text.trim_ascii_start();
    let (target, text) = decimal(text.strip_prefix(b"target_id=")?)?;
    let (nr_regions, text) = decimal(text.strip_prefix(b" nr_regions=")?)?;
    let (start, text) = decimal(text.strip_prefix(b" ")?)?;
    let (end, text) = decimal(text.strip_prefix(b"-")?)?;
    let (nr_accesses, text) = decimal(text.strip_prefix(b": ")?)?;
    let (age, text) = match text.strip_prefix(b" ") {
        Some(text) => decimal(text).map(|(age, text)| (Some(age), text))?,
        None => (None, text),
    };
    if !text.is_empty() || start >= end {
        return None;
    }
    Some(Event::Region {
        target,
        nr_regions: u32::try_from(nr_regions).ok()?,
        region: Region {
            start,
            end,
            nr_accesses: u32::try_from(nr_accesses).ok()?,
            age: u32::try_from(age.unwrap_or(0)).ok()?,
        },
        has_age: age.is_some(),
        hits: Hits::default(),
    })
}

/// Whatever was found, in any order.
#[derive(Debug, Default)]
struct Fields {
    target: Option<u64>,
    nr_regions: Option<u64>,
    range: Option<(u64, u64)>,
    nr_accesses: Option<i128>,
    age: Option<i128>,
    hits: Option<Hits>,
    scheme: Option<u64>,
    sample_us: Option<u64>,
    bytes: Option<u64>,
    stats: Stats,
    has_stats: bool,
}

impl Fields {
    fn read(text: &[u8]) -> Option<Self> {
        let mut fields = Self::default();
        let (mut start, mut end) = (None, None);
        let mut tried = false;
        let mut tokens = text.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty());
        while let Some(token) = tokens.next() {
            let Some(equals) = memchr::memchr(b'=', token) else {
                fields.bare(token)?;
                continue;
            };
            let (key, value) = (token.get(..equals)?, token.get(equals + 1..)?);
            if key == b"probe_hits" {
                let rest = std::iter::once(value).chain(tokens.by_ref());
                let hits: Option<Vec<u8>> = rest.take(256).map(byte).collect();
                fields.hits = Some(Hits::new(hits?));
                continue;
            }
            // damo writes so what it does not know.
            let value = if value == b"None" { 0 } else { number(value)? };
            let stats = &mut fields.stats;
            match key {
                b"target_id" | b"target_idx" => fields.target = Some(value),
                b"nr_regions" => fields.nr_regions = Some(value),
                b"scheme_idx" => fields.scheme = Some(value),
                b"sample_us" => fields.sample_us = Some(value),
                b"esz" => fields.bytes = Some(value),
                b"start" => start = Some(value),
                b"end" => end = Some(value),
                b"nr_accesses" => fields.nr_accesses = Some(value.into()),
                b"age" => fields.age = Some(value.into()),
                b"nr_tried" => stats.nr_tried = value,
                // Linux 7.0 calls two fields so, of which the second is sz_applied.
                b"sz_tried" if tried => stats.sz_applied = value,
                b"sz_tried" => stats.sz_tried = value,
                b"nr_applied" => stats.nr_applied = value,
                b"sz_applied" => stats.sz_applied = value,
                b"sz_ops_filter_passed" => stats.sz_ops_filter_passed = value,
                b"qt_exceeds" => stats.qt_exceeds = value,
                b"nr_snapshots" => stats.nr_snapshots = value,
                _ => {}
            }
            tried |= key == b"sz_tried";
            fields.has_stats |= key == b"nr_tried";
        }
        fields.range = fields.range.or(start.zip(end));
        Some(fields)
    }

    /// `START-END:`, or the number of accesses, or the age.
    fn bare(&mut self, token: &[u8]) -> Option<()> {
        if let Some((start, rest)) = decimal(token)
            && let Some((end, rest)) = rest.strip_prefix(b"-").and_then(decimal)
        {
            self.range = Some((start, end));
            return matches!(rest, b"" | b":").then_some(());
        }
        // Whatever perf script was asked to print after (-F +ip,sym) is of no interest.
        if token == b"None" || self.age.is_some() {
            return Some(());
        }
        let value = match token.strip_prefix(b"-") {
            Some(token) => -i128::from(number(token)?),
            None => i128::from(number(token)?),
        };
        let slot = if self.nr_accesses.is_none() { &mut self.nr_accesses } else { &mut self.age };
        *slot = Some(value);
        Some(())
    }

    fn region(&self) -> Option<Region> {
        let (start, end) = self.range?;
        let nr_accesses = u32::try_from(self.nr_accesses?).ok()?;
        let age = u32::try_from(self.age.unwrap_or(0)).ok()?;
        (start < end).then_some(Region { start, end, nr_accesses, age })
    }

    fn event(&self, kind: Kind) -> Option<Event> {
        let scheme = self.scheme.map(u32::try_from);
        Some(match kind {
            Kind::Aggregated if self.range == Some((0, 0)) && self.nr_accesses == Some(-1) => {
                Event::Filler { target: self.target? }
            }
            Kind::Aggregated => Event::Region {
                target: self.target?,
                nr_regions: u32::try_from(self.nr_regions?).ok()?,
                region: self.region()?,
                has_age: self.age.is_some(),
                hits: self.hits.unwrap_or_default(),
            },
            Kind::Apply => {
                Event::Apply { scheme: scheme?.ok()?, target: self.target?, region: self.region()? }
            }
            Kind::Tuned => Event::Tuned { sample_us: self.sample_us.filter(|us| *us > 0)? },
            Kind::Quota => Event::Quota { scheme: scheme?.ok()?, bytes: self.bytes? },
            Kind::Stats if self.has_stats => {
                Event::Stats { scheme: scheme?.ok()?, stats: self.stats }
            }
            Kind::Stats => return None,
        })
    }
}

/// A byte as the kernel's `__print_hex` writes it.
fn byte(text: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(text: &str) -> Option<(u64, u32, Region, bool, Vec<u8>)> {
        match parse(Kind::Aggregated, text.as_bytes())? {
            Event::Region { target, nr_regions, region, has_age, hits } => {
                Some((target, nr_regions, region, has_age, hits.as_slice().to_vec()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_are_found_by_their_names_in_any_order() {
        let known = Region { start: 4096, end: 8192, nr_accesses: 3, age: 48 };
        let usual = Some((7, 12, known, true, vec![]));
        assert_eq!(region(" target_id=7 nr_regions=12 4096-8192: 3 48"), usual);
        assert_eq!(region("   nr_regions=12  x=5 4096-8192: target_id=7 3   48  \r"), usual);
        let named = "target_id=0x7 nr_regions=12 start=0x1000 end=0x2000 nr_accesses=3 age=48";
        assert_eq!(region(named), usual);
        let with_ip = "target_id=7 nr_regions=12 4096-8192: 3 48 ffffffff816a3fad kdamond_fn";
        assert_eq!(region(with_ip), usual);
        let (.., has_age, _) = region("target_id=7 nr_regions=12 4096-8192: 3").unwrap();
        assert!(!has_age);
        let (.., has_age, _) = region("target_id=7 nr_regions=12 4096-8192: 3 None").unwrap();
        assert!(!has_age);
        let probed = "target_id=7 nr_regions=12 4096-8192: 3 48 probe_hits=13 00";
        assert_eq!(region(probed), Some((7, 12, known, true, vec![0x13, 0])));
    }

    #[test]
    fn what_is_no_region_is_none() {
        for text in [
            "",
            "target_id=7 nr_regions=12",
            "target_id=7 nr_regions=12 4096-8192:",
            "target_id=7 nr_regions=12 8192-8192: 0 0",
            "target_id=7 nr_regions=12 8192-4096: 0 0",
            "target_id=7 nr_regions=-1 4096-8192: 0 0",
            "target_id= nr_regions=12 4096-8192: 0 0",
            "target_id=7 nr_regions=12 4096-8192: 4294967296 0",
            "target_id=7 nr_regions=12 4096-99999999999999999999: 0 0",
            "target_id=7 nr_regions=12 4096-8192: 3 4x",
        ] {
            assert_eq!(region(text), None, "{text}");
        }
    }

    #[test]
    fn the_other_events_are_read() {
        let filler = parse(Kind::Aggregated, b"target_id=2 nr_regions=1 0-0: -1 -1");
        assert_eq!(filler, Some(Event::Filler { target: 2 }));
        let apply = b" ctx_idx=0 scheme_idx=1 target_idx=2 nr_regions=9 4096-8192: 3 48";
        let region = Region { start: 4096, end: 8192, nr_accesses: 3, age: 48 };
        assert_eq!(parse(Kind::Apply, apply), Some(Event::Apply { scheme: 1, target: 2, region }));
        let tuned = parse(Kind::Tuned, b"sample_us=7500");
        assert_eq!(tuned, Some(Event::Tuned { sample_us: 7500 }));
        assert_eq!(parse(Kind::Tuned, b"sample_us=0"), None);
        let quota = parse(Kind::Quota, b"ctx_idx=0 scheme_idx=3 esz=4096");
        assert_eq!(quota, Some(Event::Quota { scheme: 3, bytes: 4096 }));
        let text = b"ctx_idx=0 scheme_idx=0 nr_tried=1 sz_tried=2 nr_applied=3 sz_tried=4 \
                     sz_ops_filter_passed=5 qt_exceeds=6 nr_snapshots=7";
        let stats = Stats {
            nr_tried: 1,
            sz_tried: 2,
            nr_applied: 3,
            sz_applied: 4,
            sz_ops_filter_passed: 5,
            qt_exceeds: 6,
            nr_snapshots: 7,
        };
        assert_eq!(parse(Kind::Stats, text), Some(Event::Stats { scheme: 0, stats }));
    }
}
