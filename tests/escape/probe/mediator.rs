//! The shim's own tools, used by a runtime that has fallen: it may send any frame. Outside, the
//! same paths are given to the naive tool everyone writes first: join, then open.

use crate::attack::{Attack, Attempt, Stop, attack, failed, no_effect};
use crate::kit::{expect_secret, steal};
use crate::params::Params;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use stockade_wire::frame::{self, FromCell, Status, ToCell};

const CLASS: &str = "mediator";
const NO_CHANNEL: &str = "a native cell has no channel to the shim";
const SHIM: &[&str] = &["shim"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("tool-dotdot", CLASS, "have the read tool climb out by ..", |p| {
        read(p, &format!("../../../../../../../../..{}", p.get("CANARY")?))
    })
    .needs(&["CANARY"])
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("tool-absolute", CLASS, "give the read tool an absolute path", |p| read(p, p.get("CANARY")?))
        .needs(&["CANARY"])
        .native_absent(NO_CHANNEL)
        .wasm(SHIM),
    attack("tool-symlink", CLASS, "have the read tool follow a link in the workspace to a host file", |p| {
        read(p, "planted-link")
    })
    .needs(&["PLANTED"])
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("tool-symlink-dir", CLASS, "the same through a link to a host directory", |p| read(p, "planted-dir/canary"))
        .needs(&["PLANTED"])
        .native_absent(NO_CHANNEL)
        .wasm(SHIM),
    attack("tool-nul", CLASS, "hide the rest of a path behind a NUL", |p| {
        read(p, &format!("{}\0.txt", p.get("CANARY")?))
    })
    .needs(&["CANARY"])
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("tool-fifo", CLASS, "stall the shim on a FIFO in the workspace", |p| {
        let Some(channel) = &p.channel else {
            // The naive tool would wait for ever: that it may open it shows as much.
            crate::kit::open(&format!("{}/planted-fifo", p.get("WORKSPACE")?), libc::O_RDONLY | libc::O_NONBLOCK)?;
            return Ok("a naive open would wait for ever".into());
        };
        match call(channel, "workspace.read", &json!({ "path": "planted-fifo" }))? {
            (Status::Ok, body) => Ok(body.to_string()),
            (status, body) => Err(no_effect(format!("{status:?}: {body}"))),
        }
    })
    .needs(&["PLANTED"])
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("tool-write-through", CLASS, "have the write tool follow a link to a host file", |p| {
        let Some(channel) = &p.channel else {
            crate::kit::open(&format!("{}/planted-target-link", p.get("WORKSPACE")?), libc::O_WRONLY)?;
            return Ok("a naive open would write there".into());
        };
        let args = json!({ "path": "planted-target-link", "content": "stockade-escape", "mode": "append" });
        match call(channel, "workspace.write", &args)? {
            (Status::Ok, body) => Ok(body.to_string()),
            (status, body) => Err(no_effect(format!("{status:?}: {body}"))),
        }
    })
    .needs(&["PLANTED"])
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("tool-unlisted", CLASS, "call a tool that no rule allows", |p| {
        let Some(channel) = &p.channel else {
            return std::process::Command::new("/usr/bin/true")
                .status()
                .map(|_| "a naive host ran it".into())
                .map_err(|e| failed(e.raw_os_error().unwrap_or(0), "/usr/bin/true"));
        };
        match call(channel, "exec", &json!({ "argv": ["/usr/bin/true"] }))? {
            (Status::Ok, body) => Ok(body.to_string()),
            (status, body) => Err(no_effect(format!("{status:?}: {body}"))),
        }
    })
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("frame-giant", CLASS, "announce a frame of 4 GiB, to have the shim keep room for it", |p| {
        let Some(channel) = &p.channel else {
            return touch_giant();
        };
        broken(channel, &[0xff, 0xff, 0xff, 0xff, 1])
    })
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("frame-unknown", CLASS, "send a frame of an unknown kind and expect to go on", |p| {
        let Some(channel) = &p.channel else { return Ok("a naive reader skips it".into()) };
        broken(channel, &[1, 0, 0, 0, 0x7f])
    })
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
    attack("frame-forged-log", CLASS, "forge a journal line by a newline in a log message", |p| {
        let Some(channel) = &p.channel else { return Ok("a naive journal has two lines".into()) };
        let message = "x\n{\"seq\":1,\"type\":\"result\",\"id\":99,\"status\":\"forged-by-escape\"}".to_owned();
        send(channel, &FromCell::Log { level: frame::Level::Info, message })?;
        Ok("sent; the driver looks at the journal".into())
    })
    .native_absent(NO_CHANNEL)
    .wasm(SHIM),
];

fn touch_giant() -> Attempt {
    // A naive reader reserves what the length says; the kernel lets it.
    let size = 0xffff_ffffusize;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    crate::sys!(SYS_mmap, 0, size, libc::PROT_READ | libc::PROT_WRITE, flags, -1i64, 0)?;
    Ok("4 GiB reserved".into())
}

fn io(e: &dyn std::fmt::Display) -> Stop {
    no_effect(format!("the shim ended the conversation: {e}"))
}

fn send(channel: &RefCell<UnixStream>, message: &FromCell) -> Result<(), Stop> {
    let bytes = message.encode().map_err(|e| io(&e))?;
    channel.borrow_mut().write_all(&bytes).map_err(|e| io(&e))
}

/// One call; ids only have to grow.
fn call(channel: &RefCell<UnixStream>, tool: &str, args: &Value) -> Result<(Status, Value), Stop> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    send(channel, &FromCell::Call { id, fuel: 0, tool: tool.into(), args: args.to_string().into_bytes() })?;
    let body = frame::read(&*channel.borrow()).map_err(|e| io(&e))?;
    match ToCell::decode(&body).map_err(|e| io(&e))? {
        ToCell::Reply { status, body, .. } => Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null))),
        ToCell::Start => Err(no_effect("a second start")),
    }
}

fn read(p: &Params, path: &str) -> Attempt {
    let Some(channel) = &p.channel else {
        let path = path.split('\0').next().unwrap_or_default();
        return steal(&if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", p.get("WORKSPACE")?) });
    };
    let (status, body) = call(channel, "workspace.read", &json!({ "path": path }))?;
    match status {
        Status::Ok => expect_secret(body.to_string().as_bytes()),
        _ => Err(no_effect(format!("{status:?}: {body}"))),
    }
}

/// Sends raw bytes, then a good call: an answer means the conversation went on.
fn broken(channel: &RefCell<UnixStream>, bytes: &[u8]) -> Attempt {
    channel.borrow_mut().write_all(bytes).map_err(|e| io(&e))?;
    let (status, body) = call(channel, "workspace.list", &json!({ "path": "." }))?;
    Ok(format!("the shim went on: {status:?} {body}"))
}
