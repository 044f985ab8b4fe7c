//! Reading damo's JSON.

mod filter;
mod node;
mod quota;
mod scheme;

use super::scheme::{Scheme, Schemes};
use node::Node;
use serde_json::Value;

/// What is wrong with a scheme file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{problem}", .path, if .path.is_empty() { "" } else { ": " })]
pub struct ReadError {
    /// The place as `schemes[0].access_pattern.age.min`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and what is accepted.
    pub problem: String,
}

impl Schemes {
    /// Reads schemes as damo takes them.
    ///
    /// Accepted are a list of schemes (damo's `--schemes`), an object with `schemes`, and
    /// what damo writes for `--kdamonds` and beside its recordings, if one context in it has schemes.
    /// Missing members get damo's defaults; unknown ones are refused.
    pub fn from_json(text: &str) -> Result<Self, ReadError> {
        let whole = |problem: String| ReadError { path: String::new(), problem };
        if text.trim().is_empty() {
            return Err(whole("the file is empty: write a list of schemes".into()));
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| whole(format!("this is not JSON: {error}")))?;
        Self::from_value(&value)
    }

    /// The same from JSON that is parsed already.
    pub fn from_value(value: &Value) -> Result<Self, ReadError> {
        let list = locate(value)?;
        let schemes: Vec<Scheme> =
            list.elements()?.iter().map(scheme::scheme).collect::<Result<_, _>>()?;
        Self::new(schemes).ok_or_else(|| list.error("the list of schemes is empty"))
    }
}

/// Finds the list of schemes in all the shapes it comes in.
fn locate(value: &Value) -> Result<Node<'_>, ReadError> {
    let root = Node::new("", value);
    if root.has("kdamonds") {
        let kdamonds = root.member("kdamonds").map_or_else(|| Ok(Vec::new()), |n| n.elements())?;
        return of_kdamonds(&root, kdamonds);
    }
    if let Some(schemes) = root.member("schemes") {
        // Beside it nothing is expected; a misplaced scheme would be lost silently.
        root.fields(&["schemes"])?;
        return Ok(schemes);
    }
    if root.has("contexts") {
        return of_kdamonds(&root, vec![root.clone()]);
    }
    let list = Node::new("schemes", value);
    if list.is_list() {
        let elements = list.elements()?;
        if elements.iter().any(|element| element.has("contexts")) {
            let kdamonds = Node::new("kdamonds", value);
            return of_kdamonds(&kdamonds, kdamonds.elements()?);
        }
        return Ok(list);
    }
    if root.is_object() {
        return Err(root.error(
            "expected a list of schemes: [{\"action\": …, \"access_pattern\": {…}}]; put the scheme into \
             brackets",
        ));
    }
    Err(root.error("expected a list of schemes: [{\"action\": …, \"access_pattern\": {…}}]"))
}

/// The only list of schemes of several contexts.
fn of_kdamonds<'a>(root: &Node<'a>, kdamonds: Vec<Node<'a>>) -> Result<Node<'a>, ReadError> {
    let mut found: Option<Node<'a>> = None;
    for kdamond in kdamonds {
        let Some(contexts) = kdamond.member("contexts") else { continue };
        for context in contexts.elements()? {
            let Some(schemes) = context.member("schemes") else { continue };
            if schemes.elements()?.is_empty() {
                continue;
            }
            if found.is_some() {
                return Err(schemes.error(
                    "a second context has schemes; one recording has one list: copy one of them into a \
                     file of its own",
                ));
            }
            found = Some(schemes);
        }
    }
    found.ok_or_else(|| root.error("no context has schemes"))
}

#[cfg(test)]
mod tests;
