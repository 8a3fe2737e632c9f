//! The oracle: without Stockade, the attack works.

use super::Verdict;
use super::attack::{Answer, Attack};
use super::scene::{MARK, Scene};
use super::tripwires;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Runs the attack where its table says that it works.
pub fn show(attack: &Attack, scene: &mut Scene) -> Verdict {
    let work = scene.root().join("outside");
    let probe = work.join("probe");
    let done = Arc::new(AtomicU64::new(0));
    let knock = (attack.name == "net-listen").then(|| scene.services.visit(done.clone()));
    let output = run(attack, scene, &probe);
    done.store(1, SeqCst);
    let reached = knock.map(|k| k.join().unwrap());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let left = tripwires::leftovers(&probe, &[]);
    let moved = tripwires::check(scene, &work);
    // What only the host can see overrules what the probe says.
    if let Some(missing) = unseen(attack, &moved, &left, &output, reached) {
        return excused(attack, Answer::find(&stdout, &attack.name).as_ref(), missing);
    }
    match Answer::find(&stdout, &attack.name) {
        Some(a) if a.outcome == "succeeded" && a.detail.contains(MARK) && !a.detail.contains(&scene.secret) => {
            // `priv-key-add` reads a key that it made itself.
            if attack.name == "priv-key-add" {
                Verdict::Pass(a.detail)
            } else {
                Verdict::Fail(format!("not this secret: {}", a.detail))
            }
        }
        Some(a) if a.outcome == "succeeded" => Verdict::Pass(a.detail),
        Some(a) => excused(attack, Some(&a), format!("{}: {}", a.outcome, a.detail)),
        None => {
            let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
            excused(
                attack,
                None,
                format!("no answer, {}: {}", output.status, said.chars().take(400).collect::<String>()),
            )
        }
    }
}

/// A host that cannot show it is no failure if the table knows the reason.
fn excused(attack: &Attack, answer: Option<&Answer>, what: String) -> Verdict {
    match answer {
        Some(a) if attack.outside.excuse.contains(&a.errno) && a.outcome == "blocked" => {
            Verdict::Skip(format!("{} (errno {})", attack.outside.why, a.errno))
        }
        Some(a) if a.outcome == "unsupported" => Verdict::Skip(a.detail.clone()),
        _ => Verdict::Fail(what),
    }
}

fn run(attack: &Attack, scene: &Scene, probe: &std::path::Path) -> Output {
    let parameters: Vec<String> = scene.parameters().iter().map(|(k, v)| format!("{k}={v}")).collect();
    let in_jail = attack.outside.wrap.contains("--chroot");
    let program = if in_jail { jailed(scene, probe) } else { probe.display().to_string() };
    Command::new("timeout")
        .args(["--foreground", "--kill-after=5", "60"])
        .arg(probe)
        .arg("wrap")
        .args(&parameters)
        .args(attack.outside.wrap.split_whitespace())
        .arg("--")
        .arg(program)
        .args(["run", &attack.name])
        .args(&parameters)
        .current_dir(scene.root().join("outside"))
        .env("STOCKADE_ESCAPE_SECRET", &scene.secret)
        .stdin(Stdio::null())
        .output()
        .expect("timeout(1) runs")
}

/// The probe's name inside the chroot.
fn jailed(scene: &Scene, probe: &std::path::Path) -> String {
    let copy = scene.root().join("jail/probe");
    if !copy.exists() {
        std::fs::hard_link(probe, copy).unwrap();
    }
    "/probe".to_owned()
}

/// What should be visible from the host and is not.
fn unseen(attack: &Attack, moved: &[String], left: &[u32], output: &Output, reached: Option<bool>) -> Option<String> {
    let saw = |what: &str| moved.iter().any(|m| m.contains(what));
    let seen = match attack.name.as_str() {
        "proc-kill-host" | "proc-kill-pidfd" | "proc-tgkill-host" | "proc-sigio-host" => saw("was killed"),
        n if n.starts_with("plant-setuid") => saw("left in the workspace"),
        n if n.starts_with("proc-outlive") => !left.is_empty(),
        "net-listen" => reached == Some(true),
        n if n.starts_with("net-") && attack.needs.iter().any(|x| x == "TCP" || x == "UDP") => saw("reached services"),
        n if n.starts_with("unix-") => saw("reached services"),
        "terminal-write" | "terminal-dev-tty" => saw("stockade-escape-was-here"),
        "terminal-escapes" => output.stdout.contains(&0x1b),
        "limit-output" => output.stdout.len() > 4 << 20,
        _ => true,
    };
    (!seen).then(|| format!("nothing of it is seen from the host ({moved:?})"))
}
