//! A reader's session: a folder like a fresh clone, the programs in PATH, journals of its own.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use stockade_tests::host::Programs;
use tempfile::TempDir;

use crate::page::Block;
use crate::same::same;

/// Where the pages say that the clone is.
const CLONE: &str = "/srv/stockade";
/// Where journals are.
const STATE: &str = "/var/lib/stockade";
/// Seconds for one command.
const PATIENCE: &str = "60";

/// One page's session.
pub struct Session {
    scratch: TempDir,
    /// The exit status of the last command.
    status: i32,
    /// Commands so far.
    pub ran: usize,
}

impl Session {
    /// Takes the calling thread into a mount namespace in which the clone and the state are scratch folders.
    pub fn begin(root: &Path) -> Self {
        let scratch = TempDir::with_prefix("stockade-docs.").unwrap();
        let (clone, state) = (scratch.path().join("srv/stockade"), scratch.path().join("state"));
        fs::create_dir_all(&clone).unwrap();
        for dir in [state.as_path(), Path::new(STATE)] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
        }
        for part in ["policies", "docs"] {
            copy(&root.join(part), &clone.join(part));
        }
        let component = Path::new("agents/target/log-triage.wasm");
        if root.join(component).exists() {
            fs::create_dir_all(clone.join("agents/target")).unwrap();
            fs::copy(root.join(component), clone.join(component)).unwrap();
        }
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        for (from, to) in [(scratch.path().join("srv"), "/srv"), (state, STATE)] {
            mount(Some(&from), to, none, MsFlags::MS_BIND, none).unwrap();
        }
        Self { scratch, status: 0, ran: 0 }
    }

    /// Whether a file is there, for a page that says it needs it.
    pub fn has(&self, path: &str) -> bool {
        Path::new(CLONE).join(path).exists()
    }

    /// Writes a file whose text the page shows.
    pub fn write(&self, path: &str, text: &str) {
        let path = Path::new(CLONE).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Types a block's commands; gives back what was not as the page says.
    pub fn play(&mut self, page: &str, block: &Block) -> Vec<String> {
        let mut wrong = Vec::new();
        for (index, command) in block.commands.iter().enumerate() {
            let (status, printed) = self.run(&command.typed);
            let place = format!("{page}:{}: $ {}", command.line, command.typed);
            let told = block.commands.get(index + 1).is_some_and(|next| next.typed == "echo $?");
            if status != 0 && !told {
                wrong.push(format!("{place}\nended with {status}:\n{printed}"));
            } else if command.typed == "echo $?" && command.printed != [printed.trim()] {
                wrong.push(format!("{place}\nprinted {printed}"));
            } else if !command.printed.is_empty()
                && let Err(difference) = same(&command.printed, &printed, &block.varies)
            {
                wrong.push(format!("{place}\n{difference}"));
            }
        }
        wrong
    }

    fn run(&mut self, typed: &str) -> (i32, String) {
        self.ran += 1;
        let output = self.scratch.path().join("output");
        let file = File::create(&output).unwrap();
        let programs = Programs::find().path("stockade");
        let programs: PathBuf = programs.parent().unwrap().to_path_buf();
        // `$?` of the command before is what the reader's shell would have.
        let script = format!("(exit {})\n{typed}", self.status);
        let status = Command::new("timeout")
            .args(["--kill-after=5", PATIENCE, "bash", "-c", &script])
            .current_dir(CLONE)
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()))
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        self.status = status.code().unwrap_or(-1);
        (self.status, String::from_utf8_lossy(&fs::read(output).unwrap()).into_owned())
    }
}

/// A folder and what is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
