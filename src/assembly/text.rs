//! Assembly as it is written: in a file of its own, or in the strings of C.
//!
//! In: a text.  Out: [`AsmText`], its statements with their lines, without comments.
//! Holds afterwards: a statement's line is where its first character is written; nothing of a preprocessor line is a
//! statement.

use std::rc::Rc;

use super::lines::{Source, pieces};

/// A label, a directive or an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The line, from 0.
    pub line: usize,
    /// The text without comments; a label ends with a colon.
    pub text: String,
    /// The asm statement of C that it belongs to; 0 in a file of assembly.
    pub block: usize,
    /// The macro that it is the body of.
    pub in_macro: Option<Rc<str>>,
    /// The section that it is put into.
    pub section: Rc<str>,
}

impl Statement {
    /// Whether the mnemonic as it is written may be that of a disassembled instruction.
    pub fn may_be(&self, shown: &str) -> bool {
        let bare = |word: &str| one_name(&word.to_ascii_lowercase()).trim_end_matches(['q', 'l', 'w', 'b']).to_owned();
        let (written, mnemonic) = (self.word(), shown.split_whitespace().next().unwrap_or(""));
        let is_return = written == "RET" && (shown.starts_with("ret") || shown.contains("__x86_return_thunk"));
        is_return || bare(written) == bare(mnemonic) || (written == "movabs" && mnemonic.starts_with("mov"))
    }

    /// The name that a label gives, also by the kernel's macros.
    pub fn label(&self) -> Option<&str> {
        if let Some(name) = self.text.strip_suffix(':') {
            return Some(name);
        }
        let (word, rest) = self.text.split_once('(')?;
        let starts =
            matches!(word.trim(), "ENTRY" | "SYM_INNER_LABEL") || (word.starts_with("SYM_") && word.contains("_START"));
        let name = rest.split([',', ')']).next()?.trim();
        starts.then_some(name)
    }

    /// Whether it begins a function, by the kernel's macros.
    pub fn is_function_macro(&self) -> bool {
        self.text.starts_with("SYM_FUNC_START") || self.text.starts_with("ENTRY(")
    }

    /// The mnemonic, the directive, or the name of a macro.
    pub fn word(&self) -> &str {
        let end = self.text.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// What follows the first word.
    pub fn operands(&self) -> &str {
        self.text[self.word().len()..].trim()
    }

    /// Whether it puts data where it is.
    pub fn is_data(&self) -> bool {
        const DATA: [&str; 16] = [
            ".byte", ".value", ".word", ".short", ".2byte", ".long", ".int", ".4byte", ".quad", ".8byte", ".octa",
            ".ascii", ".asciz", ".string", ".float", ".double",
        ];
        DATA.contains(&self.word())
    }

    /// The bytes that it writes as numbers.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let size = size_of_each(self.word())?;
        let written = |text: &str| {
            let (bytes, rest) =
                number(text.trim())?.to_le_bytes().split_at_checked(size).map(|(a, b)| (a.to_vec(), b.to_vec()))?;
            rest.iter().all(|&byte| byte == 0).then_some(bytes)
        };
        Some(self.operands().split(',').map(written).collect::<Option<Vec<_>>>()?.concat())
    }

    /// Whether it is an instruction, or a macro that may become some.
    pub fn is_instruction(&self) -> bool {
        let word = self.word();
        let symbolic =
            ["SYM_", "ENTRY", "END", "ENDPROC", "ANNOTATE_", "UNWIND_HINT", "STACK_FRAME", "_ASM_", "EXPORT_"];
        !word.is_empty()
            && self.label().is_none()
            && !word.starts_with(['.', '#', '"'])
            && !symbolic.iter().any(|start| word.starts_with(start))
    }
}

/// The size of each number that a directive writes.
pub fn size_of_each(directive: &str) -> Option<usize> {
    match directive {
        ".byte" => Some(1),
        ".word" | ".short" | ".value" | ".2byte" => Some(2),
        ".long" | ".int" | ".4byte" => Some(4),
        ".quad" | ".8byte" => Some(8),
        ".octa" => Some(16),
        _ => None,
    }
}

