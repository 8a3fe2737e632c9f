//! The keys of `[[secret]]`.

use super::{Kind, Section, key, needed};

/// A secret by name.
pub(super) static SECRET: Section = Section {
    name: "secret",
    about: "A secret by name. It never enters a cell: egress puts it into requests to the hosts it is bound to, over verified \
            TLS, and cuts answers that have it.",
    keys: &[
        needed("name", Kind::Name, "", "\"github-ro\"", "What `credential` names."),
        needed(
            "from",
            Kind::Text,
            "shim",
            "\"file:/etc/stockade/secrets/github\"",
            "`file:` and a path (a regular file, root's, mode 0600 or 0400), `systemd:` and a credential's name (systemd.exec(5)), or \
             `command:` and an absolute program of root's that prints it within 5 s. The first line counts: 8 bytes to 16 KiB of ASCII.",
        ),
        needed(
            "hosts",
            Kind::Strings,
            "shim",
            "[\"api.github.com\"]",
            "Hosts it may be sent to, nowhere else. No `*`.",
        ),
        key("paths", Kind::Strings, "shim", "every path", "[\"/repos\"]", "Prefixes of URL paths it may be sent to."),
        key(
            "header",
            Kind::Text,
            "shim",
            "`Authorization`",
            "\"Authorization\"",
            "The header it is put into. A value without a scheme becomes `Bearer VALUE` in `Authorization`.",
        ),
    ],
};
