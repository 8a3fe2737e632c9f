//! Random policies, ceilings and attempts near their rules; the same on every machine.
#![allow(dead_code, reason = "each test binary takes what it needs")]

use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use stockade_policy::{Access, Attempt, Ceiling, Diagnostics, Http, Options, Policy, load_with};

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Up to `most` of them, each once.
    pub fn some(&mut self, of: &[&str], most: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for _ in 0..self.below(most + 1) {
            let one = (*self.one(of)).to_owned();
            if !all.contains(&one) {
                all.push(one);
            }
        }
        all
    }
}

pub const TREES: [&str; 13] = [
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/share",
    "/usr/share/doc",
    "/etc/ssl",
    "/opt/a",
    "/opt/a/b",
    "@workspace",
    "@workspace/a",
    "@workspace/a/b",
    "@workspace/ab",
    "@workspace/.git",
];
pub const INSIDE: [&str; 5] = ["@workspace", "@workspace/a", "@workspace/a/b", "@workspace/ab", "@workspace/.git"];
pub const TOOLS: [&str; 8] =
    ["workspace.read", "workspace.write", "workspace.list", "workspace.stat", "clock", "random", "exec", "*"];
pub const COMMANDS: [&[&str]; 5] =
    [&["/usr/bin/git"], &["/usr/bin/git", "log"], &["/usr/bin/git", "log", "-1"], &["/bin/sh"], &["/bin/echo", "a"]];
pub const HOSTS: [&str; 11] = [
    "*",
    "*.example.com",
    "*.a.example.com",
    "a.example.com",
    "x.a.example.com",
    "example.org",
    "93.184.0.0/16",
    "93.184.216.0/24",
    "93.184.216.34",
    "2a00:1450::/32",
    "2a00:1450:4001::1",
];
pub const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PURGE"];
pub const URLS: [&str; 4] = ["/a", "/a/b", "/ab", "/c"];
pub const PORTS: [u16; 3] = [443, 80, 8443];
/// With no rule of the profile, and with one that lets some calls through.
pub const SYSCALLS: [&str; 6] = ["mlock2", "membarrier", "socket", "clone", "getpid", "io_uring_setup"];

/// Conditions that hold of any action, and of some.
const CONDITIONS: [(&str, &str); 22] = [
    ("", ""),
    ("", "context.approved"),
    ("", "principal == Agent::\"t\""),
    ("", "context.calls.total < 5"),
    ("workspace.read", "context.args.path like \"a*\""),
    ("workspace.read", "context.args.length > 100"),
    ("workspace.read", "resource in Path::\"@workspace/a\""),
    ("workspace.write", "context.args.path == \"a/b/x\""),
    ("workspace.write", "context.args.mode == \"append\""),
    ("workspace.write", "principal == Agent::\"t\" && context.args.size > 0"),
    ("random", "context.args.length > 64"),
    ("random", "context.args.length > 64 && context.approved"),
    ("random", "context.args.length == 1"),
    ("exec", "context.args.argc > 2"),
    ("exec", "context.args.argv.contains(\"--force\")"),
    ("exec", "context has rule && context.rule == \"e0\" && context.args.argc > 3"),
    ("egress.http", "context.args.method == \"GET\" && context.args.path like \"/a*\""),
    ("egress.http", "context.args.method == \"PURGE\" || context.args.port == 80"),
    ("egress.http", "context has rule && context.rule == \"h0\" && context.args.path like \"/c*\""),
    ("egress.http", "context.args.host like \"*.example.com\""),
    ("egress.tcp", "context.args.port == 8443"),
    ("clock", "context.now.hour == 0"),
];

fn cedar(rng: &mut Rng) -> String {
    let mut text = String::new();
    for number in 0..=rng.below(2) {
        let (action, condition) = *rng.one(&CONDITIONS);
        let about = if action.is_empty() { "action".to_owned() } else { format!("action == Action::\"{action}\"") };
        let effect = if rng.once_in(2) { "permit" } else { "forbid" };
        let clause = ["when", "unless"][rng.below(2)];
        let clause = if condition.is_empty() { String::new() } else { format!(" {clause} {{ {condition} }}") };
        text.push_str(&format!("@id(\"c{number}\") {effect} (principal, {about}, resource){clause};\n"));
    }
    text
}

/// A policy as one value, and its Cedar file if it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub value: Value,
    pub cedar: Option<String>,
}

