//! Fixes of how a function is framed: its end, its size, its frame, its kind.
//!
//! In: a case.  Out: [`Fix`]es.
//! Reads like: `include/linux/linkage.h`, `arch/x86/include/asm/frame.h`.

use super::case::Case;
use super::patch::{Fix, Patch};

fn is_return(line: &str) -> bool {
    matches!(line.split_whitespace().next(), Some("RET" | "ret" | "retq"))
}

/// A frame around the function.
pub(super) fn frame(case: &Case<'_>) -> Option<Fix> {
    let (start, end) = case.extent().filter(|_| case.assembly)?;
    let mut patches = vec![Patch::insert(start + 1, vec!["\tFRAME_BEGIN".to_owned()])];
    let returns = (start..end).filter(|&line| is_return(case.lines[line]));
    patches.extend(returns.map(|line| Patch::insert(line, vec!["\tFRAME_END".to_owned()])));
    patches.extend(case.include("asm/frame.h"));
    Some(Fix::new("Set up a frame with `FRAME_BEGIN` and `FRAME_END`", patches))
}

/// An `asm` statement that calls must name the stack pointer as an output, so that the compiler sets up the frame first. It
/// comes behind the other outputs, and operands with numbers behind it get new ones.
pub(super) fn call_constraint(case: &Case<'_>) -> Option<Fix> {
    let (_, block) = case.text.block_at(case.line).filter(|(_, block)| !block.top_level)?;
    let lines = case.lines.get(block.first..=block.last)?;
    let changed = with_call_constraint(&lines.join("\n"))?;
    let new: Vec<&str> = changed.lines().collect();
    let numbered = lines.iter().zip(&new).enumerate().filter(|(_, (old, new))| old != new);
    let patches = numbered.map(|(at, (_, new))| Patch::replace(block.first + at, (*new).to_owned())).collect();
    Some(Fix::new("Add `ASM_CALL_CONSTRAINT` to the outputs of the asm statement", patches))
}

/// An asm statement with `ASM_CALL_CONSTRAINT` as its last output. Its lines stay lines.
fn with_call_constraint(text: &str) -> Option<String> {
    let start = text.find("asm")?;
    let open = text[start..].find('(')? + start;
    let (mut depth, mut colons, mut end) = (0i32, Vec::new(), None);
    for (at, c) in outside_quotes(text).filter(|(at, _)| *at >= open) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => {
                depth -= 1;
                if depth == 0 {
                    end = Some(at);
                    break;
                }
            }
            ':' if depth == 1 => colons.push(at),
            _ => {}
        }
    }
    let end = end?;
    let Some(&first) = colons.first() else {
        return Some(format!("{} : ASM_CALL_CONSTRAINT{}", text[..end].trim_end(), &text[end..]));
    };
    let last = colons.get(1).copied().unwrap_or(end);
    let outputs = text[first + 1..last].trim_end();
    let mut depth = 0i32;
    let commas = outside_quotes(outputs).filter(|&(_, c)| {
        depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
        c == ',' && depth == 0
    });
    let is_empty = outputs.trim().is_empty();
    let n_outputs = if is_empty { 0 } else { commas.count() + 1 };
    let template = renumbered(&text[..first], n_outputs)?;
    let (kept, comma) = if is_empty { ("", "") } else { (outputs, ",") };
    let rest = &text[first + 1 + text[first + 1..last].trim_end().len()..];
    Some(format!("{template}:{kept}{comma} ASM_CALL_CONSTRAINT{rest}"))
}

/// The template with the numbers of inputs one higher. `None` where labels are counted, too.
fn renumbered(template: &str, n_outputs: usize) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        // A modifier may stand before the number: `%q0`.
        let modifier = rest.chars().next().filter(|c| c.is_ascii_alphabetic());
        let digits = &rest[modifier.map_or(0, char::len_utf8)..];
        let number: String = digits.chars().take_while(char::is_ascii_digit).collect();
        if number.is_empty() {
            continue;
        }
        if modifier == Some('l') {
            return None;
        }
        let value: usize = number.parse().ok()?;
        out.extend(modifier);
        out.push_str(&if value >= n_outputs { value + 1 } else { value }.to_string());
        rest = &digits[number.len()..];
    }
    out.push_str(rest);
    Some(out)
}

fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter(move |&(_, c)| {
        let was = quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !was && !quoted
    })
}

