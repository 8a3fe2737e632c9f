//! The documentation's commands, run as a reader would type them.
//!
//! In README.md and docs/*.md every command stands in a ```` ```console ```` block after `$ `, with what it prints
//! below. Each page is one session, from its top, in a folder that looks like a fresh clone with the programs built.
//! A command must succeed, unless the next one shows its exit code with `echo $?`; what is shown must be what is
//! printed, but for numbers, ids and line breaks. A line `…` stands for what the page leaves out. Comments before a
//! block, which a reader of the page's source sees:
//!
//! - `<!-- skipped in tests: WHY -->`: the block is not run.
//! - `<!-- needs: PATH … -->`: the block is not run where one of these is missing.
//! - `<!-- varies by host: WORD … -->`: lines that begin with these words are not compared.
//! - `<!-- file: PATH -->`: the block is the text of this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod page;
mod same;
mod session;

use std::fs;
use std::path::{Path, PathBuf};

use page::Block;
use session::Session;
use stockade_tests::host::{Alone, skip_unless};

/// The repository's root: this package is a folder of it.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    pages.insert(0, root().join("README.md"));
    pages
}

fn name(page: &Path) -> String {
    page.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn every_command_does_what_its_page_says() {
    if skip_unless("every_command_does_what_its_page_says", &["bash", "python3"]) {
        return;
    }
    let _alone = Alone::on_this_host();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for page in pages() {
        let (name, text) = (name(&page), fs::read_to_string(&page).unwrap());
        let blocks = page::blocks(&text);
        // A session is a thread: its mounts are its own, and end with it.
        let session = std::thread::spawn(move || {
            let mut session = Session::begin(&root());
            let mut wrong = Vec::new();
            for block in &blocks {
                wrong.extend(play(&mut session, &name, block));
            }
            (session.ran, wrong)
        });
        let (commands, found) = session.join().unwrap();
        ran += commands;
        wrong.extend(found);
    }
    println!("{ran} commands");
    assert!(ran > 10, "only {ran} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn play(session: &mut Session, page: &str, block: &Block) -> Vec<String> {
    let skip = |why: &str| {
        for command in &block.commands {
            println!("SKIPPED {page}:{}: {}: {why}", command.line, command.typed.lines().next().unwrap_or_default());
        }
        Vec::new()
    };
    if let Some(path) = &block.file {
        session.write(path, &block.text);
        return Vec::new();
    }
    if let Some(why) = &block.skipped {
        return skip(why);
    }
    if let Some(missing) = block.needs.iter().find(|path| !session.has(path)) {
        return skip(&format!("{missing} is not there"));
    }
    session.play(page, block)
}

/// A command that is shown in another way would not be run.
#[test]
fn commands_stand_in_console_blocks() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in page::blocks(&text) {
            // The example in docs/evidence.md is run by the journal's own tests.
            let tested_there = page.ends_with("docs/evidence.md") && block.language == "sh";
            let known = ["console", "text", "toml", "python", "json"].contains(&block.language.as_str());
            assert!(known || tested_there, "{}:{}: a block of {:?}", name(&page), block.line, block.language);
            assert!(
                block.language != "console" || !block.commands.is_empty(),
                "{}:{}: a console block without a command",
                name(&page),
                block.line
            );
        }
    }
}
