//! Where the rules of a policy are written, and the schema its Cedar files are held against.

use crate::model::{Origin, Policy};
use crate::ruling::Judge;
use crate::schema::{actions, schema_text};

impl Policy {
    /// Where the rule of this id is written.
    #[must_use]
    pub fn place_of(&self, id: &str) -> Option<&Origin> {
        let compiled = self.bundle.rules.iter().filter(|rule| rule.id == id).find_map(|rule| rule.origin.as_ref());
        let listed = self.bundle.listed.iter().find(|entry| entry.id == id).map(|entry| &entry.origin);
        let lists = [&self.fs.read, &self.fs.write, &self.fs.execute, &self.fs.deny];
        compiled.or(listed).or_else(|| lists.into_iter().flatten().find(|rule| rule.id == id).map(|rule| &rule.origin))
    }
}

impl Judge<'_> {
    /// The Cedar schema with the actions of the policy's MCP tools.
    #[must_use]
    pub fn cedar_schema(&self) -> String {
        schema_text(&actions().copied().collect::<Vec<_>>(), &self.decider().servers)
    }
}
