//! Bytes of a plan, in the order of its fields.

use alloc::vec::Vec;

use crate::bytes::{DecodeError, In, Out};
use crate::{
    Access, Addition, AdditionAction, CgroupLimits, Cgroups, Descriptor, Entry, Exec, Ids, Landlock, Listener, Owner,
    Plan, Rlimit, Role, Rule, Seccomp, Transport, What,
};

/// Longest plan in bytes.
pub const MAX_PLAN: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"stkplan3";

impl Role {
    fn decode(v: u8) -> Result<Self, DecodeError> {
        [Self::Shim, Self::Wasm, Self::Native, Self::Compile, Self::Egress]
            .into_iter()
            .find(|r| *r as u8 == v)
            .ok_or(DecodeError::Value("role", v.into()))
    }
}

impl Access {
    fn decode(v: u8) -> Result<Self, DecodeError> {
        Self::ALL.into_iter().find(|a| *a as u8 == v).ok_or(DecodeError::Value("landlock access", v.into()))
    }
}

impl Listener {
    fn encode(&self, out: &mut Out) {
        out.byte(self.transport as u8);
        out.flag(self.any);
        out.u32(self.port.into());
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        let transport = input.byte("transport")?;
        let transport = Transport::ALL.into_iter().find(|t| *t as u8 == transport);
        let transport = transport.ok_or(DecodeError::Value("transport", 0))?;
        Ok(Self { transport, any: input.flag("listener")?, port: port(input)? })
    }
}

fn port(input: &mut In<'_>) -> Result<u16, DecodeError> {
    let port = input.u32("port")?;
    u16::try_from(port).map_err(|_| DecodeError::Value("port", port.into()))
}

impl AdditionAction {
    fn decode(v: u8) -> Result<Self, DecodeError> {
        [Self::Allow, Self::Deny, Self::Notify]
            .into_iter()
            .find(|a| *a as u8 == v)
            .ok_or(DecodeError::Value("seccomp addition", v.into()))
    }
}

impl What {
    fn encode(&self, out: &mut Out) {
        match self {
            Self::Dir => out.byte(1),
            Self::Symlink { target } => {
                out.byte(2);
                out.text(target);
            }
            Self::File { content } => {
                out.byte(3);
                out.bytes(content);
            }
            Self::Bind { source, read_only, no_exec, device, file, idmap } => {
                out.byte(4);
                out.byte(source.0);
                [*read_only, *no_exec, *device, *file, idmap.is_some()].into_iter().for_each(|v| out.flag(v));
                if let Some(owner) = idmap {
                    out.u32(owner.uid);
                    out.u32(owner.gid);
                }
            }
            Self::Tmpfs { size, inodes } => {
                out.byte(5);
                out.u64(*size);
                out.u64(*inodes);
            }
            Self::Mask => out.byte(6),
            Self::Proc => out.byte(7),
            Self::Pin => out.byte(8),
        }
    }

    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError> {
        Ok(match input.byte("entry kind")? {
            1 => Self::Dir,
            2 => Self::Symlink { target: input.text("symlink")? },
            3 => Self::File { content: input.bytes("file")? },
            4 => {
                let source = input.slot("bind")?;
                let read_only = input.flag("bind read_only")?;
                let no_exec = input.flag("bind no_exec")?;
                let device = input.flag("bind device")?;
                let file = input.flag("bind file")?;
                let idmap = match input.flag("bind idmap")? {
                    true => Some(Owner { uid: input.u32("idmap uid")?, gid: input.u32("idmap gid")? }),
                    false => None,
                };
                Self::Bind { source, read_only, no_exec, device, file, idmap }
            }
            5 => Self::Tmpfs { size: input.u64("tmpfs size")?, inodes: input.u64("tmpfs inodes")? },
            6 => Self::Mask,
            7 => Self::Proc,
            8 => Self::Pin,
            v => return Err(DecodeError::Value("entry kind", v.into())),
        })
    }
}

