//! The rest of the kernel's surface: what an ordinary program never needs. Calls that would
//! change the machine are made so that they cannot; an errno that comes after the permission
//! check then counts as success, and the attack says which.

use crate::attack::{Attack, Attempt, PRIVATE, attack, no_effect};
use crate::kit::{hostname, open, read};
use crate::params::Params;
use crate::sys;
use crate::sys::{Failed, Plain, at, at_mut, c};

const CLASS: &str = "kernel surface";
const BOTH: &[&str] = &["seccomp", "capabilities"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("kernel-bpf", CLASS, "make a BPF map", |_| {
        // union bpf_attr of BPF_MAP_CREATE: array, keys of 4, values of 4, one entry.
        let attr: [u32; 32] = std::array::from_fn(|i| *[2, 4, 4, 1].get(i).unwrap_or(&0));
        sys!(SYS_bpf, 0, at(&attr), size_of_val(&attr))?;
        Ok("a map".into())
    })
    .excuse(&[libc::EPERM, libc::ENOSYS], "BPF is closed on this host")
    .native(BOTH),
    attack("kernel-perf", CLASS, "count events by perf_event_open", |_| {
        // struct perf_event_attr: type software, size, config CPU clock.
        let mut attr = [0u64; 16];
        attr[0] = 1 | (size_of_val(&attr) as u64) << 32;
        let fd = sys!(SYS_perf_event_open, at(&attr), 0, -1i64, -1i64, 0)?;
        Ok(format!("{} bytes of counter", read(fd)?.len()))
    })
    .excuse(&[libc::ENOENT, libc::EOPNOTSUPP], "no perf events")
    .native(BOTH),
    attack("kernel-userfaultfd", CLASS, "stall the kernel at a page of one's own by userfaultfd", |_| {
        const API: u64 = 0xc018_aa3f;
        let fd = sys!(SYS_userfaultfd, libc::O_CLOEXEC)?;
        let mut api: [u64; 3] = [0xaa, 0, 0];
        sys!(SYS_ioctl, fd, API, api.as_mut_ptr())?;
        Ok("a userfaultfd".into())
    })
    .native(BOTH),
    attack("kernel-kexec", CLASS, "load another kernel (bad flags; EINVAL is past the permission)", |_| {
        past(sys!(SYS_kexec_load, 0, 0, 0, -1i64), libc::EINVAL)
    })
    .excuse(&[libc::ENOSYS, libc::EPERM], "kernel without kexec, or locked down")
    .native(BOTH),
    attack("kernel-init-module", CLASS, "load a kernel module (garbage; ENOEXEC is past the permission)", |_| {
        let garbage = [0u8; 256];
        past(sys!(SYS_init_module, garbage.as_ptr(), garbage.len(), c("").as_ptr()), libc::ENOEXEC)
    })
    .excuse(&[libc::ENOSYS, libc::EPERM], "kernel without modules, or locked down")
    .native(BOTH),
    attack("kernel-finit-module", CLASS, "the same by finit_module", |_| {
        let fd = open("/proc/self/exe", libc::O_RDONLY).unwrap_or(0);
        past(sys!(SYS_finit_module, fd, c("").as_ptr(), 0), libc::ENOEXEC)
    })
    .excuse(&[libc::ENOSYS, libc::EPERM], "kernel without modules, or locked down")
    .native(BOTH),
    attack(
        "kernel-delete-module",
        CLASS,
        "unload a kernel module (none of that name; ENOENT is past the permission)",
        |_| past(sys!(SYS_delete_module, c("stockade-none").as_ptr(), libc::O_NONBLOCK), libc::ENOENT),
    )
    .excuse(&[libc::ENOSYS, libc::EPERM], "kernel without modules")
    .native(BOTH),
    attack("kernel-iopl", CLASS, "get the I/O ports", |_| {
        sys!(SYS_iopl, 3)?;
        Ok("level 3".into())
    })
    .excuse(&[libc::EPERM, libc::ENOSYS], "kernel lockdown")
    .native(BOTH),
    attack("kernel-ioperm", CLASS, "get one I/O port", |_| {
        sys!(SYS_ioperm, 0x80, 1, 1)?;
        Ok("port 0x80".into())
    })
    .excuse(&[libc::EPERM, libc::ENOSYS], "kernel lockdown")
    .native(BOTH),
    attack("kernel-modify-ldt", CLASS, "write a descriptor into the LDT", |_| {
        // struct user_desc: entry 0, base 0, limit 0xfffff, 32-bit, pages, useable.
        let descriptor = [0u32, 0, 0xf_ffff, 0x51];
        sys!(SYS_modify_ldt, 1, at(&descriptor), size_of_val(&descriptor))?;
        Ok("an LDT entry".into())
    })
    .excuse(&[libc::ENOSYS], "kernel without modify_ldt"),
    attack("kernel-fanotify", CLASS, "watch a whole file system by fanotify", fanotify)
        .excuse(&[libc::ENOSYS], "kernel without fanotify")
        .native(BOTH),
    attack("kernel-swapon", CLASS, "swap to a file (a directory; EISDIR or EINVAL is past the permission)", |_| {
        let result = sys!(SYS_swapon, c(".").as_ptr(), 0);
        if result.is_err_and(|f| f.errno == libc::EISDIR) {
            past(result, libc::EISDIR)
        } else {
            past(result, libc::EINVAL)
        }
    })
    .excuse(&[libc::ENOSYS], "kernel without swap")
    .native(BOTH),
    attack("kernel-swapoff", CLASS, "stop swapping (no such file; ENOENT is past the permission)", |_| {
        past(sys!(SYS_swapoff, c("/stockade-none").as_ptr()), libc::ENOENT)
    })
    .excuse(&[libc::ENOSYS], "kernel without swap")
    .native(BOTH),
    attack("kernel-reboot", CLASS, "reboot (bogus magic numbers; EINVAL is past the permission)", |_| {
        past(sys!(SYS_reboot, 1, 2, 3, 0), libc::EINVAL)
    })
    .native(BOTH),
    attack("kernel-syslog", CLASS, "read the kernel log by syslog(2)", |_| {
        const READ_ALL: i32 = 3;
        let mut buffer = vec![0u8; 8192];
        let n = sys!(SYS_syslog, READ_ALL, buffer.as_mut_ptr(), buffer.len())?;
        if n > 0 { Ok(format!("{n} bytes")) } else { Err(no_effect("an empty log")) }
    })
    .native(BOTH),
    attack("kernel-adjtimex", CLASS, "set the clock's status bits (to what they are)", |_| {
        let mut time = libc::timex::zeroed();
        sys!(SYS_adjtimex, at_mut(&mut time))?;
        time.modes = 0x10;
        sys!(SYS_adjtimex, at_mut(&mut time))?;
        Ok("set".into())
    })
    .native(BOTH),
    attack("kernel-settimeofday", CLASS, "set the time zone (bad value; EINVAL is past the permission)", |_| {
        // A zone of 100 hours: the permission is checked, then the value.
        let zone = [6000i32, 0];
        past(sys!(SYS_settimeofday, 0, at(&zone)), libc::EINVAL)
    })
    .native(BOTH),
    attack("kernel-sethostname", CLASS, "change the host name", |_| {
        let name = "stockade-changed";
        sys!(SYS_sethostname, name.as_ptr(), name.len())?;
        if hostname()? == name { Ok("changed".into()) } else { Err(no_effect("not changed")) }
    })
    .outside(PRIVATE)
    .native(BOTH),
    attack("kernel-setdomainname", CLASS, "change the NIS domain name", |_| {
        let name = "stockade-changed";
        sys!(SYS_setdomainname, name.as_ptr(), name.len())?;
        Ok("changed".into())
    })
    .outside(PRIVATE)
    .native(BOTH),
    attack("kernel-acct", CLASS, "start process accounting (no such file; ENOENT is past the permission)", |_| {
        past(sys!(SYS_acct, c("/stockade-none").as_ptr()), libc::ENOENT)
    })
    .excuse(&[libc::ENOSYS], "kernel without accounting")
    .native(BOTH),
    attack("kernel-vhangup", CLASS, "hang up the terminal (in a session without one)", |_| {
        sys!(SYS_setsid).ok();
        sys!(SYS_vhangup)?;
        Ok("hung up".into())
    })
    .outside("--setsid")
    .native(BOTH),
    attack(
        "kernel-quotactl",
        CLASS,
        "read the disk quota of another user (ESRCH and ENOTBLK are past the permission)",
        |_| {
            const GETQUOTA_USER: i32 = 0x8000_0700u32.cast_signed();
            let mut quota = [0u64; 16];
            let fd = open(".", libc::O_RDONLY | libc::O_DIRECTORY)?;
            match sys!(SYS_quotactl_fd, fd, GETQUOTA_USER, 12345, quota.as_mut_ptr()) {
                Ok(_) => Ok("read".into()),
                Err(f) if [libc::ESRCH, libc::ENOTBLK, libc::EINVAL].contains(&f.errno) => {
                    Ok("permission granted; no quota here".into())
                }
                Err(f) => Err(f.into()),
            }
        },
    )
    .excuse(&[libc::ENOSYS], "kernel without quotas")
    .native(BOTH),
    attack("kernel-notification-pipe", CLASS, "make a notification pipe (a way to kernel bugs of the past)", |_| {
        let mut pipe = [0i32; 2];
        sys!(SYS_pipe2, pipe.as_mut_ptr(), libc::O_EXCL)?;
        Ok("made".into())
    })
    .excuse(&[libc::ENOPKG, libc::EINVAL], "kernel without watch queues")
    .native(&["seccomp"]),
    attack("kernel-name-to-handle", CLASS, "ask for file handles of the file system below", |_| {
        crate::fs_read::handle_of(".")
    })
    .native(&["seccomp"]),
    attack("kernel-memfd-secret", CLASS, "take memory out of the kernel's direct map", |_| {
        sys!(SYS_memfd_secret, 0)?;
        Ok("made".into())
    })
    .excuse(&[libc::ENOSYS], "kernel without memfd_secret"),
    attack("kernel-remap-file-pages", CLASS, "rearrange a mapping by remap_file_pages", |_| {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let map = sys!(SYS_mmap, 0, 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1i64, 0)?;
        sys!(SYS_remap_file_pages, map, 4096, 0, 1, 0)?;
        Ok("rearranged".into())
    })
    .excuse(&[libc::ENOSYS], "kernel without remap_file_pages"),
];

/// Success is an errno that the kernel gives only to the permitted.
fn past(result: Result<usize, Failed>, errno: i32) -> Attempt {
    match result {
        Ok(_) => Ok("done".into()),
        Err(f) if f.errno == errno => Ok(format!("permission granted (errno {errno})")),
        Err(f) => Err(f.into()),
    }
}

fn fanotify(_: &Params) -> Attempt {
    const CLASS_NOTIF: u32 = 0;
    const MARK_ADD_FILESYSTEM: u32 = 0x101;
    const OPEN_ALSO_DIRECTORIES: u64 = 0x4000_0020;
    let fd = sys!(SYS_fanotify_init, CLASS_NOTIF | 2, libc::O_RDONLY)?;
    sys!(SYS_fanotify_mark, fd, MARK_ADD_FILESYSTEM, OPEN_ALSO_DIRECTORIES, libc::AT_FDCWD, c(".").as_ptr())?;
    open(".", libc::O_RDONLY)?;
    let events = read(fd)?;
    if events.len() >= 24 { Ok("an event of the file system came".into()) } else { Err(no_effect("no event")) }
}
