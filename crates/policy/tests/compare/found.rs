//! Ways in which a wider policy, or a ceiling with a hole, once went unseen.

use stockade_policy::diff::{Direction, diff};
use stockade_policy::{Access, Attempt, Ceiling, Expect, Judge, Policy, parse_policy, parse_policy_beneath};

fn policy(body: &str) -> Policy {
    let text = format!("version = 1\nid = \"t\"\nextends = [\"preset:base@1\"]\n{body}");
    parse_policy("t.toml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn beneath(body: &str, ceiling: &str) -> Policy {
    let ceiling = Ceiling::parse("c.toml", &format!("version = 1\n{ceiling}")).unwrap_or_else(|e| panic!("{e}"));
    let text = format!("version = 1\nid = \"t\"\nextends = [\"preset:base@1\"]\n{body}");
    parse_policy_beneath("t.toml", &text, &ceiling).unwrap_or_else(|e| panic!("{e}"))
}

fn gate(a: &Policy, b: &Policy) -> Vec<Direction> {
    diff(a, b).unwrap().into_iter().map(|change| change.direction).collect()
}

fn path(policy: &Policy, path: &str, access: Access) -> Expect {
    Judge::new(policy).unwrap().rule(&Attempt::Path { path: path.into(), access }).verdict
}

fn tcp(host: &str) -> String {
    format!("[[egress]]\nid = \"e\"\nhost = \"{host}\"\nscheme = \"tcp\"\nport = 443\n")
}

fn http(host: &str, methods: &str) -> String {
    format!("[[egress]]\nid = \"e\"\nhost = \"{host}\"\nmethods = {methods}\n")
}

#[test]
fn an_example_that_cannot_be_found_is_no_proof() {
    let long = format!("*.{}", ["a"; 4].map(|c| c.repeat(60)).join("."));
    for host in ["2002::/15", "2001::/16", "64:ff9b::/32", "10.0.0.0/8", "0.0.0.0/0", "::/0"] {
        let found = gate(&policy(""), &policy(&tcp(host)));
        assert!(!found.is_empty() && found[0] != Direction::Narrowed, "{host}: {found:?}");
    }
    assert!(gate(&policy(""), &policy(&http(&long, "['GET']")))[0] != Direction::Narrowed);
}

#[test]
fn who_knows_the_witness_hides_nothing() {
    for (a, b) in [
        (http("stockade-witness.invalid", "['GET']"), http("*", "['GET']")),
        (http("stockade-witness.example.com", "['GET']"), http("*.example.com", "['GET']")),
        (http("example.com", "['STOCKADE-WITNESS']"), http("example.com", "['*']")),
    ] {
        assert_eq!(gate(&policy(&a), &policy(&b)).first(), Some(&Direction::Widened), "{b}");
    }
    let models = |models: &str| {
        policy(&format!(
            "[tools]\nallow = ['model.chat']\n[[model]]\nname = 'm'\nurl = 'https://m.example/v1'\nmodels = {models}\ntokens = 10\n"
        ))
    };
    assert_eq!(gate(&models("['stockade-witness']"), &models("['*']")), [Direction::Widened]);
    let exec = |command: &str| {
        policy(&format!(
            "[tools]\nallow = ['exec']\n[fs]\nread = ['/usr']\nexecute = ['/usr']\n[[exec]]\nid = 'x'\ncommand = {command}\nwall = '1s'\n"
        ))
    };
    let found = gate(&exec("['/usr/bin/git', 'stockade-witness']"), &exec("['/usr/bin/git']"));
    assert_eq!(found.first(), Some(&Direction::Widened));
}

#[test]
fn order_counts_where_the_first_is_taken() {
    let entry = |name: &str, models: &str, tokens: u32| {
        format!("[[model]]\nname = '{name}'\nurl = 'https://{name}.example/v1'\nmodels = {models}\ntokens = {tokens}\n")
    };
    let (small, large) = (entry("a", "['x']", 10), entry("b", "['*']", 1_000_000));
    let both = |first: &str, second: &str| policy(&format!("[tools]\nallow = ['model.chat']\n{first}{second}"));
    assert!(gate(&both(&small, &large), &both(&large, &small)).contains(&Direction::Widened));
}

#[test]
fn the_hosts_own_identity_files_are_more_than_the_cells() {
    let of = |read: &str| policy(&format!("[fs]\nread = {read}\n"));
    for file in ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc"] {
        let found = gate(&of("['/usr']"), &of(&format!("['/usr', '{file}']")));
        assert_eq!(found.first(), Some(&Direction::Widened), "{file}");
    }
}