/// A number as the assembler reads it.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if text.starts_with('0') && text.len() > 1 => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

/// The name that a disassembly has for what the assembler knows by several. SDM, entries `Jcc`, `SETcc`, `CMOVcc`, `SAL`.
pub fn one_name(mnemonic: &str) -> String {
    const CONDITIONS: [(&str, &str); 18] = [
        ("z", "e"),
        ("nz", "ne"),
        ("c", "b"),
        ("nae", "b"),
        ("nc", "ae"),
        ("nb", "ae"),
        ("nbe", "a"),
        ("na", "be"),
        ("nge", "l"),
        ("nl", "ge"),
        ("nle", "g"),
        ("ng", "le"),
        ("pe", "p"),
        ("po", "np"),
        ("cxz", "cxz"),
        ("ecxz", "ecxz"),
        ("rcxz", "rcxz"),
        ("mp", "mp"),
    ];
    if mnemonic.starts_with("sal") {
        return mnemonic.replacen("sal", "shl", 1);
    }
    let of = |start: &str| {
        let condition = mnemonic.strip_prefix(start)?;
        let (_, shown) = CONDITIONS.iter().find(|(other, _)| *other == condition)?;
        Some(format!("{start}{shown}"))
    };
    of("j").or_else(|| of("set")).or_else(|| of("cmov")).unwrap_or_else(|| mnemonic.to_owned())
}

/// An asm statement of C, or a whole file of assembly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its first line, from 0.
    pub first: usize,
    /// Its last line.
    pub last: usize,
    /// Outside of functions.
    pub top_level: bool,
    /// What follows the instructions: outputs, inputs, clobbers.
    pub operands: String,
}

/// The assembly of a text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AsmText {
    /// All statements, in the order of the text.
    pub statements: Vec<Statement>,
    /// Which of them put data where they are, ascending.
    data: Vec<usize>,
    /// The asm statements of C.
    pub blocks: Vec<Block>,
    /// A file of assembly, not C.
    pub assembly: bool,
}

impl AsmText {
    /// Reads a file by its name's ending.
    pub fn of_file(name: &str, text: &str) -> AsmText {
        let ending = name.rsplit('.').next();
        if matches!(ending, Some("S" | "s" | "sx" | "asm")) { AsmText::of_assembly(text) } else { AsmText::of_c(text) }
    }

    /// Reads a file of assembly.
    pub fn of_assembly(text: &str) -> AsmText {
        let source = Source::read(text);
        let block = Block { first: 0, last: source.n_lines(), top_level: true, operands: String::new() };
        let mut read = AsmText { assembly: true, blocks: vec![block], ..AsmText::default() };
        for line in (0..source.n_lines()).filter(|line| !source.kind(*line).is_directive()) {
            read.line(line, source.line(line), 0);
        }
        read.settle();
        read
    }

    /// Reads the asm statements of C.
    pub fn of_c(text: &str) -> AsmText {
        let mut read = AsmText::default();
        Lexer { code: text.as_bytes(), at: 0, line: 0 }.each(&mut read);
        read.settle();
        read
    }

    fn line(&mut self, line: usize, code: &str, block: usize) {
        for piece in pieces(code) {
            self.push(line, piece.text.to_owned(), block);
        }
    }

    fn push(&mut self, line: usize, text: String, block: usize) {
        self.statements.push(Statement { line, text, block, in_macro: None, section: Rc::from(".text") });
    }

    /// The statements of data on a line (from 0) and behind it, with their positions.
    pub fn data_from(&self, line: usize) -> impl Iterator<Item = (usize, &Statement)> {
        let before = self.data.partition_point(|&at| self.statements.get(at).is_some_and(|one| one.line < line));
        let behind = self.data.get(before..).unwrap_or_default();
        behind.iter().filter_map(|&at| Some((at, self.statements.get(at)?)))
    }

