//! Shutting itself in, in one linear function that ends before the first message is read.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use caps::CapSet;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chown, geteuid, setgroups, setresgid, setresuid};
use seccompiler::{SeccompAction, SeccompFilter};
use stockade_journal::tiles::Folder;
use zeroize::Zeroizing;

use crate::NOTARY_ID;
use crate::error::NotaryError;
use crate::keys::{CREDENTIAL, Keys};
use crate::memory::Memory;

/// What a notary keeps of the world when it has shut itself in.
pub struct Inside {
    /// The log's folder.
    pub folder: Folder,
    /// Where the key is from.
    pub keys: Keys,
    /// What witnesses remember.
    pub memory: Memory,
}

/// Takes what it needs as root, then gives up all but one folder and the socket on descriptor 0.
///
/// `folder` is made if it is missing and must be the notary's own; `cosigned` is root's and only read.
pub fn confine(folder: &Path, cosigned: &Path) -> Result<Inside, NotaryError> {
    if !geteuid().is_root() {
        return Err(NotaryError::Confine { step: "identity", why: "a notary is started by root".to_owned() });
    }
    // 1. What only root can read, while it still is root. The environment names the credential's folder.
    let memory = Memory::read(cosigned)?;
    let keys = match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(dir) => credential(Path::new(&dir))?,
        None => Keys::Epochs,
    };
    // 2. The folder, of which it will be the owner. Nobody else may have made it.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    match std::fs::DirBuilder::new().mode(0o755).create(folder) {
        Ok(()) => {
            chown(folder, Some(Uid::from_raw(NOTARY_ID)), Some(Gid::from_raw(NOTARY_ID))).map_err(step("chown"))?
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(step("mkdir")(e)),
    }
    let meta = std::fs::symlink_metadata(folder).map_err(step("lstat"))?;
    if !meta.is_dir() || meta.uid() != NOTARY_ID || meta.mode() & 0o022 != 0 {
        let why = format!("{} must be a folder of uid {NOTARY_ID} that only it can write", folder.display());
        return Err(NotaryError::Confine { step: "folder", why });
    }
    let open = Folder::open(folder)?;
    let beneath = PathFd::new(folder).map_err(step("open"))?;
    // 3. Bounds. A core would hold the key; nothing it writes is large.
    for (resource, limit) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, 32),
        (Resource::RLIMIT_NPROC, 1),
        (Resource::RLIMIT_FSIZE, 1 << 20),
        (Resource::RLIMIT_AS, 256 << 20),
    ] {
        setrlimit(resource, limit, limit).map_err(step("setrlimit"))?;
    }
    // 4. Identity. The bounding set goes first, since that takes a capability; the others go with uid 0.
    caps::clear(None, CapSet::Bounding).map_err(step("bounding set"))?;
    setgroups(&[]).map_err(step("setgroups"))?;
    let gid = Gid::from_raw(NOTARY_ID);
    setresgid(gid, gid, gid).map_err(step("setresgid"))?;
    let uid = Uid::from_raw(NOTARY_ID);
    setresuid(uid, uid, uid).map_err(step("setresuid"))?;
    caps::clear(None, CapSet::Inheritable).map_err(step("inheritable set"))?;
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient, CapSet::Bounding] {
        if !caps::read(None, set).map_err(step("capget"))?.is_empty() {
            return Err(NotaryError::Confine { step: "capabilities", why: format!("{set:?} is not empty") });
        }
    }
    // After the change of identity, which resets it: nobody may trace it or read its memory.
    prctl::set_dumpable(false).map_err(step("PR_SET_DUMPABLE"))?;
    prctl::set_no_new_privs().map_err(step("PR_SET_NO_NEW_PRIVS"))?;
    // 5. Files: its folder, no network, no signals to others.
    landlock(beneath)?;
    // 6. System calls, last, since the steps above take others.
    let filter = filter().map_err(step("seccomp filter"))?;
    seccompiler::apply_filter(&filter).map_err(step("seccomp"))?;
    Ok(Inside { folder: open, keys, memory })
}

fn credential(dir: &Path) -> Result<Keys, NotaryError> {
    match std::fs::read_to_string(dir.join(CREDENTIAL)) {
        Ok(text) => Ok(Keys::Credential(Zeroizing::new(text))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Keys::Epochs),
        Err(e) => Err(NotaryError::key(CREDENTIAL, e)),
    }
}

/// ABI 2 is the oldest under which a file can be renamed into another folder (landlock(7)).
fn landlock(folder: PathFd) -> Result<(), NotaryError> {
    let create = |abi: i32| {
        let known = ABI::from(abi);
        let mut rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        rules = rules.handle_access(AccessFs::from_all(known))?;
        if abi >= 4 {
            rules = rules.handle_access(AccessNet::from_all(known))?;
        }
        if abi >= 6 {
            rules = rules.scope(Scope::from_all(known))?;
        }
        rules.create().map(|rules| (rules, known))
    };
    let made = (2..=6).rev().find_map(|abi| create(abi).ok());
    let (rules, abi) = made.ok_or_else(|| step("Landlock")("this kernel has no Landlock of ABI 2 or newer"))?;
    let wanted: BitFlags<AccessFs> = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
        | AccessFs::Truncate;
    let rule = PathBeneath::new(folder, wanted & AccessFs::from_all(abi));
    let rules = rules.add_rule(rule).map_err(step("Landlock rule"))?;
    let status = rules.restrict_self().map_err(step("Landlock"))?;
    if status.ruleset != RulesetStatus::FullyEnforced {
        return Err(step("Landlock")("it is not fully enforced"));
    }
    if std::fs::File::open("/etc/passwd").is_ok() {
        return Err(step("Landlock")("a file outside of the folder can still be opened"));
    }
    Ok(())
}

/// What it takes to receive, to hash, to sign and to write files; all else fails with EPERM.
fn filter() -> Result<seccompiler::BpfProgram, seccompiler::BackendError> {
    let calls = [
        // The socket, and what is on stderr.
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_close,
        libc::SYS_fcntl,
        // Files beneath the folder.
        libc::SYS_openat2,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_mkdirat,
        libc::SYS_renameat,
        libc::SYS_unlinkat,
        libc::SYS_fchmod,
        libc::SYS_fsync,
        libc::SYS_flock,
        // Its name, the time, chance.
        libc::SYS_uname,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        // Memory, and the end.
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()
}

fn step<E: std::fmt::Display>(name: &'static str) -> impl FnOnce(E) -> NotaryError {
    NotaryError::confine(name)
}
