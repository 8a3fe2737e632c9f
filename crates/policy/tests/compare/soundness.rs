//! `diff` says of no pair that nothing is wider while some attempt shows that it is, and the other way round.

use crate::made::{Made, Rng, attempts, loaded};
use stockade_policy::diff::{Change, Direction, diff};
use stockade_policy::{Attempt, Expect, Judge, Policy};

const PAIRS: usize = 80;

/// Two policies: strangers, or one and a change of it.
fn pair(rng: &mut Rng, folder: &std::path::Path) -> ((Made, Policy), (Made, Policy)) {
    let first = loaded(rng, folder);
    loop {
        let other = if rng.once_in(5) { Made::policy(rng) } else { first.0.changed(rng) };
        if let Ok(policy) = other.load(folder) {
            let other = (other, policy);
            return if rng.once_in(2) { (first, other) } else { (other, first) };
        }
    }
}

/// What an attempt gets of both.
fn verdicts<'a>(a: &Policy, b: &Policy, attempts: &'a [Attempt]) -> Vec<(&'a Attempt, Expect, Expect)> {
    let (a, b) = (Judge::new(a).unwrap(), Judge::new(b).unwrap());
    attempts.iter().map(|attempt| (attempt, a.rule(attempt).verdict, b.rule(attempt).verdict)).collect()
}

/// The key under which a difference in an attempt would be told.
fn told_as(attempt: &Attempt) -> String {
    match attempt {
        Attempt::Call { tool, .. } => tool.clone(),
        Attempt::Path { access, .. } => format!("fs.{}", access.name()),
        Attempt::Host { http: None, .. } => "egress.tcp".to_owned(),
        Attempt::Host { .. } => "egress.http".to_owned(),
        Attempt::Syscall { name, .. } => format!("syscall {name}"),
    }
}

fn tells(changes: &[Change], direction: Direction, key: &str) -> bool {
    let is = |change: &&Change| {
        change.key == key
            || (change.key == "egress" && key.starts_with("egress."))
            || change.key.starts_with(&format!("{key} "))
    };
    changes.iter().filter(is).any(|change| change.direction == direction)
}

#[test]
fn nothing_wider_means_that_no_attempt_is() {
    let folder = tempfile::tempdir().unwrap();
    let (mut rng, all) = (Rng(11), attempts());
    let (mut silent, mut wider, mut unknown, mut shown) = (0, 0, 0, 0);
    for number in 0..PAIRS {
        let ((made_a, a), (made_b, b)) = pair(&mut rng, folder.path());
        let changes = diff(&a, &b).unwrap();
        let context = || {
            format!(
                "pair {number}:\n{}\n{}\n---\n{}\n{}\n{changes:#?}",
                made_a.toml(),
                made_a.cedar.as_deref().unwrap_or(""),
                made_b.toml(),
                made_b.cedar.as_deref().unwrap_or("")
            )
        };
        let verdicts = verdicts(&a, &b, &all);
        for (attempt, of_a, of_b) in &verdicts {
            // Allow before ask before deny.
            if of_b < of_a {
                let key = told_as(attempt);
                let told = tells(&changes, Direction::Widened, &key) || tells(&changes, Direction::Undecided, &key);
                assert!(
                    told,
                    "{attempt}: {} became {}, and {key} is not told\n{}",
                    of_a.name(),
                    of_b.name(),
                    context()
                );
                shown += 1;
            }
        }
        for change in changes.iter().filter(|change| change.direction == Direction::Widened) {
            let by_attempts = matches!(change.layer, "fs" | "tools" | "egress") && !change.key.starts_with("limits.");
            if !by_attempts {
                continue;
            }
            let is = |(attempt, of_a, of_b): &&(&Attempt, Expect, Expect)| {
                of_b < of_a && tells(std::slice::from_ref(change), Direction::Widened, &told_as(attempt))
            };
            assert!(verdicts.iter().any(|v| is(&v)), "no attempt shows {change:?}\n{}", context());
        }
        let has = |direction| changes.iter().any(|change| change.direction == direction);
        match (has(Direction::Widened), has(Direction::Undecided)) {
            (true, _) => wider += 1,
            (false, true) => unknown += 1,
            (false, false) => silent += 1,
        }
    }
    println!(
        "{PAIRS} pairs, {} attempts each: {silent} not wider, {wider} wider, {unknown} undecided; {shown} attempts wider",
        all.len()
    );
    assert!(silent > 10 && wider > 10 && unknown > 3, "{silent} {wider} {unknown}");
}

#[test]
fn a_policy_is_as_wide_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng(12);
    for _ in 0..120 {
        let (made, policy) = loaded(&mut rng, folder.path());
        assert_eq!(diff(&policy, &policy).unwrap(), [], "{}", made.toml());
        let again = made.load(folder.path()).unwrap();
        assert_eq!(diff(&policy, &again).unwrap(), [], "{}", made.toml());
    }
}

#[test]
fn wider_one_way_is_narrower_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng(13);
    let mut compared = 0;
    for _ in 0..160 {
        let ((made_a, a), (made_b, b)) = pair(&mut rng, folder.path());
        if made_a.cedar.is_some() || made_b.cedar.is_some() {
            continue;
        }
        let side = |changes: Vec<Change>, direction| {
            // Another value of the same name is told as wider both ways: nobody knows what it means.
            let changes = changes.into_iter().filter(|c| c.direction == direction && !c.what.starts_with("is another"));
            let mut keys: Vec<(&str, String)> = changes
                // An entry of `[[exec]]` may have another name there.
                .map(|change| {
                    (change.layer, if change.key.starts_with("exec.") { "exec".to_owned() } else { change.key })
                })
                .collect();
            keys.sort();
            keys
        };
        let (there, back) = (diff(&a, &b).unwrap(), diff(&b, &a).unwrap());
        let context = || format!("{}\n---\n{}\n{there:#?}\n{back:#?}", made_a.toml(), made_b.toml());
        assert_eq!(side(there.clone(), Direction::Widened), side(back.clone(), Direction::Narrowed), "{}", context());
        assert_eq!(side(there.clone(), Direction::Narrowed), side(back.clone(), Direction::Widened), "{}", context());
        assert!(!there.iter().any(|change| change.direction == Direction::Undecided), "{}", context());
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}
