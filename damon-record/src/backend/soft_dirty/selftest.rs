//! Has this kernel soft-dirty bits? One without them accepts the request to clear them and does nothing, so
//! it is tried on pages of our own.

use super::SoftDirty;
use super::bits::Bits;
use crate::backend::kind::Refusal;
use crate::proc::ProcRoot;
use crate::sys::own_pages::OwnPages;
use damon_format::{Mapping, Permissions};
use std::sync::Mutex;

static SELF_TEST: Mutex<()> = Mutex::new(());

/// Another thread that maps memory next to ours makes the kernel mark all of it.
const ATTEMPTS: u32 = 3;

/// Proves on memory of the recorder's own that a page just written is seen, and one that was read and one
/// left alone are not.
pub(super) fn self_test(proc: &ProcRoot) -> Result<(), Refusal> {
    // Clearing concerns the whole process: two tests at once would see each other.
    let _alone = SELF_TEST.lock();
    let mut found = [false; 3];
    for _ in 0..ATTEMPTS {
        found = try_on_own_pages(proc)?;
        match found {
            [false, true, false] => return Ok(()),
            [false, false, false] => break,
            _ => {}
        }
    }
    match found {
        [false, false, false] => Err(Refusal::with_remedy(
            "the kernel accepts the request to track writes and does nothing",
            "a kernel with CONFIG_MEM_SOFT_DIRTY=y; Debian's and Ubuntu's have it",
        )),
        [read, written, untouched] => Err(format!(
            "soft-dirty bits are wrong here: a page that was only read is marked as written: {read}, one \
             that was written: {written}, one left alone: {untouched}"
        )
        .into()),
    }
}

fn try_on_own_pages(proc: &ProcRoot) -> Result<[bool; 3], String> {
    let me = std::process::id();
    let mut pages = OwnPages::new(3).map_err(|error| format!("cannot map memory: {error}"))?;
    let addresses = [0, 1, 2].map(|page| pages.address(page).unwrap_or_default());
    let [start, step, last] = addresses;
    let own = Mapping {
        start,
        end: last + (step - start),
        permissions: Permissions::default(),
        offset: 0,
        inode: 0,
        name: String::new(),
    };
    for page in 0..3 {
        pages.write(page, 1);
    }
    let mut watch = SoftDirty::attach(proc, me).map_err(|error| error.to_string())?;
    let mut bits = Bits::open(proc, me).map_err(|error| error.to_string())?;
    watch.clear().map_err(|error| error.to_string())?;
    let _value = pages.read(0);
    pages.write(1, 2);
    bits.read(&[own]).map_err(|error| error.to_string())?;
    let marked = |address: &u64| bits.found().iter().any(|m| (m.start..m.end).contains(address));
    Ok(addresses.each_ref().map(marked))
}
