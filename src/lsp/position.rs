//! Positions: the one place where lines and columns of the protocol meet bytes of the text and lines of the compiler.
//!
//! In: text, protocol positions, 1-based lines from debug information.  Out: byte offsets, protocol ranges.
//! Holds afterwards: every result lies within the text and on a character boundary, whatever the client sent.
//! Reads like: LSP 3.17, "Position" and "PositionEncodingKind".

use std::ops::Range as Bytes;

use tower_lsp::lsp_types::{Position, PositionEncodingKind, Range};

/// In what unit the protocol counts columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// UTF-16 code units, which every client understands.
    #[default]
    Utf16,
    /// Characters.
    Utf32,
}

impl Encoding {
    /// The best of what the client offers: bytes cost nothing to convert, UTF-16 is always allowed.
    pub fn negotiate(offered: Option<&[PositionEncodingKind]>) -> Encoding {
        let offers = |kind: &PositionEncodingKind| offered.is_some_and(|list| list.contains(kind));
        if offers(&PositionEncodingKind::UTF8) {
            Encoding::Utf8
        } else if offers(&PositionEncodingKind::UTF16) || !offers(&PositionEncodingKind::UTF32) {
            Encoding::Utf16
        } else {
            Encoding::Utf32
        }
    }

    /// The name on the wire.
    pub fn kind(self) -> PositionEncodingKind {
        match self {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
            Encoding::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    fn units(self, c: char) -> usize {
        match self {
            Encoding::Utf8 => c.len_utf8(),
            Encoding::Utf16 => c.len_utf16(),
            Encoding::Utf32 => 1,
        }
    }
}

/// A text and where its lines start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    content: String,
    starts: Vec<usize>,
}

impl Text {
    /// Finds the lines of `content`: they end with `\n`, `\r\n` or `\r`.
    pub fn new(content: String) -> Text {
        let bytes = content.as_bytes();
        let mut starts = vec![0];
        for (i, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(i + 1) != Some(&b'\n')) {
                starts.push(i + 1);
            }
        }
        Text { content, starts }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.content
    }

    /// How many lines there are; one behind the last line end counts.
    pub fn n_lines(&self) -> u32 {
        self.starts.len() as u32
    }

    /// The bytes of a line, counted from 0, without its end; the empty range at the end for a line that is not there.
    fn line_bytes(&self, line: u32) -> Bytes<usize> {
        let Some(&start) = self.starts.get(line as usize) else {
            return self.content.len()..self.content.len();
        };
        let end = self.starts.get(line as usize + 1).copied().unwrap_or(self.content.len());
        let with_end = &self.content[start..end];
        start..start + with_end.trim_end_matches(['\r', '\n']).len()
    }

    /// A line, counted from 0, without its end; empty for a line that is not there.
    pub fn line(&self, line: u32) -> &str {
        &self.content[self.line_bytes(line)]
    }

    /// The byte at a position. Columns behind the end of the line mean its end (LSP 3.17, "Position").
    pub fn offset(&self, at: Position, encoding: Encoding) -> usize {
        let bytes = self.line_bytes(at.line);
        let mut left = at.character as usize;
        let mut offset = bytes.start;
        for c in self.content[bytes].chars() {
            let units = encoding.units(c);
            if left < units {
                break;
            }
            left -= units;
            offset += c.len_utf8();
        }
        offset
    }

    /// The position of a byte.
    pub fn position(&self, offset: usize, encoding: Encoding) -> Position {
        let line = self.starts.partition_point(|&start| start <= offset).saturating_sub(1);
        let bytes = self.line_bytes(line as u32);
        let within = offset.saturating_sub(bytes.start);
        Position::new(line as u32, columns(&self.content[bytes], within, encoding))
    }

    /// The position of a byte of a line, counted from 0; at most its end.
    pub fn in_line(&self, line: u32, column: usize, encoding: Encoding) -> Position {
        Position::new(line, columns(self.line(line), column, encoding))
    }

    /// The byte of its line that a position is at.
    pub fn column(&self, at: Position, encoding: Encoding) -> usize {
        self.offset(at, encoding) - self.line_bytes(at.line).start
    }

