//! From traces to numbers. Knows neither clap nor plotters nor the terminal.
//!
//! What people ask:
//!
//! | module | idea |
//! |---|---|
//! | `info` | what was recorded, how, and how complete |
//! | `summary` | heat, working set, idle times and mappings in one pass |
//! | `heat`, `wss`, `windows`, `wss_damo` | the heatmap; working sets, by length of the window, as damo has them |
//! | `mapping_use`, `footprint` | memory by mapping, file or kind; held against used |
//! | `idle`, `recency` | how long memory was not accessed; the same as damo has it |
//! | `regions`, `histogram`, `times`, `nr_regions`, `bandwidth` | the other questions, each by its command's name |
//! | `simulate`, `compare` | what schemes would have done; what differs between two groups of recordings |
//!
//! What these are made of:
//!
//! | module | idea |
//! |---|---|
//! | `load`, `source`, `direct`, `kept` | opening a trace, or another tool's recording, once or to be gone over again |
//! | `overview`, `records`, `ends`, `kernel` | the first pass: records, what snapshots cover, what the kernel said |
//! | `select`, `quantity`, `pattern`, `addresses`, `spans` | which part is looked at; amounts and access patterns as people write them |
//! | `view` | a recording and the selected part of it, with what several analyses ask of both |
//! | `fold`, `walk` | going over snapshots: in parallel, or in the order of the file |
//! | `mappings`, `groups`, `layout`, `mapping_history` | names of addresses; names that hold in another run; who had an address when |
//! | `moment`, `together`, `moments`, `observed` | one moment; snapshots of several targets that belong together; time that counts |
//! | `seen`, `temperature`, `sampling_error`, `lineage`, `merge_loss` | what follows from a region's counters, and how sure that is |
//! | `axis`, `rows`, `cells`, `strip` | heat on a grid; one moment in a line |
//! | `samples`, `course`, `courses`, `column` | values over time, in little and in bounded memory |
//! | `distribution`, `spread`, `bins` | how values are distributed |
//! | `room`, `num` | how much may be kept; conversions between integers and floats |

pub mod addresses;
pub mod axis;
pub mod bandwidth;
pub mod bins;
pub mod cells;
mod column;
pub mod compare;
pub mod course;
mod courses;
mod direct;
pub mod distribution;
mod ends;
pub mod fold;
pub mod footprint;
pub mod groups;
pub mod heat;
pub mod histogram;
pub mod idle;
pub mod info;
pub(crate) mod kept;
pub mod kernel;
pub mod layout;
pub mod lineage;
pub mod load;
pub mod mapping_history;
pub mod mapping_use;
pub mod mappings;
pub mod merge_loss;
pub mod moment;
mod moments;
pub mod nr_regions;
pub(crate) mod num;
pub(crate) mod observed;
pub mod overview;
pub mod pattern;
pub mod quantity;
pub mod recency;
mod records;
pub mod regions;
mod room;
mod rows;
pub mod samples;
pub mod sampling_error;
pub mod seen;
pub mod select;
pub mod simulate;
pub mod source;
pub mod spans;
mod spread;
pub mod strip;
pub mod summary;
pub mod temperature;
#[cfg(test)]
mod testing;
pub mod times;
mod together;
pub mod view;
pub mod walk;
pub mod windows;
pub mod wss;
pub mod wss_damo;
