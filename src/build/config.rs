//! Reads a kernel's configuration, and derives from it what Kbuild passes to objtool.
//!
//! In: `include/config/auto.conf`, or `.config`.  Out: [`Configuration`]; objtool's words for an object.
//! Holds afterwards: the words are those of the release's own makefiles; of a symbol that a release does not have nothing
//! follows.
//! Reads like: linux scripts/Makefile.lib, scripts/Makefile.vmlinux_o, of 5.15 scripts/Makefile.build (behaviour only).

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use crate::files;

/// What objtool is run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// An object as it was compiled, which becomes part of `vmlinux.o`.
    Object,
    /// An object of a module, or the module itself.
    Module,
    /// `vmlinux.o`.
    Vmlinux,
}

/// A configuration: the symbols that are set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Configuration {
    /// The file.
    pub file: PathBuf,
    /// Major and minor number of the release, whose rules are used.
    version: (u32, u32),
    symbols: FxHashMap<String, String>,
}

/// A configuration has some 300 KiB.
const MAX_SIZE: u64 = 16 << 20;

impl Configuration {
    /// The file of the configuration of the tree at `root`: what make used last, else what the user chose last.
    pub(super) fn file(root: &Path) -> Option<PathBuf> {
        [root.join("include/config/auto.conf"), root.join(".config")].into_iter().find(|file| file.is_file())
    }

    /// Reads `file`, the configuration of a tree of release `version`.
    pub(super) fn read(file: &Path, version: (u32, u32)) -> Option<Configuration> {
        let text = files::text(file, MAX_SIZE).ok()?;
        let symbols = symbols(&text);
        Some(Configuration { file: file.to_owned(), version: backported(version, &symbols), symbols })
    }

    /// The release whose objtool this is a configuration of.
    pub(super) fn version(&self) -> (u32, u32) {
        self.version
    }

    fn value(&self, symbol: &str) -> Option<&str> {
        self.symbols.get(symbol).map(String::as_str)
    }

    /// Whether one of the symbols is `y`. Mitigations were renamed in 6.9, and a release has one name only.
    fn has(&self, symbols: &[&str]) -> bool {
        symbols.iter().any(|symbol| self.value(symbol) == Some("y"))
    }

    /// Whether the symbol is `y`.
    pub(super) fn is_set(&self, symbol: &str) -> bool {
        self.has(&[symbol])
    }

    /// Whether objtool is a program with sub-commands, as up to 5.17. Those calls are in no object's recipe.
    pub(super) fn has_subcommands(&self) -> bool {
        self.version < (5, 18)
    }

    /// Whether the build runs objtool at all.
    pub(super) fn runs_objtool(&self) -> bool {
        self.has(&[if self.has_subcommands() { "STACK_VALIDATION" } else { "OBJTOOL" }])
    }

    /// Whether objects are left to `vmlinux.o` and to linked modules.
    pub(super) fn is_delayed(&self) -> bool {
        let by_release: &[&str] = match self.version {
            version if version < (5, 18) => &["LTO_CLANG"],
            version if version < (7, 0) => &["LTO_CLANG", "X86_KERNEL_IBT"],
            _ => &["LTO_CLANG", "X86_KERNEL_IBT", "KLP_BUILD"],
        };
        self.has(by_release)
    }

    /// Whether `vmlinux.o` is checked.
    pub(super) fn checks_vmlinux(&self) -> bool {
        let validated = if self.has_subcommands() { "VMLINUX_VALIDATION" } else { "NOINSTR_VALIDATION" };
        self.runs_objtool() && (self.is_delayed() || self.has(&[validated]))
    }

    /// The words that the makefiles pass to objtool.
    pub(super) fn words(&self, stage: Stage) -> Vec<String> {
        match (self.has_subcommands(), stage) {
            (true, Stage::Vmlinux) => self.old_vmlinux(),
            (true, _) => self.old_object(stage),
            (false, Stage::Vmlinux) => self.vmlinux(),
            (false, _) => {
                let mut words = self.list();
                if self.is_delayed() {
                    words.push("--link".to_owned());
                }
                if stage == Stage::Module {
                    words.push("--module".to_owned());
                }
                words
            }
        }
    }

