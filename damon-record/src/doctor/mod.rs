//! `damon-record doctor`: the survey as a table or JSON.

mod table;

use crate::backend::survey::{Finding, Machine, first_that_works};
use crate::sys::tty::stdout_columns;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write};

/// Version of the JSON; grows when a field changes its meaning or goes.
const JSON_VERSION: u32 = 2;

/// Columns when nobody tells how many there are.
const COLUMNS: usize = 100;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    tool_version: &'static str,
    kernel: String,
    arch: String,
    auto: Option<&'static str>,
    backends: &'a [Finding],
}

/// How the table is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns that there are.
    pub columns: usize,
    /// Whether verdicts are coloured.
    pub colour: bool,
}

impl Style {
    /// What suits standard output: the terminal's width, and colour unless the user wants none
    /// (<https://no-color.org>); plain and 100 columns where it is no terminal.
    pub fn of_stdout() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            columns: stdout_columns().unwrap_or(COLUMNS),
            colour: io::stdout().is_terminal() && !is_dumb && !is_set("NO_COLOR"),
        }
    }
}

/// Writes the verdicts to `out`: JSON, or a table when there is a `style`. True when a backend works.
pub fn run(style: Option<Style>, out: &mut impl Write) -> io::Result<bool> {
    let findings = Machine::default().survey();
    match style {
        None => write_json(&findings, out)?,
        Some(style) => out.write_all(table::render(&findings, style).as_bytes())?,
    }
    Ok(first_that_works(&findings).is_some())
}

fn write_json(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    let host = crate::host::Host::read();
    let report = Report {
        version: JSON_VERSION,
        tool_version: env!("CARGO_PKG_VERSION"),
        kernel: host.kernel,
        arch: host.arch,
        auto: first_that_works(findings),
        backends: findings,
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_versioned_and_complete() {
        let mut out = Vec::new();
        let works = run(None, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["version"], JSON_VERSION);
        assert_eq!(value["auto"].is_string(), works);
        let backends = value["backends"].as_array().unwrap();
        assert_eq!(backends.len(), 7);
        for backend in backends {
            for key in ["name", "auto", "works", "kernel", "granularity", "needs", "reason"] {
                assert!(!backend[key].is_null(), "{key} in {backend}");
            }
            for key in ["access", "how_to_get", "self_test_us"] {
                assert!(backend.get(key).is_some(), "{key} in {backend}");
            }
        }
    }
}
