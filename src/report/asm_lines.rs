//! Labels and statements of assembly, in a file of their own or in the strings of C.
//!
//! In: a text, a line of it.  Out: where a function's label is, the statements of the line.
//! Holds afterwards: comments are no part of a statement, and labels none of the one behind them.

/// The line, from 0, in which `function` is a label: `f:`, `SYM_FUNC_START(f)`.
pub(super) fn label_of(text: &str, function: &str) -> Option<usize> {
    text.lines().position(|line| {
        line.match_indices(function).any(|(at, name)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let is_word = !before.ends_with(is_name) && !after.starts_with(is_name);
            let opened = before.trim_end();
            let is_started = opened.ends_with('(') && (opened.contains("START") || opened.contains("ENTRY"));
            is_word && (after.starts_with(':') || is_started)
        })
    })
}

pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.' || c == '$'
}

/// The assembler's statements of a line, be it assembly or a string of C.
pub(super) fn statements(line: &str) -> impl Iterator<Item = String> + use<> {
    let strings = line.contains('"').then(|| line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(""));
    let text = strings.unwrap_or_else(|| line.to_owned());
    let text = text.replace("\\n", ";").replace("\\t", " ").replace("%%", "%");
    let code = without_comments(text.split("//").next().unwrap_or_default());
    let bare = |statement: &str| {
        let statement = statement.split('#').next().unwrap_or_default().trim();
        match statement.split_once(':') {
            Some((label, rest)) if label.chars().all(is_name) => rest.trim().to_owned(),
            _ => statement.to_owned(),
        }
    };
    let all: Vec<String> = code.split(';').map(bare).filter(|statement| !statement.is_empty()).collect();
    all.into_iter()
}

/// The line without its comments; one that does not end in it goes on to its end.
fn without_comments(line: &str) -> String {
    let mut code = String::new();
    let mut left = line;
    while let Some((before, comment)) = left.split_once("/*") {
        code.push_str(before);
        code.push(' ');
        left = comment.split_once("*/").map_or("", |(_, behind)| behind);
    }
    code + left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_told_from_uses() {
        let text = "int f(void);\n\tcall f\nff:\nSYM_FUNC_START(f)\nf:\n";
        assert_eq!(label_of(text, "f"), Some(3));
        assert_eq!(label_of("asm(\"g: ret\");\n", "g"), Some(0));
        assert_eq!(label_of("\tcall f\n", "f"), None);
    }

    #[test]
    fn statements_of_assembly_and_of_strings() {
        let all = |line: &str| statements(line).collect::<Vec<_>>();
        assert_eq!(all("1:\tpush %rbx; nop\t# why"), ["push %rbx", "nop"]);
        assert_eq!(all("\t\"f:\\n\\tpush %%rbx\\n\\t\""), ["push %rbx"]);
        assert_eq!(all("\t.byte 0x0f, 0x0b // ud2"), [".byte 0x0f, 0x0b"]);
        assert!(all("/* nothing */").is_empty());
        assert_eq!(all("push %rbx /* a; b */ ; ret /* to be"), ["push %rbx", "ret"]);
    }
}
