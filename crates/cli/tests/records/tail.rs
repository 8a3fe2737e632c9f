use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use stockade_journal::{Options, Writer};

use crate::{Place, call, errors, exit, inline, lines, result};

/// A `tail -f` and its lines as they come.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn new(place: &Place, args: &[&str]) -> Self {
        let mut child = place
            .command(&[&["journal", "tail", "-f", "--json"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> String {
        let line: Value = serde_json::from_str(&self.lines.recv_timeout(Duration::from_secs(20)).unwrap()).unwrap();
        format!("{}:{}", line["run"].as_str().unwrap(), line["record"]["seq"])
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
        (status.code(), said)
    }
}

#[test]
fn the_newest_records_are_shown() {
    let place = Place::new();
    let mut writer = place.begin("r-1", "wasm");
    for id in 1..=20 {
        writer.append(call(id, "clock", inline(json!({})), None)).unwrap();
    }
    let output = place.stockade(&["journal", "tail", "--json", "-n", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let seqs: Vec<_> = lines(&output).iter().map(|line| line["record"]["seq"].clone()).collect();
    assert_eq!(seqs, [json!(19), json!(20), json!(21)]);
}

#[test]
fn a_run_is_followed_over_torn_lines_and_segments_to_its_end() {
    let place = Place::new();
    fs::create_dir_all(place.journal("r-1")).unwrap();
    let following = Following::new(&place, &[]);
    // The journal begins after the tail, and its segments are short.
    let options = Options { segment_bytes: 1024 };
    let dir = fs::File::open(place.journal("r-1")).unwrap();
    let mut writer = Writer::create_with(dir.into(), options).unwrap();
    writer.append(crate::start("r-1", "wasm")).unwrap();
    assert_eq!(following.next(), "r-1:1");
    for id in 1..=10 {
        writer.append(call(id, "clock", inline(json!({})), None)).unwrap();
        writer.append(result(id, "ok")).unwrap();
        assert_eq!(following.next(), format!("r-1:{}", 2 * id));
        assert_eq!(following.next(), format!("r-1:{}", 2 * id + 1));
    }
    assert!(place.journal("r-1").join("00000003.jsonl").exists());
    writer.append(exit()).unwrap();
    assert_eq!(following.next(), "r-1:22");
    assert_eq!(following.end(), (Some(0), String::new()));
}

#[test]
fn half_a_line_is_waited_for() {
    let place = Place::new();
    let mut writer = place.begin("r-1", "wasm");
    // The next line as its writer would write it, kept back.
    let segment = place.journal("r-1").join("00000001.jsonl");
    let before = fs::read(&segment).unwrap().len();
    writer.append(exit()).unwrap();
    let whole = fs::read(&segment).unwrap();
    let (head, rest) = whole.split_at(before + 40);
    fs::write(&segment, head).unwrap();
    let following = Following::new(&place, &["r-1"]);
    assert_eq!(following.next(), "r-1:1");
    fs::OpenOptions::new().append(true).open(&segment).unwrap().write_all(rest).unwrap();
    assert_eq!(following.next(), "r-1:2");
    assert_eq!(following.end(), (Some(0), String::new()));
}

#[test]
fn damage_ends_it() {
    let place = Place::new();
    let _writer = place.begin("r-1", "wasm");
    let following = Following::new(&place, &["r-1"]);
    assert_eq!(following.next(), "r-1:1");
    let segment = place.journal("r-1").join("00000001.jsonl");
    fs::OpenOptions::new().append(true).open(segment).unwrap().write_all(b"{\"seq\":2}\n").unwrap();
    let (code, said) = following.end();
    assert_eq!(code, Some(15));
    assert!(said.contains("run r-1: journal: 00000001.jsonl:2: not a record"), "{said}");
}

#[test]
fn all_runs_are_followed_also_those_that_begin_later() {
    let place = Place::new();
    let mut first = place.begin("r-1", "wasm");
    let mut following = Following::new(&place, &["--all"]);
    assert_eq!(following.next(), "r-1:1");
    let mut second = place.begin("r-2", "wasm");
    assert_eq!(following.next(), "r-2:1");
    first.append(exit()).unwrap();
    assert_eq!(following.next(), "r-1:2");
    second.append(exit()).unwrap();
    assert_eq!(following.next(), "r-2:2");
    assert!(following.child.try_wait().unwrap().is_none());
    following.child.kill().unwrap();
    following.child.wait().unwrap();
}