/// The size that a function lacks: behind its last line, in the way that the text around it is written.
pub(super) fn size(case: &Case<'_>) -> Vec<Fix> {
    let Some(name) = case.finding.function.as_deref().or(case.cause.subject.as_deref()) else { return Vec::new() };
    let Some(start) = case.text.label(name) else { return Vec::new() };
    let next = case.text.statements.iter().filter(|other| other.block == start.block && other.line > start.line);
    let ends = |text: &str| text.starts_with(".popsection") || text.starts_with(".globl") || text.starts_with(".type");
    let is_end = |text: &str| ends(text) || text.starts_with(".section") || text.starts_with(".text");
    let stop = next.clone().find(|other| {
        is_end(&other.text)
            || other
                .label()
                .is_some_and(|label| !label.starts_with(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']))
    });
    let last = next.take_while(|other| stop.is_none_or(|stop| other.line < stop.line)).last().unwrap_or(start);
    let title = format!("Give {name} its size: `.size {name}, . - {name}`");
    if case.assembly {
        let line = vec![format!("\t.size {name}, . - {name}")];
        return vec![Fix::new(title, vec![Patch::insert(last.line + 1, line)])];
    }
    let indent = case.indent(last.line);
    let closes = stop.is_none();
    let text = case.lines.get(last.line).copied().unwrap_or("");
    if closes {
        // The statement ends on this line: its closing parenthesis goes behind the new string.
        let Some(quote) = text.rfind('"') else { return Vec::new() };
        let (code, rest) = text.split_at(quote + 1);
        let separator = if code.ends_with("\\n\\t\"") || code.ends_with("\\n\"") { "" } else { "\\n\\t" };
        let first = format!("{}{separator}\"", &code[..code.len() - 1]);
        let second = format!("{indent}\".size {name}, . - {name}\"{rest}");
        let patch = Patch { line: last.line, replaces: true, with: vec![first, second] };
        return vec![Fix::new(title, vec![patch])];
    }
    let line = vec![format!("{indent}\".size {name}, . - {name}\\n\\t\"")];
    vec![Fix::new(title, vec![Patch::insert(last.line + 1, line)])]
}

/// Code that is not called like a function is not one.
pub(super) fn code_instead_of_function(case: &Case<'_>) -> Option<Fix> {
    let (start, end) = case.extent().filter(|_| case.assembly)?;
    let as_code = |line: usize| {
        let text = case.lines[line];
        let changed =
            text.replace("SYM_FUNC_START_LOCAL", "SYM_CODE_START_LOCAL").replace("SYM_FUNC_START", "SYM_CODE_START");
        let changed = changed.replace("SYM_FUNC_END", "SYM_CODE_END");
        (changed != text).then(|| Patch::replace(line, changed))
    };
    let patches = vec![as_code(start)?, as_code(end)?];
    Some(Fix::new("Make it code instead of a function: `SYM_CODE_START`, `SYM_CODE_END`", patches))
}

/// A return where the code runs on, or at the end of its function: the kernel's macro, or what the text itself has.
pub(super) fn ending(case: &Case<'_>) -> Vec<Fix> {
    if !case.assembly {
        return Vec::new();
    }
    let last = case.extent().and_then(|(_, end)| end.checked_sub(1));
    // Jumps to the end lead to labels behind the last instruction.
    let labels = case.text.labels_behind(case.at.unwrap_or(case.line));
    let mut lines: Vec<usize> = [case.at, labels, Some(case.line), last].into_iter().flatten().collect();
    lines.dedup();
    let is_plain = case.lines.iter().any(|line| line.trim() == "ret");
    let spellings = if is_plain { ["ret", "RET"] } else { ["RET", "ret"] };
    let after = |line: usize, instruction: &str| {
        let patch = Patch::insert(line + 1, vec![format!("{}{instruction}", case.indent(line))]);
        Fix::new(format!("Insert `{instruction}` after line {}", line + 1), vec![patch])
    };
    lines.into_iter().flat_map(|line| spellings.map(|instruction| after(line, instruction))).collect()
}

/// `RET` instead of a plain return, on the line itself or in the macro that the line uses.
pub(super) fn kernel_return(case: &Case<'_>) -> Vec<Fix> {
    if !case.assembly {
        let line = case.at.unwrap_or(case.line);
        let Some(changed) = case.lines.get(line).and_then(|text| with_return_string(text)) else { return Vec::new() };
        let title = "Use `ASM_RET`: it becomes what the build's mitigations ask for";
        return case.with_header(title, vec![Patch::replace(line, changed)], "linux/linkage.h");
    }
    let in_macros = case.causes.iter().map(|cause| cause.line);
    let lines = std::iter::once(case.line).chain(in_macros);
    let mut fixes = Vec::new();
    for line in lines {
        let Some(changed) = case.lines.get(line).and_then(|text| with_kernel_return(text)) else { continue };
        let place = if line == case.line { String::new() } else { format!(" in line {}", line + 1) };
        let title = format!("Use `RET`{place}: it becomes what the build's mitigations ask for");
        fixes.extend(case.with_header(&title, vec![Patch::replace(line, changed)], "linux/linkage.h"));
    }
    fixes
}

/// The line with `RET` for its plain return.
fn with_kernel_return(text: &str) -> Option<String> {
    let code = text.split('#').next().unwrap_or_default();
    let statement = code.trim_start();
    let written: String = statement.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    if matches!(written.as_str(), ".byte0xf3,0xc3" | ".byte0xc3" | ".byte243,195") {
        return Some(format!("{}RET", &code[..code.len() - statement.len()]));
    }
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    for plain in ["retq", "ret"] {
        for (at, _) in text.match_indices(plain) {
            let (before, after) = (&text[..at], &text[at + plain.len()..]);
            let alone = !before.ends_with(is_word) && !after.starts_with(is_word);
            // `ret; int3` has what RET brings along.
            let after = after
                .trim_start()
                .strip_prefix(';')
                .map_or(after, |rest| rest.trim_start().strip_prefix("int3").unwrap_or(after));
            if alone && !before.contains('#') && !before.contains("/*") && !after.trim_start().starts_with('$') {
                return Some(format!("{before}RET{after}"));
            }
        }
    }
    None
}

/// The line of an asm statement with `ASM_RET` for the plain return in its string.
fn with_return_string(text: &str) -> Option<String> {
    let (open, close) = (text.find('"')?, text.rfind('"')?);
    let code = text.get(open + 1..close)?;
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let at = code.match_indices("ret").map(|(at, _)| at).find(|&at| {
        let after = code[at + 3..].strip_prefix('q').unwrap_or(&code[at + 3..]);
        // The `t` and `n` of an escape are no part of the word.
        let before = &code[..at];
        let escaped = before.ends_with("\\t") || before.ends_with("\\n");
        (escaped || !before.ends_with(is_word)) && !after.starts_with(is_word) && !code.contains('"')
    })?;
    let before = &code[..at];
    let after = code[at + 3..].strip_prefix('q').unwrap_or(&code[at + 3..]);
    let after = after.trim_start_matches(['n', 't', '\\', ';', ' ']);
    let first = if before.trim().is_empty() { String::new() } else { format!("\"{before}\" ") };
    let rest = if after.is_empty() { String::new() } else { format!(" \"{after}\"") };
    Some(format!("{}{first}ASM_RET{rest}{}", &text[..open], &text[close + 1..]))
}

/// `int3` behind a jump.
pub(super) fn trap(case: &Case<'_>) -> Option<Fix> {
    let patch = Patch::insert(case.line + 1, vec![format!("{}int3", case.indent(case.line))]);
    case.assembly.then(|| Fix::new(format!("Insert `int3` after line {}", case.line + 1), vec![patch]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_constraint_comes_last_and_numbers_stay_right() {
        let text = "asm volatile(\"mov %1, %%rdi; call f; mov %%rax, %0\"\n\t: \"=r\" (r)\n\t: \"r\" (a) : \"rdi\");";
        let expected = "asm volatile(\"mov %2, %%rdi; call f; mov %%rax, %0\"\n\t: \"=r\" (r), ASM_CALL_CONSTRAINT\n\t: \"r\" (a) : \"rdi\");";
        assert_eq!(with_call_constraint(text).as_deref(), Some(expected));
        let none = "asm volatile(\"call f\" : : \"D\" (a) : \"memory\");";
        let expected = "asm volatile(\"call f\" : ASM_CALL_CONSTRAINT : \"D\" (a) : \"memory\");";
        assert_eq!(with_call_constraint(none).as_deref(), Some(expected));
        let bare = "asm volatile(\"call f\");";
        assert_eq!(with_call_constraint(bare).as_deref(), Some("asm volatile(\"call f\" : ASM_CALL_CONSTRAINT);"));
        let named = "asm(\"call f; mov %[a], %q0\" : \"=a\" (x), [b] \"+r\" (y) : [a] \"r\" (f(1)));";
        let expected =
            "asm(\"call f; mov %[a], %q0\" : \"=a\" (x), [b] \"+r\" (y), ASM_CALL_CONSTRAINT : [a] \"r\" (f(1)));";
        assert_eq!(with_call_constraint(named).as_deref(), Some(expected));
    }

    #[test]
    fn a_plain_return_is_replaced_as_a_word() {
        assert_eq!(with_kernel_return("\tret").as_deref(), Some("\tRET"));
        assert_eq!(with_kernel_return("\tretq; int3").as_deref(), Some("\tRET"));
        assert_eq!(with_kernel_return("1:\tret\t/* done */").as_deref(), Some("1:\tRET\t/* done */"));
        assert_eq!(with_kernel_return("\t.byte\t0xf3,0xc3\t\t# rep ret").as_deref(), Some("\tRET"));
        assert_eq!(with_kernel_return("\tcall retry"), None);
        assert_eq!(with_kernel_return("\tret $8"), None);
    }

    #[test]
    fn a_return_in_a_string_becomes_the_kernel_s_string() {
        assert_eq!(with_return_string(r#"	"ret\n\t""#).as_deref(), Some("\tASM_RET"));
        assert_eq!(
            with_return_string(r#"	"xor %eax, %eax; ret\n""#).as_deref(),
            Some("\t\"xor %eax, %eax; \" ASM_RET")
        );
        assert_eq!(with_return_string(r#"	asm("nop\n\tret");"#).as_deref(), Some(r#"	asm("nop\n\t" ASM_RET);"#));
        assert_eq!(with_return_string(r#"	"call retry\n""#), None);
    }
}
