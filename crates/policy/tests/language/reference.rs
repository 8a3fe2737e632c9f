//! docs/policy.md and the JSON Schemas beside it are what the language's table says.

use std::fs;
use std::path::{Path, PathBuf};
use stockade_policy::language::{CEILING, POLICY, Section, TESTS, json_schema, reference};

const UPDATE: &str = "STOCKADE_UPDATE_REFERENCE";
const HOW: &str = "STOCKADE_UPDATE_REFERENCE=1 cargo test --release --locked --workspace --exclude stockade-cell --test language reference";

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// Compares, or writes if asked to.
fn is(name: &str, wanted: &str) {
    if std::env::var_os(UPDATE).is_some() {
        fs::write(docs(name), wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(docs(name)).unwrap();
    assert!(found == wanted, "docs/{name} is not what the table says: {HOW}");
}

#[test]
fn the_page_has_every_key_as_the_table_says_it() {
    let mut page = fs::read_to_string(docs("policy.md")).unwrap();
    let parts: [(&str, &'static Section); 3] = [("policy", &POLICY), ("tests", &TESTS), ("ceiling", &CEILING)];
    for (name, section) in parts {
        let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
        let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
        page = format!("{before}{begin}\n{}{end}{after}", reference(section, 3));
    }
    is("policy.md", &page);
}

#[test]
fn the_schemas_for_editors_are_those_of_the_table() {
    let all: [(&str, &'static Section, &str); 3] = [
        ("policy.schema.json", &POLICY, "Stockade policy"),
        ("policy-tests.schema.json", &TESTS, "Stockade policy tests"),
        ("ceiling.schema.json", &CEILING, "Stockade ceiling"),
    ];
    for (name, section, title) in all {
        is(name, &format!("{:#}\n", json_schema(section, title)));
    }
}