    /// The flags of every object (`objtool-args-y`).
    fn list(&self) -> Vec<String> {
        // The Kconfig symbol of padding before functions, and what stands for its checks, changed in 7.2.
        let padded = self.version >= (7, 2);
        let fineibt = self.has(&["FINEIBT"]) && (!padded || self.has(&["CALL_PADDING"]));
        let cfi = if padded { self.has(&["CFI"]) && self.has(&["CALL_PADDING"]) } else { fineibt };
        let prefix = self.has(&[if padded { "CALL_PADDING" } else { "PREFIX_SYMBOLS" }]);
        let flags = [
            (self.has(&["HAVE_JUMP_LABEL_HACK"]), "--hacks=jump_label"),
            (self.has(&["HAVE_NOINSTR_HACK"]), "--hacks=noinstr"),
            (self.has(&["CALL_DEPTH_TRACKING", "MITIGATION_CALL_DEPTH_TRACKING"]), "--hacks=skylake"),
            (self.has(&["X86_KERNEL_IBT"]), "--ibt"),
            (cfi, "--cfi"),
            (padded && fineibt, "--fineibt"),
            (self.has(&["FTRACE_MCOUNT_USE_OBJTOOL"]), "--mcount"),
            (self.has(&["FTRACE_MCOUNT_USE_OBJTOOL"]) && self.has(&["HAVE_OBJTOOL_NOP_MCOUNT"]), "--mnop"),
            (self.has(&["UNWINDER_ORC"]), "--orc"),
            (self.has(&["RETPOLINE", "MITIGATION_RETPOLINE"]), "--retpoline"),
            (self.has(&["RETHUNK", "MITIGATION_RETHUNK"]), "--rethunk"),
            (self.has(&["SLS", "MITIGATION_SLS"]), "--sls"),
            (self.has(&["STACK_VALIDATION"]), "--stackval"),
            (self.has(&["HAVE_STATIC_CALL_INLINE"]), "--static-call"),
            (self.has(&["HAVE_UACCESS_VALIDATION"]), "--uaccess"),
            (self.has(&["GCOV_KERNEL", "KCOV"]), "--no-unreachable"),
        ];
        let mut words: Vec<String> = flags.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect();
        if prefix && let Some(bytes) = self.value("FUNCTION_PADDING_BYTES").filter(|bytes| is_number(bytes)) {
            words.push(format!("--prefix={bytes}"));
        }
        words.extend(self.werror());
        words
    }

    /// The flag that turns warnings into errors; 6.18 spells it with a capital letter.
    fn werror(&self) -> Option<String> {
        self.has(&["OBJTOOL_WERROR"]).then(|| "--werror".to_owned())
    }

    fn vmlinux(&self) -> Vec<String> {
        let mut words = if self.is_delayed() { self.list() } else { self.werror().into_iter().collect() };
        if self.has(&["NOINSTR_VALIDATION"]) {
            words.push("--noinstr".to_owned());
            let with_srso = self.version >= (6, 6) && self.has(&["CPU_SRSO", "MITIGATION_SRSO"]);
            if with_srso || self.has(&["CPU_UNRET_ENTRY", "MITIGATION_UNRET_ENTRY"]) {
                words.push("--unret".to_owned());
            }
        }
        words.push("--link".to_owned());
        words
    }

    /// `objtool_args` of releases with sub-commands.
    fn old_object(&self, stage: Stage) -> Vec<String> {
        let flags = [
            (stage == Stage::Module, "--module"),
            (!self.has(&["FRAME_POINTER"]), "--no-fp"),
            (self.has(&["GCOV_KERNEL", "LTO_CLANG"]), "--no-unreachable"),
            (self.has(&["RETPOLINE"]), "--retpoline"),
            (self.has(&["RETHUNK"]), "--rethunk"),
            (self.has(&["X86_SMAP"]), "--uaccess"),
            (self.has(&["FTRACE_MCOUNT_USE_OBJTOOL"]), "--mcount"),
            (self.has(&["SLS"]), "--sls"),
        ];
        self.subcommand(self.has(&["UNWINDER_ORC"]), &flags)
    }

    fn old_vmlinux(&self) -> Vec<String> {
        let (delayed, validated) = (self.is_delayed(), self.has(&["VMLINUX_VALIDATION"]));
        let flags = [
            (delayed, "--duplicate"),
            (delayed && self.has(&["FTRACE_MCOUNT_USE_OBJTOOL"]), "--mcount"),
            (validated, "--noinstr"),
            (validated && self.has(&["CPU_UNRET_ENTRY"]), "--unret"),
            (true, "--vmlinux"),
            (!self.has(&["FRAME_POINTER"]), "--no-fp"),
            (self.has(&["GCOV_KERNEL", "LTO_CLANG"]), "--no-unreachable"),
            (self.has(&["RETPOLINE"]), "--retpoline"),
            (self.has(&["X86_SMAP"]), "--uaccess"),
            (self.has(&["SLS"]), "--sls"),
        ];
        self.subcommand(delayed && self.has(&["UNWINDER_ORC"]), &flags)
    }

