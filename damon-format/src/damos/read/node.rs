//! A JSON value that knows where it stands.

use super::ReadError;
use crate::damos::kernel::Bounds;
use crate::damos::number;
use crate::damos::suggest::suggestion;
use serde_json::{Map, Value};

/// A value and its path.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    /// `path` may be empty: then the members of `value` have plain names.
    pub(super) fn new(path: &str, value: &'a Value) -> Self {
        Self { path: path.to_owned(), value }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> ReadError {
        ReadError { path: self.path.clone(), problem: problem.into() }
    }

    fn wrong_type(&self, expected: &str) -> ReadError {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// Whether it is an object that has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some_and(|value| !value.is_null())
    }

    /// One member of an object, whatever the others are called.
    pub(super) fn member(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.child(key, value))
    }

    fn child(&self, key: &str, value: &'a Value) -> Self {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path, value }
    }

    /// The elements of a list.
    pub(super) fn elements(&self) -> Result<Vec<Self>, ReadError> {
        let list = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        let numbered = list.iter().enumerate();
        Ok(numbered
            .map(|(index, value)| Self { path: format!("{}[{index}]", self.path), value })
            .collect())
    }

    /// The members of an object, none of which may be called otherwise than `known` says.
    pub(super) fn fields(&self, known: &'static [&'static str]) -> Result<Fields<'a>, ReadError> {
        let map = self.value.as_object().ok_or_else(|| self.wrong_type("an object"))?;
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => Err(self.unknown(unknown, known)),
            None => Ok(Fields { node: self.clone(), map }),
        }
    }

    fn unknown(&self, key: &str, known: &[&str]) -> ReadError {
        let at = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        ReadError { path: at, problem: format!("unknown; {}", suggestion(key, known)) }
    }

    /// A number as text: JSON numbers and texts are the same to damo.
    fn text(&self) -> Result<String, ReadError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(self.wrong_type("a number or a text")),
        }
    }

    /// A number by one of the readers of [`number`].
    pub(super) fn number<T>(
        &self,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ReadError> {
        read(&self.text()?).map_err(|problem| self.error(problem))
    }

    /// A count that fits the kernel's type for it.
    pub(super) fn count<T: TryFrom<u64>>(&self) -> Result<T, ReadError> {
        let value = self.number(number::count)?;
        T::try_from(value).map_err(|_too_large| self.error(format!("{value} is too large")))
    }

    pub(super) fn flag(&self) -> Result<bool, ReadError> {
        match self.value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if matches!(text.as_str(), "Y" | "y" | "true") => Ok(true),
            Value::String(text) if matches!(text.as_str(), "N" | "n" | "false") => Ok(false),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    pub(super) fn string(&self) -> Result<&'a str, ReadError> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a text"))
    }

    /// One of the kernel's words.
    pub(super) fn keyword<T: Copy>(
        &self,
        what: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Result<T, ReadError> {
        let text = self.string()?;
        if let Some(value) = all.iter().copied().find(|value| word(*value) == text) {
            return Ok(value);
        }
        let words: Vec<&str> = all.iter().map(|value| word(*value)).collect();
        Err(self.error(format!("{text:?} is no {what}; {}", suggestion(text, &words))))
    }
}

/// Members of an object that were checked to be known ones.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    node: Node<'a>,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// A member that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        Some(self.node.child(key, value))
    }

    /// A member by its name or an older one; both at once are refused.
    pub(super) fn either(&self, name: &str, old: &str) -> Result<Option<Node<'a>>, ReadError> {
        match (self.get(name), self.get(old)) {
            (Some(_), Some(node)) => {
                Err(node.error(format!("is the old name of {name}: keep one")))
            }
            (new, old) => Ok(new.or(old)),
        }
    }

    /// A member's value, or `default` where it is missing.
    pub(super) fn or<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(&Node<'a>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.get(key).map_or(Ok(default), |node| read(&node))
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> ReadError {
        self.node.error(problem)
    }

    /// An error about a member that is missing or does not fit the others.
    pub(super) fn error_at(&self, key: &str, problem: impl Into<String>) -> ReadError {
        self.node.child(key, &Value::Null).error(problem)
    }
}

/// `{"min": …, "max": …}`; a bound that is missing does not bound.
pub(super) fn bounds<T: Copy>(
    node: &Node<'_>,
    default: Bounds<T>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Bounds<T>, ReadError> {
    let fields = node.fields(&["min", "max"])?;
    Ok(Bounds {
        min: fields.or("min", default.min, |node| node.number(&read))?,
        max: fields.or("max", default.max, |node| node.number(&read))?,
    })
}
