//! What a set-up writes, before it is written.

use super::admin::{Admin, Command, Kdamond};
use super::error::TreeError;
use super::tree::Tree;
pub use damon_format::damos::sysfs::{Feature, Step, When};
use nix::errno::Errno;
use std::path::PathBuf;

fn applies(step: &Step, context: &Tree) -> bool {
    match &step.when {
        When::Always => true,
        When::Has(path) => context.exists(path),
        When::Lacks(path) => !context.exists(path),
    }
}

fn execute(step: &Step, context: &Tree) -> Result<(), TreeError> {
    if !applies(step, context) {
        return Ok(());
    }
    let Some(Feature { what, since }) = &step.needs else {
        return context.set(&step.path, &step.value);
    };
    if !context.exists(&step.path) {
        let path = context.path(&step.path);
        return Err(TreeError::Missing { path, what: what.clone(), since });
    }
    context.set(&step.path, &step.value).map_err(|error| match error {
        TreeError::Write { path, value, errno: Errno::EINVAL } => {
            TreeError::Unknown { path, value, what: what.clone(), since }
        }
        other => other,
    })
}

/// A step as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Full path.
    pub path: PathBuf,
    /// What is written.
    pub value: String,
    /// "where … exists", if not on every kernel.
    pub condition: Option<String>,
}

/// Values for the files of one context, in the order of writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
}

impl Plan {
    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Writes everything below `context`, each value read back; stops at the first error.
    pub fn execute(&self, context: &Tree) -> Result<(), TreeError> {
        self.steps.iter().try_for_each(|step| execute(step, context))
    }

    /// Everything that is written to create kdamond 0 with this context below `admin` and to start it,
    /// in order. Writes nothing.
    ///
    /// Steps for some kernels only are all listed, each with its condition: which of them applies shows
    /// only once the directories exist.
    pub fn listing(&self, admin: &Tree) -> Vec<Planned> {
        let kdamond = "kdamonds/0";
        let before =
            [(Admin::COUNT.to_owned(), "1"), (format!("{kdamond}/{}", Kdamond::CONTEXTS), "1")];
        let after = [(format!("{kdamond}/{}", Kdamond::STATE), Command::On.keyword())];
        let plain = |(path, value): (String, &str)| Planned {
            path: admin.path(&path),
            value: value.to_owned(),
            condition: None,
        };
        let context = format!("{kdamond}/contexts/0");
        let full = |path: &String| admin.path(&format!("{context}/{path}"));
        let steps = self.steps.iter().map(|step| Planned {
            path: full(&step.path),
            value: step.value.clone(),
            condition: match &step.when {
                When::Always => None,
                When::Has(path) => Some(format!("where {} exists", full(path).display())),
                When::Lacks(path) => Some(format!("where {} does not exist", full(path).display())),
            },
        });
        before.map(plain).into_iter().chain(steps).chain(after.map(plain)).collect()
    }
}

impl FromIterator<Step> for Plan {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self { steps: steps.into_iter().collect() }
    }
}
