//! The table of a policy file.

use super::{Key, Kind, Section, key, needed};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const TIB: u64 = 1 << 40;
pub(super) const DAY: u64 = 86_400_000;
const CENTURY: u64 = 36_500 * DAY;
/// No number that somebody means is larger, so one that is larger is an accident.
pub(super) const TEN_QUADRILLION: u64 = 10_000_000_000_000_000;
/// As above, of calls in one run.
pub(super) const BILLION: u64 = 1_000_000_000;
/// As above, of calls in a minute.
pub(super) const MILLION: u64 = 1_000_000;

/// A policy.
pub static POLICY: Section = Section {
    name: "",
    about: "One file, TOML or, if its name ends in `.json`, the equivalent JSON. What it does not say is denied; a key that \
            is not in this reference is an error.",
    keys: &[
        needed("version", Kind::Count(1, 1), "", "1", "The version of the language."),
        needed("id", Kind::Name, "", "\"ci-agent\"", "The name in records."),
        key(
            "seal",
            Kind::Text,
            "load",
            "the file may change without notice",
            "\"sha256:…\"",
            "Digest of the file without this line and of its Cedar and schema files, as `stockade policy seal FILE` writes \
             it. A file that was cut, damaged or edited since is refused.",
        ),
        key(
            "extends",
            Kind::Strings,
            "load",
            "nothing",
            "[\"preset:base@1\"]",
            "Presets to stand on, by name and version (`stockade policy new --list`). Numbers of later files replace \
             earlier ones, lists add up, a deny of any of them holds.",
        ),
        key("require", Kind::Table(&REQUIRE), "", "", "", ""),
        key("limits", Kind::Table(&LIMITS), "", "", "", ""),
        key("fs", Kind::Table(&FS), "", "", "", ""),
        key("env", Kind::Table(&ENV), "", "", "", ""),
        key("tools", Kind::Table(&TOOLS), "", "", "", ""),
        key("exec", Kind::Tables(&EXEC), "", "", "", ""),
        key("egress", Kind::Tables(&EGRESS), "", "", "", ""),
        key("sockets", Kind::Table(&SOCKETS), "", "", "", ""),
        key("mcp", Kind::Tables(&MCP), "", "", "", ""),
        key("model", Kind::Tables(&MODEL), "", "", "", ""),
        key("secret", Kind::Tables(&super::secret::SECRET), "", "", "", ""),
        key("approvals", Kind::Table(&APPROVALS), "", "", "", ""),
        key("journal", Kind::Table(&JOURNAL), "", "", "", ""),
        key("syscalls", Kind::Table(&SYSCALLS), "", "", "", ""),
        key("test", Kind::Tables(&TEST), "", "", "", ""),
    ],
};

static REQUIRE: Section = Section {
    name: "require",
    about: "Which layers may be missing. Without this section the host must have every one.",
    keys: &[key(
        "degrade_ok",
        Kind::Strings,
        "launch",
        "every layer must be there",
        "[\"landlock.net\"]",
        "Layers that an older kernel may lack: `landlock.truncate` (Landlock ABI 3), `landlock.net` (4), \
         `landlock.ioctl_dev` (5), `landlock.scope` (6). What the kernel has is enforced all the same.",
    )],
};

