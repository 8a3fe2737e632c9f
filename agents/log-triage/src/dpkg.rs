//! `dpkg.log` (dpkg(1)): `DATE TIME ACTION …`, one event a line.

use crate::failures::Failure;
use crate::findings::Findings;

/// Follows one file.
#[derive(Debug, Default)]
pub(crate) struct Dpkg {
    line: u64,
    file: String,
}

impl Dpkg {
    pub(crate) fn new(file: &str) -> Self {
        Self { line: 0, file: file.to_owned() }
    }

    /// One line. Lines of another shape are passed over.
    pub(crate) fn line(&mut self, line: &str, found: &mut Findings) {
        self.line += 1;
        let Some((time, rest)) = stamp(line) else { return };
        let mut words = rest.split(' ');
        let mut word = || words.next().unwrap_or("");
        match word() {
            "install" => {
                let (name, _old, new) = (word(), word(), word());
                found.count(time, |c| c.installed += 1);
                if let Some(p) = found.package(name) {
                    p.new = true;
                    p.version = new.to_owned();
                    p.time = time.to_owned();
                }
            }
            "upgrade" => {
                let (name, old, new) = (word(), word(), word());
                found.count(time, |c| c.upgraded += 1);
                if let Some(p) = found.package(name) {
                    p.upgrade = Some((old.to_owned(), new.to_owned()));
                }
            }
            "remove" | "purge" => {
                found.count(time, |c| c.removed += 1);
            }
            "status" => {
                let (state, name, version) = (word(), word(), word());
                let Some(p) = found.package(name) else { return };
                p.state = state.to_owned();
                p.version = version.to_owned();
                p.time = time.to_owned();
                if matches!(state, "half-configured" | "half-installed") {
                    found.half_done.insert(name.to_owned());
                } else {
                    found.half_done.remove(name);
                }
            }
            "startup" => self.startup(time, line, found),
            _ => {}
        }
        found.seen(time);
    }

    /// dpkg starts: what the run before left half-done was interrupted or failed.
    fn startup(&self, time: &str, line: &str, found: &mut Findings) {
        // Each state is told once, however often dpkg starts before someone mends it.
        let left = std::mem::take(&mut found.half_done);
        let left = left.into_iter().filter_map(|name| {
            let p = found.packages.get(&name)?;
            Some((name, p.state.clone(), p.time.clone()))
        });
        let left: Vec<(String, String, String)> = left.collect();
        for (name, state, since) in left {
            found.count(&since, |c| c.failed += 1);
            let mut failure = Failure {
                time: since.clone(),
                subject: name.clone(),
                what: format!("left {state}"),
                place: format!("{}:{}", self.file, self.line),
                context: Vec::new(),
            };
            failure.add(&format!("{since} status {state} {name}"));
            failure.add(line);
            failure.add(&format!("{time}: dpkg started again with the package in this state"));
            found.failures.add(failure);
        }
    }
}

/// Splits `2026-11-22 13:17:01 rest`.
pub(crate) fn stamp(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_at_checked(19)?;
    let shape = |c: char, t: u8| match t {
        b'0' => c.is_ascii_digit(),
        t => c == char::from(t),
    };
    let fits = time.is_ascii() && time.chars().zip(*b"0000-00-00 00:00:00").all(|(c, t)| shape(c, t));
    fits.then_some((time, rest.strip_prefix(' ')?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn read(text: &str) -> Findings {
        let mut found = Findings::default();
        let mut dpkg = Dpkg::new("dpkg.log");
        text.lines().for_each(|l| dpkg.line(l, &mut found));
        found
    }

    #[test]
    fn a_configure_that_failed_is_found_and_a_good_one_is_not() {
        let found = read(
            "2026-01-02 10:00:00 startup archives unpack\n\
             2026-01-02 10:00:00 install good:amd64 <none> 1\n\
             2026-01-02 10:00:01 status half-installed good:amd64 1\n\
             2026-01-02 10:00:01 status unpacked good:amd64 1\n\
             2026-01-02 10:00:01 upgrade bad:amd64 1 2\n\
             2026-01-02 10:00:01 status unpacked bad:amd64 2\n\
             2026-01-02 10:00:02 startup packages configure\n\
             2026-01-02 10:00:02 status half-configured good:amd64 1\n\
             2026-01-02 10:00:02 status installed good:amd64 1\n\
             2026-01-02 10:00:02 status half-configured bad:amd64 2\n\
             2026-01-03 09:00:00 startup packages remove\n\
             2026-01-03 09:00:00 remove bad:amd64 2 <none>\n\
             2026-01-03 09:00:00 status config-files bad:amd64 2\n",
        );
        assert_eq!(found.failures.kept.len(), 1);
        let failure = &found.failures.kept[0];
        assert_eq!((failure.subject.as_str(), failure.what.as_str()), ("bad:amd64", "left half-configured"));
        assert_eq!(failure.place, "dpkg.log:11");
        assert_eq!(found.totals, crate::findings::Counts { installed: 1, upgraded: 1, removed: 1, failed: 1 });
        assert_eq!(found.broken().count(), 0);
        assert_eq!(found.days.len(), 2);
    }

    #[test]
    fn what_is_broken_at_the_end_is_told() {
        let found = read("2026-01-02 10:00:00 status half-installed x:all 3\nnoise\n2026-13-99 no\n\n");
        assert_eq!(found.broken().next().unwrap().0, "x:all");
    }

    #[test]
    fn a_stamp_is_a_stamp() {
        assert_eq!(stamp("2026-01-02 10:00:00 a b"), Some(("2026-01-02 10:00:00", "a b")));
        for odd in ["", "2026-01-02", "2026-01-02 10:00:00", "2026-01-02T10:00:00 a", "ää26-01-02 10:00:00 a", "äääääääääääää a"] {
            assert_eq!(stamp(odd), None, "{odd}");
        }
    }
}
