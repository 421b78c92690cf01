//! The kernel releases whose objtool orcls speaks for.
//!
//! Out: [`Kernel`].  What differs between releases is asked of [`Kernel`] alone (see [`Kernel::rules`]), never tested for
//! elsewhere.

pub mod rules;

use std::fmt;
use std::str::FromStr;

/// A kernel release line. The facts of each were taken from the Debian source package named beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum Kernel {
    /// linux-source-6.1 (6.1.192).
    #[serde(rename = "6.1")]
    V6_1,
    /// linux-source-6.12 (6.12.117).
    #[serde(rename = "6.12")]
    V6_12,
    /// linux-source-7.3 (7.3.4).
    #[serde(rename = "7.3")]
    V7_3,
}

impl Kernel {
    /// Every release, oldest first.
    pub const ALL: [Kernel; 3] = [Kernel::V6_1, Kernel::V6_12, Kernel::V7_3];

    /// The release as the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::V6_1 => "6.1",
            Kernel::V6_12 => "6.12",
            Kernel::V7_3 => "7.3",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no release that orcls knows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown kernel `{0}`; known are 6.1, 6.12 and 7.3")]
pub struct UnknownKernel(pub String);

impl FromStr for Kernel {
    type Err = UnknownKernel;

    fn from_str(text: &str) -> Result<Self, UnknownKernel> {
        Kernel::ALL.into_iter().find(|kernel| kernel.name() == text).ok_or_else(|| UnknownKernel(text.to_owned()))
    }
}

/// Which release to judge by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KernelChoice {
    /// Whatever the object shows.
    #[default]
    Auto,
    /// This one.
    Fixed(Kernel),
}

impl FromStr for KernelChoice {
    type Err = UnknownKernel;

    fn from_str(text: &str) -> Result<Self, UnknownKernel> {
        if text == "auto" { Ok(KernelChoice::Auto) } else { text.parse().map(KernelChoice::Fixed) }
    }
}
