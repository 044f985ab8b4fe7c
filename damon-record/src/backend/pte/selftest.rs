//! Does this kernel do what the backend needs? Tried on pages of our own.

use super::clear::{Clear, ClearError, Process};
use super::kernel::PageTables;
use super::locate::locate;
use super::tables::{Leaf, Tables};
use crate::backend::kind::{AttachError, Refusal};
use crate::proc::ProcRoot;
use crate::sys::madvise::Range;
use crate::sys::own_pages::{OwnPages, page_size};

/// Pages that are cleared; every other one is touched afterwards.
const PAGES: usize = 64;
/// A page whose thread was moved to another processor since it was made is on no LRU list yet and
/// resists; the next attempt has new pages.
const ATTEMPTS: u32 = 5;

/// Proves on memory of the recorder's own that cleared pages read as not accessed, and that exactly
/// those touched afterwards read as accessed. Changes nothing that outlives the call.
pub(super) fn self_test(proc: &ProcRoot) -> Result<(), Refusal> {
    let kernel = PageTables::shared(proc)?;
    let me = std::process::id();
    let mut tables = locate(&kernel, proc, me).map_err(|error| match error {
        AttachError::Gone => Refusal::from("the recorder does not find itself".to_owned()),
        AttachError::Refused(why) => why.into(),
    })?;
    let mut clear = Process::open(proc, me).map_err(|error| error.to_string())?;
    let mut outcome = Ok(());
    for _attempt in 0..ATTEMPTS {
        outcome = on_own_pages(&mut tables, &mut clear);
        if outcome.is_ok() {
            break;
        }
    }
    Ok(outcome?)
}

fn on_own_pages(tables: &mut impl Tables, clear: &mut impl Clear) -> Result<(), String> {
    let mut pages = OwnPages::new(PAGES).map_err(|errno| format!("cannot map memory: {errno}"))?;
    for page in 0..PAGES {
        pages.write(page, 1);
    }
    let addresses: Vec<u64> = (0..PAGES).filter_map(|page| pages.address(page)).collect();
    let size = page_size() as u64;
    let ranges: Vec<Range> =
        addresses.iter().filter_map(|&address| Range::new(address, size)).collect();
    let mut refused = 0;
    clear.cold(&ranges, &mut |_, _| refused += 1).map_err(|error| match error {
        ClearError::Ended => "process_madvise(2) does not find the recorder".to_owned(),
        ClearError::Failed(what) => what,
    })?;
    let cleared = accessed(tables, &addresses)?.into_iter().filter(|accessed| !accessed).count();
    if cleared != PAGES {
        return Err(format!(
            "process_madvise(MADV_COLD) cleared the Accessed bits of {cleared} of {PAGES} pages of the \
             recorder's own ({refused} were refused)"
        ));
    }
    for page in (0..PAGES).step_by(4) {
        let _value = pages.read(page);
        pages.write(page + 2, 2);
    }
    let found = accessed(tables, &addresses)?;
    let right = found.iter().enumerate().all(|(page, found)| *found == page.is_multiple_of(2));
    if right {
        return Ok(());
    }
    let seen = found.iter().step_by(2).filter(|found| **found).count();
    let invented = found.iter().skip(1).step_by(2).filter(|found| **found).count();
    Err(format!(
        "Accessed bits are not what they should be: of {} pages touched {seen} read as accessed, of as \
         many left alone {invented}",
        PAGES / 2
    ))
}

fn accessed(tables: &mut impl Tables, addresses: &[u64]) -> Result<Vec<bool>, String> {
    let mut leaves = vec![Leaf::default(); addresses.len()];
    tables.walk(addresses, &mut leaves).map_err(|error| error.to_string())?;
    Ok(leaves.into_iter().map(Leaf::is_accessed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_passes_as_root_and_says_why_it_does_not_otherwise() {
        match self_test(&ProcRoot::default()) {
            Ok(()) => assert!(nix::unistd::geteuid().is_root()),
            Err(refusal) => println!("SKIP: {refusal}"),
        }
    }
}
