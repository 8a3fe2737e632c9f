//! A component that makes one call over and over. Written as text, so that the bench needs no toolchain.

/// Its bytes.
pub fn component(tool: &str, args: &str, times: u32) -> Result<Vec<u8>, wat::Error> {
    let quoted = args.replace('"', "\\22");
    let (tool_len, args_len) = (tool.len(), args.len());
    wat::parse_str(format!(
        r#"(component
  (import "stockade:agent/tools@0.1.0" (instance $tools
    (type $e (variant (case "denied" string) (case "invalid" string) (case "failed" string) (case "limit" string)))
    (export "tool-error" (type $te (eq $e)))
    (export "call" (func (param "tool" string) (param "args" string) (result (result string (error $te)))))))
  (core module $libc
    (memory (export "memory") 2)
    ;; An answer is not looked at, so that the next may have its place.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
  (core instance $libc (instantiate $libc))
  (core func $call (canon lower (func $tools "call") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $main
    (import "libc" "memory" (memory 2))
    (import "host" "call" (func $call (param i32 i32 i32 i32 i32)))
    (data (i32.const 1024) "{tool}") (data (i32.const 2048) "{quoted}")
    (func (export "run") (param i32 i32) (result i32) (local $left i32)
      (local.set $left (i32.const {times}))
      (block $done (loop $again
        (br_if $done (i32.eqz (local.get $left)))
        (call $call (i32.const 1024) (i32.const {tool_len}) (i32.const 2048) (i32.const {args_len}) (i32.const 4096))
        ;; A call that was not answered with a result is no call to be measured.
        (if (i32.load8_u (i32.const 4096)) (then unreachable))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $again)))
      (i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 64)) (i32.store (i32.const 24) (i32.const 0))
      (i32.const 16)))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "host" (instance (export "call" (func $call))))))
  (func (export "run") (param "task" (list string)) (result (result string (error string)))
    (canon lift (core func $main "run") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"#
    ))
}
