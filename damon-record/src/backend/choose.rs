//! Which backends are built, in the order in which `auto` tries them, and the choice among them.

use super::kind::{AttachError, Kind, Refusal};
use super::{Watch, attach, damon, idle, pte, referenced, soft_dirty, writes};
use crate::proc::ProcRoot;

/// The backends, best first.
pub static BUILT: [Kind; 7] = [
    damon::KIND,
    pte::KIND,
    idle::KIND,
    writes::KIND,
    soft_dirty::KIND,
    referenced::KIND,
    attach::KIND,
];

/// Looks a built backend up.
pub fn built(name: &str) -> Option<&'static Kind> {
    BUILT.iter().find(|kind| kind.name == name)
}

/// A chosen backend, attached to the first target.
pub struct Choice {
    /// Which.
    pub kind: &'static Kind,
    /// One sentence: why.
    pub reason: String,
    /// What of it is news to whoever starts a recording, a sentence each: who does not work on this machine by name
    /// only, since `doctor` tells more, who does not serve for this target with the reason.
    pub news: Vec<String>,
    /// The first target's watch.
    pub watch: Box<dyn Watch>,
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Choice")
            .field("kind", &self.kind.name)
            .field("reason", &self.reason)
            .field("news", &self.news)
            .finish_non_exhaustive()
    }
}

/// Why no backend serves.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// The name means nothing.
    #[error(
        "there is no backend {name}; there are: auto, {}",
        BUILT.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
    )]
    Unknown {
        /// As given.
        name: String,
    },
    /// The backend asked for does not serve.
    #[error("the backend {name} cannot be used: {why}; --backend auto takes the best that can")]
    Unusable {
        /// As given.
        name: String,
        /// Its own words.
        why: String,
    },
    /// None serves.
    #[error("no backend can watch this process: {}", why.join("; "))]
    None {
        /// Each one's words.
        why: Vec<String>,
    },
    /// The target exited while it was attached to.
    #[error("process {pid} exited before it could be watched")]
    Gone {
        /// Which.
        pid: u32,
    },
}

/// Checks a name given by the user before anything is started.
pub fn check_name(name: Option<&str>) -> Result<(), ChooseError> {
    match name {
        None => Ok(()),
        Some(name) if built(name).is_some() => Ok(()),
        Some(name) => Err(ChooseError::Unknown { name: name.into() }),
    }
}

