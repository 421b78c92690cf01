//! The expressions of `#if`, as far as they can be decided without the compiler.
//!
//! In: an expression, and what is known of names.  Out: its value, or that it is unknown.
//! Holds afterwards: nothing unknown was guessed; the work is bounded by the expression's length.

/// Whether something holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That is unknown.
    Unknown,
}

impl Known {
    /// What a value says as a condition.
    pub fn of(value: Option<i64>) -> Known {
        match value {
            None => Known::Unknown,
            Some(0) => Known::No,
            Some(_) => Known::Yes,
        }
    }

    /// Both hold.
    pub fn and(self, other: Known) -> Known {
        match (self, other) {
            (Known::No, _) | (_, Known::No) => Known::No,
            (Known::Yes, Known::Yes) => Known::Yes,
            _ => Known::Unknown,
        }
    }

    /// One of them holds.
    pub fn or(self, other: Known) -> Known {
        !(!self).and(!other)
    }
}

impl std::ops::Not for Known {
    type Output = Known;

    fn not(self) -> Known {
        match self {
            Known::Yes => Known::No,
            Known::No => Known::Yes,
            Known::Unknown => Known::Unknown,
        }
    }
}

/// What an expression may ask.
pub trait Facts {
    /// `defined(name)`
    fn is_defined(&self, name: &str) -> Known;

    /// The text that a name stands for; `None` for one that is not defined, which counts as 0.
    fn text(&self, name: &str) -> Option<&str>;

    /// What a function-like macro comes to, of those that are known by name: `IS_ENABLED(CONFIG_X)`.
    fn call(&self, name: &str, argument: &str) -> Option<i64>;
}

/// Names that stand for names are followed so far.
const MAX_DEPTH: usize = 16;
/// Parentheses and operators within each other.
const MAX_NESTED: usize = 400;
/// Operators and names in all.
const MAX_WORK: usize = 10_000;

/// The value of an expression; `None` where it is unknown.
pub fn value(expression: &str, facts: &dyn Facts) -> Option<i64> {
    let mut work = MAX_WORK;
    evaluate(expression, facts, 0, &mut work)
}

fn evaluate(expression: &str, facts: &dyn Facts, depth: usize, work: &mut usize) -> Option<i64> {
    let mut parser = Parser { rest: expression, facts, depth, work, nested: 0 };
    let value = parser.binary(0);
    parser.space();
    // What is left over was not understood.
    if parser.rest.is_empty() { value? } else { None }
}

struct Parser<'a> {
    rest: &'a str,
    facts: &'a dyn Facts,
    depth: usize,
    work: &'a mut usize,
    nested: usize,
}

/// Operators by how tight they bind, longest first where one begins another.
const OPERATORS: [(&str, u8); 18] = [
    ("||", 1),
    ("&&", 2),
    ("==", 6),
    ("!=", 6),
    ("<=", 7),
    (">=", 7),
    ("<<", 8),
    (">>", 8),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("<", 7),
    (">", 7),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("%", 10),
];

impl<'a> Parser<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, text: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Whether there is work left.
    fn works(&mut self) -> Option<()> {
        *self.work = self.work.checked_sub(1)?;
        Some(())
    }

    fn operator(&mut self) -> Option<(&'static str, u8)> {
        self.space();
        OPERATORS.iter().find(|(word, _)| self.rest.starts_with(word)).copied()
    }

    /// The outer option is `None` where the text is no expression; the inner one where its value is unknown.
    #[allow(clippy::option_option, reason = "an expression may be well formed and of unknown value")]
    fn binary(&mut self, least: u8) -> Option<Option<i64>> {
        self.enter()?;
        let value = self.operators(least);
        self.nested -= 1;
        value
    }

    /// Goes one level deeper, if there are not too many.
    fn enter(&mut self) -> Option<()> {
        self.works()?;
        self.nested += 1;
        (self.nested <= MAX_NESTED).then_some(())
    }

    #[allow(clippy::option_option, reason = "an expression may be well formed and of unknown value")]
    fn operators(&mut self, least: u8) -> Option<Option<i64>> {
        let mut left = self.unary()?;
        while let Some((word, tightness)) = self.operator().filter(|(_, tightness)| *tightness > least) {
            self.works()?;
            self.eat(word);
            let right = self.binary(tightness)?;
            left = apply(word, left, right);
        }
        if least == 0 && self.eat("?") {
            let yes = self.binary(0)?;
            if !self.eat(":") {
                return None;
            }
            let no = self.binary(0)?;
            left = match left {
                Some(0) => no,
                Some(_) => yes,
                None => None,
            };
        }
        Some(left)
    }

    #[allow(clippy::option_option, reason = "an expression may be well formed and of unknown value")]
    fn unary(&mut self) -> Option<Option<i64>> {
        self.enter()?;
        let value = self.operand();
        self.nested -= 1;
        value
    }

    #[allow(clippy::option_option, reason = "an expression may be well formed and of unknown value")]
    fn operand(&mut self) -> Option<Option<i64>> {
        if self.eat("!") {
            return Some(self.unary()?.map(|value| i64::from(value == 0)));
        }
        if self.eat("-") {
            return Some(self.unary()?.and_then(i64::checked_neg));
        }
        if self.eat("~") {
            return Some(self.unary()?.map(|value| !value));
        }
        if self.eat("+") {
            return self.unary();
        }
        if self.eat("(") {
            let value = self.binary(0)?;
            return self.eat(")").then_some(value);
        }
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return None;
        }
        self.rest = rest;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(number(word));
        }
        if word == "defined" {
            return self.defined();
        }
        self.space();
        if self.rest.starts_with('(') {
            let argument = self.argument()?;
            return Some(self.facts.call(word, argument));
        }
        Some(self.name(word))
    }

    #[allow(clippy::option_option, reason = "an expression may be well formed and of unknown value")]
    fn defined(&mut self) -> Option<Option<i64>> {
        self.space();
        let in_parentheses = self.eat("(");
        self.space();
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.is_empty() || (in_parentheses && !self.eat(")")) {
            return None;
        }
        Some(match self.facts.is_defined(name) {
            Known::Yes => Some(1),
            Known::No => Some(0),
            Known::Unknown => None,
        })
    }

    /// The text in parentheses.
    fn argument(&mut self) -> Option<&'a str> {
        let mut depth = 0_usize;
        for (at, c) in self.rest.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth -= 1;
                    if depth == 0 {
                        let argument = &self.rest[1..at];
                        self.rest = &self.rest[at + 1..];
                        return Some(argument.trim());
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn name(&mut self, name: &str) -> Option<i64> {
        match self.facts.is_defined(name) {
            // "The C Preprocessor", "If": identifiers that are no macros count as 0.
            Known::No => Some(0),
            Known::Unknown => None,
            Known::Yes if self.depth >= MAX_DEPTH => None,
            Known::Yes => evaluate(self.facts.text(name)?, self.facts, self.depth + 1, self.work),
        }
    }
}