/// Defaults are those of `preset:base`; a policy without a preset must set what is not optional.
static LIMITS: Section = Section {
    name: "limits",
    about: "The most that one run may use. Each must be set, by the file or by a preset (`preset:base@1` sets all that are \
            not marked optional): absent does not mean unlimited.",
    keys: &[
        key(
            "memory",
            Kind::Size(MIB, 64 * TIB),
            "cgroup",
            MUST,
            "\"256MiB\"",
            "Memory of every kind, of all processes of the cell together.",
        ),
        key("cpu", Kind::Share(10, 10_240_000), "cgroup", MUST, "\"50%\"", "Share of one CPU; `\"200%\"` is two."),
        key("pids", Kind::Count(1, 4_194_304), "cgroup", MUST, "32", "Processes and threads."),
        key("wall", Kind::Time(1, 30 * DAY), "supervisor", MUST, "\"10m\"", "Time of the whole run."),
        key(
            "fuel",
            Kind::Count(1, TEN_QUADRILLION),
            "wasmtime",
            MUST,
            "1_000_000_000",
            "Fuel of a wasm agent: instructions, roughly.",
        ),
        key(
            "tables",
            Kind::Count(0, 100_000_000),
            "wasmtime",
            MUST,
            "10_000",
            "Elements of all tables of a wasm agent.",
        ),
        key(
            "output",
            Kind::Size(0, TIB),
            "supervisor, shim",
            MUST,
            "\"1MiB\"",
            "Stdout, stderr and log that are kept; what is more is counted and dropped.",
        ),
        key("files", Kind::Count(16, 1_048_576), "rlimit", MUST, "256", "Open descriptors of one process."),
        key(
            "file_size",
            Kind::Size(0, 64 * TIB),
            "rlimit, shim",
            MUST,
            "\"64MiB\"",
            "The largest file that can be written.",
        ),
        key("calls", Kind::Count(0, BILLION), "shim", MUST, "1000", "Tool calls in one run."),
        key(
            "journal",
            Kind::Size(crate::bundle::MIN_JOURNAL, 64 * TIB),
            "shim",
            MUST,
            "\"256MiB\"",
            "The run's journal with its blobs. A run that would write more ends.",
        ),
        key(
            "io_read",
            Kind::Rate(4096, 64 * TIB),
            "cgroup",
            "optional: no limit",
            "\"50MiB/s\"",
            "Reading from the workspace's disk, all processes together. Needs cgroup v2 with the io controller and a real disk.",
        ),
        key(
            "io_write",
            Kind::Rate(4096, 64 * TIB),
            "cgroup",
            "optional: no limit",
            "\"20MiB/s\"",
            "Writing to the workspace's disk. Needs the same.",
        ),
        key(
            "calls_per_minute",
            Kind::Counts(0, MILLION),
            "Cedar",
            "optional: `limits.calls` alone",
            "{ \"workspace.write\" = 60 }",
            "Calls of a tool in any 60 seconds; `\"*\"` is all tools together.",
        ),
        key(
            "concurrent",
            Kind::Counts(1, MILLION),
            "shim",
            "optional: no limit",
            "{ exec = 2 }",
            "Calls of a tool that may be under way at one time; `\"*\"` is all tools together. One more is refused, and may be asked again later.",
        ),
        key(
            "tool_wall",
            Kind::Times(1, DAY),
            "shim",
            "optional: `exec.wall` of a command, 60 s of a tool of an MCP server",
            "{ exec = \"1m\" }",
            "The longest that one call of a tool may take; `\"*\"` is each tool that has no entry of its own. Of a command the shorter of this and its `wall` counts. A call over its time is ended, and says so.",
        ),
    ],
};
const MUST: &str = "must be set, by a preset or here";

static FS: Section = Section {
    name: "fs",
    about: "Paths: absolute on the host, or `@workspace` and beneath. A native program meets them as mounts and Landlock \
            rules, a tool call as a decision. A path is canonical: no `.`, `..`, doubled or trailing slash. On the host it \
            must not lead through a symbolic link to what is not allowed itself. What a native cell is given must exist when \
            its run begins.",
    keys: &[
        key(
            "read",
            Kind::Paths,
            "mounts, Landlock, Cedar",
            "nothing",
            "[\"/usr\", \"@workspace\"]",
            "Trees and files that may be read.",
        ),
        key(
            "write",
            Kind::Paths,
            "mounts, Landlock, Cedar",
            "nothing",
            "[\"@workspace/out\"]",
            "Trees that may be written, and read. Only in the workspace.",
        ),
        key(
            "execute",
            Kind::Paths,
            "mounts, Landlock",
            "nothing",
            "[\"/usr\"]",
            "Where programs may be started from by execve(2), and code may be mapped from. Each must lie in what may be \
             read. An interpreter or loader that may run can be given any file that may be read.",
        ),
        key(
            "deny",
            Kind::Paths,
            "mounts, Cedar",
            "nothing",
            "[\"@workspace/.git/hooks\"]",
            "What nobody may touch, whatever else allows it. Beneath an allowed path of the host this can't be enforced \
             (Landlock knows no exceptions) and is refused.",
        ),
        key(
            "workspace",
            Kind::Choice(&["direct", "read-only", "none"]),
            "mounts, Cedar",
            "what `read` and `write` say",
            "\"read-only\"",
            "The most that `read` and `write` can make of the workspace, whatever a preset says: `none` hides it, \
             `read-only` takes every write away.",
        ),
    ],
};

