//! `stockade-notary FOLDER COSIGNED`: started by a supervisor, as root, with its socket on descriptor 0.

use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use stockade_notary::confine::confine;
use stockade_notary::error::NotaryError;
use stockade_notary::session::Session;
use stockade_wire::notary::{FromNotary, MAX_MESSAGE};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let [_, folder, cosigned] = args.as_slice() else {
        eprintln!("stockade-notary is started by stockade; its arguments are FOLDER COSIGNED");
        return ExitCode::from(2);
    };
    match serve(Path::new(folder), Path::new(cosigned)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Should the supervisor be gone, stderr has it.
            if say(&error.refusal()).is_err() {
                eprintln!("stockade-notary: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(folder: &Path, cosigned: &Path) -> Result<(), NotaryError> {
    let inside = confine(folder, cosigned)?;
    let mut session = Session::new(inside.folder, inside.keys, inside.memory);
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    loop {
        let length = match recv(std::io::stdin().as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            // The supervisor is gone, or done.
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(NotaryError::Protocol(format!("recv: {errno}"))),
        };
        let bytes = buffer.get(..length.min(MAX_MESSAGE + 1)).unwrap_or_default();
        if length > MAX_MESSAGE {
            return Err(NotaryError::Protocol(format!("a message is over {MAX_MESSAGE} bytes")));
        }
        let message = serde_json::from_slice(bytes).map_err(|e| NotaryError::Protocol(e.to_string()))?;
        if let Some(answer) = session.answer(message)? {
            say(&answer)?;
        }
    }
}

fn say(answer: &FromNotary) -> Result<(), NotaryError> {
    let bytes = serde_json::to_vec(answer).map_err(|e| NotaryError::Protocol(e.to_string()))?;
    loop {
        match send(std::io::stdin().as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(NotaryError::Protocol(format!("send: {errno}"))),
        }
    }
}
