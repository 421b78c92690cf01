//! Which symbols a text of C defines for other files: functions, variables, and what the kernel's macros make of their
//! arguments.
//!
//! In: a text.  Out: [`Symbol`]s, in the order of the text.
//! Holds afterwards: no compiler ran and no header was read; what is `static`, declared only, or made by a macro that is
//! not known here is no symbol. Conditions of the preprocessor are not decided: every branch is read.
//!
//! A declaration is read up to its `;` or to the end of its body:
//!
//! | case | declaration | symbols |
//! |---|---|---|
//! | 1 | `type name(...) {` | the name before the first parentheses that are no attribute's |
//! | 2 | `type name(...) __alias(other);` | the same |
//! | 3 | `type a = 1, *b, (*c)(int);` | each declarator's; behind `extern` those with a value |
//! | 4 | `MACRO(name, ...)`, with or without a body, of the table in `macros.rs` | what the kernel's macro of that name defines |
//! | 5 | `MACRO(...)` that is defined in the text itself | what its text defines |
//! | 6 | `asm(".globl name\n" "name: ...")` | its labels that are global |
//! | 7 | `DEFINE_...(name, ...) {`, of no table | the name |

mod lexer;
mod macros;

use std::borrow::Cow;

use lexer::{Lexer, Macros, Token};

/// What a file defines for others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// The first byte of what names it: the name, or the argument or macro that it is made from.
    pub at: usize,
    /// How many bytes that is.
    pub length: usize,
    /// Another definition of the name goes before it.
    pub is_weak: bool,
}

/// Macros that use macros are followed so deep.
const MAX_DEPTH: usize = 4;
/// Of the names that macros of the text make, so many bytes are written out.
const MAX_EXPANDED: usize = 1 << 20;

/// The symbols that a text defines.
pub fn symbols(text: &str) -> Vec<Symbol<'_>> {
    let mut reader = Reader { found: Vec::new(), left: MAX_EXPANDED };
    reader.read(text, &mut Macros::default(), 0);
    reader.found
}

struct Reader<'a> {
    found: Vec<Symbol<'a>>,
    /// Bytes that may still be written out.
    left: usize,
}

/// The words that make a declaration none that others could name.
const LOCAL: [&str; 2] = ["static", "typedef"];

/// Statements, which stand where a text was not understood.
const STATEMENTS: [&str; 12] =
    ["if", "for", "while", "switch", "return", "else", "do", "case", "goto", "break", "continue", "sizeof"];

impl<'a> Reader<'a> {
    fn read(&mut self, text: &'a str, macros: &mut Macros<'a>, depth: usize) {
        let mut lexer = Lexer::new(text);
        // What was read of a declaration, and other beginnings of it, in other branches of a condition.
        let mut tokens: Vec<Token> = Vec::new();
        let mut others: Vec<Vec<Token>> = Vec::new();
        let mut conditions: Vec<usize> = Vec::new();
        while let Some(token) = lexer.next(macros) {
            match token {
                Token::If => conditions.push(tokens.len()),
                Token::Else => {
                    let kept = conditions.last().copied().unwrap_or(0).min(tokens.len());
                    if name(&lexer, &tokens).is_some_and(|(.., group)| has_type(&lexer, &tokens[..group - 1])) {
                        others.push(tokens.clone());
                    }
                    tokens.truncate(kept);
                }
                Token::Endif => drop(conditions.pop()),
                Token::Punct(b';', _) => {
                    self.declarations(&lexer, &tokens, &others, macros, depth, false);
                    tokens.clear();
                    others.clear();
                }
                Token::Open(at) => {
                    let is_value = tokens.iter().any(|token| matches!(token, Token::Punct(b'=', _)));
                    let is_language = matches!(tokens.as_slice(), [Token::Word(..), Token::Text]);
                    let is_function = !is_value && tokens.iter().any(|token| matches!(token, Token::Group(..)));
                    let is_function = is_function && has_head(&lexer, &tokens);
                    if is_language {
                        // extern "C" { declarations }
                        tokens.clear();
                    } else if is_function {
                        self.declarations(&lexer, &tokens, &others, macros, depth, true);
                        tokens.clear();
                        others.clear();
                        lexer.skip_braces(true, macros);
                    } else {
                        lexer.skip_braces(false, macros);
                        tokens.push(Token::Body(at));
                    }
                }
                Token::Close => {
                    tokens.clear();
                    others.clear();
                }
                token => tokens.push(token),
            }
        }
    }

