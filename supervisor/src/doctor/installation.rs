//! What Stockade itself needs on the host: its programs, its state, its range of ids.

use super::{Check, ID_BASE, ID_COUNT};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const GROUP: &str = "installation";
const LIBEXEC: &str = "/usr/libexec/stockade";
const PROGRAMS: [&str; 6] =
    ["stockade-launcher", "stockade-init", "stockade-shim", "stockade-cell", "stockade-compile", "stockade-egress"];
const STATE: [(&str, &str); 2] = [("state.persistent", "/var/lib/stockade"), ("state.volatile", "/run/stockade")];

pub(super) fn checks() -> Vec<Check> {
    let mut all = vec![programs(&program_dir())];
    all.extend(STATE.map(|(name, dir)| state(name, Path::new(dir))));
    all.push(ids());
    all
}

/// Siblings of the running program in a build tree, else where a package puts them.
fn program_dir() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_path_buf))
        .filter(|dir| dir.join(PROGRAMS[0]).exists())
        .unwrap_or_else(|| PathBuf::from(LIBEXEC))
}

/// Who else than root could change what stands at a path, through it or through a directory above.
fn writable_by_others(path: &Path) -> Result<Option<String>, std::io::Error> {
    for (depth, at) in path.ancestors().enumerate() {
        let meta = std::fs::symlink_metadata(at)?;
        let shared_but_sticky = depth > 0 && meta.mode() & 0o1000 != 0;
        if meta.uid() != 0 {
            return Ok(Some(format!("{} belongs to uid {}", at.display(), meta.uid())));
        }
        if meta.mode() & 0o022 != 0 && !shared_but_sticky && !meta.is_symlink() {
            return Ok(Some(format!("{} has mode {:04o}", at.display(), meta.mode() & 0o7777)));
        }
    }
    Ok(None)
}

fn programs(dir: &Path) -> Check {
    let mut faults = Vec::new();
    for name in PROGRAMS {
        let path = dir.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if !meta.is_file() => faults.push(format!("{name} is not a regular file")),
            Ok(meta) if meta.mode() & 0o111 == 0 => faults.push(format!("{name} is not executable")),
            Ok(_) => match writable_by_others(&path) {
                Ok(None) => {}
                Ok(Some(fault)) => faults.push(fault),
                Err(e) => faults.push(format!("{name}: {e}")),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => faults.push(format!("no {name}")),
            Err(e) => faults.push(format!("{name}: {e}")),
        }
    }
    faults.dedup();
    let at = dir.display();
    if faults.is_empty() {
        Check::ok(GROUP, "programs", format!("{} in {at}, root's, writable by root alone", PROGRAMS.len()))
    } else {
        let advice = "install the package, or `make build` as root in a directory that only root can write to";
        Check::missing(GROUP, "programs", format!("{at}: {}", faults.join("; ")), advice)
    }
}

fn state(name: &'static str, dir: &Path) -> Check {
    let at = dir.display();
    let advice = format!("chown root {at}; chmod go-w {at}");
    match std::fs::symlink_metadata(dir) {
        Ok(meta) if !meta.is_dir() => Check::missing(GROUP, name, format!("{at} is not a directory"), "move it away"),
        Ok(meta) => match writable_by_others(dir) {
            Ok(None) => Check::ok(GROUP, name, format!("{at}, mode {:04o}", meta.mode() & 0o7777)),
            Ok(Some(fault)) => Check::missing(GROUP, name, fault, advice),
            Err(e) => Check::missing(GROUP, name, format!("{at}: {e}"), advice),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let parent = dir.parent().unwrap_or(Path::new("/"));
            match rustix::fs::access(parent, rustix::fs::Access::WRITE_OK) {
                Ok(()) => Check::ok(GROUP, name, format!("{at} is not there yet; the first run makes it")),
                Err(e) => {
                    let said = format!("{at} is not there, and {}: {e}", parent.display());
                    Check::missing(GROUP, name, said, "run as root on a writable file system")
                }
            }
        }
        Err(e) => Check::missing(GROUP, name, format!("{at}: {e}"), advice),
    }
}

/// The file, and for a line of it the first id and the count.
type IdFile = (&'static str, fn(&str) -> Option<(u64, u64)>);

fn ids() -> Check {
    let files: [IdFile; 4] =
        [("/etc/passwd", account), ("/etc/group", account), ("/etc/subuid", delegated), ("/etc/subgid", delegated)];
    let mut taken = Vec::new();
    for (file, parse) in files {
        match std::fs::read(file) {
            Ok(bytes) => {
                taken.extend(overlaps(&String::from_utf8_lossy(&bytes), parse).map(|l| format!("{file}: {l}")))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => taken.push(format!("{file}: {e}")),
        }
    }
    let range = format!("{ID_BASE} to {}", u64::from(ID_BASE) + u64::from(ID_COUNT) - 1);
    if taken.is_empty() {
        Check::ok(GROUP, "ids", format!("no account or delegation in {range}"))
    } else {
        let advice = format!("give these other ids; {range} are for cells");
        Check::missing(GROUP, "ids", taken.join("; "), advice)
    }
}

fn account(line: &str) -> Option<(u64, u64)> {
    Some((line.split(':').nth(2)?.parse().ok()?, 1))
}

fn delegated(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split(':').skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?))
}

fn overlaps(text: &str, parse: fn(&str) -> Option<(u64, u64)>) -> impl Iterator<Item = String> {
    let (first, end) = (u64::from(ID_BASE), u64::from(ID_BASE) + u64::from(ID_COUNT));
    text.lines().filter_map(move |line| {
        let (start, count) = parse(line)?;
        (start < end && start.saturating_add(count) > first)
            .then(|| format!("{} has {start}+{count}", line.split(':').next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn ids_that_touch_the_range_are_found() {
        let passwd = "root:x:0:0::/:\nlow:x:1899999999:1::/:\nin:x:1900000000:1::/:\nafter:x:2067772160:1::/:\nbad\n";
        assert_eq!(overlaps(passwd, account).collect::<Vec<_>>(), ["in has 1900000000+1"]);
        let subuid = "a:100000:65536\nb:1899999000:1001\nc:2067772159:1\nd:2067772160:9\ne:1:18446744073709551615\n";
        let names: Vec<_> = overlaps(subuid, delegated).map(|l| l[..1].to_owned()).collect();
        assert_eq!(names, ["b", "c", "e"]);
    }

    #[test]
    fn a_program_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir_in("/root").or_else(|_| tempfile::tempdir()).unwrap();
        let set = |name: &str, mode| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        PROGRAMS.iter().for_each(|p| set(p, 0o755));
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED a_program_that_others_can_write_is_refused: needs root");
            return;
        }
        assert_eq!(programs(dir.path()).status, super::super::Status::Ok, "{:?}", programs(dir.path()));
        set("stockade-shim", 0o775);
        assert!(programs(dir.path()).evidence.contains("0775"));
        set("stockade-shim", 0o644);
        assert!(programs(dir.path()).evidence.contains("not executable"));
        std::fs::remove_file(dir.path().join("stockade-cell")).unwrap();
        assert!(programs(dir.path()).evidence.contains("no stockade-cell"));
    }
}
