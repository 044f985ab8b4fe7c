//! `compare` as people and pipelines meet it: exit statuses, forms, gates, histories, what is refused.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;
mod compared;

use common::program::{Ran, assert_folded, golden, run};
use compared::{Program, WORK, well_formed};
use std::fs;

/// A directory with recordings.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// `base-N.damon` and `new-N.damon`, so many of each.
    fn new(base: Program, new: Program, runs: u64) -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for seed in 0..runs {
            bench.put(&format!("base-{seed}.damon"), &base.seed(seed).recording());
            bench.put(&format!("new-{seed}.damon"), &new.seed(seed + 100).recording());
        }
        bench
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// `compare base-… --new new-…` with so many runs; file names in further arguments are written `@NAME`.
    fn compare(&self, runs: u64, more: &[&str]) -> Ran {
        let side = |name: &str| -> Vec<String> {
            (0..runs).map(|i| self.path(&format!("{name}-{i}.damon"))).collect()
        };
        let mut args = vec!["compare".to_owned()];
        args.extend(side("base"));
        args.push("--new".to_owned());
        args.extend(side("new"));
        args.extend(more.iter().map(|arg| match arg.split_once('@') {
            Some((before, name)) => format!("{before}{}", self.path(name)),
            None => (*arg).to_owned(),
        }));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ran = run(&args, "2");
        let directory = format!("{}/", self.directory.path().display());
        Ran {
            status: ran.status,
            out: ran.out.replace(&directory, ""),
            err: ran.err.replace(&directory, ""),
        }
    }
}

const GROWN: Program = Program { hot_mib: 36, buffer_mib: 8, ..WORK };

#[test]
fn forms_for_people_and_collectors_are_as_agreed() {
    let bench = Bench::new(WORK, GROWN, 3);
    let ran = bench.compare(
        3,
        &[
            "-o",
            "@difference.png",
            "--write",
            "markdown:@c.md",
            "--write",
            "junit:@j.xml",
            "--write",
            "bencher:@b.json",
            "--write",
            "github-action-benchmark:@g.json",
        ],
    );
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    golden("compare.txt", &ran.out);
    let directory = format!("{}/", bench.directory.path().display());
    for (file, name) in [
        ("c.md", "compare.md"),
        ("j.xml", "compare-junit.xml"),
        ("b.json", "compare-bencher.json"),
        ("g.json", "compare-benchmark.json"),
    ] {
        golden(name, &bench.read(file).replace(&directory, ""));
    }
    well_formed(&bench.read("j.xml"));
    for form in ["markdown", "junit", "bencher", "github-action-benchmark"] {
        let ran = bench.compare(3, &["--format", form]);
        assert_eq!((ran.status, ran.err.as_str(), ran.out.is_empty()), (1, "", false), "{form}");
    }
    let linked = bench.compare(3, &["--format", "markdown", "--picture-url", "https://ci/x.png"]);
    assert!(linked.out.contains("](<https://ci/x.png>)"), "{}", linked.out);
}

#[test]
fn tables_are_as_wide_as_asked_for() {
    let bench = Bench::new(WORK, GROWN, 2);
    let (whole, narrow) = (bench.compare(2, &[]), bench.compare(2, &["--columns", "60"]));
    assert_folded(&whole.out, &narrow.out, 60);
}

