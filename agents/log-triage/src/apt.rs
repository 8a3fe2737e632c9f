//! apt's `history.log`: paragraphs of `Key: value`, one for each run of apt.

use crate::failures::Failure;
use crate::findings::{Findings, Transaction};

/// Longest command line that is kept, in bytes.
const MAX_COMMAND: usize = 300;

/// Follows one file.
#[derive(Debug, Default)]
pub(crate) struct History {
    line: u64,
    file: String,
    open: Option<Transaction>,
}

impl History {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// One line.
    pub(crate) fn line(&mut self, line: &str, found: &mut Findings) {
        self.line += 1;
        let Some((key, value)) = line.split_once(": ") else { return };
        if key == "Start-Date" {
            self.close(found);
            let start = value.split_whitespace().collect::<Vec<_>>().join(" ");
            found.seen(&start);
            self.open = Some(Transaction { start, open: true, ..Transaction::default() });
            return;
        }
        let Some(now) = self.open.as_mut() else { return };
        let packages = || value.matches("), ").count() as u64 + u64::from(!value.is_empty());
        match key {
            "Commandline" => now.command = crate::text::clean(value, MAX_COMMAND),
            "Requested-By" => now.user = crate::text::clean(value, 64),
            "Install" | "Reinstall" => now.counts.installed += packages(),
            "Upgrade" | "Downgrade" => now.counts.upgraded += packages(),
            "Remove" | "Purge" => now.counts.removed += packages(),
            "Error" => now.error = Some(crate::text::clean(value, MAX_COMMAND)),
            "End-Date" => {
                now.open = false;
                self.close(found);
            }
            _ => {}
        }
    }

    /// The end of the file: a run without an end was cut off.
    pub(crate) fn finish(&mut self, found: &mut Findings) {
        self.close(found);
    }

    fn close(&mut self, found: &mut Findings) {
        let Some(mut done) = self.open.take() else { return };
        if done.open && done.error.is_none() {
            done.error = Some("no end in the log: interrupted, or still running".to_owned());
        }
        if let Some(error) = &done.error {
            found.count(&done.start, |c| c.failed += 1);
            let mut failure = Failure {
                time: done.start.clone(),
                subject: "apt".to_owned(),
                what: error.clone(),
                place: format!("{}:{}", self.file, self.line),
                context: Vec::new(),
            };
            failure.add(&format!("Commandline: {}", done.command));
            failure.add(&format!("Error: {error}"));
            found.failures.add(failure);
        }
        found.transaction(done);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn runs_are_counted_and_failures_told() {
        let mut found = Findings::default();
        let mut history = History::new("history.log");
        for line in "\n\
            Start-Date: 2026-01-02  10:00:00\n\
            Commandline: apt-get install a\n\
            Requested-By: eve (1000)\n\
            Install: a:amd64 (1), b:amd64 (2, automatic)\n\
            Upgrade: c:amd64 (1, 2)\n\
            Error: Sub-process /usr/bin/dpkg returned an error code (1)\n\
            End-Date: 2026-01-02  10:00:05\n\
            \n\
            Start-Date: 2026-01-03  10:00:00\n\
            Commandline: apt-get purge d\n\
            Purge: d:amd64 (1)"
            .lines()
        {
            history.line(line, &mut found);
        }
        history.finish(&mut found);
        let [first, second] = [&found.transactions[0], &found.transactions[1]];
        assert_eq!((first.counts.installed, first.counts.upgraded, first.user.as_str()), (2, 1, "eve (1000)"));
        assert!(first.error.as_ref().unwrap().contains("error code (1)") && !first.open);
        assert!(second.open && second.counts.removed == 1);
        assert_eq!(found.failures.count(), 2);
        assert_eq!(found.first.as_deref(), Some("2026-01-02 10:00:00"));
    }
}
