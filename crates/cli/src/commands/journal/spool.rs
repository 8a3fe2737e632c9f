//! Text that is read back from its end, in the memory of one piece.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// Pieces of text in a file that has no name.
pub(super) struct Spool {
    out: BufWriter<File>,
    piece: Vec<u8>,
    length: u64,
}

/// Bytes of a piece's length, which follows it.
const TRAILER: u64 = 8;

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { out: BufWriter::new(tempfile::tempfile()?), piece: Vec::new(), length: 0 })
    }

    /// What the next piece is written to.
    pub(super) fn piece(&mut self) -> &mut Vec<u8> {
        &mut self.piece
    }

    /// Puts the piece behind the others.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        let size = self.piece.len() as u64;
        self.out.write_all(&self.piece)?;
        self.out.write_all(&size.to_le_bytes())?;
        self.length += size + TRAILER;
        self.piece.clear();
        Ok(())
    }

    /// Writes the last `most` pieces, the last one first, and gives their number.
    pub(super) fn backwards(self, to: &mut impl Write, most: u64) -> io::Result<u64> {
        let mut file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (mut end, mut written) = (self.length, 0);
        let mut piece = Vec::new();
        while end >= TRAILER && written < most {
            let mut size = [0; 8];
            file.seek(SeekFrom::Start(end - TRAILER))?;
            file.read_exact(&mut size)?;
            let size = u64::from_le_bytes(size);
            end = end.saturating_sub(TRAILER + size);
            file.seek(SeekFrom::Start(end))?;
            piece.clear();
            (&file).take(size).read_to_end(&mut piece)?;
            to.write_all(&piece)?;
            written += 1;
        }
        Ok(written)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_comes_first() {
        let filled = || {
            let mut spool = Spool::new().unwrap();
            for piece in ["a\n", "", "bcd\n"] {
                spool.piece().extend(piece.as_bytes());
                spool.keep().unwrap();
            }
            spool
        };
        let mut out = Vec::new();
        assert_eq!(filled().backwards(&mut out, u64::MAX).unwrap(), 3);
        assert_eq!(out, b"bcd\na\n");
        out.clear();
        assert_eq!(filled().backwards(&mut out, 1).unwrap(), 1);
        assert_eq!(out, b"bcd\n");
    }
}