#[test]
fn json_is_as_its_schema_says() {
    let schema = include_str!("../../docs/schemas/compare-1.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let bench = Bench::new(WORK, GROWN, 2);
    // A metric without a base, an unmatched mapping, and what is inconclusive, all in one.
    let ran = bench.compare(
        2,
        &["--format", "json", "--fail-on", "hot.mean > 0%", "--fail-on", "rss.max < -1%"],
    );
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let wrong = compared::violations(&schema, &json);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What was announced is in it.
    let metrics = json["metrics"].as_array().unwrap();
    let named = |name: &str| metrics.iter().find(|m| m["metric"] == name).unwrap();
    let buffer = named("mapping(anonymous 8 MiB #0).size.mean");
    assert_eq!(
        (&buffer["relative"], &buffer["base_mean"]),
        (&serde_json::Value::Null, &0.0.into())
    );
    assert!((buffer["new_mean"].as_f64().unwrap() - 8.0 * 1_048_576.0).abs() < 1.0);
    assert_eq!(json["unmatched"][0]["label"], "anonymous 8 MiB #0");
    assert_eq!(
        (&json["unmatched"][0]["base"], &json["unmatched"][0]["new"]),
        (&0.into(), &2.into())
    );
    assert!(metrics.iter().any(|m| m["verdict"] == "inconclusive" && m["runs_needed"].is_u64()));
    assert!(metrics.iter().any(|m| m["rule"].is_null() && m["relative"].is_f64()));
    assert_eq!(json["base"][0]["wait_status"], serde_json::Value::Null);
    // Too short for anything: reasons are there, too.
    let ran = bench.compare(2, &["--format", "json", "--time", "0s..400ms"]);
    let short: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let wrong = compared::violations(&schema, &short);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(short["metrics"][0]["reason"].as_str().unwrap().contains("too little to tell"));
    assert_eq!(json["metrics"][0]["rule"], "hot.mean > 0%");
    assert_eq!(json["metrics"][0]["base"].as_array().unwrap().len(), 2);
    // The schema is no rubber stamp: nothing may be missing anywhere,
    for (place, object) in
        [("", &json), ("/base/0", &json["base"][0]), ("/metrics/0", &json["metrics"][0])]
    {
        for name in object.as_object().unwrap().keys() {
            let mut less = json.clone();
            less.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(name);
            assert!(
                !compared::violations(&schema, &less).is_empty(),
                "{place}/{name} may be missing"
            );
        }
    }
    // and nothing may be other than it is.
    let mut other = json;
    other["verdict"] = "fine".into();
    other["metrics"][0]["p"] = 1.5.into();
    other["base"][0]["setting"]["aggr_us"] = "100".into();
    other["more"] = 1.into();
    other.as_object_mut().unwrap().remove("align");
    assert_eq!(compared::violations(&schema, &other).len(), 5);
}

#[test]
fn csv_has_every_metric() {
    let bench = Bench::new(WORK, GROWN, 2);
    let ran = bench.compare(2, &["--format", "csv"]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].starts_with("metric,phase,mapping,measure,statistic,base,new,change,"));
    let columns = lines[0].split(',').count();
    assert!(lines.len() > 40);
    let plain = lines.iter().filter(|line| !line.contains('"'));
    assert!(plain.clone().count() > 40);
    plain.for_each(|line| assert_eq!(line.split(',').count(), columns, "{line}"));
    assert!(
        lines.iter().any(|line| line.starts_with("mapping([heap]).hot.mean,,[heap],hot,mean,"))
    );
}

#[test]
fn what_became_of_it_is_the_exit_status() {
    let bench = Bench::new(WORK, WORK, 3);
    let same = bench.compare(3, &["--fail-on", "wss.expected.mean > +20% and > 1MiB"]);
    assert_eq!(same.status, 0, "{}{}", same.out, same.err);
    assert!(same.out.starts_with("PASS: none of 1 gated metric got worse\n"), "{}", same.out);
    let fine = bench.compare(3, &["--fail-on", "wss.expected.mean > 1"]);
    assert_eq!(fine.status, 6, "{}{}", fine.out, fine.err);
    assert!(fine.out.starts_with("INCONCLUSIVE: 1 of 1 gated metric cannot be told"));
    assert!(fine.out.contains("what would decide:\n- wss.expected.mean: "), "{}", fine.out);

    let bench = Bench::new(GROWN, WORK, 3);
    let better = bench.compare(3, &["--fail-on", "hot.mean > 5% and > 1MiB"]);
    assert_eq!(better.status, 0, "{}{}", better.out, better.err);
    assert!(better.out.starts_with("IMPROVED: 1 of 1 gated metric got better, none worse\n"));
    let lost = bench.compare(3, &["--fail-on", "hot.mean < -5%"]);
    assert_eq!(lost.status, 1, "{}{}", lost.out, lost.err);
    let either = bench.compare(3, &["--fail-on", "mapping([he*).hot.mean changes > 5%"]);
    assert_eq!(either.status, 1, "{}{}", either.out, either.err);
}

#[test]
fn one_snapshot_tells_nothing() {
    let short = Program { snapshots: 1, ..WORK };
    let ran = Bench::new(short, short, 1).compare(1, &[]);
    assert_eq!(ran.status, 6, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("the shortest recording has 1 aggregations"), "{}", ran.out);
}

