//! Directories and files.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dir {
    /// Differs between all directories that ever were.
    pub(super) id: u64,
    pub(super) entries: BTreeMap<String, Node>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    Dir(Dir),
    File(File),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    pub(super) value: String,
    pub(super) kind: Kind,
}

/// What a file accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// A number up to this.
    Number(u64),
    /// An `int`.
    Signed,
    /// A boolean.
    Flag,
    /// One of these words.
    Word(Vec<String>),
    /// Anything; the path of a control group is guarded by the lock.
    Path,
    /// Nothing.
    ReadOnly,
    /// How many directories of a kind there are beside it, and how many there may be.
    Count(Child, u64),
    /// `state` of a kdamond.
    State,
    /// `pid` of a kdamond.
    Pid,
}

/// What a count counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Child {
    Kdamond,
    Context,
    Target,
    Region,
    Scheme,
    Goal,
    Filter,
    CoreFilter,
    OpsFilter,
    Dest,
}

impl Kind {
    /// Whether DAMON's one lock is taken for it.
    pub(super) fn is_guarded(&self) -> bool {
        matches!(self, Self::Count(..) | Self::State | Self::Pid | Self::Path)
    }
}

impl Dir {
    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        match path.split_once('/') {
            None => self.entries.get(path),
            Some((first, rest)) => match self.entries.get(first)? {
                Node::Dir(dir) => dir.node(rest),
                Node::File(_) => None,
            },
        }
    }

    pub(super) fn node_mut(&mut self, path: &str) -> Option<&mut Node> {
        match path.split_once('/') {
            None => self.entries.get_mut(path),
            Some((first, rest)) => match self.entries.get_mut(first)? {
                Node::Dir(dir) => dir.node_mut(rest),
                Node::File(_) => None,
            },
        }
    }

    pub(super) fn dir(&self, path: &str) -> Option<&Self> {
        match self.node(path)? {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        }
    }

    pub(super) fn dir_mut(&mut self, path: &str) -> Option<&mut Self> {
        match self.node_mut(path)? {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        }
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        match self.node(path)? {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        }
    }

    pub(super) fn file_mut(&mut self, path: &str) -> Option<&mut File> {
        match self.node_mut(path)? {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        }
    }

    /// The path of the directory with this id, relative to this one.
    pub(super) fn path_of(&self, id: u64) -> Option<String> {
        if self.id == id {
            return Some(String::new());
        }
        self.entries.iter().find_map(|(name, node)| {
            let Node::Dir(dir) = node else { return None };
            let below = dir.path_of(id)?;
            Some(if below.is_empty() { name.clone() } else { format!("{name}/{below}") })
        })
    }

    /// Every file with its path and value.
    pub(super) fn listing(&self, prefix: &str, all: &mut BTreeMap<String, String>) {
        for (name, node) in &self.entries {
            let path = format!("{prefix}{name}");
            match node {
                Node::Dir(dir) => dir.listing(&format!("{path}/"), all),
                Node::File(file) => {
                    all.insert(path, file.value.clone());
                }
            }
        }
    }
}
