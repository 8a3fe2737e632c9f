//! What one policy allows that another does not, by meaning and by layer.
//!
//! Numbers and sets are compared as they are. What decides by lists is a function of finitely many classes of
//! paths, commands, hosts and tools: one of each class is put to both policies, by the code that enforces, so
//! the answer is exact and comes with an example. Cedar that people wrote can look at anything: there the
//! comparison is exact only where the rules themselves are the same or stricter, and says so where it is not.

mod fs;
mod hosts;
mod numbers;
mod sets;
mod tools;

use crate::CompileError;
use crate::attempt::{Attempt, Expect};
use crate::model::{Origin, Policy};
use crate::ruling::{Judge, Ruling};
use serde::Serialize;

/// Which way a difference goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// B allows something that A does not.
    Widened,
    /// It cannot be decided whether B allows something that A does not.
    Undecided,
    /// A allows something that B does not.
    Narrowed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which way it goes.
    pub direction: Direction,
    /// The layer it is in: `cgroup`, `fs`, `tools`, `egress`, `seccomp`, …
    pub layer: &'static str,
    /// What it is about: `limits.memory`, `fs.read`, `workspace.write`.
    pub key: String,
    /// What became allowed, or denied; with an example where there is one.
    pub what: String,
    /// Where A says it.
    pub a: Option<Origin>,
    /// Where B says it.
    pub b: Option<Origin>,
}

/// Examples of one difference that are named; the rest is counted.
const EXAMPLES: usize = 3;

/// All differences, widened first.
///
/// # Errors
/// If a policy cannot be loaded as a shim loads it.
pub fn diff(a: &Policy, b: &Policy) -> Result<Vec<Change>, CompileError> {
    let pair = Pair::new(a, b)?;
    // The same policies without what people wrote in Cedar: all that the lists say.
    let (lists_a, lists_b) = (tools::without_author(a), tools::without_author(b));
    let lists = Pair::new(&lists_a, &lists_b)?;
    let mut changes = numbers::changes(a, b);
    changes.extend(sets::changes(a, b));
    changes.extend(fs::changes(&pair));
    changes.extend(hosts::changes(&pair, &lists));
    changes.extend(tools::changes(&pair, &lists));
    changes.sort_by_key(|change| change.direction);
    Ok(changes)
}

/// Words to stand for those that no policy has; whoever takes one sees that this policy has not.
fn witnesses() -> impl Iterator<Item = String> {
    let more = (2..10_000).map(|number| format!("stockade-witness-{number}"));
    std::iter::once("stockade-witness".to_owned()).chain(more)
}

/// Both policies, ready to be asked.
struct Pair<'p> {
    a: &'p Policy,
    b: &'p Policy,
    judge_a: Judge<'p>,
    judge_b: Judge<'p>,
}

impl<'p> Pair<'p> {
    fn new(a: &'p Policy, b: &'p Policy) -> Result<Self, CompileError> {
        Ok(Self { a, b, judge_a: Judge::new(a)?, judge_b: Judge::new(b)? })
    }
}

/// Differences of one key, by direction, while examples are put to both.
struct Tally {
    layer: &'static str,
    key: String,
    widened: Vec<(String, Ruling, Ruling)>,
    narrowed: Vec<(String, Ruling, Ruling)>,
}

impl Tally {
    fn new(layer: &'static str, key: impl Into<String>) -> Self {
        Self { layer, key: key.into(), widened: Vec::new(), narrowed: Vec::new() }
    }

    /// Puts an attempt to both. `name` is what the example is called.
    fn ask(&mut self, pair: &Pair<'_>, attempt: &Attempt, name: String) {
        self.note(name, pair.judge_a.rule(attempt), pair.judge_b.rule(attempt));
    }

    fn note(&mut self, name: String, a: Ruling, b: Ruling) {
        // Allow before ask before deny.
        match b.verdict.cmp(&a.verdict) {
            std::cmp::Ordering::Less => self.widened.push((name, a, b)),
            std::cmp::Ordering::Greater => self.narrowed.push((name, a, b)),
            std::cmp::Ordering::Equal => {}
        }
    }

    fn changes(self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (direction, found) in [(Direction::Widened, self.widened), (Direction::Narrowed, self.narrowed)] {
            let Some((_, a, b)) = found.first() else { continue };
            let mut names: Vec<String> = Vec::new();
            for (name, a, b) in &found {
                let turn = match (a.verdict, b.verdict) {
                    (Expect::Deny, Expect::Allow) | (Expect::Allow, Expect::Deny) => String::new(),
                    (a, b) => format!(" ({} became {})", a.name(), b.name()),
                };
                names.push(format!("{name}{turn}"));
            }
            names.dedup();
            let more = names.len().saturating_sub(EXAMPLES);
            let mut what = names.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
            if more > 0 {
                what.push_str(&format!(" and {more} more"));
            }
            changes.push(Change {
                direction,
                layer: self.layer,
                key: self.key.clone(),
                what,
                a: a.origin.clone(),
                b: b.origin.clone(),
            });
        }
        changes
    }
}
