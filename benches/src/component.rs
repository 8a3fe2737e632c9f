//! The trivial component: `run` returns at once. Written as text, so that the bench needs no toolchain.

use std::path::Path;

/// Its bytes. Two tags give two components with different digests, which miss each other's cache entry.
pub fn trivial(tag: &str) -> Result<Vec<u8>, wat::Error> {
    let answer = format!("done {tag:.32}");
    let len = answer.len();
    wat::parse_str(format!(
        r#"(component
  (core module $m
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
      (global.set $free (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
    ;; result<string, string>: the case, then pointer and length.
    (func (export "run") (param i32 i32) (result i32)
      (i32.store8 (i32.const 16) (i32.const 0))
      (i32.store (i32.const 20) (i32.const 64))
      (i32.store (i32.const 24) (i32.const {len}))
      (i32.const 16))
    (data (i32.const 64) "{answer}"))
  (core instance $i (instantiate $m))
  (func $run (param "task" (list string)) (result (result string (error string)))
    (canon lift (core func $i "run")
      (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (export "run" (func $run)))"#
    ))
}

/// Writes it where `stockade run` can read it.
pub fn write(path: &Path, tag: &str) -> std::io::Result<()> {
    std::fs::write(path, trivial(tag).map_err(std::io::Error::other)?)
}
