//! What a set-up writes, before it is written.

use super::admin::{Admin, Command, Kdamond};
use super::error::TreeError;
use super::tree::Tree;
use nix::errno::Errno;
use std::path::PathBuf;

/// Something that not every kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// As in "this kernel has no …".
    pub what: String,
    /// The first release with it, as in "Linux 6.8".
    pub since: &'static str,
}

impl Feature {
    /// `what`, first released in `since`.
    pub fn new(what: impl Into<String>, since: &'static str) -> Self {
        Self { what: what.into(), since }
    }
}

/// Which kernels a step is for. Both paths are relative to the context's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// All of them.
    Always,
    /// Those that have this file or directory.
    Has(String),
    /// Those that have it not.
    Lacks(String),
}

/// One value in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Relative to the context's directory.
    pub path: String,
    /// What is written, without a line end.
    pub value: String,
    /// On which kernels.
    pub when: When,
    /// What it is for, where a kernel may be too old for it.
    pub needs: Option<Feature>,
}

impl Step {
    /// Writes `value` into a file that every kernel has.
    pub fn new(path: impl Into<String>, value: &(impl ToString + ?Sized)) -> Self {
        Self { path: path.into(), value: value.to_string(), when: When::Always, needs: None }
    }

    /// Refuses `what` by name on kernels without the file, or that do not know the value.
    #[must_use]
    pub fn needs(self, what: impl Into<String>, since: &'static str) -> Self {
        Self { needs: Some(Feature::new(what, since)), ..self }
    }

    /// Only on some kernels.
    #[must_use]
    pub fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    fn applies(&self, context: &Tree) -> bool {
        match &self.when {
            When::Always => true,
            When::Has(path) => context.exists(path),
            When::Lacks(path) => !context.exists(path),
        }
    }

    fn execute(&self, context: &Tree) -> Result<(), TreeError> {
        if !self.applies(context) {
            return Ok(());
        }
        let Some(Feature { what, since }) = &self.needs else {
            return context.set(&self.path, &self.value);
        };
        if !context.exists(&self.path) {
            let path = context.path(&self.path);
            return Err(TreeError::Missing { path, what: what.clone(), since });
        }
        context.set(&self.path, &self.value).map_err(|error| match error {
            TreeError::Write { path, value, errno: Errno::EINVAL } => {
                TreeError::Unknown { path, value, what: what.clone(), since }
            }
            other => other,
        })
    }
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
        self.steps.iter().try_for_each(|step| step.execute(context))
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
