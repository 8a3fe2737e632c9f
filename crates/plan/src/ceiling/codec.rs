//! Bytes of a ceiling, in the order of its fields.

use alloc::{string::String, vec::Vec};

use super::{Ceiling, WORKSPACE};
use crate::bytes::{DecodeError, In, Out};
use crate::check::canonical;

/// Longest ceiling in bytes.
pub const MAX_CEILING: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"stkceil1";

fn put<T>(out: &mut Out, list: Option<&Vec<T>>, each: impl FnMut(&mut Out, &T)) {
    out.flag(list.is_some());
    if let Some(list) = list {
        out.list(list, each);
    }
}

fn take<T>(
    input: &mut In<'_>,
    what: &'static str,
    each: impl FnMut(&mut In<'_>) -> Result<T, DecodeError>,
) -> Result<Option<Vec<T>>, DecodeError> {
    if input.flag(what)? { input.list(what, each).map(Some) } else { Ok(None) }
}

/// A path that no comparison could be fooled with.
fn path(input: &mut In<'_>) -> Result<String, DecodeError> {
    let path = input.text("ceiling path")?;
    if canonical(&path) || path == WORKSPACE { Ok(path) } else { Err(DecodeError::Text("ceiling path")) }
}

impl Ceiling {
    /// The ceiling's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.0.extend_from_slice(MAGIC);
        out.0.extend_from_slice(&self.source_digest);
        out.u64(self.memory);
        [self.pids, self.cpu_millis, self.files].into_iter().for_each(|v| out.u32(v));
        out.flag(self.file_size.is_some());
        if let Some(size) = self.file_size {
            out.u64(size);
        }
        for paths in [&self.read, &self.write_workspaces, &self.execute] {
            put(&mut out, paths.as_ref(), |o, path| o.text(path));
        }
        put(&mut out, self.syscalls.as_ref(), |o, nr| o.u32(*nr));
        put(&mut out, self.filters.as_ref(), |o, digest| o.0.extend_from_slice(digest));
        out.byte(self.landlock_abi);
        out.0
    }

    /// Reads a ceiling.
    ///
    /// # Errors
    /// The first field that is not right.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_CEILING {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let mut input = In(bytes);
        if &input.array::<8>("magic")? != MAGIC {
            return Err(DecodeError::Magic);
        }
        let input = &mut input;
        let ceiling = Self {
            source_digest: input.array("source digest")?,
            memory: input.u64("ceiling memory")?,
            pids: input.u32("ceiling pids")?,
            cpu_millis: input.u32("ceiling cpu")?,
            files: input.u32("ceiling files")?,
            file_size: match input.flag("ceiling file size")? {
                true => Some(input.u64("ceiling file size")?),
                false => None,
            },
            read: take(input, "ceiling read", path)?,
            write_workspaces: take(input, "ceiling workspaces", path)?,
            execute: take(input, "ceiling execute", path)?,
            syscalls: take(input, "ceiling syscalls", |i| i.u32("ceiling syscall"))?,
            filters: take(input, "ceiling filters", |i| i.array("ceiling filter"))?,
            landlock_abi: input.byte("ceiling landlock")?,
        };
        match input.0.len() {
            0 => Ok(ceiling),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}
