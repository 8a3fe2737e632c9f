//! How long a tool call takes, from the agent's code in its cell to the answer there, beside the bare round trip of as
//! many bytes over a socket pair between two processes.
//!
//! A run with many calls less the same run with none, over the number of calls. All contenders take turns, so that what
//! else the machine does falls on all alike.

mod caller;
mod floor;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine;
use crate::options::Options;
use crate::stats::median;

pub use floor::{COMMAND as ECHO, echo};

/// Calls of one run.
const CALLS: u32 = 2_000;
/// Turns of each contender.
const ROUNDS: usize = 11;

/// A call, and what of it takes time.
struct Kind {
    name: &'static str,
    tool: &'static str,
    args: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind { name: "clock: decided, recorded", tool: "clock", args: "{}" },
    Kind { name: "workspace.stat: and looked up", tool: "workspace.stat", args: r#"{"path":"file"}"# },
    Kind {
        name: "workspace.write: intent on disk first",
        tool: "workspace.write",
        args: r#"{"path":"file","content":"0123456789abcdef"}"#,
    },
];

/// Measures, and prints a table.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::Builder::new().prefix("stockade-bench-").tempdir()?;
    let place = scratch.path();
    for folder in ["workspace", "state"] {
        std::fs::create_dir(place.join(folder))?;
    }
    std::fs::write(place.join("workspace/file"), "x")?;
    std::fs::write(place.join("policy.toml"), include_str!("../../policies/calls.toml"))?;
    for (number, kind) in KINDS.iter().enumerate() {
        std::fs::write(place.join(format!("{number}.wasm")), caller::component(kind.tool, kind.args, CALLS)?)?;
        // Same size and shape, so that nothing but the calls differs.
        std::fs::write(place.join(format!("{number}.none.wasm")), caller::component(kind.tool, kind.args, 0)?)?;
        // Compiled before it is measured.
        once(options, place, &format!("{number}.wasm"))?;
        once(options, place, &format!("{number}.none.wasm"))?;
    }
    let mut bare = Vec::new();
    let mut times: Vec<Vec<f64>> = KINDS.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        eprint!("\rround {} of {ROUNDS}", round + 1);
        bare.push(floor::round_trip(CALLS)?.as_secs_f64() * 1e6);
        for (number, times) in times.iter_mut().enumerate() {
            let with = once(options, place, &format!("{number}.wasm"))?;
            let without = once(options, place, &format!("{number}.none.wasm"))?;
            times.push(with.saturating_sub(without).as_secs_f64() * 1e6 / f64::from(CALLS));
        }
    }
    eprintln!();
    let m = machine::facts();
    println!("Linux {} on {} × {}, load {}", m.kernel, m.cpus, m.cpu, m.load);
    println!("medians of {ROUNDS} interleaved runs of {CALLS} calls; times in microseconds\n");
    println!("{:<42} {:>8} {:>8}", "", "a call", "× bare");
    let floor = median(&mut bare).ok_or("nothing was measured")?;
    println!("{:<42} {floor:>8.1} {:>8.1}", "bare: 128 bytes there and back", 1.0);
    for (kind, times) in KINDS.iter().zip(&mut times) {
        let time = median(times).ok_or("nothing was measured")?;
        println!("{:<42} {time:>8.1} {:>8.1}", kind.name, time / floor);
    }
    Ok(())
}

/// One run, from before spawn until it has been waited for.
fn once(options: &Options, place: &Path, component: &str) -> Result<Duration, Box<dyn Error>> {
    let mut command = Command::new(&options.stockade);
    command.arg("run").arg("--policy").arg(place.join("policy.toml"));
    command.arg("--workspace").arg(place.join("workspace")).arg("--state").arg(place.join("state"));
    command.arg(place.join(component)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command.output()?;
    let took = begin.elapsed();
    match output.status.success() {
        true => Ok(took),
        false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into()),
    }
}
