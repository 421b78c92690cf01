//! What a text of assembly defines: functions, labels, macros, constants, alternatives.
//!
//! In: [`Source`].  Out: [`Outline`].
//! Holds afterwards: definitions are in the order of the text; one that has an end ends after it began.
//! Reads like: include/linux/linkage.h (the `SYM_` macros); "GNU as", `.macro`, `.set`, `.type`.

use rustc_hash::FxHashMap;

use super::lines::{LineKind, Source};
use super::names::{NameKind, names};

/// What is defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefinitionKind {
    /// A function: `SYM_FUNC_START`, `ENTRY`, or a label with `.type @function`.
    Function,
    /// Code without a function's calling convention: `SYM_CODE_START`.
    Code,
    /// Data: `SYM_DATA_START`.
    Data,
    /// Another name of a symbol: `SYM_FUNC_ALIAS`.
    Alias,
    /// A label within a function that has a symbol: `SYM_INNER_LABEL`.
    Inner,
    /// A label.
    Label,
    /// A label without a symbol: `.Lname`.
    Local,
    /// A label that is a number.
    Numeric,
    /// A macro of the assembler.
    Macro,
    /// A macro of the preprocessor.
    Define,
    /// A name for a value: `.set`.
    Constant,
    /// A place that is patched: `ALTERNATIVE`.
    Alternative,
}

impl DefinitionKind {
    /// Whether the name can be seen from other files.
    pub fn is_symbol(self) -> bool {
        use DefinitionKind::{Alias, Code, Data, Function, Inner, Label};
        matches!(self, Function | Code | Data | Alias | Inner | Label)
    }

    /// Whether it is a label of some kind.
    pub fn is_label(self) -> bool {
        use DefinitionKind::{Inner, Label, Local, Numeric};
        matches!(self, Inner | Label | Local | Numeric)
    }

    /// What a person calls it.
    pub fn word(self) -> &'static str {
        match self {
            DefinitionKind::Function => "function",
            DefinitionKind::Code => "code",
            DefinitionKind::Data => "data",
            DefinitionKind::Alias => "alias",
            DefinitionKind::Inner => "inner label",
            DefinitionKind::Label => "label",
            DefinitionKind::Local => "local label",
            DefinitionKind::Numeric => "numeric label",
            DefinitionKind::Macro => "macro",
            DefinitionKind::Define => "preprocessor macro",
            DefinitionKind::Constant => "constant",
            DefinitionKind::Alternative => "alternative",
        }
    }
}

/// A parameter of a macro.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `req` or `vararg`.
    pub qualifier: Option<String>,
    /// What it is without an argument.
    pub default: Option<String>,
}

impl Parameter {
    /// As it is written in the macro's head.
    pub fn written(&self) -> String {
        let qualifier = self.qualifier.as_ref().map_or(String::new(), |word| format!(":{word}"));
        let default = self.default.as_ref().map_or(String::new(), |value| format!("={value}"));
        format!("{}{qualifier}{default}", self.name)
    }
}

/// Something that a text defines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    /// What it is.
    pub kind: DefinitionKind,
    /// Its name.
    pub name: String,
    /// The line of its name, from 0.
    pub line: usize,
    /// Where in the line the name begins, in bytes.
    pub column: usize,
    /// Its last line.
    pub last: usize,
    /// The parameters, of a macro that has some.
    pub parameters: Vec<Parameter>,
    /// The value or the body that is written in the line, for constants and macros of the preprocessor.
    pub value: Option<String>,
    /// The macro of the assembler that it is in, by its place in the outline.
    pub in_macro: Option<usize>,
}

impl Definition {
    /// The head of a macro, or the name.
    pub fn signature(&self) -> String {
        let written: Vec<String> = self.parameters.iter().map(Parameter::written).collect();
        match self.kind {
            DefinitionKind::Macro if written.is_empty() => format!(".macro {}", self.name),
            DefinitionKind::Macro => format!(".macro {} {}", self.name, written.join(", ")),
            DefinitionKind::Define if written.is_empty() => format!("#define {}", self.name),
            DefinitionKind::Define => format!("#define {}({})", self.name, written.join(", ")),
            _ => self.name.clone(),
        }
    }
}

/// All that a text defines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outline {
    /// In the order of the text.
    pub definitions: Vec<Definition>,
    by_name: FxHashMap<String, Vec<usize>>,
    macros: Vec<usize>,
}

