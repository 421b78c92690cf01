//! What a macro of the assembler or of the preprocessor becomes.
//!
//! In: a statement, and a function that finds macros.  Out: [`Expansion`], the statements with the places that they are written
//! at.
//! Holds afterwards: a condition that cannot be decided keeps both of its branches, with its directives; at most
//! [`MAX_LINES`] lines come of one statement.
//! Reads like: "GNU as", `.macro`, `.if`, `.rept`, `.irp`.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::condition::{Known, number};
use super::lines::{LineKind, Source, pieces};
use super::outline::{Definition, DefinitionKind, Parameter};

/// More lines than these are cut off.
pub const MAX_LINES: usize = 2_000;
/// Macros within macros.
const MAX_DEPTH: usize = 40;
/// Bytes of one line: arguments may double what they are put into.
const MAX_WIDTH: usize = 4_096;

/// A macro, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its lines.
    pub source: &'a Source,
    /// The macro.
    pub definition: &'a Definition,
    /// Which of its file's lines the preprocessor keeps; those beyond the end are kept.
    pub kept: &'a [Known],
}

/// A statement that a macro became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The statement.
    pub text: String,
    /// How many macros it is in.
    pub depth: usize,
    /// The macro that it is written in.
    pub from: String,
    /// The file of that macro.
    pub path: PathBuf,
    /// The line there, from 0.
    pub line: usize,
}

/// What a statement became.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expansion {
    /// The macro.
    pub name: String,
    /// What it became.
    pub lines: Vec<Line>,
    /// Whether lines were cut off.
    pub cut: bool,
}

/// Macros that stand for an annotation or a place that is patched: what they become is sections and numbers, which nobody
/// reads within another macro.
fn is_opaque(name: &str) -> bool {
    ["ANNOTATE_", "UNWIND_HINT", "SYM_", "VALIDATE_UNRET", "STACK_FRAME_", "_ASM_EXTABLE", "EXPORT_SYMBOL"]
        .iter()
        .any(|start| name.starts_with(start))
        || matches!(name, "REACHABLE" | "RET" | "ENDBR")
}

/// Expands a statement, if it is the use of a macro that `find` knows.
pub fn expand<'a>(statement: &str, find: &'a dyn Fn(&str) -> Option<Found<'a>>) -> Option<Expansion> {
    let (name, arguments) = split_word(statement);
    let found = find(name)?;
    let mut run = Run { find, out: Expansion::default(), uses: 0, values: FxHashMap::default() };
    run.out.name = name.to_owned();
    run.body(&found, arguments, 0);
    Some(run.out)
}

/// The first word of a statement, and the rest.
pub fn split_word(statement: &str) -> (&str, &str) {
    let end = statement.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(statement.len());
    (&statement[..end], statement[end..].trim())
}

struct Run<'a> {
    find: &'a dyn Fn(&str) -> Option<Found<'a>>,
    out: Expansion,
    /// How often a macro was used: `\@`.
    uses: usize,
    /// `.set`
    values: FxHashMap<String, String>,
}

/// An `.if` that is open.
struct Branch {
    /// Whether its lines are there; `None` where that is unknown.
    kept: Option<bool>,
    /// Whether an earlier branch was taken.
    taken: Option<bool>,
    /// Whether the `.if` itself is in lines that are there.
    around: bool,
}

