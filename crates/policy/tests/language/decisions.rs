//! What calls get, and what a denial says.

use crate::support::{accept, allowed, decide, denied, with_base};
use serde_json::{Value, json};
use stockade_policy::{Denial, Origin, PathRule, Policy, Verdict};

fn policy(body: &str) -> Policy {
    accept(&with_base(body))
}

fn says(denial: &Denial) -> String {
    let at = denial.origin.as_ref().map(|o| format!(" {o}")).unwrap_or_default();
    format!("{} {}{at} [{}] {}", denial.layer, denial.rule.as_deref().unwrap_or("-"), denial.object, denial.reason)
}

#[test]
fn absent_is_denied_and_says_what_would_allow_it() {
    let p = policy("");
    for (tool, args) in every_call() {
        let d = denied(&p, tool, args);
        assert_eq!((d.rule.clone(), d.fixable), (None, true), "{tool}");
        assert_eq!(d.reason, format!("tools.allow does not list {tool}"));
        let mut fix = format!("add \"{tool}\" to tools.allow in t.toml");
        match tool {
            "clock" | "random" => {}
            "exec" => fix.push_str(" and add an [[exec]] entry whose command is its beginning to t.toml"),
            "workspace.write" => fix.push_str(" and add it, or a directory above it, to fs.write in t.toml"),
            _ => fix.push_str(" and add it, or a directory above it, to fs.read in t.toml"),
        }
        assert_eq!(d.fix.as_deref(), Some(fix.as_str()));
        assert_eq!(d.policy_digest, p.digest);
    }
}

fn every_call() -> Vec<(&'static str, Value)> {
    vec![
        ("workspace.read", json!({"path": "a"})),
        ("workspace.write", json!({"path": "a", "content": ""})),
        ("workspace.list", json!({"path": "."})),
        ("workspace.stat", json!({"path": "a"})),
        ("clock", json!({})),
        ("random", json!({"length": 1})),
        ("exec", json!({"argv": ["/bin/true"]})),
    ]
}

#[test]
fn a_listed_tool_is_allowed_and_says_by_what() {
    let p = policy("[tools]\nallow = [\"random\",\n  \"clock\"]");
    let grant = allowed(&p, "clock", json!({}));
    assert_eq!(grant.rules(), ["tools.allow[1]"]);
    assert_eq!(grant.reason(), "allowed by tools.allow[1] (t.toml:6)");
    assert_eq!(grant.object(), "clock");
    assert_eq!(grant.policy_digest(), p.digest);
    assert_eq!(
        says(&denied(&p, "workspace.stat", json!({"path": "x"}))),
        "policy - [@workspace/x] tools.allow does not list workspace.stat"
    );
}

#[test]
fn the_star_means_all_tools_but_not_all_paths_and_commands() {
    let p = policy("[tools]\nallow = [\"*\"]");
    allowed(&p, "clock", json!({}));
    allowed(&p, "random", json!({"length": 4096}));
    assert_eq!(
        says(&denied(&p, "workspace.read", json!({"path": "a/b"}))),
        "policy - [@workspace/a/b] no fs.read rule covers @workspace/a/b"
    );
    assert_eq!(
        says(&denied(&p, "workspace.write", json!({"path": "a", "content": ""}))),
        "policy - [@workspace/a] no fs.write rule covers @workspace/a"
    );
    assert_eq!(
        says(&denied(&p, "exec", json!({"argv": ["/bin/sh"]}))),
        "policy - [[\"/bin/sh\"]] no [[exec]] rule matches this command"
    );
}

