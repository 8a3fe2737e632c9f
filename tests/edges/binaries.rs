//! What is built is built from source, and the cell that runs agents has no compiler in it.

use crate::sources::root;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Beginnings of what compilers write: ELF, WebAssembly, `ar`, PE, Mach-O.
const BUILT: [&[u8]; 5] = [b"\x7fELF", b"\0asm", b"!<arch>\n", b"MZ\x90\0", b"\xcf\xfa\xed\xfe"];

fn is_built(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(8).read_to_end(&mut head));
    read.is_ok() && BUILT.iter().any(|magic| head.starts_with(magic))
}

#[test]
fn nothing_built_is_committed() {
    // The test may run as root in another user's clone, which git refuses by itself.
    let listed = Command::new("git").current_dir(root()).args(["-c", "safe.directory=*", "ls-files", "-z"]).output();
    let listed = match listed {
        Ok(out) if out.status.success() => out.stdout,
        Ok(out) => {
            println!("SKIPPED nothing_built_is_committed: {}", String::from_utf8_lossy(&out.stderr).trim());
            return;
        }
        Err(e) => {
            println!("SKIPPED nothing_built_is_committed: git: {e}");
            return;
        }
    };
    let files: Vec<_> = listed.split(|b| *b == 0).filter(|f| !f.is_empty()).collect();
    assert!(files.len() > 10, "git ls-files names {} files", files.len());
    let built: Vec<_> = files
        .into_iter()
        .map(|f| String::from_utf8_lossy(f).into_owned())
        .filter(|f| is_built(&root().join(f)))
        .collect();
    assert!(built.is_empty(), "built files are committed; remove them and build them from source: {built:?}");
}

/// The programs stand beside the folder this test runs from.
fn program(name: &str) -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    Some(exe.parent()?.parent()?.join(name)).filter(|p| p.exists())
}

fn mentions_compiler(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let needle = b"cranelift_codegen";
    bytes.windows(needle.len()).any(|w| w == needle)
}

#[test]
fn the_cell_holds_no_compiler() {
    let (Some(cell), Some(compile)) = (program("stockade-cell"), program("stockade-compile")) else {
        println!("SKIPPED the_cell_holds_no_compiler: stockade-cell and stockade-compile are not built (make build)");
        return;
    };
    assert!(mentions_compiler(&compile), "the search would not find a compiler in {}", compile.display());
    assert!(!mentions_compiler(&cell), "{} holds Cranelift; build it alone, with --features run", cell.display());
}
