//! The recorder on real kernels, booted in QEMU by `scripts/vm/run`.
//!
//! Several checks share one boot: each is a *section*, a piece of shell that runs inside and leaves files,
//! which a test here judges. Where QEMU or the kernel is missing each test prints why and passes;
//! with `DAMON_VM=require` it fails, and with `DAMON_VM=off` nothing is booted.

#[cfg(test)]
mod back_test;
#[cfg(test)]
mod company;
#[cfg(test)]
mod damon;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod pte;
#[cfg(test)]
mod schemes;
#[cfg(test)]
mod stock;
#[cfg(test)]
mod tool;
#[cfg(test)]
mod verdict;
#[cfg(test)]
mod ways;
