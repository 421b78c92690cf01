//! objtool's own flags, spelled as objtool spells them.
//!
//! In: an argument list, from the command line or from a Kbuild `.cmd` file.  Out: [`Options`].

use std::fmt;

use clap::Args;

use crate::kernel::rules::{Addition, LinkedWithoutFlag, Rules};

/// What `--hacks` may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hacks {
    /// Jump labels marked so become NOPs.
    pub jump_label: bool,
    /// Calls of profiling functions in noinstr code become NOPs.
    pub noinstr: bool,
    /// Call sites are collected for call depth tracking.
    pub skylake: bool,
}

impl Hacks {
    /// Adds what one value of `--hacks` names. objtool searches the value for each word.
    pub fn add(&mut self, value: &str) {
        self.jump_label |= value.contains("jump_label");
        self.noinstr |= value.contains("noinstr");
        self.skylake |= value.contains("skylake");
    }
}

/// The flags of one objtool run. All off is what an object without known flags starts from.
#[derive(Args, Clone, PartialEq, Eq, Debug, Default)]
#[command(next_help_heading = "objtool's own options")]
pub struct Options {
    /// Validate frame pointers and the stack
    #[arg(long, short = 's')]
    pub stackval: bool,
    /// Generate ORC metadata
    #[arg(long)]
    pub orc: bool,
    /// Validate that user access is closed where it must be
    #[arg(long, short = 'u')]
    pub uaccess: bool,
    /// Validate that noinstr code calls no instrumentable code
    #[arg(long, short = 'n')]
    pub noinstr: bool,
    /// Validate that there are no indirect branches without a retpoline
    #[arg(long, short = 'r')]
    pub retpoline: bool,
    /// Validate that there are no naked returns
    #[arg(long)]
    pub rethunk: bool,
    /// Validate straight-line speculation mitigations
    #[arg(long, short = 'l')]
    pub sls: bool,
    /// Validate indirect branch tracking
    #[arg(long, short = 'i')]
    pub ibt: bool,
    /// Validate that entry code untrains before it returns
    #[arg(long)]
    pub unret: bool,
    /// The object is a linked one
    #[arg(long, alias = "vmlinux")]
    pub link: bool,
    /// Check all of a linked object, not only what may not be instrumented (5.15)
    #[arg(long, hide = true)]
    pub duplicate: bool,
    /// The object is part of a module
    #[arg(long)]
    pub module: bool,
    /// Do not report unreachable instructions
    #[arg(long)]
    pub no_unreachable: bool,
    /// Create prefix symbols of this many bytes
    #[arg(long, value_name = "N")]
    pub prefix: Option<u32>,
    /// Annotate kernel control flow integrity
    #[arg(long)]
    pub cfi: bool,
    /// Annotate FineIBT sites
    #[arg(long)]
    pub fineibt: bool,
    /// Apply hacks: jump_label, noinstr, skylake (all without a value)
    #[arg(long, short = 'h', value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "jump_label,noinstr,skylake", value_parser = hacks)]
    pub hacks: Vec<String>,
    /// Annotate static calls
    #[arg(long, short = 't')]
    pub static_call: bool,
    /// Annotate function entry calls
    #[arg(long, short = 'm')]
    pub mcount: bool,
    /// Turn function entry calls into NOPs
    #[arg(long)]
    pub mnop: bool,
    /// Refuse absolute relocations in allocated sections
    #[arg(long)]
    pub noabs: bool,
    /// Write nothing (orcls never writes but with `orc write`)
    #[arg(long)]
    pub dry_run: bool,
    /// Turn warnings into errors
    #[arg(long, alias = "Werror")]
    pub werror: bool,
    /// Print more detail
    #[arg(long, short = 'v')]
    pub verbose: bool,
    /// Print the way to each finding
    #[arg(long)]
    pub backtrace: bool,
    /// Print statistics (how much orcls has read; objtool counts its own tables)
    #[arg(long)]
    pub stats: bool,
    /// Print section addresses beside symbols
    #[arg(long)]
    pub sec_address: bool,
    /// Keep a copy of the object (accepted; orcls changes no object)
    #[arg(long)]
    pub backup: bool,
    /// Print functions whose names fit the pattern, with their alternatives and the state before each instruction (all
    /// without a value)
    #[arg(long, value_name = "PATTERN", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    pub disas: Option<String>,
    /// With --disas, show the arms of an alternative side by side
    #[arg(long)]
    pub wide: bool,
    /// Print how the state changes along a function
    #[arg(long, value_name = "FUNC")]
    pub trace: Option<String>,
    /// The flags are those of a linked object that this one is a part of: of what other parts define nothing is said
    #[arg(skip)]
    pub part: bool,
}

/// A check of a linked object that one of its parts decides only as far as its own code goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkCheck {
    /// `--noinstr`
    Noinstr,
    /// `--unret`
    Unret,
    /// `--ibt`
    Ibt,
}

