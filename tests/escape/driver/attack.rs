//! The probe's table, as its `--list` prints it, and its answers.

use serde::Deserialize;
use std::process::Command;

/// The probe that was built with this test.
pub const PROBE: &str = env!("CARGO_BIN_EXE_stockade-escape-probe");

/// One attack of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    pub name: String,
    pub class: String,
    pub about: String,
    pub needs: Vec<String>,
    pub outside: Outside,
    #[serde(rename = "expect_layer_native")]
    pub native: Expect,
    #[serde(rename = "expect_layer_wasm")]
    pub wasm: Expect,
}

/// Where it is shown to work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    pub wrap: String,
    pub excuse: Vec<i32>,
    pub why: String,
}

/// What a cell must answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    Stopped(Vec<String>),
    Open(String),
    Absent(String),
}

/// The probe's line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub name: String,
    pub outcome: String,
    pub errno: i32,
    pub detail: String,
    pub syscall: Option<Syscall>,
}

/// The decisive syscall.
#[derive(Debug, Clone, Deserialize)]
pub struct Syscall {
    pub nr: i64,
    pub args: Vec<String>,
}

impl Answer {
    /// The answer to this attack in an agent's output, which may hold other lines.
    pub fn find(output: &str, name: &str) -> Option<Self> {
        output.lines().filter_map(|l| serde_json::from_str::<Self>(l.trim()).ok()).find(|a| a.name == name)
    }
}

/// The whole table.
pub fn load() -> Vec<Attack> {
    let output = Command::new(PROBE).arg("--list").output().expect("the probe runs");
    let text = String::from_utf8(output.stdout).expect("the probe prints UTF-8");
    let attacks: Vec<Attack> = text.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
    let mut names: Vec<&str> = attacks.iter().map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), attacks.len(), "names of attacks are unique");
    attacks
}
