//! The table of a host's `ceiling.toml`.

use super::policy::{BILLION, DAY, MIB, MILLION, TEN_QUADRILLION, TIB};
use super::{Kind, Section, key, needed};

/// A host's ceiling.
pub static CEILING: Section = Section {
    name: "",
    about: "`/etc/stockade/ceiling.toml`: the most that any policy gets on this host, whatever it asks. It can only narrow. A \
            key that is absent narrows nothing; an empty list lets nothing through. `stockade policy ceiling install` \
            compiles it for the launcher, which holds every plan against it again.",
    keys: &[
        needed("version", Kind::Count(1, 1), "", "1", "The version of the language."),
        key("require", Kind::Table(&REQUIRE), "", "", "", ""),
        key("limits", Kind::Table(&LIMITS), "", "", "", ""),
        key("fs", Kind::Table(&FS), "", "", "", ""),
        key("env", Kind::Table(&ENV), "", "", "", ""),
        key("tools", Kind::Table(&TOOLS), "", "", "", ""),
        key("egress", Kind::Tables(&EGRESS), "", "", "", ""),
        key("sockets", Kind::Table(&SOCKETS), "", "", "", ""),
        key("secrets", Kind::Table(&SECRETS), "", "", "", ""),
        key("syscalls", Kind::Table(&SYSCALLS), "", "", "", ""),
    ],
};

static REQUIRE: Section = Section {
    name: "require",
    about: "What every policy must bring.",
    keys: &[
        key(
            "degrade_ok",
            Kind::Strings,
            "load",
            "as the policy says",
            "[]",
            "The most that a policy's `require.degrade_ok` may name.",
        ),
        key("seal", Kind::Bool, "load", "`false`", "true", "Only policies with a seal run."),
        key("tests", Kind::Bool, "load", "`false`", "true", "Only policies with tests of their own run."),
    ],
};

static LIMITS: Section = Section {
    name: "limits",
    about: "The highest values. A policy that asks for more gets these, and a run says so.",
    keys: &[
        key("memory", Kind::Size(MIB, 64 * TIB), "load, launcher", NONE, "\"4GiB\"", "As in a policy."),
        key("cpu", Kind::Share(10, 10_240_000), "load, launcher", NONE, "\"200%\"", "As in a policy."),
        key("pids", Kind::Count(1, 4_194_304), "load, launcher", NONE, "512", "As in a policy."),
        key("wall", Kind::Time(1, 30 * DAY), "load", NONE, "\"8h\"", "As in a policy."),
        key("fuel", Kind::Count(1, TEN_QUADRILLION), "load", NONE, "1_000_000_000_000", "As in a policy."),
        key("tables", Kind::Count(0, 100_000_000), "load", NONE, "100_000", "As in a policy."),
        key("output", Kind::Size(0, TIB), "load", NONE, "\"64MiB\"", "As in a policy."),
        key("files", Kind::Count(16, 1_048_576), "load, launcher", NONE, "1024", "As in a policy."),
        key("file_size", Kind::Size(0, 64 * TIB), "load, launcher", NONE, "\"1GiB\"", "As in a policy."),
        key("calls", Kind::Count(0, BILLION), "load", NONE, "100_000", "As in a policy."),
        key("journal", Kind::Size(crate::bundle::MIN_JOURNAL, 64 * TIB), "load", NONE, "\"1GiB\"", "As in a policy."),
        key(
            "io_read",
            Kind::Rate(4096, 64 * TIB),
            "load",
            NONE,
            "\"100MiB/s\"",
            "As in a policy; also set where the policy sets none.",
        ),
        key(
            "io_write",
            Kind::Rate(4096, 64 * TIB),
            "load",
            NONE,
            "\"50MiB/s\"",
            "As in a policy; also set where the policy sets none.",
        ),
        key(
            "concurrent",
            Kind::Counts(1, MILLION),
            "load",
            NONE,
            "{ exec = 2 }",
            "As in a policy; also set where the policy sets none.",
        ),
        key(
            "tool_wall",
            Kind::Times(1, DAY),
            "load",
            NONE,
            "{ exec = \"1m\" }",
            "As in a policy; also set where the policy sets none.",
        ),
    ],
};
const NONE: &str = "not narrowed";

static FS: Section = Section {
    name: "fs",
    about: "The most that `fs` of a policy may reach. What lies outside is taken away, and a run says so.",
    keys: &[
        key(
            "read",
            Kind::Paths,
            "load, launcher",
            NONE,
            "[\"/usr\", \"/etc/ssl\", \"@workspace\"]",
            "Trees that may be read.",
        ),
        key("write", Kind::Paths, "load", NONE, "[\"@workspace\"]", "Trees that may be written."),
        key("execute", Kind::Paths, "load, launcher", NONE, "[\"/usr\"]", "Trees that may be executed from."),
        key("deny", Kind::Paths, "load", "nothing", "[\"@workspace/.git/hooks\"]", "Denied in every policy."),
        key(
            "workspaces",
            Kind::Paths,
            "load, launcher",
            NONE,
            "[\"/srv/agents\"]",
            "Folders of the host in which workspaces may lie.",
        ),
    ],
};

static ENV: Section = Section {
    name: "env",
    about: "The environment that a policy may pass on.",
    keys: &[key("pass", Kind::Strings, "load", NONE, "[\"TZ\"]", "The most that `env.pass` may name.")],
};

static TOOLS: Section = Section {
    name: "tools",
    about: "Tool calls: what holds above every policy.",
    keys: &[
        key("allow", Kind::Tools, "Cedar", NONE, "[\"workspace.read\"]", "Tools that a policy may allow at all."),
        key("deny", Kind::Tools, "Cedar", "nothing", "[\"exec\"]", "Tools that no policy may allow."),
        key(
            "ask",
            Kind::Tools,
            "Cedar, shim",
            "nothing",
            "[\"workspace.write\"]",
            "Tools that always need an approval.",
        ),
    ],
};

static EGRESS: Section = Section {
    name: "egress",
    about: "Places that a policy may reach at all. Without this section, all that policies ask for; with `egress = []`, none.",
    keys: &[
        needed("host", Kind::Text, "Cedar", "\"*.example.com\"", "As in a policy."),
        key("port", Kind::Ports, "Cedar", "every port", "443", "As in a policy."),
        key("methods", Kind::Strings, "Cedar", "every method", "[\"GET\"]", "As in a policy."),
    ],
};

static SOCKETS: Section = Section {
    name: "sockets",
    about: "Unix sockets of the host.",
    keys: &[key("unix", Kind::Strings, "load", NONE, "[]", "The most that `sockets.unix` may name.")],
};

static SECRETS: Section = Section {
    name: "secrets",
    about: "Secrets of the host, by name.",
    keys: &[key("allow", Kind::Strings, "load", NONE, "[\"github-ro\"]", "Names of secrets that policies may use.")],
};

static SYSCALLS: Section = Section {
    name: "syscalls",
    about: "What policies may add to a seccomp profile.",
    keys: &[key(
        "allow",
        Kind::Strings,
        "load, launcher",
        NONE,
        "[]",
        "Syscalls that a policy may add with `action = \"allow\"`.",
    )],
};
