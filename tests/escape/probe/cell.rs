//! This program in the place of `stockade-cell`: the runtime has fallen, all else stands.
//!
//! It closes the last layer as the real cell does, says Ready, waits for Start, tries the
//! attack that the run's task names, and reports it as a log line.

use crate::params::Params;
use crate::report;
use crate::sys;
use crate::sys::at;
use serde_json::json;
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use stockade_wire::cell::{CellConfig, cell_exit, cell_fd};
use stockade_wire::frame::{self, FromCell, Level, ToCell};

/// More than any configuration or filter has, in bytes.
const MAX: usize = 1 << 20;

/// Takes a descriptor that the launcher gave by number.
#[allow(unsafe_code)]
fn take(fd: i32) -> OwnedFd {
    // SAFETY: the launcher's contract (`cell_fd`) gives this process sole ownership of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// From the start, by pread: the writer has left the offset where it stopped.
fn bytes(fd: i32) -> Result<Vec<u8>, String> {
    let file = File::from(take(fd));
    let mut all = Vec::new();
    let mut chunk = [0u8; 4096];
    while all.len() < MAX {
        let n = file.read_at(&mut chunk, all.len() as u64).map_err(|e| format!("descriptor {fd}: {e}"))?;
        if n == 0 {
            break;
        }
        all.extend_from_slice(chunk.get(..n).unwrap_or_default());
    }
    Ok(all)
}

/// Runs to the end of the cell's life; the exit code.
pub fn main() -> i32 {
    match run() {
        Ok(()) => cell_exit::FINISHED,
        Err(e) => {
            eprintln!("escape probe as cell: {e}");
            cell_exit::SETUP
        }
    }
}

fn run() -> Result<(), String> {
    let config: CellConfig = serde_json::from_slice(&bytes(cell_fd::CONFIG)?).map_err(|e| format!("config: {e}"))?;
    // Keys for hash maps are drawn once a thread, and the second filter takes getrandom away.
    let _keys = std::hash::RandomState::new();
    seal(&bytes(cell_fd::FILTER)?)?;
    let mut channel = UnixStream::from(take(cell_fd::CHANNEL));
    let say = |channel: &mut UnixStream, frame: FromCell| -> Result<(), String> {
        let encoded = frame.encode().map_err(|e| e.to_string())?;
        channel.write_all(&encoded).map_err(|e| e.to_string())
    };
    let ready = json!({ "engine": "escape-probe", "canaries": {} });
    say(&mut channel, FromCell::Ready { report: ready.to_string().into_bytes() })?;
    let start = frame::read(&channel).map_err(|e| e.to_string())?;
    if !matches!(ToCell::decode(&start), Ok(ToCell::Start)) {
        return Err("something else than Start came".into());
    }
    let mut task = config.task.into_iter();
    let name = task.next().unwrap_or_default();
    let mut params = Params::parse(task);
    params.channel = Some(RefCell::new(channel));
    let attempt = crate::table::find(&name).map_or_else(
        || Err(crate::attack::Stop::Unsupported(format!("no attack named {name}"))),
        |attack| (attack.run)(&params),
    );
    let (line, _) = report::line(&name, &attempt);
    let Some(channel) = params.channel.take() else { return Ok(()) };
    let mut channel = channel.into_inner();
    say(&mut channel, FromCell::Log { level: Level::Info, message: line })?;
    let exit = json!({ "reason": "finished", "detail": name, "fuel": 0 });
    say(&mut channel, FromCell::Exit { outcome: exit.to_string().into_bytes() })
}

/// Loads the second filter on every thread, as the real cell does after loading its component.
fn seal(program: &[u8]) -> Result<(), String> {
    const SET_MODE_FILTER: i32 = 1;
    const TSYNC: i32 = 1;
    let filter: Vec<libc::sock_filter> = program
        .as_chunks::<8>()
        .0
        .iter()
        .map(|[a, b, jt, jf, k @ ..]| libc::sock_filter {
            code: u16::from_ne_bytes([*a, *b]),
            jt: *jt,
            jf: *jf,
            k: u32::from_ne_bytes(*k),
        })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| "a filter of more than 65535 instructions".to_owned())?;
    let whole = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    sys!(SYS_seccomp, SET_MODE_FILTER, TSYNC, at(&whole))
        .map(|_| ())
        .map_err(|f| format!("second filter: errno {}", f.errno))
}
