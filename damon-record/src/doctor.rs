//! `damon-record doctor`: the survey as text or JSON.

use crate::backend::survey::{Finding, Machine, first_that_works};
use serde::Serialize;
use std::io::{self, Write};

/// Version of the JSON; grows when a field changes its meaning or goes.
const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    tool_version: &'static str,
    kernel: String,
    arch: String,
    auto: Option<&'static str>,
    backends: &'a [Finding],
}

/// Writes the verdicts to `out`.
pub fn run(json: bool, out: &mut impl Write) -> io::Result<()> {
    let findings = Machine::default().survey();
    if json { write_json(&findings, out) } else { write_text(&findings, out) }
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

fn write_text(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    for finding in findings {
        let verdict = match (finding.works, finding.supported) {
            (true, _) => "works",
            (false, true) => "does not",
            (false, false) => "not yet",
        };
        writeln!(out, "{:<11} {verdict:<9} {}", finding.name, finding.reason)?;
    }
    match first_that_works(findings) {
        Some(name) => writeln!(out, "auto takes {name} where the target allows it"),
        None => writeln!(out, "no backend of this version works here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_versioned_and_complete() {
        let mut out = Vec::new();
        run(true, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["version"], 1);
        let backends = value["backends"].as_array().unwrap();
        assert_eq!(backends.len(), 7);
        for backend in backends {
            for key in ["name", "supported", "works", "kernel", "reason"] {
                assert!(!backend[key].is_null(), "{key} in {backend}");
            }
        }
    }

    #[test]
    fn text_has_a_line_for_each_and_the_choice() {
        let mut out = Vec::new();
        run(false, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 8);
    }
}
