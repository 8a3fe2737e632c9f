//! Whatever is done to a policy's text, it is accepted or refused with findings; nothing panics.

use serde_json::json;
use stockade_policy::{Decider, Facts, Request, parse_policy};

const SEEDS: [&str; 3] = [
    include_str!("../../../../policies/examples/log-triage.toml"),
    include_str!("../../../../policies/examples/python.toml"),
    include_str!("../../../../policies/presets/base@1.toml"),
];

/// SplitMix64: the same mutations on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }
}

fn mutate(seed: &str, rng: &mut Rng) -> String {
    let mut bytes = seed.as_bytes().to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len());
        match rng.below(8) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + rng.below(40)).min(bytes.len()))),
            3 => {
                // A line again, somewhere else.
                let lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let line = lines.get(rng.below(lines.len())).cloned().unwrap_or_default();
                bytes = lines.into_iter().collect::<Vec<_>>().concat();
                let at = at.min(bytes.len());
                bytes.splice(at..at, line);
            }
            4 => drop(bytes.splice(at..at, b"99999999999999999999999999999999".iter().copied())),
            5 => drop(bytes.splice(at..at, std::iter::repeat_n(b"[{.\""[rng.below(4)], 1 + rng.below(200)))),
            6 => drop(bytes.splice(at..at, "\u{202e}\u{0}\u{1b}[2J\u{feff}é".bytes())),
            _ => bytes.insert(at, b"=[]{}\"'#\n\\,.-0@/"[rng.below(16)]),
        }
        if bytes.is_empty() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_mutation_panics() {
    let (mut rng, mut accepted, mut refused) = (Rng(7), 0, 0);
    for round in 0..3_000 {
        let text = mutate(SEEDS[round % SEEDS.len()], &mut rng);
        match parse_policy("m.toml", &text) {
            Ok(policy) => {
                accepted += 1;
                let decider = Decider::new(policy.bundle()).unwrap();
                let _verdict = decider.decide(&Request {
                    tool: "workspace.read",
                    args: &json!({"path": "a"}),
                    facts: Facts::default(),
                });
            }
            Err(findings) => {
                refused += 1;
                let text = findings.to_string();
                assert!(findings.iter().count() > 0 && text.starts_with("error: "), "{text}");
                let raw = text.chars().find(|c| c.is_control() && *c != '\n');
                assert_eq!(raw, None, "a control character reaches the terminal: {text:?}");
            }
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn arguments_of_any_shape_are_decided() {
    let policy = parse_policy("m.toml", SEEDS[0]).unwrap();
    let decider = Decider::new(policy.bundle()).unwrap();
    let mut deep = json!("x");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let values = [
        json!(null),
        json!(1e300),
        json!(u64::MAX),
        json!("x".repeat(100_000)),
        json!([1, [2]]),
        json!({"a": {}}),
        deep,
        json!("\u{0}\u{202e}"),
    ];
    for tool in
        ["workspace.read", "workspace.write", "workspace.list", "workspace.stat", "clock", "random", "exec", "?"]
    {
        for key in ["path", "content", "length", "argv", "offset", "mode", "limit", "timeout_ms", "\u{1b}"] {
            for value in &values {
                let args = json!({ "path": "a", "argv": ["/bin/sh"], key: value });
                let _verdict = decider.decide(&Request { tool, args: &args, facts: Facts::default() });
                let _verdict = decider.decide(&Request { tool, args: value, facts: Facts::default() });
            }
        }
    }
}
