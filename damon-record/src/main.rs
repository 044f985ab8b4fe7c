//! `damon-record`: see `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the program may have been started to inject or to guard, and then it is no recorder.
    if let Some(code) = damon_record::backend::writes::serve_if_asked(std::env::args_os()) {
        return code;
    }
    if let Some(code) = damon_record::damon::own::serve_if_asked(std::env::args_os()) {
        return code;
    }
    if let Some(code) = damon_record::marks::serve_if_asked(std::env::args_os()) {
        return code;
    }
    damon_record::app::run(std::env::args_os()).into()
}