impl Run<'_> {
    fn body(&mut self, found: &Found<'_>, arguments: &str, depth: usize) {
        let serial = self.uses;
        self.uses += 1;
        let lines = match found.definition.kind {
            DefinitionKind::Define => define_body(found, arguments),
            _ => {
                let bound = bind(&found.definition.parameters, arguments);
                let body = found.definition.line + 1..found.definition.last;
                let is_kept = |line: &usize| found.kept.get(*line) != Some(&Known::No);
                let code = body.filter(|line| found.source.kind(*line) == LineKind::Code).filter(is_kept);
                code.map(|line| (line, substitute(&found.source.joined(line), &bound, serial))).collect()
            }
        };
        let statements: Vec<(usize, String)> = lines
            .iter()
            .flat_map(|(line, text)| pieces(text).into_iter().map(|piece| (*line, piece.text.to_owned())))
            .collect();
        self.statements(found, &statements, depth);
    }

    fn statements(&mut self, found: &Found<'_>, statements: &[(usize, String)], depth: usize) {
        let mut open: Vec<Branch> = Vec::new();
        let mut inner = 0_usize;
        for (line, text) in statements {
            if self.out.lines.len() >= MAX_LINES {
                self.out.cut = true;
                return;
            }
            let (word, rest) = split_word(text);
            // A macro that is defined by a macro is no code yet.
            match word {
                ".macro" => inner += 1,
                ".endm" => inner = inner.saturating_sub(1),
                _ => {}
            }
            let here = open.last().is_none_or(|branch| branch.kept != Some(false));
            if inner == 0 && self.branch(word, rest, here, &mut open) {
                // A condition that is decided is not shown.
                let is_known = match word {
                    ".endif" => false,
                    _ => open.last().is_some_and(|branch| branch.taken.is_some() || !branch.around),
                };
                if !is_known && here && word != ".endif" {
                    self.push(found, *line, text, depth);
                }
                continue;
            }
            if !here {
                continue;
            }
            if word == ".exitm" && open.iter().all(|branch| branch.kept == Some(true)) {
                return;
            }
            if matches!(word, ".set" | ".equ")
                && let Some((name, value)) = rest.split_once(',')
            {
                self.values.insert(name.trim().to_owned(), value.trim().to_owned());
            }
            if inner == 0 && word.starts_with("ALTERNATIVE") && depth < MAX_DEPTH {
                self.alternative(found, *line, rest, depth);
                continue;
            }
            let within = (inner == 0 && depth < MAX_DEPTH && !is_opaque(word)).then(|| (self.find)(word)).flatten();
            match within {
                Some(within) => self.body(&within, rest, depth + 1),
                None => self.push(found, *line, text, depth),
            }
        }
    }

    /// An alternative, arm by arm: below the original code, each replacement with its feature.
    fn alternative(&mut self, found: &Found<'_>, line: usize, rest: &str, depth: usize) {
        let arguments = macro_arguments(rest);
        let mut arms = vec![("original".to_owned(), arguments.first().cloned().unwrap_or_default())];
        arms.extend(arguments.get(1..).unwrap_or_default().chunks(2).filter_map(|pair| match pair {
            [code, feature] => Some((feature.clone(), code.clone())),
            _ => None,
        }));
        self.push(found, line, "ALTERNATIVE", depth);
        for (name, code) in arms {
            self.push(found, line, &format!("/* {name} */"), depth + 1);
            // The kernel's `__stringify(MACRO)` is what the macro becomes.
            let inner = code.strip_prefix("__stringify(").and_then(|rest| rest.strip_suffix(')'));
            let text = inner.unwrap_or_else(|| bare(&code));
            let all: Vec<(usize, String)> =
                pieces(text).into_iter().map(|piece| (line, piece.text.to_owned())).collect();
            self.statements(found, &all, depth + 1);
        }
    }

    fn push(&mut self, found: &Found<'_>, line: usize, text: &str, depth: usize) {
        if self.out.lines.len() >= MAX_LINES {
            self.out.cut = true;
            return;
        }
        self.out.lines.push(Line {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            depth,
            from: found.definition.name.clone(),
            path: found.path.to_owned(),
            line,
        });
    }

    /// Takes a directive that begins or ends a branch; whether it is one.
    fn branch(&self, word: &str, rest: &str, here: bool, open: &mut Vec<Branch>) -> bool {
        let decide = || self.condition(word, rest);
        match word {
            ".if" | ".ifc" | ".ifnc" | ".ifb" | ".ifnb" | ".ifeqs" | ".ifnes" | ".ifdef" | ".ifndef" | ".ifnotdef"
            | ".ifeq" | ".ifne" | ".iflt" | ".ifle" | ".ifgt" | ".ifge" => {
                let holds = if here { decide() } else { Some(false) };
                open.push(Branch { kept: if here { holds } else { Some(false) }, taken: holds, around: here });
            }
            ".elseif" => {
                let Some(last) = open.last_mut() else { return true };
                let holds = match last.taken {
                    Some(true) => Some(false),
                    Some(false) => self.condition(".if", rest),
                    None => None,
                };
                last.kept = if last.around { holds } else { Some(false) };
                last.taken = match (last.taken, holds) {
                    (Some(false), holds) => holds,
                    (taken, _) => taken,
                };
            }
            ".else" => {
                let Some(last) = open.last_mut() else { return true };
                last.kept = if last.around { last.taken.map(|taken| !taken) } else { Some(false) };
            }
            ".endif" => drop(open.pop()),
            _ => return false,
        }
        true
    }

    fn condition(&self, word: &str, rest: &str) -> Option<bool> {
        let strings = |same: bool| {
            let (left, right) = rest.split_once(',')?;
            Some((bare(left) == bare(right)) == same)
        };
        let compared = |holds: fn(i64) -> bool| Some(holds(self.number(rest)?));
        match word {
            ".if" => self.truth(rest),
            ".ifc" | ".ifeqs" => strings(true),
            ".ifnc" | ".ifnes" => strings(false),
            ".ifb" => Some(rest.is_empty() || rest == "\"\""),
            ".ifnb" => Some(!rest.is_empty() && rest != "\"\""),
            ".ifeq" => compared(|value| value == 0),
            ".ifne" => compared(|value| value != 0),
            ".iflt" => compared(|value| value < 0),
            ".ifle" => compared(|value| value <= 0),
            ".ifgt" => compared(|value| value > 0),
            ".ifge" => compared(|value| value >= 0),
            ".ifdef" => self.values.contains_key(rest).then_some(true),
            ".ifndef" | ".ifnotdef" => self.values.contains_key(rest).then_some(false),
            _ => None,
        }
    }

    /// Whether an expression holds: numbers, names with a value, and registers that are compared.
    fn truth(&self, expression: &str) -> Option<bool> {
        let text = expression.trim();
        if text.len() > MAX_WIDTH {
            return None;
        }
        let inside = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        if let Some(inside) = inside.filter(|inside| is_balanced(inside)) {
            return self.truth(inside);
        }
        for (operator, both) in [("||", false), ("&&", true)] {
            if let Some((left, right)) = split_at_top(text, operator) {
                return match (self.truth(left), self.truth(right)) {
                    (Some(left), Some(right)) => Some(if both { left && right } else { left || right }),
                    (Some(known), None) | (None, Some(known)) => (known != both).then_some(known),
                    (None, None) => None,
                };
            }
        }
        if let Some(rest) = text.strip_prefix('!').filter(|rest| !rest.starts_with('=')) {
            return self.truth(rest).map(|holds| !holds);
        }
        for operator in ["==", "!=", "<>", ">=", "<=", ">", "<"] {
            let Some((left, right)) = split_at_top(text, operator) else { continue };
            let (left, right) = (left.trim(), right.trim());
            if left.starts_with('%') || right.starts_with('%') {
                let same = left == right;
                return match operator {
                    "==" => Some(same),
                    "!=" | "<>" => Some(!same),
                    _ => None,
                };
            }
            let (left, right) = (self.number(left)?, self.number(right)?);
            return Some(match operator {
                "==" => left == right,
                "!=" | "<>" => left != right,
                ">=" => left >= right,
                "<=" => left <= right,
                ">" => left > right,
                _ => left < right,
            });
        }
        Some(self.number(text)? != 0)
    }

    fn number(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        if text.len() > MAX_WIDTH {
            return None;
        }
        if let Some((left, right)) = split_at_top(text, "+") {
            return self.number(left)?.checked_add(self.number(right)?);
        }
        if let Some((left, right)) = split_at_top(text, "-").filter(|(left, _)| !left.trim().is_empty()) {
            return self.number(left)?.checked_sub(self.number(right)?);
        }
        if let Some((left, right)) = split_at_top(text, "*") {
            return self.number(left)?.checked_mul(self.number(right)?);
        }
        if let Some(rest) = text.strip_prefix('-') {
            return number(rest.trim())?.checked_neg();
        }
        number(text).or_else(|| number(self.values.get(text)?))
    }
}

