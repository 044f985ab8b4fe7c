//! Whether two processes share a resource (kcmp(2)).
#![expect(unsafe_code, reason = "kcmp has no wrapper")]

use nix::libc;

/// `KCMP_VM` of include/uapi/linux/kcmp.h.
const KCMP_VM: libc::c_ulong = 1;

/// True when both processes have the same address space (`CLONE_VM`: vfork(2) until the exec, and programs
/// that ask for it). False where the kernel cannot tell or may not tell us.
pub fn share_memory(one: u32, other: u32) -> bool {
    // SAFETY: kcmp takes five integers and touches no memory of ours.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            libc::c_ulong::from(one),
            libc::c_ulong::from(other),
            KCMP_VM,
            0_u64,
            0_u64,
        )
    };
    order == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_shares_memory_with_itself_and_not_with_its_child() {
        let me = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let (itself, other) = (share_memory(me, me), share_memory(me, child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(itself, "a kernel without CONFIG_KCMP?");
        assert!(!other);
        assert!(!share_memory(me, u32::MAX));
    }
}
