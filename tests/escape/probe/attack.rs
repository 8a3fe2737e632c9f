//! What an attack is, and how an attempt can end.

use crate::params::Params;
use serde_json::json;

/// One way out, tried once.
pub struct Attack {
    /// Stable name.
    pub name: &'static str,
    /// Family, for the report.
    pub class: &'static str,
    /// What is tried, and what counts as success.
    pub about: &'static str,
    /// Parameters it cannot do without.
    pub needs: &'static [&'static str],
    /// Where the driver shows that it works.
    pub outside: Outside,
    /// What must stop it in a native cell.
    pub native: Expect,
    /// What must stop it in a wasm cell whose runtime has fallen.
    pub wasm: Expect,
    /// The attempt.
    pub run: fn(&Params) -> Attempt,
}

/// The place where an attack must succeed, or the test proves nothing.
#[derive(Clone, Copy)]
pub struct Outside {
    /// Options of `wrap` (see `wrap.rs`), in one string.
    pub wrap: &'static str,
    /// Errnos that mean "this host cannot show it".
    pub excuse: &'static [i32],
    /// Why such a host is a fair reason to skip.
    pub why: &'static str,
}

/// What a cell is expected to answer.
#[derive(Clone, Copy)]
pub enum Expect {
    /// One of these layers stops it; the driver checks the evidence for the one it names.
    Stopped(&'static [&'static str]),
    /// Works by design; the reason why it is no escape.
    Open(&'static str),
    /// Has no meaning in this kind of cell; the reason.
    Absent(&'static str),
}

/// How an attempt ended when it did not succeed.
#[derive(Debug)]
pub enum Stop {
    /// Something said no.
    Blocked {
        /// 0 when no syscall failed but the effect did not happen.
        errno: i32,
        /// What was seen.
        detail: String,
    },
    /// It cannot be tried here.
    Unsupported(String),
}

/// The evidence of success, or how it was stopped.
pub type Attempt = Result<String, Stop>;

/// The effect did not happen although nothing failed.
pub fn no_effect(detail: impl Into<String>) -> Stop {
    Stop::Blocked { errno: 0, detail: detail.into() }
}

/// Stopped by this errno.
pub fn failed(errno: i32, detail: impl Into<String>) -> Stop {
    Stop::Blocked { errno, detail: detail.into() }
}

/// As root, in a mount, UTS and IPC namespace of its own, for what would disturb the machine.
pub const PRIVATE: &str = "--unshare mount,uts,ipc";
/// As an ordinary user, for what must not give more than an ordinary user has.
pub const USER: &str = "--user 65534";

const NATIVE_DEFAULT: Expect = Expect::Stopped(&["seccomp"]);

/// A table entry with the common answers: root outside, seccomp in both cells.
pub const fn attack(
    name: &'static str,
    class: &'static str,
    about: &'static str,
    run: fn(&Params) -> Attempt,
) -> Attack {
    Attack {
        name,
        class,
        about,
        needs: &[],
        outside: Outside { wrap: "", excuse: &[], why: "" },
        native: NATIVE_DEFAULT,
        wasm: Expect::Stopped(&["seccomp"]),
        run,
    }
}

impl Attack {
    /// Names the parameters it needs.
    pub const fn needs(mut self, needs: &'static [&'static str]) -> Self {
        self.needs = needs;
        self
    }
    /// Says where outside it is shown to work.
    pub const fn outside(mut self, wrap: &'static str) -> Self {
        self.outside.wrap = wrap;
        self
    }
    /// Errnos with which a host may be unable to show it.
    pub const fn excuse(mut self, errnos: &'static [i32], why: &'static str) -> Self {
        self.outside.excuse = errnos;
        self.outside.why = why;
        self
    }
    /// Layers that may stop it in a native cell.
    pub const fn native(mut self, layers: &'static [&'static str]) -> Self {
        self.native = Expect::Stopped(layers);
        self
    }
    /// Works in a native cell, and why that is no escape.
    pub const fn native_open(mut self, why: &'static str) -> Self {
        self.native = Expect::Open(why);
        self
    }
    /// Cannot be tried in a native cell.
    pub const fn native_absent(mut self, why: &'static str) -> Self {
        self.native = Expect::Absent(why);
        self
    }
    /// Layers that may stop it in a wasm cell.
    pub const fn wasm(mut self, layers: &'static [&'static str]) -> Self {
        self.wasm = Expect::Stopped(layers);
        self
    }
    /// The line that `--list` prints.
    pub fn describe(&self) -> String {
        json!({
            "name": self.name, "class": self.class, "about": self.about, "needs": self.needs,
            "outside": { "wrap": self.outside.wrap, "excuse": self.outside.excuse, "why": self.outside.why },
            "expect_layer_native": self.native.describe(),
            "expect_layer_wasm": self.wasm.describe(),
        })
        .to_string()
    }
}

impl Expect {
    fn describe(self) -> serde_json::Value {
        match self {
            Self::Stopped(layers) => json!({ "stopped": layers }),
            Self::Open(why) => json!({ "open": why }),
            Self::Absent(why) => json!({ "absent": why }),
        }
    }
}
