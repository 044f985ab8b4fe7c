#![no_main]

#[path = "../../tests/import/fuzz_bodies.rs"]
mod fuzz_bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::trace_text(data));
