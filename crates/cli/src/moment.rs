//! Moments on the command line: `2026-11-22T13:30:00Z`, `2026-11-22`, or how long ago: `90s`, `15m`, `2h`, `30d`.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use stockade_journal::{format_time, parse_time};

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

/// Units of how long ago, in microseconds.
const UNITS: [(char, i64); 5] =
    [('s', 1_000_000), ('m', 60_000_000), ('h', 3_600_000_000), ('d', 86_400_000_000), ('w', 604_800_000_000)];

const FORMS: &str = "not a moment; say it as 2026-11-22T13:30:00Z, as 2026-11-22 (midnight, UTC), or how long ago: \
                     90s, 15m, 2h, 30d, 1w";

impl Moment {
    /// This one. A clock outside of what can be told is told as its nearest end.
    #[must_use]
    pub fn now() -> Self {
        let micros = |since: std::time::Duration| i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Self(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => micros(before.duration()).saturating_neg(),
        })
    }

    fn parse(text: &str, now: Self) -> Option<Self> {
        if let Some((number, unit)) =
            text.char_indices().next_back().and_then(|(at, unit)| Some((text.get(..at)?, unit)))
            && let Some((_, micros)) = UNITS.iter().find(|(name, _)| *name == unit)
            && number.bytes().all(|b| b.is_ascii_digit())
            && let Ok(count) = number.parse::<i64>()
        {
            let moment = now.0.checked_sub(count.checked_mul(*micros)?)?;
            return format_time(moment).map(|_| Self(moment));
        }
        if text.len() == 10 {
            return parse_time(&format!("{text}T00:00:00.000000Z")).map(Self);
        }
        rfc3339(text).map(Self)
    }
}

/// RFC 3339 with any precision and offset, brought to microseconds.
fn rfc3339(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (date, rest) = (text.get(..19)?, text.get(19..)?);
    let digits = rest.strip_prefix('.').map_or(0, |fraction| fraction.bytes().take_while(u8::is_ascii_digit).count());
    if rest.starts_with('.') && digits == 0 {
        return None;
    }
    let (fraction, zone) = match digits {
        0 => ("", rest),
        n => (rest.get(1..=n)?, rest.get(n + 1..)?),
    };
    let micros: String = fraction.chars().chain(std::iter::repeat('0')).take(6).collect();
    let here = parse_time(&format!("{date}.{micros}Z"))?;
    let offset = match zone {
        "Z" => 0,
        zone => {
            let (sign, hours, minutes) = (zone.get(..1)?, zone.get(1..3)?, zone.get(4..6)?);
            if zone.len() != 6
                || zone.get(3..4)? != ":"
                || !(hours.to_owned() + minutes).bytes().all(|b| b.is_ascii_digit())
            {
                return None;
            }
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60_000_000;
            match sign {
                "+" => offset,
                "-" => -offset,
                _ => return None,
            }
        }
    };
    here.checked_sub(offset)
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, Self::now()).ok_or(FORMS)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_several_ways() {
        let now = Moment(parse_time("2026-11-22T13:30:00.000000Z").unwrap());
        let at = |text: &str| Moment::parse(text, now).map(|moment| format_time(moment.0).unwrap());
        for (text, expected) in [
            ("90s", "2026-11-22T13:28:30.000000Z"),
            ("15m", "2026-11-22T13:15:00.000000Z"),
            ("2h", "2026-11-22T11:30:00.000000Z"),
            ("1d", "2026-11-21T13:30:00.000000Z"),
            ("2w", "2026-11-08T13:30:00.000000Z"),
            ("2026-11-22", "2026-11-22T00:00:00.000000Z"),
            ("2026-11-22T13:30:00Z", "2026-11-22T13:30:00.000000Z"),
            ("2026-11-22t13:30:00.5z", "2026-11-22T13:30:00.500000Z"),
            ("2026-11-22T13:30:00.1234567+02:00", "2026-11-22T11:30:00.123456Z"),
            ("2026-11-22T13:30:00-00:30", "2026-11-22T14:00:00.000000Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "h",
            "2",
            "2x",
            "-2h",
            "+2h",
            "2026-13-01",
            "2026-11-22T13:30",
            "2026-11-22T13:30:00",
            "2026-11-22T13:30:00.Z",
            "2026-11-22T13:30:00+2:00",
            "2026-11-22T13:30:00+24:00",
            "2026-11-22T13:30:00Zz",
            "999999999999h",
            "é",
            "2é",
            "2026-11-22T13:30:00é00:00",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
