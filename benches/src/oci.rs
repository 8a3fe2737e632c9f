//! A bundle for OCI runtimes that asks for what bubblewrap is asked for: namespaces, a read-only
//! /usr, /proc and /dev, no cgroup limits.

use serde_json::json;
use std::path::Path;

/// Makes the bundle's folder and gives its path as text.
pub fn bundle(at: &Path, program: &str) -> std::io::Result<String> {
    let root = at.join("rootfs");
    std::fs::create_dir_all(root.join("usr"))?;
    for dir in ["proc", "dev"] {
        std::fs::create_dir(root.join(dir))?;
    }
    for name in ["bin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    let namespaces: Vec<_> = ["pid", "mount", "network", "ipc", "uts"].iter().map(|t| json!({ "type": t })).collect();
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false, "user": { "uid": 0, "gid": 0 }, "args": [program], "cwd": "/", "env": [],
            "rlimits": [], "noNewPrivileges": true,
            "capabilities": { "bounding": [], "effective": [], "permitted": [] },
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [
            { "destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] },
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"] },
        ],
        "linux": { "namespaces": namespaces },
    });
    std::fs::write(at.join("config.json"), config.to_string())?;
    Ok(at.display().to_string())
}
