//! Changing what the host trusts: kernel settings, its programs, files that someone outside
//! will run later. Where a write would disturb the machine, the same content is written back.

use crate::attack::{Attack, Attempt, attack, no_effect};
use crate::kit::{mode, open, open_at, read, scratch};
use crate::params::{Params, any};
use crate::sys;
use crate::sys::{at, at_mut, c};

const CLASS: &str = "host writes";
const MASKED: &[&str] = &["masked-proc", "mount-ns", "landlock", "seccomp"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("write-core-pattern", CLASS, "write /proc/sys/kernel/core_pattern", |_| {
        rewrite("/proc/sys/kernel/core_pattern")
    })
    .native(MASKED),
    attack("write-overcommit", CLASS, "write /proc/sys/vm/overcommit_memory", |_| {
        rewrite("/proc/sys/vm/overcommit_memory")
    })
    .native(MASKED),
    attack("write-sysrq", CLASS, "open /proc/sysrq-trigger for writing", |_| {
        open("/proc/sysrq-trigger", libc::O_WRONLY)?;
        Ok("open (nothing was written)".into())
    })
    .excuse(&[libc::ENOENT], "a kernel without magic SysRq")
    .native(MASKED),
    attack("write-sys", CLASS, "open a writable file of /sys", |_| {
        open("/sys/kernel/mm/transparent_hugepage/enabled", libc::O_WRONLY)?;
        Ok("open (nothing was written)".into())
    })
    .excuse(&[libc::ENOENT, libc::EROFS], "no such file in this /sys")
    .native(MASKED),
    attack("write-usr", CLASS, "open a program of the host for writing", |_| {
        open("/usr/bin/env", libc::O_WRONLY)?;
        Ok("open (nothing was written)".into())
    })
    .native(&["read-only-root", "landlock", "user-ns", "mount-ns", "seccomp"]),
    attack("write-root-dir", CLASS, "make a file in the root directory", |_| {
        let name = format!("/{}", scratch("root"));
        open(&name, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY)?;
        sys!(SYS_unlink, c(&name).as_ptr())?;
        Ok(name)
    })
    .native(&["read-only-root", "landlock", "user-ns", "seccomp"]),
    attack("write-init-exe", CLASS, "overwrite the program of another process by /proc/PID/exe (CVE-2019-5736)", exe)
        .needs(&["TARGET"])
        .native(&["masked-proc", "pid-ns", "user-ns", "landlock", "read-only-root", "mount-ns", "seccomp"]),
    attack("plant-setuid-chmod", CLASS, "leave a setuid program in the workspace by chmod", |_| {
        plant(|name, _| sys!(SYS_chmod, c(name).as_ptr(), 0o4755))
    }),
    attack("plant-setuid-fchmod", CLASS, "the same by fchmod", |_| plant(|_, fd| sys!(SYS_fchmod, fd, 0o4755))),
    attack("plant-setuid-fchmodat", CLASS, "the same by fchmodat", |_| {
        plant(|name, _| sys!(SYS_fchmodat, libc::AT_FDCWD, c(name).as_ptr(), 0o4755))
    }),
    attack("plant-setuid-fchmodat2", CLASS, "the same by fchmodat2", |_| {
        plant(|name, _| sys!(SYS_fchmodat2, libc::AT_FDCWD, c(name).as_ptr(), 0o4755, 0))
    })
    .excuse(&[libc::ENOSYS], "kernel older than 6.6"),
    attack("plant-setuid-open", CLASS, "the same by the mode of open(O_CREAT)", |_| {
        plant(|name, _| {
            sys!(SYS_unlink, c(name).as_ptr())?;
            sys!(SYS_open, c(name).as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o4755)
        })
    }),
    attack("plant-setuid-openat", CLASS, "the same by the mode of openat(O_CREAT)", |_| {
        plant(|name, _| {
            sys!(SYS_unlink, c(name).as_ptr())?;
            sys!(SYS_openat, libc::AT_FDCWD, c(name).as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o4755)
        })
    }),
    attack("plant-setuid-creat", CLASS, "the same by creat", |_| {
        plant(|name, _| {
            sys!(SYS_unlink, c(name).as_ptr())?;
            sys!(SYS_creat, c(name).as_ptr(), 0o4755)
        })
    }),
    attack("plant-setuid-openat2", CLASS, "the same by openat2, whose mode no filter can see", |_| {
        plant(|name, _| {
            sys!(SYS_unlink, c(name).as_ptr())?;
            let how = [(libc::O_CREAT | libc::O_WRONLY) as u64, 0o4755, 0];
            sys!(SYS_openat2, libc::AT_FDCWD, c(name).as_ptr(), at(&how), 24)
        })
    }),
    attack("plant-setuid-mknod", CLASS, "the same by mknod of a regular file", |_| {
        plant(|name, _| {
            sys!(SYS_unlink, c(name).as_ptr())?;
            sys!(SYS_mknodat, libc::AT_FDCWD, c(name).as_ptr(), libc::S_IFREG | 0o4755, 0)
        })
    }),
    attack("plant-file-caps", CLASS, "leave a program with file capabilities in the workspace", file_caps)
        .native(&["capabilities", "seccomp"]),
    attack("plant-chown-root", CLASS, "leave a file owned by uid 0 of the own namespace", chown).native(&[
        "user-ns",
        "capabilities",
        "seccomp",
    ]),
];

