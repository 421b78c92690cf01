//! Where in a macro an instruction is written, of which the debug info only knows the line that uses the macro.
//!
//! In: the text of a source file, a line of it, an instruction's disassembly.  Out: lines of macro bodies.
//! Holds afterwards: only lines with the instruction's mnemonic are named, and, where the line names a register itself,
//! with its register.
//! Reads like: "GNU as", `.macro`; "The C Preprocessor", function-like macros.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::findings::{PathKind, PathStep, Report};
use crate::assembly::text::one_name;

/// More lines than these tell nothing.
const MOST: usize = 4;

/// Lines of macros that are looked at for all findings of an object.
const MOST_LOOKS: usize = 1 << 26;
/// Definitions within definitions are told apart to this depth.
const DEEPEST: usize = 8;

/// A line of a macro's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BodyLine {
    /// The macro.
    pub name: String,
    /// The line of its file, from 1.
    pub line: u32,
    /// The file is not the one that uses the macro, but the one that includes that.
    pub is_outer: bool,
}

/// The macros that a file defines.
#[derive(Debug, Default)]
pub struct Macros<'a> {
    lines: Vec<&'a str>,
    /// By name: the lines of the body, from 0.
    bodies: FxHashMap<&'a str, Vec<usize>>,
    /// The first and the last line of each block that the assembler repeats, from 0.
    repeats: Vec<(usize, usize)>,
}

impl<'a> Macros<'a> {
    /// Reads the definitions in `text`.
    pub fn parse(text: &'a str) -> Macros<'a> {
        let mut macros = Macros { lines: text.lines().collect(), bodies: FxHashMap::default(), repeats: Vec::new() };
        let mut open: Vec<&str> = Vec::new();
        let mut repeated: Vec<usize> = Vec::new();
        let mut define: Option<&str> = None;
        for (at, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if let Some(rest) = code.strip_prefix(".macro").filter(|rest| rest.starts_with(char::is_whitespace)) {
                open.push(word(rest.trim_start()));
                continue;
            }
            if code.starts_with(".endm") {
                open.pop();
                continue;
            }
            match word(code) {
                ".rept" | ".irp" | ".irpc" => repeated.push(at),
                ".endr" => macros.repeats.extend(repeated.pop().map(|first| (first, at))),
                _ => {}
            }
            if let Some(rest) = code.strip_prefix('#').map(str::trim_start).and_then(|rest| rest.strip_prefix("define"))
            {
                define = Some(word(rest.trim_start()));
            }
            // Deeper ones would each have all lines of those inside them.
            for name in open.iter().copied().take(DEEPEST).chain(define) {
                macros.bodies.entry(name).or_default().push(at);
            }
            if !line.trim_end().ends_with('\\') {
                define = None;
            }
        }
        macros.bodies.remove("");
        macros
    }

    /// The lines that may have brought `instruction` to `line`, where a macro is used. The line counts from 1. Where some
    /// have the very instruction, others that only resemble it are left out.
    pub fn origins(&self, line: u32, instruction: &str) -> Vec<BodyLine> {
        self.origins_within(None, line, instruction)
    }

    /// The same for a line of a header that is included where the macros `outer` are defined.
    fn origins_within(&self, outer: Option<&Macros<'a>>, line: u32, instruction: &str) -> Vec<BodyLine> {
        let Some(line) = (line as usize).checked_sub(1).and_then(|at| self.lines.get(at)) else {
            return Vec::new();
        };
        let mut found: Vec<(Likeness, BodyLine)> = Vec::new();
        let mut waiting: VecDeque<&str> = VecDeque::new();
        let use_in = |line, waiting: &mut VecDeque<&'a str>| {
            let is_known = |word: &&str| self.defines(word) || outer.is_some_and(|outer| outer.defines(word));
            waiting.extend(words(line).filter(is_known));
        };
        use_in(line, &mut waiting);
        let mut seen: FxHashSet<&str> = FxHashSet::default();
        while let Some(name) = waiting.pop_front() {
            // Macros may use each other, and one another many times.
            if !seen.insert(name) {
                continue;
            }
            let files = [(false, Some(self)), (true, outer)];
            for (is_outer, macros) in files.into_iter().filter_map(|(is_outer, macros)| Some((is_outer, macros?))) {
                for &at in macros.bodies.get(name).into_iter().flatten() {
                    let line = macros.lines[at];
                    if let Some(likeness) = statements(line).filter_map(|text| likeness(text, instruction)).max() {
                        found.push((likeness, BodyLine { name: name.to_owned(), line: at as u32 + 1, is_outer }));
                    }
                    use_in(line, &mut waiting);
                }
            }
        }
        let best = found.iter().map(|(likeness, _)| *likeness).max();
        found.retain(|(likeness, _)| Some(*likeness) == best || best != Some(Likeness::Same));
        found.sort_by_key(|(likeness, _)| Reverse(*likeness));
        found.into_iter().map(|(_, line)| line).take(MOST).collect()
    }

