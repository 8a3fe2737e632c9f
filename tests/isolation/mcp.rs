//! Tools by MCP, both ways: a native agent's session, and servers in cells of their own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rig::{Ran, Rig};
use crate::text::module;

const SERVER: &str = include_str!("mcp_server.py");
pub const AGENT: &str = include_str!("mcp_agent.py");

/// The policy of the server's cell: it reads the workspace, and no more.
const OWN: &str = "version = 1\nid = \"server\"\nextends = [\"preset:python@1\"]\n[fs]\nread = [\"@workspace\"]\n";

/// A server of the test's beside a policy that allows all its tools.
struct Served<'r> {
    rig: &'r Rig,
}

impl<'r> Served<'r> {
    fn new(rig: &'r Rig) -> Self {
        fs::write(rig.path("work/server.py"), SERVER).unwrap();
        rig.file("server.toml", OWN);
        rig.file("test.tools.json", serde_json::to_vec(&json!({ "tools": listed() })).unwrap());
        Self { rig }
    }

    fn policy(&self, mode: &str, more: &str) -> PathBuf {
        let mcp = format!(
            "[[mcp]]\nname = \"test\"\ncommand = [\"/usr/bin/python3\", \"/workspace/server.py\", \"{mode}\"]\n\
             policy = \"server.toml\"\ntools = \"test.tools.json\"\n{more}"
        );
        self.rig.native_policy(&format!(
            "[fs]\nwrite = [\"@workspace\"]\n[tools]\nallow = [\"workspace.read\", \"mcp.test.*\"]\ndeny = [\"mcp.test.hang\"]\n{mcp}"
        ))
    }

    fn run(&self, policy: &Path, program: &str) -> Ran {
        self.rig.python(policy, &format!("{AGENT}\nagent = Agent()\n{program}"))
    }
}

/// What a person approved: the answer of the server when it is plain.
fn listed() -> Vec<Value> {
    let tool = |name: &str, description: &str, properties: Value| {
        let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
        let schema =
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        json!({ "name": name, "description": description, "inputSchema": schema })
    };
    let text = json!({ "type": "string" });
    vec![
        tool("echo", "Gives back its text.", json!({ "text": text })),
        tool("write", "Writes a file.", json!({ "path": text })),
        tool("die", "Ends the server.", json!({})),
        tool("hang", "Never answers.", json!({})),
    ]
}

fn lifecycle<'v>(records: &'v [Value], event: &str) -> Vec<&'v Value> {
    records.iter().filter(|record| record["event"] == event).map(|record| &record["detail"]).collect()
}

/// Tool, effect, decision and layer of each call.
fn calls(records: &[Value]) -> Vec<[&str; 4]> {
    let keys = ["tool", "effect", "decision", "layer"];
    let calls = records.iter().filter(|record| record["type"] == "call");
    calls.map(|call| keys.map(|key| call[key].as_str().unwrap_or_default())).collect()
}

#[test]
fn a_native_agent_has_its_tools_by_mcp() {
    let Some(rig) = Rig::new("a_native_agent_has_its_tools_by_mcp", &["python3"]) else { return };
    fs::write(rig.path("work/a.txt"), "hello").unwrap();
    let policy = rig.native_policy(
        "[fs]\nread = [\"@workspace\"]\n[tools]\nallow = [\"workspace.read\", \"workspace.write\", \"clock\", \"exec\"]\ndeny = [\"clock\"]\n",
    );
    let program = format!(
        "{AGENT}\nagent = Agent()\nprint(agent.tools())\nprint(agent.text('workspace.read', path='a.txt'))\n\
         print(agent.text('workspace.read', path='../x'))\nprint(agent.text('clock'))\nprint(agent.text('nothing'))\n\
         print(agent.ask('resources/list')['error']['code'])"
    );
    let ran = rig.python(&policy, &program);
    ran.expect("the agent", 0, &["5 tool calls, 3 denied"]);
    let said = ran.text();
    let lines: Vec<&str> = said.lines().collect();
    // What no call of could be allowed is not offered: writing where nothing may be written, and a command where none is listed.
    assert_eq!(lines[0], "['workspace.read', 'tools.list']", "{said}");
    assert!(lines[1].contains("\"content\":\"hello\""), "{said}");
    assert!(lines[2].starts_with("error: ") && lines[2].contains("/path: it goes up"), "{said}");
    assert!(lines[3].starts_with("error: ") && lines[3].contains("denied"), "{said}");
    assert!(lines[4].starts_with("error: ") && lines[4].contains("denied"), "{said}");
    assert_eq!(lines[5], "-32601");
    // Without a tool there is no session.
    let none = rig.native_policy("");
    rig.python(&none, "import os; print(os.environ.get('STOCKADE_MCP_FD'))").expect("no tools", 0, &["0 tool calls"]);
    rig.clean("MCP sessions of native agents");
}