#[test]
fn gates_are_read_and_flags_override_them() {
    let bench = Bench::new(WORK, GROWN, 3);
    bench.put(
        "gate.toml",
        b"fail-on = [\"hot.mean > +5% and > 1MiB\"]\nfalse-alarms = \"0.1%\"\nidle = \"5s\"\n",
    );
    let ran = bench.compare(3, &["--gate", "@gate.toml", "--idle", "2s"]);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("idle from 2 s; false alarms 0.1 %, misses 5 %"), "{}", ran.out);
    let other = bench.compare(3, &["--gate", "@gate.toml", "--fail-on", "size.max > 90%"]);
    assert_eq!(other.status, 0, "{}{}", other.out, other.err);

    bench.put("wrong.toml", b"\nfail-on = [\n    \"wss.expectd.mean > 5%\",\n]\n");
    let ran = bench.compare(3, &["--gate", "@wrong.toml"]);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    let said = "wrong.toml:3:6: `wss.expectd.mean` is no metric; did you mean wss.expected.mean?";
    assert!(ran.err.contains(said), "{}", ran.err);
    let missing = bench.compare(3, &["--gate", "@none.toml"]);
    assert_eq!(missing.status, 2);
    assert!(missing.err.contains("none.toml: cannot read the gate: "), "{}", missing.err);
}

#[test]
fn rules_that_cannot_be_are_refused() {
    let bench = Bench::new(WORK, WORK, 1);
    let said = |more: &[&str]| {
        let ran = bench.compare(1, more);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{more:?}: {}", ran.err);
        ran.err
    };
    assert!(
        said(&["--fail-on", "hot.mean > five"]).contains(
            "--fail-on 'hot.mean > five', character 12: `five` is no limit; write per cent"
        )
    );
    assert!(said(&["--fail-on", "hot.meen > 5%"]).contains("did you mean hot.mean?"));
    assert!(
        said(&["--fail-on", "mapping([haep]).hot.mean > 5%"])
            .contains("no mapping is called [haep]; did you mean [heap]?")
    );
    assert!(said(&["--misses", "0%"]).contains("--misses: a probability of"));
    assert!(said(&["--write", "xml:a"]).contains("github-action-benchmark"));
    assert!(said(&["-o", "a.gif"]).contains("must end in .png or .svg"));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let other = Program { name: "other", ..WORK };
    let bench = Bench::new(WORK, other, 1);
    let ran = bench.compare(1, &[]);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("differ in: program (work, other)"), "{}", ran.err);
    let ran = bench.compare(1, &["--allow-different"]);
    assert!(ran.status != 2 && ran.out.contains("differ in: program"), "{}{}", ran.out, ran.err);
    let ran = bench.compare(1, &["--align", "marks", "--allow-different"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("no mark is in all recordings"), "{}", ran.err);
    let ran = bench.compare(1, &["--time", "1h.."]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("is outside the recording"), "{}", ran.err);
}

