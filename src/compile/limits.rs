//! How much of the machine a program may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a compiler may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time; also its processor time.
    pub time: Duration,
    /// Address space, in bytes.
    pub memory: u64,
    /// The size of a file that it writes, in bytes.
    pub file: u64,
}
