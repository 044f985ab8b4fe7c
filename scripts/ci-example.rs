//! The program that scripts/ci-example watches: a small service with a cache and a matrix. Its versions are built with
//! `rustc --cfg`:
//!
//! * nothing: as it should be;
//! * `leak`: what a request allocates is kept for ever;
//! * `poor_locality`: the matrix is walked by columns instead of rows: the same work, but each number lies in another page;
//! * `doubled_cache`: the cache is twice as large.
//!
//! It writes what it touches, because not all ways to watch a program see reads. 200 requests a second, however fast the
//! machine is, and always the same number of them.

use std::time::{Duration, Instant};

/// Numbers in a page.
const COLUMNS: usize = 512;
/// 64 MiB.
const ROWS: usize = 16 * 1024;
const CACHE: usize = if cfg!(doubled_cache) { 64 << 20 } else { 32 << 20 };
/// What a request allocates.
const BUFFER: usize = 128 << 10;
const PERIOD: Duration = Duration::from_millis(5);

fn main() {
    let seconds = std::env::args().nth(1).map_or(Ok(2.5), |text| text.parse());
    let seconds: f64 = seconds.expect("usage: service [SECONDS]");
    let requests = (seconds / PERIOD.as_secs_f64()) as usize;
    let mut matrix = vec![1_u64; ROWS * COLUMNS];
    let mut cache = vec![1_u64; CACHE / 8];
    let mut kept = Vec::new();
    let mut answer = 0_u64;
    let mut due = Instant::now();
    for request in 0..requests {
        // Every page of the cache.
        for number in cache.iter_mut().step_by(COLUMNS) {
            *number = number.wrapping_mul(5).wrapping_add(1);
            answer ^= *number;
        }
        // As many numbers of the matrix as 16 rows have.
        let first = request * 16 * COLUMNS;
        for step in first..first + 16 * COLUMNS {
            let (row, column) = if cfg!(poor_locality) {
                (step % ROWS, step / ROWS % COLUMNS)
            } else {
                (step / COLUMNS % ROWS, step % COLUMNS)
            };
            let number = &mut matrix[row * COLUMNS + column];
            *number = number.wrapping_mul(5).wrapping_add(1);
            answer ^= *number;
        }
        let buffer = vec![(request % 251) as u8; BUFFER];
        answer ^= u64::from(std::hint::black_box(&buffer)[request % BUFFER]);
        if cfg!(leak) {
            kept.push(buffer);
        }
        due += PERIOD;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    println!("{requests} requests, {} buffers kept, answer {answer:x}", kept.len());
}
