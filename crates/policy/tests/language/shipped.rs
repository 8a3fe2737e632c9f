//! Every policy we ship loads and passes its own tests.

use std::fs;
use std::path::{Path, PathBuf};
use stockade_policy::{load, parse_policy, preset, preset_names};

fn policies(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "toml"));
    files.sort();
    files
}

#[test]
fn presets_are_embedded_and_tested() {
    let names: Vec<String> =
        policies("presets").iter().map(|f| f.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut embedded: Vec<&str> = preset_names().collect();
    embedded.sort_unstable();
    assert_eq!(names, embedded);
    for name in preset_names() {
        let policy = parse_policy(&format!("preset:{name}"), preset(name).unwrap()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(Some(policy.id.as_str()), name.split('@').next());
        assert!(policy.test_count() >= 2, "{name} has no tests");
    }
}

#[test]
fn examples_load_and_are_tested() {
    let files = policies("examples");
    assert!(files.len() >= 2);
    for file in files {
        // Their text, and as files where the checkout's owner may be trusted with them.
        let text = fs::read_to_string(&file).unwrap();
        let policy = parse_policy(file.to_str().unwrap(), &text).unwrap_or_else(|e| panic!("{e}"));
        assert!(policy.test_count() >= 4, "{} has few tests", file.display());
        match load(&file) {
            Ok(loaded) => assert_eq!(loaded.digest, policy.digest),
            Err(e) => assert!(e.to_string().contains("could change the policy"), "{e}"),
        }
    }
}