    /// Where the innermost block ends that repeats a line. Both count from 1.
    fn repeated_until(&self, line: u32) -> Option<u32> {
        let at = (line as usize).checked_sub(1)?;
        let around = self.repeats.iter().filter(|(first, last)| (*first..*last).contains(&at));
        around.min_by_key(|(first, last)| last - first).map(|&(_, last)| last as u32 + 1)
    }

    /// Where the code of a macro begins, if the macro pops a register there that it pushes nowhere.
    fn without_push(&self, name: &str, instruction: &str) -> Option<u32> {
        let push = format!("push {}", instruction.strip_prefix("pop ")?);
        let body = self.bodies.get(name)?;
        let has = |text: &str| statements(text).any(|text| likeness(text, &push) == Some(Likeness::Same));
        if body.iter().any(|&at| has(self.lines[at])) {
            return None;
        }
        let is_code = |text: &str| !text.is_empty() && !text.starts_with(['#', '/', '*', '.']);
        let first = body.iter().find(|&&at| statements(self.lines[at]).any(is_code))?;
        Some(*first as u32 + 1)
    }

    /// Whether a line, counted from 1, names a macro of this file or of `outer`.
    fn uses_any(&self, outer: Option<&Macros<'a>>, line: u32) -> bool {
        let line = (line as usize).checked_sub(1).and_then(|at| self.lines.get(at));
        line.is_some_and(|line| words(line).any(|word| self.defines(word) || outer.is_some_and(|o| o.defines(word))))
    }

    fn defines(&self, name: &str) -> bool {
        self.bodies.contains_key(name)
    }
}

/// How much a statement is like an instruction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Likeness {
    /// It may become the instruction.
    Possible,
    /// Its operands are of the same kinds.
    Shaped,
    /// It is the instruction.
    Same,
}

/// The name at the start of a text.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len());
    &text[..end]
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The statements of a line, without labels and the end that continues a definition.
fn statements(line: &str) -> impl Iterator<Item = &str> {
    line.trim_end_matches('\\').split(';').map(|statement| match statement.split_once(':') {
        Some((label, rest)) if !label.contains(['%', '(', ',']) => rest.trim(),
        _ => statement.trim(),
    })
}

