//! RFC 3339 in UTC with microseconds, one form only: `2026-11-22T13:30:00.000001Z`.

/// Microseconds of one day.
const DAY: i64 = 86_400_000_000;

/// Writes microseconds since 1970-01-01T00:00:00Z. `None` outside the years 0000 to 9999.
#[must_use]
pub fn format_time(micros: i64) -> Option<String> {
    let (year, month, day) = date(micros.div_euclid(DAY));
    if !(0..=9999).contains(&year) {
        return None;
    }
    let rest = micros.rem_euclid(DAY);
    let seconds = rest / 1_000_000;
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        rest % 1_000_000,
    ))
}

/// Reads what [`format_time`] writes and nothing else: leap seconds, other precisions, other zones
/// and dates that do not exist are `None`.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let micros = days * DAY + seconds * 1_000_000 + number(20, 26)?;
    // Writing it again is the whole check of separators, ranges and length.
    (format_time(micros)? == text).then_some(micros)
}

/// Year, month and day of a day number since 1970-01-01 (proleptic Gregorian).
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`date`]: `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn known_instants() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_354_200_000_001, "2026-11-22T13:30:00.000001Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(format_time(micros).unwrap(), text);
            assert_eq!(parse_time(text), Some(micros));
        }
        assert_eq!(format_time(253_402_300_800_000_000), None);
        assert_eq!(format_time(i64::MAX), None);
        assert_eq!(format_time(i64::MIN), None);
    }

    #[test]
    fn every_day_of_eight_centuries_round_trips() {
        for day in -150_000..150_000 {
            let micros = day * DAY + 12_345;
            assert_eq!(parse_time(&format_time(micros).unwrap()), Some(micros));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T13:30:00Z",
            "2026-11-22T13:30:00.000001z",
            "2026-11-22t13:30:00.000001Z",
            "2026-11-22 13:30:00.000001Z",
            "2026-11-22T13:30:00.000001+00:00",
            "2026-11-22T13:30:00.0000010Z",
            "2026-11-22T13:30:60.000001Z",
            "2026-11-22T24:00:00.000000Z",
            "2026-02-29T00:00:00.000000Z",
            "2026-13-01T00:00:00.000000Z",
            "2026-00-01T00:00:00.000000Z",
            "+026-01-01T00:00:00.000000Z",
            "2026-11-22T13:30:00.00000éZ",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
