//! A sealed policy is the one that was sealed, or it is refused.

use crate::made::Rng;
use crate::properties::{mutate, shipped};
use std::fs;
use stockade_policy::{Ceiling, Policy, parse_policy, parse_policy_beneath, seal};

/// Every shipped policy, sealed, and what it is.
fn sealed() -> Vec<(String, String, Policy)> {
    let folder = tempfile::tempdir().unwrap();
    let seal = |(name, text): (String, String)| {
        let file = folder.path().join(&name);
        fs::write(&file, text).unwrap();
        let text = seal::sealed(&file).unwrap_or_else(|e| panic!("{e}"));
        let policy = parse_policy(&name, &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(policy.sealed);
        (name, text, policy)
    };
    shipped().into_iter().map(seal).collect()
}

#[test]
fn no_change_of_a_sealed_policy_is_taken_for_it() {
    let ceiling = Ceiling::parse("ceiling.toml", "version = 1\n[require]\nseal = true\n").unwrap();
    let (mut rng, mut accepted, mut tried) = (Rng(41), 0, 0);
    for (name, text, policy) in sealed() {
        for _ in 0..200 {
            let mutant = mutate(&text, &mut rng);
            tried += 1;
            if let Ok(other) = parse_policy(&name, &mutant) {
                accepted += 1;
                assert!(
                    other.digest == policy.digest || !other.sealed,
                    "{name}: another policy has a seal that holds:\n{mutant}"
                );
            }
            if let Ok(other) = parse_policy_beneath(&name, &mutant, &ceiling) {
                assert_eq!(
                    other.digest, policy.digest,
                    "{name}: another policy runs where seals are required:\n{mutant}"
                );
            }
        }
    }
    println!("{tried} mutants of sealed policies, {accepted} accepted");
}

#[test]
fn no_beginning_of_a_sealed_policy_is_accepted() {
    let mut tried = 0;
    for (name, text, _) in sealed() {
        let cuts = (0..text.len()).filter(|at| text.is_char_boundary(*at));
        // Near the seal and the end each, between them some.
        for at in cuts.filter(|at| *at < 200 || text.len() - at < 60 || at % 7 == 0) {
            tried += 1;
            if parse_policy(&name, &text[..at]).is_ok() {
                panic!("{name}: its first {at} of {} bytes are accepted", text.len());
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn a_line_of_a_sealed_policy_cannot_go() {
    for (name, text, policy) in sealed().into_iter().filter(|(name, ..)| name.ends_with(".toml")) {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for gone in 0..lines.len() {
            let rest: String = lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line).collect();
            if let Ok(other) = parse_policy(&name, &rest) {
                assert!(!other.sealed && other.digest == policy.digest, "{name} without line {}", gone + 1);
            }
        }
    }
}
