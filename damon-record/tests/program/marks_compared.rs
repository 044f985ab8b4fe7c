//! Phases that a program names itself, compared between two versions of it.

use crate::common::{Place, expect, read};
use damon_format::Record;
use damon_report::exit::Exit;
use std::ffi::OsString;

/// Loads, then serves from `serve_mib` MiB.
fn version(serve_mib: u32) -> String {
    format!(
        "area base 8M\n\
         area cache 64M\n\
         phase load 1s\n\
         write base\n\
         phase serve 1s\n\
         write cache ..{serve_mib}M\n"
    )
}

#[test]
fn what_grew_is_found_in_the_phase_where_it_grew() {
    let place = Place::new();
    let workload = env!("CARGO_BIN_EXE_damon-workload");
    let looks = ["--budget", "100%", "--sample", "5ms", "--aggr", "50ms", "--max-regions", "200"];
    let mut args = vec!["damon-report".to_owned(), "compare".to_owned()];
    let mut fewest = usize::MAX;
    for (side, serve_mib) in [("base", 12), ("new", 48)] {
        std::fs::write(place.path(side), version(serve_mib)).unwrap();
        if side == "new" {
            args.push("--new".to_owned());
        }
        for run in 1..=2 {
            let file = format!("{side}-{run}.damon");
            let words = ["-o", &file, "--", workload, side];
            expect(&place.run(&[&looks[..], &words].concat()), 0, "recorded");
            let path = place.path(&file);
            let content = read(&path);
            let marks = content.records.into_iter().filter_map(|record| match record {
                Record::Mark(mark) => Some(mark.text),
                _ => None,
            });
            assert_eq!(marks.collect::<Vec<_>>(), ["load", "serve"]);
            fewest = fewest.min(content.snapshots.len());
            args.push(path.to_str().unwrap().to_owned());
        }
    }
    // A machine that is too busy to look leaves nothing to judge by, and noise is then called so.
    if fewest < 32 {
        println!("only {fewest} snapshots: what grew is not asked for");
        return;
    }
    let rule = "phase(*).wss.expected.mean > +25% and > 8MiB";
    args.extend(["--align", "marks", "--fail-on", rule, "--format", "csv"].map(str::to_owned));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit =
        damon_report::commands::run(args.into_iter().map(OsString::from), &mut out, &mut err);
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    let row = |metric: &str| {
        let found = out.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(','));
        found.unwrap().split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    // Columns: phase, mapping, measure, statistic, base, new, change … verdict.
    let found = |phase: &str| {
        let row = row(&format!("phase({phase}).wss.expected.mean"));
        (row[6].parse::<f64>().unwrap() / f64::from(1 << 20), row.contains(&"regressed".to_owned()))
    };
    let ((load, load_is_worse), (serve, serve_is_worse)) = (found("load"), found("serve"));
    assert!(!load_is_worse, "{load} MiB: {out}{err}");
    assert!(serve > 8.0 && serve > 3.0 * load.abs(), "{load}, {serve} MiB: {out}{err}");
    let verdict = if serve_is_worse { Exit::Regression } else { Exit::Inconclusive };
    assert_eq!(exit, verdict, "{out}{err}");
}
