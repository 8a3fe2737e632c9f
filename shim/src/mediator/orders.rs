//! What an operator orders while the run lives.

use std::time::Instant;

use serde_json::json;
use stockade_policy::Denial;
use stockade_wire::control::ToSupervisor;
use stockade_wire::frame::Status;
use stockade_wire::operator::{Operator, Order, check_frozen, is_frozen_by};

use super::Mediator;
use super::call::{Decision, object, refused};
use crate::answer::Answer;
use crate::error::ShimError;

/// Why a call of a frozen tool is refused, in words that an agent may see.
const FROZEN: &str = "the operator has frozen this tool";

impl Mediator {
    /// Does what is ordered, records it, and says what came of it.
    pub(super) fn obey(&mut self, number: u64, order: Order, by: &Operator) -> Result<(), ShimError> {
        let outcome =
            if self.condemned.is_some() { Err("the run is ending".to_owned()) } else { self.carry(order, by)? };
        Ok(self.control.send(&ToSupervisor::Obeyed { number, outcome })?)
    }

    fn carry(&mut self, order: Order, by: &Operator) -> Result<Result<String, String>, ShimError> {
        match order {
            Order::Settle { approval, action, approve } => self.answer_question(approval, &action, approve, by),
            Order::Freeze { tool } => match check_frozen(&tool) {
                Ok(()) => self.freeze(tool, by).map(Ok),
                Err(problem) => Ok(Err(problem)),
            },
            Order::Thaw { tool } => {
                if !self.frozen.remove(&tool) {
                    return Ok(Err(format!("{tool:?} was not frozen")));
                }
                self.ledger.lifecycle("tool_thawed", json!({ "tool": tool, "by": by }))?;
                self.ledger.commit()?;
                Ok(Ok(format!("thawed {tool}")))
            }
        }
    }

    fn freeze(&mut self, tool: String, by: &Operator) -> Result<String, ShimError> {
        self.frozen.insert(tool.clone());
        self.ledger.lifecycle("tool_frozen", json!({ "tool": tool, "by": by }))?;
        let mut cut = self.withdraw(|asked| is_frozen_by(&tool, asked), FROZEN)?;
        for id in self.flights.of(|asked| is_frozen_by(&tool, asked)) {
            cut += u64::from(self.cut_short(id)?);
        }
        self.ledger.commit()?;
        Ok(format!("frozen {tool}; {cut} calls in flight cut short"))
    }

    /// Ends a call in flight: whether there was something to end.
    fn cut_short(&mut self, id: u64) -> Result<bool, ShimError> {
        if self.give_up_call(id, FROZEN) {
            self.answer(id, Answer::error(Status::Failed, "frozen", FROZEN))?;
            return Ok(true);
        }
        let running = self.tools.iter_mut().find(|(_, tool)| tool.call == id);
        let Some((cell, tool)) = running else { return Ok(false) };
        tool.cut_short(Instant::now());
        self.control.send(&ToSupervisor::KillTool { cell: *cell })?;
        Ok(true)
    }

    /// The refusal of a tool that is frozen, if it is.
    pub(super) fn frozen(&self, tool: &str) -> Option<Decision> {
        let frozen = self.frozen.iter().any(|name| is_frozen_by(name, tool));
        let denial = || Denial::of("frozen", object(tool), FROZEN.to_owned(), &self.decider.bundle().digest);
        frozen.then(|| refused(denial()))
    }
}
