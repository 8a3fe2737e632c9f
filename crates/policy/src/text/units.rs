//! Sizes, rates, times and shares, all with their unit.

/// How a number with a unit is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    /// What it is, for people.
    pub(crate) what: &'static str,
    units: &'static [(&'static str, u64)],
    hint: &'static str,
}

/// `256MiB`, in bytes.
pub(crate) const SIZE: Unit = Unit {
    what: "a size",
    units: &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)],
    hint: "a size is a whole number and one of B, KiB, MiB, GiB, TiB, as in \"256MiB\"",
};
/// `10MiB/s`, in bytes a second.
pub(crate) const RATE: Unit = Unit {
    what: "a rate",
    units: &[("B/s", 1), ("KiB/s", 1 << 10), ("MiB/s", 1 << 20), ("GiB/s", 1 << 30), ("TiB/s", 1 << 40)],
    hint: "a rate is a size a second, as in \"10MiB/s\"",
};
/// `10m`, in milliseconds.
pub(crate) const TIME: Unit = Unit {
    what: "a time",
    units: &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)],
    hint: "a time is a whole number and one of ms, s, m, h, d, as in \"10m\"",
};
/// `50%` of one CPU, in thousandths of it.
pub(crate) const SHARE: Unit = Unit {
    what: "a share of CPU",
    units: &[("%", 10)],
    hint: "a share of CPU is a whole number and %, as in \"50%\"; 100% is one CPU",
};

impl Unit {
    /// Reads a number with its unit; an error is what to do.
    pub(crate) fn read(self, text: &str) -> Result<u64, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(self.hint.to_owned());
        }
        let Some((_, factor)) = self.units.iter().find(|(name, _)| *name == unit) else {
            let close = self.units.iter().find(|(name, _)| {
                let plain = name.replace('i', "");
                unit.trim().eq_ignore_ascii_case(name)
                    || unit.trim().eq_ignore_ascii_case(&plain)
                    || (name.len() == 3
                        && unit.trim().len() == 1
                        && name.starts_with(&unit.trim().to_ascii_uppercase()))
            });
            return Err(match close {
                Some((name, _)) => format!("write \"{number}{name}\""),
                None => self.hint.to_owned(),
            });
        };
        let value = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor));
        value.ok_or_else(|| "the number is too large".to_owned())
    }

    /// The number in the largest unit that writes it exactly.
    pub(crate) fn show(self, value: u64) -> String {
        let fits = |(_, factor): &&(&str, u64)| value != 0 && value.is_multiple_of(*factor);
        let (name, factor) = self.units.iter().rev().find(fits).or(self.units.first()).copied().unwrap_or(("", 1));
        format!("{}{name}", value / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_the_same() {
        for unit in [SIZE, RATE, TIME] {
            for value in [0, 1, 999, 1000, 1024, 60_000, 90_000, 86_400_000, 1 << 20, 3 << 30, (1 << 40) + 1] {
                assert_eq!(unit.read(&unit.show(value)), Ok(value));
            }
        }
        assert_eq!(SHARE.show(500), "50%");
        assert_eq!(TIME.show(60_000), "1m");
    }
}
