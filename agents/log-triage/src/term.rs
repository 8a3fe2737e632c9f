//! apt's `term.log`: what the terminal showed. The only log that has the words of a failure.

use std::collections::VecDeque;

use crate::failures::Failure;
use crate::findings::Findings;

/// Lines kept before a failure.
const BEFORE: usize = 4;
/// Lines kept after it.
const AFTER: u32 = 6;

/// Follows one file.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    line: u64,
    file: String,
    started: String,
    before: VecDeque<String>,
    open: Option<(Failure, u32)>,
}

impl Terminal {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// One line. Progress that was drawn over is dropped, as a terminal does.
    pub(crate) fn line(&mut self, line: &str, found: &mut Findings) {
        self.line += 1;
        let line = line.rsplit('\r').next().unwrap_or(line);
        if let Some(time) = line.strip_prefix("Log started: ") {
            self.finish(found);
            self.before.clear();
            self.started = time.split_whitespace().collect::<Vec<_>>().join(" ");
            return;
        }
        if line.starts_with("Log ended: ") {
            self.finish(found);
            return;
        }
        if let Some((subject, what)) = failure(line) {
            // Lines that follow on the heels of a failure are of the same one.
            if let Some((open, left)) = self.open.as_mut() {
                open.add(line);
                *left = AFTER;
                if open.subject == "apt" && subject != "apt" {
                    open.subject = subject;
                    open.what = what;
                }
                return;
            }
            let mut new = Failure {
                time: self.started.clone(),
                subject,
                what,
                place: format!("{}:{}", self.file, self.line),
                context: Vec::new(),
            };
            self.before.drain(..).for_each(|l| new.add(&l));
            new.add(line);
            self.open = Some((new, AFTER));
            return;
        }
        if let Some((open, left)) = self.open.as_mut() {
            if !line.is_empty() {
                open.add(line);
            }
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.finish(found);
            }
            return;
        }
        if !line.is_empty() {
            self.before.push_back(crate::text::clean(line, 400));
            if self.before.len() > BEFORE {
                self.before.pop_front();
            }
        }
    }

    /// A failure whose lines end here.
    pub(crate) fn finish(&mut self, found: &mut Findings) {
        if let Some((failure, _)) = self.open.take() {
            if !failure.time.is_empty() {
                found.count(&failure.time, |c| c.failed += 1);
            }
            found.failures.add(failure);
        }
    }
}

/// Subject and matter of a line that tells a failure.
fn failure(line: &str) -> Option<(String, String)> {
    let what = crate::text::clean(line, 200);
    for start in ["dpkg: error processing package ", "dpkg: error processing archive "] {
        if let Some(rest) = line.strip_prefix(start) {
            let subject = rest.split_whitespace().next().unwrap_or("?").to_owned();
            return Some((subject, what));
        }
    }
    let apt = || Some(("apt".to_owned(), what.clone()));
    if line.starts_with("E: ") || line.starts_with("dpkg: unrecoverable") || line.contains("returned an error code") {
        return apt();
    }
    let script = line.contains("package ") && line.contains("script subprocess");
    if script && (line.contains("returned error exit status") || line.contains("was killed by signal")) {
        let subject = line.split_whitespace().skip_while(|w| *w != "installed" && *w != "new" && *w != "old").nth(1);
        return Some((subject.unwrap_or("?").to_owned(), what));
    }
    line.starts_with("Errors were encountered while processing").then(apt).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const LOG: &str = "\
Log started: 2026-01-02  10:00:00
(Reading database ... \r(Reading database ... 5%\r(Reading database ... 100 files.)
Unpacking broken (1.0) ...
Setting up broken (1.0) ...
chown: invalid user: 'ghost'
dpkg: error processing package broken (--configure):
 installed broken package post-installation script subprocess returned error exit status 1
Errors were encountered while processing:
 broken
E: Sub-process /usr/bin/dpkg returned an error code (1)
Log ended: 2026-01-02  10:00:09

Log started: 2026-01-03  10:00:00
Setting up fine (1) ...
Log ended: 2026-01-03  10:00:01
";

    #[test]
    fn one_failure_is_told_once_with_its_lines() {
        let mut found = Findings::default();
        let mut term = Terminal::new("term.log");
        LOG.split('\n').for_each(|l| term.line(l, &mut found));
        term.finish(&mut found);
        let [failure] = found.failures.kept.as_slice() else { panic!("{:?}", found.failures) };
        assert_eq!((failure.subject.as_str(), failure.time.as_str()), ("broken", "2026-01-02 10:00:00"));
        assert_eq!(failure.place, "term.log:6");
        assert_eq!(failure.context[0], "(Reading database ... 100 files.)");
        assert!(failure.context.iter().any(|l| l.contains("invalid user")));
        assert!(failure.context.iter().any(|l| l.contains("exit status 1")));
        assert_eq!(found.totals.failed, 1);
    }
}