/// Tables that a policy may have, each made anew.
const PARTS: [&str; 9] = ["limits", "fs", "tools", "exec", "egress", "syscalls", "env", "require", "cedar"];

fn part(name: &str, rng: &mut Rng) -> Value {
    match name {
        "limits" => {
            let mut limits = Map::new();
            limits.insert("memory".into(), json!(rng.one(&["128MiB", "256MiB", "1GiB"])));
            limits.insert("calls".into(), json!(rng.one(&[50, 5000])));
            if rng.once_in(3) {
                limits.insert("io_read".into(), json!("1MiB/s"));
            }
            if rng.once_in(3) {
                limits.insert("calls_per_minute".into(), json!({ *rng.one(&TOOLS): 100_000 + rng.below(9) }));
            }
            Value::Object(limits)
        }
        "fs" => {
            let read = rng.some(&TREES, 4);
            let write = rng.some(&INSIDE, 2);
            let readable: Vec<&str> = read.iter().chain(&write).map(String::as_str).collect();
            let execute = if readable.is_empty() { Vec::new() } else { rng.some(&readable, 2) };
            let deny = if rng.once_in(3) { rng.some(&TREES, 2) } else { rng.some(&INSIDE, 1) };
            let mut fs = json!({ "read": read, "write": write, "execute": execute, "deny": deny });
            if rng.once_in(5) {
                fs["workspace"] = json!(rng.one(&["direct", "read-only", "none"]));
            }
            fs
        }
        "tools" => {
            let deny = if rng.once_in(2) { rng.some(&TOOLS[..7], 2) } else { Vec::new() };
            json!({ "allow": rng.some(&TOOLS, 5), "deny": deny, "ask": rng.some(&TOOLS[..7], 1) })
        }
        "exec" => {
            let mut rules: Vec<Value> = Vec::new();
            for number in 0..rng.below(4) {
                let command = *rng.one(&COMMANDS);
                if !rules.iter().any(|rule| rule["command"] == json!(command)) {
                    rules.push(
                        json!({ "id": format!("e{number}"), "command": command, "wall": rng.one(&["1s", "20s"]) }),
                    );
                }
            }
            json!(rules)
        }
        "egress" => {
            let rule = |number: usize, rng: &mut Rng| {
                let mut rule = json!({ "id": format!("h{number}"), "host": rng.one(&HOSTS) });
                let scheme = *rng.one(&["https", "https", "http", "tcp"]);
                rule["scheme"] = json!(scheme);
                if scheme == "tcp" || rng.once_in(3) {
                    rule["port"] = json!(rng.one(&PORTS));
                }
                if scheme != "tcp" {
                    rule["methods"] = if rng.once_in(4) { json!(["*"]) } else { json!([rng.one(&METHODS)]) };
                    if rng.once_in(2) {
                        rule["paths"] = json!([rng.one(&URLS)]);
                    }
                }
                rule
            };
            let rules: Vec<Value> = (0..rng.below(4)).map(|number| rule(number, rng)).collect();
            json!(rules)
        }
        "syscalls" => {
            let rule = |rng: &mut Rng| {
                let action = *rng.one(&["allow", "deny", "notify"]);
                json!({ "names": [rng.one(&SYSCALLS)], "action": action, "why": "a test" })
            };
            let rules: Vec<Value> = (0..rng.below(3)).map(|_| rule(rng)).collect();
            json!({ "add": rules })
        }
        "env" => {
            let mut env = json!({ "pass": rng.some(&["TZ", "LANG"], 2) });
            if rng.once_in(2) {
                env["set"] = json!({ "A": rng.one(&["1", "2"]) });
            }
            env
        }
        _ => json!({ "degrade_ok": rng.some(&["landlock.net", "landlock.scope"], 1) }),
    }
}

impl Made {
    pub fn policy(rng: &mut Rng) -> Self {
        let mut made = Self { value: json!({ "version": 1, "id": "t", "extends": ["preset:base"] }), cedar: None };
        for name in PARTS {
            if rng.below(10) < 8 {
                made.renew(name, rng);
            }
        }
        made
    }

    /// Makes one part anew.
    fn renew(&mut self, name: &str, rng: &mut Rng) {
        match name {
            "cedar" => self.cedar = rng.once_in(2).then(|| cedar(rng)),
            _ => self.value[name] = part(name, rng),
        }
    }

