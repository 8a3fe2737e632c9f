//! Every policy we ship loads and passes its own tests.

use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use stockade_policy::check::{Severity, check, unenforced};
use stockade_policy::{
    Counts, Decider, Facts, Options, Policy, Request, Trust, Verdict, load, load_with, parse_policy, preset,
    preset_names,
};

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

/// As `stockade policy check` loads it, whoever owns the checkout.
fn inspect(file: &Path) -> Policy {
    load_with(file, &Options { trust: Trust::Inspect, ..Options::default() }).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn examples_load_and_are_tested() {
    let files = policies("examples");
    assert!(files.len() >= 5);
    for file in files {
        let policy = inspect(&file);
        assert!(policy.test_count() >= 4, "{} has few tests", file.display());
        match load(&file) {
            Ok(loaded) => assert_eq!(loaded.digest, policy.digest),
            Err(e) => assert!(e.to_string().contains("could change the policy"), "{e}"),
        }
    }
}

/// A warning in what people start from would teach them to pass over warnings. An example may show what this version
/// does not enforce.
#[test]
fn nothing_shipped_is_warned_of() {
    for file in policies("presets").iter().chain(&policies("examples")) {
        let found = check(&inspect(file));
        let mut bad = found.iter().filter(|f| f.severity > Severity::Note && f.code != "not-enforced-yet");
        assert!(bad.next().is_none(), "{}: {found:#?}", file.display());
    }
}

/// What README.md says of them.
#[test]
fn examples_run_but_for_the_one_that_shows_the_language() {
    for file in policies("examples") {
        let refused = !unenforced(&inspect(&file)).is_empty();
        assert_eq!(refused, file.ends_with("coding-agent.toml"), "{}", file.display());
    }
}

/// The rule of the example in Cedar, with the clock and the counts that no test in a policy can set.
#[test]
fn reviewed_writes_are_few_and_by_day() {
    let bundle =
        inspect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/examples/reviewed-writes.toml")).bundle();
    let decider = Decider::new(&bundle).unwrap();
    let decide = |path: &str, mode: &str, approved, now, tool| {
        let args = json!({ "path": path, "content": "x", "mode": mode });
        let facts = Facts { approved, now, calls: Counts { tool, ..Counts::default() } };
        decider.decide(&Request { tool: "workspace.write", args: &args, facts })
    };
    // Thursday 1970-01-01, 10:00 and 03:00 UTC.
    let (day, night) = (10 * 3600, 3 * 3600);
    assert!(matches!(decide("notes/a.md", "create", false, day, 0), Verdict::Allow(_)));
    assert!(matches!(decide("notes/a.md", "replace", false, day, 0), Verdict::Ask(_)));
    assert!(matches!(decide("notes/a.md", "replace", true, day, 0), Verdict::Allow(_)));
    assert!(matches!(decide("notes/a.md", "create", true, day, 200), Verdict::Deny(_)));
    assert!(matches!(decide("src/main.rs", "create", false, day, 0), Verdict::Ask(_)));
    assert!(matches!(decide("src/main.rs", "create", true, day, 0), Verdict::Allow(_)));
    assert!(matches!(decide("src/main.rs", "create", true, night, 0), Verdict::Deny(_)));
    // Saturday.
    assert!(matches!(decide("src/main.rs", "create", true, 2 * 86_400 + day, 0), Verdict::Deny(_)));
}
