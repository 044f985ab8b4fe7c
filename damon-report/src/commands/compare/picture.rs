//! The picture of what became hotter and what colder.

use super::super::partial::save;
use super::super::picture::PictureFile;
use super::super::words::clean;
use super::words::setting;
use crate::analysis::compare::{Comparison, Options, Recording, difference};
use crate::exit::Failure;
use crate::render::difference::{Picture, difference_png, difference_svg};

/// Draws it into a file.
pub(super) fn draw(
    file: PictureFile<'_>,
    (base, new): (&[Recording], &[Recording]),
    found: &Comparison,
    options: &Options,
) -> Result<(), Failure> {
    let map = difference(base, new, options)?;
    let first = found.base.first();
    let program = first.map(|run| clean(&run.setting.program)).filter(|name| !name.is_empty());
    let program = program.map(|name| format!("{name}: ")).unwrap_or_default();
    let runs = |count: usize| format!("{count} recording{}", if count == 1 { "" } else { "s" });
    let title = format!("{program}{} against {}", runs(new.len()), runs(base.len()));
    let subtitle = setting(found).unwrap_or_default();
    let picture = Picture { map: &map, title: &title, subtitle: &subtitle };
    save(file.path, 0o666, &file.draw(&picture, difference_png, difference_svg)?)
}