fn rewrite(path: &str) -> Attempt {
    let fd = open(path, libc::O_RDWR)?;
    let old = read(fd)?;
    sys!(SYS_pwrite64, fd, old.as_ptr(), old.len(), 0)?;
    Ok(format!("{path} was written (with its own content)"))
}

/// Success is a write descriptor, or ETXTBSY: the permission has passed and only the running
/// process stands in the way, which the known exploit waits out.
fn exe(p: &Params) -> Attempt {
    any(&p.pids()?, |pid| {
        let link = open(&format!("/proc/{pid}/exe"), libc::O_PATH)?;
        match open(&format!("/proc/self/fd/{link}"), libc::O_WRONLY) {
            Ok(_) => Ok("open for writing".into()),
            Err(f) if f.errno == libc::ETXTBSY => Ok("permission granted; busy only while it runs".into()),
            Err(f) => Err(f.into()),
        }
    })
}

fn plant(set: impl Fn(&str, usize) -> Result<usize, sys::Failed>) -> Attempt {
    // The umask would hide nothing here, but it is not what should stop this.
    sys!(SYS_umask, 0).ok();
    let name = scratch("setuid");
    let fd = open(&name, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY)?;
    set(&name, fd)?;
    let bits = mode(&name)?;
    if bits & libc::S_ISUID != 0 {
        Ok(format!("{name} has mode {bits:o}"))
    } else {
        Err(no_effect(format!("mode {bits:o}")))
    }
}

fn file_caps(_: &Params) -> Attempt {
    let name = scratch("caps");
    open_at(i64::from(libc::AT_FDCWD), &name, libc::O_CREAT | libc::O_WRONLY)?;
    set_file_caps(&name)
}

/// Gives a program CAP_CHOWN and CAP_NET_RAW, permitted and effective (VFS_CAP_REVISION_2). Not
/// all: exec refuses a program whose capabilities are not all within the bounding set.
pub fn set_file_caps(path: &str) -> Attempt {
    let some = (1u32 | 1 << 13).to_le_bytes();
    let mut value = 0x0200_0001u32.to_le_bytes().to_vec();
    for part in [some, [0; 4], [0; 4], [0; 4]] {
        value.extend(part);
    }
    let name = c("security.capability");
    sys!(SYS_setxattr, c(path).as_ptr(), name.as_ptr(), value.as_ptr(), value.len(), 0)?;
    let mut back = [0u8; 32];
    let n = sys!(SYS_getxattr, c(path).as_ptr(), name.as_ptr(), at_mut(&mut back), back.len())?;
    Ok(format!("security.capability of {n} bytes"))
}

fn chown(_: &Params) -> Attempt {
    let name = scratch("owned");
    open(&name, libc::O_CREAT | libc::O_WRONLY)?;
    sys!(SYS_fchownat, libc::AT_FDCWD, c(&name).as_ptr(), 0, 0, libc::AT_SYMLINK_NOFOLLOW)?;
    Ok("uid 0 owns it".into())
}