impl Outline {
    /// Reads what `source` defines.
    pub fn of(source: &Source) -> Outline {
        let mut reader = Reader { outline: Outline::default(), macros: Vec::new(), open: None, typed: Vec::new() };
        for line in 0..source.n_lines() {
            match source.kind(line) {
                LineKind::Code => reader.statements(source, line),
                LineKind::Directive => reader.directive(source, line),
                LineKind::Joined | LineKind::DirectiveMore => {}
            }
        }
        reader.close(source.n_lines().saturating_sub(1));
        let mut outline = reader.outline;
        for definition in &mut outline.definitions {
            if definition.kind == DefinitionKind::Label && reader.typed.contains(&definition.name) {
                definition.kind = DefinitionKind::Function;
            }
        }
        for (at, definition) in outline.definitions.iter().enumerate() {
            outline.by_name.entry(definition.name.clone()).or_default().push(at);
            if definition.kind == DefinitionKind::Macro {
                outline.macros.push(at);
            }
        }
        outline
    }

    /// All definitions of a name, in the order of the text.
    pub fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Definition> {
        self.by_name.get(name).into_iter().flatten().filter_map(|at| self.definitions.get(*at))
    }

    /// The innermost macro of the assembler that a line is in, by its place in the outline.
    pub fn macro_at(&self, line: usize) -> Option<usize> {
        let around =
            |at: &&usize| self.definitions.get(**at).is_some_and(|found| (found.line..=found.last).contains(&line));
        self.macros.iter().rev().find(around).copied()
    }

    /// The function, code or data that a line is in.
    pub fn symbol_at(&self, line: usize) -> Option<&Definition> {
        use DefinitionKind::{Code, Data, Function};
        let is_around = |found: &&Definition| {
            matches!(found.kind, Function | Code | Data) && (found.line..=found.last).contains(&line)
        };
        self.definitions.iter().rev().find(is_around)
    }
}

/// `SYM_FUNC_START(`, `ENTRY(`: what a macro of include/linux/linkage.h begins.
fn begins(word: &str) -> Option<DefinitionKind> {
    if word == "ENTRY" || word == "GLOBAL" {
        return Some(DefinitionKind::Function);
    }
    let rest = word.strip_prefix("SYM_")?;
    Some(match rest {
        "FUNC_ALIAS" | "FUNC_ALIAS_LOCAL" | "FUNC_ALIAS_WEAK" | "FUNC_ALIAS_MEMFUNC" => DefinitionKind::Alias,
        "INNER_LABEL" | "INNER_LABEL_ALIGN" | "ENTRY" | "ENTRY_AT" => DefinitionKind::Inner,
        "DATA" | "DATA_LOCAL" => DefinitionKind::Data,
        _ if rest.contains("START") => match () {
            () if rest.contains("DATA") => DefinitionKind::Data,
            () if rest.contains("CODE") || rest.starts_with("START") => DefinitionKind::Code,
            () => DefinitionKind::Function,
        },
        _ => return None,
    })
}

fn ends(word: &str) -> bool {
    matches!(word, "END" | "ENDPROC" | "SYM_END") || (word.starts_with("SYM_") && word.contains("_END"))
}

/// Whether a symbol of this macro has code or data up to its end.
fn spans(word: &str) -> bool {
    word == "ENTRY" || (word.starts_with("SYM_") && word.contains("START"))
}

struct Reader {
    outline: Outline,
    /// Macros of the assembler that are open, innermost last.
    macros: Vec<usize>,
    /// The function, code or data that is open.
    open: Option<usize>,
    /// Symbols with `.type name, @function`.
    typed: Vec<String>,
}

impl Reader {
    fn add(&mut self, kind: DefinitionKind, name: &str, line: usize, column: usize) -> &mut Definition {
        let at = self.outline.definitions.len();
        self.outline.definitions.push(Definition {
            kind,
            name: name.to_owned(),
            line,
            column,
            last: line,
            parameters: Vec::new(),
            value: None,
            in_macro: self.macros.last().copied(),
        });
        &mut self.outline.definitions[at]
    }

    /// Ends what is open at a line.
    fn close(&mut self, line: usize) {
        if let Some(open) = self.open.take().and_then(|at| self.outline.definitions.get_mut(at)) {
            open.last = line.max(open.line);
        }
    }

