//! Agents for replays and resumptions, and what is looked at after them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::rig::{Ran, Rig, list};
use crate::text::module;

/// What these agents may do.
pub const MAY: &str = concat!(
    "[limits]\npids = 32\ncalls = 100_000\nfuel = 9_000_000_000_000_000\n",
    "[tools]\nallow = [\"clock\", \"random\", \"workspace.write\", \"workspace.stat\", \"exec\"]\n",
    "[fs]\nread = [\"/usr\", \"/etc/ld.so.cache\", \"@workspace\"]\nwrite = [\"@workspace\"]\nexecute = [\"/usr\"]\n",
    "[[exec]]\nid = \"sh\"\ncommand = [\"/usr/bin/sh\"]\nwall = \"1m\"\n"
);

/// Reads the clock and asks for a file of that name, over and over: each second call depends on the answer to the one
/// before it. In one round, if there is one, it asks for another file.
pub fn asker(rounds: u32, strays_in: Option<u32>) -> String {
    let data = concat!(
        "(data (i32.const 1000) \"clock\") (data (i32.const 1100) \"workspace.stat\") (data (i32.const 1200) \"{}\")",
        "(data (i32.const 2000) \"{\\22path\\22:\\22NNNNNNNNNNNNNNNN###\\22}\")"
    );
    let stray = strays_in.map_or(String::new(), |round| {
        format!("(if (i32.eq (local.get 0) (i32.const {round})) (then (i32.store8 (i32.const 2009) (i32.const 120))))")
    });
    // {"unix_ns":"1764304230361123456"}: 19 digits from the 12th byte on.
    let run = format!(
        "(local.set 0 (i32.const 0))
         (loop $l
           (call $call (i32.const 1000) (i32.const 5) (i32.const 1200) (i32.const 2) (i32.const 3000))
           (memory.copy (i32.const 2009) (i32.add (i32.load offset=4 (i32.const 3000)) (i32.const 12)) (i32.const 19))
           {stray}
           (call $call (i32.const 1100) (i32.const 14) (i32.const 2000) (i32.const 30) (i32.const 3000))
           (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {rounds}))))
         (call $ok (i32.const 0) (i32.const 0))"
    );
    module(data, &run)
}

/// Appends its number to the file `written` in each round, and every tenth has a command append it to `ran`. It reads the
/// clock and logs a line in between.
pub fn counter(rounds: u32) -> String {
    let data = concat!(
        "(data (i32.const 1000) \"clock\") (data (i32.const 1100) \"workspace.write\") (data (i32.const 1200) \"{}\")",
        "(data (i32.const 1300) \"exec\")",
        "(data (i32.const 2000) \"{\\22content\\22:\\22NNNN\\5cn\\22,\\22mode\\22:\\22append\\22,\\22path\\22:\\22written\\22}\")",
        "(data (i32.const 2200) \"{\\22argv\\22:[\\22/usr/bin/sh\\22,\\22-c\\22,\\22echo NNNN >> ran\\22]}\")",
        "(func $digits (param $n i32) (param $at i32) (local $i i32)
           (local.set $i (i32.const 3))
           (loop $d
             (i32.store8 (i32.add (local.get $at) (local.get $i)) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
             (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
             (local.set $i (i32.sub (local.get $i) (i32.const 1)))
             (br_if $d (i32.ge_s (local.get $i) (i32.const 0)))))"
    );
    let run = format!(
        "(local.set 0 (i32.const 0))
         (loop $l
           (call $call (i32.const 1000) (i32.const 5) (i32.const 1200) (i32.const 2) (i32.const 3000))
           (call $digits (local.get 0) (i32.const 2012))
           (call $log (i32.const 1) (i32.const 2012) (i32.const 4))
           (call $call (i32.const 1100) (i32.const 15) (i32.const 2000) (i32.const {write}) (i32.const 3000))
           (if (i32.eqz (i32.rem_u (local.get 0) (i32.const 10))) (then
             (call $digits (local.get 0) (i32.const {number}))
             (call $call (i32.const 1300) (i32.const 4) (i32.const 2200) (i32.const {exec}) (i32.const 3000))))
           (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {rounds}))))
         (call $ok (i32.const 0) (i32.const 0))",
        write = r#"{"content":"NNNN\n","mode":"append","path":"written"}"#.len(),
        exec = r#"{"argv":["/usr/bin/sh","-c","echo NNNN >> ran"]}"#.len(),
        number = 2200 + r#"{"argv":["/usr/bin/sh","-c","echo "#.len(),
    );
    module(data, &run)
}

/// Calls that [`counter`] makes.
pub fn calls_of_counter(rounds: u32) -> usize {
    (2 * rounds + rounds.div_ceil(10)) as usize
}

impl Rig {
    /// The newest run.
    pub fn newest(&self) -> PathBuf {
        list(&self.path("state/runs")).into_iter().max().expect("a run")
    }

    /// `stockade replay RUN ARGUMENTS`.
    pub fn replay(&self, run: &str, arguments: &[&str]) -> Ran {
        let mut command = self.stockade();
        self.end(command.args(["replay", run, "--state"]).arg(self.path("state")).args(arguments))
    }

    /// `stockade resume last`.
    pub fn resume(&self) -> std::process::Command {
        let mut command = self.stockade();
        command.args(["resume", "last", "--state"]).arg(self.path("state"));
        command
    }

    /// Lines that an agent's effects left in a file of the workspace; none if there is no such file.
    pub fn effects(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path("work").join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// What the record says of the calls that change something, by what they write: whether their end is known. No number
/// comes twice.
pub fn recorded_effects(records: &[Value], tool: &str) -> Vec<(String, bool)> {
    let number = |call: &Value| {
        let args = call["args"]["inline"].to_string();
        args.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() == 4).unwrap_or_default().to_owned()
    };
    let calls = records.iter().filter(|r| r["type"] == "call" && r["tool"] == tool);
    calls
        .map(|call| {
            let outcome = records.iter().find(|r| r["type"] == "result" && r["id"] == call["id"]);
            let outcome = outcome.unwrap_or_else(|| panic!("no result of {call}"));
            // A command whose cell was killed has an end, and none knows how far it came.
            let whole = tool != "exec" || outcome["body"]["inline"]["status"]["code"] == 0;
            (number(call), outcome["status"] == "ok" && whole)
        })
        .collect()
}

/// Each effect that is on record as done was done once, each whose end is unknown at most once, and none was done that is
/// not on record.
pub fn agree(recorded: &[(String, bool)], done: &[String], after: &str) {
    for (number, known) in recorded {
        let times = done.iter().filter(|line| *line == number).count();
        assert!(if *known { times == 1 } else { times <= 1 }, "after {after}: {number} was done {times} times");
    }
    for line in done {
        assert!(
            recorded.iter().any(|(number, _)| number == line),
            "after {after}: {line} was done and is not on record"
        );
    }
    let mut numbers: Vec<_> = recorded.iter().map(|(number, _)| number).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), recorded.len(), "after {after}: a call is on record twice");
}
