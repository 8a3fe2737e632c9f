//! One entry in journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram of fields.

/// Longest value of a field in bytes; the rest is cut. A datagram has to fit into a socket's buffer.
const LONGEST: usize = 8 * 1024;

/// An entry as it is sent.
#[derive(Debug, Default)]
pub(super) struct Entry(Vec<u8>);

impl Entry {
    /// An entry of one kind (`MESSAGE_ID`, systemd.journal-fields(7)), with what a person reads, and a level of syslog(3).
    pub(super) fn new(id: &str, priority: u8, message: &str) -> Self {
        let mut entry = Self::default();
        entry.field("MESSAGE", &one_line(message));
        entry.field("MESSAGE_ID", id);
        entry.field("PRIORITY", &priority.to_string());
        entry.field("SYSLOG_IDENTIFIER", "stockade");
        entry
    }

    /// Adds a field; `name` is of capitals, digits and underscores. A name may come several times.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        let value = value.get(..value.floor_char_boundary(LONGEST)).unwrap_or_default();
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            // No value can end itself early and begin a field of its own.
            self.0.push(b'\n');
            self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Text of an agent's in a line that a terminal may show.
fn one_line(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_newline_is_framed_by_its_length() {
        let mut entry = Entry::default();
        entry.field("A", "one");
        entry.field("B", "x\nC=forged");
        assert_eq!(entry.bytes(), b"A=one\nB\n\x0a\0\0\0\0\0\0\0x\nC=forged\n");
    }

    #[test]
    fn what_a_person_reads_is_one_line_and_a_value_has_a_bound() {
        let entry = Entry::new("0", 6, "a\u{1b}[2J\nb");
        assert!(entry.bytes().starts_with(b"MESSAGE=a\\u{1b}[2J\\nb\nMESSAGE_ID=0\nPRIORITY=6\n"));
        let mut entry = Entry::default();
        entry.field("A", &"ä".repeat(LONGEST));
        assert_eq!(entry.bytes().len(), LONGEST + 3);
    }
}