/// Whether a statement may assemble to the instruction. The assembler knows suffixes that a disassembly leaves out.
fn likeness(statement: &str, instruction: &str) -> Option<Likeness> {
    let split = |text: &str| -> (String, String) {
        let (mnemonic, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        (mnemonic.to_lowercase(), operands.split('#').next().unwrap_or("").split_whitespace().collect())
    };
    let ((written, operands), (shown, shown_operands)) = (split(statement), split(instruction));
    let bare = |name: &str| one_name(name.strip_suffix(['q', 'l']).unwrap_or(name));
    // The kernel's macro for a return: include/linux/linkage.h and arch/x86/include/asm/linkage.h
    if statement.split_whitespace().next() == Some("RET") {
        let is_return = shown == "ret" || shown_operands.ends_with("__x86_return_thunk");
        return is_return.then_some(Likeness::Same);
    }
    if written.is_empty() || (written != shown && bare(&written) != bare(&shown)) {
        return None;
    }
    if operands == shown_operands {
        return Some(Likeness::Same);
    }
    let register =
        |text: &str| text.rsplit('%').next().filter(|_| text.contains('%')).map(|name| word(name).to_owned());
    match (register(&operands), register(&shown_operands)) {
        (Some(written), Some(shown)) if written != shown => None,
        _ if shape(&operands) == shape(&shown_operands) => Some(Likeness::Shaped),
        _ => Some(Likeness::Possible),
    }
}

/// Whether a statement is the instruction, or may well be it.
pub fn is_written(statement: &str, instruction: &str) -> bool {
    likeness(statement, instruction).is_some_and(|likeness| likeness >= Likeness::Shaped)
}

/// Of each operand, whether it is a constant or in memory. Registers may have other names where a macro is written.
fn shape(operands: &str) -> Vec<(bool, bool)> {
    let mut depth = 0;
    let is_end = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    operands.split(is_end).map(|operand| (operand.starts_with('$'), operand.contains('('))).collect()
}

/// Adds to each finding where in a macro its instruction and its causes are written. `text_of` gives the text of a
/// file as it was compiled; `main` is the one that includes all others, if it is known.
pub fn name_macro_lines(report: &mut Report, main: Option<&str>, text_of: &dyn Fn(&str) -> Option<Arc<str>>) {
    let mut texts: FxHashMap<Arc<str>, Arc<str>> = FxHashMap::default();
    let main_text = main.filter(|_| !report.findings.is_empty()).and_then(text_of);
    for finding in &report.findings {
        for file in finding.path.iter().map(|step| &step.file).chain([&finding.file]).flatten() {
            if !texts.contains_key(file)
                && let Some(text) = text_of(file)
            {
                texts.insert(file.clone(), text);
            }
        }
    }
    // Findings of one line are often many.
    let mut known: FxHashMap<(Arc<str>, u32, String), Vec<BodyLine>> = FxHashMap::default();
    let mut looks = MOST_LOOKS;
    let macros: FxHashMap<&str, Macros<'_>> = texts.iter().map(|(file, text)| (&**file, Macros::parse(text))).collect();
    let outer = main_text.as_deref().map(Macros::parse);
    for finding in &mut report.findings {
        let own = PathStep {
            kind: PathKind::Cause,
            section: finding.section.clone().unwrap_or_default(),
            offset: finding.offset.unwrap_or_default(),
            file: finding.file.clone(),
            line: finding.line,
            instruction: finding.instruction.clone(),
            text: String::new(),
        };
        let causes = finding.path.iter().filter(|step| step.kind == PathKind::Cause).cloned();
        let mut more: Vec<PathStep> = Vec::new();
        for step in std::iter::once(own).chain(causes) {
            let (Some(file), Some(line)) = (&step.file, step.line) else { continue };
            let Some(macros) = macros.get(&**file) else { continue };
            if let Some(last) = macros.repeated_until(line).filter(|_| !step.text.is_empty()) {
                let text = format!("the block that repeats `{}` of line {line} ends here", step.instruction);
                if !more.iter().any(|other| other.text == text) {
                    more.push(PathStep { line: Some(last), text, instruction: String::new(), ..step.clone() });
                }
            }
            let outer = outer.as_ref().filter(|_| texts.get(file) != main_text.as_ref());
            let key = (file.clone(), line, step.instruction.clone());
            let origins = known.entry(key).or_insert_with(|| {
                let cost = macros.lines.len() + outer.map_or(0, |outer| outer.lines.len());
                match looks.checked_sub(cost) {
                    Some(left) if macros.uses_any(outer, line) => {
                        looks = left;
                        macros.origins_within(outer, line, &step.instruction)
                    }
                    _ => Vec::new(),
                }
            });
            for origin in origins.iter().cloned() {
                let user = Path::new(&**file).file_name().and_then(|name| name.to_str()).filter(|_| origin.is_outer);
                let user = user.map_or_else(|| format!("line {line}"), |name| format!("{name}:{line}"));
                let text = format!("`{}` of {user} is written here, in the macro {}", step.instruction, origin.name);
                let file = if origin.is_outer { main.map(Arc::from) } else { step.file.clone() };
                if more.iter().any(|other| other.line == Some(origin.line) && other.text == text) {
                    continue;
                }
                let of = if origin.is_outer { outer } else { Some(macros) };
                let begins = of.and_then(|macros| macros.without_push(&origin.name, &step.instruction));
                more.extend(begins.map(|line| {
                    let text =
                        format!("the macro {} begins here, and has `{}` without a push", origin.name, step.instruction);
                    PathStep { file: file.clone(), line: Some(line), text, instruction: String::new(), ..step.clone() }
                }));
                more.push(PathStep { file, line: Some(origin.line), text, ..step.clone() });
            }
        }
        finding.path.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, line: u32, instruction: &str, expected: &[(&str, u32)]) {
        let found: Vec<(String, u32)> =
            Macros::parse(text).origins(line, instruction).into_iter().map(|b| (b.name, b.line)).collect();
        let expected: Vec<(String, u32)> = expected.iter().map(|(name, line)| ((*name).to_owned(), *line)).collect();
        assert_eq!(found, expected);
    }

    const NESTED: &str = "\
.macro inner reg
\tpushq %rbx
\tpushq \\reg
.endm
.macro outer
1:\tpushfq
\tinner %rcx
.endm
\touter
\tpushq %rbx
";

    #[test]
    fn an_instruction_is_found_in_the_macro_that_the_line_uses() {
        check(NESTED, 9, "pushf", &[("outer", 6)]);
    }

    #[test]
    fn macros_in_macros_are_followed_and_registers_told_apart() {
        check(NESTED, 9, "push %rbx", &[("inner", 2)]);
        check(NESTED, 9, "push %rdx", &[("inner", 3)]);
        check(NESTED, 9, "push %rcx", &[("inner", 3)]);
    }

    #[test]
    fn a_line_without_a_macro_has_no_origin() {
        check(NESTED, 10, "push %rbx", &[]);
    }

    #[test]
    fn preprocessor_macros_are_read_line_by_line() {
        let text = "#define SAVE(r) \\\n\tpushq r; \\\n\tpushfq\n\n\tSAVE(%rax)\n";
        check(text, 5, "pushfq", &[("SAVE", 3)]);
        check(text, 5, "push %rax", &[("SAVE", 2)]);
    }

    #[test]
    fn a_header_uses_macros_of_the_file_that_includes_it() {
        let header = Macros::parse("#define DECLARE(f) entry f\nDECLARE(a)\n");
        let main = Macros::parse(".macro entry name\n\tcld\n\tRET\n.endm\n");
        let found = header.origins_within(Some(&main), 2, "ret");
        assert_eq!(found, [BodyLine { name: "entry".to_owned(), line: 3, is_outer: true }]);
        assert!(header.uses_any(None, 2) && !main.uses_any(Some(&header), 2));
    }

    #[test]
    fn operands_of_the_same_kinds_come_first() {
        let text = ".macro save\n\tmov (p), x\n\tmov x, y\n\tmov x, 8(p,q)\n.endm\n\tsave\n";
        check(text, 6, "mov %rax,8(%rsi,%rdi)", &[("save", 4), ("save", 2), ("save", 3)]);
    }

    #[test]
    fn the_kernel_s_return_is_known_whatever_it_becomes() {
        for instruction in ["ret", "jmp __x86_return_thunk"] {
            check(".macro leave\n\tjmp 1f\n1:\tRET\n.endm\n\tleave\n", 5, instruction, &[("leave", 3)]);
        }
    }

    #[test]
    fn a_pop_without_a_push_is_told_with_the_start_of_its_macro() {
        let text = ".macro check\n#ifdef A\n\tSAVE\n1:\tpopq %rax\n\tpopq %rbx\n\tpushq %rbx\n.endm\n";
        let macros = Macros::parse(text);
        let found = ["pop %rax", "pop %rbx", "push %rax"].map(|one| macros.without_push("check", one));
        assert_eq!(found, [Some(3), None, None]);
    }

    #[test]
    fn a_repeated_line_is_told_with_the_end_of_its_block() {
        let text = ".rept 16\n\tcall 2f\n2:\n.irp r, a, b\n\tpush %\\r\n.endr\n.endr\n\tret\n";
        let macros = Macros::parse(text);
        assert_eq!([2, 5, 8].map(|line| macros.repeated_until(line)), [Some(7), Some(6), None]);
    }

    #[test]
    fn a_macro_that_uses_itself_ends() {
        check(".macro loop\n\tloop\n\tnop\n.endm\n\tloop\n", 5, "nop", &[("loop", 3)]);
    }
}
