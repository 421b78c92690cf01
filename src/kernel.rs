//! The kernel releases whose objtool orcls speaks for.
//!
//! Out: [`Kernel`].  What differs between releases is asked of its rules alone (see [`Kernel::rules`]), never tested for
//! elsewhere.

mod lists;
mod opcode_map;
pub(crate) mod opcodes;
mod releases;
pub mod rules;
pub mod tree;

use std::fmt;
use std::str::FromStr;

/// A kernel release line. The facts of each were taken from the tree named beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum Kernel {
    /// 5.15.215.
    #[serde(rename = "5.15")]
    V5_15,
    /// linux-source-6.1 of Debian (6.1.192).
    #[serde(rename = "6.1")]
    V6_1,
    /// 6.6.150.
    #[serde(rename = "6.6")]
    V6_6,
    /// linux-source-6.12 of Debian (6.12.117).
    #[serde(rename = "6.12")]
    V6_12,
    /// 6.18.35.
    #[serde(rename = "6.18")]
    V6_18,
    /// 7.0.0.
    #[serde(rename = "7.0")]
    V7_0,
    /// linux-source-7.2 of Debian (7.2.12 and 7.2.13).
    #[serde(rename = "7.2")]
    V7_2,
    /// linux-source-7.3 of Debian (7.3.4).
    #[serde(rename = "7.3")]
    V7_3,
}

impl Kernel {
    /// Every release, oldest first.
    pub const ALL: [Kernel; 8] = [
        Kernel::V5_15,
        Kernel::V6_1,
        Kernel::V6_6,
        Kernel::V6_12,
        Kernel::V6_18,
        Kernel::V7_0,
        Kernel::V7_2,
        Kernel::V7_3,
    ];

    /// The point release whose sources the facts were taken from. objtool differs between point releases, too.
    pub fn point(self) -> u32 {
        match self {
            Kernel::V5_15 => 215,
            Kernel::V6_1 => 192,
            Kernel::V6_6 => 150,
            Kernel::V6_12 => 117,
            Kernel::V6_18 => 35,
            Kernel::V7_0 => 0,
            Kernel::V7_2 => 12,
            Kernel::V7_3 => 4,
        }
    }

    /// The release as the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::V5_15 => "5.15",
            Kernel::V6_1 => "6.1",
            Kernel::V6_6 => "6.6",
            Kernel::V6_12 => "6.12",
            Kernel::V6_18 => "6.18",
            Kernel::V7_0 => "7.0",
            Kernel::V7_2 => "7.2",
            Kernel::V7_3 => "7.3",
        }
    }

    /// The release whose rules fit `major.minor` best: the same one, else the nearest one that takes the same flags and
    /// reads the same annotations.
    ///
    /// Between the releases known here, flags changed their form in 5.19, `noreturns.h` came in 6.4, mitigations got their
    /// prefix in 6.9, annotations became entries of one section in 6.14, and `objtool klp` came in 6.19.
    pub fn nearest(major: u32, minor: u32) -> Kernel {
        match (major, minor) {
            (..5, _) | (5, ..=18) => Kernel::V5_15,
            (5, _) | (6, ..=3) => Kernel::V6_1,
            (6, ..=8) => Kernel::V6_6,
            (6, ..=13) => Kernel::V6_12,
            (6, ..=18) => Kernel::V6_18,
            (6, _) | (7, ..=1) => Kernel::V7_0,
            (7, 2) => Kernel::V7_2,
            _ => Kernel::V7_3,
        }
    }

    /// Whether this is `major.minor` itself.
    pub fn is(self, major: u32, minor: u32) -> bool {
        self.name() == format!("{major}.{minor}")
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no release that orcls knows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown kernel `{0}`; known are {known}", known = Kernel::ALL.map(Kernel::name).join(", "))]
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

#[cfg(test)]
mod tests {
    use super::Kernel;

    #[test]
    fn each_release_is_nearest_to_itself() {
        for kernel in Kernel::ALL {
            let (major, minor) = kernel.name().split_once('.').unwrap();
            let (major, minor) = (major.parse().unwrap(), minor.parse().unwrap());
            assert_eq!(Kernel::nearest(major, minor), kernel);
            assert!(kernel.is(major, minor));
        }
        let between = [(5, 10), (5, 19), (6, 13), (6, 14), (6, 19), (7, 1), (7, 4), (8, 0), (4, 19)];
        let names = between.map(|(major, minor)| Kernel::nearest(major, minor).name());
        assert_eq!(names, ["5.15", "6.1", "6.12", "6.18", "7.0", "7.0", "7.3", "7.3", "5.15"]);
    }
}
