//! The scenes one by one.

use super::{GIB, KIB, MIB, Scene, float};
use damon_format::AccessKind;
use damon_report::analysis::heat::NamedRange;

fn named(ranges: &[(u64, u64, &str)]) -> Vec<NamedRange> {
    let name = |(start, end, name): &(u64, u64, &str)| NamedRange {
        start: *start,
        end: *end,
        name: (*name).to_owned(),
    };
    ranges.iter().map(name).collect()
}

/// Deterministic noise in 0..1.
fn noise(a: u64, b: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    float(x >> 11) / float(1 << 53)
}

const HEAP: u64 = 0x55d0_c0a3_e000;
const MMAP: u64 = 0x7f1c_2400_0000;
const STACK: u64 = 0x7ffd_3c5a_1000;

/// Ten steps through ten areas.
pub(crate) fn stairs() -> Scene {
    Scene {
        name: "stairs",
        title: "stairs  pid 4711  10 s",
        access: AccessKind::Write,
        seconds: 10.0,
        marks: &[],
        bands: vec![(MMAP..MMAP + 100 * MIB, named(&[(MMAP, MMAP + 100 * MIB, "anon")]))],
        rate: |t, address| {
            let step = (t * 10.0) as u64;
            let area = (address - MMAP) / (10 * MIB);
            let n = noise((t * 100.0) as u64, address / (256 * KIB));
            Some(if step == area { 0.9 + 0.1 * n } else { 0.0 })
        },
    }
}

/// A few small hot places in a large cold area.
pub(crate) fn islands() -> Scene {
    Scene {
        name: "islands",
        title: "cache-server  pid 90210  2 min",
        access: AccessKind::ReadWrite,
        seconds: 120.0,
        marks: &[],
        bands: vec![
            (
                0x5600_0000_0000..0x5600_0030_0000,
                named(&[
                    (0x5600_0000_0000, 0x5600_0020_0000, "cache-server"),
                    (0x5600_0020_0000, 0x5600_0030_0000, "[heap]"),
                ]),
            ),
            (
                MMAP..MMAP + 4 * GIB,
                named(&[
                    (MMAP, MMAP + 3 * GIB, "anon"),
                    (MMAP + 3 * GIB, MMAP + 4 * GIB, "/var/lib/cache/shard-0001.data"),
                ]),
            ),
        ],
        rate: |t, address| {
            let n = noise((t * 1200.0) as u64, address / MIB);
            if address < MMAP {
                return Some(0.4 + 0.3 * n);
            }
            let offset = (address - MMAP) / MIB;
            let drift = (t * 200.0) as u64;
            let hot = [100, 900, 1500, 2300, 3100, 3900].iter().any(|c| offset.abs_diff(*c) < 24);
            let moving = offset.abs_diff(1700 + drift) < 40;
            Some(match (hot, moving) {
                (true, _) => 0.8 + 0.2 * n,
                (_, true) => 0.3 * n,
                _ if n > 0.995 => 0.05,
                _ => 0.0,
            })
        },
    }
}

/// Half always hot, half lukewarm, with periodic sweeps.
pub(crate) fn two_level() -> Scene {
    Scene {
        name: "two-level",
        title: "gc-bench  pid 17  5 min",
        access: AccessKind::ReadWrite,
        seconds: 300.0,
        marks: &[],
        bands: vec![
            (HEAP..HEAP + 600 * MIB, named(&[(HEAP, HEAP + 600 * MIB, "[heap]")])),
            (
                MMAP..MMAP + 300 * MIB,
                named(&[
                    (MMAP, MMAP + 280 * MIB, "anon"),
                    (MMAP + 280 * MIB, MMAP + 282 * MIB, "libc.so.6"),
                    (MMAP + 282 * MIB, MMAP + 296 * MIB, "libjvm.so"),
                    (MMAP + 296 * MIB, MMAP + 300 * MIB, "ld-linux-x86-64.so.2"),
                ]),
            ),
            (STACK..STACK + 132 * KIB, named(&[(STACK, STACK + 132 * KIB, "[stack]")])),
        ],
        rate: |t, address| {
            let n = noise((t * 3000.0) as u64, address / MIB);
            if address >= STACK {
                return Some(0.95);
            }
            if address >= MMAP {
                let offset = (address - MMAP) / MIB;
                return Some(if offset > 278 {
                    0.35 * n
                } else if offset < 60 {
                    0.5 + 0.5 * n
                } else {
                    0.04 * n
                });
            }
            let offset = float((address - HEAP) / MIB) / 600.0;
            let sweep = (t * 6.0).fract();
            if sweep < 0.12 && (offset - sweep / 0.12).abs() < 0.05 {
                return Some(0.7);
            }
            Some(if offset < 0.25 {
                0.6 + 0.4 * n
            } else if offset < 0.6 {
                0.1 * n
            } else {
                0.0
            })
        },
    }
}

