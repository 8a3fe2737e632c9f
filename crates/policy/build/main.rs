//! Compiles `seccomp-profiles/*.toml` with libseccomp, so that the launcher loads bytes and links no
//! compiler of filters. A profile that libseccomp cannot express exactly does not build.

mod compile;
mod profile;

use profile::{Action, Profile};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Profiles by name; each is a file `<name>.<arch>.toml`.
const NAMES: [&str; 7] =
    ["cell-native", "cell-native-net", "cell-wasm", "cell-wasm-sealed", "compile", "egress", "shim"];

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
        let mut profile: Profile = profile::parse(&read(&file)?).map_err(at)?;
        if let Some(base) = &profile.extends {
            let base = profile::parse(&read(&folder.join(format!("{base}.{arch}.toml")))?).map_err(at)?;
            profile = profile.over(base).map_err(at)?;
        }
        let bpf = compile::compile(&profile, &newer, &out).map_err(at)?;
        std::fs::write(out.join(format!("{name}.bpf")), &bpf)?;
        let digest = Sha256::digest(&bpf);
        let rules = ruled(&profile, &newer).map_err(at)?;
        writeln!(
            code,
            "Profile {{ name: {name:?}, about: {:?}, bpf: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.bpf\")), digest: {:?}, \
             rules: &[{rules}] }},",
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

/// What the profile's rules say of each syscall that they name, as Rust, sorted by number.
fn ruled(profile: &Profile, newer: &BTreeMap<String, i32>) -> Result<String> {
    let mut by_number = BTreeMap::new();
    for rule in &profile.rules {
        for name in &rule.names {
            let always = if rule.args.is_empty() { "" } else { " for some arguments" };
            let does = match rule.action {
                Action::Allow => "allows",
                Action::Errno => "refuses",
                Action::Kill => "kills for",
                Action::Notify => "has the shim refuse",
            };
            let says = format!("{does} it{always}: {}", rule.why);
            let kills = rule.action == Action::Kill;
            let entry = by_number.entry(compile::number(name, newer)?.as_raw_syscall()).or_insert((kills, says));
            entry.0 |= kills;
        }
    }
    let one =
        |(nr, (kills, says)): (&i32, &(bool, String))| format!("Ruled {{ nr: {nr}, kills: {kills}, says: {says:?} }},");
    Ok(by_number.iter().map(one).collect())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()).into())
}
