//! A run from `Setup` to `Bye`, and every tool that the shim performs itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{POLICY, Rig, lifecycle, outline};
use serde_json::{Value, json};
use stockade_journal::{Payload, Record};
use stockade_wire::control::{AgentExit, Reason, ToSupervisor};
use stockade_wire::frame::{FromCell, Status};

#[test]
fn a_run_from_setup_to_bye() {
    let mut rig = Rig::running();
    rig.write("a.txt", "hello");
    assert_eq!(
        rig.call("workspace.read", json!({ "path": "a.txt" })),
        (Status::Ok, json!({ "content": "hello", "size": 5, "eof": true }))
    );
    rig.log("line\u{1b}[31m");
    assert!(
        matches!(rig.receive(), Some(ToSupervisor::Log { level, message }) if level == "info" && message == "line\u{1b}[31m")
    );
    let exit = AgentExit { reason: Reason::Finished, detail: "done".into(), fuel: 7 };
    rig.say(&FromCell::Exit { outcome: serde_json::to_vec(&exit).unwrap() });
    assert!(matches!(rig.receive(), Some(ToSupervisor::AgentExit(e)) if e == exit));
    let entries = rig.end();
    assert_eq!(
        outline(&entries),
        ["start", "call workspace.read allow policy", "result ok", "log", "agent_exit", "exit"]
    );
    let Record::Start(start) = &entries[0].record else { panic!() };
    assert_eq!(start.enforcement, json!({ "seccomp": 2 }));
    assert_eq!((start.run.as_str(), start.policy.as_str(), start.kind.as_str()), ("r-test", "test", "wasm"));
    let Record::Call(call) = &entries[1].record else { panic!() };
    assert_eq!((call.effect.as_str(), call.args.clone()), ("read", Payload::Inline(json!({ "path": "a.txt" }))));
    assert!(call.reason.contains("test.toml:"), "{}", call.reason);
    assert_eq!(call.policy_digest, start.policy_digest);
}

#[test]
fn the_last_frames_of_a_dead_cell_are_recorded() {
    let mut rig = Rig::running();
    let exit = AgentExit { reason: Reason::Failed, detail: "x".repeat(20_000), fuel: 0 };
    for _ in 0..100 {
        rig.log("still here");
    }
    rig.say(&FromCell::Exit { outcome: serde_json::to_vec(&exit).unwrap() });
    // The cell is reported gone at once, before or after its bytes are read.
    let entries = rig.end();
    assert_eq!(outline(&entries).iter().filter(|t| *t == "log").count(), 100);
    assert_eq!(lifecycle(&entries, "agent_exit")[0]["detail"].as_str().unwrap().len(), 8192);
}

#[test]
fn reading() {
    let mut rig = Rig::running();
    rig.write("text", "äöü and more");
    rig.write("bytes", [0xff, 0, 1]);
    rig.write("empty", "");
    std::fs::create_dir_all(rig.workspace.join("d/e")).unwrap();
    rig.write("d/e/deep", "deep");
    let mut read = |args: Value| rig.call("workspace.read", args);
    assert_eq!(
        read(json!({ "path": "text", "offset": 2, "length": 3 })).1,
        json!({ "content": "ö", "size": 15, "eof": false })
    );
    assert_eq!(read(json!({ "path": "bytes" })).1, json!({ "content_base64": "/wAB", "size": 3, "eof": true }));
    assert_eq!(read(json!({ "path": "empty" })).1, json!({ "content": "", "size": 0, "eof": true }));
    assert_eq!(
        read(json!({ "path": "text", "offset": i64::MAX })).1,
        json!({ "content": "", "size": 15, "eof": true })
    );
    // Other spellings of one path are one path.
    for path in ["d/e/deep", "./d/e/deep", "d//e/./deep", "d/e/deep/"] {
        assert_eq!(read(json!({ "path": path })).1["content"], "deep", "{path}");
    }
    assert_eq!(read(json!({ "path": "nowhere/x" })).1["error"], "not_found");
    assert_eq!(read(json!({ "path": "d" })).1["error"], "not_a_file");
    assert_eq!(read(json!({ "path": "." })).1["error"], "not_a_file");
    assert_eq!(read(json!({ "path": "text/x" })).1["error"], "not_a_directory");
}

