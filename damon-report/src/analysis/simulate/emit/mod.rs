//! Handing simulated schemes over to whoever applies them, and how to take them back.
//!
//! Nothing is applied here: the result is text, for `damo`, for a shell, or for `damon-record`. Whoever runs a script
//! names the processes; those of the recording are told in a comment, because their numbers may be somebody else's by
//! now.

mod place;
mod script;

pub use place::{Place, Process};

use super::SimulateError;
use damon_format::Attrs;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::Action;
use damon_format::damos::sysfs::{Step, steps};
use std::fmt::Write as _;

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The JSON that damo takes for `--schemes`.
    Damo,
    /// A shell script that writes the kernel's sysfs files.
    Sysfs,
    /// A shell script that calls `damon-record --schemes`.
    Record,
}

/// What is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// JSON or a script, with a line end.
    pub text: String,
    /// How to apply it, how to take it back, and what stays then; in scripts as comments already.
    pub notes: Vec<String>,
}

/// Writes the schemes down for somebody. Filters of targets mean the processes in the order of `place`.
///
/// # Errors
/// Schemes mean nothing in the units of the place, or a filter is about a target of which nothing was recorded.
pub fn emit(form: Form, schemes: &Schemes, place: &Place) -> Result<Handover, SimulateError> {
    let (schemes, limits) = place.renumbered(schemes)?;
    let schemes = &schemes;
    let mut after = what_stays(schemes);
    after.extend(limits.iter().chain(&place.limits).map(|text| format!("mind: {text}")));
    let kernel = schemes.to_kernel(&place.attrs)?;
    let mut notes = too_old(&steps(&kernel), &place.kernel);
    let text = match form {
        Form::Damo => {
            notes.extend(damo_notes(place, after));
            format!("{:#}\n", schemes.to_json())
        }
        Form::Record => record(schemes, place, &after),
        Form::Sysfs => script::script(&kernel, schemes, place, &after),
    };
    Ok(Handover { text, notes })
}