    /// Says of each statement which macro and which section it belongs to.
    fn settle(&mut self) {
        let all = self.statements.iter().enumerate();
        self.data = all.filter(|(_, statement)| statement.is_data()).map(|(at, _)| at).collect();
        let text: Rc<str> = Rc::from(".text");
        let mut section = Rc::clone(&text);
        let mut stack: Vec<Rc<str>> = Vec::new();
        let mut macros: Vec<Rc<str>> = Vec::new();
        let mut block = usize::MAX;
        for statement in &mut self.statements {
            if statement.block != block {
                block = statement.block;
                (section, stack, macros) = (Rc::clone(&text), Vec::new(), Vec::new());
            }
            let first =
                |operands: &str| Rc::from(operands.split([',', ' ', '\t']).next().unwrap_or("").trim_matches('"'));
            match statement.word() {
                ".macro" => macros.push(first(statement.operands())),
                ".endm" => drop(macros.pop()),
                _ if !macros.is_empty() => {}
                ".text" | ".data" | ".bss" => section = Rc::from(statement.word()),
                ".section" => section = first(statement.operands()),
                ".pushsection" => {
                    stack.push(std::mem::replace(&mut section, first(statement.operands())));
                }
                ".popsection" | ".previous" => section = stack.pop().unwrap_or_else(|| Rc::clone(&text)),
                _ => {}
            }
            statement.in_macro = macros.last().cloned();
            statement.section = Rc::clone(&section);
        }
    }

    /// Where a label is defined.
    pub fn label(&self, name: &str) -> Option<&Statement> {
        self.statements.iter().find(|statement| statement.label() == Some(name))
    }

    /// The statements of a line, from 0.
    pub fn on_line(&self, line: usize) -> impl Iterator<Item = &Statement> {
        let from = self.statements.partition_point(|statement| statement.line < line);
        self.statements[from..].iter().take_while(move |statement| statement.line == line)
    }

    /// The last of the labels that follow the code of a line (from 0) before anything else does.
    pub fn labels_behind(&self, line: usize) -> Option<usize> {
        let from = self.statements.partition_point(|statement| statement.line <= line);
        let labels = self.statements[from..].iter().take_while(|one| one.text.ends_with(':'));
        labels.last().map(|label| label.line)
    }

    /// The asm statement that a line belongs to.
    pub fn block_at(&self, line: usize) -> Option<(usize, &Block)> {
        self.blocks.iter().enumerate().find(|(_, block)| (block.first..=block.last).contains(&line))
    }
}

