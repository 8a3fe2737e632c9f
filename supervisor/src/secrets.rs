//! Secrets of the host, read by root for egress alone: their values go to no other process, record or message.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use stockade_policy::{Policy, SecretRule};
use stockade_wire::egress::{Secret, Secrets};

use crate::error::RunError;

/// Longest value.
const MAX_VALUE: usize = 16 * 1024;
/// Shortest value: a shorter one would be found in answers that only look like it.
const MIN_VALUE: usize = 8;
/// Longest time for a command.
const PATIENCE: Duration = Duration::from_secs(5);

/// All secrets that some rule of the policy sends along.
pub(crate) fn read(policy: &Policy) -> Result<Secrets, RunError> {
    let sent = |name: &str| {
        let is = |credential: &Option<String>| credential.as_deref() == Some(name);
        policy.egress.iter().any(|rule| is(&rule.credential)) || policy.models.iter().any(|rule| is(&rule.credential))
    };
    let wanted = policy.secrets.iter().filter(|rule| sent(&rule.name));
    wanted.map(one).collect::<Result<_, _>>().map(Secrets)
}

fn one(rule: &SecretRule) -> Result<Secret, RunError> {
    let refuse = |why: String| {
        RunError::Policy(format!("{}: [[secret]] {:?} from {}: {why}", rule.origin, rule.name, rule.from))
    };
    let text = match rule.from.split_once(':') {
        Some(("file", path)) => file(Path::new(path), true),
        Some(("systemd", name)) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(folder) if !name.contains('/') => file(&Path::new(&folder).join(name), false),
            Some(_) => Err("a credential of systemd\u{2019}s has a name, not a path".to_owned()),
            None => Err("CREDENTIALS_DIRECTORY is not set; start stockade from a unit with LoadCredential=".to_owned()),
        },
        Some(("command", path)) => command(path),
        _ => Err("a source is file:PATH, systemd:NAME or command:PATH".to_owned()),
    }
    .map_err(refuse)?;
    let raw = text.lines().next().unwrap_or_default().trim().to_owned();
    if raw.len() < MIN_VALUE || raw.len() > MAX_VALUE {
        return Err(refuse(format!("its value has {} bytes; {MIN_VALUE} to {MAX_VALUE} are taken", raw.len())));
    }
    if !raw.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(refuse("its value has bytes that no header field takes".to_owned()));
    }
    let header = rule.header.to_ascii_lowercase();
    // RFC 6750; a value that has a scheme of its own stays as it is.
    let value = if header == "authorization" && !raw.contains(' ') { format!("Bearer {raw}") } else { raw.clone() };
    let raw = raw.rsplit(' ').next().filter(|last| last.len() >= MIN_VALUE).unwrap_or(&raw).to_owned();
    Ok(Secret { name: rule.name.clone(), header, value, raw })
}

/// The text of a file that nobody but root has to do with.
fn file(path: &Path, roots: bool) -> Result<String, String> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(|error| error.to_string())?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    // systemd gives its own with an ACL for the unit's user, in a folder that is that user's alone.
    if roots && (meta.uid() != 0 || meta.mode() & 0o177 != 0) {
        let (uid, mode) = (meta.uid(), meta.mode() & 0o7777);
        return Err(format!("it is of uid {uid} with mode {mode:04o}; make it root\u{2019}s with mode 0600 or 0400"));
    }
    text(file)
}

fn text(from: impl Read) -> Result<String, String> {
    let mut text = Vec::new();
    let most = MAX_VALUE as u64 + 1;
    from.take(most).read_to_end(&mut text).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|_| "it is no text".to_owned())
}

/// The first line that a program of the host's prints.
fn command(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("a command is an absolute path, without arguments".to_owned());
    }
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_file() || meta.uid() != 0 || meta.mode() & 0o022 != 0 {
        return Err(
            "it runs as root, so it must be a regular file of root\u{2019}s that nobody else can write".to_owned()
        );
    }
    let mut child = Command::new(path)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut told = child.stdout.take().ok_or("it has no output")?;
    let told = first_line(&mut told, Instant::now() + PATIENCE);
    if told.is_err() {
        let _gone = child.kill();
    }
    // Its end is waited for once its output has ended, or it has been killed.
    let status = child.wait().map_err(|error| error.to_string())?;
    let told = told?;
    if status.success() { Ok(told) } else { Err(format!("it ended with {status}")) }
}

fn first_line(from: &mut std::process::ChildStdout, deadline: Instant) -> Result<String, String> {
    use std::os::fd::AsFd;
    let mut text = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [nix::poll::PollFd::new(from.as_fd(), nix::poll::PollFlags::POLLIN)];
        let timeout = nix::poll::PollTimeout::try_from(left).unwrap_or(nix::poll::PollTimeout::ZERO);
        match nix::poll::poll(&mut fds, timeout) {
            Ok(0) => return Err(format!("it did not end in {} s", PATIENCE.as_secs())),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.to_string()),
        }
        let mut piece = [0; 4096];
        match from.read(&mut piece) {
            Ok(0) => return String::from_utf8(text).map_err(|_| "its output is no text".to_owned()),
            Ok(len) => text.extend_from_slice(piece.get(..len).unwrap_or_default()),
            Err(error) => return Err(error.to_string()),
        }
        if text.len() > MAX_VALUE {
            return Err(format!("it prints over {MAX_VALUE} bytes"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_roots_alone_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "value-of-it\n").unwrap();
        if !nix::unistd::geteuid().is_root() {
            println!("SKIPPED a_file_is_roots_alone_or_refused: needs root");
            return;
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(file(&path, true).unwrap(), "value-of-it\n");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(file(&path, true).unwrap_err().contains("0640"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(file(&link, true).is_err());
        assert!(file(dir.path(), true).unwrap_err().contains("no regular file"));
    }

    #[test]
    fn a_command_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            path.to_string_lossy().into_owned()
        };
        assert_eq!(command(&script("good", "echo one; echo two")).unwrap(), "one\ntwo\n");
        assert!(command(&script("bad", "echo one; exit 3")).unwrap_err().contains('3'));
        assert!(command(&script("long", "yes")).unwrap_err().contains("bytes"));
        assert!(command("true").is_err());
    }
}
