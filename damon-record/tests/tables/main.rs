//! Reading the page tables of real processes, checked against the kernel's own `pagemap`.
//!
//! Everything here needs root and a kernel with BPF and BTF; without, each test says so and passes.

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod common;
#[cfg(test)]
mod life;
#[cfg(test)]
mod privileges;
#[cfg(test)]
mod storm;