#[test]
fn a_ceilings_denial_holds_whatever_gives_the_path() {
    let ceiling = "[fs]\nwrite = ['@workspace/out']\ndeny = ['@workspace/secret']\n";
    let body = "[fs]\nread = ['/usr', '@workspace/docs']\nwrite = ['@workspace']\nexecute = ['/usr', '@workspace']\n";
    let narrowed = beneath(body, ceiling);
    assert_eq!(path(&narrowed, "@workspace/secret/key", Access::Read), Expect::Deny);
    assert_eq!(path(&narrowed, "@workspace/secret/key", Access::Execute), Expect::Deny);
    assert_eq!(path(&narrowed, "@workspace/docs/a", Access::Read), Expect::Allow);
    assert!(narrowed.narrowed.iter().any(|told| told.key == "fs.execute[1]"), "{:?}", narrowed.narrowed);
    // By either name of a merged /usr.
    for denied in ["/bin/su", "/usr/bin/su", "/bin", "/usr"] {
        let narrowed = beneath("[fs]\nread = ['/usr']\nexecute = ['/usr']\n", &format!("[fs]\ndeny = ['{denied}']\n"));
        for spelled in ["/bin/su", "/usr/bin/su"] {
            assert_eq!(path(&narrowed, spelled, Access::Read), Expect::Deny, "{denied} {spelled}");
            assert_eq!(path(&narrowed, spelled, Access::Execute), Expect::Deny, "{denied} {spelled}");
        }
        assert!(!narrowed.narrowed.is_empty() || denied == "/usr");
    }
    let own = "version = 1\nid = 't'\nextends = ['preset:base@1']\n[fs]\nread = ['/usr']\ndeny = ['/sbin']\n";
    assert!(parse_policy("t.toml", own).unwrap_err().to_string().contains("cannot be enforced"));
}

#[test]
fn a_ceiling_on_hosts_is_one_on_models() {
    let body = "[tools]\nallow = ['model.chat']\n[[model]]\nname = 'm'\nurl = 'https://m.example/v1'\nmodels = ['x']\ntokens = 1\n";
    assert!(beneath(body, "egress = []\n").models.is_empty());
    assert!(beneath(body, "[[egress]]\nhost = 'm.example'\nmethods = ['GET']\n").models.is_empty());
    assert_eq!(beneath(body, "[[egress]]\nhost = '*.m.example'\nport = 443\n").models.len(), 0, "not the apex");
    assert_eq!(beneath(body, "[[egress]]\nhost = 'm.example'\nport = 443\nmethods = ['POST']\n").models.len(), 1);
}

#[test]
fn the_cells_own_places_are_not_the_hosts_to_give() {
    for place in ["/workspace", "/workspace/a", "/tmp", "/tmp/x"] {
        let text = format!("version = 1\nid = 't'\nextends = ['preset:base@1']\n[fs]\nread = ['{place}']\n");
        assert!(parse_policy("t.toml", &text).is_err(), "{place}");
    }
}

#[test]
fn too_many_requests_to_tell_apart_are_undecided_at_once() {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let rule = |paths: usize| {
        policy(&format!(
            "[[egress]]\nid = 'e'\nhost = 'h.example'\nport = [{}]\nmethods = ['GET']\npaths = [{}]\n",
            list(&mut (1..=1000).map(|n| n.to_string())),
            list(&mut (1..=paths).map(|n| format!("'/p{n}'"))),
        ))
    };
    let found = gate(&rule(999), &rule(1000));
    assert!(found.contains(&Direction::Undecided), "{found:?}");
    assert!(gate(&rule(1000), &rule(1000)).is_empty());
}