impl Plan {
    /// The plan's bytes. The SHA-256 of them is the plan's name.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.0.extend_from_slice(MAGIC);
        out.byte(self.role as u8);
        out.text(&self.hostname);
        [self.ids.host, self.ids.count, self.ids.uid, self.ids.gid].into_iter().for_each(|v| out.u32(v));
        out.byte(self.cgroups.v2.0);
        out.list(&self.cgroups.v1, |o, slot| o.byte(slot.0));
        out.flag(self.limits.is_some());
        if let Some(limits) = self.limits {
            out.u64(limits.memory);
            out.u32(limits.pids);
            out.u32(limits.cpu_millis);
        }
        out.list(&self.root, |o, entry| {
            o.text(&entry.dest);
            entry.what.encode(o);
        });
        out.list(&self.rlimits, |o, limit| {
            o.byte(limit.resource);
            o.u64(limit.value);
        });
        out.byte(self.landlock.abi);
        out.list(&self.landlock.rules, |o, rule| {
            o.text(&rule.path);
            o.byte(rule.access as u8);
        });
        out.list(&self.landlock.connect, |o, port| o.u32((*port).into()));
        out.byte(self.seccomp.filter.0);
        out.0.extend_from_slice(&self.seccomp.digest);
        out.flag(self.seccomp.listener);
        out.list(&self.seccomp.additions, |o, addition| {
            o.u32(addition.nr);
            o.byte(addition.action as u8);
        });
        out.list(&self.listeners, |o, listener| listener.encode(o));
        out.list(&self.descriptors, |o, d| {
            o.byte(d.slot.0);
            o.byte(d.target);
        });
        out.byte(self.exec.program.0);
        out.list(&self.exec.argv, |o, v| o.text(v));
        out.list(&self.exec.env, |o, v| o.text(v));
        out.text(&self.exec.cwd);
        out.0
    }

    /// Reads a plan. The result has a plan's shape; [`Plan::check`] says whether it may be launched.
    ///
    /// # Errors
    /// The first field that is not right.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_PLAN {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let mut input = In(bytes);
        if &input.array::<8>("magic")? != MAGIC {
            return Err(DecodeError::Magic);
        }
        let role = Role::decode(input.byte("role")?)?;
        let hostname = input.text("hostname")?;
        let ids = Ids {
            host: input.u32("host id")?,
            count: input.u32("id count")?,
            uid: input.u32("uid")?,
            gid: input.u32("gid")?,
        };
        let v2 = input.slot("cgroup")?;
        let cgroups = Cgroups { v2, v1: input.list("v1 cgroups", |i| i.slot("v1 cgroup"))? };
        let limits = match input.flag("limits")? {
            true => Some(CgroupLimits {
                memory: input.u64("memory limit")?,
                pids: input.u32("task limit")?,
                cpu_millis: input.u32("cpu limit")?,
            }),
            false => None,
        };
        let root = input.list("root", |i| Ok(Entry { dest: i.text("destination")?, what: What::decode(i)? }))?;
        let rlimits = input.list("rlimits", |i| Ok(Rlimit { resource: i.byte("rlimit")?, value: i.u64("rlimit")? }))?;
        let abi = input.byte("landlock abi")?;
        let rules = input.list("landlock rules", |i| {
            Ok(Rule { path: i.text("landlock path")?, access: Access::decode(i.byte("landlock access")?)? })
        })?;
        let connect = input.list("landlock ports", port)?;
        let seccomp = Seccomp {
            filter: input.slot("seccomp filter")?,
            digest: input.array("seccomp digest")?,
            listener: input.flag("seccomp listener")?,
            additions: input.list("seccomp additions", |i| {
                let nr = i.u32("seccomp addition")?;
                Ok(Addition { nr, action: AdditionAction::decode(i.byte("seccomp addition")?)? })
            })?,
        };
        let listeners = input.list("listeners", Listener::decode)?;
        let descriptors = input.list("descriptors", |i| {
            Ok(Descriptor { slot: i.slot("descriptor")?, target: i.byte("descriptor target")? })
        })?;
        let exec = Exec {
            program: input.slot("program")?,
            argv: input.list("arguments", |i| i.text("argument"))?,
            env: input.list("environment", |i| i.text("environment"))?,
            cwd: input.text("working directory")?,
        };
        input.end()?;
        let landlock = Landlock { abi, rules, connect };
        Ok(Self {
            role,
            hostname,
            ids,
            cgroups,
            limits,
            root,
            rlimits,
            landlock,
            seccomp,
            listeners,
            descriptors,
            exec,
        })
    }
}
