//! Tells which kernel release a build tree builds, and by whose rules that release is judged.
//!
//! In: the folder that make runs in.  Out: [`TreeRelease`].
//! Holds afterwards: a release that orcls does not know is judged by the nearest one that it does, and is never called
//! by that one's name.
//!
//! | order | file | what it is |
//! |---|---|---|
//! | 1 | `include/config/kernel.release` | the name of the kernel that was built, with the local version |
//! | 2 | `include/config/auto.conf`, third line | the version that was configured |
//! | 3 | `Makefile`, here or behind `source` | the version of the sources |
//! | 4 | the folder's name | that of distributions' header packages |

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::files;
use crate::kernel::Kernel;

/// The release that a tree builds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeRelease {
    /// The release as the tree spells it: `6.12.117-amd64`.
    pub text: String,
    /// Its major and minor number.
    pub version: (u32, u32),
    /// Its point release, where the configuration or the sources say it. Distributions number what they built by themselves:
    /// Debian's `6.1.0-56-amd64` is no 6.1.0.
    pub point: Option<u32>,
    /// The known release that is nearest to it, by whose rules it is judged.
    pub kernel: Kernel,
    /// The file or folder that says so.
    pub file: PathBuf,
}

impl TreeRelease {
    /// The files that may say which release is built in `root`.
    pub fn files(root: &Path) -> [PathBuf; 4] {
        ["include/config/kernel.release", "include/config/auto.conf", "Makefile", "source/Makefile"]
            .map(|f| root.join(f))
    }

    /// The release that is built in `root`.
    pub fn of(root: &Path) -> Option<TreeRelease> {
        type Numbers = fn(&str) -> Option<String>;
        let [release, config, makefile, sources] = Self::files(root);
        let named = || {
            let name = root.canonicalize().ok()?;
            let text = name.file_name()?.to_str()?.strip_prefix("linux-headers-")?.to_owned();
            TreeRelease::new(&text, name)
        };
        let numbered: [(PathBuf, Numbers); 3] = [(config, configured), (makefile, versioned), (sources, versioned)];
        let mut numbered = numbered.into_iter().filter_map(|(file, numbers)| {
            let text = numbers(&head(&file)?)?;
            Some(TreeRelease { point: point(&text), ..TreeRelease::new(&text, file)? })
        });
        let built = head(&release).and_then(|text| TreeRelease::new(text.lines().next()?, release));
        let Some(built) = built else { return numbered.next().or_else(named) };
        let same = numbered.find(|other| other.version == built.version);
        Some(TreeRelease { point: same.and_then(|same| same.point), ..built })
    }

    /// The release called `text`, as `file` says.
    pub fn new(text: &str, file: PathBuf) -> Option<TreeRelease> {
        let text = text.trim();
        // Other projects use the kernel's makefiles; those that number their releases are far below.
        let version = version(text).filter(|&(major, _)| major >= 3)?;
        let kernel = Kernel::nearest(version.0, version.1);
        Some(TreeRelease { text: text.to_owned(), version, point: None, kernel, file })
    }

    /// The same, judged by the rules of `version`, whose objtool it has by its configuration.
    pub(super) fn with_objtool_of(self, version: (u32, u32)) -> TreeRelease {
        TreeRelease { kernel: Kernel::nearest(version.0, version.1), ..self }
    }

    /// Whether the release is one that orcls knows.
    pub fn is_known(&self) -> bool {
        self.kernel.is(self.version.0, self.version.1)
    }

    /// Whose rules are used, and why, for a person.
    pub fn explained(&self) -> String {
        let (text, kernel, file) = (&self.text, self.kernel, self.file.display());
        if self.is_known() {
            let read = kernel.point();
            let other = self.point.filter(|&point| point != read);
            let aside = other.map(|point| {
                format!("; {kernel}.{point} is judged as {kernel}.{read}, which may differ in details of objtool")
            });
            return format!("{file} says {text}{}", aside.unwrap_or_default());
        }
        if self.kernel != Kernel::nearest(self.version.0, self.version.1) {
            return format!(
                "{file} says {text}, configured for a later objtool; {kernel} is the nearest that orcls knows"
            );
        }
        format!("{file} says {text}, a release that orcls does not know; {kernel} is the nearest that it does")
    }

    /// What is said once about a release that is judged by another one's rules.
    pub fn caution(&self) -> Option<String> {
        let (text, kernel, file) = (&self.text, self.kernel, self.file.display());
        (!self.is_known())
            .then(|| format!("{text} ({file}) is a release that orcls does not know; judged by the rules of {kernel}"))
    }
}