#[test]
fn half_a_recording_is_nothing_to_judge_by() {
    let bench = Bench::new(WORK, WORK, 1);
    let whole = WORK.seed(100).recording();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x55;
    for (what, bytes) in [("damaged", &damaged[..]), ("cut", &whole[..whole.len() * 3 / 4])] {
        bench.put("new-0.damon", bytes);
        let ran = bench.compare(1, &[]);
        assert_eq!((ran.status, ran.out.as_str()), (4, ""), "{what}");
        assert!(
            ran.err.contains("new-0.damon: ") && ran.err.contains("--allow-damaged"),
            "{what}: {}",
            ran.err
        );
        let more = ["--allow-damaged", "--fail-on", "hot.mean > 90%"];
        let ran = bench.compare(1, &more);
        assert_eq!(ran.status, 0, "{what}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("only what is readable is compared"), "{what}: {}", ran.out);
        // What is readable is compared: some of it, and not all.
        let ran = bench.compare(1, &[&more[..], &["--format", "json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let moments = |side: &str| json[side][0]["moments"][0].as_u64().unwrap();
        assert_eq!(moments("base"), 100, "{what}");
        assert!((30..100).contains(&moments("new")), "{what}: {}", moments("new"));
    }
    bench.put("new-0.damon", b"no trace");
    assert_eq!(bench.compare(1, &["--allow-damaged"]).status, 4);
}

#[test]
fn a_program_that_crashed_is_not_judged() {
    const CRASHED: i32 = 11;
    let fine = Program { wait_status: Some(0), ..WORK };
    let bench = Bench::new(fine, fine, 2);
    let rule = ["--fail-on", "hot.mean > +20% and > 1MiB"];
    assert_eq!(bench.compare(2, &rule).status, 0);
    // It was much the same until then.
    let crashed = Program { wait_status: Some(CRASHED), ..WORK };
    bench.put("new-1.damon", &crashed.seed(101).recording());
    let history = ["--append-history", "@runs.jsonl"];
    let ran = bench.compare(2, &[&rule[..], &history].concat());
    assert_eq!(ran.status, 6, "{}{}", ran.out, ran.err);
    let said = "- hot.mean: 1 of 4 recorded programs failed, and not all ended alike: killed by signal 11 \
                (new-1.damon), exit status 0 (base-0.damon); record again";
    assert!(ran.out.contains(said), "{}", ran.out);
    // Nothing is learnt from it, but from the other one.
    assert_eq!(bench.read("runs.jsonl").lines().count(), 1);
    let ran = bench.compare(2, &[&rule[..], &["--allow-different"]].concat());
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("to know:\n- 1 of 4 recorded programs failed"), "{}", ran.out);
    // Larger than ever, and still no alarm: who knows what it did before it crashed.
    let grown = Program { wait_status: Some(0x0100), ..GROWN };
    let bench = Bench::new(fine, grown, 2);
    let ran = bench.compare(2, &rule);
    assert_eq!(ran.status, 6, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("exit status 1 (new-0.damon), exit status 0 (base-0.damon)"));
    // Where that is how it always ends, it is only said.
    let always = Program { wait_status: Some(0x0100), ..WORK };
    let ran = Bench::new(always, grown, 2).compare(2, &rule);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("- the program failed in all recordings: exit status 1\n"),
        "{}",
        ran.out
    );
}

#[test]
fn rules_that_say_the_same_are_one() {
    let bench = Bench::new(WORK, GROWN, 3);
    let rules =
        ["--fail-on", "hot.mean > 5%", "--fail-on", "hot.mean > +5%", "--fail-on", "hot.mean>5 %"];
    let ran = bench.compare(3, &rules);
    assert!(ran.out.starts_with("REGRESSED: 1 of 1 gated metric got worse\n"), "{}", ran.out);
    let ran = bench.compare(3, &[&rules[..2], &["--fail-on", "hot.mean > 6%"]].concat());
    assert!(ran.out.starts_with("REGRESSED: 2 of 2 gated metrics got worse\n"), "{}", ran.out);
}

#[test]
fn a_recording_that_takes_part_twice_is_said() {
    let bench = Bench::new(WORK, WORK, 1);
    let again = bench.path("base-0.damon");
    let ran = bench.compare(1, &[&again, "--format", "csv"]);
    let said = "warning: base-0.damon takes part more than once, and is no run of its own then\n";
    assert_eq!(ran.err, said);
}

#[test]
fn histories_are_read_and_added_to() {
    let bench = Bench::new(WORK, WORK, 3);
    let rule = ["--fail-on", "wss.expected.mean > +20% and > 1MiB"];
    let with = |more: &[&str]| bench.compare(3, &[&rule[..], more].concat());
    let first = with(&["--history", "@runs.jsonl", "--append-history", "@runs.jsonl"]);
    assert_eq!(first.status, 0, "{}{}", first.out, first.err);
    assert!(first.out.contains("runs.jsonl: there is no such history yet"), "{}", first.out);
    assert_eq!(bench.read("runs.jsonl").lines().count(), 3);
    let second =
        with(&["--history", "@runs.jsonl", "--append-history", "@runs.jsonl", "--format", "json"]);
    assert_eq!(bench.read("runs.jsonl").lines().count(), 6);
    let json: serde_json::Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!(json["metrics"][0]["noise"]["prior"]["source"], "history");
    assert_eq!(json["warnings"].as_array().unwrap().len(), 0, "{}", json["warnings"]);

    bench.put("empty.jsonl", b"\n");
    let empty = with(&["--history", "@empty.jsonl"]);
    assert_eq!(empty.status, 0);
    assert!(empty.out.contains("empty.jsonl: the history is empty"), "{}", empty.out);

    let whole = bench.read("runs.jsonl");
    let half = &whole[..whole.len() - 20];
    bench.put("half.jsonl", half.as_bytes());
    for flag in ["--history", "--append-history"] {
        let ran = with(&[flag, "@half.jsonl"]);
        assert_eq!((ran.status, ran.out.as_str()), (4, ""), "{flag}");
        assert!(ran.err.contains("half.jsonl: line 6: "), "{}", ran.err);
    }
    assert_eq!(bench.read("half.jsonl"), half);
    bench.put("bytes.jsonl", b"\n\xff\n");
    let ran = with(&["--history", "@bytes.jsonl"]);
    assert_eq!(ran.status, 4);
    assert!(ran.err.contains("bytes.jsonl: line 2: no text"), "{}", ran.err);
}

#[test]
fn hostile_names_stay_inside_their_form() {
    let name = "/x/<b>&\"q'|`]]>\u{1b}[2J\u{fffe}*.so";
    let odd = Program { library: name, library_rate: 10, ..WORK };
    let bench = Bench::new(WORK, odd, 2);
    let more = [
        "--fail-on",
        "mapping(*.so*).hot.mean > 5%",
        "--write",
        "junit:@j.xml",
        "--write",
        "markdown:@c.md",
    ];
    let ran = bench.compare(2, &more);
    // Another library that is hot: of what only one side has nothing was there before.
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    let markdown = bench.read("c.md");
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.iter().filter(|row| row.contains("/x/")).count() >= 3, "{markdown}");
    for row in rows {
        // A table of metrics has seven columns, that of mappings four; bars of names are none of them.
        assert!([8, 5].contains(&row.matches('|').count()), "{row}");
        assert!(!row.contains("<b>"), "{row}");
    }
    let lines = ran.out.lines().filter(|line| line.contains("/x/<b>&\"q'|`]]>\\u{1b}[2J"));
    assert!(lines.count() >= 2, "{}", ran.out);
    let xml = bench.read("j.xml");
    well_formed(&xml);
    assert!(xml.contains("/x/&lt;b&gt;&amp;&quot;q"), "{xml}");
    // Beside a bar, nothing but letters is written as it is.
    let coded = "&#92;u&#123;1b&#125;&#91;2J";
    for (text, code) in [(&xml, "\\u{1b}[2J"), (&ran.out, "\\u{1b}[2J"), (&markdown, coded)] {
        assert!(!text.contains('\u{1b}') && text.contains(code), "{text}");
    }
}

#[test]
fn long_names_stand_behind_the_numbers() {
    let name = "/srv/service/releases/2026-11-27/vendor/lib/plugins/libsomething.so";
    let bench = Bench::new(WORK, Program { library: name, library_rate: 10, ..WORK }, 2);
    let ran = bench.compare(2, &["--fail-on", "mapping(*.so*).hot.mean > 5%"]);
    let lines: Vec<&str> = ran.out.lines().filter(|line| line.contains(name)).collect();
    assert!(lines.len() >= 3, "{}", ran.out);
    let begins = |line: &&str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    assert!(lines.iter().all(begins), "{lines:#?}");
}

#[test]
fn pictures_and_files_are_written_or_not_at_all() {
    let bench = Bench::new(WORK, GROWN, 2);
    let ran = bench.compare(2, &["-o", "@d.png", "--size", "800x500"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    let png = fs::read(bench.path("d.png")).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!((&png[16..20], &png[20..24]), (&[0, 0, 3, 32][..], &[0, 0, 1, 244][..]));
    let ran = bench.compare(2, &["-o", "@d.svg", "--format", "json"]);
    let svg = bench.read("d.svg");
    for text in ["[heap]", "(new only)", "expected working set", "change of the access rate"] {
        assert!(svg.contains(text), "{text} is not in the picture");
    }
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(json["picture"].as_str().unwrap().ends_with("d.svg"));
    let ran = bench.compare(2, &["--write", "json:@none/c.json"]);
    assert_eq!((ran.status, ran.out.as_str()), (5, ""), "{}", ran.err);
    assert!(ran.err.contains("cannot write"), "{}", ran.err);
}

#[test]
fn threads_change_nothing() {
    let bench = Bench::new(WORK, GROWN, 2);
    let sides = |name: &str| [0, 1].map(|i| bench.path(&format!("{name}-{i}.damon")));
    let said: Vec<(String, Vec<u8>)> = ["1", "4"]
        .map(|threads| {
            let picture = bench.path("t.png");
            let (base, new) = (sides("base"), sides("new"));
            let args =
                [&["compare"], &base.each_ref().map(String::as_str)[..], &["--new"]].concat();
            let more = ["--format", "json", "-o", picture.as_str()];
            let args = [&args, &new.each_ref().map(String::as_str)[..], &more].concat();
            let ran = run(&args, threads);
            assert_eq!(ran.status, 1, "{}", ran.err);
            (ran.out, fs::read(&picture).unwrap())
        })
        .into();
    assert!(said[0] == said[1]);
}
