//! What `stockade policy explain path` says of native programs is what becomes of them in a cell.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use stockade_policy::{Access, Attempt, Expect, Judge, Options, Trust, load_with};

use crate::rig::{OWNER, Rig};

/// SplitMix64: the same policies on every machine.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n.max(1) as u64).unwrap()
    }

    fn some(&mut self, of: &[&str], most: usize, always: &[&str]) -> String {
        let mut all: Vec<&str> = always.to_vec();
        for _ in 0..self.below(most + 1) {
            let one = of[self.below(of.len())];
            if !all.contains(&one) {
                all.push(one);
            }
        }
        format!("{all:?}")
    }
}

const POLICIES: usize = 18;

const INSIDE: [&str; 6] =
    ["@workspace", "@workspace/a", "@workspace/a/b", "@workspace/ab", "@workspace/.git", "@workspace/.git/hooks"];

/// Everybody may read these, and execute those that are programs.
const HOST: [&str; 22] = [
    "/usr",
    "/usr/share",
    "/usr/share/common-licenses/GPL-3",
    "/usr/share/doc",
    "/usr/lib",
    "/usr/lib/os-release",
    "/usr/bin",
    "/usr/bin/true",
    "/usr/bin/echo",
    "/usr/sbin",
    "/bin/true",
    "/bin/echo",
    "/bin",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",
    "/etc/debian_version",
    "/etc/shells",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc",
    "/",
];
const OWN: [&str; 8] =
    ["/tmp", "/dev/shm", "/dev/null", "/dev/zero", "/dev/urandom", "/proc", "/proc/self/status", "/proc/self/comm"];

/// Tries each access to each path; what is not there is not given.
const PROBE: &str = r#"
import errno, json, os, sys
def read(path):
    if os.path.isdir(path):
        # What is hidden is there, and has nothing in it.
        if not os.listdir(path) and path.startswith('/workspace'): raise OSError(errno.ENOENT, path)
    else: os.close(os.open(path, os.O_RDONLY))
def write(path):
    if os.path.isdir(path):
        made = path + '/made-by-the-probe'
        os.close(os.open(made, os.O_WRONLY | os.O_CREAT))
        os.unlink(made)
    else: os.close(os.open(path, os.O_WRONLY))
def execute(path):
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            null = os.open('/dev/null', os.O_WRONLY)
            os.dup2(null, 1)
            os.execve(path, [path], {})
        except OSError as e: os.write(w, str(e.errno).encode())
        finally: os._exit(1)
    os.close(w)
    said = os.read(r, 16)
    os.close(r)
    os.waitpid(child, 0)
    if said: raise OSError(int(said), path)
calls = {'read': read, 'write': write, 'execute': execute}
said = []
for line in sys.argv[1:]:
    access, path = line.split(' ', 1)
    try:
        calls[access](path)
        said.append([line, True, ''])
    except OSError as e: said.append([line, False, errno.errorcode.get(e.errno, str(e.errno))])
print(json.dumps(said))
"#;

/// Files of the workspace: text in each tree, and a program.
fn fill(work: &Path) -> Vec<String> {
    let mut all = vec!["/workspace".to_owned()];
    for folder in ["a", "a/b", "ab", "a/c", ".git", ".git/hooks"] {
        fs::create_dir_all(work.join(folder)).unwrap();
        all.push(format!("/workspace/{folder}"));
    }
    for folder in ["", "a/", "a/b/", "ab/", "a/c/", ".git/", ".git/hooks/"] {
        fs::write(work.join(format!("{folder}text")), "text").unwrap();
        fs::copy("/usr/bin/true", work.join(format!("{folder}tool"))).unwrap();
        for (name, mode) in [("text", 0o644), ("tool", 0o755)] {
            fs::set_permissions(work.join(format!("{folder}{name}")), Permissions::from_mode(mode)).unwrap();
            all.push(format!("/workspace/{folder}{name}"));
        }
    }
    for path in &all {
        let path = work.join(path.trim_start_matches("/workspace").trim_start_matches('/'));
        chown(path, Some(OWNER), Some(OWNER)).unwrap();
    }
    all
}