/// What the recorded kernel is too old for by its number, each once. Distributions bring features back, so that only the
/// kernel itself can refuse.
fn too_old(steps: &[Step], kernel: &str) -> Vec<String> {
    let number = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let Some(recorded) = number(kernel) else { return Vec::new() };
    let mut notes = Vec::new();
    for feature in steps.iter().filter_map(|step| step.needs.as_ref()) {
        let note = format!(
            "the recorded kernel, {}, may be too old for this: {} came with {}",
            plain(kernel),
            feature.what,
            feature.since
        );
        if number(feature.since).is_some_and(|since| since > recorded) && !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn damo_notes(place: &Place, after: Vec<String>) -> Vec<String> {
    let Attrs { sample_us, aggr_us, update_us, min_nr_regions, max_nr_regions } = place.attrs;
    let target = match (&place.physical, place.processes.as_slice()) {
        (Some(_), _) => "paddr".to_owned(),
        (None, [one]) => format!("PID ({} when it was recorded)", one.pid),
        (None, _) => "PID".to_owned(),
    };
    let ranges = place.option(" ", |at| at.to_string()).map_or_else(String::new, |ranges| {
        let operations = if place.physical.is_some() { "" } else { "--ops fvaddr " };
        format!("{operations}--regions \"{ranges}\" ")
    });
    let target = if ranges.is_empty() || place.physical.is_some() {
        target
    } else {
        format!("--target_pid {target}")
    };
    let mut notes = vec![
        format!(
            "apply it: damo start --monitoring_intervals {sample_us}us {aggr_us}us {update_us}us \
             --monitoring_nr_regions_range {min_nr_regions} {max_nr_regions} --schemes FILE {ranges}{target}"
        ),
        "take it back: damo stop".to_owned(),
    ];
    notes.extend(after);
    notes
}

/// What an action has done that stopping does not undo, and what does; one sentence each.
fn what_stays(schemes: &Schemes) -> Vec<String> {
    let mut stays: Vec<String> = Vec::new();
    for scheme in schemes.as_slice() {
        let text = match scheme.action {
            Action::Pageout => {
                "stays out: what was paged out, until it is accessed; it needs no command"
                    .to_owned()
            }
            Action::Hugepage | Action::Nohugepage => format!(
                "stays: the advice `{}` on the mappings, for as long as they are there; only the opposite advice \
                 replaces it",
                scheme.action
            ),
            Action::Collapse => {
                "stays: huge pages that were made, until reclaim splits them".to_owned()
            }
            Action::MigrateHot | Action::MigrateCold => {
                "stays where it is: what was moved; to move pages of a process back: migratepages PID FROM TO"
                    .to_owned()
            }
            Action::Cold
            | Action::LruPrio
            | Action::LruDeprio
            | Action::Willneed
            | Action::Stat => continue,
        };
        if !stays.contains(&text) {
            stays.push(text);
        }
    }
    stays
}

/// A script that calls the recorder; its standard input is the schemes, so that no file is left behind.
fn record(schemes: &Schemes, place: &Place, after: &[String]) -> String {
    let Attrs { sample_us, aggr_us, update_us, min_nr_regions, max_nr_regions } = place.attrs;
    let mut text = String::from("#!/bin/sh\n");
    let mut say = |line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _infallible = text.write_fmt(line);
        text.push('\n');
    };
    say(format_args!(
        "# Records, and applies schemes that were simulated on {}.",
        plain(&place.name)
    ));
    say(format_args!("#"));
    say(format_args!("# apply:      sh THIS_FILE{}", arguments(place)));
    say(format_args!(
        "# take back:  Ctrl-C, or kill -INT the recorder: it removes the schemes when it ends."
    ));
    for line in after {
        say(format_args!("#             {}", plain(line)));
    }
    say(format_args!("set -eu"));
    let subject = if place.physical.is_some() {
        "--physical"
    } else {
        say(format_args!(
            "[ $# -gt 0 ] || {{ printf '%s\\n' {} >&2; exit 2; }}",
            quote(&format!(
                "give the process to record and to apply schemes to: PID{}",
                recorded(place)
            ))
        ));
        "\"$@\""
    };
    let ranges = place
        .option(",", |at| format!("{at:#x}"))
        .map_or_else(String::new, |r| format!("--regions {r} "));
    say(format_args!(
        "exec damon-record --sample {sample_us}us --aggr {aggr_us}us --update {update_us}us \\\n    \
         --min-regions {min_nr_regions} --max-regions {max_nr_regions} {ranges}--schemes /dev/stdin {subject} <<'END'"
    ));
    // Texts in JSON hold no line ends: no line of it is the end.
    say(format_args!("{:#}", schemes.to_json()));
    say(format_args!("END"));
    text
}

/// What a script is called with.
fn arguments(place: &Place) -> String {
    if place.physical.is_some() { String::new() } else { format!(" PID...{}", recorded(place)) }
}

fn recorded(place: &Place) -> String {
    let names: Vec<String> = place
        .processes
        .iter()
        .take(8)
        .map(|process| format!("{} (pid {} then)", plain(&process.name), process.pid))
        .collect();
    match names.as_slice() {
        [] => String::new(),
        names => {
            let more = place.processes.len().saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("    # recorded: {}{more}", names.join(", "))
        }
    }
}

/// Text of others in a comment: it stays on its line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// One word for a POSIX shell, whatever is in the text.
fn quote(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_-+./:,=%".contains(c);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    // No shell has words with a NUL, and neither has the kernel.
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_word_and_no_comment_ends_early() {
        assert_eq!(quote("free_mem_rate"), "free_mem_rate");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b; $(reboot) `x` \"y\""), "'a b; $(reboot) `x` \"y\"'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(plain("a\nrm -rf /\r"), "a?rm -rf /?");
    }

    #[test]
    fn a_kernel_that_is_too_old_by_its_number_is_named() {
        let json = r#"[{"action": "migrate_hot", "target_nid": 0, "apply_interval_us": "1 s"}]"#;
        let schemes = Schemes::from_json(json).unwrap();
        let attrs = crate::analysis::simulate::plan::default_attrs(
            Attrs { sample_us: 0, aggr_us: 0, update_us: 0, min_nr_regions: 0, max_nr_regions: 0 },
            &[],
        );
        let steps = steps(&schemes.to_kernel(&attrs).unwrap());
        let old = too_old(&steps, "6.6.1-cloud");
        assert_eq!(old.len(), 3, "{old:?}");
        assert!(old.iter().any(|note| note.contains("action migrate_hot came with Linux 6.11")));
        assert!(too_old(&steps, "6.12.117").is_empty() && too_old(&steps, "").is_empty());
        assert_eq!((attrs.sample_us, attrs.max_nr_regions), (5_000, 1_000));
    }

    #[test]
    fn what_an_action_leaves_behind_is_said_once() {
        let of = |json: &str| what_stays(&Schemes::from_json(json).unwrap());
        assert!(of(r#"[{"action": "stat"}, {"action": "cold"}]"#).is_empty());
        let twice = of(r#"[{"action": "pageout"}, {"action": "pageout"}]"#);
        assert!(twice.len() == 1 && twice[0].contains("until it is accessed"), "{twice:?}");
        let moved = of(r#"[{"action": "migrate_cold", "target_nid": 1}]"#);
        assert!(moved[0].contains("migratepages PID FROM TO"), "{moved:?}");
    }
}