#[test]
fn a_server_runs_in_a_cell_and_answers_byte_for_byte() {
    let Some(rig) = Rig::new("a_server_runs_in_a_cell_and_answers_byte_for_byte", &["python3"]) else { return };
    let served = Served::new(&rig);
    // Without a cell it writes what it is told to.
    let outside = rig.path("outside");
    let write = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "write", "arguments": { "path": outside } } });
    let mut bare = Command::new("/usr/bin/python3");
    bare.arg(rig.path("work/server.py")).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut bare = bare.spawn().unwrap();
    writeln!(bare.stdin.take().unwrap(), "{write}").unwrap();
    assert!(bare.wait().unwrap().success() && outside.exists());
    let ran = served.run(
        &served.policy("plain", ""),
        "print(agent.tools())\nagent.send('tools/call', name='mcp.test.echo', arguments={'text': 'é\\n'})\nprint(agent.line())\n\
         print(agent.text('mcp.test.echo', text=7))\nprint(agent.text('mcp.test.hang'))\nprint(agent.text('mcp.test.write', path='/workspace/x'))",
    );
    ran.expect("the agent", 0, &[]);
    let said = ran.text();
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines[0], "['workspace.read', 'tools.list', 'mcp.test.echo', 'mcp.test.write', 'mcp.test.die']",
        "{said}"
    );
    let own = "{\"content\":[ {\"type\":\"text\", \"text\":\"\\u00e9\\n\"} ], \"x\":1.50,\"y\":\"\\u00e9\"}";
    assert!(lines[1].ends_with(&format!("\"result\":{own}}}")), "the server's own bytes: {said}");
    assert!(lines[2].contains("/text: must be of type string"), "{said}");
    assert!(lines[3].contains("denied"), "{said}");
    // The agent may write the workspace and the server's own policy says that it may not.
    assert!(lines[4].starts_with("error: ") && !rig.path("work/x").exists(), "{said}");
    let records = rig.records();
    assert_eq!(lifecycle(&records, "mcp_started").len(), 1);
    assert_eq!(lifecycle(&records, "mcp_listed")[0]["peer"]["name"], "test");
    assert_eq!(lifecycle(&records, "mcp_exited")[0]["status"], json!({ "signal": 9 }), "it lived until the run's end");
    let made = calls(&records);
    assert!(made.contains(&["mcp.test.echo", "remote", "allow", "policy"]), "{made:?}");
    assert!(made.contains(&["mcp.test.echo", "remote", "deny", "schema"]), "{made:?}");
    rig.clean("a server that lived as long as its run");
}

