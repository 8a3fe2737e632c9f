//! An agent whose effects tell, outside of all that Stockade keeps, what it was answered.

use crate::text::module;

/// What it may do.
pub const MAY: &str = concat!(
    "[limits]\npids = 32\ncalls = 100_000\nfuel = 9_000_000_000_000_000\n",
    "[tools]\nallow = [\"clock\", \"random\", \"workspace.write\", \"workspace.stat\", \"exec\"]\n",
    "[fs]\nread = [\"/usr\", \"/etc/ld.so.cache\", \"@workspace\"]\nwrite = [\"@workspace\"]\nexecute = [\"/usr\"]\n",
    "[[exec]]\nid = \"sh\"\ncommand = [\"/usr/bin/sh\"]\nwall = \"1m\"\n"
);

/// One in so many rounds has a command do something.
pub const EXEC_EACH: u32 = 4;

/// In each round it reads the clock, asks for chance and for the state of its file, logs its number, and appends a line to
/// the file `written`: its number; `o` or `x`, as its last effect was answered well or not, `-` if there was none; the
/// clock; the chance. Every fourth round it has a command append its number to the file `ran`. In the end it says how many
/// effects were answered well.
pub fn witness(rounds: u32) -> String {
    let line = r#"{"content":"NNNN - CCCCCCCCCCCCCCCCCCC RRRRRRRRRRRRRRRR\n","mode":"append","path":"written"}"#;
    let command = r#"{"argv":["/usr/bin/sh","-c","echo NNNN >> ran"]}"#;
    let escaped = |text: &str| text.replace('\\', "\\5c").replace('"', "\\22");
    let data = format!(
        "(data (i32.const 1000) \"clock\") (data (i32.const 1100) \"workspace.write\") (data (i32.const 1200) \"{{}}\")
         (data (i32.const 1300) \"exec\") (data (i32.const 1400) \"random\") (data (i32.const 1500) \"{length}\")
         (data (i32.const 1600) \"workspace.stat\") (data (i32.const 1700) \"{path}\")
         (data (i32.const 2000) \"{line}\") (data (i32.const 2200) \"{command}\")
         (global $good (mut i32) (i32.const 0))
         (func $digits (param $n i32) (param $at i32) (local $i i32)
           (local.set $i (i32.const 3))
           (loop $d
             (i32.store8 (i32.add (local.get $at) (local.get $i)) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
             (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
             (local.set $i (i32.sub (local.get $i) (i32.const 1)))
             (br_if $d (i32.ge_s (local.get $i) (i32.const 0)))))
         (func $answered (local $bad i32)
           (local.set $bad (i32.load8_u (i32.const 3000)))
           (global.set $good (i32.add (global.get $good) (i32.eqz (local.get $bad))))
           (i32.store8 (i32.const {status}) (select (i32.const 120) (i32.const 111) (local.get $bad))))",
        length = escaped(r#"{"length":12}"#),
        path = escaped(r#"{"path":"written"}"#),
        line = escaped(line),
        command = escaped(command),
        status = 2000 + at(line, "-"),
    );
    let run = format!(
        "(local.set 0 (i32.const 0))
         (loop $l
           (call $call (i32.const 1000) (i32.const 5) (i32.const 1200) (i32.const 2) (i32.const 3000))
           (memory.copy (i32.const {clock}) (i32.add (i32.load offset=4 (i32.const 3000)) (i32.const 12)) (i32.const 19))
           (call $call (i32.const 1400) (i32.const 6) (i32.const 1500) (i32.const 13) (i32.const 3000))
           (memory.copy (i32.const {chance}) (i32.add (i32.load offset=4 (i32.const 3000)) (i32.const 11)) (i32.const 16))
           (call $call (i32.const 1600) (i32.const 14) (i32.const 1700) (i32.const 18) (i32.const 3000))
           (call $digits (local.get 0) (i32.const {number}))
           (call $log (i32.const 1) (i32.const {number}) (i32.const 4))
           (call $call (i32.const 1100) (i32.const 15) (i32.const 2000) (i32.const {line_len}) (i32.const 3000))
           (call $answered)
           (if (i32.eqz (i32.rem_u (local.get 0) (i32.const {EXEC_EACH}))) (then
             (call $digits (local.get 0) (i32.const {in_command}))
             (call $call (i32.const 1300) (i32.const 4) (i32.const 2200) (i32.const {command_len}) (i32.const 3000))
             (call $answered)))
           (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {rounds}))))
         (call $digits (global.get $good) (i32.const 2400))
         (call $ok (i32.const 2400) (i32.const 4))",
        number = 2000 + at(line, "NNNN"),
        clock = 2000 + at(line, "CCC"),
        chance = 2000 + at(line, "RRR"),
        line_len = line.len(),
        in_command = 2200 + at(command, "NNNN"),
        command_len = command.len(),
    );
    module(&data, &run)
}

/// Effects of [`witness`].
pub fn effects(rounds: u32) -> usize {
    (rounds + rounds.div_ceil(EXEC_EACH)) as usize
}

fn at(text: &str, part: &str) -> usize {
    text.find(part).unwrap()
}
