//! Plans for native cells: a program of the host under every layer.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::libc;
use stockade_plan::{Access, Addition, MAX_ADDITIONS, Owner, Role, What};
use stockade_policy::native::{DEVICES, IDENTITY, MERGED, PROC, RESOLVER, SCRATCH, WORKSPACE};
use stockade_policy::{FsRule, PathRule, Policy, seccomp};

use super::draft::{Draft, Finish, USER};
use super::egress::Inside;
use crate::cgroup::CellGroup;
use crate::error::{Doing, RunError};
use crate::fit::Gap;
use crate::home::{Home, dev_null};
use crate::launch::Order;
use crate::workspace::Workspace;

/// The filter of every native cell.
const PROFILE: &str = "cell-native";
/// That of one that has a network inside.
const PROFILE_NET: &str = "cell-native-net";
/// Code of a path that a cell cannot be given.
const HOST_PATH: &str = "host-path";
/// Size of `/tmp` and of `/dev/shm` is a part of the memory limit, which both are charged to.
const TMPFS_PART: u64 = 4;
const TMPFS_INODES: u64 = 16_384;

/// Descriptor of an agent's MCP session, which its environment names.
const MCP_FD: u8 = 10;

/// What a native cell is given.
pub(crate) struct NativeInputs<'a> {
    pub what: &'static str,
    pub policy: &'a Policy,
    pub workspace: Option<&'a Workspace>,
    pub host_id: u32,
    pub group: &'a CellGroup,
    pub landlock_abi: u8,
    pub hostname: &'a str,
    /// Nothing to read, if there is none.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub status: OwnedFd,
    /// The agent's MCP session, if it has one.
    pub mcp: Option<OwnedFd>,
    pub argv: &'a [String],
    pub env: &'a [(String, String)],
    pub inside: &'a Inside,
}

/// A native cell.
pub(crate) fn native(home: &Home, inputs: NativeInputs<'_>) -> Result<Order, RunError> {
    let mut draft = Draft::default();
    draft.descriptor(inputs.stdin.map_or_else(dev_null, Ok)?, 0)?;
    draft.descriptor(inputs.stdout, 1)?;
    draft.descriptor(inputs.stderr, 2)?;
    draft.descriptor(inputs.status, 3)?;
    let mut env: Vec<String> = inputs.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if let Some(mcp) = inputs.mcp {
        draft.descriptor(mcp, MCP_FD)?;
        env.push(format!("STOCKADE_MCP_FD={MCP_FD}"));
    }

    let host = on_host(&inputs.policy.fs.read);
    let execute = on_host(&inputs.policy.fs.execute);
    for (path, rule) in tops(&host) {
        host_tree(&mut draft, path, rule, &host, &execute)?;
    }
    execute_beneath(&mut draft, &host, &execute)?;
    merged_usr(&mut draft, &host);
    devices(&mut draft)?;
    let size = inputs.policy.limits.memory / TMPFS_PART;
    for place in SCRATCH {
        draft.put(place, What::Tmpfs { size, inodes: TMPFS_INODES });
        draft.allow(place, Access::ReadWrite);
    }
    draft.put(PROC, What::Proc);
    draft.allow(PROC, Access::Read);
    identity_files(&mut draft, &host);
    if !inputs.inside.is_empty() {
        inputs.inside.put(&mut draft);
        resolver_file(&mut draft, &host);
    }
    let has_workspace = match inputs.workspace {
        Some(workspace) => put_workspace(&mut draft, inputs.policy, workspace)?,
        None => false,
    };

    draft.common_rlimits(inputs.policy.limits.files.into());
    draft.rlimit(libc::RLIMIT_FSIZE, inputs.policy.limits.file_size);
    let argv = ["stockade-init".to_owned()].into_iter().chain(inputs.argv.iter().cloned()).collect();
    draft.finish(Finish {
        what: inputs.what,
        role: Role::Native,
        hostname: inputs.hostname,
        host_id: inputs.host_id,
        group: inputs.group,
        landlock_abi: inputs.landlock_abi,
        profile: if inputs.inside.is_empty() { PROFILE } else { PROFILE_NET },
        listener: true,
        additions: additions(inputs.policy)?,
        program: home.program("stockade-init")?,
        argv,
        env,
        cwd: if has_workspace { WORKSPACE } else { "/tmp" },
    })
}

/// Rules for paths of the host.
type HostRules<'a> = Vec<(&'a str, &'a FsRule)>;

fn on_host(rules: &[FsRule]) -> HostRules<'_> {
    rules
        .iter()
        .filter_map(|rule| match &rule.path {
            PathRule::Host(path) => Some((path.as_str(), rule)),
            PathRule::Workspace(_) => None,
        })
        .collect()
}