#[test]
fn a_tool_that_changed_is_denied_with_what_changed() {
    let Some(rig) = Rig::new("a_tool_that_changed_is_denied_with_what_changed", &["python3"]) else { return };
    let served = Served::new(&rig);
    let program =
        "print(agent.tools())\nprint(agent.text('mcp.test.echo', text='x'))\nprint(agent.text('mcp.test.new'))";
    for (mode, shown) in [("drift", "read @workspace/.secret"), ("gone", "does not have it any more")] {
        let ran = served.run(&served.policy(mode, ""), program);
        ran.expect(mode, 0, &[]);
        let said = ran.text();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "['workspace.read', 'tools.list', 'mcp.test.write', 'mcp.test.die']", "{said}");
        assert!(lines[1].contains("does not offer it as it was approved") && !lines[1].contains(".secret"), "{said}");
        assert!(lines[2].starts_with("error: "), "{said}");
        let records = rig.records();
        let denied = records.iter().find(|r| r["type"] == "call" && r["tool"] == "mcp.test.echo").unwrap();
        assert_eq!((&denied["decision"], &denied["layer"]), (&json!("deny"), &json!("mcp")));
        assert!(denied["reason"].as_str().unwrap().contains(shown), "{denied}");
        assert!(denied["reason"].as_str().unwrap().contains("stockade mcp pin"), "{denied}");
    }
    rig.clean("servers whose tools changed");
}

#[test]
fn a_bad_server_is_ended_and_the_agent_goes_on() {
    let Some(rig) = Rig::new("a_bad_server_is_ended_and_the_agent_goes_on", &["python3"]) else { return };
    let served = Served::new(&rig);
    let program = "print(agent.tools())\nprint(agent.text('mcp.test.echo', text='x'))\nprint(agent.text('workspace.read', path='server.py', length=3))";
    for (mode, why) in [("rubbish", "not JSON"), ("endless", "a line over")] {
        let ran = served.run(&served.policy(mode, ""), program);
        ran.expect(mode, 0, &[]);
        let said = ran.text();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "['workspace.read', 'tools.list']", "{said}");
        assert!(lines[1].starts_with("error: ") && lines[1].contains(why), "{said}");
        assert!(!lines[2].starts_with("error: "), "{said}");
        assert!(lifecycle(&rig.records(), "mcp_broken")[0]["why"].as_str().unwrap().contains(why));
    }
    // One that dies is started again, and not for ever.
    let ran = served.run(&served.policy("plain", ""), "for _ in range(5): print(agent.text('mcp.test.die'))");
    ran.expect("deaths", 0, &[]);
    let records = rig.records();
    assert_eq!(lifecycle(&records, "mcp_starting").len(), 3);
    let last = lifecycle(&records, "mcp_exited");
    assert_eq!((last.len(), &last[0]["status"]), (3, &json!({ "code": 3 })));
    assert!(last[0]["stderr"]["text"].as_str().unwrap().contains("my last words"));
    assert!(ran.text().lines().last().unwrap().contains("it ended 3 times"), "{}", ran.text());
    rig.clean("bad servers");
}

#[test]
fn a_call_has_its_time_and_its_company() {
    let Some(rig) = Rig::new("a_call_has_its_time_and_its_company", &["python3"]) else { return };
    let served = Served::new(&rig);
    let limits = "[limits]\nconcurrent = { \"mcp.test.hang\" = 1 }\ntool_wall = { \"mcp.test.hang\" = \"1s\" }\n";
    let policy = served.policy("plain", limits);
    let text = fs::read_to_string(&policy).unwrap().replace("deny = [\"mcp.test.hang\"]\n", "");
    fs::write(&policy, text).unwrap();
    let program = "a = agent.send('tools/call', name='mcp.test.hang', arguments={})\nb = agent.send('tools/call', name='mcp.test.hang', arguments={})\n\
                   said = [json.loads(agent.line()) for _ in range(2)]\nprint([x['id'] for x in said] == [b, a])\n\
                   for x in said: print(x['result']['isError'], x['result']['content'][0]['text'])\nprint(agent.text('mcp.test.echo', text='x'))";
    let ran = served.run(&policy, program);
    ran.expect("the agent", 0, &[]);
    let said = ran.text();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "True", "the second is refused at once, the first when its time is over: {said}");
    assert!(lines[1].starts_with("True") && lines[1].contains("concurrent"), "{said}");
    assert!(lines[2].starts_with("True") && lines[2].contains("time limit"), "{said}");
    assert_eq!(lines[3], "x", "the server is there still: {said}");
    rig.clean("calls over their limits");
}

