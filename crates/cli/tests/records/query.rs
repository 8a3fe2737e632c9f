use std::fs;
use std::io::Write;

use serde_json::{Value, json};

use crate::{Place, call, errors, exit, inline, lines, result, syscall, text};

/// Two runs: one ends well, one has a denial and a failure.
fn place() -> Place {
    let place = Place::new();
    let mut first = place.begin("r-1", "wasm");
    first.append(call(1, "workspace.read", inline(json!({"path": "a"})), None)).unwrap();
    first.append(result(1, "ok")).unwrap();
    first.append(exit()).unwrap();
    let mut second = place.begin("r-2", "native");
    second.append(call(1, "exec", inline(json!({"argv": ["/bin/true"]})), Some("policy"))).unwrap();
    second.append(result(1, "denied")).unwrap();
    second.append(call(2, "workspace.stat", inline(json!({"path": "\u{1b}[2J"})), None)).unwrap();
    second.append(result(2, "failed")).unwrap();
    second.append(syscall("bpf", 0)).unwrap();
    second.append(exit()).unwrap();
    place
}

fn found(place: &Place, args: &[&str]) -> Vec<String> {
    let output = place.stockade(&[&["journal", "query", "--json"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let of = |line: &Value| format!("{}:{}", line["run"].as_str().unwrap(), line["record"]["seq"]);
    lines(&output).iter().map(of).collect()
}

#[test]
fn records_are_found_by_what_they_say() {
    let place = place();
    assert_eq!(found(&place, &[]).len(), 4 + 7);
    assert_eq!(found(&place, &["--tool", "workspace.*"]), ["r-1:2", "r-1:3", "r-2:4", "r-2:5"]);
    assert_eq!(found(&place, &["--decision", "deny"]), ["r-2:2", "r-2:6"]);
    assert_eq!(found(&place, &["--decision", "allow", "--status", "failed"]), ["r-2:5"]);
    assert_eq!(found(&place, &["--rule", "tools.allow[0]"]), ["r-1:2", "r-2:4"]);
    assert_eq!(found(&place, &["--status", "denied"]), ["r-2:3"]);
    assert_eq!(found(&place, &["--type", "start", "--type", "syscall"]), ["r-1:1", "r-2:1", "r-2:6"]);
    assert_eq!(found(&place, &["--run", "r-1", "--type", "call"]), ["r-1:2"]);
    assert_eq!(found(&place, &["--run", "last", "--type", "lifecycle"]), ["r-2:7"]);
    assert_eq!(found(&place, &["--digest", &"3d".repeat(4)]), ["r-1:1", "r-2:1"]);
    assert_eq!(found(&place, &["--since", "1h"]).len(), 11);
    assert!(found(&place, &["--until", "1h"]).is_empty());
    assert_eq!(found(&place, &["--type", "call", "--limit", "2"]), ["r-1:2", "r-2:2"]);
    assert_eq!(found(&place, &["--type", "call", "--newest-first"]), ["r-2:4", "r-2:2", "r-1:2"]);
    assert_eq!(found(&place, &["--type", "call", "--newest-first", "-n", "1"]), ["r-2:4"]);
    // A record's own hash finds it, and not the one that names it as the one before.
    let all = lines(&place.stockade(&["journal", "query", "--json", "--run", "r-1"]));
    let hash = all[1]["hash"].as_str().unwrap();
    assert_eq!(all[2]["record"]["prev"], hash);
    assert_eq!(found(&place, &["--digest", hash]), ["r-1:2"]);
}

#[test]
fn a_line_for_people_acts_on_no_terminal() {
    let output = place().stockade(&["journal", "query"]);
    let text = text(&output);
    assert!(text.contains("DENY      exec argv=[\"/bin/true\"]"), "{text}");
    assert!(text.contains("result    workspace.stat of 4: failed"), "{text}");
    assert!(text.contains(r"\x1b[2J") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_broken_journal_is_told_and_the_others_are_read() {
    let place = place();
    let segment = place.journal("r-1").join("00000001.jsonl");
    let changed = fs::read_to_string(&segment).unwrap().replace("\"allow\"", "\"deny\"");
    fs::write(&segment, changed).unwrap();
    for order in [&["--limit", "100"][..], &["--newest-first"]] {
        let output = place.stockade(&[&["journal", "query", "--type", "lifecycle"], order].concat());
        assert_eq!(output.status.code(), Some(15));
        assert!(text(&output).contains("r-2") && !text(&output).contains("r-1"));
        assert!(errors(&output).contains("run r-1: journal: 00000001.jsonl:3: prev is"), "{}", errors(&output));
    }
}

#[test]
fn a_line_that_is_being_written_is_no_damage_while_its_writer_lives() {
    let place = Place::new();
    let writer = place.begin("r-1", "wasm");
    let segment = place.journal("r-1").join("00000001.jsonl");
    fs::OpenOptions::new().append(true).open(segment).unwrap().write_all(b"{\"seq\":2,").unwrap();
    assert_eq!(found(&place, &[]), ["r-1:1"]);
    drop(writer);
    let output = place.stockade(&["journal", "query"]);
    assert_eq!(output.status.code(), Some(15));
    assert!(errors(&output).contains("torn line"), "{}", errors(&output));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    for args in [
        &["--since", "yesterday"][..],
        &["--digest", "xyz"],
        &["--decision", "maybe"],
        &["--status", "fine"],
        &["--run", "r-9"],
        &["--limit", "0"],
        &["--type", "thing"],
    ] {
        let output = place.stockade(&[&["journal", "query"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", errors(&output));
    }
}

#[test]
fn a_folder_without_runs_is_not_one_where_nothing_happened() {
    let place = Place::new();
    for args in [&["query", "--decision", "deny"][..], &["list"], &["tail"], &["prune"]] {
        let output = place.stockade(&[&["journal"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(errors(&output).contains("is it the state folder"), "{}", errors(&output));
    }
}