/// Whether one of the rules covers all of `path`.
fn covers(rules: &[(&str, &FsRule)], path: &str) -> bool {
    rules.iter().any(|(top, _)| Path::new(path).starts_with(top))
}

/// What the policy adds to the profile, if all of it may be.
fn additions(policy: &Policy) -> Result<Vec<Addition>, Gap> {
    let gap = |message: String| Gap { code: "syscall", message, origin: None };
    let profile = seccomp::profile(PROFILE).ok_or_else(|| gap(format!("there is no seccomp profile {PROFILE}")))?;
    for rule in &policy.syscalls {
        for (nr, name) in &rule.calls {
            let refuse = |e| Gap::at("syscall", &rule.origin, format!("syscalls {name:?}: {e}"));
            seccomp::addable(&profile, *nr, rule.action).map_err(refuse)?;
        }
    }
    let additions = seccomp::additions(&policy.syscalls);
    if additions.len() > MAX_ADDITIONS {
        let count = additions.len();
        return Err(gap(format!("syscalls: {count} are added, at most {MAX_ADDITIONS} can be")));
    }
    Ok(additions)
}

/// What a path of the host is.
enum Found {
    /// Not there, and nobody minds.
    Nothing,
    /// A link to what is readable anyway.
    Link(String),
    /// What it says.
    Tree { file: fs::File, is_file: bool },
}

/// Looks at what `fs.read` names.
fn look(path: &str, rule: &FsRule, host: &[(&str, &FsRule)]) -> Result<Found, Gap> {
    let refuse = |why: String| Gap::at(HOST_PATH, &rule.origin, format!("fs.read {path:?}: {why}"));
    let real = match fs::canonicalize(path) {
        // A preset names what a program wants where it exists; a policy names what its author knows to be there.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && rule.origin.file.starts_with("preset:") => {
            return Ok(Found::Nothing);
        }
        other => other.map_err(|e| refuse(format!("{e}; create it or remove the entry")))?,
    };
    if real != Path::new(path) {
        let readable = host.iter().any(|(other, _)| real.starts_with(other));
        return match (readable, real.to_str()) {
            (true, Some(target)) => Ok(Found::Link(target.to_owned())),
            _ => Err(refuse(format!("it is a symbolic link or goes through one; name {} instead", real.display()))),
        };
    }
    let file = open_path(Path::new(path)).map_err(|e| refuse(e.to_string()))?;
    let meta = file.metadata().map_err(|e| refuse(e.to_string()))?;
    let is_file = meta.is_file();
    if !is_file && !meta.is_dir() {
        return Err(refuse("it is neither a directory nor a regular file".into()));
    }
    Ok(Found::Tree { file, is_file })
}

/// One path of the host, read-only. A link whose target is readable anyway appears as that link.
fn host_tree(
    draft: &mut Draft,
    path: &str,
    rule: &FsRule,
    host: &[(&str, &FsRule)],
    execute: &[(&str, &FsRule)],
) -> Result<(), RunError> {
    let (file, is_file) = match look(path, rule, host)? {
        Found::Nothing => return Ok(()),
        Found::Link(target) => {
            draft.put(path, What::Symlink { target });
            return Ok(());
        }
        Found::Tree { file, is_file } => (file, is_file),
    };
    let source = draft.slot(file.into())?;
    // A mount with something to execute in it cannot be noexec; there Landlock says what.
    let whole = covers(execute, path);
    let no_exec = !whole && !execute.iter().any(|(inside, _)| Path::new(inside).starts_with(path));
    let what = What::Bind { source, read_only: true, no_exec, device: false, file: is_file, idmap: None };
    draft.put(path, what);
    draft.allow(
        path,
        match (is_file, whole) {
            (true, true) => Access::ReadExecuteFile,
            (true, false) => Access::ReadFile,
            (false, true) => Access::ReadExecute,
            (false, false) => Access::Read,
        },
    );
    Ok(())
}

/// Execution beneath trees that are only readable as a whole.
fn execute_beneath(draft: &mut Draft, host: &[(&str, &FsRule)], execute: &[(&str, &FsRule)]) -> Result<(), RunError> {
    for (path, rule) in execute {
        // What is listed to be read has been dealt with, in its own mount or in one above.
        let listed = host.iter().any(|(read, _)| read == path);
        let shown = draft.root.iter().any(|entry| entry.dest == *path);
        if listed && shown {
            continue;
        }
        if let Some(access) = look_executable(path, rule, host, execute)? {
            draft.allow(*path, access);
        }
    }
    Ok(())
}