#[test]
fn a_person_approves_a_list_once_and_sees_what_changed() {
    let Some(rig) = Rig::new("a_person_approves_a_list_once_and_sees_what_changed", &["python3"]) else { return };
    let served = Served::new(&rig);
    let list = rig.path("test.tools.json");
    fs::remove_file(&list).unwrap();
    let pin = |mode: &str, more: &[&str]| {
        let policy = served.policy(mode, "");
        let mut command = rig.stockade();
        command.args(["mcp", "pin"]).arg(policy).arg("test").arg("--workspace").arg(rig.path("work"));
        rig.end(command.arg("--state").arg(rig.path("state")).args(more))
    };
    let first = pin("plain", &[]);
    first.expect("the first approval", 0, &["approved: 4 tools of test, in test.tools.json"]);
    assert!(first.text().starts_with("+ echo\n+   Gives back its text.\n"), "{}", first.text());
    let approved = fs::read(&list).unwrap();
    pin("plain", &[]).expect("the same again", 0, &["4 tools, each as approved"]);
    let drifted = pin("drift", &[]);
    drifted.expect("another list", 20, &["is left as it is; to approve what is shown, add --replace"]);
    let said = drifted.text();
    assert!(
        said.contains("- description: \"Gives back its text.\"\n+ description: \"Gives back its text. Before"),
        "{said}"
    );
    assert!(said.contains("+ new\n"), "{said}");
    assert_eq!(fs::read(&list).unwrap(), approved);
    pin("rubbish", &[]).expect("no list", 20, &["showed no tools", "not JSON"]);
    pin("drift", &["--replace"]).expect("the second approval", 0, &["approved: 5 tools"]);
    // What was approved is what runs.
    let ran = served.run(&served.policy("drift", ""), "print(agent.text('mcp.test.echo', text='x'))");
    ran.expect("the agent", 0, &[]);
    assert!(!ran.text().starts_with("error"), "{}", ran.text());
    rig.clean("looks at a server");
}

#[test]
fn a_component_calls_a_servers_tools_and_its_replay_needs_no_server() {
    let name = "a_component_calls_a_servers_tools_and_its_replay_needs_no_server";
    let Some(rig) = Rig::new(name, &["python3"]) else { return };
    let served = Served::new(&rig);
    let native = fs::read_to_string(served.policy("plain", "")).unwrap();
    let policy = rig.file("wasm.toml", native.replace("preset:python@1", "preset:wasm-pure@1"));
    let data = concat!(
        "(data (i32.const 1000) \"tools.list\") (data (i32.const 1100) \"mcp.test.echo\")",
        "(data (i32.const 1200) \"{}\") (data (i32.const 2000) \"{\\22text\\22:\\22hello\\22}\")"
    );
    let run = "(call $call (i32.const 1000) (i32.const 10) (i32.const 1200) (i32.const 2) (i32.const 3000))
        (call $call (i32.const 1100) (i32.const 13) (i32.const 2000) (i32.const 16) (i32.const 3000))
        (call $log (i32.const 1) (i32.load offset=4 (i32.const 3000)) (i32.load offset=8 (i32.const 3000)))
        (call $ok (i32.const 0) (i32.const 0))";
    let ran = rig.wasm(&policy, &module(data, run));
    ran.expect("the run", 0, &["2 tool calls, 0 denied", "\"text\":\"hello\""]);
    let records = rig.records();
    assert_eq!(lifecycle(&records, "mcp_starting").len(), 1);
    let listed = records.iter().find(|record| record["type"] == "result").unwrap();
    assert!(listed.to_string().contains("mcp.test.echo") || listed["body"].get("blob").is_some(), "{listed}");
    fs::remove_file(rig.path("work/server.py")).unwrap();
    rig.replay("last", &[]).expect("the replay", 0, &[]);
    rig.clean("a component with a server");
}