#[test]
fn deny_wins() {
    let p = policy(
        "[tools]\nallow = [\"*\"]\ndeny = [\"clock\"]\n[fs]\nwrite = [\"@workspace\"]\ndeny = [\"@workspace/.git/hooks\"]",
    );
    assert_eq!(
        says(&denied(&p, "clock", json!({}))),
        "policy tools.deny[0] t.toml:6 [clock] rule tools.deny[0] denies it"
    );
    for (tool, args) in [
        ("workspace.read", json!({"path": ".git/hooks"})),
        ("workspace.write", json!({"path": ".git/hooks/pre-commit", "content": "x"})),
        ("workspace.stat", json!({"path": "./.git//hooks/./x"})),
        ("workspace.list", json!({"path": ".git/hooks/"})),
    ] {
        let d = denied(&p, tool, args);
        assert_eq!(d.rule.as_deref(), Some("fs.deny[0]"), "{tool}");
        assert_eq!(d.origin, Some(Origin { file: "t.toml".into(), line: 9 }));
        assert!(d.fixable);
    }
    allowed(&p, "workspace.read", json!({"path": ".git/hooksx"}));
    allowed(&p, "workspace.read", json!({"path": ".git"}));
    let all = policy("[tools]\nallow = [\"*\"]\ndeny = [\"*\"]\n[fs]\nwrite = [\"@workspace\"]");
    for (tool, args) in every_call() {
        assert_eq!(denied(&all, tool, args).rule.as_deref(), Some("tools.deny[0]"), "{tool}");
    }
}

#[test]
fn reading_and_writing_are_given_apart_and_by_tree() {
    let p = policy("[tools]\nallow = [\"*\"]\n[fs]\nread = [\"@workspace/in\"]\nwrite = [\"@workspace/out\"]");
    allowed(&p, "workspace.read", json!({"path": "in/a"}));
    allowed(&p, "workspace.read", json!({"path": "out/a"}));
    allowed(&p, "workspace.write", json!({"path": "out/a/b", "content": ""}));
    for path in [".", "a", "inx", "in.", "outx/a"] {
        denied(&p, "workspace.stat", json!({ "path": path }));
    }
    for path in ["in/a", "a", ".", "outx", "out2/out"] {
        denied(&p, "workspace.write", json!({"path": path, "content": ""}));
    }
}

#[test]
fn a_deny_above_a_rule_takes_the_rule_away() {
    let p = policy(
        "[tools]\nallow = [\"*\"]\n[fs]\nread = [\"/etc/ssl\", \"/usr\", \"@workspace/a/b\"]\ndeny = [\"/etc\", \"@workspace/a\", \"/opt\"]",
    );
    assert_eq!(p.fs.read.iter().map(|r| r.path.clone()).collect::<Vec<_>>(), [PathRule::Host("/usr".into())]);
    assert!(p.fs.deny.is_empty(), "nothing is left to deny");
    denied(&p, "workspace.read", json!({"path": "a/b/c"}));
}

#[test]
fn exec_needs_the_listing_and_a_command_that_is_its_beginning() {
    let body = "[[exec]]\nid = \"log\"\ncommand = [\"/usr/bin/git\", \"log\"]\nwall = \"5s\"\nreason = \"history\"\n\
                [[exec]]\nid = \"any-git\"\ncommand = [\"/usr/bin/git\"]\nwall = \"1s\"\n";
    let p = policy(&format!("[tools]\nallow = [\"exec\"]\n{body}"));
    let grant = allowed(&p, "exec", json!({"argv": ["/usr/bin/git", "log", "-1"]}));
    assert_eq!(grant.exec(), Some("log"), "the longest match");
    assert_eq!(grant.rules(), ["exec.log", "tools.allow[0]"]);
    assert_eq!(grant.reason(), "allowed by exec.log (t.toml:6): history, tools.allow[0] (t.toml:5)");
    assert_eq!(allowed(&p, "exec", json!({"argv": ["/usr/bin/git", "status"]})).exec(), Some("any-git"));
    for argv in [
        json!(["/usr/bin/gitx", "log"]),
        json!(["git", "log"]),
        json!(["/usr/bin/../bin/git", "log"]),
        json!(["/usr/bin/git\n"]),
        json!(["", "log"]),
        json!(["/bin/sh", "-c", "/usr/bin/git log"]),
        json!(["/usr/bin/git/", "log"]),
    ] {
        assert_eq!(denied(&p, "exec", json!({ "argv": argv })).rule, None, "{argv}");
    }
    let unlisted = policy(body);
    assert_eq!(
        says(&denied(&unlisted, "exec", json!({"argv": ["/usr/bin/git"]}))),
        "policy - [[\"/usr/bin/git\"]] tools.allow does not list exec"
    );
}