/// The whole of a process: program, heap, a huge mapping, libraries, stack.
pub(crate) fn sparse() -> Scene {
    let big = 0x7e00_0000_0000;
    Scene {
        name: "sparse",
        title: "python3  pid 123456  45 s",
        access: AccessKind::Write,
        seconds: 45.0,
        marks: &[],
        bands: vec![
            (
                0x0040_0000..0x0040_0000 + 6 * MIB,
                named(&[
                    (0x0040_0000, 0x0040_0000 + 5 * MIB, "python3.12"),
                    (0x0040_0000 + 5 * MIB, 0x0040_0000 + 6 * MIB, "anon"),
                ]),
            ),
            (HEAP..HEAP + 80 * MIB, named(&[(HEAP, HEAP + 80 * MIB, "[heap]")])),
            (big..big + 64 * GIB, named(&[(big, big + 64 * GIB, "/dev/shm/model-weights.bin")])),
            (
                MMAP..MMAP + 40 * MIB,
                named(&[
                    (MMAP, MMAP + 2 * MIB, "locale-archive"),
                    (MMAP + 2 * MIB, MMAP + 4 * MIB, "libc.so.6"),
                    (MMAP + 4 * MIB, MMAP + 5 * MIB, "libm.so.6"),
                    (
                        MMAP + 5 * MIB,
                        MMAP + 7 * MIB,
                        "_multiarray_umath.cpython-312-x86_64-linux-gnu.so",
                    ),
                    (MMAP + 7 * MIB, MMAP + 39 * MIB, "libopenblas64_p-r0.so"),
                    (MMAP + 39 * MIB, MMAP + 40 * MIB, "ld-linux-x86-64.so.2"),
                ]),
            ),
            (
                STACK..STACK + 200 * KIB,
                named(&[
                    (STACK, STACK + 132 * KIB, "[stack]"),
                    (STACK + 180 * KIB, STACK + 200 * KIB, "[vvar]"),
                ]),
            ),
        ],
        rate: |t, address| {
            let n = noise((t * 450.0) as u64, address / (64 * KIB));
            Some(match address {
                a if a >= STACK => {
                    if a % (64 * KIB) < 16 * KIB {
                        1.0
                    } else {
                        0.0
                    }
                }
                a if a >= MMAP => {
                    if (a / MIB) % 7 == 1 {
                        0.5 * n
                    } else {
                        0.0
                    }
                }
                a if a >= 0x7e00_0000_0000 => {
                    let offset = float(a - 0x7e00_0000_0000) / float(64 * GIB);
                    if (offset - t).abs() < 0.02 { 0.15 } else { 0.0 }
                }
                a if a >= HEAP => {
                    if float(a - HEAP) / float(80 * MIB) < t {
                        0.3 + 0.6 * n
                    } else {
                        0.0
                    }
                }
                _ => 0.1 * n,
            })
        },
    }
}