    fn declarations(
        &mut self,
        lexer: &Lexer<'a>,
        tokens: &[Token],
        others: &[Vec<Token>],
        macros: &mut Macros<'a>,
        depth: usize,
        has_body: bool,
    ) {
        for tokens in others.iter().map(Vec::as_slice).chain([tokens]) {
            self.declaration(lexer, tokens, macros, depth, has_body);
        }
    }

    fn declaration(
        &mut self,
        lexer: &Lexer<'a>,
        tokens: &[Token],
        macros: &mut Macros<'a>,
        depth: usize,
        has_body: bool,
    ) {
        if words(lexer, tokens).any(|word| LOCAL.contains(&word)) {
            // What comes after a macro without a semicolon may be another declaration.
            return;
        }
        if words(lexer, tokens).next().is_some_and(|word| STATEMENTS.contains(&word)) {
            return;
        }
        let is_weak = is_weak(lexer, tokens);
        let mut is_macros = false;
        let end = tokens.iter().position(|token| matches!(token, Token::Punct(b'=', _))).unwrap_or(tokens.len());
        for (index, pair) in tokens[..end].windows(2).enumerate() {
            let [Token::Word(from, to), Token::Group(open, close)] = *pair else { continue };
            let (name, inside) = (lexer.text(from, to), lexer.text(open + 1, close));
            if matches!(name, "asm" | "__asm__" | "__asm") {
                self.labels(inside, open + 1);
                is_macros = true;
            } else if let Some(made) = macros::made(name) {
                let is_extern = words(lexer, tokens).any(|word| word == "extern");
                let argument = arguments(inside).into_iter().nth(made.argument);
                // `DEFINE_PER_CPU(type, name[4])`
                let bare = |argument: &'a str| argument.split('[').next().unwrap_or(argument).trim_end();
                let argument = argument.map(|(argument, within)| (bare(argument), within));
                if let Some((argument, within)) = argument.filter(|(argument, _)| !is_extern && is_name(argument)) {
                    for pattern in made.patterns {
                        self.found.push(Symbol {
                            name: made_name(pattern, argument),
                            at: open + 1 + within,
                            length: argument.len(),
                            is_weak: is_weak || made.is_weak,
                        });
                    }
                }
                is_macros = true;
            } else if depth < MAX_DEPTH && macros.has(name) && !has_type(lexer, &tokens[..index]) {
                let last = matches!(tokens.last(), Some(Token::Group(at, _)) if *at == open);
                self.expand(name, (from, to), (inside, open + 1), macros, depth, has_body && last);
                is_macros |= last;
            }
        }
        if is_macros {
            return;
        }
        if has_body || is_alias(lexer, tokens) {
            self.function(lexer, tokens, is_weak);
        } else {
            self.variables(lexer, tokens, is_weak);
        }
    }

    /// Cases 1, 2 and 7.
    fn function(&mut self, lexer: &Lexer<'a>, tokens: &[Token], is_weak: bool) {
        let is_inline = |word: &str| matches!(word, "inline" | "__inline" | "__inline__" | "__always_inline");
        if words(lexer, tokens).any(is_inline) && words(lexer, tokens).any(|word| word == "extern") {
            return;
        }
        let Some((from, to, group)) = name(lexer, tokens) else { return };
        let text = lexer.text(from, to);
        if STATEMENTS.contains(&text) {
            return;
        }
        if text.starts_with("DEFINE_")
            && let Some(Token::Group(open, close)) = tokens.get(group)
        {
            let inside = arguments(lexer.text(open + 1, *close));
            if let Some((argument, within)) = inside.into_iter().next().filter(|(argument, _)| is_name(argument)) {
                self.push(argument, open + 1 + within, is_weak);
            }
            return;
        }
        self.push(text, from, is_weak);
    }

    /// Case 3.
    fn variables(&mut self, lexer: &Lexer<'a>, tokens: &[Token], is_weak: bool) {
        let is_extern = words(lexer, tokens).any(|word| word == "extern");
        let mut is_first = true;
        for declarator in tokens.split(|token| matches!(token, Token::Punct(b',', _))) {
            let end = declarator.iter().position(|token| matches!(token, Token::Punct(b'=', _)));
            let has_value = end.is_some();
            let declarator = declarator.get(..end.unwrap_or(declarator.len())).unwrap_or_default();
            let names = declared(lexer, declarator, is_first);
            is_first = false;
            if is_extern && !has_value {
                continue;
            }
            for (from, to) in names {
                self.push(lexer.text(from, to), from, is_weak);
            }
        }
    }

    fn push(&mut self, name: &'a str, at: usize, is_weak: bool) {
        self.found.push(Symbol { name: Cow::Borrowed(name), at, length: name.len(), is_weak });
    }

    /// Case 5: what the text of a macro defines, found where an argument names it, or else where the macro is used.
    fn expand(
        &mut self,
        name: &'a str,
        (from, to): (usize, usize),
        (inside, offset): (&'a str, usize),
        macros: &mut Macros<'a>,
        depth: usize,
        has_body: bool,
    ) {
        let arguments = arguments(inside);
        let Some(mut text) = macros.expand(name, &arguments, self.left) else { return };
        self.left = self.left.saturating_sub(text.len());
        text.push_str(if has_body { "{}" } else { ";" });
        let mut inner = Reader { found: Vec::new(), left: self.left };
        inner.read(&text, &mut macros.clone(), depth + 1);
        self.left = inner.left;
        let named = |name: &str| arguments.iter().find(|(argument, _)| *argument == name);
        let outside = inner.found.iter().map(|symbol| {
            let (at, length) = named(&symbol.name).map_or((from, to - from), |(text, at)| (offset + at, text.len()));
            Symbol { name: Cow::Owned(symbol.name.clone().into_owned()), at, length, is_weak: symbol.is_weak }
        });
        self.found.extend(outside);
    }

    /// Case 6.
    fn labels(&mut self, inside: &'a str, offset: usize) {
        let strings = lexer::strings(inside);
        let statements = || {
            strings
                .iter()
                .flat_map(|(text, at)| lexer::pieces(text).map(move |(piece, within)| (piece, offset + at + within)))
        };
        let globals: Vec<&str> = statements()
            .filter_map(|(piece, _)| piece.strip_prefix(".globl").or_else(|| piece.strip_prefix(".global")))
            .map(str::trim)
            .collect();
        let weak: Vec<&str> =
            statements().filter_map(|(piece, _)| piece.strip_prefix(".weak")).map(str::trim).collect();
        for (piece, at) in statements() {
            let Some((label, _)) = piece.split_once(':').filter(|(label, _)| is_name(label)) else { continue };
            if globals.contains(&label) || weak.contains(&label) {
                self.push(label, at, weak.contains(&label));
            }
        }
    }
}

fn words<'t, 'a: 't>(lexer: &'t Lexer<'a>, tokens: &'t [Token]) -> impl Iterator<Item = &'a str> + 't {
    tokens.iter().filter_map(|token| match token {
        Token::Word(from, to) => Some(lexer.text(*from, *to)),
        _ => None,
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(lexer::is_of_word)
}

fn made_name<'a>(pattern: &str, argument: &'a str) -> Cow<'a, str> {
    match pattern.split_once("{}") {
        Some(("", "")) | None => Cow::Borrowed(argument),
        Some((before, after)) => Cow::Owned(format!("{before}{argument}{after}")),
    }
}

/// What stands between the commas of parentheses, without blanks around it, and where.
fn arguments(inside: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut begin = 0;
    let mut depth = 0_usize;
    let mut ends: Vec<usize> = Vec::new();
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => ends.push(at),
            _ => {}
        }
    }
    for end in ends.into_iter().chain([inside.len()]) {
        let part = inside.get(begin..end).unwrap_or_default();
        let trimmed = part.trim();
        found.push((trimmed, begin + (part.len() - part.trim_start().len())));
        begin = end + 1;
    }
    found
}

