use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use stockade_journal::Payload;

use crate::{Place, call, errors, exit, inline, syscall, text};

const POLICY: &str = "\
version = 1
id      = \"candidate\"

[limits]
memory    = \"256MiB\"
cpu       = \"50%\"
pids      = 32
wall      = \"10m\"
fuel      = 1_000_000
tables    = 1000
output    = \"1MiB\"
files     = 64
file_size = \"4MiB\"
calls     = 100
journal   = \"64MiB\"

[fs]
read  = [\"@workspace\", \"/usr\"]
deny  = [\"@workspace/.git\"]

[tools]
allow = [\"workspace.read\", \"workspace.list\", \"clock\"]
ask   = [\"workspace.stat\"]
";

fn replay(place: &Place, policy: &str, args: &[&str]) -> Output {
    let file = place.path().join("candidate.toml");
    fs::write(&file, policy).unwrap();
    let file = file.display().to_string();
    place.stockade(&[&["policy", "replay", "--no-ceiling", "--policy", file.as_str()], args].concat())
}

fn found(place: &Place, policy: &str) -> Value {
    let output = replay(place, policy, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    serde_json::from_str(&text(&output)).unwrap()
}

fn changes(found: &Value) -> Vec<(String, String, u64)> {
    let of = |change: &Value| {
        let rule = change["rules"].get(0).and_then(Value::as_str).unwrap_or("no rule").to_owned();
        let (from, to) = (change["from"].as_str().unwrap(), change["to"].as_str().unwrap());
        (format!("{from}->{to}"), rule, change["count"].as_u64().unwrap())
    };
    found["changes"].as_array().unwrap().iter().map(of).collect()
}

fn place() -> Place {
    let place = Place::new();
    let mut writer = place.begin("r-1", "native");
    let path = |path: &str| inline(json!({"path": path}));
    for record in [
        call(1, "workspace.read", path("a"), None),
        call(2, "workspace.read", path(".git/config"), None),
        call(3, "workspace.list", path("."), Some("policy")),
        call(4, "workspace.stat", path("a"), None),
        call(5, "workspace.stat", path("a"), Some("approval")),
        call(6, "workspace.write", path("a"), Some("schema")),
        call(7, "exec", inline(json!({"argv": ["/usr/bin/git"]})), None),
        call(8, "mcp.git.push", inline(json!({})), Some("policy")),
        call(9, "workspace.read", inline(json!({"unparsed": {"bytes": 1}})), Some("limit")),
        call(10, "workspace.read", Payload::Private { sha256: "ab".repeat(32), size: 12 }, None),
        call(11, "workspace.read", Payload::Blob { sha256: "cd".repeat(32), size: 12 }, None),
        syscall("bpf", 3),
        exit(),
    ] {
        writer.append(record).unwrap();
    }
    place
}

#[test]
fn each_change_is_told_by_its_rule() {
    let found = found(&place(), POLICY);
    let expected = [
        ("allow->ask", "ask.tools.ask[0]", 1),
        ("allow->deny", "no rule", 1),
        ("allow->deny", "fs.deny[0]", 1),
        ("deny->allow", "tools.allow[1]", 1),
    ];
    let expected: Vec<_> = expected.map(|(change, rule, count)| (change.to_owned(), rule.to_owned(), count)).into();
    assert_eq!(changes(&found), expected, "{found:#}");
    assert_eq!((&found["would_deny"], &found["would_allow"]), (&json!(3), &json!(1)));
    assert_eq!(found["not_replayable"], json!({"private": 1, "blob": 1, "unrecorded": 1, "folded": 3}));
    assert_eq!((&found["calls"], &found["syscalls"], &found["unchanged"]), (&json!(11), &json!(1), &json!(5)));
    let deny = &found["changes"][2];
    assert_eq!(deny["origin"]["line"], 19);
    assert_eq!((&deny["example"]["seq"], &deny["example"]["object"]), (&json!(3), &json!("@workspace/.git/config")));
}

#[test]
fn the_exit_code_says_what_was_asked() {
    let place = place();
    for (args, code) in [
        (&[][..], 0),
        (&["--fail-on", "deny"], 19),
        (&["--fail-on", "allow"], 24),
        (&["--fail-on", "allow", "--fail-on", "deny"], 24),
        (&["--until", "1h", "--fail-on", "deny"], 0),
        (&["--since", "1h", "--fail-on", "deny"], 19),
        (&["r-9"], 2),
    ] {
        assert_eq!(replay(&place, POLICY, args).status.code(), Some(code), "{args:?}");
    }
    assert_eq!(replay(&place, "version = 2", &[]).status.code(), Some(10));
    let page = text(&replay(&place, POLICY, &[]));
    assert!(page.contains("allowed -> denied") && page.contains("candidate.toml:19"), "{page}");
    assert!(page.contains("3 not replayable: system calls that were counted"), "{page}");
}

#[test]
fn a_system_call_that_the_candidate_adds_is_allowed() {
    let added = "\n[[syscalls.add]]\nnames = [\"sched_setscheduler\"]\naction = \"allow\"\nwhy = \"the build pins its batch jobs\"\n";
    let place = Place::new();
    let mut writer = place.begin("r-1", "native");
    writer.append(syscall("sched_setscheduler", 0)).unwrap();
    let mut wasm = place.begin("r-2", "wasm");
    wasm.append(syscall("sched_setscheduler", 0)).unwrap();
    let found = found(&place, &format!("{POLICY}{added}"));
    assert_eq!(changes(&found), [("deny->allow".to_owned(), "syscalls.add".to_owned(), 1)], "{found:#}");
    assert_eq!(found["unchanged"], 1, "no policy changes the filter of a wasm cell");
}

#[test]
fn calls_count_from_the_beginning_of_their_run() {
    let place = Place::new();
    for run in ["r-1", "r-2"] {
        let mut writer = place.begin(run, "wasm");
        for id in 1..=8 {
            writer.append(call(id, "clock", inline(json!({})), None)).unwrap();
        }
    }
    let fewer = POLICY.replace("calls     = 100", "calls     = 6");
    assert_eq!(changes(&found(&place, &fewer)), [("allow->deny".to_owned(), "limits.calls".to_owned(), 4)]);
    let slower = POLICY.replace("journal   =", "calls_per_minute = { clock = 5 }\njournal   =");
    let changes = changes(&found(&place, &slower));
    assert_eq!(changes, [("allow->deny".to_owned(), "limits.calls_per_minute.clock".to_owned(), 6)]);
}

#[test]
fn a_broken_journal_is_told_and_the_others_are_put() {
    let place = place();
    let mut writer = place.begin("r-0", "wasm");
    writer.append(exit()).unwrap();
    drop(writer);
    let segment = place.journal("r-0").join("00000001.jsonl");
    fs::write(&segment, fs::read_to_string(&segment).unwrap().replace("triage", "TRIAGE")).unwrap();
    let output = replay(&place, POLICY, &["--fail-on", "deny", "--json"]);
    assert_eq!(output.status.code(), Some(15));
    let found: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(found["broken"][0]["run"], "r-0");
    assert_eq!(found["would_deny"], 3);
    assert!(errors(&output).contains("run r-0"), "{}", errors(&output));
}