static ENV: Section = Section {
    name: "env",
    about: "The agent's whole environment: nothing else is passed on. Variables that change what a program loads before it runs (`LD_*`, \
            `GLIBC_TUNABLES`, `BASH_ENV`, …) and Stockade's own are refused.",
    keys: &[
        key(
            "set",
            Kind::Map,
            "launch",
            "nothing",
            "{ LANG = \"C.UTF-8\" }",
            "Variables and their values. No secrets: whoever can read the policy can read them, and the agent can too.",
        ),
        key(
            "pass",
            Kind::Strings,
            "launch",
            "nothing",
            "[\"TZ\"]",
            "Names of variables that are passed on from whoever starts the run; an absent one stays absent.",
        ),
    ],
};

static TOOLS: Section = Section {
    name: "tools",
    about: "Decisions on tool calls. The lists compile to Cedar, so that one engine decides; `deny` wins over all, `ask` over \
            `allow`. Tools of MCP servers are `mcp.SERVER.TOOL`, all of a server's `mcp.SERVER.*`.",
    keys: &[
        key(
            "allow",
            Kind::Tools,
            "Cedar",
            "nothing",
            "[\"workspace.read\"]",
            "Tools that may be called. `\"*\"` is all of them and must be written.",
        ),
        key(
            "deny",
            Kind::Tools,
            "Cedar",
            "nothing",
            "[\"exec\"]",
            "Tools that may not be called, whatever else allows them.",
        ),
        key(
            "ask",
            Kind::Tools,
            "Cedar, shim",
            "nothing",
            "[\"workspace.write\"]",
            "Tools that need a person's approval for each call. A tool listed here need not be in `allow`. Such a \
             call waits for `stockade approvals approve`; silence denies, and so does a run with `--headless`, at once.",
        ),
        key(
            "cedar",
            Kind::Strings,
            "Cedar",
            "nothing",
            "[\"tools.cedar\"]",
            "Cedar files beside the policy, validated strictly against `stockade policy schema --cedar`. They can forbid \
             anything and permit a tool that no list names, but reach past neither `fs`, `[[exec]]`, `[[egress]]`, a limit nor a deny.",
        ),
    ],
};

static EXEC: Section = Section {
    name: "exec",
    about: "A command that the `exec` tool may run, in a native cell of its own. `exec` must be in `tools.allow` or `tools.ask` too, and the \
            program starts only if it lies in `fs.execute`.",
    keys: &[
        needed("id", Kind::Name, "", "\"git-log\"", "The name in records."),
        needed(
            "command",
            Kind::Strings,
            "Cedar, supervisor",
            "[\"/usr/bin/git\", \"log\"]",
            "The absolute program, then the arguments that every call must begin with.",
        ),
        needed("wall", Kind::Time(1, DAY), "supervisor", "\"30s\"", "The longest that one run of it may take."),
        key(
            "policy",
            Kind::Text,
            "load, supervisor",
            "this policy",
            "\"git.toml\"",
            "The policy of the command's own cell: a preset, or a policy file beside this one. One that gives a cell more than this policy \
             (limits of memory, tasks and files, paths, syscalls, layers that may be missing) is refused when it is loaded.",
        ),
        key("reason", Kind::Text, "", "none", "\"history for the summary\"", "Why; shown with decisions."),
    ],
};

static EGRESS: Section = Section {
    name: "egress",
    about: "A place outside that may be reached by name: by a native agent's own connections, through the proxies in its cell or as \
            they are (see \"The way out\" above).",
    keys: &[
        needed("id", Kind::Name, "", "\"gh-read\"", "The name in records."),
        needed(
            "host",
            Kind::Text,
            "Cedar",
            "\"api.github.com\"",
            "A host in its canonical spelling, `*.example.com` (every name below it, not itself), an IP address, a network of them (`10.0.0.0/8`), or `*` (every name, no address).",
        ),
        key(
            "scheme",
            Kind::Choice(&["https", "http", "tcp"]),
            "Cedar",
            "`https`",
            "\"https\"",
            "What is spoken. Methods and paths can be seen only of `http` and `https`.",
        ),
        key("port", Kind::Ports, "Cedar", "443 for https, 80 for http; tcp must say", "443", "The port, or several."),
        key(
            "methods",
            Kind::Strings,
            "Cedar",
            "nothing; http and https must say",
            "[\"GET\", \"HEAD\"]",
            "HTTP methods (RFC 9110), or `\"*\"`.",
        ),
        key("paths", Kind::Strings, "Cedar", "every path", "[\"/repos\"]", "Prefixes of URL paths, by whole segments."),
        key(
            "addresses",
            Kind::Strings,
            "shim",
            "none: the Internet's addresses only",
            "[\"10.0.0.0/8\"]",
            "Addresses and networks that the host may resolve to, besides global ones that are not this machine's own. A host that is itself an address or a network needs none.",
        ),
        key(
            "credential",
            Kind::Name,
            "shim",
            "none",
            "\"github-ro\"",
            "A `[[secret]]` that egress puts into the request; the agent never sees it.",
        ),
        key("reason", Kind::Text, "", "none", "\"read issues\"", "Why; shown with decisions."),
    ],
};

