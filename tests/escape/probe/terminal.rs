//! The operator's terminal: typing into it, writing on it. `TTY` is its path; outside it is the
//! controlling terminal too.

use crate::attack::{Attack, Attempt, Stop, attack, failed, no_effect};
use crate::kit::open;
use crate::params::Params;
use crate::sys;
use crate::sys::{at, at_mut};

const CLASS: &str = "terminal";
const TTY: &str = "--tty TTY";
const NONE: &[&str] = &["seccomp", "session", "mount-ns", "landlock"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("terminal-type", CLASS, "type a command into the controlling terminal (TIOCSTI)", |p| {
        type_into(p, libc::TIOCSTI as usize)
    })
    .needs(&["TTY"])
    .outside(TTY)
    .excuse(&[libc::EIO], "dev.tty.legacy_tiocsti is off")
    .native(NONE),
    attack("terminal-type-high", CLASS, "the same with junk in the request's high half", |p| {
        type_into(p, libc::TIOCSTI as usize | 1 << 32)
    })
    .needs(&["TTY"])
    .outside(TTY)
    .excuse(&[libc::EIO], "dev.tty.legacy_tiocsti is off")
    .native(NONE),
    attack("terminal-linux", CLASS, "paste a selection into a console (TIOCLINUX)", |_| {
        const TIOCLINUX: usize = 0x541c;
        let shift_state = 6u8;
        let fd =
            open("/dev/tty0", libc::O_RDWR | libc::O_NOCTTY).or_else(|_| open("/dev/tty", libc::O_RDWR)).unwrap_or(0);
        sys!(SYS_ioctl, fd, TIOCLINUX, at(&shift_state))?;
        Ok("a console answered".into())
    })
    .outside(TTY)
    .excuse(&[libc::ENOTTY, libc::EINVAL], "no console on this machine")
    .native(NONE),
    attack("terminal-write", CLASS, "write on the operator's terminal by its path", |p| {
        let fd = open(p.get("TTY")?, libc::O_WRONLY | libc::O_NOCTTY)?;
        write(fd)
    })
    .needs(&["TTY"])
    .native(&["mount-ns", "landlock", "seccomp", "user-ns"]),
    attack("terminal-dev-tty", CLASS, "write on the controlling terminal by /dev/tty", |_| {
        write(open("/dev/tty", libc::O_WRONLY)?)
    })
    .outside(TTY)
    .native(&["mount-ns", "session", "landlock", "seccomp"]),
    attack("terminal-steal", CLASS, "make the operator's terminal one's own (TIOCSCTTY)", |p| {
        sys!(SYS_setsid).ok();
        let fd = open(p.get("TTY")?, libc::O_RDWR | libc::O_NOCTTY)?;
        sys!(SYS_ioctl, fd, libc::TIOCSCTTY, 1)?;
        Ok("it is the controlling terminal".into())
    })
    .needs(&["TTY"])
    .outside("--setsid")
    .native(&["mount-ns", "landlock", "seccomp", "user-ns"]),
    attack("terminal-ptmx", CLASS, "make a terminal of one's own", |_| {
        open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
        Ok("a new terminal".into())
    })
    .native(&["mount-ns", "landlock", "seccomp"]),
    attack("terminal-escapes", CLASS, "send escape sequences to the operator's screen", |_| {
        // Sets the window's title and asks the terminal to answer, as if it had been typed.
        let text = b"\x1b]0;stockade-escape\x07\x1b[6n\x9b6n\n";
        sys!(SYS_write, 1, text.as_ptr(), text.len())?;
        Ok("written; the driver looks at what arrived".into())
    })
    .native(&["sanitised"])
    .wasm(&["sanitised"]),
];

fn write(fd: usize) -> Attempt {
    let mark = b"stockade-escape-was-here\r\n";
    sys!(SYS_write, fd, mark.as_ptr(), mark.len())?;
    Ok("written".into())
}

fn type_into(p: &Params, request: usize) -> Attempt {
    let opened = [p.or("TTY", "/dev/tty"), "/dev/tty"].map(|path| open(path, libc::O_RDWR).ok());
    let fds = opened.into_iter().flatten().chain(0..3);
    let mut last: Stop = failed(0, "no terminal");
    for fd in fds {
        let typed = b"true\n".iter().try_for_each(|key| sys!(SYS_ioctl, fd, request, at(key)).map(|_| ()));
        match typed {
            Ok(()) => return pending(fd),
            Err(f) => last = f.into(),
        }
    }
    Err(last)
}

/// What was typed must be there to read; it is read away.
fn pending(fd: usize) -> Attempt {
    let mut waiting = 0i32;
    sys!(SYS_ioctl, fd, libc::FIONREAD, at_mut(&mut waiting))?;
    if waiting <= 0 {
        return Err(no_effect("nothing arrived"));
    }
    sys!(SYS_ioctl, fd, libc::TCFLSH, libc::TCIFLUSH).ok();
    Ok(format!("{waiting} keys were typed"))
}
