//! The only unsafe code: system calls, wrapped safely.
