//! The policy's bundle, and the decider that is made of it when the first call is near.
//!
//! Making one parses and validates Cedar text, which takes milliseconds. A native agent has no calls, and a
//! wasm cell takes longer to load its component: so nobody waits for it.

use stockade_policy::{Bundle, Decider};

use crate::error::ShimError;

/// What decides, made once.
#[derive(Debug)]
pub struct Decisions {
    bundle: Bundle,
    decider: Option<Decider>,
}

impl Decisions {
    /// A bundle that nothing has been asked of yet.
    #[must_use]
    pub fn new(bundle: Bundle) -> Self {
        Self { bundle, decider: None }
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The decider.
    ///
    /// # Errors
    /// [`ShimError::Setup`] if the bundle's policies are not valid; then nothing can be decided and the run
    /// must end.
    pub fn decider(&mut self) -> Result<&Decider, ShimError> {
        let decider = match self.decider.take() {
            Some(decider) => decider,
            None => Decider::new(&self.bundle).map_err(|e| ShimError::Setup(format!("policy bundle: {e}")))?,
        };
        Ok(self.decider.insert(decider))
    }
}
