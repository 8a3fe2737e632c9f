//! Getting more privilege: ids, capabilities, privileged programs, user namespaces, keyrings.

use crate::attack::{Attack, Attempt, USER, attack, failed, no_effect};
use crate::kit::{CapData, MARK, capget, capset, effective_caps, expect_secret};
use crate::params::Params;
use crate::sys;
use crate::sys::{at, at_mut, c};

const CLASS: &str = "privileges";
const IDS: &[&str] = &["user-ns", "capabilities", "seccomp"];
const NO_USERNS: &[i32] = &[libc::EPERM, libc::ENOSPC];
const NO_USERNS_WHY: &str = "user namespaces are closed to ordinary users on this host";

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("priv-setuid-0", CLASS, "become uid 0", |_| {
        sys!(SYS_setresuid, 0, 0, 0)?;
        if sys!(SYS_geteuid)? == 0 { Ok("uid 0".into()) } else { Err(no_effect("still not 0")) }
    })
    .native(IDS),
    attack("priv-setgid-0", CLASS, "become gid 0", |_| {
        sys!(SYS_setresgid, 0, 0, 0)?;
        if sys!(SYS_getegid)? == 0 { Ok("gid 0".into()) } else { Err(no_effect("still not 0")) }
    })
    .native(IDS),
    attack("priv-setgroups", CLASS, "join a supplementary group", |_| {
        let group = 4242u32;
        sys!(SYS_setgroups, 1, at(&group))?;
        Ok("in group 4242".into())
    })
    .native(IDS),
    attack("priv-setfsuid", CLASS, "change only the file system uid, which fails in silence", |_| {
        sys!(SYS_setfsuid, 0)?;
        // The second call returns the value in force.
        match sys!(SYS_setfsuid, u32::MAX)? {
            0 => Ok("fsuid 0".into()),
            other => Err(no_effect(format!("fsuid is {other}"))),
        }
    })
    .native(IDS),
    attack("priv-capset", CLASS, "drop and raise every permitted capability, then raise more", capset_raise)
        .native(&["capabilities", "seccomp"]),
    attack("priv-ambient", CLASS, "raise an ambient capability", ambient).native(&["capabilities", "seccomp"]),
    attack("priv-securebits", CLASS, "set SECBIT_KEEP_CAPS and SECBIT_NO_SETUID_FIXUP", |_| {
        sys!(SYS_prctl, libc::PR_SET_SECUREBITS, 0x14, 0, 0, 0)?;
        Ok("set".into())
    })
    .native(&["capabilities", "seccomp"]),
    attack("priv-setuid-program", CLASS, "run a setuid-root program", |p| {
        run(p.get("SUID_PROGRAM")?, "whoami-euid", "0")
    })
    .needs(&["SUID_PROGRAM"])
    .outside(USER)
    .native(&["no-new-privs", "user-ns", "landlock", "seccomp"]),
    attack("priv-setgid-program", CLASS, "run a setgid-root program", |p| {
        run(p.get("SGID_PROGRAM")?, "whoami-egid", "0")
    })
    .needs(&["SGID_PROGRAM"])
    .outside(USER)
    .native(&["no-new-privs", "user-ns", "landlock", "seccomp"]),
    attack("priv-filecaps-program", CLASS, "run a program with file capabilities", |p| {
        run(p.get("CAPS_PROGRAM")?, "whoami-caps", "some")
    })
    .needs(&["CAPS_PROGRAM"])
    .outside(USER)
    .native(&["no-new-privs", "user-ns", "landlock", "seccomp"]),
    attack("priv-userns-unshare", CLASS, "make a user namespace by unshare and be root in it", |_| {
        sys!(SYS_unshare, libc::CLONE_NEWUSER)?;
        rooted()
    })
    .outside(USER)
    .excuse(NO_USERNS, NO_USERNS_WHY),
    attack("priv-userns-clone", CLASS, "make a user namespace by clone", |_| userns(libc::CLONE_NEWUSER as usize))
        .outside(USER)
        .excuse(NO_USERNS, NO_USERNS_WHY),
    attack("priv-userns-clone-high", CLASS, "the same with junk in the flags' high half", |_| {
        userns(libc::CLONE_NEWUSER as usize | 1 << 40)
    })
    .outside(USER)
    .excuse(NO_USERNS, NO_USERNS_WHY),
    attack("priv-userns-clone3", CLASS, "make a user namespace by clone3, whose flags no filter can see", clone3)
        .outside(USER)
        .excuse(NO_USERNS, NO_USERNS_WHY),
    attack("priv-namespaces-unshare", CLASS, "make mount and network namespaces by unshare", |_| {
        sys!(SYS_unshare, libc::CLONE_NEWNS | libc::CLONE_NEWNET)?;
        Ok("new namespaces".into())
    }),
    attack("priv-key-add", CLASS, "add a key to the process keyring and read it back", add_key),
    attack("priv-key-inherited", CLASS, "read a key of the session keyring that was inherited", |_| {
        inherited_key(false)
    })
    .outside("--session-key")
    .native(&["seccomp", "keyring"]),
    attack("priv-key-request", CLASS, "find the inherited key by request_key", |_| inherited_key(true))
        .outside("--session-key")
        .native(&["seccomp", "keyring"]),
    attack("priv-groups-inherited", CLASS, "still be in a supplementary group of the launcher", |_| {
        let mut groups = [0u32; 64];
        let n = sys!(SYS_getgroups, groups.len(), groups.as_mut_ptr())?;
        let mine = groups.get(..n).unwrap_or_default();
        if mine.contains(&4242) { Ok(format!("{mine:?}")) } else { Err(no_effect(format!("groups {mine:?}"))) }
    })
    .outside("--groups 0,4242")
    .native(&["dropped-groups"])
    .wasm(&["dropped-groups", "seccomp"]),
];