/// Forty mappings of a few pages in one band.
pub(crate) fn crowd() -> Scene {
    let names = (0..60).map(|i| NamedRange {
        start: MMAP + i * 3 * MIB,
        end: MMAP + i * 3 * MIB + (i % 5 + 1) * 512 * KIB,
        name: format!("libsomething-{i}.so.{}", i % 7),
    });
    Scene {
        name: "crowd",
        title: "firefox  pid 2021  850 ms",
        access: AccessKind::ReadWrite,
        seconds: 0.85,
        marks: &[],
        bands: vec![(MMAP..MMAP + 180 * MIB, names.collect())],
        rate: |t, address| {
            let i = (address - MMAP) / (3 * MIB);
            let inside = (address - MMAP) % (3 * MIB) < (i % 5 + 1) * 512 * KIB;
            let n = noise((t * 20.0) as u64, address / (128 * KIB));
            Some(if inside && i % 9 == 3 { n } else { 0.0 })
        },
    }
}

/// A single page.
pub(crate) fn tiny() -> Scene {
    Scene {
        name: "tiny",
        title: "true  pid 2  30 ms",
        access: AccessKind::ReadWrite,
        seconds: 0.03,
        marks: &[],
        bands: vec![(0x1000..0x2000, named(&[(0x1000, 0x2000, "")]))],
        rate: |_, _| Some(0.5),
    }
}

/// Nothing ever touched.
pub(crate) fn idle() -> Scene {
    Scene {
        name: "idle",
        title: "sleep  pid 3  3 h",
        access: AccessKind::Write,
        seconds: 10_800.0,
        marks: &[],
        bands: vec![
            (HEAP..HEAP + 2 * MIB, named(&[(HEAP, HEAP + 2 * MIB, "[heap]")])),
            (MMAP..MMAP + 20 * MIB, named(&[(MMAP, MMAP + 20 * MIB, "libc.so.6")])),
        ],
        rate: |_, _| Some(0.0),
    }
}

/// Memory that comes and goes.
pub(crate) fn holes() -> Scene {
    Scene {
        name: "holes",
        title: "rustc <release> & \"quotes\"  pid 99  20 s",
        access: AccessKind::ReadWrite,
        seconds: 20.0,
        marks: &[(0.1, "load"), (0.3, "compile <&\">"), (0.6, "link"), (0.995, "end")],
        bands: vec![(
            MMAP..MMAP + 800 * MIB,
            named(&[
                (MMAP, MMAP + 300 * MIB, "anon"),
                (MMAP + 500 * MIB, MMAP + 760 * MIB, "libLLVM.so.19.1"),
            ]),
        )],
        rate: |t, address| {
            let offset = (address - MMAP) / MIB;
            let n = noise((t * 200.0) as u64, address / MIB);
            match offset {
                0..300 => (t > 0.1).then_some(if offset < 150 { n * 0.8 } else { 0.0 }),
                300..500 => (t > 0.3 && t < 0.7).then_some(0.2 * n),
                500..760 => (t > 0.02).then_some(if n > 0.9 { 0.1 } else { 0.0 }),
                _ => None,
            }
        },
    }
}

/// Forty bands.
pub(crate) fn many_bands() -> Scene {
    let bands = (0..40).map(|i| {
        let start = MMAP + i * GIB;
        let end = start + (i % 4 + 1) * 8 * MIB;
        (start..end, named(&[(start, end, "arena")]))
    });
    Scene {
        name: "bands",
        title: "malloc-arenas  pid 40  1 min",
        access: AccessKind::Write,
        seconds: 60.0,
        marks: &[],
        bands: bands.collect(),
        rate: |t, address| {
            let i = (address - MMAP) / GIB;
            Some(if noise((t * 60.0) as u64, i) > 0.7 { 0.6 } else { 0.0 })
        },
    }
}

/// Nothing at all.
pub(crate) fn nothing() -> Scene {
    Scene {
        name: "nothing",
        title: "gone  pid 5  0 s",
        access: AccessKind::Write,
        seconds: 0.0,
        marks: &[],
        bands: Vec::new(),
        rate: |_, _| None,
    }
}