/// Finds the asm statements of C.
struct Lexer<'a> {
    code: &'a [u8],
    at: usize,
    line: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<u8> {
        self.code.get(self.at).copied()
    }

    fn step(&mut self) -> Option<u8> {
        let c = self.peek()?;
        self.at += 1;
        self.line += usize::from(c == b'\n');
        Some(c)
    }

    fn starts_with(&self, text: &[u8]) -> bool {
        self.code[self.at..].starts_with(text)
    }

    /// Comments and preprocessor conditionals are no code; what `#define` defines may hold an asm statement.
    fn skip_comment(&mut self) -> bool {
        if self.starts_with(b"//") {
            while self.peek().is_some_and(|c| c != b'\n') {
                self.step();
            }
            return true;
        }
        if self.starts_with(b"/*") {
            self.step();
            self.step();
            while self.peek().is_some() && !self.starts_with(b"*/") {
                self.step();
            }
            self.step();
            self.step();
            return true;
        }
        false
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == b'_') {
            word.push(char::from(c));
            self.step();
        }
        word
    }

    /// A string or a character, without its quotes, with escapes as they are.
    fn quoted(&mut self) -> String {
        let quote = self.step();
        let mut text = Vec::new();
        while let Some(c) = self.peek().filter(|c| Some(*c) != quote && *c != b'\n') {
            text.push(c);
            self.step();
            if c == b'\\' {
                text.extend(self.step());
            }
        }
        self.step();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn each(&mut self, read: &mut AsmText) {
        let mut depth = 0usize;
        while let Some(c) = self.peek() {
            if self.skip_comment() {
                continue;
            }
            match c {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                b'"' | b'\'' => {
                    self.quoted();
                    continue;
                }
                _ if c.is_ascii_alphabetic() || c == b'_' => {
                    let first = self.line;
                    let word = self.word();
                    if matches!(
                        word.as_str(),
                        "asm" | "__asm__" | "__asm" | "asm_inline" | "asm_volatile_goto" | "alternative"
                    ) {
                        self.statement(read, first, depth == 0);
                    }
                    continue;
                }
                _ => {}
            }
            self.step();
        }
    }

    fn statement(&mut self, read: &mut AsmText, first: usize, outside: bool) {
        // `volatile`, `goto`, `inline`
        while self.peek().is_some_and(|c| c.is_ascii_whitespace() || c.is_ascii_alphanumeric() || c == b'_') {
            self.step();
        }
        if self.peek() != Some(b'(') {
            return;
        }
        self.step();
        let block = read.blocks.len();
        read.blocks.push(Block { first, last: first, top_level: outside, operands: String::new() });
        let (mut depth, mut in_operands) = (1usize, false);
        let mut operands = String::new();
        while let Some(c) = self.peek() {
            if self.skip_comment() {
                continue;
            }
            let line = self.line;
            match c {
                b'"' => {
                    let text = self.quoted();
                    if in_operands {
                        operands.push_str(&format!("\"{text}\""));
                    } else {
                        let code = text.replace("%%", "%").replace("\\\"", "\"");
                        code.split("\\n").for_each(|part| read.line(line, &part.replace("\\t", " "), block));
                    }
                    continue;
                }
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b':' if depth == 1 => in_operands = true,
                _ if !in_operands && (c.is_ascii_uppercase() || c == b'_') => {
                    let word = self.word();
                    if word.starts_with("ANNOTATE") || word.starts_with("UNWIND_HINT") || word.ends_with("NOSPEC") {
                        read.push(line, word, block);
                    }
                    continue;
                }
                _ if !in_operands && c.is_ascii_alphanumeric() => {
                    self.word();
                    continue;
                }
                _ => {}
            }
            if in_operands {
                operands.push(char::from(c));
            }
            self.step();
        }
        if let Some(block) = read.blocks.get_mut(block) {
            (block.last, block.operands) = (self.line, operands);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(read: AsmText, expected: &[(usize, &str, &str)]) {
        let found: Vec<(usize, &str, &str)> =
            read.statements.iter().map(|one| (one.line, one.text.as_str(), &*one.section)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn assembly_is_split_into_labels_and_statements() {
        let text =
            "#define X \\\n\tpush %rax\n1:\tpush %rbx; ret # comment\n\t.data\nname: .ascii \"a;b\" /* c\n d */\n";
        let data = [(4, "name:", ".data"), (4, ".ascii \"a;b\"", ".data")];
        let code = [(2, "1:", ".text"), (2, "push %rbx", ".text"), (2, "ret", ".text"), (3, ".data", ".data")];
        check(AsmText::of_assembly(text), &[&code[..], &data].concat());
    }

    #[test]
    fn the_strings_of_asm_statements_are_read() {
        let text = "// asm(\"no\")\nasm(\".pushsection .data\\n\\t\"\n  \"x: mov %rax, y\\n\\t\");\nint f(void)\n{\n\tasm volatile(\"push %%rbp\\n\\t\" ANNOTATE_REACHABLE : \"=r\" (x) : : \"cc\");\n}\n";
        let read = AsmText::of_c(text);
        assert_eq!(read.blocks.iter().map(|block| block.top_level).collect::<Vec<_>>(), [true, false]);
        assert_eq!(read.blocks[1].operands, ": \"=r\" (x) : : \"cc\"");
        let first = [(1, ".pushsection .data", ".data"), (2, "x:", ".data"), (2, "mov %rax, y", ".data")];
        let second = [(5, "push %rbp", ".text"), (5, "ANNOTATE_REACHABLE", ".text")];
        check(read, &[&first[..], &second].concat());
    }

    #[test]
    fn the_kernel_s_macros_name_functions() {
        let read =
            AsmText::of_assembly("SYM_FUNC_START_LOCAL(one)\nSYM_INNER_LABEL(two, SYM_L_GLOBAL)\nSYM_FUNC_END(one)\n");
        let labels: Vec<_> = read.statements.iter().map(Statement::label).collect();
        assert_eq!(labels, [Some("one"), Some("two"), None]);
    }
}