    fn statements(&mut self, source: &Source, line: usize) {
        for piece in source.pieces(line) {
            if piece.is_label {
                let name = piece.text.trim_end_matches(':');
                let kind = match name {
                    _ if name.bytes().all(|byte| byte.is_ascii_digit()) => DefinitionKind::Numeric,
                    _ if name.starts_with(".L") => DefinitionKind::Local,
                    _ => DefinitionKind::Label,
                };
                self.add(kind, name, line, piece.column);
                continue;
            }
            let end = piece.text.find(|c: char| c.is_whitespace() || c == '(' || c == '=').unwrap_or(piece.text.len());
            let (word, rest) = piece.text.split_at(end);
            self.statement(source, line, piece.column, word, rest);
        }
    }

    fn statement(&mut self, source: &Source, line: usize, column: usize, word: &str, rest: &str) {
        // The name that follows, and its column.
        let names: Vec<(&str, usize)> = names(rest)
            .into_iter()
            .filter(|name| name.kind != NameKind::Register)
            .map(|name| (name.text, column + word.len() + name.column))
            .collect();
        let first = names.first().copied();
        match (word, first) {
            (".macro", Some((name, at))) => {
                let after = rest.split_once(name).map_or("", |(_, after)| after);
                let parameters = parameters(after);
                self.add(DefinitionKind::Macro, name, line, at).parameters = parameters;
                self.macros.push(self.outline.definitions.len() - 1);
            }
            (".endm" | ".endmacro", _) => {
                if let Some(open) = self.macros.pop().and_then(|at| self.outline.definitions.get_mut(at)) {
                    open.last = line;
                }
            }
            (".set" | ".equ" | ".equiv", Some((name, at))) => {
                let value = rest.split_once(',').map(|(_, value)| value.trim().to_owned());
                self.add(DefinitionKind::Constant, name, line, at).value = value;
            }
            (".type", Some((name, _))) if rest.contains("function") => self.typed.push(name.to_owned()),
            (_, Some((name, at))) if rest.starts_with('(') && begins(word).is_some() => {
                let kind = begins(word).unwrap_or(DefinitionKind::Label);
                let outside = self.macros.is_empty();
                if spans(word) && outside {
                    self.close(line.saturating_sub(1));
                }
                self.add(kind, name, line, at);
                if spans(word) && outside {
                    self.open = Some(self.outline.definitions.len() - 1);
                }
            }
            _ if rest.starts_with('(') && ends(word) && self.macros.is_empty() => self.close(line),
            (".size", Some((name, _))) => {
                let is_open = |found: &Definition| found.name == name && found.kind == DefinitionKind::Label;
                if let Some(found) = self.outline.definitions.iter_mut().rev().find(|found| is_open(found)) {
                    found.last = line.max(found.line);
                }
            }
            _ if matches!(word, "ALTERNATIVE" | "ALTERNATIVE_2" | "ALTERNATIVE_3") => {
                let last = source.last_of(line);
                let joined = source.joined(line);
                let features = names_in_features(&joined);
                let name = if features.is_empty() { word.to_owned() } else { format!("{word} {features}") };
                self.add(DefinitionKind::Alternative, &name, line, column).last = last;
            }
            _ if rest.trim_start().starts_with('=') && !rest.trim_start().starts_with("==") && !word.is_empty() => {
                let value = rest.trim_start().trim_start_matches('=').trim().to_owned();
                let is_name =
                    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'));
                if is_name && word != "." {
                    self.add(DefinitionKind::Constant, word, line, column).value = Some(value);
                }
            }
            _ => {}
        }
    }

    fn directive(&mut self, source: &Source, line: usize) {
        let Some((word, rest)) = source.directive(line) else { return };
        if word != "define" {
            return;
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return;
        }
        let code = source.line(line);
        let column = code.find("define").and_then(|at| Some(at + 6 + code[at + 6..].find(name)?)).unwrap_or(0);
        let (parameters, body) = match after.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((list, body)) => (list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(), body),
            None => (Vec::new(), after),
        };
        let parameter = |name: &str| Parameter { name: name.to_owned(), qualifier: None, default: None };
        let parameters = parameters.into_iter().map(parameter).collect();
        let last = source.last_of(line);
        let definition = self.add(DefinitionKind::Define, name, line, column);
        definition.parameters = parameters;
        definition.value = Some(body.trim().to_owned());
        definition.last = last;
    }
}