/// Whether parentheses match without those around the text.
fn is_balanced(text: &str) -> bool {
    let mut depth = 0_i64;
    text.chars().all(|c| {
        depth += i64::from(c == '(') - i64::from(c == ')');
        depth >= 0
    }) && depth == 0
}

/// Splits at the last operator outside of parentheses, so that operators of a kind group from the left.
fn split_at_top<'a>(text: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    let mut depth = 0_usize;
    let mut found = None;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && text[at..].starts_with(operator) => found = Some(at),
            _ => {}
        }
    }
    found.map(|at| (&text[..at], &text[at + operator.len()..]))
}

fn bare(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// The body of a macro of the preprocessor with its arguments in place, by the lines of the definition.
fn define_body(found: &Found<'_>, arguments: &str) -> Vec<(usize, String)> {
    let definition = found.definition;
    let given = arguments.strip_prefix('(').map(|rest| rest.rsplit_once(')').map_or(rest, |(inside, _)| inside));
    let given = if definition.parameters.is_empty() { Vec::new() } else { split_arguments(given.unwrap_or("")) };
    let mut lines = Vec::new();
    for line in definition.line..=definition.last {
        let code = found.source.line(line);
        let code = match line == definition.line {
            false => code,
            true => {
                let after = code.get(definition.column + definition.name.len()..).unwrap_or_default();
                match after.strip_prefix('(') {
                    Some(rest) if !definition.parameters.is_empty() || rest.trim_start().starts_with(')') => {
                        rest.split_once(')').map_or("", |(_, body)| body)
                    }
                    _ => after,
                }
            }
        };
        lines.push((line, replace_words(code, &definition.parameters, &given)));
    }
    lines
}

/// Replaces the names of parameters that are words of their own.
fn replace_words(code: &str, parameters: &[Parameter], given: &[String]) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if out.len() > MAX_WIDTH {
            break;
        }
        if is_word(c) {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            let variadic = |parameter: &Parameter| parameter.name == "..." && word == "__VA_ARGS__";
            let at = parameters.iter().position(|parameter| parameter.name == word || variadic(parameter));
            match at {
                Some(at) if parameters.get(at).is_some_and(variadic) => {
                    out.push_str(&given.get(at..).unwrap_or_default().join(", "));
                }
                Some(at) => out.push_str(given.get(at).map_or("", String::as_str)),
                None => out.push_str(word),
            }
            rest = &rest[end..];
        } else if let Some(joined) = rest.strip_prefix("##") {
            // What is on both sides of it becomes one word.
            out.truncate(out.trim_end().len());
            rest = joined.trim_start();
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The arguments of a function-like macro: commas within parentheses and quotes are parts of them.
fn split_arguments(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut from, mut depth, mut quoted) = (0, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                found.push(text[from..at].trim().to_owned());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[from..].trim().to_owned());
    found
}

/// The arguments of a macro of the assembler: separated by commas or blanks; blanks around an operator separate nothing.
pub fn macro_arguments(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (mut quoted, mut depth) = (false, 0_usize);
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth = depth.saturating_sub(1),
                ',' if !quoted && depth == 0 => {
                    end = at;
                    break;
                }
                _ if c.is_whitespace() && !quoted && depth == 0 => {
                    let is_operator = |c: char| matches!(c, '+' | '-' | '*' | '/' | '|' | '&' | '^' | '=' | '<' | '>');
                    let before = rest[..at].trim_end().chars().next_back().is_some_and(is_operator);
                    let after = rest[at..].trim_start();
                    let next = after.chars().next();
                    if !before && !next.is_some_and(|c| is_operator(c) || c == ',') {
                        end = at;
                        break;
                    }
                }
                _ => {}
            }
        }
        found.push(rest[..end].trim().to_owned());
        let after = rest[end..].trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    found
}