/// Whether the access is left to the policy: modes of the host's own files decide too.
fn asked(path: &str, access: Access) -> bool {
    let program = ["true", "echo", "tool"].iter().any(|name| path.ends_with(&format!("/{name}")));
    match access {
        Access::Read => true,
        // The policy gives nothing of the host to write, and the modes refuse it too: both agree.
        Access::Write => true,
        Access::Execute => program,
    }
}

#[test]
fn explain_says_of_paths_what_a_cell_does() {
    let Some(rig) = Rig::new("explain_says_of_paths_what_a_cell_does", &["python3"]) else { return };
    let inside = fill(&rig.path("work"));
    let interpreter = fs::canonicalize("/usr/bin/python3").unwrap();
    let host = HOST.iter().chain(&OWN).map(|path| (*path).to_owned()).filter(|path| Path::new(path).exists());
    let paths: Vec<String> = host.chain(inside).collect();
    assert!(paths.len() >= 50, "{}", paths.len());
    let mut rng = Rng(61);
    let (mut agreed, mut allowed, mut ran) = (0, 0, 0);
    while ran < POLICIES {
        let needed = ["/usr", "/etc/ld.so.cache"];
        let read = rng.some(
            &[
                "/etc/ssl",
                "/etc/debian_version",
                "/etc/shells",
                "/usr/share",
                "@workspace",
                "@workspace/a",
                "@workspace/ab",
            ],
            4,
            &needed,
        );
        let write = rng.some(&INSIDE, 2, &[]);
        // The interpreter and its loader, then what may come.
        let loader = [interpreter.to_str().unwrap(), "/usr/lib"];
        let execute = rng.some(
            &["/usr", "/usr/bin", "/usr/bin/echo", "@workspace", "@workspace/a", "@workspace/a/b"],
            3,
            &loader,
        );
        let deny = rng.some(
            &["@workspace/a/b", "@workspace/ab", "@workspace/.git", "@workspace/a/text", "@workspace/a/b/tool"],
            3,
            &[],
        );
        let mode =
            ["", "", "workspace = \"read-only\"\n", "workspace = \"none\"\n", "workspace = \"direct\"\n"][rng.below(5)];
        let text = format!(
            "version = 1\nid = \"t\"\nextends = [\"preset:base\"]\n[require]\ndegrade_ok = [\"landlock.truncate\", \"landlock.net\", \
             \"landlock.ioctl_dev\", \"landlock.scope\"]\n[limits]\nwall = \"30s\"\noutput = \"1MiB\"\n[fs]\nread = {read}\nwrite = {write}\n\
             execute = {execute}\ndeny = {deny}\n{mode}"
        );
        let file = rig.file("p.toml", &text);
        let Ok(policy) = load_with(&file, &Options { trust: Trust::Inspect, ..Options::default() }) else { continue };
        ran += 1;
        let judge = Judge::new(&policy).unwrap();
        let mut command = rig.command(&file);
        command.args(["--", interpreter.to_str().unwrap(), "-I", "-c", PROBE]);
        let mut attempts = Vec::new();
        for path in &paths {
            for access in [Access::Read, Access::Write, Access::Execute] {
                if asked(path, access) {
                    command.arg(format!("{} {path}", access.name()));
                    attempts.push((path.clone(), access));
                }
            }
        }
        let run = rig.end(&mut command);
        run.expect(&text, 0, &[]);
        let said: Vec<(String, bool, String)> =
            serde_json::from_str(&run.text()).unwrap_or_else(|e| panic!("{e}: {}", run.text()));
        assert_eq!(said.len(), attempts.len());
        let mut differ = Vec::new();
        for ((path, access), (line, happened, error)) in attempts.into_iter().zip(said) {
            let asked = match path.strip_prefix("/workspace") {
                Some(rest) => format!("@workspace{rest}"),
                None => path,
            };
            let ruling = judge.rule(&Attempt::Path { path: asked, access });
            let explained = ruling.verdict == Expect::Allow;
            agreed += usize::from(explained == happened);
            allowed += usize::from(happened);
            if explained != happened {
                differ.push(format!("{line}: explained {explained} ({}), happened {happened} {error}", ruling.reason));
            }
        }
        assert!(differ.is_empty(), "{text}\n{}", differ.join("\n"));
    }
    println!("{ran} policies, {agreed} accesses as explained, {allowed} of them allowed");
    rig.clean("what explain says of paths");
}