/// The features that an alternative depends on, as they are written.
fn names_in_features(statement: &str) -> String {
    let mut features: Vec<&str> = Vec::new();
    let outside = statement.split('"').step_by(2);
    for name in outside.flat_map(|part| names(part).into_iter().map(|name| name.text)) {
        if name.starts_with("X86_") && !features.contains(&name) {
            features.push(name);
        }
    }
    features.join(", ")
}

/// The parameters in the head of a macro: `reg:req, save=1 rest:vararg`.
fn parameters(head: &str) -> Vec<Parameter> {
    let mut found: Vec<Parameter> = Vec::new();
    let mut rest = head.trim_start_matches([',', ' ', '\t']);
    while !rest.is_empty() {
        let end = rest.find([',', ' ', '\t', ':', '=']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let mut after = after.trim_start();
        let mut parameter = Parameter { name: name.to_owned(), qualifier: None, default: None };
        if let Some(word) = after.strip_prefix(':').map(str::trim_start) {
            let end = word.find([',', ' ', '\t', '=']).unwrap_or(word.len());
            parameter.qualifier = Some(word[..end].to_owned());
            after = word[end..].trim_start();
        }
        if let Some(value) = after.strip_prefix('=').map(str::trim_start) {
            let end = value_end(value);
            parameter.default = Some(value[..end].to_owned());
            after = &value[end..];
        }
        let next = after.trim_start_matches([',', ' ', '\t']);
        if next.len() == rest.len() {
            break;
        }
        if !parameter.name.is_empty() {
            found.push(parameter);
        }
        rest = next;
    }
    found
}

/// Where a default ends: at a comma or a blank outside of quotes and parentheses.
fn value_end(value: &str) -> usize {
    let (mut quoted, mut depth) = (false, 0_usize);
    for (at, c) in value.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' | ' ' | '\t' if !quoted && depth == 0 => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use DefinitionKind::*;

    #[track_caller]
    fn check(text: &str, expected: &[(DefinitionKind, &str, usize, usize, usize)]) {
        let outline = Outline::of(&Source::read(text));
        let found: Vec<(DefinitionKind, &str, usize, usize, usize)> = outline
            .definitions
            .iter()
            .map(|found| (found.kind, found.name.as_str(), found.line, found.column, found.last))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn functions_reach_to_their_end() {
        check(
            "SYM_FUNC_START(f)\n1:\tjmp 1b\n.Lx:\nSYM_INNER_LABEL(g, SYM_L_GLOBAL)\n\tret\nSYM_FUNC_END(f)\n\
             SYM_CODE_START_NOALIGN(c)\n\tALTERNATIVE \"\", \\\n\t\"nop\", X86_FEATURE_PTI\nSYM_CODE_END(c)\n\
             SYM_DATA(d, .long 1)\nSYM_FUNC_ALIAS(h, f)\n",
            &[
                (Function, "f", 0, 15, 5),
                (Numeric, "1", 1, 0, 1),
                (Local, ".Lx", 2, 0, 2),
                (Inner, "g", 3, 16, 3),
                (Code, "c", 6, 23, 9),
                (Alternative, "ALTERNATIVE X86_FEATURE_PTI", 7, 1, 8),
                (Data, "d", 10, 9, 10),
                (Alias, "h", 11, 15, 11),
            ],
        );
    }

    #[test]
    fn macros_have_parameters_and_an_end() {
        let text =
            ".macro M a:req b=%rax, c=(1, 2) rest:vararg\n\tnop\n.endm\n#define D(x, y) \\\n\tpush x\n#define E 1\n";
        check(text, &[(Macro, "M", 0, 7, 2), (Define, "D", 3, 8, 4), (Define, "E", 5, 8, 5)]);
        let outline = Outline::of(&Source::read(text));
        let signatures: Vec<String> = outline.definitions.iter().map(Definition::signature).collect();
        assert_eq!(signatures, [".macro M a:req, b=%rax, c=(1, 2), rest:vararg", "#define D(x, y)", "#define E"]);
        assert_eq!((outline.macro_at(1), outline.macro_at(3)), (Some(0), None));
    }

    #[test]
    fn labels_with_a_type_are_functions() {
        check(
            "\t.globl f\n\t.type f, @function\nf:\n\tret\n\t.size f, .-f\n.set A, 3\nB = 4\n",
            &[(Function, "f", 2, 0, 4), (Constant, "A", 5, 5, 5), (Constant, "B", 6, 0, 6)],
        );
    }
}
