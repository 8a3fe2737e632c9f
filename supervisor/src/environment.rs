//! The agent's environment: what the policy sets, and what it passes on from the operator's.

use std::ffi::OsString;

use stockade_policy::{Policy, surprising};

use crate::error::RunError;

/// Longest value that is passed on, in bytes.
const MAX_VALUE: usize = 32 * 1024;

/// All variables, sorted by name. `ask` gives a variable of the operator's; what is set by the policy is not passed.
pub(crate) fn of(policy: &Policy, ask: impl Fn(&str) -> Option<OsString>) -> Result<Vec<(String, String)>, RunError> {
    let mut all = policy.env.clone();
    for name in &policy.env_pass {
        let refuse = |why: String| RunError::Policy(format!("env.pass {name:?}: {why}"));
        // The policy's reader has refused these; a policy that was made by other means gets no further.
        if surprising(name) {
            return Err(refuse(format!("{name} changes what a program loads before it runs; remove it")));
        }
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(refuse("it is no name of a variable".into()));
        }
        let Some(value) = ask(name).filter(|_| !all.iter().any(|(set, _)| set == name)) else { continue };
        let value = value.into_string().map_err(|_| refuse("its value is no UTF-8; set another or unset it".into()))?;
        if value.len() > MAX_VALUE {
            let len = value.len();
            return Err(refuse(format!("its value has {len} bytes, over {MAX_VALUE}; shorten it or unset it")));
        }
        if let Some(control) = value.chars().find(|c| c.is_control()) {
            let shown = control.escape_unicode();
            return Err(refuse(format!("its value has a control character ({shown}); clean it or unset it")));
        }
        all.push((name.clone(), value));
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn pass(names: &[&str], of_operator: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let text = "version = 1\nid = \"t\"\nextends = [\"preset:base\"]\n[env.set]\nSET = \"by the policy\"\n";
        let mut policy = stockade_policy::parse_policy("t.toml", text).unwrap_or_else(|e| panic!("{e:?}"));
        policy.env_pass = names.iter().map(|n| (*n).to_owned()).collect();
        let ask = |name: &str| of_operator.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        of(&policy, ask).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_named_is_passed_and_nothing_else() {
        let have = [("TOKEN", "t=1"), ("OTHER", "o"), ("SET", "by the operator"), ("EMPTY", "")];
        let got = pass(&["ABSENT", "EMPTY", "SET", "TOKEN"], &have).unwrap();
        let want = [("EMPTY", ""), ("SET", "by the policy"), ("TOKEN", "t=1")];
        assert_eq!(got, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_could_do_harm_is_refused() {
        let long = "x".repeat(MAX_VALUE + 1);
        for (name, value, why) in [
            ("LD_PRELOAD", "x", "LD_"),
            ("STOCKADE_HOME", "x", "STOCKADE_"),
            ("A=B", "x", "no name"),
            ("", "x", "no name"),
            ("LONG", long.as_str(), "32769 bytes"),
            ("LINES", "a\nb", "\\u{a}"),
            ("ESCAPE", "\u{1b}[2J", "\\u{1b}"),
            ("NUL", "a\0b", "\\u{0}"),
        ] {
            let error = pass(&[name], &[(name, value)]).unwrap_err();
            assert!(error.contains(why) && error.contains("env.pass"), "{name}: {error}");
        }
        // Whether it is set or not: a policy with such a name is wrong.
        assert!(pass(&["LD_PRELOAD"], &[]).is_err());
        pass(&["LONG"], &[("LONG", &long[1..])]).unwrap();
    }
}
