//! Two network namespaces: a host that runs agents, and the Internet as far as it goes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockade_tests::host::{Alone, Programs, skip_unless};
use tempfile::TempDir;

/// No run of these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The host's address, and those of the servers. They look like anybody's.
pub const HOST: &str = "8.8.4.1";
pub const SERVER: &str = "8.8.4.10";
const RESOLVER: &str = "8.8.4.53";
/// Where no agent has any business, and where the servers are all the same.
pub const PRIVATE: &str = "10.9.9.9";
pub const METADATA: &str = "169.254.169.254";

const HEAD: &str = r#"version = 1
id = "test"
extends = ["preset:python@1"]
[require]
degrade_ok = ["landlock.truncate", "landlock.net", "landlock.ioctl_dev", "landlock.scope"]
[limits]
wall = "40s"
[fs]
read = ["@workspace"]
write = ["@workspace"]
"#;

/// All of it; its processes and namespaces end with it.
pub struct World {
    dir: TempDir,
    host: Child,
    servers: Child,
    log: PathBuf,
    _alone: Alone,
}

/// How an agent's run went.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub records: Vec<Value>,
}

fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A process that does nothing but hold namespaces. It has said when they are there.
fn holder(flags: &[&str], setup: &str) -> Child {
    let script = format!("{setup} echo ready; exec sleep 600");
    let mut child =
        Command::new("unshare").args(flags).args(["sh", "-ec", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "a namespace of the test's");
    child
}

impl World {
    /// `None`, with the reason printed, if the test cannot run here. `names` are what the name server knows.
    pub fn new(test: &str, names: Value) -> Option<Self> {
        if skip_unless(test, &["python3", "curl", "openssl", "ip", "nsenter", "unshare"]) {
            return None;
        }
        let alone = Alone::on_this_host();
        let dir = TempDir::with_prefix("stockade-egress.").unwrap();
        let at = |name: &str| dir.path().join(name);
        ["work", "state"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
        certificates(dir.path());
        fs::write(at("resolv.conf"), format!("nameserver {RESOLVER}\n")).unwrap();
        fs::write(at("hosts"), "127.0.0.1 localhost\n").unwrap();
        let bind = |name: &str| format!("mount --bind {} /etc/{name};", at(name).display());
        let setup = format!("mount --make-rprivate /; {} {} ip link set lo up;", bind("resolv.conf"), bind("hosts"));
        let host = holder(&["-n", "-m"], &setup);
        let outside = holder(&["-n"], "ip link set lo up;");
        let (h, s) = (host.id().to_string(), outside.id().to_string());
        must(Command::new("ip").args(["link", "add", "egh", "netns", &h, "type", "veth", "peer", "egs", "netns", &s]));
        let inside = format!(
            "ip addr add {HOST}/24 dev egh; ip link set egh up; ip route add {PRIVATE} via {SERVER}; ip route add {METADATA} via {SERVER}"
        );
        must(Command::new("nsenter").args(["-t", &h, "-n", "sh", "-ec", &inside]));
        let there = format!(
            "ip addr add {SERVER}/24 dev egs; ip addr add {RESOLVER}/24 dev egs; ip addr add {PRIVATE}/32 dev egs; ip addr add {METADATA}/32 dev egs; ip link set egs up"
        );
        must(Command::new("nsenter").args(["-t", &s, "-n", "sh", "-ec", &there]));
        let sites = json!([
            ["clear", SERVER, 80, null],
            ["tls", SERVER, 443, "web.test"],
            ["wrong", SERVER, 8443, "other.test"],
            ["stale", SERVER, 9443, "stale.test"],
            ["private", PRIVATE, 80, null],
            ["metadata", METADATA, 80, null],
        ]);
        let world = json!({"names": names, "resolvers": [RESOLVER], "sites": sites, "bytes": [[SERVER, 7000]]});
        let log = at("servers.log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("egress/servers.py");
        // The servers take over the namespace that was made for them: its holder can go.
        let servers = Command::new("nsenter")
            .args(["-t", &s, "-n", "/usr/bin/python3"])
            .arg(script)
            .arg(dir.path())
            .arg(world.to_string())
            .stdin(Stdio::piped())
            .stdout(File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let world = Self { dir, host, servers, log, _alone: alone };
        let until = Instant::now() + PATIENCE;
        while !world.said().contains("ready") {
            assert!(Instant::now() < until, "the servers did not come up");
            std::thread::yield_now();
        }
        end(outside);
        Some(world)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command on the host of this world.
    pub fn on_host(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.host.id().to_string(), "-n", "-m"]).arg(program);
        command.env("SSL_CERT_FILE", self.path("ca.pem"));
        command
    }

    /// What a command on the host prints, without Stockade.
    pub fn outside(&self, argv: &[&str]) -> String {
        let output = self.on_host(argv[0]).args(&argv[1..]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs an agent under a policy of these sections.
    pub fn run(&self, sections: &str, argv: &[&str]) -> Ran {
        let policy = self.path("policy.toml");
        fs::write(&policy, format!("{HEAD}{sections}")).unwrap();
        let state = self.path("state");
        let _old = fs::remove_dir_all(state.join("runs"));
        let mut command = self.on_host(Programs::find().path("stockade"));
        command.arg("run").arg("--policy").arg(&policy).arg("--state").arg(&state);
        command.arg("--workspace").arg(self.path("work")).arg("--").args(argv).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Ran { code: output.status.code(), stdout, stderr, records: records(&state.join("runs")) }
    }

    /// A Python program as the agent.
    pub fn python(&self, sections: &str, program: &str) -> Ran {
        self.run(sections, &["/usr/bin/python3", "-c", program])
    }

    fn said(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).and_then(|mut log| log.read_to_string(&mut text)).unwrap();
        text
    }

    /// What the servers have been asked since the last time.
    pub fn asked(&self) -> Vec<Value> {
        let all = self.said().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        File::options().write(true).truncate(true).open(&self.log).unwrap();
        all
    }
}

fn end(mut child: Child) {
    let _gone = child.kill();
    let _reaped = child.wait();
}

impl Drop for World {
    fn drop(&mut self) {
        for child in [&mut self.servers, &mut self.host] {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn records(runs: &Path) -> Vec<Value> {
    let Some(run) = fs::read_dir(runs).ok().and_then(|mut runs| runs.next()) else { return Vec::new() };
    let text = fs::read_to_string(run.unwrap().path().join("journal/00000001.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Ran {
    /// Calls of egress with what became of them: tool, decision, the arguments, status and body of the result.
    pub fn calls(&self) -> Vec<(String, String, Value, String, Value)> {
        let of = |kind: &'static str| self.records.iter().filter(move |record| record["type"] == kind);
        of("call")
            .map(|call| {
                let result = of("result").find(|result| result["id"] == call["id"]).expect("every call has a result");
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let (tool, decision, status) = (text(&call["tool"]), text(&call["decision"]), text(&result["status"]));
                (tool, decision, call["args"]["inline"].clone(), status, result["body"]["inline"].clone())
            })
            .collect()
    }

    /// The one call of egress.
    pub fn call(&self) -> (String, String, Value, String, Value) {
        let calls = self.calls();
        assert_eq!(calls.len(), 1, "{self:#?}");
        calls.into_iter().next().unwrap()
    }

    /// It ended well.
    pub fn fine(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// An authority, and certificates for two hosts and for one whose time is over.
fn certificates(dir: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let openssl = |args: &[&str]| must(Command::new("openssl").current_dir(dir).args(args));
    let mut ca = vec!["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
    ca.extend(key);
    openssl(&ca);
    for (name, days) in [("web.test", "2"), ("other.test", "2"), ("stale.test", "-1")] {
        let (file, sign) = (|end: &str| format!("{name}.{end}"), format!("subjectAltName=DNS:{name}"));
        fs::write(dir.join("names"), sign).unwrap();
        let (pem, csr, secret, subject) = (file("pem"), file("csr"), file("key"), format!("/CN={name}"));
        let mut request = vec!["req", "-subj", &subject, "-keyout", &secret, "-out", &csr];
        request.extend(key);
        openssl(&request);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            days,
            "-extfile",
            "names",
            "-out",
            &pem,
        ]);
    }
}