/// The beginning of a file, which is all that is looked at: nothing of a build is trusted to be small.
fn head(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    files::open(path).ok()?.take(4096).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The version in `# Linux/x86 6.12.117 Kernel Configuration`.
fn configured(text: &str) -> Option<String> {
    let line = text.lines().take(5).find(|line| line.ends_with("Kernel Configuration"))?;
    line.split_whitespace().find(|word| version(word).is_some()).map(str::to_owned)
}

/// The version that a kernel's `Makefile` assigns.
fn versioned(text: &str) -> Option<String> {
    let value = |name: &str| {
        let value = |line: &str| Some(line.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim().to_owned());
        text.lines().take(20).find_map(value)
    };
    let (major, minor, point) = (value("VERSION")?, value("PATCHLEVEL")?, value("SUBLEVEL")?);
    Some(format!("{major}.{minor}.{point}{}", value("EXTRAVERSION").unwrap_or_default()))
}

/// The third number of `6.12.117`.
fn point(text: &str) -> Option<u32> {
    let digits = text.trim().splitn(3, '.').nth(2)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end.min(6))?.parse().ok()
}

/// The numbers that `6.12.117-amd64` begins with.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split(['.', '-', '+', '_', '~']);
    let mut number = || {
        let text = numbers.next()?;
        (text.len() < 4 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expect: Option<(&str, (u32, u32), &str)>) {
        let tree = tree(files);
        let found = TreeRelease::of(tree.path());
        let found = found.map(|r| (r.text, r.version, r.file.strip_prefix(tree.path()).unwrap().display().to_string()));
        assert_eq!(found, expect.map(|(text, version, file)| (text.to_owned(), version, file.to_owned())));
    }

    const MAKEFILE: &str = "# SPDX\nVERSION = 6\nPATCHLEVEL = 18\nSUBLEVEL = 35\nEXTRAVERSION =\nNAME = x\n";

    fn configuration(version: &str) -> String {
        format!("#\n# Automatically generated file\n# Linux/x86 {version} Kernel Configuration\n#\n")
    }

    #[test]
    fn the_kernel_that_was_built_is_believed_first() {
        let release = ("include/config/kernel.release", "6.12.117-amd64\n");
        let config = ("include/config/auto.conf", &*configuration("6.6.150"));
        check(&[release, config, ("Makefile", MAKEFILE)], Some(("6.12.117-amd64", (6, 12), release.0)));
        check(&[config, ("Makefile", MAKEFILE)], Some(("6.6.150", (6, 6), config.0)));
        check(&[("Makefile", MAKEFILE)], Some(("6.18.35", (6, 18), "Makefile")));
        check(&[("source/Makefile", MAKEFILE)], Some(("6.18.35", (6, 18), "source/Makefile")));
        check(&[("Makefile", "all:\n\techo\n")], None);
        check(&[("include/config/kernel.release", "\n")], None);
    }

    #[test]
    fn another_point_release_than_the_one_that_was_read_is_told() {
        let explained = |release: &str, config: &str| {
            let tree = tree(&[("include/config/kernel.release", release), ("include/config/auto.conf", config)]);
            TreeRelease::of(tree.path()).unwrap().explained()
        };
        let read = Kernel::V6_6.point();
        let older = explained("6.6.20-x\n", &configuration("6.6.20"));
        assert!(
            older.ends_with(&format!(
                "says 6.6.20-x; 6.6.20 is judged as 6.6.{read}, which may differ in details of objtool"
            )),
            "{older}"
        );
        assert!(explained("6.6.150-x\n", &configuration(&format!("6.6.{read}"))).ends_with("says 6.6.150-x"));
        // The number of a distribution's build is no point release; the configuration has that.
        assert!(explained("6.1.0-56-amd64\n", &configuration("6.1.192")).ends_with("says 6.1.0-56-amd64"));
        assert!(explained("6.1.0-56-amd64\n", "").ends_with("says 6.1.0-56-amd64"));
        assert!(explained("6.1.0-9-amd64\n", &configuration("6.1.27")).contains("; 6.1.27 is judged as 6.1.192"));
    }

    #[test]
    fn the_folder_of_a_header_package_has_the_name() {
        let tree = tree(&[("linux-headers-6.1.0-50-amd64/x", "")]);
        let release = TreeRelease::of(&tree.path().join("linux-headers-6.1.0-50-amd64")).unwrap();
        assert_eq!((release.version, release.kernel), ((6, 1), Kernel::V6_1));
        assert!(release.is_known());
        assert!(release.caution().is_none());
    }

    #[test]
    fn an_unknown_release_is_judged_by_the_nearest() {
        let of = |text: &str| TreeRelease::new(text, PathBuf::from("Makefile")).map(|r| (r.kernel, r.is_known()));
        assert_eq!(of("6.12.117"), Some((Kernel::V6_12, true)));
        assert_eq!(of("6.13.2"), Some((Kernel::V6_12, false)));
        assert_eq!(of("5.10.234"), Some((Kernel::V5_15, false)));
        assert_eq!(of("7.4-rc1"), Some((Kernel::V7_3, false)));
        assert_eq!(of("10.0"), Some((Kernel::V7_3, false)));
        assert_eq!(of("next"), None);
        assert_eq!(of("99999999999.1"), None);
        let caution = TreeRelease::new("6.13.2", PathBuf::from("Makefile")).and_then(|r| r.caution()).unwrap();
        assert!(caution.contains("6.13.2") && caution.contains("6.12"), "{caution}");
    }
}