fn capset_raise(_: &Params) -> Attempt {
    let (header, before) = capget()?;
    let all = before.map(|d| CapData { effective: u32::MAX, permitted: u32::MAX, inheritable: d.inheritable });
    if capset(&header, &all).is_err() {
        // More than is permitted is refused to everyone: give up and take back what there is.
        let none = before.map(|d| CapData { effective: 0, ..d });
        capset(&header, &none)?;
        let back = before.map(|d| CapData { effective: d.permitted, ..d });
        capset(&header, &back)?;
    }
    match effective_caps()? {
        0 => Err(failed(libc::EPERM, "no capability is permitted")),
        caps => Ok(format!("effective {caps:#x}")),
    }
}

fn ambient(_: &Params) -> Attempt {
    const CAP_NET_RAW: u32 = 13;
    let (header, data) = capget()?;
    let [low, high] = data;
    capset(&header, &[CapData { inheritable: low.inheritable | 1 << CAP_NET_RAW, ..low }, high]).ok();
    sys!(SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0)?;
    Ok("CAP_NET_RAW is ambient".into())
}

/// Runs a program in a child and compares what it prints.
fn run(program: &str, question: &str, wanted: &str) -> Attempt {
    let mut pipe = [0i32; 2];
    sys!(SYS_pipe2, pipe.as_mut_ptr(), 0)?;
    let [read, write] = pipe;
    let (path, arg) = (c(program), c(question));
    let pid = sys::fork(|| {
        sys!(SYS_dup2, write, 1).ok();
        let argv = [path.as_ptr(), arg.as_ptr(), std::ptr::null()];
        let none: [*const libc::c_char; 1] = [std::ptr::null()];
        sys!(SYS_execve, path.as_ptr(), argv.as_ptr(), none.as_ptr()).err().map_or(0, |f| f.errno)
    })?;
    sys!(SYS_close, write)?;
    let got = crate::kit::read(usize::try_from(read).unwrap_or(0))?;
    let status = sys::wait(pid)?;
    let answer = String::from_utf8_lossy(&got).trim().to_owned();
    if answer == wanted {
        return Ok(format!("{question}: {answer}"));
    }
    if answer.is_empty() {
        sys::remember(libc::SYS_execve, &[]);
        return Err(failed(libc::WEXITSTATUS(status), format!("{program} did not run ({status:#x})")));
    }
    Err(no_effect(format!("{question}: {answer}")))
}

fn rooted() -> Attempt {
    match effective_caps()? {
        0 => Err(no_effect("a namespace without capabilities")),
        caps => Ok(format!("capabilities {caps:#x} in a user namespace of one's own")),
    }
}

fn userns(flags: usize) -> Attempt {
    let child = sys::fork_with(flags | libc::SIGCHLD as usize, || i32::from(rooted().is_err()))?;
    match sys::wait(child)? {
        0 => Ok("root in a new user namespace".into()),
        status => Err(no_effect(format!("child's wait status {status:#x}"))),
    }
}

fn clone3(_: &Params) -> Attempt {
    // struct clone_args, version 0 (64 bytes): flags first, exit signal fifth.
    let args: [u64; 8] = [libc::CLONE_NEWUSER as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    match sys!(SYS_clone3, at(&args), size_of_val(&args))? {
        0 => sys::exit(i32::from(rooted().is_err())),
        pid => match sys::wait(i32::try_from(pid).unwrap_or(-1))? {
            0 => Ok("root in a new user namespace".into()),
            status => Err(no_effect(format!("child's wait status {status:#x}"))),
        },
    }
}

const PROCESS_KEYRING: i32 = -2;
const SESSION_KEYRING: i32 = -3;
const KEYCTL_SEARCH: i32 = 10;
const KEYCTL_READ: i32 = 11;
/// Name of the key that `wrap --session-key` plants.
pub const KEY_NAME: &str = "stockade-escape";

fn add_key(_: &Params) -> Attempt {
    let payload = format!("{MARK}own");
    let (kind, name) = (c("user"), c("stockade-own"));
    let key = sys!(SYS_add_key, kind.as_ptr(), name.as_ptr(), payload.as_ptr(), payload.len(), PROCESS_KEYRING)?;
    read_key(key)
}

fn read_key(key: usize) -> Attempt {
    let mut buffer = [0u8; 128];
    let n = sys!(SYS_keyctl, KEYCTL_READ, key, at_mut(&mut buffer), buffer.len(), 0)?;
    expect_secret(buffer.get(..n.min(buffer.len())).unwrap_or_default())
}

fn inherited_key(request: bool) -> Attempt {
    let (kind, name) = (c("user"), c(KEY_NAME));
    let key = if request {
        sys!(SYS_request_key, kind.as_ptr(), name.as_ptr(), 0, 0)?
    } else {
        sys!(SYS_keyctl, KEYCTL_SEARCH, SESSION_KEYRING, kind.as_ptr(), name.as_ptr(), 0)?
    };
    read_key(key)
}

/// Joins a session keyring of its own and puts the secret in it (keyctl(2)).
pub fn plant_session_key(secret: &str) -> Result<(), sys::Failed> {
    const JOIN: i32 = 1;
    const SETPERM: i32 = 5;
    sys!(SYS_keyctl, JOIN, 0, 0, 0, 0)?;
    let (kind, name) = (c("user"), c(KEY_NAME));
    let key = sys!(SYS_add_key, kind.as_ptr(), name.as_ptr(), secret.as_ptr(), secret.len(), SESSION_KEYRING)?;
    sys!(SYS_keyctl, SETPERM, key, 0x3f3f_3f3f_u32, 0, 0).map(|_| ())
}
