//! Every refusal says what, where and what to do.

use crate::support::{lines, refuse, with_base};

#[test]
fn findings_have_line_column_and_advice() {
    for (body, expected) in CASES {
        assert_eq!(lines(&refuse(&with_base(body))), *expected, "\n{body}");
    }
}

#[test]
fn the_top_of_a_file_is_checked_too() {
    let deep = format!("a = {}", "[".repeat(100_000));
    let table: &[(&str, &[&str])] = &[
        (
            "",
            &[
                "1:1 the policy has no `version` | add version = 1",
                "1:1 the policy has no `id` | add id = \"ci-agent\"",
            ],
        ),
        ("version = 2\nid = \"t\"", &["1:11 `version` 2 is not known | this program reads version = 1"]),
        ("version = \"1\"\nid = \"t\"", &["1:11 `version` must be a whole number, not a string"]),
        (
            "version = 1\nid = \"a/b\"",
            &["2:6 `id` is not a name | use 1 to 64 of a-z A-Z 0-9 - _ . and begin with a letter or digit"],
        ),
        ("version = 1\nid = 3", &["2:6 `id` must be a string, not an integer"]),
        ("version = 1\nversion = 1", &["2:1 `version` is here for the second time | keep one of them"]),
        ("[limits]\n[limits]", &["2:2 `limits` is here for the second time | keep one of them"]),
        (
            "a = ",
            &[
                "1:5 not TOML: string values must be quoted, expected literal string | correct the syntax here; https://toml.io has the rules",
            ],
        ),
        (
            &deep,
            &[
                "1:85 not TOML: cannot recurse further; max recursion depth met | correct the syntax here; https://toml.io has the rules",
                "1:100005 not TOML: unclosed array, expected `]` | correct the syntax here; https://toml.io has the rules",
            ],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(lines(&refuse(text)), *expected, "{text:.80}");
    }
}

#[test]
fn a_limit_that_is_set_nowhere_is_named() {
    let text = "version = 1\nid = \"t\"\n[limits]\nmemory = \"1MiB\"\ncpu = \"1%\"\npids = 1\nwall = \"1s\"\nfuel = 1\ntables = 0\noutput = \"0B\"\nfiles = 16\nfile_size = \"0B\"\njournal = \"1MiB\"\n";
    assert_eq!(
        lines(&refuse(text)),
        [
            "no `limits.calls` is set, and absent does not mean unlimited | add extends = [\"preset:base@1\"], or calls = 1000 to [limits]"
        ]
    );
    let whole = crate::support::accept(&format!("{text}calls = 7\n"));
    assert_eq!((whole.limits.calls, whole.limits.cpu_millis, whole.limits.wall_ms), (7, 10, 1000));
}

#[test]
fn all_findings_come_in_one_go_with_a_caret() {
    let findings = refuse(&with_base("[limit]\nmemory = \"1MB\"\n\n[fs]\nread = [\"/usr/\", \"/proc\"]\n"));
    let expected = "\
error: unknown key `limit`
 --> t.toml:4:2
  |
4 | [limit]
  |  ^^^^^
  |
  = help: did you mean `limits`?

error: `fs.read` is not a path for a rule
 --> t.toml:8:9
  |
8 | read = [\"/usr/\", \"/proc\"]
  |         ^^^^^^^
  |
  = help: write \"/usr\"

error: `fs.read` of /proc would open the machine to the agent
 --> t.toml:8:18
  |
8 | read = [\"/usr/\", \"/proc\"]
  |                  ^^^^^^^
  |
  = help: nothing at or beneath /proc may be shown; name the trees the agent needs, as in \"/usr\"";
    assert_eq!(findings.to_string(), expected);
    assert!(findings.render(true).contains("\u{1b}["), "styled");
}

#[test]
fn a_flood_of_findings_is_counted() {
    let many: String = (0..500).map(|n| format!("key{n} = 1\n")).collect();
    let text = refuse(&many).to_string();
    assert!(text.ends_with("error: 482 more"), "{}", &text[text.len() - 40..]);
}

const CASES: &[(&str, &[&str])] = &[
    ("limts = 1", &["4:1 unknown key `limts` | did you mean `limits`?"]),
    ("memory = \"1MiB\"", &["4:1 unknown key `memory` | `memory` belongs in [limits]"]),
    (
        "[[egress]]\nhost = \"x\"",
        &[
            "4:1 [[egress]] has no `id` | add id = \"gh-read\"",
            "4:1 [[egress]] has no `methods`, and absent means deny | add methods = [\"GET\"], or methods = [\"*\"] for all",
        ],
    ),
    ("[mcp]", &["4:1 `mcp` must be an array of tables, not a table"]),
    (
        "[limits]\nmemory = 256",
        &[
            "5:10 `limits.memory` needs a unit | a size is a whole number and one of B, KiB, MiB, GiB, TiB, as in \"256MiB\"",
        ],
    ),
    (
        "[limits]\nmemory = \"256\"",
        &[
            "5:10 `limits.memory` is not a size | a size is a whole number and one of B, KiB, MiB, GiB, TiB, as in \"256MiB\"",
        ],
    ),
    ("[limits]\nmemory = \"256MB\"", &["5:10 `limits.memory` is not a size | write \"256MiB\""]),
    ("[limits]\nmemory = \"256mib\"", &["5:10 `limits.memory` is not a size | write \"256MiB\""]),
    (
        "[limits]\nmemory = \"99999999999999999999MiB\"",
        &["5:10 `limits.memory` is not a size | the number is too large"],
    ),
    ("[limits]\nmemory = \"1B\"", &["5:10 `limits.memory` is out of range | allowed: 1MiB to 64TiB"]),
    ("[limits]\nmemory = true", &["5:10 `limits.memory` must be a string, not a boolean"]),
    ("[limits]\nmemry = \"1MiB\"", &["5:1 unknown key `limits.memry` | did you mean `memory`?"]),
    (
        "[limits]\nio = 3",
        &[
            "5:1 unknown key `limits.io` | known here: memory, cpu, pids, wall, fuel, tables, output, files, file_size, calls, journal, io_read, io_write, calls_per_minute, concurrent, tool_wall",
        ],
    ),
    (
        "[limits]\ncpu = \"50\"",
        &[
            "5:7 `limits.cpu` is not a share of CPU | a share of CPU is a whole number and %, as in \"50%\"; 100% is one CPU",
        ],
    ),
    ("[limits]\ncpu = \"0%\"", &["5:7 `limits.cpu` is out of range | allowed: 1% to 1024000%"]),
    (
        "[limits]\nwall = \"10\"",
        &["5:8 `limits.wall` is not a time | a time is a whole number and one of ms, s, m, h, d, as in \"10m\""],
    ),
    (
        "[limits]\nwall = \"10 min\"",
        &["5:8 `limits.wall` is not a time | a time is a whole number and one of ms, s, m, h, d, as in \"10m\""],
    ),
    (
        "[limits]\nwall = 600",
        &["5:8 `limits.wall` needs a unit | a time is a whole number and one of ms, s, m, h, d, as in \"10m\""],
    ),
    ("[limits]\npids = 0", &["5:8 `limits.pids` is out of range | allowed: 1 to 4194304"]),
    ("[limits]\npids = -5", &["5:8 `limits.pids` is out of range | allowed: 1 to 4194304"]),
    ("[limits]\npids = 5.5", &["5:8 `limits.pids` must be a whole number, not a float"]),
    ("[limits]\npids = 99999999999999999999999999", &["5:8 `limits.pids` is out of range | allowed: 1 to 4194304"]),
    ("[limits]\npids = \"5\"", &["5:8 `limits.pids` must be a whole number, not a string"]),
    ("[fs]\nread = \"/usr\"", &["5:8 `fs.read` must be an array of strings, not a string"]),
    ("[fs]\nread = [1]", &["5:9 `fs.read[0]` must be a string, not an integer"]),
    (
        "[fs]\nread = [\"usr\"]",
        &[
            "5:9 `fs.read` is not a path for a rule | it is neither absolute nor beneath `@workspace`; write \"/usr/share\" or \"@workspace/docs\"",
        ],
    ),
    (
        "[fs]\nread = [\"\"]",
        &["5:9 `fs.read` is not a path for a rule | it is empty; write \"/usr/share\" or \"@workspace/docs\""],
    ),
    ("[fs]\nread = [\"/usr/\"]", &["5:9 `fs.read` is not a path for a rule | write \"/usr\""]),
    ("[fs]\nread = [\"/usr//lib\"]", &["5:9 `fs.read` is not a path for a rule | write \"/usr/lib\""]),
    (
        "[fs]\nread = [\"/usr/../etc\"]",
        &["5:9 `fs.read` is not a path for a rule | it goes up with `..`; write \"/usr/share\" or \"@workspace/docs\""],
    ),
    ("[fs]\nread = [\"/usr/./lib\"]", &["5:9 `fs.read` is not a path for a rule | write \"/usr/lib\""]),
    (
        "[fs]\nread = [\"/usr\\u0000x\"]",
        &[
            "5:9 `fs.read` is not a path for a rule | it has a control character (\\u{0}); write \"/usr/share\" or \"@workspace/docs\"",
        ],
    ),
    (
        "[fs]\nread = [\"/usr\\n\"]",
        &[
            "5:9 `fs.read` is not a path for a rule | it has a control character (\\u{a}); write \"/usr/share\" or \"@workspace/docs\"",
        ],
    ),
    ("[fs]\nread = [\"@workspace/\"]", &["5:9 `fs.read` is not a path for a rule | write \"@workspace\""]),
    (
        "[fs]\nread = [\"@workspacex\"]",
        &[
            "5:9 `fs.read` is not a path for a rule | it is neither absolute nor beneath `@workspace`; write \"/usr/share\" or \"@workspace/docs\"",
        ],
    ),
    (
        "[fs]\nread = [\"@workspace/..\"]",
        &["5:9 `fs.read` is not a path for a rule | it goes up with `..`; write \"/usr/share\" or \"@workspace/docs\""],
    ),
    (
        "[fs]\nread = [\"/\"]",
        &["5:9 `fs.read` of / would open the machine to the agent | name the trees the agent needs, as in \"/usr\""],
    ),
    (
        "[fs]\nread = [\"/proc/self\"]",
        &[
            "5:9 `fs.read` of /proc/self would open the machine to the agent | nothing at or beneath /proc may be shown; name the trees the agent needs, as in \"/usr\"",
        ],
    ),
    (
        "[fs]\nread = [\"/run/docker.sock\"]",
        &[
            "5:9 `fs.read` of /run/docker.sock would open the machine to the agent | nothing at or beneath /run may be shown; name the trees the agent needs, as in \"/usr\"",
        ],
    ),
    (
        "[fs]\nwrite = [\"/tmp\"]",
        &[
            "5:10 `fs.write` of a host path (/tmp) is enforced by no layer | only the workspace can be written: write = [\"@workspace\"]",
        ],
    ),
    (
        "[fs]\nread = [\"/usr\"]\ndeny = [\"/usr/share\"]",
        &[
            "6:9 `fs.deny[0]` cannot be enforced: layer landlock knows no exceptions beneath fs.read[0] (/usr) | /usr/share is denied if nothing above it is allowed: name what the agent may read instead of /usr",
        ],
    ),
    (
        "[fs]\nexecute = [\"/usr\"]",
        &["5:12 `fs.execute[0]` cannot be reached: /usr may not be read | add it, or a directory above it, to fs.read"],
    ),
    (
        "[env.set]\nLD_PRELOAD = \"x\"",
        &[
            "5:1 `env.set.LD_PRELOAD` changes what a program loads before it runs | remove it; pass what the agent needs by other names",
        ],
    ),
    (
        "[env.set]\n\"A=B\" = \"x\"",
        &["5:1 \"A=B\" is not a name of a variable | use letters, digits and _, and no = sign"],
    ),
    ("[env.set]\nA = \"x\\u0000\"", &["5:5 `env.set.A` has a control character | remove it"]),
    ("[env.set]\nA = 1", &["5:5 `env.set.A` must be a string, not an integer"]),
    (
        "[env]\npass = [\"LD_AUDIT\"]",
        &[
            "5:9 `env.pass`: LD_AUDIT changes what a program loads before it runs | remove it; pass what the agent needs by other names",
        ],
    ),
    (
        "[tools]\nallow = [\"workspace.reed\"]",
        &["5:10 there is no tool \"workspace.reed\" | did you mean \"workspace.read\"?"],
    ),
    (
        "[tools]\nallow = [\"shell\"]",
        &[
            "5:10 there is no tool \"shell\" | known: workspace.read, workspace.write, workspace.list, workspace.stat, clock, random, exec, mcp.SERVER.TOOL; \"*\" means all of them",
        ],
    ),
    (
        "[tools]\nask = [\"mcp.git.log\"]",
        &["5:8 there is no tool \"mcp.git.log\" | add an [[mcp]] with name = \"git\""],
    ),
    (
        "[tools]\ncedar = [\"x.cedar\"]",
        &["5:10 \"x.cedar\" cannot be read: this policy is not a file | save the policy, with the file beside it"],
    ),
    (
        "[require]\ndegrade_ok = [\"landlock.nett\"]",
        &["5:15 there is no layer \"landlock.nett\" that may be missing | did you mean \"landlock.net\"?"],
    ),
    (
        "[require]\ndegrade_ok = [\"seccomp\"]",
        &[
            "5:15 there is no layer \"seccomp\" that may be missing | known: landlock.truncate, landlock.net, landlock.ioctl_dev, landlock.scope",
        ],
    ),
    (
        "[[exec]]",
        &[
            "4:1 [[exec]] has no `id` | add id = \"git-log\"",
            "4:1 [[exec]] has no `command` | add command = [\"/usr/bin/git\", \"log\"]",
            "4:1 [[exec]] has no `wall` | add wall = \"30s\"",
        ],
    ),
    (
        "[[exec]]\nid = \"a b\"\ncommand = [\"git\"]\nwall = \"0s\"",
        &[
            "5:6 `exec.id` is not a name | use 1 to 64 of a-z A-Z 0-9 - _ . and begin with a letter or digit",
            "6:12 `exec.command` must begin with an absolute, canonical path, not \"git\" | no shell and no PATH is consulted: write [\"/usr/bin/git\", \"log\"]",
            "7:8 `exec.wall` is out of range | allowed: 1ms to 1d",
        ],
    ),
    (
        "[[exec]]\nid = \"a\"\ncommand = []\nwall = \"1s\"",
        &["6:11 `exec.command` names no program | write command = [\"/usr/bin/git\", \"log\"]"],
    ),
    ("[exec]\nid = \"a\"", &["4:1 `exec` must be an array of tables, not a table"]),
    (
        "[[exec]]\nid = \"a\"\ncommand = [\"/bin/a\"]\nwall = \"1s\"\n[[exec]]\nid = \"a\"\ncommand = [\"/bin/b\"]\nwall = \"1s\"",
        &["9:6 the id of [[exec]] \"a\" is taken by the entry at t.toml:4 | give it another id, or remove one of them"],
    ),
    (
        "[[exec]]\nid = \"a\"\ncommand = [\"/bin/a\"]\nwall = \"1s\"\n[[exec]]\nid = \"b\"\ncommand = [\"/bin/a\"]\nwall = \"1s\"",
        &[
            "9:6 the command of [[exec]] \"b\" is taken by the entry at t.toml:4 | give it another command, or remove one of them",
        ],
    ),
    (
        "[[test]]",
        &[
            "4:1 [[test]] has no `expect` | add expect = \"deny\"",
            "4:1 [[test]] asks nothing | give it one of: call, path, host, syscall",
        ],
    ),
    (
        "[[test]]\ncall = \"clock\"\nexpect = \"maybe\"",
        &["6:10 `test.expect` is \"maybe\" | write \"allow\" or \"deny\" or \"ask\""],
    ),
    (
        "[[test]]\ncall = \"clock\"\nargs = { a = 1979-05-27 }\nexpect = \"deny\"",
        &[
            "6:8 `test.args` has a date, which JSON does not have; write a string | arguments are what a JSON object can hold",
        ],
    ),
    (
        "[[test]]\ncall = \"clock\"\nexpect = \"allow\"",
        &[
            "4:1 test failed: expected allow, but it is denied by policy (no rule): clock: tools.allow does not list clock; to allow it, add \"clock\" to tools.allow in t.toml | change the rule or the test",
        ],
    ),
];
