//! The reading half of the backend's self-test.

use super::agree::{self, Agreement};
use super::kernel::PageTables;
use super::locate::locate;
use super::pagemap::Pagemap;
use super::refusal;
use super::tables::{Leaf, Tables};
use crate::proc::ProcRoot;
use crate::sys::own_pages::OwnPages;
use std::sync::Arc;

/// Pages of our own that are tried.
const PAGES: usize = 64;

/// Proves on pages of the recorder's own that the page tables read are those that the hardware uses: each of
/// 64 pages has the frame that `pagemap` shows, and one that was never used has none.
///
/// # Errors
/// One sentence: why page tables cannot be read here, and what to do.
pub fn tables_self_test(proc: &ProcRoot) -> Result<(), String> {
    let kernel = PageTables::shared(proc)?;
    read_own_pages(&kernel, proc)
}

fn read_own_pages(kernel: &Arc<PageTables>, proc: &ProcRoot) -> Result<(), String> {
    let pid = std::process::id();
    let mut tables = locate(kernel, proc, pid).map_err(|error| error.to_string())?;
    let pagemap = Pagemap::open(proc, pid).map_err(|error| error.to_string())?;
    let mut pages =
        OwnPages::new(PAGES + 1).map_err(|errno| format!("no memory for the test: {errno}"))?;
    for page in 0..PAGES {
        pages.write(page, 1);
    }
    let addresses: Vec<u64> = (0..PAGES).filter_map(|page| pages.address(page)).collect();
    let compared = agree::compare(&pagemap, &addresses, |address| {
        let mut leaf = [Leaf::default()];
        tables.walk(&[address], &mut leaf).map(|()| leaf[0])
    });
    match compared.map_err(|error| error.to_string())? {
        Agreement { hidden: true, .. } => return Err(refusal::frames_hidden()),
        Agreement { disagreed: None, agreed, .. } if agreed == PAGES => {}
        found => {
            return Err(format!(
                "of {PAGES} pages of the recorder's own, {} have the frame in the page tables that pagemap \
                 shows; use another backend",
                found.agreed
            ));
        }
    }
    let mut unused = [Leaf::default()];
    let last = pages.address(PAGES).unwrap_or(0);
    tables.walk(&[last], &mut unused).map_err(|error| error.to_string())?;
    if unused[0].is_present() {
        return Err(
            "a page that was never used is mapped by its page table; use another backend".into()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn own_pages_are_read_or_the_reason_is_given() {
        let begun = Instant::now();
        let proc = ProcRoot::default();
        match tables_self_test(&proc) {
            Ok(()) => println!("the first test took {:?}", begun.elapsed()),
            Err(reason) => {
                assert!(!nix::unistd::geteuid().is_root(), "{reason}");
                println!("SKIP: {reason}");
                return;
            }
        }
        let begun = Instant::now();
        tables_self_test(&proc).unwrap();
        println!("the second {:?}", begun.elapsed());
    }
}