    fn subcommand(&self, orc: bool, flags: &[(bool, &str)]) -> Vec<String> {
        let command: &[&str] = if orc { &["orc", "generate"] } else { &["check"] };
        let flags = flags.iter().filter(|(on, _)| *on).map(|(_, word)| word);
        command.iter().chain(flags).map(|word| (*word).to_owned()).collect()
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn symbols(text: &str) -> FxHashMap<String, String> {
    let assignment = |line: &str| {
        let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(assignment).collect()
}

/// Vendors bring a later objtool to an old release. Its symbols have been there since 5.18, others since 6.2 and 6.9.
fn backported(version: (u32, u32), symbols: &FxHashMap<String, String>) -> (u32, u32) {
    match () {
        () if version >= (5, 18) || !symbols.contains_key("OBJTOOL") => version,
        () if symbols.keys().any(|symbol| symbol.starts_with("MITIGATION_")) => (6, 12),
        () if symbols.contains_key("PREFIX_SYMBOLS") => (6, 6),
        () => (6, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(version: (u32, u32), set: &str) -> Configuration {
        let text: String = set.split_whitespace().map(|word| format!("CONFIG_{word}\n")).collect();
        Configuration { file: PathBuf::new(), version, symbols: symbols(&text) }
    }

    #[track_caller]
    fn check(version: (u32, u32), set: &str, stage: Stage, expect: &str) {
        assert_eq!(config(version, set).words(stage).join(" "), expect);
    }

    const X86: &str = "OBJTOOL=y HAVE_JUMP_LABEL_HACK=y HAVE_NOINSTR_HACK=y HAVE_STATIC_CALL_INLINE=y \
                       HAVE_UACCESS_VALIDATION=y UNWINDER_ORC=y ";

    #[test]
    fn each_release_has_its_own_rules() {
        let set = format!(
            "{X86} RETPOLINE=y RETHUNK=y CALL_DEPTH_TRACKING=y PREFIX_SYMBOLS=y CALL_PADDING=y FUNCTION_PADDING_BYTES=16"
        );
        let list = "--hacks=jump_label --hacks=noinstr --hacks=skylake --orc --retpoline --rethunk --static-call \
                    --uaccess --prefix=16";
        check((6, 6), &set, Stage::Object, list);
        check((6, 18), &set.replace("RETPOLINE", "MITIGATION_RETPOLINE"), Stage::Object, list);
        check(
            (7, 2),
            &format!("{X86} CFI=y FINEIBT=y CALL_PADDING=y FUNCTION_PADDING_BYTES=16"),
            Stage::Module,
            "--hacks=jump_label --hacks=noinstr --cfi --fineibt --orc --static-call --uaccess --prefix=16 --module",
        );
        check(
            (6, 12),
            &format!("{X86} FINEIBT=y"),
            Stage::Object,
            "--hacks=jump_label --hacks=noinstr --cfi --orc --static-call --uaccess",
        );
        check(
            (6, 18),
            &format!("{X86} OBJTOOL_WERROR=y"),
            Stage::Object,
            "--hacks=jump_label --hacks=noinstr --orc --static-call --uaccess --werror",
        );
    }

    #[test]
    fn what_is_delayed_has_the_flags_of_the_linked_object() {
        let set = format!("{X86} X86_KERNEL_IBT=y NOINSTR_VALIDATION=y MITIGATION_SRSO=y");
        let list = "--hacks=jump_label --hacks=noinstr --ibt --orc --static-call --uaccess";
        check((6, 12), &set, Stage::Vmlinux, &format!("{list} --noinstr --unret --link"));
        check((6, 12), &set, Stage::Module, &format!("{list} --link --module"));
        assert!(config((6, 12), &set).is_delayed() && config((6, 12), &set).checks_vmlinux());
        let noinstr = format!("{X86} NOINSTR_VALIDATION=y CPU_SRSO=y");
        check((6, 1), &noinstr, Stage::Vmlinux, "--noinstr --link");
        check((6, 6), &noinstr, Stage::Vmlinux, "--noinstr --unret --link");
        assert!(!config((6, 12), &noinstr).is_delayed());
        assert!(config((7, 0), &format!("{X86} KLP_BUILD=y")).is_delayed());
        assert!(!config((6, 18), &format!("{X86} KLP_BUILD=y")).is_delayed());
    }

    #[test]
    fn releases_with_sub_commands() {
        let set = "STACK_VALIDATION=y UNWINDER_ORC=y RETPOLINE=y RETHUNK=y X86_SMAP=y";
        check((5, 15), set, Stage::Object, "orc generate --no-fp --retpoline --rethunk --uaccess");
        check((5, 15), "STACK_VALIDATION=y FRAME_POINTER=y", Stage::Module, "check --module");
        check(
            (5, 15),
            "STACK_VALIDATION=y LTO_CLANG=y UNWINDER_ORC=y",
            Stage::Vmlinux,
            "orc generate --duplicate --vmlinux --no-fp --no-unreachable",
        );
        assert!(config((5, 15), set).runs_objtool() && !config((5, 15), set).checks_vmlinux());
        assert!(!config((6, 12), set).runs_objtool());
    }

    #[test]
    fn a_hostile_number_is_no_flag() {
        let set = format!("{X86} PREFIX_SYMBOLS=y FUNCTION_PADDING_BYTES=16;rm");
        check((6, 6), &set, Stage::Object, "--hacks=jump_label --hacks=noinstr --orc --static-call --uaccess");
    }
}
