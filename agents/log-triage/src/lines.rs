//! Lines of a file that is read in chunks.

use crate::tools::{self, Refusal, Tools};

/// Longest line that is kept, in bytes; apt's history has lines of tens of kilobytes.
const MAX_LINE: usize = 256 << 10;

/// Splits chunks into lines. What is longer than a line may be is dropped to its end.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    partial: Vec<u8>,
    overlong: bool,
    /// Lines that were cut.
    pub(crate) cut: u64,
}

impl Splitter {
    /// Hands every line that is complete to `each`.
    pub(crate) fn push(&mut self, chunk: &[u8], each: &mut dyn FnMut(&str)) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, tail) = rest.split_at(end);
            self.keep(line);
            self.flush(each);
            rest = tail.get(1..).unwrap_or_default();
        }
        self.keep(rest);
    }

    /// The last line, if it had no end.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(&str)) {
        if !self.partial.is_empty() {
            self.flush(each);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.partial.len());
        self.overlong |= bytes.len() > room;
        self.partial.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
    }

    fn flush(&mut self, each: &mut dyn FnMut(&str)) {
        self.cut += u64::from(std::mem::take(&mut self.overlong));
        each(String::from_utf8_lossy(&self.partial).trim_end_matches('\r'));
        self.partial.clear();
    }
}

/// What was read of one file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) cut: u64,
}

/// Reads a file by chunks and hands its lines to `each`.
pub(crate) fn read(tools: &mut dyn Tools, path: &str, each: &mut dyn FnMut(&str)) -> Result<Read, Refusal> {
    let mut splitter = Splitter::default();
    let mut done = Read::default();
    let mut counted = |line: &str| {
        done.lines += 1;
        each(line);
    };
    loop {
        let (bytes, eof) = tools::read(tools, path, done.bytes)?;
        done.bytes += bytes.len() as u64;
        splitter.push(&bytes, &mut counted);
        // No bytes and no end would go on for ever.
        if eof || bytes.is_empty() {
            splitter.finish(&mut counted);
            done.cut = splitter.cut;
            return Ok(done);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn lines_do_not_depend_on_chunks() {
        let text = "one\n\ntwo ä\r\nthree".as_bytes();
        for size in 1..text.len() {
            let mut lines = Vec::new();
            let mut splitter = Splitter::default();
            let mut each = |l: &str| lines.push(l.to_owned());
            text.chunks(size).for_each(|c| splitter.push(c, &mut each));
            splitter.finish(&mut each);
            assert_eq!(lines, ["one", "", "two ä", "three"]);
        }
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut longest = 0;
        let mut splitter = Splitter::default();
        let mut each = |l: &str| longest = longest.max(l.len());
        for _ in 0..100 {
            splitter.push(&[b'x'; 10_000], &mut each);
        }
        splitter.push(b"\nshort\n", &mut each);
        assert_eq!((longest, splitter.cut), (MAX_LINE, 1));
    }
}