#[test]
fn a_large_file_is_read_in_parts() {
    let mut rig = Rig::running();
    let whole: Vec<u8> = (0..2_500_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    rig.write("big", &whole);
    let mut got = Vec::new();
    loop {
        let (status, body) = rig.call("workspace.read", json!({ "path": "big", "offset": got.len() }));
        assert_eq!(status, Status::Ok);
        got.extend_from_slice(body["content"].as_str().unwrap().as_bytes());
        if body["eof"] == true {
            break;
        }
    }
    assert_eq!(got, whole);
    let entries = rig.end();
    let blobs =
        entries.iter().filter(|e| matches!(&e.record, Record::Result(o) if matches!(o.body, Payload::Blob { .. })));
    assert_eq!(blobs.count(), 3, "long results are blobs beside the journal");
}

#[test]
fn writing() {
    use std::os::unix::fs::PermissionsExt;
    let mut rig = Rig::running();
    let path = |name: &str| rig.workspace.join(name);
    let (a, b, exec) = (path("a"), path("b"), path("run.sh"));
    std::fs::write(&exec, "old").unwrap();
    std::fs::set_permissions(&exec, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let mut write = |args: Value| rig.call("workspace.write", args);
    assert_eq!(write(json!({ "path": "a", "content": "one" })), (Status::Ok, json!({ "written": 3 })));
    assert_eq!(write(json!({ "path": "a", "content": "two", "mode": "replace" })).0, Status::Ok);
    assert_eq!(std::fs::read(&a).unwrap(), b"two");
    assert_eq!(std::fs::metadata(&a).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(write(json!({ "path": "a", "content": "x", "mode": "create" })).1["error"], "exists");
    assert_eq!(write(json!({ "path": "b", "content_base64": "/w==", "mode": "create" })).0, Status::Ok);
    assert_eq!(write(json!({ "path": "b", "content": "!", "mode": "append" })).0, Status::Ok);
    assert_eq!(write(json!({ "path": "c", "content": "new", "mode": "append" })).0, Status::Ok);
    assert_eq!(std::fs::read(&b).unwrap(), b"\xff!");
    // A replaced file keeps its permissions, but no set-id bit.
    assert_eq!(write(json!({ "path": "run.sh", "content": "new" })).0, Status::Ok);
    assert_eq!(std::fs::metadata(&exec).unwrap().permissions().mode() & 0o7777, 0o755);
    // Parents are not made.
    assert_eq!(write(json!({ "path": "no/such/dir", "content": "" })).1["error"], "not_found");
    assert_eq!(write(json!({ "path": "a/b", "content": "" })).1["error"], "not_a_directory");
    for bad in ["/w=", "/x==", "a b=", "====", "é"] {
        assert_eq!(write(json!({ "path": "z", "content_base64": bad })).0, Status::Invalid, "{bad}");
    }
    let mut names: Vec<_> = std::fs::read_dir(&rig.workspace).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c", "run.sh"], "no temporary file is left");
}

#[test]
fn sizes_are_bounded() {
    let mut rig = Rig::running();
    let chunk = "x".repeat(1024 * 1024);
    let mut write = |mode: &str, content: &str| {
        rig.call("workspace.write", json!({ "path": "f", "content": content, "mode": mode }))
    };
    assert_eq!(write("replace", &chunk).0, Status::Ok);
    assert_eq!(write("append", &chunk).0, Status::Ok);
    let (status, body) = write("append", "x");
    assert_eq!((status, &body["error"]), (Status::Limit, &json!("file_size")));
    assert_eq!(write("replace", &format!("{chunk}x")).0, Status::Invalid);
    assert_eq!(rig.call("random", json!({ "length": 4097 })).0, Status::Invalid);
    assert_eq!(rig.call("workspace.read", json!({ "path": "f", "length": 1_048_577 })).0, Status::Invalid);
}

#[test]
fn listing_is_sorted_and_bounded() {
    use std::os::unix::ffi::OsStrExt;
    let mut rig = Rig::running();
    for name in ["b", "a", "c\nd"] {
        rig.write(name, "12");
    }
    std::fs::create_dir(rig.workspace.join("dir")).unwrap();
    std::fs::create_dir(rig.workspace.join("secret")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", rig.workspace.join("link")).unwrap();
    std::fs::write(rig.workspace.join(std::ffi::OsStr::from_bytes(b"z\xff")), "").unwrap();
    let (status, body) = rig.call("workspace.list", json!({ "path": "." }));
    assert_eq!(status, Status::Ok);
    assert_eq!(
        body,
        json!({ "truncated": false, "entries": [
            { "name": "a", "kind": "file", "size": 2 },
            { "name": "b", "kind": "file", "size": 2 },
            { "name": "c\nd", "kind": "file", "size": 2 },
            { "name": "dir", "kind": "directory", "size": 0 },
            { "name": "link", "kind": "symlink", "size": 0 },
            { "name": "secret", "kind": "denied" },
            { "name": "z\u{fffd}", "kind": "file", "size": 0, "name_hex": "7aff" },
        ] })
    );
    let (_, body) = rig.call("workspace.list", json!({ "path": "", "limit": 2 }));
    assert_eq!(body["error"], "invalid", "an empty path is no path: {body}");
    let (_, body) = rig.call("workspace.list", json!({ "path": ".", "limit": 2 }));
    assert_eq!((&body["entries"][1]["name"], &body["truncated"]), (&json!("b"), &json!(true)));
    assert_eq!(rig.call("workspace.list", json!({ "path": "a" })).1["error"], "not_a_directory");
    assert_eq!(rig.call("workspace.list", json!({ "path": "link" })).0, Status::Failed);
    let (_, stat) = rig.call("workspace.stat", json!({ "path": "a" }));
    assert_eq!((&stat["kind"], &stat["size"]), (&json!("file"), &json!(2)));
    assert!(stat["mtime_ms"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(rig.call("workspace.stat", json!({ "path": "link" })).1["kind"], "symlink");
    assert_eq!(rig.call("workspace.stat", json!({ "path": "." })).1["kind"], "directory");
}

#[test]
fn a_huge_directory_fits_an_answer() {
    let mut rig = Rig::running();
    let dir = rig.workspace.join("many");
    std::fs::create_dir(&dir).unwrap();
    for n in 0..4000 {
        std::fs::write(dir.join(format!("{n:05}{}", "\u{1}".repeat(240))), "").unwrap();
    }
    let (status, body) = rig.call("workspace.list", json!({ "path": "many" }));
    assert_eq!((status, &body["truncated"]), (Status::Ok, &json!(true)));
    assert!(body["entries"].as_array().unwrap().len() > 1000);
}

#[test]
fn clock_and_random_are_recorded_with_their_answers() {
    let mut rig = Rig::running();
    let (_, clock) = rig.call("clock", json!({}));
    assert!(clock["unix_ns"].as_str().unwrap().parse::<u128>().unwrap() > 1_600_000_000_000_000_000);
    let (_, one) = rig.call("random", json!({ "length": 32 }));
    let (_, two) = rig.call("random", json!({ "length": 32 }));
    assert_ne!(one, two);
    assert_eq!(rig.call("random", json!({ "length": 0 })).1, json!({ "base64": "" }));
    let bodies: Vec<_> = rig
        .end()
        .into_iter()
        .filter_map(|e| match e.record {
            Record::Result(outcome) => Some(outcome.body),
            _ => None,
        })
        .collect();
    assert_eq!(bodies[..3], [clock, one, two].map(Payload::Inline));
}

#[test]
fn what_policy_denies_is_answered_and_recorded() {
    let mut rig = Rig::running();
    std::fs::create_dir(rig.workspace.join("secret")).unwrap();
    rig.write("secret/key", "s3cr3t");
    for path in ["secret/key", "secret", "./secret//key", "secret/./key/", "secret/"] {
        for tool in ["workspace.read", "workspace.stat", "workspace.list"] {
            let (status, body) = rig.call(tool, json!({ "path": path }));
            assert_eq!(status, Status::Denied, "{tool} {path}: {body}");
            assert!(!body.to_string().contains("test.toml"), "no file name for the agent: {body}");
        }
    }
    let (status, body) = rig.call("http.fetch", json!({ "url": "http://169.254.169.254/" }));
    assert_eq!((status, &body["error"]), (Status::Denied, &json!("denied")));
    let (status, _) = rig.call("exec", json!({ "argv": ["/bin/sh", "-c", "id"] }));
    assert_eq!(status, Status::Denied);
    let entries = rig.end();
    let Record::Call(call) = &entries[1].record else { panic!() };
    assert_eq!((call.decision.as_str(), call.layer.as_str()), ("deny", "policy"));
    assert!(call.reason.contains("test.toml:"), "the operator sees where: {}", call.reason);
    assert!(!outline(&entries).iter().any(|line| line.ends_with("allow policy")));
    let http = entries.iter().find_map(|e| match &e.record {
        Record::Call(call) if call.tool == "http.fetch" => Some(call),
        _ => None,
    });
    assert_eq!(http.unwrap().effect, "remote");
}

#[test]
fn arguments_that_do_not_fit_are_invalid_and_recorded() {
    let mut rig = Rig::running();
    let bad: &[(&str, &[u8])] = &[
        ("workspace.read", b""),
        ("workspace.read", b"{"),
        ("workspace.read", b"[]"),
        ("workspace.read", b"{}"),
        ("workspace.read", br#"{"path":"a","path":"b"}"#),
        ("workspace.read", br#"{"path":"a","follow":true}"#),
        ("workspace.read", br#"{"path":["a"]}"#),
        ("workspace.read", br#"{"path":"../a"}"#),
        ("workspace.read", br#"{"path":"a/../../b"}"#),
        ("workspace.read", br#"{"path":"/etc/passwd"}"#),
        ("workspace.read", br#"{"path":"a\u0000b"}"#),
        ("workspace.read", br#"{"path":"a\nb"}"#),
        ("workspace.read", br#"{"path":"a","offset":-1}"#),
        ("workspace.read", br#"{"path":"a","offset":1.5}"#),
        ("workspace.write", br#"{"path":"a","content":"x","content_base64":""}"#),
        ("workspace.write", br#"{"path":"a"}"#),
        ("workspace.write", br#"{"path":"a","content":"x","mode":"truncate"}"#),
        ("clock", br#"{"zone":"UTC"}"#),
        ("random", br#"{"length":1e3}"#),
        ("exec", br#"{"argv":[]}"#),
        ("exec", br#"{"argv":["/bin/echo",1]}"#),
        ("exec", b"\xff\xfe"),
    ];
    for (tool, args) in bad {
        let (status, body) = rig.call_text(tool, args);
        assert_eq!(status, Status::Invalid, "{tool} {:?}: {body}", String::from_utf8_lossy(args));
    }
    let long = "x".repeat(5000);
    assert_eq!(rig.call("workspace.read", json!({ "path": long })).0, Status::Invalid);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(rig.call_text("workspace.read", deep.as_bytes()).0, Status::Invalid);
    assert_eq!(rig.call_text("workspace.read", &vec![b' '; 3 * 1024 * 1024]).0, Status::Invalid);
    let argv: Vec<String> = std::iter::once("/bin/echo".into()).chain((0..8).map(|_| "y".repeat(20_000))).collect();
    assert_eq!(rig.call("exec", json!({ "argv": argv })).0, Status::Invalid);
    let entries = rig.end();
    let schema = outline(&entries).iter().filter(|line| line.ends_with("deny schema")).count();
    assert_eq!(schema, bad.len() + 4);
    assert_eq!(outline(&entries).iter().filter(|line| *line == "result invalid").count(), bad.len() + 4);
}

#[test]
fn calls_are_limited_and_the_rest_counted() {
    let policy = POLICY.replace("calls = 1000", "calls = 3");
    let mut rig = Rig::running_with(&policy);
    for _ in 0..3 {
        assert_eq!(rig.call("clock", json!({})).0, Status::Ok);
    }
    for _ in 0..100 {
        let (status, body) = rig.call("clock", json!({}));
        assert_eq!((status, &body["error"]), (Status::Limit, &json!("calls")));
    }
    let entries = rig.end();
    let outline = outline(&entries);
    assert_eq!(outline.iter().filter(|line| *line == "call clock deny limit").count(), 16);
    assert_eq!(lifecycle(&entries, "calls_over_limit"), [json!({ "unrecorded": 84 })]);
}

#[test]
fn a_log_flood_is_cut_and_counted() {
    let mut rig = Rig::running();
    let cell = rig.cell().try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let mut cell = cell;
        for _ in 0..2000 {
            let frame = FromCell::Log { level: stockade_wire::frame::Level::Warn, message: "x".repeat(1000) };
            std::io::Write::write_all(&mut cell, &frame.encode().unwrap()).unwrap();
        }
    });
    flood.join().unwrap();
    let entries = rig.end();
    let kept = outline(&entries).iter().filter(|line| *line == "log").count();
    assert_eq!(kept, 64 * 1024 / 1256);
    let dropped = &lifecycle(&entries, "log_dropped")[0];
    assert_eq!(dropped, &json!({ "lines": 2000 - kept, "bytes": (2000 - kept) * 1000 }));
}

#[test]
fn a_cell_that_does_not_listen_only_stops_itself() {
    let mut rig = Rig::running();
    rig.write("big", vec![b'x'; 1024 * 1024]);
    let id = rig.ask("workspace.read", br#"{"path":"big"}"#);
    // More requests than any buffer holds, none of the answers taken.
    let mut cell = rig.cell().try_clone().unwrap();
    let asking = std::thread::spawn(move || {
        for id in 2..200u64 {
            let frame =
                FromCell::Call { id, fuel: 0, tool: "workspace.read".into(), args: br#"{"path":"big"}"#.to_vec() };
            if std::io::Write::write_all(&mut cell, &frame.encode().unwrap()).is_err() {
                return;
            }
        }
    });
    // The supervisor is served meanwhile.
    rig.send(&stockade_wire::control::ToShim::Listener { cell: 9 });
    while let Some(message) = rig.receive() {
        assert!(matches!(message, ToSupervisor::KillCell { .. }), "{message:?}");
    }
    let _ = id;
    drop(rig.cell.take());
    asking.join().unwrap();
    assert!(rig.join().is_err());
}

/// Loads a policy with a Cedar file of its own.
fn bundle_with_cedar(cedar: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.toml");
    std::fs::write(&file, POLICY.replace("[tools]", "[tools]\ncedar = [\"tools.cedar\"]")).unwrap();
    std::fs::write(folder.path().join("tools.cedar"), cedar).unwrap();
    stockade_policy::load(&file).unwrap_or_else(|e| panic!("{e}")).bundle().encode()
}

#[test]
fn the_whole_denial_is_in_the_journal() {
    let mut rig = Rig::running();
    rig.call("workspace.read", json!({ "path": "secret/key" }));
    rig.call_text("workspace.read", b"{");
    rig.call("clock", json!({}));
    let entries = rig.end();
    let calls: Vec<_> = entries
        .iter()
        .filter_map(|e| match &e.record {
            Record::Call(call) => Some(call),
            _ => None,
        })
        .collect();
    let denial = calls[0].denial.as_ref().unwrap();
    assert_eq!(denial["layer"], "policy");
    assert_eq!(denial["rule"], "fs.deny[0]");
    assert_eq!(denial["origin"], json!({ "file": "test.toml", "line": 12 }));
    assert_eq!(denial["object"], "@workspace/secret/key");
    assert_eq!(denial["policy_digest"], json!(calls[0].policy_digest));
    assert_eq!(denial["fixable"], true);
    assert_eq!(denial["fix"], "remove or narrow fs.deny[0] at test.toml:12");
    assert_eq!(
        denial["fixes"],
        json!([{ "key": "fs.deny[0]", "change": "remove or narrow", "file": "test.toml", "line": 12 }])
    );
    assert!(calls[0].reason.contains(denial["fix"].as_str().unwrap()), "{}", calls[0].reason);
    let denial = calls[1].denial.as_ref().unwrap();
    assert_eq!((&denial["layer"], &denial["fixable"]), (&json!("schema"), &json!(false)));
    assert_eq!(calls[2].denial, None, "{:?}", calls[2]);
}

#[test]
fn a_call_that_needs_an_approval_is_refused_by_that_layer() {
    let bundle = bundle_with_cedar(
        "@id(\"look\") forbid (principal, action == Action::\"workspace.write\", resource) unless { context.approved };",
    );
    let mut rig = Rig::running_bundle(&bundle);
    let (status, body) = rig.call("workspace.write", json!({ "path": "a", "content": "x" }));
    assert_eq!(status, Status::Denied);
    assert_eq!(body["layer"], "approval");
    assert_eq!(body["reason"], "the call needs an approval, and the run was started with nobody to give one");
    assert!(!rig.workspace.join("a").exists());
    let entries = rig.end();
    let Record::Call(call) = &entries[1].record else { panic!() };
    assert_eq!((call.decision.as_str(), call.layer.as_str()), ("deny", "approval"));
    assert!(call.reason.contains("asked for by look (tools.cedar:1)"), "{}", call.reason);
}

#[test]
fn rules_see_how_many_calls_there_were_and_what_time_it_is() {
    let bundle = bundle_with_cedar(
        "forbid (principal, action == Action::\"random\", resource) when { context.calls.minute >= 2 };\n\
         forbid (principal, action == Action::\"clock\", resource)\n\
         when { context.calls.minute_all != 4 || context.calls.total != 4 || context.calls.tool != 0 };\n\
         forbid (principal, action, resource) when { context.now.unix < 1700000000 };",
    );
    let mut rig = Rig::running_bundle(&bundle);
    for wanted in [Status::Ok, Status::Ok, Status::Denied] {
        assert_eq!(rig.call("random", json!({ "length": 1 })).0, wanted);
    }
    // What is no tool's call is a call.
    assert_eq!(rig.call("http.fetch", json!({})).0, Status::Denied);
    assert_eq!(rig.call("clock", json!({})).0, Status::Ok);
    rig.end();
}

#[test]
fn an_agent_can_ask_which_tools_it_has() {
    // Written nowhere, denied by name, and without a command: none of them is told of.
    let few = POLICY
        .replace("write = [\"@workspace\"]\n", "")
        .replace("[[exec]]\nid = \"echo\"\ncommand = [\"/bin/echo\"]\nwall = \"1s\"\n", "")
        .replace("\"random\", \"exec\"]", "\"random\"]\ndeny = [\"clock\"]");
    let mut rig = Rig::running_with(&few);
    let (status, list) = rig.call("tools.list", json!({}));
    assert_eq!(status, Status::Ok);
    let tools = list["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["workspace.read", "workspace.list", "workspace.stat", "random", "tools.list"]);
    assert!(tools.iter().all(|tool| tool["inputSchema"]["type"] == "object" && tool["description"].is_string()));
    // What it is told of it may call, and of what it is not told every call is denied.
    let all = ["workspace.read", "workspace.write", "workspace.list", "workspace.stat", "clock", "random", "exec"];
    for tool in all.iter().filter(|tool| !names.contains(tool)) {
        let args = match *tool {
            "exec" => json!({ "argv": ["/usr/bin/true"] }),
            "random" => json!({ "length": 1 }),
            "clock" => json!({}),
            "workspace.write" => json!({ "path": "x", "content": "" }),
            _ => json!({ "path": "x" }),
        };
        assert_eq!(rig.call(tool, args).0, Status::Denied, "{tool}");
    }
    assert_eq!(rig.call("tools.list", json!({ "x": 1 })).0, Status::Invalid);
    let entries = rig.end();
    assert!(outline(&entries).contains(&"call tools.list allow policy".to_owned()));
}