fn apply(word: &str, left: Option<i64>, right: Option<i64>) -> Option<i64> {
    let truth = |holds: bool| Some(i64::from(holds));
    match (word, left, right) {
        ("&&", Some(0), _) | ("&&", _, Some(0)) => return Some(0),
        ("&&", Some(_), Some(_)) => return Some(1),
        ("||", Some(0), Some(0)) => return Some(0),
        ("||", Some(value), _) | ("||", _, Some(value)) if value != 0 => return Some(1),
        _ => {}
    }
    let (left, right) = (left?, right?);
    let distance = || u32::try_from(right).ok();
    match word {
        "|" => Some(left | right),
        "^" => Some(left ^ right),
        "&" => Some(left & right),
        "==" => truth(left == right),
        "!=" => truth(left != right),
        "<=" => truth(left <= right),
        ">=" => truth(left >= right),
        "<" => truth(left < right),
        ">" => truth(left > right),
        "<<" => left.checked_shl(distance()?),
        ">>" => left.checked_shr(distance()?),
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" => left.checked_div(right),
        "%" => left.checked_rem(right),
        _ => None,
    }
}

/// A number with the suffixes of C.
pub fn number(word: &str) -> Option<i64> {
    let bare = word.trim_end_matches(['u', 'U', 'l', 'L']);
    if let Some(hex) = bare.strip_prefix("0x").or_else(|| bare.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok();
    }
    if let Some(binary) = bare.strip_prefix("0b").or_else(|| bare.strip_prefix("0B")) {
        return i64::from_str_radix(binary, 2).ok();
    }
    match bare.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        Some(octal) => i64::from_str_radix(octal, 8).ok(),
        None => bare.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(&'static [(&'static str, &'static str)]);

    impl Facts for Table {
        fn is_defined(&self, name: &str) -> Known {
            match name {
                _ if name.starts_with('?') || name.starts_with("__") => Known::Unknown,
                _ if self.text(name).is_some() => Known::Yes,
                _ => Known::No,
            }
        }

        fn text(&self, name: &str) -> Option<&str> {
            self.0.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
        }

        fn call(&self, name: &str, argument: &str) -> Option<i64> {
            (name == "IS_ENABLED").then(|| i64::from(self.text(argument).is_some()))
        }
    }

    #[track_caller]
    fn check(expression: &str, expected: Option<i64>) {
        let table = Table(&[("A", "1"), ("B", "(A + 2)"), ("LOOP", "LOOP"), ("EMPTY", "")]);
        assert_eq!(value(expression, &table), expected, "{expression}");
    }

    #[test]
    fn known_names_decide() {
        check("defined(A) && !defined C", Some(1));
        check("B == 3 && (A << 4) >= 0x10L", Some(1));
        check("1 + 2 * 3 - 4 / 2", Some(5));
        check("IS_ENABLED(A) || C", Some(1));
        check("C ? 7 : 8", Some(8));
        check("010 == 8 && -1 < 0", Some(1));
    }

    #[test]
    fn what_is_unknown_stays_so_unless_it_does_not_matter() {
        check("__GNUC__ > 4", None);
        check("0 && __GNUC__ > 4", Some(0));
        check("__GNUC__ > 4 || A", Some(1));
        check("__has_include(<x.h>)", None);
    }

    #[test]
    fn nonsense_has_no_value_and_ends() {
        check("LOOP", None);
        check("EMPTY", None);
        check("1 +", None);
        check("(1", None);
        check("1 / 0", None);
        check("1 2", None);
        check(&"(".repeat(10_000), None);
        check(&"!".repeat(10_000), None);
    }
}
