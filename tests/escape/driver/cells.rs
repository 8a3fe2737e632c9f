//! Runs attacks in cells, by the command an operator types.

use super::attack::{Answer, Attack, PROBE};
use super::scene::{Scene, furnish};
use super::tripwires;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A kind of cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The probe is the agent's program.
    Native,
    /// The probe is `stockade-cell`.
    Wasm,
}

impl Kind {
    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Wasm => "wasm",
        }
    }
}

/// Everything that was seen of one run.
pub struct Seen {
    pub answer: Option<Answer>,
    pub output: Output,
    /// Lines of the journal.
    pub journal: Vec<Value>,
    /// Tripwires that moved.
    pub moved: Vec<String>,
    /// Processes of the cell that were still there.
    pub leftovers: Vec<u32>,
    /// Whether the host's knock at the attacker's port was answered.
    pub reached: bool,
}

/// The installed programs, once as they are and once with the probe in place of the runtime.
pub struct Cells {
    native: PathBuf,
    fallen: PathBuf,
    state: PathBuf,
    component: PathBuf,
    seen_runs: HashSet<PathBuf>,
}

const OURS: [&str; 6] =
    ["stockade", "stockade-launcher", "stockade-init", "stockade-shim", "stockade-compile", "stockade-notary"];

/// An agent of the right world that does nothing: it is compiled as any other, then the probe
/// runs in its place.
const COMPONENT: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "run") (param i32 i32) (result i32) (i32.const 16))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $i (instantiate $m))
  (func (export "run") (param "task" (list string)) (result (result string (error string)))
    (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

impl Cells {
    /// Lays the programs out.
    pub fn set_up(scene: &Scene) -> Self {
        let built = std::env::var_os("STOCKADE_BIN_DIR")
            .map_or_else(|| Path::new(PROBE).parent().unwrap().to_path_buf(), PathBuf::from);
        for name in OURS.iter().chain(&["stockade-cell"]) {
            assert!(
                built.join(name).exists(),
                "{} is not there: run `make build` first, or set STOCKADE_BIN_DIR",
                built.join(name).display()
            );
        }
        let (native, fallen) = (scene.root().join("libexec"), scene.root().join("libexec-fallen"));
        for dir in [&native, &fallen] {
            fs::create_dir(dir).unwrap();
            for name in OURS {
                fs::copy(built.join(name), dir.join(name)).unwrap();
            }
        }
        fs::copy(built.join("stockade-cell"), native.join("stockade-cell")).unwrap();
        fs::copy(PROBE, fallen.join("stockade-cell")).unwrap();
        let component = scene.root().join("agent.wasm");
        fs::write(&component, wat::parse_str(COMPONENT).unwrap()).unwrap();
        let state = scene.root().join("state");
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self { native, fallen, state, component, seen_runs: HashSet::new() }
    }

    /// Runs one attack in one kind of cell.
    pub fn run(&mut self, kind: Kind, attack: &Attack, scene: &mut Scene) -> Seen {
        let workspace = scene.root().join(format!("workspace-{}", kind.name()));
        fs::create_dir(&workspace).unwrap();
        furnish(scene.root(), &workspace);
        if attack.name.ends_with("in-workspace") {
            scene.services.unix(&workspace.join("service"));
        }
        let policy = scene.root().join("policy.toml");
        fs::write(&policy, policy_text(kind, &attack.name)).unwrap();
        let done = Arc::new(AtomicU64::new(0));
        let knock = (attack.name == "net-listen").then(|| scene.services.visit(done.clone()));
        let output = self.command(kind, attack, scene, &workspace, &policy).output().expect("timeout(1) runs");
        let program = match kind {
            Kind::Native => workspace.join("probe"),
            Kind::Wasm => self.fallen.join("stockade-cell"),
        };
        let leftovers = tripwires::leftovers(&program, &[]);
        done.store(1, SeqCst);
        let reached = knock.is_some_and(|k| k.join().unwrap());
        let moved = tripwires::check(scene, &workspace);
        let journal = self.journal();
        fs::remove_dir_all(&workspace).unwrap();
        let answer = match kind {
            Kind::Native => Answer::find(&String::from_utf8_lossy(&output.stdout), &attack.name),
            Kind::Wasm => journal
                .iter()
                .filter(|r| r["type"] == "log")
                .find_map(|r| Answer::find(r["message"].as_str()?, &attack.name)),
        };
        Seen { answer, output, journal, moved, leftovers, reached }
    }

    /// The whole situation that an operator's shell may leave to Stockade: extra groups, a session
    /// keyring with a secret, a controlling terminal, open descriptors, a full environment.
    fn command(&self, kind: Kind, attack: &Attack, scene: &Scene, workspace: &Path, policy: &Path) -> Command {
        let outer = scene.parameters();
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=5", "90"]).arg(PROBE).arg("wrap");
        for key in ["SECRET", "TTY"] {
            command.arg(format!("{key}={}", outer[key]));
        }
        command.args(["--groups", "0,4242", "--session-key", "--tty", "TTY", "--"]);
        let libexec = if kind == Kind::Native { &self.native } else { &self.fallen };
        command.arg(libexec.join("stockade")).arg("run").arg("--policy").arg(policy);
        command.arg("--workspace").arg(workspace).arg("--state").arg(&self.state);
        match kind {
            Kind::Native => command.args(["--", "/workspace/probe", "run", &attack.name]),
            Kind::Wasm => command.arg(&self.component).args(["--", &attack.name]),
        };
        // In a wasm cell PID 1 is the attacker itself, and there is one thread.
        let not_in_wasm = ["TARGET", "SPINNERS"];
        let inside = scene.parameters_inside().into_iter();
        let inside = inside.filter(|(k, _)| kind == Kind::Native || !not_in_wasm.contains(k));
        command.args(inside.map(|(k, v)| format!("{k}={v}")));
        if kind == Kind::Wasm {
            command.arg(format!("TARGET={}", scene.victim_pid()));
        }
        command.env("STOCKADE_ESCAPE_SECRET", &scene.secret).stdin(Stdio::null());
        command
    }

    /// The journal of the run that was not there before.
    fn journal(&mut self) -> Vec<Value> {
        let runs = fs::read_dir(self.state.join("runs")).into_iter().flatten().flatten().map(|e| e.path());
        let fresh: Vec<PathBuf> = runs.filter(|p| !self.seen_runs.contains(p)).collect();
        self.seen_runs.extend(fresh.iter().cloned());
        let text = fresh.iter().map(|run| fs::read_to_string(run.join("journal/00000001.jsonl")).unwrap_or_default());
        text.flat_map(|t| t.lines().map(|l| serde_json::from_str(l).expect(l)).collect::<Vec<Value>>()).collect()
    }
}

/// Tight where an attack needs a limit to hit, roomy elsewhere.
fn policy_text(kind: Kind, attack: &str) -> String {
    let cpu = if attack == "limit-cpu-share" { "20%" } else { "100%" };
    let wall = if attack == "limit-wall" { "1500ms" } else { "60s" };
    let (fs, tools) = match kind {
        Kind::Native => ("read = [\"/usr\", \"@workspace\"]\nexecute = [\"/usr\", \"@workspace\"]", ""),
        Kind::Wasm => (
            r#"read = ["@workspace"]"#,
            "[tools]\nallow = [\"workspace.read\", \"workspace.list\", \"workspace.stat\", \"workspace.write\"]\n",
        ),
    };
    format!(
        "version = 1\nid = \"escape\"\n\n[limits]\nmemory = \"64MiB\"\ncpu = \"{cpu}\"\npids = 32\nwall = \"{wall}\"\n\
         fuel = 1_000_000_000\ntables = 1000\noutput = \"1MiB\"\nfiles = 256\nfile_size = \"64MiB\"\ncalls = 100\njournal = \"1GiB\"\n\n\
         [fs]\n{fs}\nwrite = [\"@workspace\"]\n\n{tools}"
    )
}
