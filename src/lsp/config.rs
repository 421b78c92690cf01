//! The user's settings, as the client passes them.
//!
//! In: `initializationOptions`, `workspace/configuration`, `workspace/didChangeConfiguration`: an object under `orcls`, or
//! that object itself.  Out: [`Config`].
//! Holds afterwards: what can not be understood keeps its default and is said once; nothing else is affected by it.

use std::path::PathBuf;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde_json::Value;
use tower_lsp::lsp_types::DiagnosticSeverity;

use crate::findings::Code;
use crate::kernel::KernelChoice;

/// When the text of an editor is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CompileMode {
    /// While it is typed.
    #[default]
    OnType,
    /// When it is saved.
    OnSave,
    /// Never; the build's object is all there is.
    Off,
}

impl CompileMode {
    fn named(name: &str) -> Option<CompileMode> {
        match name {
            "onType" => Some(CompileMode::OnType),
            "onSave" => Some(CompileMode::OnSave),
            "off" => Some(CompileMode::Off),
            _ => None,
        }
    }
}

/// How much a hover says of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HoverForm {
    /// All of it in assembly, a line in C.
    #[default]
    Auto,
    /// All of it.
    Full,
    /// A line.
    Short,
}

impl HoverForm {
    fn named(name: &str) -> Option<HoverForm> {
        match name {
            "auto" => Some(HoverForm::Auto),
            "full" => Some(HoverForm::Full),
            "short" => Some(HoverForm::Short),
            _ => None,
        }
    }
}

/// How a kind of finding is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Show {
    /// Not at all.
    Off,
    /// With this severity.
    As(DiagnosticSeverity),
}

/// Whether programs may be run for this workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trust {
    /// The client says that the user trusts the workspace.
    Trusted,
    /// Nothing is run. So it is until the client says otherwise.
    #[default]
    Untrusted,
}

/// How settings came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// With the client's first message: its own options.
    Client,
    /// Later. Many clients mix in what a file of the workspace says.
    Later,
}

/// Settings that decide what is run, for how long and what is written: a workspace must not have a say in them. Later on
/// they are taken only from a client that keeps watch over trust, which it shows by naming it in its first message.
const OF_MACHINE: [&str; 4] = ["trusted", "compilers", "compileTimeout", "trace"];
/// Longer than any compile.
const MAX_TIMEOUT: u64 = 60 * 60;

/// All settings.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `orcls.buildDirectory`
    pub build_directory: Option<PathBuf>,
    /// `orcls.kernel`
    pub kernel: KernelChoice,
    /// `orcls.checks`: a finding's code and how it is shown.
    pub checks: FxHashMap<Code, Show>,
    /// `orcls.compile`
    pub compile: CompileMode,
    /// `orcls.compilers`: the programs that may be run; empty for every program of `PATH` with a compiler's name.
    pub compilers: Vec<String>,
    /// `orcls.inlayHints`
    pub inlay_hints: bool,
    /// `orcls.hover`
    pub hover: HoverForm,
    /// `orcls.trace`: a file to which the traffic is written.
    pub trace: Option<PathBuf>,
    /// `orcls.pages`: the address of a finding's page, in which `CODE` stands for its code, for clients that show pages
    /// themselves.
    pub pages: Option<String>,
    /// `orcls.trusted`
    pub trust: Trust,
    /// `orcls.baseline`: a file of known findings, which are not shown.
    pub baseline: Option<PathBuf>,
    /// `orcls.noreturn`: functions that never return, besides those that the kernel lists.
    pub noreturn: Vec<String>,
    /// `orcls.compileTimeout`, in seconds.
    pub compile_timeout: Duration,
    /// The client has said in its first message whether the workspace is trusted.
    pub watched: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            build_directory: None,
            kernel: KernelChoice::Auto,
            checks: FxHashMap::default(),
            compile: CompileMode::OnType,
            compilers: Vec::new(),
            inlay_hints: true,
            hover: HoverForm::Auto,
            trace: None,
            pages: None,
            trust: Trust::Untrusted,
            baseline: None,
            noreturn: Vec::new(),
            compile_timeout: Duration::from_secs(120),
            watched: false,
        }
    }
}

impl Config {
    /// Takes the settings in `value` over these ones; what it does not name stays. Also returns what was not understood.
    pub fn merged(&self, value: &Value, origin: Origin) -> (Config, Vec<String>) {
        let mut reader = Reader { config: self.clone(), complaints: Vec::new() };
        let settings = value.get("orcls").unwrap_or(value);
        if origin == Origin::Client {
            reader.config.watched = settings.get("trusted").is_some_and(Value::is_boolean);
        }
        for (name, value) in settings.as_object().into_iter().flatten() {
            // A client that has no settings answers null for each.
            if value.is_null() {
                continue;
            }
            let takes_trust_away = name == "trusted" && *value == Value::Bool(false);
            if OF_MACHINE.contains(&name.as_str()) && origin == Origin::Later && !self.watched && !takes_trust_away {
                reader.refuse(name, value);
                continue;
            }
            reader.take(name, value);
        }
        (reader.config, reader.complaints)
    }
}

struct Reader {
    config: Config,
    complaints: Vec<String>,
}

impl Reader {
    /// Says so, unless it makes no difference.
    fn refuse(&mut self, name: &str, value: &Value) {
        let mut as_if = Reader { config: self.config.clone(), complaints: Vec::new() };
        as_if.take(name, value);
        if as_if.config != self.config {
            self.complaints.push(format!(
                "orcls.{name} is taken from the client's own options only (initializationOptions): a workspace could have set it"
            ));
        }
    }