static SOCKETS: Section = Section {
    name: "sockets",
    about: "Unix sockets of the host that a native program may connect to. Until a kernel's Landlock gates them (ABI 9) no \
            layer can tell one from another, so a policy that names one is refused on such a host, and by this version on every host.",
    keys: &[key(
        "unix",
        Kind::Strings,
        "Landlock",
        "nothing",
        "[\"/run/postgresql/.s.PGSQL.5432\"]",
        "Sockets by their absolute paths.",
    )],
};

static MCP: Section = Section {
    name: "mcp",
    about: "A server of the Model Context Protocol (stdio) whose tools the agent may be given; at most 16. It runs in a native cell of its own, \
            is started at the first call or list that needs it, at most three times in a run, and is killed with the run. Which of \
            its tools may be called, `tools` says: those are `mcp.NAME.TOOL`. What it says of its tools' effects decides nothing.",
    keys: &[
        needed("name", Kind::Name, "", "\"git\"", "Name; its tools are `mcp.NAME.TOOL`."),
        needed(
            "command",
            Kind::Strings,
            "supervisor",
            "[\"/usr/bin/mcp-git\"]",
            "The absolute program and its arguments.",
        ),
        needed(
            "policy",
            Kind::Text,
            "supervisor",
            "\"preset:mcp-readonly@1\"",
            "The policy of the server's own cell: a preset, or a policy file beside this one. Its `limits`, `fs`, `env` and `syscalls` are \
             enforced; it has no tools and no way out. The host's ceiling is over it as it is over this policy, and the workspace is \
             the run's.",
        ),
        needed(
            "tools",
            Kind::Text,
            "Cedar, shim",
            "\"git.tools.json\"",
            "File beside the policy with the server's `tools/list` answer, as approved: the types of arguments, and the pins \
             against which the live list is held. A tool whose name, description, schemas or annotations are others than these, or \
             that is not in the file, is not offered, and a call of it is denied.",
        ),
    ],
};

static MODEL: Section = Section {
    name: "model",
    about: "A model endpoint for `model.chat`. Decided, tested and explained by this version; it calls none yet, so `stockade \
            run` refuses a policy that has one.",
    keys: &[
        needed("name", Kind::Name, "", "\"main\"", "Name in calls and records."),
        needed(
            "url",
            Kind::Text,
            "shim",
            "\"https://llm.internal.example/v1\"",
            "An OpenAI-compatible base URL, https.",
        ),
        key("models", Kind::Strings, "Cedar", "nothing", "[\"small-1\"]", "Models that may be asked for, or `\"*\"`."),
        key("credential", Kind::Name, "shim", "none", "\"llm-key\"", "A `[[secret]]` that the shim puts in."),
        key(
            "tokens",
            Kind::Count(1, TEN_QUADRILLION),
            "shim",
            "must be written where models are",
            "1_000_000",
            "Tokens in one run, prompts and answers together.",
        ),
    ],
};

static APPROVALS: Section = Section {
    name: "approvals",
    about: "How a person's approval is taken, for `tools.ask` and for Cedar policies that read `context.approved`.",
    keys: &[key(
        "expires",
        Kind::Time(1000, 30 * DAY),
        "shim",
        "`10m`",
        "\"10m\"",
        "How long a call waits for an answer; none is a denial.",
    )],
};

