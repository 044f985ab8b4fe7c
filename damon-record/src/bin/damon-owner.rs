//! A development binary: owns a kdamond on command, for the tests of ownership and of the guard process.
//!
//! `damon-owner fake DIR LOCKS PID… [-- OPTION…]` works on the fake in DIR, `damon-owner root DIR LOCKS PID…` on
//! the real files below DIR. It says on standard output what it has done, and does what standard input says, a line
//! each: `add PID`, `attrs SAMPLE AGGR`, `stats`, `state`, `restart PID`, `release`, `panic`. Options: `spare`
//! uses a spare kdamond, `scheme` installs a scheme, `guard=PROGRAM` has another program guard.

use damon_format::Attrs;
use damon_format::damos::kernel::{Action, Scheme};
use damon_record::damon::fake::Fake;
use damon_record::damon::own::{GUARD_ARGUMENT, GuardProgram, OwnPlace, serve, serve_if_asked};
use damon_record::damon::sysfs::{Operations, Target, Tree, Wanted};
use damon_record::damon::{Running, Turn};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Failure = Box<dyn std::error::Error>;

/// First argument that makes it the guard of a fake.
const FAKE_GUARD: &str = "fake-guard";

fn main() -> ExitCode {
    if let Some(code) = serve_if_asked(std::env::args_os()) {
        return code;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.as_slice() == [FAKE_GUARD] {
        return serve(|root| Fake::open(Path::new(root)).tree());
    }
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the status says it as well.
            let _unheard = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn say(words: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{words}")?;
    out.flush()?;
    Ok(())
}

fn run(words: &[&str]) -> Result<(), Failure> {
    let (words, options) = match words.iter().position(|word| *word == "--") {
        Some(at) => words.split_at(at),
        None => (words, &[][..]),
    };
    let [kind, dir, locks, pids @ ..] = words else {
        return Err("usage: damon-owner fake|root DIR LOCKS PID... [-- OPTION...]".into());
    };
    let has = |option: &str| options.contains(&option);
    let program = options.iter().find_map(|option| option.strip_prefix("guard="));
    let (tree, guard) = if *kind == "fake" {
        (Fake::open(Path::new(dir)).tree(), FAKE_GUARD)
    } else {
        (Tree::at(*dir), GUARD_ARGUMENT)
    };
    let place = OwnPlace {
        lock_dirs: vec![PathBuf::from(locks)],
        modules: if *kind == "fake" { Path::new(dir).join("module") } else { "/sys/module".into() },
        guard: Some(GuardProgram::program(program.unwrap_or("/proc/self/exe"), [guard])),
        use_spare: has("spare"),
        ..OwnPlace::of_this_machine()
    };
    let target = |pid: &str| pid.parse().map(Target::process);
    let wanted = Wanted {
        operations: Operations::Vaddr,
        attrs: Attrs {
            sample_us: 5000,
            aggr_us: 100_000,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 1000,
        },
        goal: None,
        targets: pids.iter().map(|pid| target(pid)).collect::<Result<_, _>>()?,
        schemes: if has("scheme") { vec![Scheme::new(Action::Stat)] } else { Vec::new() },
    };
    say("begun")?;
    let mut running = Running::start(tree, &place, &wanted)?;
    say(format_args!("running {}", running.tid()))?;
    for line in io::stdin().lines() {
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["add", pid] => drop(running.add_targets(&[target(pid)?], &Turn::ANY)?),
            ["attrs", sample, aggr] => {
                let attrs =
                    Attrs { sample_us: sample.parse()?, aggr_us: aggr.parse()?, ..wanted.attrs };
                running.set_attrs(&attrs)?;
            }
            ["stats"] => say(format_args!("{:?}", running.scheme_stats()?))?,
            ["state"] => say(format_args!("{:?}", running.state()?))?,
            ["restart", pid] => {
                running.restart(vec![target(pid)?])?;
                say(format_args!("running {}", running.tid()))?;
            }
            ["release"] => {
                say(format_args!("{:?}", running.release()?))?;
                return Ok(());
            }
            ["panic"] => {
                #[expect(
                    clippy::panic,
                    reason = "what it is for: the tree is restored by unwinding"
                )]
                {
                    panic!("asked to");
                }
            }
            _ => return Err(format!("what is {line:?}?").into()),
        }
        say("done")?;
    }
    Ok(())
}
