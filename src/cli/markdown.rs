//! Shows Markdown pages on a terminal: headings, code and lists; nothing else is used in them.
//!
//! In: Markdown.  Out: text with styles, which [`output::print`](super::output::print) takes out where they are not wanted.

use super::output::{BOLD, CODE, DIM};

/// The page with styles.
pub(crate) fn styled(page: &str) -> String {
    let mut text = String::with_capacity(page.len() * 2);
    let mut fenced = false;
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            // Tabs would be eight wide behind the indentation, as they are in the kernel's sources.
            text.push_str(&format!("    {CODE}{}{CODE:#}\n", line.replace('\t', "        ").trim_end()));
        } else if let Some(title) = line.strip_prefix("# ").or_else(|| line.strip_prefix("## ")) {
            text.push_str(&format!("{BOLD}{title}{BOLD:#}\n"));
        } else {
            text.push_str(&inline(line));
            text.push('\n');
        }
    }
    text
}

/// A line of running text: what stands between backquotes is code, between double asterisks bold.
fn inline(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for (at, part) in line.trim_end().split('`').enumerate() {
        if at % 2 == 1 {
            text.push_str(&format!("{CODE}{part}{CODE:#}"));
            continue;
        }
        for (at, part) in part.split("**").enumerate() {
            let part = part.replace(" · ", &format!(" {DIM}·{DIM:#} "));
            text.push_str(&if at % 2 == 1 { format!("{BOLD}{part}{BOLD:#}") } else { part });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::styled;

    #[test]
    fn without_styles_only_the_marks_are_gone() {
        let page = "# Title\n\nUse `ret`, **not** `**`.  \n\n```asm\n\tret\n```\n";
        let plain = anstream::adapter::strip_str(&styled(page)).to_string();
        assert_eq!(plain, "Title\n\nUse ret, not **.\n\n            ret\n");
    }
}
