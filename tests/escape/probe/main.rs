//! Tries to escape, one way at a time.
//!
//! `--list` prints the table as JSON lines. `run NAME [KEY=VALUE…]` tries one attack and prints
//! one line; it exits with 0 if the attack succeeded, 10 if it was stopped, 11 if it cannot be
//! tried here. Called as `stockade-cell` it plays a wasm cell whose runtime has fallen. The other
//! commands help the driver to set the scene. Every attack checks its effect, and none harms
//! the machine it is shown to work on.

mod attack;
mod cell;
mod fds;
mod filter;
mod fs_mount;
mod fs_read;
mod fs_write;
mod info;
mod ipc;
mod kernel;
mod kit;
mod limits;
mod mediator;
mod memory;
mod net_family;
mod net_ip;
mod net_unix;
mod params;
mod privs;
mod procs;
mod report;
mod sys;
mod table;
mod terminal;
mod uring;
mod wrap;

use attack::{Attempt, Stop};
use params::Params;

fn main() {
    let mut words = std::env::args();
    let called = words.next().unwrap_or_default();
    let code = if called.rsplit('/').next() == Some("stockade-cell") {
        cell::main()
    } else {
        command(&words.collect::<Vec<_>>())
    };
    std::process::exit(code);
}

fn command(words: &[String]) -> i32 {
    let (name, rest) = words.split_first().map_or(("", words), |(n, r)| (n.as_str(), r));
    let params = Params::parse(rest.iter().take_while(|w| *w != "--").cloned());
    match name {
        "--list" => {
            table::all().for_each(|a| println!("{}", a.describe()));
            0
        }
        "run" => run(rest.first().map_or("", String::as_str), &params),
        "said" => print("code-execve", &Ok("this is the program after execve".into())),
        "wrap" => {
            let options: Vec<String> = rest.iter().filter(|w| !is_param(w)).cloned().collect();
            let options = split(&options, rest);
            let stop = match wrap::prepare(&options, &params) {
                Ok(program) => wrap::become_program(&program),
                Err(stop) => stop,
            };
            print("wrap", &Err(stop))
        }
        "victim" => print("victim", &wrap::victim(&params).map(|()| String::new())),
        "whoami-euid" => answer(sys!(SYS_geteuid).ok()),
        "whoami-egid" => answer(sys!(SYS_getegid).ok()),
        "whoami-caps" => answer(kit::effective_caps().ok().map(|c| if c == 0 { "none" } else { "some" })),
        "handle" => print("handle", &params.get("CANARY").and_then(fs_read::handle_of)),
        "grant-caps" => print("grant-caps", &params.get("FILE").and_then(fs_write::set_file_caps)),
        "plant-ipc" => print("plant-ipc", &plant(&params)),
        "unplant-ipc" => {
            ipc::unplant(params.number_or("IPC_KEY", 0), params.or("MQ", ""));
            0
        }
        _ => {
            eprintln!("usage: stockade-escape-probe --list | run NAME [KEY=VALUE…]");
            2
        }
    }
}

fn is_param(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Options without the parameters before `--`, and all words after it as they are.
fn split(options: &[String], all: &[String]) -> Vec<String> {
    let before = options.iter().take_while(|w| *w != "--").cloned();
    before.chain(all.iter().skip_while(|w| *w != "--").cloned()).collect()
}

fn run(name: &str, params: &Params) -> i32 {
    let Some(attack) = table::find(name) else {
        return print(name, &Err(Stop::Unsupported("no attack of that name".into())));
    };
    if let Some(missing) = attack.needs.iter().find(|n| params.get(n).is_err()) {
        return print(name, &Err(Stop::Unsupported(format!("needs {missing}="))));
    }
    print(name, &(attack.run)(params))
}

fn print(name: &str, attempt: &Attempt) -> i32 {
    let (line, code) = report::line(name, attempt);
    println!("{line}");
    code
}

fn answer(value: Option<impl std::fmt::Display>) -> i32 {
    value.map_or(1, |v| {
        println!("{v}");
        0
    })
}

fn plant(params: &Params) -> Attempt {
    ipc::plant(params.number("IPC_KEY")?, params.get("MQ")?, params.get("SECRET")?)
}
