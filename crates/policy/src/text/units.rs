//! Sizes, times and shares, all with their unit.

/// Reads `256MiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let hint = "a size is a whole number and one of B, KiB, MiB, GiB, TiB, as in \"256MiB\"";
    number_with_unit(text, &UNITS, hint)
}

/// Reads `10m` to milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let hint = "a time is a whole number and one of ms, s, m, h, d, as in \"10m\"";
    number_with_unit(text, &UNITS, hint)
}

/// Reads `50%` of one CPU to thousandths of it.
pub(super) fn cpu_millis(text: &str) -> Result<u64, String> {
    number_with_unit(text, &[("%", 10)], "a share of CPU is a whole number and %, as in \"50%\"; 100% is one CPU")
}

fn number_with_unit(text: &str, units: &[(&str, u64)], hint: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(hint.to_owned());
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let close = units.iter().find(|(name, _)| {
            let plain = name.replace('i', "");
            unit.trim().eq_ignore_ascii_case(name)
                || unit.trim().eq_ignore_ascii_case(&plain)
                || (name.len() == 3 && unit.trim().len() == 1 && name.starts_with(&unit.trim().to_ascii_uppercase()))
        });
        return Err(match close {
            Some((name, _)) => format!("write \"{number}{name}\""),
            None => hint.to_owned(),
        });
    };
    let value = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor));
    value.ok_or_else(|| "the number is too large".to_owned())
}
