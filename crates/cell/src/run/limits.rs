//! Memory and table limits: one budget each for all memories and tables of an agent.
//!
//! A growth over the budget ends the run, with the limit's name. To let `memory.grow` answer -1
//! would end most agents too, but as an unexplained abort inside their allocator.
//!
//! A growth that is within the budget and for which the host has no memory ends the run, too: an agent that was told
//! would go on by what is on no record.

use wasmtime::ResourceLimiter;

use super::end::Stop;

/// Core instances of one component. A Python agent has 14.
pub(super) const MAX_INSTANCES: usize = 256;
/// Linear memories of one component.
pub(super) const MAX_MEMORIES: usize = 64;
/// Tables of one component.
pub(super) const MAX_TABLES: usize = 256;

/// A total and what is used of it.
#[derive(Debug, Clone, Copy)]
struct Budget {
    limit: u64,
    used: u64,
    last_grant: u64,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self { limit, used: 0, last_grant: 0 }
    }

    /// Takes `to - from`, or says what the total would have been.
    fn take(&mut self, from: usize, to: usize) -> Result<(), u64> {
        let asked = u64::try_from(to.saturating_sub(from)).unwrap_or(u64::MAX);
        let total = self.used.saturating_add(asked);
        if total > self.limit {
            return Err(total);
        }
        self.used = total;
        self.last_grant = asked;
        Ok(())
    }

    /// The growth that was granted last did not happen; whether there was one.
    fn give_back(&mut self) -> bool {
        let granted = std::mem::take(&mut self.last_grant);
        self.used = self.used.saturating_sub(granted);
        granted > 0
    }
}

/// What wasmtime asks before anything grows, initial sizes included.
#[derive(Debug)]
pub(super) struct Limits {
    memory: Budget,
    table: Budget,
}

impl Limits {
    /// `memory` in bytes, `table` in elements.
    pub(super) fn new(memory: u64, table: u64) -> Self {
        Self { memory: Budget::new(memory), table: Budget::new(table) }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Over the agent's own declared maximum: not our limit, the instruction answers -1.
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        let limit = self.memory.limit;
        self.memory.take(current, desired).map_err(|asked| Stop::Memory { asked, limit })?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // What was not granted is over what its type can hold, and the instruction answers -1.
        if self.memory.give_back() { Err(Stop::Host(format!("{error:#}")).into()) } else { Ok(()) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        let limit = self.table.limit;
        self.table.take(current, desired).map_err(|asked| Stop::Table { asked, limit })?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // What was not granted is over what its type can hold, and the instruction answers -1.
        if self.table.give_back() { Err(Stop::Host(format!("{error:#}")).into()) } else { Ok(()) }
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_budget_is_for_all_memories_together() {
        let mut limits = Limits::new(100, 10);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(0, 40, None).unwrap());
        let stop = limits.memory_growing(40, 41, None).unwrap_err();
        assert!(matches!(stop.downcast_ref(), Some(Stop::Memory { asked: 101, limit: 100 })));
    }

    #[test]
    fn a_growth_that_failed_is_given_back_once() {
        let mut limits = Limits::new(100, 10);
        limits.memory_growing(0, 60, None).unwrap();
        limits.memory_growing(60, 100, None).unwrap();
        let stop = limits.memory_grow_failed(wasmtime::Error::msg("no pages")).unwrap_err();
        assert!(matches!(stop.downcast_ref(), Some(Stop::Host(_))));
        limits.memory_grow_failed(wasmtime::Error::msg("over its type's limit")).unwrap();
        assert!(limits.memory_growing(60, 100, None).unwrap());
        assert!(limits.memory_growing(100, 101, None).is_err());
    }

    #[test]
    fn the_agents_own_maximum_is_not_our_limit() {
        let mut limits = Limits::new(100, 10);
        assert!(!limits.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!limits.table_growing(0, 6, Some(5)).unwrap());
        assert!(limits.table_growing(0, 10, None).unwrap());
        assert!(matches!(
            limits.table_growing(0, usize::MAX, None).unwrap_err().downcast_ref(),
            Some(Stop::Table { .. })
        ));
    }
}
