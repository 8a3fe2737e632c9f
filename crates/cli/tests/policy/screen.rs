//! What these commands do to a terminal, to a pipe that closes, and with inputs that are too much.

use std::io::Read;
use std::process::Stdio;

use crate::{Done, LIMITS, Place, policy};

/// Nothing but line breaks acts on a terminal, nothing is hidden.
#[track_caller]
fn harmless(done: &Done) {
    for text in [&done.out, &done.err] {
        let bad =
            text.chars().find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}'));
        assert_eq!(bad, None, "{text}");
    }
}

const EVIL: &str = "\u{9b}31m\u{202e}evil\u{200b}";

#[test]
fn nothing_of_a_file_acts_on_the_terminal() {
    let reason = format!("{EVIL}\\u001b[2J\\u0007");
    let text = policy().replace("only out/ is the agent's to write", &reason)
        + &format!("\n[env.set]\nGREETING = \"{EVIL}\\u001b]0;title\"\n")
        + &format!(
            "\n[[exec]]\nid = \"x\"\ncommand = [\"/usr/bin/true\", \"{EVIL}\\u001b[2J\"]\nwall = \"1s\"\nreason = \"{reason}\"\n"
        );
    let failing = text.replace("path = \"a.txt\", content", "path = \"out/a.txt\", content");
    let broken = format!("{LIMITS}[tools]\nallow = [\"{EVIL}\\u001b[2J\"]\n\"{EVIL}\" = 1 # {EVIL}\n");
    let syntax = format!("version = 1 {EVIL}\n");
    let place = Place::with(&[
        ("a.toml", &text),
        ("f.toml", &failing),
        ("b.toml", &broken),
        ("s.toml", &syntax),
        ("ok.toml", &policy()),
    ]);
    let name = format!("{EVIL}\u{1b}[31m.toml");
    place.put(&name, &text);
    let call = format!("path={EVIL}\u{1b}[31m");
    for args in [
        &["check", "a.toml", "f.toml", "b.toml", "s.toml", &name, "no\u{1b}[31m\u{202e}.toml"][..],
        &["show", "a.toml"],
        &["show", "--resolved", "a.toml"],
        &["show", "--resolved", &name],
        &["show", "b.toml"],
        &["show", "s.toml"],
        &["diff", "ok.toml", "a.toml"],
        &["diff", "ok.toml", &name],
        &["test", "a.toml", "f.toml", "b.toml", &name],
        &["explain", "a.toml", "call", "workspace.read", &call, "--agent"],
        &["explain", &name, "call", "workspace.write", &call, "content=x"],
        &["explain", "a.toml", "call", &call],
        &["explain", "a.toml", "call", "clock", EVIL],
        &["explain", "a.toml", "path", EVIL],
        &["explain", "a.toml", "host", EVIL],
        &["explain", "a.toml", "host", "x.example:443", EVIL, EVIL],
        &["explain", "a.toml", "syscall", EVIL],
        &["new", "--preset", EVIL],
        &["new", "--preset", "base", "--id", EVIL],
        &["new", "--preset", "base", "--output", &name],
        &["seal", "b.toml"],
        &["seal", &name],
        &["schema", "--cedar", "b.toml"],
        &["ceiling", "check", "b.toml"],
    ] {
        harmless(&place.policy(args));
        if !["seal", "new"].contains(&args[0]) {
            let json: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
            let done = place.policy(&json);
            harmless(&done);
            if done.code != 2 {
                done.json();
            }
        }
    }
}

#[test]
fn colours_are_there_when_forced_and_never_with_no_color() {
    let bad = policy().replace("pids ", "pigs ");
    let place = Place::with(&[("a.toml", &policy()), ("bad.toml", &bad)]);
    for args in [
        &["check", "a.toml", "bad.toml"][..],
        &["show", "a.toml"],
        &["test", "a.toml"],
        &["explain", "a.toml", "call", "clock"],
    ] {
        let all: Vec<&str> = ["policy"].iter().chain(args).copied().chain(["--no-ceiling"]).collect();
        let run = |name: &[&str]| {
            let mut command = place.command(&all);
            name.iter().for_each(|name| {
                command.env(name, "1");
            });
            Done::of(command.output().unwrap())
        };
        let (piped, forced, none) = (run(&[]), run(&["CLICOLOR_FORCE"]), run(&["CLICOLOR_FORCE", "NO_COLOR"]));
        assert!(forced.out.contains("\u{1b}["), "{args:?}");
        assert_eq!(none.out, piped.out);
        harmless(&none);
        harmless(&piped);
        let bare = anstream_strip(&forced.out);
        assert_eq!(bare.replace(' ', ""), piped.out.replace(' ', ""), "colours change no word");
    }
}

fn anstream_strip(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split("\u{1b}[");
    out.push_str(parts.next().unwrap());
    parts.for_each(|part| out.push_str(part.split_once('m').unwrap().1));
    out
}

#[test]
fn a_reader_that_leaves_changes_no_code_and_makes_no_noise() {
    let paths: Vec<String> = (0..1000).map(|n| format!("\"@workspace/{n}/{}\"", "x".repeat(100))).collect();
    let text = format!("{LIMITS}[fs]\nread = [{}]\n[tools]\nallow = [\"*\"]\n", paths.join(", "));
    let place = Place::with(&[("a.toml", &text)]);
    for (args, code) in [(&["show", "--resolved", "a.toml"][..], 0), (&["check", "--fail-on", "note", "a.toml"], 16)] {
        for json in [false, true] {
            let mut all = vec!["policy"];
            all.extend(args);
            all.push("--no-ceiling");
            all.extend(json.then_some("--json"));
            let mut child = place.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut out = child.stdout.take().unwrap();
            out.read_exact(&mut [0]).unwrap();
            drop(out);
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(code), ""), "{all:?}");
        }
    }
}

#[test]
fn too_much_is_refused_and_nothing_waits() {
    let place =
        Place::with(&[("big.toml", &format!("{}\n# {}\n", policy(), "x".repeat(1 << 20))), ("a.toml", &policy())]);
    place.policy(&["check", "big.toml"]).ends(10).says("is larger than 1048576 bytes");
    place.policy(&["ceiling", "check", "big.toml"]).ends(10);
    let deep = format!("a:={}1{}", "[".repeat(50_000), "]".repeat(50_000));
    place.policy(&["explain", "a.toml", "call", "clock", &deep]).ends(2);
    let long = format!("path={}", "x/".repeat(40_000));
    place.policy(&["explain", "a.toml", "call", "workspace.read", &long]).ends(22);
    let deep = format!("a = {}1{}\n", "[".repeat(20_000), "]".repeat(20_000));
    place.put("deep.toml", &deep);
    place.put("deep.json", &format!("{}{}", "{\"a\":".repeat(20_000), "}".repeat(20_000)));
    place.policy(&["check", "deep.toml", "deep.json"]).ends(10);
    nix::unistd::mkfifo(&place.path("fifo.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.policy(&["check", "fifo.toml", "/dev/null", "."]).ends(10).says("a FIFO");
}
