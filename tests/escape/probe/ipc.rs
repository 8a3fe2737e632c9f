//! SysV and POSIX IPC objects of the host. The driver made them, readable for everyone, with
//! the secret inside.

use crate::attack::{Attack, Attempt, attack};
use crate::kit::{MARK, expect_secret, steal};
use crate::sys;
use crate::sys::{at, at_mut, c, peek};

const CLASS: &str = "ipc";
const APART: &[&str] = &["seccomp", "ipc-ns"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("ipc-shm", CLASS, "read a SysV shared memory segment of the host", |p| {
        let id = sys!(SYS_shmget, p.number("IPC_KEY")?, 0, 0)?;
        let address = sys!(SYS_shmat, id, 0, libc::SHM_RDONLY)?;
        let bytes: Vec<u8> = (0..256).map(|i| peek(address + i)).collect();
        expect_secret(&bytes)
    })
    .needs(&["IPC_KEY"])
    .native(APART),
    attack("ipc-sem", CLASS, "change a SysV semaphore of the host", |p| {
        let id = sys!(SYS_semget, p.number("IPC_KEY")?, 0, 0)?;
        sys!(SYS_semctl, id, 0, libc::SETVAL, 7)?;
        Ok(format!("its value is {}", sys!(SYS_semctl, id, 0, libc::GETVAL, 0)?))
    })
    .needs(&["IPC_KEY"])
    .native(APART),
    attack("ipc-msg", CLASS, "read a SysV message of the host", |p| {
        const COPY: i32 = 0o40000;
        let id = sys!(SYS_msgget, p.number("IPC_KEY")?, 0)?;
        let mut message = [0u8; 264];
        sys!(SYS_msgrcv, id, at_mut(&mut message), 256, 0, COPY | libc::IPC_NOWAIT)?;
        expect_secret(&message)
    })
    .needs(&["IPC_KEY"])
    .native(APART),
    attack("ipc-shm-list", CLASS, "see the host's SysV segments by shmctl(SHM_INFO)", |_| {
        const SHM_INFO: i32 = 14;
        let mut info = [0u64; 16];
        sys!(SYS_shmctl, 0, SHM_INFO, at_mut(&mut info))?;
        // struct shm_info starts with the number of segments.
        match info.first().map_or(0, |used| used & 0xffff_ffff) {
            0 => Err(crate::attack::no_effect("no segments")),
            n => Ok(format!("{n} segments")),
        }
    })
    .needs(&["IPC_KEY"])
    .native(APART),
    attack("ipc-mq", CLASS, "read a POSIX message of the host", |p| {
        let fd = sys!(SYS_mq_open, c(p.get("MQ")?).as_ptr(), libc::O_RDWR | libc::O_NONBLOCK, 0, 0)?;
        let mut message = [0u8; 256];
        let n = sys!(SYS_mq_timedreceive, fd, message.as_mut_ptr(), message.len(), 0, 0)?;
        // Put it back for the next attempt.
        sys!(SYS_mq_timedsend, fd, message.as_ptr(), n, 0, 0).ok();
        expect_secret(&message)
    })
    .needs(&["MQ"])
    .excuse(&[libc::ENOSYS], "kernel without POSIX message queues")
    .native(APART),
    attack("ipc-dev-shm", CLASS, "read a POSIX shared memory object of the host", |p| {
        steal(&format!("/dev/shm/{}", p.get("MQ")?))
    })
    .needs(&["MQ"])
    .native(&["mount-ns", "landlock", "seccomp"]),
];

/// Makes the objects; the driver removes them with [`unplant`].
pub fn plant(key: i64, name: &str, secret: &str) -> Attempt {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o666;
    let id = sys!(SYS_shmget, key, 4096, flags)?;
    let address = sys!(SYS_shmat, id, 0, 0)?;
    sys::poke(address, secret.as_bytes());
    let id = sys!(SYS_semget, key, 1, flags)?;
    sys!(SYS_semctl, id, 0, libc::SETVAL, 1)?;
    let id = sys!(SYS_msgget, key, flags)?;
    let mut message = 1u64.to_le_bytes().to_vec();
    message.extend(secret.as_bytes());
    sys!(SYS_msgsnd, id, message.as_ptr(), secret.len(), 0)?;
    let attr: [i64; 8] = [0, 4, 256, 0, 0, 0, 0, 0];
    sys!(SYS_umask, 0)?;
    let fd = sys!(SYS_mq_open, c(name).as_ptr(), libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o666, at(&attr))?;
    sys!(SYS_mq_timedsend, fd, secret.as_ptr(), secret.len(), 0, 0)?;
    Ok(format!("planted {MARK}"))
}

/// Removes what [`plant`] made, as far as it is there.
pub fn unplant(key: i64, name: &str) {
    let gone = |id: Result<usize, sys::Failed>, nr: i64, arg: usize| {
        if let Ok(id) = id {
            sys::call(nr, &[id, arg, libc::IPC_RMID as usize]).ok();
        }
    };
    if let Ok(id) = sys!(SYS_shmget, key, 0, 0) {
        sys!(SYS_shmctl, id, libc::IPC_RMID, 0).ok();
    }
    if let Ok(id) = sys!(SYS_msgget, key, 0) {
        sys!(SYS_msgctl, id, libc::IPC_RMID, 0).ok();
    }
    gone(sys!(SYS_semget, key, 0, 0), libc::SYS_semctl, 0);
    sys!(SYS_mq_unlink, c(name).as_ptr()).ok();
}
