//! Numbers to pixels and text. Never computes a statistic: where there are more numbers than pixels it
//! shows extremes, so that nothing that was measured disappears.
//!
//! | module | idea |
//! |---|---|
//! | `heatmap` | the time × address picture with the working set below it |
//! | `wss` | the working set over time beside its distribution |
//! | `footprint` | memory that is held and memory that is used, over time |
//! | `mapping_bars` | sizes of mappings beside one another |
//! | `what_if`, `tiers` | what schemes would have done over time; how much memory serves how much of the accesses |
//! | `difference` | what became hotter and colder, mapping by mapping |
//! | `pareto` | saving against promotions of many variants |
//! | `curve` | bytes over a duration, on a logarithmic axis |
//! | `terminal` | heatmap and working set as text |
//! | `histogram` | bytes by rate, age, size or temperature |
//! | `regions`, `timeline`, `bars` | the regions of a moment, lines over time and bars as text |
//! | `layout`, `one_plot`, `labels`, `units` | where things go and what they are called; no drawing |
//! | `furniture`, `address_axis`, `legend`, `names` | what stands around plots and maps: titles, axes, keys, names of mappings |
//! | `cells`, `series`, `lines` | heat and lines to pixels |
//! | `marks`, `marginal` | beside the map: moments that the user named, the mean of each row |
//! | `colour`, `palette`, `diverging`, `inks`, `num`, `text`, `svg`, `png`, `pen` | the tools |

mod address_axis;
pub mod bars;
mod cells;
mod colour;
pub mod curve;
pub mod difference;
mod diverging;
pub mod footprint;
mod furniture;
pub mod heatmap;
pub mod histogram;
mod inks;
mod labels;
mod layout;
mod legend;
mod lines;
pub mod mapping_bars;
mod marginal;
mod marks;
mod names;
mod num;
mod one_plot;
mod palette;
pub mod pareto;
mod pen;
mod png;
pub mod regions;
mod series;
mod svg;
pub mod terminal;
mod text;
pub mod tiers;
pub mod timeline;
mod units;
pub mod what_if;
pub mod wss;

pub use colour::{Look, Rgb, Scale};
pub use layout::{Extras, Grid, MAX_SIDE, MIN_HEIGHT, MIN_WIDTH};
pub use palette::Palette;
pub use units::amount;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The canvas is too small to show anything or too large to be meant.
    #[error(
        "a picture of {width}x{height} pixels cannot be drawn: ask for {MIN_WIDTH}x{MIN_HEIGHT} \
         to {MAX_SIDE}x{MAX_SIDE} pixels"
    )]
    Size {
        /// Pixels asked for.
        width: u32,
        /// Pixels asked for.
        height: u32,
    },
    /// A primitive could not be drawn.
    #[error("drawing failed: {0}")]
    Draw(String),
    /// The pixels could not be encoded.
    #[error("encoding the picture as PNG failed: {0}")]
    Png(#[from] ::png::EncodingError),
}
