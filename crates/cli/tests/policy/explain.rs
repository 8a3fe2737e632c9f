//! `stockade policy explain`.

use serde_json::json;

use crate::{Place, golden, policy};

fn place() -> Place {
    Place::with(&[("a.toml", &policy())])
}

#[test]
fn pages() {
    let place = place();
    let mut page = String::new();
    for (args, code) in [
        (&["call", "workspace.read", "path=a.txt"][..], 0),
        (&["call", "workspace.read", "path=.git/config", "--agent"], 22),
        (&["call", "workspace.write", "path=a.txt", "content=x"], 22),
        (&["call", "workspace.stat", "path=a.txt"], 23),
        (&["call", "workspace.stat", "path=a.txt", "--approved"], 0),
        (&["call", "random", "length:=8"], 22),
        (&["call", "workspace.read", "{\"path\": \"../x\"}"], 22),
        (&["path", "/usr/bin/env"], 0),
        (&["path", "/usr/bin/env", "execute"], 22),
        (&["path", "@workspace/out/a", "write"], 0),
        (&["host", "api.github.com:443", "GET", "/repos"], 22),
        (&["syscall", "bpf"], 22),
    ] {
        page += &format!("$ {}\n", args.join(" "));
        let args: Vec<&str> = ["explain", "a.toml"].iter().chain(args).copied().collect();
        page += &place.policy(&args).ends(code).out;
        page += "\n";
    }
    golden("policy-explain.txt", &page);
}

#[test]
fn a_fix_is_tried_before_it_is_called_one() {
    let place = place();
    let asks = |args: &[&str]| {
        let args: Vec<&str> = ["explain", "--json", "a.toml"].iter().chain(args).copied().collect();
        place.policy(&args).json()["fix_checked"].clone()
    };
    let allowed = asks(&["call", "clock"]);
    assert_eq!((&allowed["status"], &allowed["added"]), (&"allowed".into(), &"[tools]\nallow = [\"clock\"]\n".into()));
    let write = asks(&["call", "workspace.write", "path=a.txt", "content="]);
    assert_eq!(write["failing_tests"], json!([{"file": "a.toml", "line": 32}]));
    let exec = asks(&["call", "exec", "argv:=[\"/usr/bin/git\"]"]);
    assert_eq!(exec["status"], "allowed");
    assert_eq!(asks(&["call", "workspace.stat", "path=x"])["approved"], true);
    assert_eq!(asks(&["call", "random", "length:=1"])["status"], "not_checked");
    assert_eq!(asks(&["path", "/etc/ssl"])["status"], "allowed");
    assert_eq!(asks(&["host", "x.example:80", "GET", "--http"])["status"], "allowed");
    assert_eq!(asks(&["host", "x.example:22"])["status"], "allowed");
    assert!(asks(&["syscall", "bpf"]).is_null());
    assert!(asks(&["call", "workspace.read", "path=a"]).is_null());
    assert!(asks(&["call", "no.such.tool"]).is_null());
}

#[test]
fn a_change_that_is_not_enough_is_said_so() {
    let place =
        Place::with(&[("a.toml", &policy()), ("ceiling.toml", "version = 1\n[tools]\nallow = [\"workspace.read\"]\n")]);
    let done = place.policy(&["explain", "a.toml", "call", "clock", "--ceiling", "ceiling.toml", "--json"]).ends(22);
    assert_ne!(done.json()["fix_checked"]["status"], "allowed", "{}", done.out);
}

#[test]
fn a_cedar_rule_is_shown_where_it_is_written() {
    let text = policy().replace("ask   =", "cedar = [\"tools.cedar\"]\nask   =");
    let cedar = "// first\n@id(\"no-keys\") @reason(\"keys stay\")\nforbid(principal, action == Action::\"workspace.read\", resource == Path::\"@workspace/key\");\n";
    let place = Place::with(&[("a.toml", &text), ("tools.cedar", cedar)]);
    let json =
        place.policy(&["explain", "a.toml", "call", "workspace.read", "path=key", "--json", "--agent"]).ends(22).json();
    let rule = &json["rules"][0];
    assert_eq!(rule["origin"]["file"], "tools.cedar", "{json}");
    assert!(
        rule["text"].as_str().unwrap().contains("no-keys") || rule["text"].as_str().unwrap().contains("forbid"),
        "{json}"
    );
    assert_eq!(json["agent"]["error"], "denied");
}

#[test]
fn what_is_no_question_is_a_usage_error() {
    let place = place();
    for args in [
        &["call"][..],
        &["call", "clock", "x"],
        &["call", "clock", "a=1", "a=2"],
        &["call", "clock", "a:={"],
        &["call", "clock", "{\"a\""],
        &["path", "/x", "burn"],
        &["host"],
        &["host", "x:1", "--http"],
        &["syscall", "bpf", "1", "2", "3", "4", "5", "6", "7"],
        &["syscall", "bpf", "0x-1"],
        &["dance"],
        &[],
    ] {
        let args: Vec<&str> = ["explain", "a.toml"].iter().chain(args).copied().collect();
        let done = place.policy(&args).ends(2);
        assert!(done.out.is_empty() && !done.err.is_empty(), "{args:?}");
    }
    place.put("bad.toml", "version = 1\n");
    place.policy(&["explain", "bad.toml", "call", "clock"]).ends(10);
    place.policy(&["explain", "a.toml", "syscall", "ioctl", "0", "0x5412"]);
}