#[test]
fn arguments_that_do_not_fit_are_denied_by_the_schema() {
    let p = policy(
        "[tools]\nallow = [\"*\"]\n[fs]\nwrite = [\"@workspace\"]\n[[exec]]\nid = \"a\"\ncommand = [\"/bin/a\"]\nwall = \"1s\"",
    );
    let long = "x".repeat(256);
    let table = [
        ("workspace.read", json!([]), "workspace.read: arguments must be a JSON object"),
        ("workspace.read", json!(null), "workspace.read: arguments must be a JSON object"),
        ("workspace.read", json!({}), "workspace.read: /path: missing"),
        ("workspace.read", json!({"path": 1}), "workspace.read: /path: must be a string"),
        ("workspace.read", json!({"path": ""}), "workspace.read: /path: it is empty"),
        (
            "workspace.read",
            json!({"path": "/etc/passwd"}),
            "workspace.read: /path: it is absolute; paths are relative to the workspace",
        ),
        ("workspace.read", json!({"path": "a/../../b"}), "workspace.read: /path: it goes up with `..`"),
        ("workspace.read", json!({"path": "a\u{0}b"}), "workspace.read: /path: it has a control character (\\u{0})"),
        ("workspace.read", json!({"path": "a\nb"}), "workspace.read: /path: it has a control character (\\u{a})"),
        ("workspace.read", json!({"path": "a\u{9b}b"}), "workspace.read: /path: it has a control character (\\u{9b})"),
        (
            "workspace.read",
            json!({"path": long}),
            "workspace.read: /path: it has 256 bytes; a path may have 4095, a name 255",
        ),
        (
            "workspace.read",
            json!({"path": "a", "length": 1048577}),
            "workspace.read: /length: must be an integer from 0 to 1048576",
        ),
        (
            "workspace.read",
            json!({"path": "a", "offset": -1}),
            "workspace.read: /offset: must be an integer from 0 to 9223372036854775807",
        ),
        (
            "workspace.read",
            json!({"path": "a", "offset": 1.0}),
            "workspace.read: /offset: must be an integer from 0 to 9223372036854775807",
        ),
        (
            "workspace.read",
            json!({"path": "a", "encoding": 1}),
            "workspace.read: /encoding: unknown argument; known: path, offset, length",
        ),
        (
            "workspace.write",
            json!({"path": "a"}),
            "workspace.write: /content: missing; give `content` or `content_base64`",
        ),
        (
            "workspace.write",
            json!({"path": "a", "content": "", "content_base64": ""}),
            "workspace.write: /content: give either `content` or `content_base64`, not both",
        ),
        (
            "workspace.write",
            json!({"path": "a", "content": "", "mode": "w"}),
            "workspace.write: /mode: must be `create`, `replace` or `append`",
        ),
        ("clock", json!({"tz": "UTC"}), "clock: /tz: unknown argument; known: none"),
        ("random", json!({}), "random: /length: missing"),
        ("random", json!({"length": 4097}), "random: /length: must be an integer from 0 to 4096"),
        ("exec", json!({"argv": []}), "exec: /argv: must have 1 to 256 strings"),
        ("exec", json!({"argv": "ls"}), "exec: /argv: must be an array of strings"),
        ("exec", json!({"argv": ["/bin/a", 1]}), "exec: /argv/1: must be a string"),
        ("exec", json!({"argv": ["/bin/a", "x\u{0}"]}), "exec: /argv/1: must not contain NUL"),
    ];
    for (tool, args, reason) in table {
        let d = denied(&p, tool, args);
        // The denial's object is the tool; its reason says the name no second time.
        let said = format!("{}: {}", d.object, d.reason);
        assert_eq!((d.layer, said.as_str(), d.fixable), ("schema", reason, false));
    }
}

#[test]
fn tools_that_are_not_are_denied_for_good() {
    let p = policy("[tools]\nallow = [\"*\"]");
    for name in ["", "*", "http.get", "Workspace.read", "workspace.read ", "clock\u{0}", "\u{1b}[2J"] {
        let d = denied(&p, name, json!({}));
        assert_eq!((d.reason.as_str(), d.fixable, d.rule), ("there is no tool of this name", false, None), "{name:?}");
    }
    assert!(denied(&p, &"x".repeat(1_000_000), json!({})).object.len() <= 128);
}