    /// Another that is much like it.
    pub fn changed(&self, rng: &mut Rng) -> Self {
        let mut made = self.clone();
        for _ in 0..=rng.below(2) {
            match rng.below(6) {
                // Something is gone.
                0..=2 => {
                    let keys: Vec<String> =
                        ["fs", "tools", "exec", "egress", "syscalls", "limits"].map(str::to_owned).to_vec();
                    let key = rng.one(&keys);
                    match made.value.get_mut(key) {
                        Some(Value::Array(list)) if !list.is_empty() => drop(list.remove(rng.below(list.len()))),
                        Some(Value::Object(map)) => {
                            let names: Vec<String> = map.keys().cloned().collect();
                            let list = names.get(rng.below(names.len())).and_then(|name| map.get_mut(name));
                            if let Some(Value::Array(list)) =
                                list.filter(|list| list.as_array().is_some_and(|l| !l.is_empty()))
                            {
                                list.remove(rng.below(list.len()));
                            }
                        }
                        _ => {}
                    }
                }
                3 => made.value["id"] = json!("u"),
                _ => {
                    let name = *rng.one(&PARTS);
                    made.renew(name, rng);
                }
            }
        }
        made
    }

    /// The value as it is written: its Cedar file is named in `tools`.
    pub fn written(&self) -> Value {
        let mut value = self.value.clone();
        if self.cedar.is_some() {
            value["tools"]["cedar"] = json!(["more.cedar"]);
        }
        value
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.written()).unwrap()
    }

    pub fn toml(&self) -> String {
        toml::to_string(&self.written()).unwrap()
    }

    fn load_as(&self, folder: &Path, name: &str, text: &str, ceiling: Option<&Ceiling>) -> Result<Policy, Diagnostics> {
        if let Some(cedar) = &self.cedar {
            fs::write(folder.join("more.cedar"), cedar).unwrap();
        }
        fs::write(folder.join(name), text).unwrap();
        load_with(&folder.join(name), &Options { ceiling: ceiling.cloned(), ..Options::default() })
    }

    pub fn load(&self, folder: &Path) -> Result<Policy, Diagnostics> {
        self.load_as(folder, "p.toml", &self.toml(), None)
    }

    pub fn load_json(&self, folder: &Path) -> Result<Policy, Diagnostics> {
        self.load_as(folder, "p.json", &self.json(), None)
    }

    pub fn load_beneath(&self, folder: &Path, ceiling: &Ceiling) -> Result<Policy, Diagnostics> {
        self.load_as(folder, "p.toml", &self.toml(), Some(ceiling))
    }
}

/// A policy that loads, with how it was made.
pub fn loaded(rng: &mut Rng, folder: &Path) -> (Made, Policy) {
    loop {
        let made = Made::policy(rng);
        if let Ok(policy) = made.load(folder) {
            return (made, policy);
        }
    }
}

/// A ceiling's value.
pub fn ceiling(rng: &mut Rng) -> Value {
    let mut value = json!({ "version": 1 });
    if rng.once_in(2) {
        value["limits"] = json!({ "memory": rng.one(&["64MiB", "512MiB"]), "calls": rng.one(&[10, 1000]) });
        if rng.once_in(2) {
            value["limits"]["io_read"] = json!("2MiB/s");
        }
    }
    if rng.below(3) > 0 {
        let mut fs = Map::new();
        for (key, of) in [("read", &TREES[..]), ("write", &INSIDE[..]), ("execute", &TREES[..])] {
            if rng.once_in(2) {
                fs.insert(key.to_owned(), json!(rng.some(of, 4)));
            }
        }
        if rng.once_in(3) {
            fs.insert("deny".into(), json!(rng.some(&TREES, 1)));
        }
        if rng.once_in(4) {
            fs.insert("workspaces".into(), json!(["/srv/agents"]));
        }
        value["fs"] = Value::Object(fs);
    }
    if rng.below(3) > 0 {
        let mut tools = Map::new();
        if rng.once_in(2) {
            tools.insert("allow".into(), json!(rng.some(&TOOLS, 5)));
        }
        tools.insert("deny".into(), json!(rng.some(&TOOLS[..7], 1)));
        tools.insert("ask".into(), json!(rng.some(&TOOLS[..7], 1)));
        value["tools"] = Value::Object(tools);
    }
    if rng.once_in(2) {
        let rule = |rng: &mut Rng| {
            let mut rule = json!({ "host": rng.one(&HOSTS) });
            if rng.once_in(3) {
                rule["port"] = json!(rng.one(&PORTS));
            }
            if rng.once_in(2) {
                rule["methods"] = json!([rng.one(&METHODS)]);
            }
            rule
        };
        let rules: Vec<Value> = (0..rng.below(4)).map(|_| rule(rng)).collect();
        value["egress"] = json!(rules);
    }
    if rng.once_in(2) {
        value["syscalls"] = json!({ "allow": rng.some(&SYSCALLS, 2) });
    }
    if rng.once_in(3) {
        value["env"] = json!({ "pass": rng.some(&["TZ", "LANG"], 1) });
    }
    if rng.once_in(3) {
        value["require"] = json!({ "degrade_ok": rng.some(&["landlock.net", "landlock.scope"], 1) });
    }
    value
}