    fn take(&mut self, name: &str, value: &Value) {
        let understood = match name {
            "buildDirectory" => value.as_str().map(|s| self.config.build_directory = non_empty(s)),
            "kernel" => value.as_str().and_then(|s| s.parse().ok()).map(|kernel| self.config.kernel = kernel),
            "checks" => self.checks(value),
            "compile" => value.as_str().and_then(CompileMode::named).map(|mode| self.config.compile = mode),
            "compilers" => strings(value).map(|list| self.config.compilers = list),
            "hover" => value.as_str().and_then(HoverForm::named).map(|form| self.config.hover = form),
            "inlayHints" => value.as_bool().map(|on| self.config.inlay_hints = on),
            "trace" => value.as_str().map(|file| self.config.trace = non_empty(file)),
            "pages" => value.as_str().map(|address| self.config.pages = Some(address.to_owned())),
            "trusted" => value.as_bool().map(|yes| {
                self.config.trust = if yes { Trust::Trusted } else { Trust::Untrusted };
            }),
            "baseline" => value.as_str().map(|file| self.config.baseline = non_empty(file)),
            "noreturn" => strings(value).map(|list| self.config.noreturn = list),
            "compileTimeout" => value
                .as_u64()
                .filter(|&seconds| seconds > 0)
                .map(|seconds| self.config.compile_timeout = Duration::from_secs(seconds.min(MAX_TIMEOUT))),
            // Clients keep settings of their own under the same name (where the server is, say).
            _ => Some(()),
        };
        if understood.is_none() {
            self.complaints.push(format!("the setting orcls.{name} can not be {value}"));
        }
    }

    /// `{"code": "off" | "hint" | "information" | "warning" | "error"}`.
    fn checks(&mut self, value: &Value) -> Option<()> {
        let mut checks = FxHashMap::default();
        for (slug, how) in value.as_object()? {
            let Some(code) = Code::ALL.iter().copied().find(|code| code.slug() == slug) else {
                self.complaints.push(format!("orcls.checks names `{slug}`, which is no code of a finding"));
                continue;
            };
            let how = match how.as_str()? {
                "off" => Show::Off,
                "hint" => Show::As(DiagnosticSeverity::HINT),
                "information" => Show::As(DiagnosticSeverity::INFORMATION),
                "warning" => Show::As(DiagnosticSeverity::WARNING),
                "error" => Show::As(DiagnosticSeverity::ERROR),
                _ => return None,
            };
            checks.insert(code, how);
        }
        self.config.checks = checks;
        Some(())
    }
}

fn non_empty(path: &str) -> Option<PathBuf> {
    (!path.is_empty()).then(|| PathBuf::from(path))
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use serde_json::json;

    #[test]
    fn settings_may_stand_under_their_name_or_alone() {
        let (bare, none) = Config::default().merged(&json!({"compile": "off", "kernel": "6.12"}), Origin::Client);
        let (nested, _) =
            Config::default().merged(&json!({"orcls": {"compile": "off", "kernel": "6.12"}}), Origin::Client);
        assert_eq!((bare.compile, bare.kernel), (CompileMode::Off, KernelChoice::Fixed(Kernel::V6_12)));
        assert_eq!(bare, nested);
        assert!(none.is_empty());
    }

    #[test]
    fn what_is_not_named_stays() {
        let (first, _) = Config::default().merged(&json!({"trusted": false, "compilers": ["gcc"]}), Origin::Client);
        let (second, _) = first.merged(&json!({"compile": "onSave", "compilers": null}), Origin::Client);
        assert_eq!(second.trust, Trust::Untrusted);
        assert_eq!(second.compilers, ["gcc"]);
    }

    #[test]
    fn a_workspace_has_no_say_in_what_is_run() {
        let evil = json!({"trusted": true, "compilers": ["./gcc"], "trace": "/etc/profile", "compileTimeout": 9, "compile": "off"});
        for own in [json!({}), json!({"compilers": ["gcc-12"]})] {
            let (own, _) = Config::default().merged(&own, Origin::Client);
            let (config, complaints) = own.merged(&evil, Origin::Later);
            assert_eq!(config, Config { compile: CompileMode::Off, ..own });
            assert_eq!(complaints.len(), 4);
        }
        let (own, _) = Config::default().merged(&json!({"trusted": false}), Origin::Client);
        assert_eq!(own.merged(&json!({"trusted": true}), Origin::Later).0.trust, Trust::Trusted);
        let (own, _) = Config::default().merged(&json!({"trusted": true}), Origin::Client);
        assert_eq!(own.merged(&json!({"trusted": false}), Origin::Later).0.trust, Trust::Untrusted);
    }

    #[test]
    fn the_longest_timeout_is_a_sane_one() {
        let (config, _) = Config::default().merged(&json!({"compileTimeout": u64::MAX}), Origin::Client);
        assert_eq!(config.compile_timeout, Duration::from_secs(MAX_TIMEOUT));
    }

    #[test]
    fn what_is_not_understood_keeps_its_default_and_is_said() {
        let value = json!({"compile": "often", "kernel": "2.4", "path": "/bin/orcls", "checks": {"no-such": "off"}});
        let (config, complaints) = Config::default().merged(&value, Origin::Client);
        assert_eq!(config, Config::default());
        assert_eq!(complaints.len(), 3);
    }

    #[test]
    fn checks_name_codes() {
        let (config, _) = Config::default()
            .merged(&json!({"checks": {"naked-return": "off", "missing-int3": "hint"}}), Origin::Client);
        assert_eq!(config.checks.get(&Code::NakedReturn), Some(&Show::Off));
        assert_eq!(config.checks.get(&Code::MissingInt3), Some(&Show::As(DiagnosticSeverity::HINT)));
    }
}
