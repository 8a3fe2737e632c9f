//! `wrap OPTIONS -- PROGRAM ARGS…`: puts a program into a situation, then becomes it. The
//! driver uses it to give an attack, or Stockade itself, a terminal, groups or keys to lose.

use crate::attack::Stop;
use crate::kit::open;
use crate::params::Params;
use crate::sys;
use crate::sys::{at_mut, c};

/// Does what the options say, in order; the rest is the program.
///
/// * `--unshare mount,uts,ipc,pid`: new namespaces; mounts become private
/// * `--ro KEY`: the directory of that parameter becomes a read-only bind mount
/// * `--mask KEY`: an empty tmpfs covers the directory of that parameter
/// * `--chroot KEY`: the root is the directory of that parameter
/// * `--groups 0,4242`: supplementary groups
/// * `--user UID`: that uid and gid, no groups, hence no capabilities
/// * `--tty KEY`: a new session with that controlling terminal; `--setsid`: without one
/// * `--session-key`: a session keyring of its own with the secret in it
/// * `--die`: killed when the parent dies
pub fn prepare(mut words: &[String], params: &Params) -> Result<Vec<String>, Stop> {
    loop {
        words = match words {
            [option, rest @ ..] if option == "--" => return Ok(rest.to_vec()),
            [option, rest @ ..] if option == "--setsid" => {
                sys!(SYS_setsid).ok();
                rest
            }
            [option, rest @ ..] if option == "--session-key" => {
                crate::privs::plant_session_key(params.get("SECRET")?)?;
                rest
            }
            [option, rest @ ..] if option == "--die" => {
                sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)?;
                rest
            }
            [option, value, rest @ ..] => {
                valued(option, value, params)?;
                rest
            }
            _ => return Err(Stop::Unsupported("wrap: no program".into())),
        };
    }
}

fn valued(option: &str, value: &str, params: &Params) -> Result<(), Stop> {
    match option {
        "--unshare" => unshare(value),
        "--ro" => {
            let dir = c(params.get(value)?);
            let none = c("none");
            sys!(SYS_mount, dir.as_ptr(), dir.as_ptr(), none.as_ptr(), libc::MS_BIND, 0)?;
            let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
            sys!(SYS_mount, none.as_ptr(), dir.as_ptr(), none.as_ptr(), flags, 0)?;
            Ok(())
        }
        "--mask" => {
            let (none, kind) = (c("none"), c("tmpfs"));
            sys!(SYS_mount, none.as_ptr(), c(params.get(value)?).as_ptr(), kind.as_ptr(), 0, 0)?;
            Ok(())
        }
        "--chroot" => {
            sys!(SYS_chroot, c(params.get(value)?).as_ptr())?;
            sys!(SYS_chdir, c("/").as_ptr())?;
            Ok(())
        }
        "--groups" => {
            let groups: Vec<u32> = value.split(',').filter_map(|g| g.parse().ok()).collect();
            sys!(SYS_setgroups, groups.len(), groups.as_ptr())?;
            Ok(())
        }
        "--user" => {
            let id: u32 = value.parse().map_err(|_| Stop::Unsupported(format!("wrap: uid {value}")))?;
            sys!(SYS_setgroups, 0, 0)?;
            sys!(SYS_setresgid, id, id, id)?;
            sys!(SYS_setresuid, id, id, id)?;
            Ok(())
        }
        "--tty" => {
            sys!(SYS_setsid).ok();
            let fd = open(params.get(value)?, libc::O_RDWR)?;
            sys!(SYS_ioctl, fd, libc::TIOCSCTTY, 0)?;
            Ok(())
        }
        other => Err(Stop::Unsupported(format!("wrap: unknown option {other}"))),
    }
}

fn unshare(kinds: &str) -> Result<(), Stop> {
    let flags = kinds.split(',').fold(0, |flags, kind| {
        flags
            | match kind {
                "mount" => libc::CLONE_NEWNS,
                "uts" => libc::CLONE_NEWUTS,
                "ipc" => libc::CLONE_NEWIPC,
                "cgroup" => libc::CLONE_NEWCGROUP,
                _ => 0,
            }
    });
    sys!(SYS_unshare, flags)?;
    if flags & libc::CLONE_NEWNS != 0 {
        let (none, root) = (c("none"), c("/"));
        sys!(SYS_mount, none.as_ptr(), root.as_ptr(), none.as_ptr(), libc::MS_REC | libc::MS_PRIVATE, 0)?;
    }
    Ok(())
}

/// Becomes the program, with this environment.
pub fn become_program(words: &[String]) -> Stop {
    use std::os::unix::process::CommandExt;
    let Some((program, args)) = words.split_first() else { return Stop::Unsupported("wrap: no program".into()) };
    let error = std::process::Command::new(program).args(args).exec();
    Stop::Blocked { errno: error.raw_os_error().unwrap_or(0), detail: format!("{program}: {error}") }
}

/// `victim`: a process to attack. It holds the secret in memory and in an open file, has a
/// UTS namespace of its own, prints the secret's address, and then answers each byte with one until it is killed: who
/// was sent a deadly signal answers no more, however late the death.
pub fn victim(params: &Params) -> Result<(), Stop> {
    sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)?;
    let secret = params.get("SECRET")?.to_owned();
    let _held = open(params.get("CANARY")?, libc::O_RDONLY)?;
    sys!(SYS_unshare, libc::CLONE_NEWUTS)?;
    let name = "stockade-victim";
    sys!(SYS_sethostname, name.as_ptr(), name.len())?;
    println!("{}", secret.as_ptr() as usize);
    let mut byte = [0u8; 1];
    loop {
        match sys!(SYS_read, 0, at_mut(&mut byte), 1) {
            Ok(1) => {
                sys!(SYS_write, 1, byte.as_ptr(), 1).ok();
            }
            Err(failed) if failed.errno == libc::EINTR => {}
            _ => return Ok(()),
        }
    }
}
