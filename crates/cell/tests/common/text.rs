//! Agents in component text.

/// An agent around the body of `run`, a core function with the task's pointer and length in
/// `(local 0)` and `(local 1)` that leaves the address of its result.
///
/// The core module has `memory`, `$call (tool, tool_len, args, args_len, result)`,
/// `$log (level, message, len)`, and `$ok (ptr, len) -> result`, `$err (ptr, len) -> result`.
#[derive(Default)]
pub struct Agent<'a> {
    /// Component-level imports.
    pub imports: &'a str,
    /// Functions of theirs for the core module: its name there, instance and function, core type.
    pub wasi: &'a [(&'a str, &'a str, &'a str)],
    /// Core data and helper functions.
    pub module: &'a str,
    /// The body of `run`.
    pub run: &'a str,
}

impl Agent<'_> {
    pub fn text(&self) -> String {
        let Self { imports, wasi, module, run } = self;
        let each =
            |make: fn(&str, &str, &str) -> String| wasi.iter().map(|(n, f, t)| make(n, f, t)).collect::<String>();
        let lowers = each(|name, function, _| {
            format!(
                r#"(core func ${name} (canon lower (func {function}) (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#
            )
        });
        let wires = each(|name, _, _| format!(r#"(export "{name}" (func ${name}))"#));
        let needs = each(|name, _, ty| format!(r#"(import "wasi" "{name}" (func ${name} {ty}))"#));
        format!(
            r#"(component
  (import "stockade:agent/tools@0.1.0" (instance $tools
    (type $e (variant (case "denied" string) (case "invalid" string) (case "failed" string) (case "limit" string)))
    (export "tool-error" (type $te (eq $e)))
    (export "call" (func (param "tool" string) (param "args" string) (result (result string (error $te)))))))
  (import "stockade:agent/log@0.1.0" (instance $log
    (type $l (enum "debug" "info" "warn" "error"))
    (export "level" (type $lt (eq $l)))
    (export "log" (func (param "level" $lt) (param "message" string)))))
  {imports}
  (core module $libc
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3)))
      (block (br_if 0 (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))))
  (core instance $libc (instantiate $libc))
  {lowers}
  (core func $call (canon lower (func $tools "call") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $logf (canon lower (func $log "log") (memory (core memory $libc "memory"))))
  (core module $main
    (import "libc" "memory" (memory 2))
    (import "host" "call" (func $call (param i32 i32 i32 i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32)))
    {needs}
    (func $result (param i32 i32 i32) (result i32)
      (i32.store (i32.const 32768) (local.get 0))
      (i32.store (i32.const 32772) (local.get 1))
      (i32.store (i32.const 32776) (local.get 2))
      (i32.const 32768))
    (func $ok (param i32 i32) (result i32) (call $result (i32.const 0) (local.get 0) (local.get 1)))
    (func $err (param i32 i32) (result i32) (call $result (i32.const 1) (local.get 0) (local.get 1)))
    {module}
    (func (export "run") (param i32 i32) (result i32) {run}))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "host" (instance (export "call" (func $call)) (export "log" (func $logf))))
    (with "wasi" (instance {wires}))))
  (func (export "run") (param "task" (list string)) (result (result string (error string)))
    (canon lift (core func $main "run") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"#
        )
    }
}

/// An agent with nothing but a body.
pub fn body(run: &str) -> String {
    Agent { run, ..Agent::default() }.text()
}

/// An agent with core helpers and a body.
pub fn module(module: &str, run: &str) -> String {
    Agent { module, run, ..Agent::default() }.text()
}

/// A body that finishes at once.
pub const NOTHING: &str = "(call $ok (i32.const 0) (i32.const 0))";