#[test]
fn the_agent_learns_no_path_of_the_host_and_no_file_name() {
    let p =
        policy("[tools]\nallow = [\"workspace.read\"]\ndeny = [\"clock\"]\n[fs]\nread = [\"/usr/share/secret-place\"]");
    for (tool, args) in every_call() {
        if let Verdict::Deny(d) = decide(&p, tool, args) {
            let told = d.for_agent().to_string();
            assert!(!told.contains("t.toml") && !told.contains("secret-place"), "{told}");
            assert!(told.contains(&p.digest));
        }
    }
    let told = denied(&p, "clock", json!({})).for_agent();
    let expected = json!({
        "error": "denied", "layer": "policy", "rule": "tools.deny[0]", "reason": "a rule denies it",
        "object": "clock", "policy": p.digest, "fixable": true,
    });
    assert_eq!(told, expected);
}

#[test]
fn a_grant_holds_the_canonical_call() {
    let p = policy("[tools]\nallow = [\"*\"]\n[fs]\nwrite = [\"@workspace\"]");
    let grant = allowed(&p, "workspace.write", json!({"path": "./a//b/./c/", "content_base64": "AAECAw=="}));
    let stockade_policy::ToolCall::Write { path, size, .. } = grant.call() else { panic!("{grant:?}") };
    assert_eq!((path.as_str(), *size), ("a/b/c", 4));
    assert_eq!(grant.object(), "@workspace/a/b/c");
    for (text, size) in [("", 0), ("QQ==", 1), ("QQ", 1), ("QUI=", 2), ("QUJD", 3)] {
        let grant = allowed(&p, "workspace.write", json!({"path": "a", "content_base64": text}));
        assert!(matches!(grant.call(), stockade_policy::ToolCall::Write { size: s, .. } if *s == size), "{text}");
    }
}

#[test]
fn the_digest_is_of_the_meaning() {
    let a = accept(
        "version = 1\nid = \"t\"\nextends = [\"preset:base\"]\n[limits]\nmemory = \"1GiB\"\n[tools]\nallow = [\"clock\"]\n",
    );
    let b = accept(
        "# a comment\nid = 't'\nversion = 1\nextends = ['preset:base']\ntools.allow = [ 'clock', ]\nlimits.memory = '1024MiB'\n",
    );
    assert_eq!(a.digest, b.digest);
    assert_eq!(a.digest.len(), 64);
    let others = [
        "[limits]\nmemory = \"2GiB\"\n[tools]\nallow = [\"clock\"]",
        "[limits]\nmemory = \"1GiB\"\n[tools]\nallow = [\"random\"]",
        "[limits]\nmemory = \"1GiB\"\n[tools]\nallow = [\"clock\"]\n[fs]\nread = [\"/usr\"]",
        "[limits]\nmemory = \"1GiB\"\n[tools]\nallow = [\"clock\"]\n[env.set]\nA = \"1\"",
        "[limits]\nmemory = \"1GiB\"\n[tools]\nallow = [\"clock\"]\n[require]\ndegrade_ok = [\"landlock.net\"]",
        "[limits]\nmemory = \"1GiB\"\n[tools]\nallow = [\"clock\"]\n[[exec]]\nid = \"a\"\ncommand = [\"/a\"]\nwall = \"1s\"",
    ];
    for other in others {
        assert_ne!(policy(other).digest, a.digest, "{other}");
    }
}

#[test]
fn later_files_replace_numbers_and_add_to_lists() {
    let p = accept(
        "version = 1\nid = \"t\"\nextends = [\"preset:wasm-pure\"]\n[limits]\npids = 9\n[tools]\nallow = [\"workspace.list\"]\n[fs]\nread = [\"@workspace\"]",
    );
    assert_eq!((p.limits.pids, p.limits.files, p.limits.memory), (9, 32, 256 << 20));
    assert_eq!(allowed(&p, "clock", json!({})).rules(), ["preset:wasm-pure@1/tools.allow[0]"]);
    assert_eq!(allowed(&p, "workspace.list", json!({"path": "."})).rules(), ["tools.allow[0]"]);
}