/// Words before parentheses that name no function.
fn is_attribute(word: &str) -> bool {
    word.starts_with("__attribute")
        || word.starts_with("__typeof")
        || matches!(
            word,
            "typeof"
                | "typeof_unqual"
                | "_Alignas"
                | "alignas"
                | "__aligned"
                | "__section"
                | "__printf"
                | "__scanf"
                | "__alias"
                | "__releases"
                | "__acquires"
                | "__must_hold"
                | "__cond_acquires"
                | "__cond_releases"
                | "__acquires_shared"
                | "__releases_shared"
                | "__must_hold_shared"
                | "__assume_aligned"
                | "__alloc_size"
                | "__counted_by"
                | "__no_sanitize"
                | "__nonnull"
                | "__format"
                | "__cleanup"
                | "__malloc"
                | "__realloc_size"
                | "__copy"
                | "__guarded_by"
                | "__pt_guarded_by"
                | "__target"
                | "__diagnose_as"
                | "__free"
                | "__ifunc"
                | "__error"
                | "__warning"
                | "__overloadable"
                | "__bf_shf"
        )
}

/// Words in capitals are macros.
fn is_capitals(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The name of a function, and which token its parentheses are.
fn name(lexer: &Lexer<'_>, tokens: &[Token]) -> Option<(usize, usize, usize)> {
    let mut last = None;
    for (at, pair) in tokens.windows(2).enumerate() {
        let [Token::Word(from, to), Token::Group(..)] = *pair else { continue };
        if is_attribute(lexer.text(from, to)) {
            continue;
        }
        if has_type(lexer, &tokens[..at]) {
            return Some((from, to, at + 1));
        }
        // Macros may come before: `MACRO(x) name(...)`.
        last = Some((from, to, at + 1));
    }
    // Without a type, capitals are a macro that is not known.
    let is_macro = |word: &str| is_capitals(word) && !word.starts_with("DEFINE_");
    last.filter(|(from, to, _)| !is_macro(lexer.text(*from, *to)))
}

/// Whether a type ends here: with a word that is more than a qualifier, or with an asterisk.
fn has_type(lexer: &Lexer<'_>, before: &[Token]) -> bool {
    let mut before = before.iter().rev();
    while let Some(token) = before.next() {
        match token {
            Token::Word(from, to) if is_qualifier(lexer.text(*from, *to)) => {}
            Token::Word(..) | Token::Body(_) | Token::Punct(b'*', _) => return true,
            // Of an attribute, or of a macro that came before.
            Token::Group(..) => match before.next() {
                Some(Token::Word(from, to)) if lexer.text(*from, *to).contains("typeof") => return true,
                Some(Token::Word(from, to)) if is_attribute(lexer.text(*from, *to)) => {}
                _ => return false,
            },
            _ => return false,
        }
    }
    false
}

/// Whether parentheses follow that are no attribute's.
fn has_head(lexer: &Lexer<'_>, tokens: &[Token]) -> bool {
    let is_head = |pair: &[Token]| matches!(*pair, [Token::Word(from, to), Token::Group(..)] if !is_attribute(lexer.text(from, to)));
    tokens.windows(2).any(is_head)
}

fn is_weak(lexer: &Lexer<'_>, tokens: &[Token]) -> bool {
    tokens.iter().enumerate().any(|(at, token)| match token {
        Token::Word(from, to) => lexer.text(*from, *to) == "__weak",
        Token::Group(open, close) => {
            let of_attribute = at.checked_sub(1).and_then(|before| tokens.get(before));
            matches!(of_attribute, Some(Token::Word(from, to)) if lexer.text(*from, *to).starts_with("__attribute"))
                && lexer.text(*open, *close).contains("weak")
        }
        _ => false,
    })
}

fn is_alias(lexer: &Lexer<'_>, tokens: &[Token]) -> bool {
    tokens.windows(2).any(|pair| match *pair {
        [Token::Word(from, to), Token::Group(open, close)] => match lexer.text(from, to) {
            "__alias" => true,
            word => word.starts_with("__attribute") && lexer.text(open, close).contains("alias("),
        },
        _ => false,
    })
}

/// Words that are types, or parts of them, by themselves.
const TYPES: [&str; 14] = [
    "void",
    "char",
    "short",
    "int",
    "long",
    "float",
    "double",
    "signed",
    "unsigned",
    "_Bool",
    "bool",
    "__signed__",
    "__int128",
    "__auto_type",
];

/// Words of a declaration that are no part of what is declared.
fn is_qualifier(word: &str) -> bool {
    const ENDS: [&str; 26] = [
        "_mostly",
        "_after_init",
        "_initdata",
        "_initconst",
        "initdata",
        "initconst",
        "_aligned",
        "_in_smp",
        "_used",
        "_unused",
        "_weak",
        "_visible",
        "_percpu",
        "_user",
        "_iomem",
        "_rcu",
        "_force",
        "_packed",
        "_exitdata",
        "_refdata",
        "_refconst",
        "_layout",
        "_decrypted",
        "_aligned_data",
        "_aligned_bss",
        "_or_module",
    ];
    matches!(
        word,
        "const"
            | "volatile"
            | "register"
            | "extern"
            | "inline"
            | "asmlinkage"
            | "noinline"
            | "notrace"
            | "noinstr"
            | "__extension__"
            | "__visible"
            | "__weak"
            | "__used"
            | "__init"
            | "__exit"
            | "__ref"
            | "__read_mostly"
            | "__const"
            | "__volatile__"
            | "__kernel"
            | "__attribute_const__"
            | "__nosavedata"
            | "_Thread_local"
    ) || (word.starts_with("__") && ENDS.iter().any(|end| word.ends_with(end)))
}

/// The names that a declarator may declare; `with_type`: the type stands before it.
fn declared(lexer: &Lexer<'_>, tokens: &[Token], with_type: bool) -> Vec<(usize, usize)> {
    let mut has_type = !with_type;
    let mut names: Vec<(usize, usize)> = Vec::new();
    let mut dropped = None;
    let mut has_body = false;
    let mut tokens = tokens.iter().peekable();
    let mut last: Option<&str> = None;
    while let Some(token) = tokens.next() {
        match *token {
            Token::Word(from, to) => {
                let word = lexer.text(from, to);
                last = Some(word);
                if STATEMENTS.contains(&word) {
                    return Vec::new();
                }
                if matches!(word, "struct" | "union" | "enum") {
                    has_type = true;
                    // Its tag, behind attributes.
                    while let Some(Token::Word(from, to)) = tokens.peek() {
                        let tag = lexer.text(*from, *to);
                        tokens.next();
                        if is_attribute(tag) {
                            tokens.next_if(|next| matches!(next, Token::Group(..)));
                        } else if !is_qualifier(tag) {
                            break;
                        }
                    }
                } else if TYPES.contains(&word) {
                    has_type = true;
                } else if is_attribute(word) {
                    has_type |= word.contains("typeof");
                    tokens.next_if(|next| matches!(next, Token::Group(..)));
                } else if is_qualifier(word) {
                    dropped = (!has_body && word.starts_with("__")).then_some((from, to));
                } else {
                    names.push((from, to));
                }
            }
            Token::Group(open, close) => {
                let inside = lexer.text(open + 1, close);
                // `(*name)(...)`, or else the parameters of what is declared only, or a macro that is not known.
                let is_pointer = inside.trim_start().starts_with('*')
                    && tokens.peek().is_some_and(|next| matches!(next, Token::Group(..) | Token::Index));
                if !is_pointer || (last.is_none() && !has_type) {
                    return Vec::new();
                }
                let end = inside.find(['(', '[']).unwrap_or(inside.len());
                let inner = Lexer::words(inside.get(..end).unwrap_or_default());
                let name = inner.into_iter().rfind(|(from, to)| {
                    inside.get(*from..*to).is_some_and(|word| !is_qualifier(word) && !is_attribute(word))
                });
                return name.map(|(from, to)| (open + 1 + from, open + 1 + to)).into_iter().collect();
            }
            Token::Body(_) => (has_type, has_body, dropped) = (true, true, None),
            Token::Punct(b'*', _) | Token::Index => {}
            // `foo: bar`, or an expression.
            _ => return Vec::new(),
        }
    }
    if !has_type && !names.is_empty() {
        // The name of a type.
        names.remove(0);
    }
    let Some(&name) = names.last() else { return dropped.filter(|_| has_type && with_type).into_iter().collect() };
    // What begins with two underscores behind a name, or has capitals only, may be an attribute that is not known.
    let before = names.len().checked_sub(2).and_then(|at| names.get(at));
    let word = lexer.text(name.0, name.1);
    let may_be_attribute = word.starts_with("__") || is_capitals(word);
    before.filter(|_| may_be_attribute).copied().into_iter().chain([name]).collect()
}

#[cfg(test)]
mod tests;
