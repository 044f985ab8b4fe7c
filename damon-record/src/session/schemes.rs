//! DAMOS schemes that are applied while recording.

use super::console::Console;
use super::run::Session;
use crate::actuate;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::proc::read_meminfo;
use damon_format::damos::Schemes;
use damon_format::{Attrs, Note, Record, SchemeInstalled};
use std::path::Path;

/// Who applies them, as recordings say it.
const BY_KERNEL: &str = "kernel";
const BY_US: &str = "damon-record";

/// Reads a file of schemes.
pub(super) fn read(path: &Path) -> Result<Schemes, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("--schemes {shown}: {error}")))?;
    Schemes::from_json(&text).map_err(|error| Failure::Usage(format!("--schemes {shown}: {error}")))
}

/// What of the schemes comes to nothing with these intervals, in the kernel as well.
pub(super) fn vanished_bounds(schemes: &Schemes, attrs: &Attrs) -> Result<Vec<String>, Failure> {
    actuate::vanished_bounds(schemes, attrs)
        .map_err(|why| Failure::Usage(format!("--schemes: {why}")))
}

impl Session<'_> {
    /// Records the schemes that are in force from now on, and says what they do.
    pub(super) fn record_schemes(
        &mut self,
        schemes: &Schemes,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let time_ns = monotonic_ns();
        let by = if self.acting.is_some() { BY_US } else { BY_KERNEL };
        if self.acting.is_some() {
            self.explain_acting(schemes, console)?;
        } else {
            let applied =
                schemes.describe().into_iter().map(|text| format!("the kernel applies {text}"));
            let swap = read_meminfo(self.proc).map(|memory| memory.swap_total);
            let in_vain = actuate::in_vain(schemes, swap);
            for text in applied.chain(vanished_bounds(schemes, &self.attrs)?).chain(in_vain) {
                console.say(&text);
                self.trace.record(&Record::Note(Note { time_ns, text }))?;
            }
        }
        let all = schemes.to_json();
        for (scheme, one) in (0..).zip(all.as_array().into_iter().flatten()) {
            let (json, by) = (one.to_string(), by.to_owned());
            let installed = SchemeInstalled { time_ns, scheme, json, by };
            self.trace.record(&Record::SchemeInstalled(installed))?;
        }
        Ok(())
    }
}
