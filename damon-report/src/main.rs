//! `damon-report`: see `--help`.

fn main() {}
