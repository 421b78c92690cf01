//! Draws an alternative's table.
//!
//! In: [`AlternativeGroup`].  Out: text: a column per arm, a row per offset, `...` where no arm has a boundary.

use std::fmt::Write as _;

use super::{AlternativeGroup, Row};

/// Wide enough for most instructions; longer ones are cut.
const MAX_WIDTH: usize = 40;

impl AlternativeGroup {
    /// The table, drawn.
    pub fn to_text(&self) -> String {
        let mut widths: Vec<usize> = self.arms.iter().map(|arm| arm.name.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.as_ref().map_or(0, |text| text.chars().count()));
            }
        }
        widths.iter_mut().for_each(|width| *width = (*width).min(MAX_WIDTH));
        let mut out = String::new();
        let line = |out: &mut String, lead: &str, cells: &mut dyn Iterator<Item = &str>, tail: &str| {
            let mut text = format!("{lead:<7}");
            for (cell, width) in cells.zip(&widths) {
                let _ = write!(text, "{:<width$}   ", cut(cell, *width), width = *width);
            }
            text.push_str(tail);
            let _ = writeln!(out, "{}", text.trim_end());
        };
        line(&mut out, "", &mut self.arms.iter().map(|arm| arm.name.as_str()), "state");
        out.push('\n');
        let mut expected = 0;
        for row in &self.rows {
            if row.offset > expected {
                let _ = writeln!(out, "...");
            }
            expected = row.offset.saturating_add(1);
            let cells = &mut row.cells.iter().map(|cell| cell.as_deref().unwrap_or_default());
            line(&mut out, &format!("{:#04x}", row.offset), cells, &self.state_of(row));
        }
        out
    }

    fn state_of(&self, row: &Row) -> String {
        if !row.conflict {
            return row.state.clone().unwrap_or_default();
        }
        let arms = self.arms.iter().zip(&row.states);
        let told: Vec<String> =
            arms.filter_map(|(arm, state)| Some(format!("{} {}", arm.name, state.as_ref()?))).collect();
        format!("conflict: {}", told.join(", "))
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::super::Arm;
    use super::*;

    fn group(arms: &[&str], rows: &[(u32, &[&str], &str)]) -> AlternativeGroup {
        let arm = |name: &&str| Arm { name: (*name).to_owned(), section: None, offset: None, length: 0 };
        let row = |(offset, cells, state): &(u32, &[&str], &str)| Row {
            offset: *offset,
            cells: cells.iter().map(|cell| (!cell.is_empty()).then(|| (*cell).to_owned())).collect(),
            places: Vec::new(),
            state: Some((*state).to_owned()),
            conflict: state.contains(" / "),
            states: state.split(" / ").map(|state| Some(state.to_owned())).collect(),
        };
        AlternativeGroup {
            section: ".text".to_owned(),
            offset: 0,
            length: 7,
            feature: String::new(),
            function: None,
            file: None,
            line: None,
            arms: arms.iter().map(arm).collect(),
            rows: rows.iter().map(row).collect(),
        }
    }

    #[test]
    fn a_table_without_conflict_has_a_state_per_row() {
        let group = group(
            &["original", "A", "B"],
            &[
                (0, &["call *pv_ops", "call xen_save_fl", "pushf"], "CFA rsp+8"),
                (1, &["", "", "pop %rax"], "CFA rsp+16"),
                (2, &["", "", "nop"], "CFA rsp+8"),
                (5, &["", "nop2 (padding)", ""], "CFA rsp+8"),
            ],
        );
        expect_test::expect![[r#"
                      original       A                  B          state

               0x00   call *pv_ops   call xen_save_fl   pushf      CFA rsp+8
               0x01                                     pop %rax   CFA rsp+16
               0x02                                     nop        CFA rsp+8
               ...
               0x05                  nop2 (padding)                CFA rsp+8
        "#]]
        .assert_eq(&group.to_text());
    }

    #[test]
    fn a_conflict_is_marked_with_the_state_of_each_arm() {
        let group = group(&["original", "A"], &[(1, &["nop", "pop %rax"], "CFA rsp+8 / CFA rsp+16")]);
        assert!(group.to_text().contains("conflict: original CFA rsp+8, A CFA rsp+16"), "{}", group.to_text());
    }

    #[test]
    fn long_instructions_are_cut() {
        assert_eq!(cut("call something", 8), "call so…");
        assert_eq!(cut("call", 8), "call");
    }
}