/// objtool refuses a value of `--hacks` that has no word it knows.
fn hacks(value: &str) -> Result<String, String> {
    let mut hacks = Hacks::default();
    hacks.add(value);
    match hacks == Hacks::default() {
        true => Err("no hack that objtool knows: jump_label, noinstr, skylake".to_owned()),
        false => Ok(value.to_owned()),
    }
}

impl Options {
    /// The hacks that were asked for, together.
    pub fn hacks(&self) -> Hacks {
        let mut hacks = Hacks::default();
        for value in &self.hacks {
            hacks.add(value);
        }
        hacks
    }

    /// The flags with those that the release implies: the sub-commands of 5.15 do what later asked for flags of its own, and
    /// know nothing else of what came later.
    pub fn implied(self, rules: &Rules) -> Options {
        if !rules.flags.sub_commands {
            return self;
        }
        Options {
            static_call: true,
            hacks: vec!["jump_label,noinstr".to_owned()],
            ibt: false,
            prefix: None,
            cfi: false,
            fineibt: false,
            mnop: false,
            noabs: false,
            werror: false,
            verbose: false,
            ..self
        }
    }

    /// The flags as the release's own objtool takes them, the sub-command of 5.15 in front.
    pub fn words(&self, rules: &Rules) -> Vec<String> {
        if !rules.flags.sub_commands {
            let spelled =
                Options { trace: None, disas: None, wide: false, dry_run: false, backup: false, ..self.clone() }
                    .to_string();
            let word = |word: &str| match word {
                "--werror" => format!("--{}", rules.flags.werror_word),
                word => word.to_owned(),
            };
            return spelled.split_whitespace().map(word).collect();
        }
        let command: &[&str] = if self.orc { &["orc", "generate"] } else { &["check"] };
        let flags = [
            (!self.stackval, "--no-fp"),
            (self.no_unreachable, "--no-unreachable"),
            (self.retpoline, "--retpoline"),
            (self.rethunk, "--rethunk"),
            (self.unret, "--unret"),
            (self.module, "--module"),
            (self.backtrace, "--backtrace"),
            (self.uaccess, "--uaccess"),
            (self.stats, "--stats"),
            (self.duplicate, "--duplicate"),
            (self.noinstr, "--noinstr"),
            (self.link, "--vmlinux"),
            (self.mcount, "--mcount"),
            (self.sls, "--sls"),
        ];
        let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag);
        command.iter().copied().chain(flags).map(str::to_owned).collect()
    }

    /// Whether only code that may not be instrumented is followed, and nothing else is checked.
    pub fn only_noinstr(&self, rules: &Rules) -> bool {
        rules.flags.sub_commands && self.link && !self.duplicate
    }

    /// Whether the flags ask for the addition.
    pub fn adds(&self, addition: Addition, rules: &Rules) -> bool {
        match addition {
            Addition::StaticCalls => self.static_call,
            Addition::Retpolines => self.retpoline,
            Addition::CfiSites => self.cfi && (self.fineibt || !rules.write.cfi_sites_for_fineibt),
            Addition::Returns => self.rethunk,
            Addition::Calls => self.rethunk && self.hacks().skylake,
            Addition::Mcount => self.mcount,
            Addition::Prefixes => true,
            Addition::EndbrSeal => self.ibt,
            Addition::Orc => self.orc,
        }
    }

    /// Why objtool would not look at an object with these flags, in its words. `linked`: the object was linked from
    /// several ones.
    pub fn refused(&self, rules: &Rules, linked: bool) -> Option<&'static str> {
        let Hacks { jump_label, noinstr, skylake: _ } = self.hacks();
        let checks =
            self.ibt || self.noinstr || self.retpoline || self.rethunk || self.sls || self.stackval || self.uaccess;
        let outputs = self.orc || self.mcount || self.static_call || (self.noabs && rules.flags.noabs_is_action);
        let no_action = !(checks || outputs || jump_label || noinstr);
        if rules.flags.sub_commands {
            return None;
        }
        let forced = linked && rules.flags.linked == LinkedWithoutFlag::Forced;
        let apart = !self.link && !forced;
        let cases = [
            (rules.flags.unret_alone_needs_rethunk && no_action && self.unret, "--unret requires --rethunk"),
            (self.mnop && !self.mcount, "--mnop requires --mcount"),
            (self.noinstr && apart, "--noinstr requires --link"),
            (self.ibt && apart, "--ibt requires --link"),
            (self.unret && apart, "--unret requires --link"),
            (rules.flags.cfi_needs_prefix && self.cfi && self.prefix.unwrap_or(0) == 0, "--cfi requires --prefix"),
            (rules.flags.cfi_needs_prefix && self.fineibt && !self.cfi, "--fineibt requires --cfi"),
            (no_action, rules.flags.no_action),
        ];
        cases.iter().find(|(is_so, _)| *is_so).map(|&(_, words)| words)
    }

    /// Whether any flag was given that asks for a check or an output.
    pub fn any_action(&self) -> bool {
        self.stackval
            || self.orc
            || self.uaccess
            || self.noinstr
            || self.retpoline
            || self.rethunk
            || self.sls
            || self.ibt
            || self.unret
            || self.static_call
            || self.mcount
            || self.noabs
            || self.cfi
            || !self.hacks.is_empty()
    }
}