/// Looks at what `fs.execute` names: the rights it gets, if there is something to give them to.
fn look_executable(
    path: &str,
    rule: &FsRule,
    host: &[(&str, &FsRule)],
    execute: &[(&str, &FsRule)],
) -> Result<Option<Access>, Gap> {
    let refuse = |why: String| Gap::at(HOST_PATH, &rule.origin, format!("fs.execute {path:?}: {why}"));
    if !covers(host, path) {
        return Err(refuse("no fs.read covers it; add it there".into()));
    }
    let real = match fs::canonicalize(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && rule.origin.file.starts_with("preset:") => {
            return Ok(None);
        }
        other => other.map_err(|e| refuse(format!("{e}; create it or remove the entry")))?,
    };
    if real == Path::new(path) {
        return Ok(Some(if real.is_file() { Access::ReadExecuteFile } else { Access::ReadExecute }));
    }
    // What is executed is the target.
    match real.to_str() {
        Some(target) if covers(execute, target) => Ok(None),
        _ => Err(refuse(format!("it is a symbolic link or goes through one; name {} instead", real.display()))),
    }
}

/// What a native cell of this policy would be refused for on this host.
pub(crate) fn host_gaps(policy: &Policy) -> Vec<Gap> {
    let (host, execute) = (on_host(&policy.fs.read), on_host(&policy.fs.execute));
    let mut found: Vec<Gap> = tops(&host).filter_map(|(path, rule)| look(path, rule, &host).err()).collect();
    let listed = |path: &str| host.iter().any(|(read, _)| *read == path);
    let beneath = execute.iter().filter(|(path, _)| !listed(path));
    found.extend(beneath.filter_map(|(path, rule)| look_executable(path, rule, &host, &execute).err()));
    if let Err(error) = additions(policy) {
        found.push(error);
    }
    if let Err(error) = Inside::of(policy) {
        found.push(error);
    }
    found
}

