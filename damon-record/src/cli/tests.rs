use super::*;
use crate::backend::choose::built;
use crate::exit::Failure;
use crate::plan::{Intervals, OutputPlan, Plan, Rotation, Subject, Verbosity, Wanted};
use crate::units::show_duration;
use clap::CommandFactory as _;

fn plan(line: &[&str]) -> Result<Plan, Failure> {
    let words = std::iter::once("damon-record").chain(line.iter().copied());
    Cli::try_parse_from(words).unwrap().record.plan()
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_option_has_a_help_text() {
    for arg in Cli::command().get_arguments() {
        assert!(arg.get_help().is_some(), "{}", arg.get_id());
    }
}

#[test]
fn defaults_are_the_librarys_defaults() {
    assert_eq!(plan(&["12"]).unwrap(), Plan::new(Subject::pid(12)));
}

#[test]
fn the_intervals_of_the_help_are_the_backends() {
    let command = Cli::command();
    let help = |name: &str| {
        let mut arguments = command.get_arguments();
        let found = arguments.find(|a| a.get_id() == name).unwrap();
        found.get_help().unwrap().to_string()
    };
    let expected = |of: fn(&Intervals) -> Duration| {
        let [writes, referenced] =
            ["writes", "referenced"].map(|name| show_duration(of(&built(name).unwrap().intervals)));
        format!("[default: {writes}; referenced: {referenced}]")
    };
    assert!(help("sample").ends_with(&expected(|i| i.sample)), "{}", help("sample"));
    assert!(help("aggr").ends_with(&expected(|i| i.aggr)), "{}", help("aggr"));
}

#[test]
fn every_option_reaches_the_plan() {
    let line = "-o x.damon --force -d 2s --backend damon --sample 1ms --aggr 10ms --update 3s --pss 20s \
                --min-regions 4 --max-regions 5 --regions 0x1000-0x2000,8192-12288 --children \
                --budget 7% -v --seed 9 77,78 79 --cgroup /a --comm web --comm db --wait \
                --schemes s.json --dry-run --intervals-goal 4%,5,1ms,2s \
                --rotate-size 64MiB --rotate-time 1h --keep 4 --marks m";
    let words: Vec<&str> = line.split_whitespace().collect();
    let expected = Plan {
        subject: Subject::Running(Wanted {
            pids: vec![77, 78, 79],
            cgroups: vec!["/a".into()],
            comms: vec!["web".into(), "db".into()],
        }),
        output: OutputPlan::File { path: "x.damon".into(), force: true },
        rotation: Some(Rotation {
            size: Some(64 << 20),
            time: Some(Duration::from_secs(3600)),
            keep: Some(4),
        }),
        marks: Some("m".into()),
        duration: Some(Duration::from_secs(2)),
        backend: Some("damon".into()),
        sample: Some(Duration::from_millis(1)),
        aggr: Some(Duration::from_millis(10)),
        update: Duration::from_secs(3),
        pss: Some(Duration::from_secs(20)),
        min_regions: 4,
        max_regions: 5,
        ranges: vec![(0x1000, 0x2000), (0x2000, 0x3000)],
        children: true,
        wait: true,
        budget_percent: 7.0,
        schemes: Some("s.json".into()),
        goal: Some(IntervalsGoal {
            access_bp: 400,
            aggrs: 5,
            min_sample_us: 1000,
            max_sample_us: 2_000_000,
        }),
        dry_run: true,
        verbosity: Verbosity::Verbose,
        seed: Some(9),
    };
    assert_eq!(plan(&words).unwrap(), expected);
}

#[test]
fn everything_after_the_dashes_is_the_command() {
    let got = plan(&["-q", "-o", "-", "--", "ls", "--force", "-o", "doctor"]).unwrap();
    let words = ["ls", "--force", "-o", "doctor"].map(OsString::from);
    assert_eq!(got.subject, Subject::Command(words.to_vec()));
    assert_eq!(got.output, OutputPlan::Stdout);
    assert_eq!(got.verbosity, Verbosity::Quiet);
}

#[test]
fn a_subject_is_needed_and_only_one() {
    assert!(matches!(plan(&[]), Err(Failure::Usage(_))));
    for words in [&["3", "--", "ls"][..], &["--comm", "x", "--", "ls"], &["--wait", "3"]] {
        assert!(matches!(plan(words), Err(Failure::Usage(_))), "{words:?}");
    }
}

#[test]
fn the_machine_and_a_kdamond_are_subjects_of_their_own() {
    assert_eq!(plan(&["--physical"]).unwrap().subject, Subject::Physical);
    let attach = |more: &[&str]| plan(&[&["--backend", "attach"], more].concat());
    assert_eq!(attach(&[]).unwrap().subject, Subject::Kdamond(None));
    assert_eq!(attach(&["--kdamond", "2"]).unwrap().subject, Subject::Kdamond(Some(2)));
    for bad in [&["--physical", "5"][..], &["--physical", "--", "ls"], &["--kdamond", "0", "5"]] {
        assert!(matches!(plan(bad), Err(Failure::Usage(_))), "{bad:?}");
    }
    for bad in [
        &["5"][..],
        &["--schemes", "s.json"],
        &["--physical"],
        &["--children"],
        &["--aggr", "1s"],
        &["--regions", "0x1000-0x2000"],
    ] {
        let Err(Failure::Usage(text)) = attach(bad) else { panic!("{bad:?}") };
        assert!(text.contains(bad[0]) || bad == ["5"], "{text}");
    }
}

#[test]
fn doctor_is_a_subcommand_and_takes_no_recording_options() {
    let doctor = Cli::try_parse_from(["damon-record", "doctor", "--json"]).unwrap();
    assert!(matches!(doctor.action, Some(Action::Doctor { json: true })));
    assert!(Cli::try_parse_from(["damon-record", "-q", "doctor"]).is_err());
    for generated in [&["completions", "fish"][..], &["man"], &["mark", "two", "words"]] {
        let line = ["damon-record"].iter().chain(generated);
        assert!(Cli::try_parse_from(line).unwrap().action.is_some());
    }
    for pid in ["0", "-1", "abc", "4294967296"] {
        assert!(Cli::try_parse_from(["damon-record", pid]).is_err(), "{pid}");
    }
}
