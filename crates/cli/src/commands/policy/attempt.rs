//! What the command line attempts, as a policy is asked it.

use serde_json::{Map, Value};
use stockade_policy::{Attempt, Http};

use crate::args::policy::Attempted;
use crate::failure::Failure;

/// The attempt.
pub(super) fn attempt(asked: &Attempted) -> Result<Attempt, Failure> {
    Ok(match asked {
        Attempted::Call { tool, args, approved, .. } => {
            Attempt::Call { tool: tool.clone(), args: arguments(args)?, approved: *approved }
        }
        Attempted::Path { path, access } => Attempt::Path { path: path.clone(), access: *access },
        Attempted::Host { endpoint, method, path, http } => {
            let request = |method: &String| Http { tls: !http, method: method.clone(), path: path.clone() };
            Attempt::Host { endpoint: endpoint.clone(), http: method.as_ref().map(request) }
        }
        Attempted::Syscall { name, args } => {
            let mut registers = [0; 6];
            registers.iter_mut().zip(args).for_each(|(register, value)| *register = *value);
            Attempt::Syscall { name: name.clone(), args: registers }
        }
    })
}

/// `key=text`, `key:=JSON`, or one JSON object.
fn arguments(args: &[String]) -> Result<Value, Failure> {
    if let [one] = args
        && one.trim_start().starts_with('{')
    {
        return match serde_json::from_str(one) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(Failure::usage("the arguments are no JSON object")),
            Err(error) => Err(Failure::usage(format!("the arguments are no JSON: {error}"))),
        };
    }
    let mut all = Map::new();
    for arg in args {
        let shown: String = crate::screen::plain(&arg.chars().take(80).collect::<String>());
        let (key, value) = arg
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("argument {shown:?} is neither key=text nor key:=JSON")))?;
        let (key, value) = match key.strip_suffix(':') {
            Some(key) => {
                let value = serde_json::from_str(value);
                (
                    key,
                    value
                        .map_err(|error| Failure::usage(format!("argument {shown:?}: no JSON after `:=`: {error}")))?,
                )
            }
            None => (key, Value::String(value.to_owned())),
        };
        if key.is_empty() {
            return Err(Failure::usage(format!("argument {shown:?} has no key")));
        }
        if all.insert(key.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("argument {shown:?} is given twice")));
        }
    }
    Ok(Value::Object(all))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_text_json_or_one_object() {
        let read = |args: &[&str]| arguments(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&[]).unwrap(), json!({}));
        assert_eq!(read(&["path=a=b", "length:=3"]).unwrap(), json!({"path": "a=b", "length": 3}));
        assert_eq!(read(&["argv:=[\"/bin/ls\"]"]).unwrap(), json!({"argv": ["/bin/ls"]}));
        assert_eq!(read(&[" {\"a\": null}"]).unwrap(), json!({"a": null}));
        for wrong in [&["path"][..], &["=x"], &["a=1", "a=2"], &["a:=x"], &["{]"], &[":=1"]] {
            assert_eq!(read(wrong).unwrap_err().code, 2, "{wrong:?}");
        }
    }
}
