//! Where a tile lies (C2SP tlog-tiles, "Merkle Tree").

/// Hashes of a full tile; entries of a full bundle.
pub const WIDTH: u64 = 256;

/// Levels of the tree that one tile spans.
pub(super) const HEIGHT: u32 = 8;

/// Levels of tiles.
pub(super) const LEVELS: u32 = 8;

/// A row of tiles: hashes at a level, or the entries themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Hashes, by level.
    Hashes(u32),
    /// Entries.
    Entries,
}

/// Path of a tile that has `width` of its 256 parts.
pub(super) fn tile_path(row: Row, index: u64, width: u64) -> String {
    let full = full_path(row, index);
    if width < WIDTH { format!("{full}.p/{width}") } else { full }
}

/// Path of a full tile; index 1234067 is `x001/x234/067`.
pub(super) fn full_path(row: Row, index: u64) -> String {
    let row = match row {
        Row::Hashes(level) => level.to_string(),
        Row::Entries => "entries".to_owned(),
    };
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    format!("tile/{row}/{path}")
}
