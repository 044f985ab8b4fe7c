//! Which of DAMON's events the running kernel has, and how they are laid out.

use super::decode::{Decoder, EventKind, LayoutError};
use super::format::{Format, FormatError};
use std::io;
use std::path::{Path, PathBuf};

/// Why an event cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The kernel has no such event.
    #[error("{} does not exist: this kernel's DAMON has no event {tracepoint}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// The event's name.
        tracepoint: &'static str,
    },
    /// Its description cannot be read.
    #[error("cannot read {}: {source}{}", path.display(), advice(source))]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its description is not what it should be.
    #[error("{} is not the description of an event: {source}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// It does not tell what we need.
    #[error("{}: {source}", path.display())]
    Layout {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        source: LayoutError,
    },
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; only root may read tracefs, so run this as root",
        _ => "",
    }
}

/// An event that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub kind: EventKind,
    /// Its number, for perf.
    pub id: u32,
}

/// The events of the running kernel.
#[derive(Debug)]
pub struct Catalog {
    /// Understands them.
    pub decoder: Decoder,
    /// Those that are there, in the order of asking.
    pub events: Vec<Listed>,
    /// Why the others are not.
    pub absent: Vec<CatalogError>,
}

impl Catalog {
    /// Reads `events/damon` below the root of tracefs. [`EventKind::Aggregated`] must be there; of the others each may
    /// be missing.
    ///
    /// # Errors
    /// Why [`EventKind::Aggregated`] cannot be had, whether it was wanted or not.
    pub fn read(tracefs: &Path, wanted: &[EventKind]) -> Result<Self, CatalogError> {
        let mut catalog =
            Self { decoder: Decoder::default(), events: Vec::new(), absent: Vec::new() };
        catalog.add(tracefs, EventKind::Aggregated)?;
        for &kind in wanted.iter().filter(|kind| **kind != EventKind::Aggregated) {
            if let Err(error) = catalog.add(tracefs, kind) {
                catalog.absent.push(error);
            }
        }
        Ok(catalog)
    }

    fn add(&mut self, tracefs: &Path, kind: EventKind) -> Result<(), CatalogError> {
        let tracepoint = kind.tracepoint();
        let path = tracefs.join("events/damon").join(tracepoint).join("format");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(CatalogError::Missing { path, tracepoint });
            }
            Err(source) => return Err(CatalogError::Read { path, source }),
        };
        let format = match Format::parse(&text) {
            Ok(format) => format,
            Err(source) => return Err(CatalogError::Format { path, source }),
        };
        match self.decoder.learn(kind, &format) {
            Ok(()) => self.events.push(Listed { kind, id: format.id }),
            Err(source) => return Err(CatalogError::Layout { path, source }),
        }
        Ok(())
    }

    /// The tracepoints' names, for people.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.events.iter().map(|event| event.kind.tracepoint()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    fn write(root: &Path, kind: EventKind, text: &str) {
        let folder = root.join("events/damon").join(kind.tracepoint());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("format"), text).unwrap();
    }

    #[test]
    fn what_is_there_is_listed_and_what_is_not_is_explained() {
        let root = tempfile::tempdir().unwrap();
        let error = Catalog::read(root.path(), &[]).unwrap_err();
        assert!(matches!(error, CatalogError::Missing { tracepoint: "damon_aggregated", .. }));

        write(root.path(), EventKind::Aggregated, &fake::format(EventKind::Aggregated));
        write(root.path(), EventKind::SchemeStat, "ID: 5\n");
        let quota = fake::format(EventKind::EffectiveQuota).replace("esz", "size");
        write(root.path(), EventKind::EffectiveQuota, &quota);
        write(root.path(), EventKind::IntervalsTuned, &fake::format(EventKind::IntervalsTuned));
        let catalog = Catalog::read(root.path(), &EventKind::ALL).unwrap();
        assert_eq!(catalog.names(), "damon_aggregated, damon_monitor_intervals_tune");
        assert_eq!(catalog.events[1].id, 768);
        let reasons: Vec<String> = catalog.absent.iter().map(ToString::to_string).collect();
        assert!(reasons[0].contains("has no event damos_before_apply"), "{reasons:?}");
        assert!(reasons[1].contains("no field \"esz\""), "{reasons:?}");
        assert!(reasons[2].contains("not the description of an event"), "{reasons:?}");

        write(root.path(), EventKind::Aggregated, "");
        assert!(matches!(Catalog::read(root.path(), &[]), Err(CatalogError::Format { .. })));
    }
}