/// What each parameter is.
fn bind(parameters: &[Parameter], arguments: &str) -> Vec<(String, String)> {
    let mut bound: Vec<(String, Option<String>)> =
        parameters.iter().map(|parameter| (parameter.name.clone(), None)).collect();
    let given = macro_arguments(arguments);
    let mut next = 0;
    for (number, argument) in given.iter().enumerate() {
        let named = argument.split_once('=').and_then(|(name, value)| {
            let at = parameters.iter().position(|parameter| parameter.name == name.trim())?;
            (!value.starts_with('=')).then(|| (at, value.trim()))
        });
        let (at, value) = named.unwrap_or((next, argument.as_str()));
        let is_rest = parameters.get(at).is_some_and(|parameter| parameter.qualifier.as_deref() == Some("vararg"));
        if let Some((_, slot)) = bound.get_mut(at) {
            let value = if is_rest { given.get(number..).unwrap_or_default().join(", ") } else { value.to_owned() };
            *slot = Some(value);
        }
        if is_rest {
            break;
        }
        next = at + 1;
    }
    let defaults = parameters.iter().map(|parameter| parameter.default.clone());
    let pairs = bound.into_iter().zip(defaults);
    pairs
        .map(|((name, value), default)| {
            let value = value.filter(|value| !value.is_empty()).or(default).unwrap_or_default();
            let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            (name, quoted.map_or(value.clone(), str::to_owned))
        })
        .collect()
}