/// Trees that get a mount: a path beneath another one is there already, and can't be mounted into a read-only tree.
fn tops<'h, 'p>(host: &'h [(&'p str, &'p FsRule)]) -> impl Iterator<Item = &'h (&'p str, &'p FsRule)> {
    host.iter().filter(|(path, _)| !host.iter().any(|(other, _)| other != path && Path::new(path).starts_with(other)))
}

/// `O_PATH`, no link followed at the end.
fn open_path(path: &Path) -> std::io::Result<fs::File> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

/// `/bin` and its like as the links that they are on the host, if `/usr` is there to point to.
fn merged_usr(draft: &mut Draft, host: &[(&str, &FsRule)]) {
    if !host.iter().any(|(path, _)| *path == "/usr") {
        return;
    }
    for place in MERGED {
        if let Ok(target) = fs::read_link(place)
            && target.starts_with("usr")
            && let Some(target) = target.to_str()
        {
            draft.put(place, What::Symlink { target: target.to_owned() });
        }
    }
}

fn devices(draft: &mut Draft) -> Result<(), RunError> {
    for path in DEVICES {
        let file = open_path(Path::new(path)).doing("open", path)?;
        let source = draft.slot(file.into())?;
        let what = What::Bind { source, read_only: false, no_exec: true, device: true, file: true, idmap: None };
        draft.put(path, what);
        draft.allow(path, Access::File);
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        draft.put(format!("/dev/{name}"), What::Symlink { target: target.into() });
    }
    Ok(())
}

/// Who the agent is, for programs that look it up; nothing of the host's users.
fn identity_files(draft: &mut Draft, host: &[(&str, &FsRule)]) {
    let contents = [
        format!("agent:x:{USER}:{USER}:agent:{WORKSPACE}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        format!("agent:x:{USER}:\nnogroup:x:65534:\n"),
        "127.0.0.1 localhost\n::1 localhost\n".to_owned(),
    ];
    for (path, content) in IDENTITY.into_iter().zip(contents) {
        if !host.iter().any(|(listed, _)| Path::new(path).starts_with(listed)) {
            draft.put(path, What::File { content: content.into_bytes() });
            draft.allow(path, Access::ReadFile);
        }
    }
}

/// Where names are asked for. A file of the host's in its place names others, and gets the same answers: every address
/// is a local one.
fn resolver_file(draft: &mut Draft, host: &[(&str, &FsRule)]) {
    if !host.iter().any(|(listed, _)| Path::new(RESOLVER).starts_with(listed)) {
        draft.put(RESOLVER, What::File { content: b"nameserver 127.0.0.1\noptions timeout:5 attempts:2\n".to_vec() });
        draft.allow(RESOLVER, Access::ReadFile);
    }
}

/// The workspace with the parts that `fs.read` and `fs.write` name, less what `fs.deny` names. Without such a
/// part it is not there at all.
fn put_workspace(draft: &mut Draft, policy: &Policy, workspace: &Workspace) -> Result<bool, RunError> {
    let inside = |rules: &[FsRule]| -> Vec<String> {
        rules
            .iter()
            .filter_map(|rule| match &rule.path {
                PathRule::Workspace(path) => Some(path.as_str().to_owned()),
                PathRule::Host(_) => None,
            })
            .collect()
    };
    let (read, write, execute) = (inside(&policy.fs.read), inside(&policy.fs.write), inside(&policy.fs.execute));
    if read.is_empty() && write.is_empty() {
        return Ok(false);
    }
    for (list, rules) in [("read", &policy.fs.read), ("write", &policy.fs.write), ("execute", &policy.fs.execute)] {
        for rule in rules {
            there(workspace, list, rule)?;
        }
    }
    let source = draft.slot(workspace.share()?)?;
    let owner = workspace.owner;
    let read_only = write.is_empty();
    let no_exec = execute.is_empty();
    let what = What::Bind { source, read_only, no_exec, device: false, file: false, idmap: Some(owner) };
    draft.put(WORKSPACE, what);
    let covered = |path: &str| execute.iter().any(|top| Path::new(path).starts_with(top));
    // Of one file only the rights that files have can be given.
    let of = |path: &str, tree: Access, file: Access| if workspace.is_file(path) { file } else { tree };
    for path in &read {
        let access = match covered(path) {
            true => of(path, Access::ReadExecute, Access::ReadExecuteFile),
            false => of(path, Access::Read, Access::ReadFile),
        };
        draft.allow(join(path), access);
    }
    for path in &write {
        draft.allow(join(path), of(path, Access::ReadWrite, Access::File));
        if covered(path) {
            draft.allow(join(path), of(path, Access::ReadExecute, Access::ReadExecuteFile));
        }
    }
    for path in execute.iter().filter(|path| !read.contains(path) && !write.contains(path)) {
        draft.allow(join(path), of(path, Access::ReadExecute, Access::ReadExecuteFile));
    }
    for rule in &policy.fs.deny {
        // What another one covers is hidden with it, and can't be covered again.
        let covered = policy.fs.deny.iter().any(|other| other.path != rule.path && other.path.covers(&rule.path));
        if let (PathRule::Workspace(path), false) = (&rule.path, covered) {
            deny(draft, workspace, path.as_str(), rule)?;
        }
    }
    Ok(true)
}

/// Landlock gives rights to what is there. A link on the way is left to the launcher, which follows none.
fn there(workspace: &Workspace, list: &str, rule: &FsRule) -> Result<(), RunError> {
    match &rule.path {
        PathRule::Workspace(path) if !path.is_empty() && matches!(workspace.has(path), Ok(false)) => {
            Err(RunError::Policy(format!(
                "{}: fs.{list} \"{}\" does not exist in the workspace, and Landlock gives a native cell rights to nothing that is not there; create it, or name a directory above it",
                rule.origin, rule.path
            )))
        }
        _ => Ok(()),
    }
}

fn join(inside: &str) -> String {
    if inside.is_empty() { WORKSPACE.to_owned() } else { format!("{WORKSPACE}/{inside}") }
}

/// Covers a denied path. Its parents are pinned, or the agent could rename them and make the path anew.
fn deny(draft: &mut Draft, workspace: &Workspace, path: &str, rule: &FsRule) -> Result<(), RunError> {
    if !workspace.has(path)? {
        return Err(RunError::Policy(format!(
            "{}: fs.deny {path:?} does not exist in the workspace, and the mount layer cannot deny in a native cell what is not there; create it (empty is enough)",
            rule.origin
        )));
    }
    if workspace.has_other_names(path)? {
        return Err(RunError::Policy(format!(
            "{}: fs.deny {path:?} has other hard links, by which a native cell could read it; remove them",
            rule.origin
        )));
    }
    let mut parents: Vec<PathBuf> =
        Path::new(path).ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).map(Path::to_path_buf).collect();
    parents.reverse();
    for parent in parents {
        let place = join(&parent.to_string_lossy());
        if !draft.root.iter().any(|e| e.dest == place) {
            draft.put(place, What::Pin);
        }
    }
    draft.put(join(path), What::Mask);
    Ok(())
}

impl Workspace {
    /// Uid and gid of the workspace's owner.
    pub(crate) fn owner_of(meta: &fs::Metadata) -> Owner {
        Owner { uid: meta.uid(), gid: meta.gid() }
    }
}
