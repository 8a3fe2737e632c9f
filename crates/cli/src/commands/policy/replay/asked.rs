//! What a record asks of a policy.

use serde_json::Value;
use stockade_journal::{Call, Payload, Reader, Syscall, Unread};
use stockade_policy::tool::{EGRESS_HTTP, EGRESS_TCP};
use stockade_policy::{Attempt, Expect, Http, Tool};

/// Why a record cannot be put to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Its arguments were private, and have been erased or are kept elsewhere.
    Private,
    /// The blob with its arguments is missing, changed or too long.
    Blob,
    /// The arguments were over a limit or no JSON, and only their digest was recorded.
    Unrecorded,
    /// Records that retention took, whatever they were.
    Pruned,
    /// System calls that were counted and whose arguments were not recorded.
    Folded,
    /// What was refused for the moment's sake: other calls were under way, or a server's tool had changed.
    Moment,
    /// A system call of a 32-bit program, or of an unknown architecture: the filter knows none.
    Architecture,
}

impl Why {
    /// In words, for what there are several of.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Private => "private arguments, whose text is not here",
            Self::Blob => "arguments in a blob that is missing or changed",
            Self::Unrecorded => "arguments over a limit or no JSON: only their digest was recorded",
            Self::Pruned => "records that were pruned, whatever they were",
            Self::Folded => "system calls that were counted; their arguments were not recorded",
            Self::Moment => {
                "calls refused for what was so at that moment: others under way, or a server's tool changed"
            }
            Self::Architecture => "system calls of another architecture",
        }
    }

    /// In JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Blob => "blob",
            Self::Unrecorded => "unrecorded",
            Self::Pruned => "pruned",
            Self::Folded => "folded",
            Self::Moment => "moment",
            Self::Architecture => "architecture",
        }
    }
}

/// What a record comes to.
pub(super) enum Asked {
    /// It can be put to a policy.
    Attempt(Attempt),
    /// No policy changes it.
    Fixed,
    /// It cannot be put to one.
    Not(Why),
}

/// What was decided then.
pub(super) fn decided(call: &Call) -> Expect {
    match (call.decision.as_str(), call.layer.as_str()) {
        ("allow", _) => Expect::Allow,
        // The policy asked, and there was nobody.
        (_, "approval") => Expect::Ask,
        _ => Expect::Deny,
    }
}

/// Whether the version that recorded a denial had no layer that does such a thing: then it is nothing a policy decided.
pub(super) fn is_unserved(call: &Call) -> bool {
    let says = |key: &str| call.denial.as_ref().and_then(|denial| denial.get(key));
    Tool::from_name(&call.tool).is_none()
        && call.decision != "allow"
        && call.layer == "policy"
        && says("rule").is_some_and(Value::is_null)
        && says("fixable") == Some(&Value::Bool(false))
}

/// A call. Its arguments are taken out of it.
pub(super) fn call(reader: &Reader, call: &mut Call) -> Asked {
    let args = match reader.value(std::mem::replace(&mut call.args, Payload::Inline(Value::Null))) {
        Ok(args) => args,
        Err(Unread::Erased) => return Asked::Not(Why::Private),
        Err(_) => return Asked::Not(Why::Blob),
    };
    let refused = call.decision != "allow" && matches!(call.layer.as_str(), "schema" | "limit");
    if refused && args.get("unparsed").is_some() {
        return Asked::Not(Why::Unrecorded);
    }
    if call.decision != "allow" && matches!(call.layer.as_str(), "concurrent" | "mcp") {
        return Asked::Not(Why::Moment);
    }
    // What does not fit a tool of ours fits it under no policy.
    if call.layer == "schema" && call.decision != "allow" && Tool::from_name(&call.tool).is_some() {
        return Asked::Fixed;
    }
    Asked::Attempt(match host(&call.tool, &args) {
        Some(attempt) => attempt,
        None => Attempt::Call { tool: call.tool.clone(), args, approved: false },
    })
}

/// A connection or a request outside, by the arguments that rules see of one.
fn host(tool: &str, args: &Value) -> Option<Attempt> {
    if tool != EGRESS_HTTP && tool != EGRESS_TCP {
        return None;
    }
    let text = |key: &str| args.get(key).and_then(Value::as_str);
    let (host, port) = (text("host")?, args.get("port")?.as_u64()?);
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let http = match tool {
        EGRESS_HTTP => {
            let tls = text("scheme")? == "https";
            Some(Http { tls, method: text("method")?.to_owned(), path: text("path")?.to_owned() })
        }
        _ => None,
    };
    Some(Attempt::Host { endpoint: format!("{host}:{port}"), http })
}

/// A system call; `kind` is the run's. The cell of a wasm agent has a filter that no policy changes.
pub(super) fn syscall(kind: &str, call: &Syscall) -> Asked {
    if kind != "native" && call.cell == 0 {
        return Asked::Fixed;
    }
    if call.arch != std::env::consts::ARCH {
        return Asked::Not(Why::Architecture);
    }
    let mut args = [0; 6];
    for (register, text) in args.iter_mut().zip(&call.args) {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        match u64::from_str_radix(digits, 16) {
            Ok(value) => *register = value,
            Err(_) => return Asked::Not(Why::Unrecorded),
        }
    }
    Asked::Attempt(Attempt::Syscall { name: call.name.clone(), args })
}
