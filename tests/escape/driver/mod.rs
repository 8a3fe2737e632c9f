//! The driver: scene, runs, evidence, report.

pub mod attack;
pub mod cells;
pub mod evidence;
pub mod outside;
pub mod scene;
pub mod services;
pub mod table;
pub mod tripwires;

use attack::Attack;
use cells::{Cells, Kind};
use scene::Scene;

/// What the command line asks for.
#[derive(Debug, Default)]
pub struct Options {
    /// Only these attacks; all if empty.
    pub names: Vec<String>,
    /// Only show that they work outside.
    pub oracle_only: bool,
    /// Only this kind of cell.
    pub kind: Option<String>,
    /// libtest's question for names; there are none to give.
    pub list: bool,
}

impl Options {
    /// From the test's arguments. Those of libtest that mean nothing here are ignored.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Self {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--oracle-only" => options.oracle_only = true,
                "--kind" => options.kind = words.next(),
                "--list" => options.list = true,
                flag if flag.starts_with("--") => {}
                name => options.names.push(name.to_owned()),
            }
        }
        options
    }

    fn wants(&self, attack: &Attack) -> bool {
        self.names.is_empty() || self.names.iter().any(|n| attack.name.contains(n.as_str()))
    }

    fn wants_kind(&self, kind: &str) -> bool {
        !self.oracle_only && self.kind.as_deref().is_none_or(|k| k == kind)
    }
}

/// How one run of one attack ended.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// As it must be; for a cell, the layer that stopped it.
    Pass(String),
    /// Not as it must be.
    Fail(String),
    /// Could not be tried, with the reason; outside, it makes the cells' runs meaningless too.
    Skip(String),
}

/// One line of the report.
pub struct Row {
    /// The attack.
    pub attack: Attack,
    /// Outside.
    pub outside: Verdict,
    /// In a native cell.
    pub native: Option<Verdict>,
    /// In a wasm cell.
    pub wasm: Option<Verdict>,
}

impl Row {
    /// All verdicts of the line.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        std::iter::once(&self.outside).chain(&self.native).chain(&self.wasm)
    }
}

/// Runs what was asked for.
pub fn run(options: &Options) -> Vec<Row> {
    let attacks = attack::load();
    let mut scene = Scene::set_up();
    let mut cells = (!options.oracle_only).then(|| Cells::set_up(&scene));
    let mut rows = Vec::new();
    for attack in attacks.into_iter().filter(|a| options.wants(a)) {
        let outside = outside::show(&attack, &mut scene);
        let mut inside = |kind: Kind| {
            let cells = cells.as_mut().filter(|_| options.wants_kind(kind.name()))?;
            let seen = cells.run(kind, &attack, &mut scene);
            Some(evidence::judge(kind, &attack, &outside, &seen))
        };
        let (native, wasm) = (inside(Kind::Native), inside(Kind::Wasm));
        rows.push(Row { attack, outside, native, wasm });
    }
    rows
}