    /// The visible part of a line that debug information counts from 1: without indentation and trailing space, from
    /// `column` (in bytes, counted from 1) on where one is given. At least the line's start, and clamped to the text.
    pub fn visible(&self, line: u32, column: Option<u32>, encoding: Encoding) -> Range {
        let line = line.saturating_sub(1).min(self.n_lines() - 1);
        let text = self.line(line);
        let indent = text.len() - text.trim_start().len();
        let end = text.trim_end().len().max(indent);
        let start = column
            .and_then(|column| (column as usize).checked_sub(1))
            .filter(|&start| start > indent && start < end && text.is_char_boundary(start))
            .unwrap_or(indent);
        let at = |byte| Position::new(line, columns(text, byte, encoding));
        Range::new(at(start), at(end))
    }

    /// The text with `range` replaced, and what that did to the lines.
    pub fn replace(&self, range: Range, with: &str, encoding: Encoding) -> (Text, LineEdit) {
        let start = self.offset(range.start, encoding);
        let end = self.offset(range.end, encoding).max(start);
        let mut content = String::with_capacity(self.content.len() + with.len());
        content.push_str(&self.content[..start]);
        content.push_str(with);
        content.push_str(&self.content[end..]);
        let text = Text::new(content);
        let line_of = |offset: usize| self.starts.partition_point(|&s| s <= offset).saturating_sub(1) as u32;
        let (first, last) = (line_of(start), line_of(end));
        let edit = LineEdit {
            first,
            at_line_start: self.starts.get(first as usize) == Some(&start),
            removed: last - first,
            inserted: (last - first).wrapping_add(text.n_lines()).wrapping_sub(self.n_lines()),
        };
        (text, edit)
    }
}

fn columns(line: &str, bytes: usize, encoding: Encoding) -> u32 {
    let units = line.char_indices().take_while(|&(i, _)| i < bytes).map(|(_, c)| encoding.units(c)).sum::<usize>();
    units as u32
}

/// What an edit did to the lines: behind line `first`, `removed` line ends went and `inserted` came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineEdit {
    /// The line, counted from 0, in which the edit starts.
    pub first: u32,
    /// The edit starts at the very start of that line, so that the line's old text moves down with an insertion.
    pub at_line_start: bool,
    /// Line ends that the edit removed.
    pub removed: u32,
    /// Line ends that it inserted.
    pub inserted: u32,
}

impl LineEdit {
    /// Where a line of the older text is in the later one. A line whose text was replaced keeps its place among the
    /// lines that replace it; of the last line that the edit touched, the end stays.
    pub fn forward(&self, line: u32) -> u32 {
        let last = self.first + self.removed;
        if line > last || (line == last && (self.at_line_start || self.removed > 0)) {
            line - self.removed + self.inserted
        } else {
            line.min(self.first + line.saturating_sub(self.first).min(self.inserted))
        }
    }

