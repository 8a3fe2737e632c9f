//! `workspace.read`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::fcntl::OFlag;
use serde_json::{Value, json};
use stockade_policy::{WorkspacePath, tool::MAX_READ};

use super::{FsError, Workspace, pread_all};

/// Text that is longer than this as JSON goes as base64, so that every answer fits a frame.
const MAX_ESCAPED: usize = 3 * 1024 * 1024;

impl Workspace {
    /// Up to `length` bytes of a file from `offset`.
    ///
    /// A text is cut between characters, so that a reader that goes on at `offset` + the bytes it got
    /// sees text throughout.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn read(&self, path: &WorkspacePath, offset: u64, length: u64) -> Result<Value, FsError> {
        let (file, stat) = self.file_place(path)?.open_file(OFlag::O_RDONLY)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let wanted = length.min(MAX_READ).min(size.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(0)];
        let read = pread_all(&file, &mut bytes, offset)?;
        bytes.truncate(read);
        Ok(present(bytes, offset, size))
    }
}

fn present(mut bytes: Vec<u8>, offset: u64, size: u64) -> Value {
    let ends = |bytes: &[u8]| offset.saturating_add(bytes.len() as u64) >= size;
    if let Err(e) = std::str::from_utf8(&bytes)
        && e.error_len().is_none()
        && e.valid_up_to() > 0
        && !ends(&bytes)
    {
        bytes.truncate(e.valid_up_to());
    }
    let eof = ends(&bytes);
    match String::from_utf8(bytes) {
        Ok(text) if fits(&text) => json!({ "content": text, "size": size, "eof": eof }),
        Ok(text) => json!({ "content_base64": STANDARD.encode(text), "size": size, "eof": eof }),
        Err(e) => json!({ "content_base64": STANDARD.encode(e.as_bytes()), "size": size, "eof": eof }),
    }
}

fn fits(text: &str) -> bool {
    text.len() <= MAX_ESCAPED / 6 || serde_json::to_vec(text).is_ok_and(|json| json.len() <= MAX_ESCAPED)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        let v = present("aé".as_bytes()[..2].to_vec(), 0, 3);
        assert_eq!(v, json!({ "content": "a", "size": 3, "eof": false }));
        let v = present("é".as_bytes().to_vec(), 1, 3);
        assert_eq!(v, json!({ "content": "é", "size": 3, "eof": true }));
    }

    #[test]
    fn what_is_no_text_is_base64() {
        assert_eq!(present(vec![0xff, b'a'], 0, 2)["content_base64"], "/2E=");
        // A torn character at the end of the file stays as it is.
        assert_eq!(present(vec![b'a', 0xc3], 0, 2), json!({ "content_base64": "YcM=", "size": 2, "eof": true }));
        // One lone lead byte: cutting would make no progress.
        assert_eq!(present(vec![0xc3], 0, 2)["content_base64"], "ww==");
    }

    #[test]
    fn no_answer_outgrows_a_frame() {
        let v = present(vec![1; MAX_READ as usize], 0, MAX_READ);
        assert!(v["content_base64"].is_string());
        assert!(serde_json::to_vec(&v).unwrap().len() < stockade_wire::frame::MAX_FRAME - 64);
    }
}
