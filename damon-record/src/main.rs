//! `damon-record`: see `--help`.

fn main() {}
