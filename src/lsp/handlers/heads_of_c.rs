//! Where C writes the heads of its functions, beside where their code begins.
//!
//! In: a text of C, a line.  Out: the line of the head of a function, or those whose code a line is about.
//! Holds afterwards: no more than `MAX_HEAD` lines were read, and none of another function's.

/// The lines that a head of C may take.
const MAX_HEAD: usize = 16;

/// Whether a line begins as a head does: with a word at the margin.
fn at_margin(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The line in which C writes the head of the function whose code begins at a line: in the kernel's style that is the line of
/// the brace. Without a head of that name, as macros that define functions have it, the line at the margin above the brace.
pub fn head_in_c(lines: &[&str], first: usize, name: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let names_it = |line: &str| {
        line.match_indices(name)
            .any(|(at, _)| !line[..at].ends_with(is_word) && line[at + name.len()..].trim_start().starts_with('('))
    };
    let above = || {
        let all = (0..=first).rev().take(MAX_HEAD).filter_map(|at| Some((at, *lines.get(at)?)));
        // What ends there is another function.
        all.take_while(|(at, line)| *at == first || !line.starts_with('}'))
    };
    let named = above().find(|(_, line)| at_margin(line) && names_it(line));
    let brace = lines.get(first).is_some_and(|line| line.starts_with('{'));
    named.or_else(|| above().find(|(_, line)| brace && at_margin(line))).map(|(at, _)| at)
}

/// The line itself; and where it is at the margin, as a head of C is, the line of the brace below, at which code begins.
pub fn lines_of_c(text: &str, line: u32) -> Vec<u32> {
    let mut lines = text.lines().enumerate().skip(line as usize).take(MAX_HEAD);
    let is_head = |(_, text): &(usize, &str)| at_margin(text);
    let brace = lines.next().filter(is_head).and_then(|head| {
        let ends = |text: &str| text.starts_with(['{', '}', '#']) || text.trim_end().ends_with(';');
        [head].into_iter().chain(lines).find(|(_, text)| ends(text)).filter(|(_, text)| text.starts_with('{'))
    });
    std::iter::once(line).chain(brace.and_then(|(at, _)| u32::try_from(at).ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_c_is_where_its_name_is() {
        let text = "int before(void)\n{\n}\n\nstatic long\nsum(int one,\n    int two)\n{\n\treturn sum(1, 2);\n}\n\nSYSCALL_DEFINE1(kill, int,\n\t\tpid)\n{\n}\nint x(void) { return y(); }\n";
        let lines: Vec<&str> = text.lines().collect();
        for (first, name, head) in [
            (1, "before", Some(0)),
            (7, "sum", Some(5)),
            (5, "sum", Some(5)),
            (8, "sum", Some(5)),
            (13, "__do_sys_kill", Some(11)),
            (15, "x", Some(15)),
            // Code of another file's macro, and a line that is gone.
            (8, "other", None),
            (99, "sum", None),
        ] {
            assert_eq!(head_in_c(&lines, first, name), head, "{name} at {first}");
        }
    }

    #[test]
    fn the_code_of_a_head_of_c_is_at_its_brace() {
        let text = "struct one\n{\n\tint x;\n};\n\nint sum(int a,\n\tint b);\nstatic long\nsum(int a,\n\tint b)\n{\n\treturn a;\n}\n#define X\n{\n";
        for (line, lines) in
            [(0, vec![0, 1]), (4, vec![4]), (5, vec![5]), (7, vec![7, 10]), (8, vec![8, 10]), (9, vec![9])]
        {
            assert_eq!(lines_of_c(text, line), lines, "{line}");
        }
        // Neither what is indented, nor a closing brace, nor the preprocessor's lines, nor what is behind the end.
        for line in [10, 11, 12, 13, 99] {
            assert_eq!(lines_of_c(text, line), [line], "{line}");
        }
    }
}