/// Puts arguments in the place of `\name`.
fn substitute(code: &str, bound: &[(String, String)], serial: usize) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find('\\') {
        if out.len() > MAX_WIDTH {
            return out;
        }
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(next) = after.strip_prefix("()") {
            rest = next;
            continue;
        }
        if let Some(next) = after.strip_prefix('@') {
            out.push_str(&serial.to_string());
            rest = next;
            continue;
        }
        let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
        match bound.iter().find(|(name, _)| *name == after[..end]) {
            Some((_, value)) => {
                out.push_str(value);
                rest = &after[end..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::super::outline::Outline;
    use super::*;

    #[track_caller]
    fn check(text: &str, statement: &str, expected: &[&str]) {
        let source = Source::read(text);
        let outline = Outline::of(&source);
        let find = |name: &str| {
            let is_macro = |found: &&Definition| matches!(found.kind, DefinitionKind::Macro | DefinitionKind::Define);
            let definition = outline.named(name).find(is_macro)?;
            Some(Found { path: Path::new("a.h"), source: &source, definition, kept: &[] })
        };
        let expansion = expand(statement, &find);
        let found: Vec<String> = expansion.into_iter().flat_map(|all| all.lines).map(|line| line.text).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn arguments_take_the_place_of_parameters() {
        let text = ".macro M a:req b=%rbx rest:vararg\n\tmov \\a, \\b\n1\\@:\tf\\a\\()x \\rest\n.endm\n";
        check(text, "M %rax", &["mov %rax, %rbx", "1\\@:".replace("\\@", "0").as_str(), "f%raxx"]);
        check(text, "M b=2, a=1", &["mov 1, 2", "10:", "f1x"]);
        check(text, "M 1 2 3, 4", &["mov 1, 2", "10:", "f1x 3, 4"]);
    }

    #[test]
    fn macros_in_macros_are_expanded() {
        let text = ".macro IN r\n\tpush \\r\n.endm\n.macro OUT save=0\n\tIN r=%rcx\n\tIN %rdx\n\t.if \\save\n\tpop %rax\n\t.else\n\tpop %rbx\n\t.endif\n.endm\n";
        check(text, "OUT", &["push %rcx", "push %rdx", "pop %rbx"]);
        check(text, "OUT save=1", &["push %rcx", "push %rdx", "pop %rax"]);
        check(text, "OUT save=UNKNOWN", &["push %rcx", "push %rdx", ".if UNKNOWN", "pop %rax", ".else", "pop %rbx"]);
    }

    #[test]
    fn registers_and_texts_are_compared() {
        let text = ".macro M base=%rsp\n.if \\base == %rsp\n\ta\n.elseif \\base == %rbp\n\tb\n.else\n\tc\n.endif\n.ifc \\base,%rbp\n\td\n.endif\n.endm\n";
        check(text, "M", &["a"]);
        check(text, "M %rbp", &["b", "d"]);
        check(text, "M %rdi", &["c"]);
    }

    #[test]
    fn the_preprocessor_s_macros_have_arguments_too() {
        let text = "#define S(r, x) \\\n\tpush r; \\\n\tmov x(%rax), r##l\n#define N nop\n";
        check(text, "S(%rbx, 8)", &["push %rbx", "mov 8(%rax), %rbxl"]);
        check(text, "N", &["nop"]);
        check(text, "other", &[]);
    }

    #[test]
    fn alternatives_are_told_arm_by_arm() {
        let text = "#define INC \\\n\tincq %gs:x;\n.macro M\n\tALTERNATIVE \"jmp 1f; nop\", \\\n\t\t__stringify(INC), FEATURE\n.endm\n";
        check(text, "M", &["ALTERNATIVE", "/* original */", "jmp 1f", "nop", "/* FEATURE */", "incq %gs:x"]);
    }

    #[test]
    fn a_macro_that_uses_itself_ends() {
        check(".macro M\n.endm\n.macro L\n\tL\n\tL\n.endm\n", "M", &[]);
        let text = ".macro L\n\tL\n\tnop\n.endm\n";
        let source = Source::read(text);
        let outline = Outline::of(&source);
        let find = |name: &str| {
            let found = outline.named(name).next();
            found.map(|definition| Found { path: Path::new("a"), source: &source, definition, kept: &[] })
        };
        assert!(expand("L", &find).is_some_and(|all| all.lines.len() <= MAX_LINES));
    }
}
