//! The one error of a launch.

use nix::errno::Errno;
use stockade_plan::step::Step;

/// A step that failed. Everything that was built dies with the process set.
#[derive(Debug, Clone, Copy)]
pub struct StepError {
    /// Which step.
    pub step: Step,
    /// Errno, `0` if the kernel was not asked.
    pub errno: i32,
    /// Index into the list the step goes through.
    pub index: u32,
}

/// Names the step of a failing operation.
pub trait At<T> {
    /// The operation belongs to `step`.
    fn at(self, step: Step) -> Result<T, StepError>;
    /// The operation belongs to the entry `index` of `step`.
    fn at_index(self, step: Step, index: usize) -> Result<T, StepError>;
}

/// Errors that know an errno.
pub trait HasErrno {
    /// The errno, `0` if there is none.
    fn errno(&self) -> i32;
}

impl HasErrno for Errno {
    fn errno(&self) -> i32 {
        *self as i32
    }
}

impl HasErrno for std::io::Error {
    fn errno(&self) -> i32 {
        self.raw_os_error().unwrap_or(0)
    }
}

impl HasErrno for caps::errors::CapsError {
    fn errno(&self) -> i32 {
        Errno::last_raw()
    }
}

impl<T, E: HasErrno> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, StepError> {
        self.at_index(step, 0)
    }
    fn at_index(self, step: Step, index: usize) -> Result<T, StepError> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.map_err(|e| StepError { step, errno: e.errno(), index })
    }
}

/// A failure that the kernel was not asked about.
pub fn fault(step: Step) -> StepError {
    StepError { step, errno: 0, index: 0 }
}
