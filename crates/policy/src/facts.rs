//! What is true of the moment of a call, beside the call: rules see it as `context.approved`, `context.now` and
//! `context.calls`.

/// The facts one decision is made on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether to decide as if somebody had approved the call. A shim never sets it: an approved call gets its
    /// grant from [`crate::Decider::approve`].
    pub approved: bool,
    /// Seconds since 1970, UTC.
    pub now: u64,
    /// Calls before this one.
    pub calls: Counts,
}

/// Calls that were decided, this one not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In this run.
    pub total: u64,
    /// In this run, of this tool.
    pub tool: u64,
    /// In the last 60 seconds, of this tool.
    pub minute: u64,
    /// In the last 60 seconds, of all tools.
    pub minute_all: u64,
}

/// Parts of a moment, UTC.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub hour: u64,
    pub minute: u64,
    /// 1 is Monday, 7 is Sunday.
    pub weekday: u64,
}

impl Moment {
    pub(crate) fn of(unix: u64) -> Self {
        // 1970-01-01 was a Thursday.
        Self { hour: unix / 3600 % 24, minute: unix / 60 % 60, weekday: (unix / 86_400 + 3) % 7 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(Moment::of(0), Moment { hour: 0, minute: 0, weekday: 4 });
        // 2000-02-29 23:59:59, a Tuesday.
        assert_eq!(Moment::of(951_868_799), Moment { hour: 23, minute: 59, weekday: 2 });
        // 2026-11-29 00:00:00, a Sunday, and the second after its end.
        assert_eq!(Moment::of(1_795_910_400), Moment { hour: 0, minute: 0, weekday: 7 });
        assert_eq!(Moment::of(1_795_910_400 + 86_400), Moment { hour: 0, minute: 0, weekday: 1 });
        let _ = Moment::of(u64::MAX);
    }
}
