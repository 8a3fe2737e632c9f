//! Bytes of a plan: little-endian, length-prefixed, in the order of the fields, no options.

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::{
    Access, Cgroups, Descriptor, Entry, Exec, Ids, Landlock, Owner, Plan, Rlimit, Role, Rule, Seccomp, Slot, What,
};

/// Longest plan in bytes.
pub const MAX_PLAN: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"stkplan1";

/// Why bytes are not a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Over [`MAX_PLAN`].
    TooLong(usize),
    /// Not a plan, or of another version.
    Magic,
    /// Ends early, at this field.
    Short(&'static str),
    /// A number that the field does not know.
    Value(&'static str, u64),
    /// Text that is not UTF-8 or has a NUL.
    Text(&'static str),
    /// Bytes after the end.
    Trailing(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(n) => write!(f, "plan of {n} bytes; at most {MAX_PLAN}"),
            Self::Magic => write!(f, "not a plan of this version"),
            Self::Short(what) => write!(f, "plan ends inside {what}"),
            Self::Value(what, v) => write!(f, "plan has {v} for {what}"),
            Self::Text(what) => write!(f, "plan has bad text for {what}"),
            Self::Trailing(n) => write!(f, "plan has {n} bytes after its end"),
        }
    }
}

impl core::error::Error for DecodeError {}

#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn byte(&mut self, v: u8) {
        self.0.push(v);
    }
    fn flag(&mut self, v: bool) {
        self.byte(v.into());
    }
    fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn bytes(&mut self, v: &[u8]) {
        // Saturating makes an over-long part undecodable rather than wrong; MAX_PLAN is far below.
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(v);
    }
    fn text(&mut self, v: &str) {
        self.bytes(v.as_bytes());
    }
    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.iter().for_each(|item| each(self, item));
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError::Short(what))?;
        self.0 = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        self.take(N, what)?.try_into().map_err(|_| DecodeError::Short(what))
    }
    fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[b]| b)
    }
    fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            v => Err(DecodeError::Value(what, v.into())),
        }
    }
    fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_le_bytes)
    }
    fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }
    fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>, DecodeError> {
        let len = usize::try_from(self.u32(what)?).map_err(|_| DecodeError::Short(what))?;
        self.take(len, what).map(<[u8]>::to_vec)
    }
    fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let text = String::from_utf8(self.bytes(what)?).map_err(|_| DecodeError::Text(what))?;
        if text.contains('\0') { Err(DecodeError::Text(what)) } else { Ok(text) }
    }
    fn slot(&mut self, what: &'static str) -> Result<Slot, DecodeError> {
        self.byte(what).map(Slot)
    }
    fn list<T>(
        &mut self,
        what: &'static str,
        mut each: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        // Grows as items decode, so a large count alone costs nothing.
        let count = self.u32(what)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(each(self)?);
        }
        Ok(items)
    }
}

impl Role {
    fn decode(v: u8) -> Result<Self, DecodeError> {
        [Self::Shim, Self::Wasm, Self::Native, Self::Compile]
            .into_iter()
            .find(|r| *r as u8 == v)
            .ok_or(DecodeError::Value("role", v.into()))
    }
}

impl Access {
    fn decode(v: u8) -> Result<Self, DecodeError> {
        [Self::Read, Self::ReadExecute, Self::ReadWriteExecute, Self::ReadWrite, Self::File, Self::ReadFile]
            .into_iter()
            .find(|a| *a as u8 == v)
            .ok_or(DecodeError::Value("landlock access", v.into()))
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
        out.byte(self.seccomp.filter.0);
        out.0.extend_from_slice(&self.seccomp.digest);
        out.flag(self.seccomp.listener);
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
        let root = input.list("root", |i| Ok(Entry { dest: i.text("destination")?, what: What::decode(i)? }))?;
        let rlimits = input.list("rlimits", |i| Ok(Rlimit { resource: i.byte("rlimit")?, value: i.u64("rlimit")? }))?;
        let abi = input.byte("landlock abi")?;
        let rules = input.list("landlock rules", |i| {
            Ok(Rule { path: i.text("landlock path")?, access: Access::decode(i.byte("landlock access")?)? })
        })?;
        let seccomp = Seccomp {
            filter: input.slot("seccomp filter")?,
            digest: input.array("seccomp digest")?,
            listener: input.flag("seccomp listener")?,
        };
        let descriptors = input.list("descriptors", |i| {
            Ok(Descriptor { slot: i.slot("descriptor")?, target: i.byte("descriptor target")? })
        })?;
        let exec = Exec {
            program: input.slot("program")?,
            argv: input.list("arguments", |i| i.text("argument"))?,
            env: input.list("environment", |i| i.text("environment"))?,
            cwd: input.text("working directory")?,
        };
        if !input.0.is_empty() {
            return Err(DecodeError::Trailing(input.0.len()));
        }
        let landlock = Landlock { abi, rules };
        Ok(Self { role, hostname, ids, cgroups, root, rlimits, landlock, seccomp, descriptors, exec })
    }
}