    /// The line of the older text that a line of the later one came from; `None` for one that the edit brought.
    pub fn backward(&self, line: u32) -> Option<u32> {
        let kept_below = self.first + self.inserted;
        if line > kept_below || (line == kept_below && self.at_line_start) {
            Some(line - self.inserted + self.removed)
        } else {
            (line < self.first || (line == self.first && !self.at_line_start)).then_some(line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(a: (u32, u32), b: (u32, u32)) -> Range {
        Range::new(Position::new(a.0, a.1), Position::new(b.0, b.1))
    }

    #[track_caller]
    fn check(text: &str, encoding: Encoding, at: (u32, u32), offset: usize) {
        let text = Text::new(text.to_owned());
        let at = Position::new(at.0, at.1);
        assert_eq!(text.offset(at, encoding), offset);
        assert_eq!(text.position(offset, encoding), at);
    }

    #[test]
    fn columns_count_in_the_negotiated_unit() {
        // A mathematical letter beyond the basic plane: 4 bytes, 2 UTF-16 units, 1 character.
        let line = "a\n\u{1d4d0}b ä\n";
        check(line, Encoding::Utf8, (1, 4), 6);
        check(line, Encoding::Utf16, (1, 2), 6);
        check(line, Encoding::Utf32, (1, 1), 6);
        check(line, Encoding::Utf16, (1, 5), 10);
    }

    #[test]
    fn positions_outside_are_clamped() {
        let text = Text::new("ab\r\ncd".to_owned());
        assert_eq!(text.offset(Position::new(0, 99), Encoding::Utf16), 2);
        assert_eq!(text.offset(Position::new(99, 0), Encoding::Utf16), 6);
        // The second half of a surrogate pair means the start of the character.
        let pair = Text::new("\u{1d4d0}".to_owned());
        assert_eq!(pair.offset(Position::new(0, 1), Encoding::Utf16), 0);
    }

    #[test]
    fn every_line_end_counts() {
        let text = Text::new("a\nb\r\nc\rd".to_owned());
        assert_eq!((0..4).map(|i| text.line(i)).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn utf8_is_taken_when_offered_and_utf16_otherwise() {
        let (u8, u16, u32) = (PositionEncodingKind::UTF8, PositionEncodingKind::UTF16, PositionEncodingKind::UTF32);
        assert_eq!(Encoding::negotiate(None), Encoding::Utf16);
        assert_eq!(Encoding::negotiate(Some(&[u16.clone(), u8])), Encoding::Utf8);
        assert_eq!(Encoding::negotiate(Some(&[u32.clone(), u16])), Encoding::Utf16);
        assert_eq!(Encoding::negotiate(Some(&[u32])), Encoding::Utf32);
    }

    #[test]
    fn visible_part_leaves_out_indentation() {
        let text = Text::new("\tpush %rax \nx".to_owned());
        assert_eq!(text.visible(1, None, Encoding::Utf16), range((0, 1), (0, 10)));
        assert_eq!(text.visible(1, Some(7), Encoding::Utf16), range((0, 6), (0, 10)));
        assert_eq!(text.visible(99, None, Encoding::Utf16), range((1, 0), (1, 1)));
        assert_eq!(text.visible(0, None, Encoding::Utf16), range((0, 1), (0, 10)));
    }

    #[test]
    fn lines_move_with_edits_and_back() {
        let text = Text::new("0\n1\n2\n3\n4\n".to_owned());
        // A line inserted at the start of line 2.
        let (after, edit) = text.replace(range((2, 0), (2, 0)), "new\n", Encoding::Utf16);
        assert_eq!(after.as_str(), "0\n1\nnew\n2\n3\n4\n");
        assert_eq!((0..5).map(|l| edit.forward(l)).collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
        assert_eq!(
            (0..6).map(|l| edit.backward(l)).collect::<Vec<_>>(),
            [Some(0), Some(1), None, Some(2), Some(3), Some(4)]
        );
        // The same line inserted at the end of line 1.
        let (_, edit) = text.replace(range((1, 1), (1, 1)), "\nnew", Encoding::Utf16);
        assert_eq!((0..5).map(|l| edit.forward(l)).collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
        assert_eq!(edit.backward(2), None);
        // Lines 1 and 2 deleted.
        let (_, edit) = text.replace(range((1, 0), (3, 0)), "", Encoding::Utf16);
        assert_eq!((0..5).map(|l| edit.forward(l)).collect::<Vec<_>>(), [0, 1, 1, 1, 2]);
        assert_eq!(edit.backward(1), Some(3));
    }

    proptest::proptest! {
        /// Every byte on a character boundary outside of line ends has a position that leads back to it, and whatever a client
        /// sends leads to a boundary.
        #[test]
        fn positions_and_bytes_lead_to_each_other(content in "[a\\té😀\n\r]{0,40}", line in 0..50u32, column in 0..50u32) {
            let text = Text::new(content.clone());
            for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
                for (offset, c) in content.char_indices() {
                    if !matches!(c, '\r' | '\n') {
                        proptest::prop_assert_eq!(text.offset(text.position(offset, encoding), encoding), offset);
                    }
                }
                let sent = text.offset(Position::new(line, column), encoding);
                proptest::prop_assert!(content.is_char_boundary(sent));
            }
        }
    }
}