static JOURNAL: Section = Section {
    name: "journal",
    about: "What a run's journal may forget, and when. Without this section everything is kept. Whatever goes, the journal still \
            verifies against its signed heads.",
    keys: &[
        key(
            "private",
            Kind::Tools,
            "shim",
            "nothing",
            "[\"workspace.read\"]",
            "Tools whose arguments and answers are recorded as salted digests, with the values in files of their own that \
             `stockade journal erase` removes. The decision stays in the record, with what it is about: a path or a command.",
        ),
        key(
            "compact",
            Kind::Time(1000, CENTURY),
            "`journal prune`",
            "never",
            "\"7d\"",
            "How long after its end a run keeps its allowed calls, results, logs and private values. The start, refusals and \
             the lifecycle stay.",
        ),
        key(
            "keep",
            Kind::Time(1000, CENTURY),
            "`journal prune`",
            "for ever",
            "\"90d\"",
            "How long after its end a run keeps anything but the hashes of its records.",
        ),
    ],
};

static SYSCALLS: Section = Section {
    name: "syscalls",
    about: "The seccomp filter of a native cell. A wasm cell's filters are fixed: a policy with additions does not run one.",
    keys: &[
        key(
            "profile",
            Kind::Choice(&["cell-native"]),
            "seccomp",
            "`cell-native`",
            "\"cell-native\"",
            "The profile to start from (`seccomp-profiles/`).",
        ),
        key("add", Kind::Tables(&SYSCALL), "", "", "", ""),
    ],
};

static SYSCALL: Section = Section {
    name: "syscalls.add",
    about: "Syscalls that get another answer than the profile gives, by number alone. What a profile refuses by a rule of its \
            own, and what opens the kernel or another layer (io_uring, bpf, ptrace, mounts, namespaces, keyrings, …), can't be allowed.",
    keys: &[
        needed(
            "names",
            Kind::Strings,
            "seccomp",
            "[\"sched_setscheduler\"]",
            "Names of syscalls on this architecture.",
        ),
        needed(
            "action",
            Kind::Choice(&["allow", "deny", "notify"]),
            "seccomp",
            "\"deny\"",
            "`allow`; `deny`, which fails with EPERM; `notify`, which is refused and recorded.",
        ),
        needed("why", Kind::Text, "", "\"the build pins its batch jobs\"", "The reason, at least 8 characters."),
    ],
};

/// Keys of one test.
const TEST_KEYS: &[Key] = &[
    key(
        "call",
        Kind::Text,
        "",
        "",
        "\"workspace.read\"",
        "A tool. Each test has one of `call`, `path`, `host`, `syscall`.",
    ),
    key("args", Kind::Object, "", "`{}`", "{ path = \"a.txt\" }", "Arguments of the call."),
    key("path", Kind::Text, "", "", "\"/usr/bin/env\"", "A path as a native program meets it."),
    key(
        "access",
        Kind::Choice(&["read", "write", "execute"]),
        "",
        "`read`",
        "\"execute\"",
        "What it does with the path.",
    ),
    key("host", Kind::Text, "", "", "\"api.github.com:443\"", "A host and port."),
    key("method", Kind::Text, "", "none: a bare TCP connection", "\"GET\"", "HTTP method."),
    key("url_path", Kind::Text, "", "`/`", "\"/repos/x\"", "URL path."),
    key("scheme", Kind::Choice(&["https", "http"]), "", "`https`", "\"http\"", "Scheme of a test with a method."),
    key("syscall", Kind::Text, "", "", "\"bpf\"", "A syscall by name."),
    key("approved", Kind::Bool, "", "`false`", "true", "Whether a person has approved the call."),
    needed("expect", Kind::Choice(&["allow", "deny", "ask"]), "", "\"deny\"", "What must be decided."),
    key("reason", Kind::Text, "", "none", "\"evidence is not written over\"", "Why; shown when it fails."),
];

static TEST: Section = Section {
    name: "test",
    about: "What must hold of this policy. Run whenever it is loaded, by `stockade run` too; one that fails refuses it.",
    keys: TEST_KEYS,
};

/// A file of tests alone, for `stockade policy test --tests`.
pub static TESTS: Section = Section {
    name: "",
    about: "A file of tests alone: rules of the house that many policies must keep (`stockade policy test FILE --tests TESTS`). It \
            has the `[[test]]` of a policy.",
    keys: &[
        needed("version", Kind::Count(1, 1), "", "1", "The version of the language."),
        key("test", Kind::Tables(&TEST), "", "", "", ""),
    ],
};
