//! How long a decision takes, beside Cedar's own authorizer on the same rules, and beside what cannot be had for
//! less: parsing the arguments.
//!
//! The three take turns in one run, call by call.

mod policies;

use crate::machine;
use policies::Written;
use serde_json::{Value, json};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};
use stockade_policy::reference::Reference;
use stockade_policy::{Bundle, Decider, Facts, Request, Verdict};

/// Decisions of each kind.
const ROUNDS: usize = 20_000;
/// Cedar's authorizer takes a turn every so many.
const EVERY: usize = 10;
/// Loads of each size.
const LOADS: usize = 200;

pub fn run() -> Result<(), Box<dyn Error>> {
    let m = machine::facts();
    println!("Linux {} on {} × {}, load {}", m.kernel, m.cpus, m.cpu, m.load);
    println!("{ROUNDS} decisions a line, interleaved; times in microseconds\n");
    println!("{:44} {:>7} {:>7} {:>8} {:>7} {:>7} {:>8}", "", "median", "p99", "cedar", "json", "×cedar", "×json");
    let written = policies::mixed(200)?;
    let mixed = written.compile()?;
    println!("{} rules: {}", mixed.rules.len(), policies::MIXED);
    for (name, tool, args) in calls() {
        line(&mixed, name, tool, &args)?;
    }
    let hostile = policies::hostile(200)?.compile()?;
    println!("{} rules, 200 of them on one action with a condition that no index can skip", hostile.rules.len());
    let write = write("src/lib.rs");
    line(&hostile, "write, 2 KiB", "workspace.write", &write)?;
    println!("\ncedar: its own authorizer alone, with a request that is ready; json: serde_json, the arguments\n");
    println!(
        "{:44} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "loading, medians", "bytes", "decode", "name", "decider", "(compile)"
    );
    for (name, written) in [
        ("no rules of the author's", policies::empty()?),
        ("200 rules", written),
        ("1000 rules", policies::mixed(1000)?),
    ] {
        load(name, &written)?;
    }
    Ok(())
}

fn write(path: &str) -> Value {
    json!({"path": path, "content": "0123456789abcde\n".repeat(128), "mode": "replace"})
}

/// Arguments of 2 KiB each.
fn calls() -> Vec<(&'static str, &'static str, Value)> {
    let argv = |program: &str, count: usize| {
        let mut argv = vec![program.to_owned(), "run".to_owned()];
        argv.extend((0..count).map(|n| format!("--argument-{n:03}={}", "x".repeat(2048 / count - 18))));
        json!({ "argv": argv })
    };
    let deep = format!("src/{}a", "directory/".repeat(204));
    vec![
        ("write, 2 KiB of content: allowed", "workspace.write", write("src/module/lib.rs")),
        ("read, a path of 2 KiB and 205 parts: allowed", "workspace.read", json!({ "path": deep })),
        ("exec, 16 arguments: allowed", "exec", argv("/usr/bin/tool7", 14)),
        ("exec, 64 arguments, one looked for: allowed", "exec", argv("/usr/bin/tool7", 62)),
        ("write: denied by a rule", "workspace.write", write("src/deny3/x")),
        ("write: denied for want of a path", "workspace.write", write("elsewhere/x")),
        ("exec: denied for want of a command", "exec", argv("/usr/bin/none", 14)),
    ]
}

fn line(bundle: &Bundle, name: &str, tool: &str, args: &Value) -> Result<(), Box<dyn Error>> {
    let (decider, reference) = (Decider::new(bundle)?, Reference::new(bundle)?);
    let request = Request { tool, args, facts: Facts { now: 1_800_000_000, ..Facts::default() } };
    let prepared = reference.prepare(&request).ok_or("the bench's own call is none")?;
    let allowed = matches!(decider.decide(&request), Verdict::Allow(_));
    if reference.allows(&prepared) != allowed || allowed != name.contains("allowed") && name.contains(':') {
        return Err(format!("{name}: {}", if allowed { "allowed" } else { "denied" }).into());
    }
    let text = serde_json::to_vec(args)?;
    let (mut ours, mut cedar, mut json) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + ROUNDS / 10 {
        let warm = round >= ROUNDS / 10;
        let time = |into: &mut Vec<Duration>, act: &mut dyn FnMut()| {
            let begun = Instant::now();
            act();
            let took = begun.elapsed();
            if warm {
                into.push(took);
            }
        };
        time(&mut ours, &mut || drop(black_box(decider.decide(black_box(&request)))));
        time(&mut json, &mut || drop(black_box(serde_json::from_slice::<Value>(black_box(&text)))));
        if round % EVERY == 0 {
            time(&mut cedar, &mut || {
                black_box(reference.allows(black_box(&prepared)));
            });
        }
    }
    let [ours, p99, cedar, json] = [at(&mut ours, 50), at(&mut ours, 99), at(&mut cedar, 50), at(&mut json, 50)];
    println!("  {name:42} {ours:>7.2} {p99:>7.2} {cedar:>8.1} {json:>7.2} {:>7.3} {:>8.2}", ours / cedar, ours / json);
    Ok(())
}

fn load(name: &str, written: &Written) -> Result<(), Box<dyn Error>> {
    let bundle = written.compile()?;
    let mut compiles = Vec::new();
    for _ in 0..LOADS / 20 {
        let begun = Instant::now();
        black_box(written.compile()?);
        compiles.push(begun.elapsed());
    }
    let compile = at(&mut compiles, 50);
    let bytes = bundle.encode();
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..LOADS {
        let begun = Instant::now();
        let decoded = Bundle::decode(&bytes)?;
        let decode = begun.elapsed();
        let named = black_box(Bundle::name(&bytes));
        let name = begun.elapsed();
        let decider = black_box(Decider::new(decoded)?);
        let all = begun.elapsed();
        drop((named, decider));
        for (into, took) in times.iter_mut().zip([decode, name - decode, all - name]) {
            into.push(took);
        }
    }
    let [decode, hash, decider] = times.map(|mut list| at(&mut list, 50));
    let rules = format!("{name} ({} in all)", bundle.rules.len());
    println!("  {rules:42} {:>9} {decode:>9.0} {hash:>9.0} {decider:>9.0} {compile:>9.0}", bytes.len());
    Ok(())
}

/// A percentile, in microseconds.
fn at(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    times.get(times.len() * percent / 100).map_or(f64::NAN, |t| t.as_secs_f64() * 1e6)
}
