//! A rule as it is written: Cedar text, on its way to the code of a [`crate::bundle::Rule`].

use crate::bundle::RuleKind;
use crate::model::Origin;

/// One Cedar policy as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its Cedar policy id and its name in records: `tools.allow[0]`, `exec.git`, an `@id`.
    pub id: String,
    /// What it stands for.
    pub kind: RuleKind,
    /// Cedar text of this one policy.
    pub cedar: String,
    /// Where it is written; a gate that stands for something absent has none.
    pub origin: Option<Origin>,
    /// The author's reason.
    pub reason: Option<String>,
    /// Whether the agent may see the id: it holds no file name.
    pub public: bool,
    /// Whether it stands in a Cedar file of the author's.
    pub author: bool,
}
