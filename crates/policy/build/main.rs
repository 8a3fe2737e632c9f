//! Compiles `seccomp-profiles/*.toml` with libseccomp, so that the launcher loads bytes and links no
//! compiler of filters. A profile that libseccomp cannot express exactly does not build.

mod compile;
mod profile;

use profile::Profile;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Profiles by name; each is a file `<name>.<arch>.toml`.
const NAMES: [&str; 5] = ["cell-native", "cell-wasm", "cell-wasm-sealed", "compile", "shim"];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH")?;
    let folder = here.join("../../seccomp-profiles");
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rerun-if-changed=build");

    let newer = profile::newer(&read(&folder.join(format!("newer.{arch}.toml")))?)?;
    let mut code = String::from("static PROFILES: &[Profile] = &[\n");
    for name in NAMES {
        let file = folder.join(format!("{name}.{arch}.toml"));
        let at = |e: Box<dyn std::error::Error>| format!("{}: {e}", file.display());
        let profile: Profile = profile::parse(&read(&file)?).map_err(at)?;
        let bpf = compile::compile(&profile, &newer, &out).map_err(at)?;
        std::fs::write(out.join(format!("{name}.bpf")), &bpf)?;
        let digest = Sha256::digest(&bpf);
        writeln!(
            code,
            "Profile {{ name: {name:?}, about: {:?}, bpf: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.bpf\")), digest: {:?} }},",
            profile.about,
            &digest[..],
        )?;
    }
    code.push_str("];\nstatic SYSCALLS: &[(i32, &str)] = &[\n");
    for (number, name) in compile::names(&newer) {
        writeln!(code, "({number}, {name:?}),")?;
    }
    code.push_str("];\n");
    std::fs::write(out.join("profiles.rs"), code)?;
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()).into())
}