impl fmt::Display for Options {
    /// As objtool's command line has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = self.hacks.iter().map(|hack| format!("--hacks={hack}")).collect();
        let flags = [
            (self.ibt, "--ibt"),
            (self.mcount, "--mcount"),
            (self.mnop, "--mnop"),
            (self.noinstr, "--noinstr"),
            (self.unret, "--unret"),
            (self.orc, "--orc"),
            (self.retpoline, "--retpoline"),
            (self.rethunk, "--rethunk"),
            (self.sls, "--sls"),
            (self.stackval, "--stackval"),
            (self.static_call, "--static-call"),
            (self.uaccess, "--uaccess"),
            (self.no_unreachable, "--no-unreachable"),
            (self.cfi, "--cfi"),
            (self.fineibt, "--fineibt"),
            (self.noabs, "--noabs"),
            (self.link, "--link"),
            (self.duplicate, "--duplicate"),
            (self.module, "--module"),
            (self.werror, "--werror"),
            (self.verbose, "--verbose"),
            (self.backtrace, "--backtrace"),
            (self.stats, "--stats"),
            (self.sec_address, "--sec-address"),
            (self.backup, "--backup"),
            (self.dry_run, "--dry-run"),
            (self.wide, "--wide"),
        ];
        words.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()));
        words.extend(self.prefix.map(|n| format!("--prefix={n}")));
        words.extend(self.disas.as_ref().map(|pattern| format!("--disas={pattern}")));
        words.extend(self.trace.as_ref().map(|function| format!("--trace={function}")));
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Options;
    use crate::kernel::Kernel;

    #[derive(Parser)]
    #[command(no_binary_name = true, disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let words = "--hacks=jump_label --hacks=noinstr --ibt --mcount --orc --retpoline --rethunk --sls --stackval \
                     --static-call --uaccess --no-unreachable --noabs --link --module --werror --prefix=16 --trace=foo";
        let options = Line::try_parse_from(words.split_whitespace()).unwrap().options;
        assert_eq!(options.to_string(), words.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn hacks_that_objtool_does_not_know_are_refused() {
        let hacks = |words: &str| Line::try_parse_from(words.split_whitespace()).map(|line| line.options.hacks).ok();
        assert_eq!(hacks("--hacks=bogus"), None);
        assert_eq!(hacks("--hacks="), None);
        assert_eq!(hacks("--hacks=bogus,noinstr"), Some(vec!["bogus,noinstr".to_owned()]));
        assert_eq!(hacks("--hacks"), Some(vec!["jump_label,noinstr,skylake".to_owned()]));
    }

    #[track_caller]
    fn refused(kernel: Kernel, words: &str, linked: bool) -> Option<&'static str> {
        let options = Line::try_parse_from(words.split_whitespace()).unwrap().options;
        options.refused(kernel.rules(), linked)
    }

    #[test]
    fn what_objtool_refuses_is_refused_in_its_words() {
        let all = [Kernel::V6_1, Kernel::V6_12, Kernel::V7_3];
        for kernel in all {
            assert_eq!(refused(kernel, "--orc --ibt", false), Some("--ibt requires --link"));
            assert_eq!(refused(kernel, "--noinstr", false), Some("--noinstr requires --link"));
            assert_eq!(refused(kernel, "--noinstr --ibt --unret --rethunk --link", false), None);
            assert_eq!(refused(kernel, "--orc", true), None);
        }
        for (kernel, needs_prefix) in [(Kernel::V6_12, false), (Kernel::V7_3, true)] {
            let needs = |words| needs_prefix.then_some(words);
            assert_eq!(refused(kernel, "--orc --mnop", false), Some("--mnop requires --mcount"));
            assert_eq!(refused(kernel, "--orc --cfi", false), needs("--cfi requires --prefix"));
            assert_eq!(refused(kernel, "--orc --fineibt", false), needs("--fineibt requires --cfi"));
            assert_eq!(refused(kernel, "--orc --cfi --prefix=16", false), None);
        }
        assert_eq!(refused(Kernel::V6_1, "--unret", false), Some("--unret requires --rethunk"));
        assert_eq!(refused(Kernel::V7_3, "--unret", false), Some("--unret requires --link"));
        assert_eq!(refused(Kernel::V6_1, "--cfi", false), Some("At least one command required"));
        assert_eq!(refused(Kernel::V6_12, "--noabs", false), Some("At least one action required"));
        assert_eq!(refused(Kernel::V7_3, "--noabs", false), None);
        // Several source files in one object imply --link, up to 6.12.
        assert_eq!(refused(Kernel::V6_12, "--ibt", true), None);
        assert_eq!(refused(Kernel::V7_3, "--ibt", true), Some("--ibt requires --link"));
    }
}