/// A backend that cannot be used, and why.
pub type Refused = (&'static str, String);

/// Attaches the backend `wanted`, or the best of `kinds` that passes its self-test and can be attached, other
/// than those that have turned out not to serve.
pub fn choose(
    kinds: &'static [Kind],
    wanted: Option<&str>,
    proc: &ProcRoot,
    pid: u32,
    mut refused: Vec<Refused>,
) -> Result<Choice, ChooseError> {
    check_name(wanted)?;
    // Of those refused, the ones that doctor refuses too.
    let mut broken = Vec::new();
    for kind in kinds {
        let is_asked_for = wanted.map_or(kind.auto, |name| name == kind.name);
        if !is_asked_for || refused.iter().any(|(name, _)| *name == kind.name) {
            continue;
        }
        let attached = (kind.self_test)(proc)
            .map_err(|refusal| {
                broken.push(kind.name);
                // Who asked for it wants to know how to get it; a list of reasons is long enough.
                AttachError::Refused(match wanted {
                    Some(_) => refusal.to_string(),
                    None => refusal.why,
                })
            })
            .and_then(|()| (kind.attach)(proc, pid));
        match attached {
            Ok(mut watch) => {
                let mut reason = reason(wanted, &refused);
                let remark = watch.remark();
                if let Some(remark) = &remark {
                    reason = format!("{reason}; {remark}");
                }
                let news = news(&broken, &refused, remark);
                return Ok(Choice { kind, reason, news, watch });
            }
            Err(AttachError::Gone) => return Err(ChooseError::Gone { pid }),
            Err(AttachError::Refused(why)) => refused.push((kind.name, why)),
        }
    }
    match (wanted, refused.pop()) {
        (Some(name), Some((_, why))) => Err(ChooseError::Unusable { name: name.into(), why }),
        (_, last) => Err(ChooseError::None {
            why: refused
                .into_iter()
                .chain(last)
                .map(|(name, why)| format!("{name}: {why}"))
                .collect(),
        }),
    }
}

fn reason(wanted: Option<&str>, refused: &[(&str, String)]) -> String {
    if wanted.is_some() {
        return "asked for".into();
    }
    if refused.is_empty() {
        return "the best of this version; its self-test passed".into();
    }
    // What could be done instead is not asked by anybody for whom another one serves; `doctor` tells.
    let others: Vec<String> = refused
        .iter()
        .map(|(name, why)| format!("{name} cannot be used: {}", Refusal::from(why.clone()).why))
        .collect();
    format!("the best that works here; {}", others.join("; "))
}

fn news(broken: &[&str], refused: &[Refused], remark: Option<String>) -> Vec<String> {
    let here = broken.split_last().map(|(last, others)| {
        let names = match others.join(", ") {
            names if names.is_empty() => format!("{last} does"),
            names => format!("{names} and {last} do"),
        };
        format!("{names} not work here: damon-record doctor tells why")
    });
    let for_target = refused
        .iter()
        .filter(|(name, _)| !broken.contains(name))
        .map(|(name, why)| format!("{name} cannot be used: {}", Refusal::from(why.clone()).why));
    here.into_iter().chain(for_target).chain(remark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Kind = Kind {
        name: "writes",
        self_test: |_| Err("no such ioctl".to_owned().into()),
        ..referenced::KIND
    };
    const CLOSED: Kind = Kind {
        name: "writes",
        self_test: |_| Ok(()),
        attach: |_, _| Err(AttachError::Refused("seccomp forbids it; do without".into())),
        ..referenced::KIND
    };
    static BROKEN_FIRST: [Kind; 2] = [BROKEN, referenced::KIND];
    static CLOSED_FIRST: [Kind; 2] = [CLOSED, referenced::KIND];
    static CLOSED_ONLY: [Kind; 1] = [CLOSED];
    static ASKED_ONLY: [Kind; 1] = [Kind { auto: false, ..referenced::KIND }];

    #[test]
    fn what_turned_out_not_to_serve_is_not_tried_again() {
        let refused = vec![("writes", "it failed later".to_owned())];
        let choice =
            choose(&BROKEN_FIRST, None, &ProcRoot::default(), std::process::id(), refused).unwrap();
        assert!(choice.reason.contains("it failed later"), "{}", choice.reason);
        assert!(!choice.reason.contains("no such ioctl"), "{}", choice.reason);
    }

    #[test]
    fn auto_passes_over_what_must_be_asked_for() {
        let me = std::process::id();
        let error = choose(&ASKED_ONLY, None, &ProcRoot::default(), me, Vec::new()).unwrap_err();
        assert!(matches!(error, ChooseError::None { .. }), "{error}");
        assert!(
            choose(&ASKED_ONLY, Some("referenced"), &ProcRoot::default(), me, Vec::new()).is_ok()
        );
    }

    #[test]
    fn auto_falls_back_and_says_why() {
        let proc = ProcRoot::default();
        let me = std::process::id();
        for (kinds, why) in
            [(&BROKEN_FIRST, "no such ioctl"), (&CLOSED_FIRST, "seccomp forbids it")]
        {
            let choice = choose(kinds, None, &proc, me, Vec::new()).unwrap();
            assert_eq!(choice.kind.name, "referenced");
            assert!(choice.reason.contains(why), "{}", choice.reason);
            assert!(!choice.reason.contains("do without"), "{}", choice.reason);
        }
    }

    #[test]
    fn doctor_tells_what_is_the_machines_and_the_beginning_what_is_the_targets() {
        let news = |kinds, wanted| {
            let proc = ProcRoot::default();
            choose(kinds, wanted, &proc, std::process::id(), Vec::new()).unwrap().news
        };
        // Behind it there may be a remark: what this machine's DAMON does meanwhile.
        let first = |kinds| news(kinds, None).first().cloned().unwrap_or_default();
        assert_eq!(
            first(&BROKEN_FIRST),
            "writes does not work here: damon-record doctor tells why"
        );
        assert_eq!(first(&CLOSED_FIRST), "writes cannot be used: seccomp forbids it");
        let refused = ["damon", "pte", "idle", "writes"].map(|name| (name, "no; try x".to_owned()));
        assert_eq!(
            super::news(&["damon", "pte", "idle"], &refused, Some("a remark".into())),
            [
                "damon, pte and idle do not work here: damon-record doctor tells why",
                "writes cannot be used: no",
                "a remark"
            ]
        );
    }

    #[test]
    fn nothing_works_is_an_error_with_every_reason() {
        let error = choose(&CLOSED_ONLY, None, &ProcRoot::default(), 1, Vec::new()).unwrap_err();
        assert!(error.to_string().contains("seccomp forbids it; do without"), "{error}");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(matches!(check_name(Some("magic")), Err(ChooseError::Unknown { .. })));
        assert!(check_name(Some("referenced")).is_ok() && check_name(None).is_ok());
    }
}
