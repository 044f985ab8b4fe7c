//! What pictures have in common: titles, file names, writing.

use super::Streams;
use super::partial::save;
use super::words::{access, duration};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::exit::Failure;
use crate::render::RenderError;
use std::path::Path;

/// Kinds of pictures, told by the end of their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Png,
    Svg,
}

impl Kind {
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("svg") => Ok(Self::Svg),
            _ => Err(Failure::Usage(format!(
                "{}: a picture's name must end in .png or .svg",
                path.display()
            ))),
        }
    }
}

/// Where a picture goes, in which form and how large.
#[derive(Clone, Copy, Debug)]
pub(super) struct PictureFile<'a> {
    pub(super) path: &'a Path,
    kind: Kind,
    size: (u32, u32),
}

impl<'a> PictureFile<'a> {
    /// What `-o` and `--size` ask for. A name that does not tell the form is refused before anything is read.
    pub(super) fn of(output: Option<&'a Path>, size: (u32, u32)) -> Result<Option<Self>, Failure> {
        output.map(|path| Ok(Self { path, kind: Kind::of(path)?, size })).transpose()
    }

    /// The bytes of the file, by that one of the two functions that draws its form.
    pub(super) fn draw<P>(
        &self,
        picture: &P,
        png: impl FnOnce(&P, u32, u32) -> Result<Vec<u8>, RenderError>,
        svg: impl FnOnce(&P, u32, u32) -> Result<String, RenderError>,
    ) -> Result<Vec<u8>, Failure> {
        let (width, height) = self.size;
        Ok(match self.kind {
            Kind::Png => png(picture, width, height)?,
            Kind::Svg => svg(picture, width, height)?.into_bytes(),
        })
    }

    /// Draws and writes it.
    pub(super) fn put<P>(
        &self,
        picture: &P,
        png: impl FnOnce(&P, u32, u32) -> Result<Vec<u8>, RenderError>,
        svg: impl FnOnce(&P, u32, u32) -> Result<String, RenderError>,
        terminal: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        write(self.path, &self.draw(picture, png, svg)?, terminal)
    }
}

/// Writes a finished picture, and says so when somebody may read it.
pub(super) fn write(path: &Path, bytes: &[u8], terminal: &mut Streams<'_>) -> Result<(), Failure> {
    save(path, 0o666, bytes)?;
    writeln!(terminal.out, "{}", path.display())?;
    Ok(())
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Size { .. } => Self::Usage(error.to_string()),
            error => Self::Output(error.to_string()),
        }
    }
}

/// `work (pid 4711), 10 s`.
pub(super) fn title(view: &View) -> String {
    let what = match view.target_names().as_slice() {
        [] => "nothing".to_owned(),
        [one] if one.pid == 0 && one.comm.is_empty() => "physical memory".to_owned(),
        [one] => one.name(),
        [one, others @ ..] => {
            let what = match (others.iter().all(|other| other.pid > 0), others.len()) {
                (true, 1) => "process",
                (true, _) => "processes",
                (false, 1) => "other",
                (false, _) => "others",
            };
            format!("{} and {} {what}", one.name(), others.len())
        }
    };
    let time = view.time();
    format!("{what}, {}", duration(float(time.end.saturating_sub(time.start))))
}

/// How it was recorded: `writes only, page, sampled (backend writes), sample 5 ms to 12 ms, aggregate 100 ms to 240 ms`.
pub(super) fn subtitle(trace: &Trace, view: &View) -> String {
    let how = access(&trace.info().backend);
    let samplings = &view.overview.samplings;
    let sample = span(samplings.iter().map(|s| s.sample_us));
    let aggregation = span(samplings.iter().map(|s| s.aggr_us));
    let guessed = if view.overview.has_guessed_intervals() { " (guessed)" } else { "" };
    match (sample, aggregation) {
        (Some(sample), Some(aggregation)) => {
            format!("{how}, sample {sample}, aggregate {aggregation}{guessed}")
        }
        _ => how,
    }
}

/// The shortest and the longest of some intervals in microseconds.
fn span(intervals_us: impl Iterator<Item = u64> + Clone) -> Option<String> {
    let interval = |us: u64| duration(float(us) * 1000.0);
    let (shortest, longest) = (intervals_us.clone().min()?, intervals_us.max()?);
    Some(if shortest == longest {
        interval(shortest)
    } else {
        format!("{} to {}", interval(shortest), interval(longest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_told_with_their_extremes() {
        assert_eq!(span([5_000, 12_000, 7_500].into_iter()).as_deref(), Some("5 ms to 12 ms"));
        assert_eq!(span([100_000; 2].into_iter()).as_deref(), Some("100 ms"));
        assert_eq!(span([].into_iter()), None);
    }
}