pub fn parse_ceiling(value: &Value) -> Result<Ceiling, Diagnostics> {
    Ceiling::parse("ceiling.toml", &toml::to_string(value).unwrap())
}

pub fn call(tool: &str, args: Value, approved: bool) -> Attempt {
    Attempt::Call { tool: tool.to_owned(), args, approved }
}

/// Every attempt near what these pools can make rules of: each tree, beneath it and beside it; each command and
/// what begins with it; each host, port, method and path, and others.
pub fn attempts() -> Vec<Attempt> {
    let mut all = Vec::new();
    for tree in
        TREES.iter().chain(&["/", "/etc", "/etc/passwd", "/tmp", "/dev/null", "/proc/self", "/bin/sh", "/opt", "/lib"])
    {
        for path in [
            (*tree).to_owned(),
            format!("{}/x", tree.trim_end_matches('/')),
            format!("{}x", tree.trim_end_matches('/')),
        ] {
            for access in [Access::Read, Access::Write, Access::Execute] {
                all.push(Attempt::Path { path: path.clone(), access });
            }
        }
    }
    for approved in [false, true] {
        for path in [".", "a", "a/x", "a/b", "a/b/x", "ab", "ab/c", ".git", ".git/hooks", "z", "a.pem"] {
            for tool in ["workspace.list", "workspace.stat"] {
                all.push(call(tool, json!({ "path": path }), approved));
            }
            for length in [1, 1000] {
                all.push(call("workspace.read", json!({ "path": path, "length": length }), approved));
            }
            for (content, mode) in [("", "replace"), ("x", "replace"), ("", "append"), ("x", "append")] {
                all.push(call("workspace.write", json!({ "path": path, "content": content, "mode": mode }), approved));
            }
        }
        for length in [0, 1, 2, 64, 65] {
            all.push(call("random", json!({ "length": length }), approved));
        }
        all.push(call("clock", json!({}), approved));
        all.push(call("workspace.delete", json!({}), approved));
        for command in COMMANDS.iter().chain(&[&["/bin/true"][..], &["/bin/echo"]]) {
            for more in [&[][..], &["x"], &["--force"], &["log", "-1", "--force"], &["a", "b", "c"]] {
                let argv: Vec<&&str> = command.iter().chain(more).collect();
                all.push(call("exec", json!({ "argv": argv }), approved));
            }
        }
    }
    for host in [
        "host.invalid",
        "example.com",
        "b.example.com",
        "a.example.com",
        "y.a.example.com",
        "x.a.example.com",
        "z.x.a.example.com",
        "example.org",
        "93.184.0.1",
        "93.184.216.1",
        "93.184.216.34",
        "93.185.0.1",
        "[2a00:1450::1]",
        "[2a00:1450:4001::1]",
        "[2a01::1]",
    ] {
        for port in [443, 80, 8443, 1] {
            let endpoint = format!("{host}:{port}");
            all.push(Attempt::Host { endpoint: endpoint.clone(), http: None });
            for tls in [true, false] {
                for method in METHODS.iter().chain(&["BREW"]) {
                    for path in ["/", "/a", "/a/b/x", "/ab", "/c/d", "/z"] {
                        let http = Http { tls, method: (*method).to_owned(), path: path.to_owned() };
                        all.push(Attempt::Host { endpoint: endpoint.clone(), http: Some(http) });
                    }
                }
            }
        }
    }
    for name in SYSCALLS {
        for args in
            [[0; 6], [1, 1, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0], [0x10_000, 0, 0, 0, 0, 0], [0x3d_0f00, 0, 0, 0, 0, 0]]
        {
            all.push(Attempt::Syscall { name: name.to_owned(), args });
        }
    }
    all
}
