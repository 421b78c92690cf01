//! Where the linker put each section of each object.
//!
//! In: the map that `ld -Map` or `ld.lld -Map` writes.  Out: [`Layout`].
//! Holds afterwards: the pieces of an output section are in order and do not overlap.
//! Reads like: GNU ld manual, "Options" (`-Map`); LLD writes a table of its own.

use rustc_hash::FxHashMap;

/// A section of an object, in an output section.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Piece {
    start: u64,
    end: u64,
    /// The object as the linker was given it.
    object: u32,
    /// The section's name in the object.
    section: u32,
    /// How many sections of that name come before it in the object.
    nth: u32,
}

/// A place in an object that was linked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Origin<'a> {
    /// The object, as the linker was given it.
    pub object: &'a str,
    /// The section's name in the object.
    pub section: &'a str,
    /// How many sections of that name come before it in the object.
    pub nth: u32,
    /// The offset in that section.
    pub offset: u64,
}

/// What a linked object was put together from.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    names: Vec<String>,
    /// By output section.
    pieces: FxHashMap<String, Vec<Piece>>,
}

impl Layout {
    /// Reads a linker's map.
    pub(super) fn parse(map: &str) -> Layout {
        let mut reading = Reading::default();
        if map.lines().next().is_some_and(|line| line.trim_start().starts_with("VMA")) {
            map.lines().skip(1).for_each(|line| reading.lld(line));
        } else {
            reading.bfd(map);
        }
        for pieces in reading.layout.pieces.values_mut() {
            pieces.sort_by_key(|piece| (piece.start, piece.end));
            // An object that is named twice, or a map that contradicts itself: no place is better than a wrong one.
            if pieces.windows(2).any(|pair| pair[0].end > pair[1].start) {
                pieces.clear();
            }
        }
        reading.layout
    }

    /// What was put together here: output section, start, size, object, section of the object; in the order of the sections.
    pub(super) fn of<'a>(pieces: impl Iterator<Item = (&'a str, u64, u64, &'a str, &'a str)>) -> Layout {
        let mut reading = Reading::default();
        for (output, start, size, object, section) in pieces {
            reading.output = Some(output.to_owned());
            reading.piece(section, start, size, object);
        }
        reading.layout
    }

    /// Gives the object that the linker knew as `from` the name `to`.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        for name in self.names.iter_mut().filter(|name| *name == from) {
            to.clone_into(name);
        }
    }

    /// Where the byte at `offset` of the output section `section` comes from; `None` for padding.
    pub(super) fn origin(&self, section: &str, offset: u64) -> Option<Origin<'_>> {
        let pieces = self.pieces.get(section)?;
        let behind = pieces.partition_point(|piece| piece.start <= offset);
        let piece = pieces.get(behind.checked_sub(1)?)?;
        (offset < piece.end).then(|| Origin {
            object: &self.names[piece.object as usize],
            section: &self.names[piece.section as usize],
            nth: piece.nth,
            offset: offset - piece.start,
        })
    }
}

#[derive(Default)]
struct Reading {
    layout: Layout,
    numbers: FxHashMap<String, u32>,
    /// The output section that is being read.
    output: Option<String>,
    /// How many sections of an object have had a name.
    seen: FxHashMap<(u32, u32), u32>,
}

impl Reading {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = u32::try_from(self.layout.names.len()).unwrap_or(u32::MAX);
        self.layout.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn piece(&mut self, section: &str, start: u64, size: u64, object: &str) {
        let Some(output) = self.output.clone() else { return };
        let (object, section) = (self.number(object), self.number(section));
        let count = self.seen.entry((object, section)).or_default();
        let nth = *count;
        *count += 1;
        if size > 0 {
            let piece = Piece { start, end: start.saturating_add(size), object, section, nth };
            self.layout.pieces.entry(output).or_default().push(piece);
        }
    }

    /// An output section starts in column 0, an input section in column 1; a long name has the rest on the next line.
    fn bfd(&mut self, map: &str) {
        let lines = map.lines().skip_while(|line| !line.starts_with("Linker script and memory map"));
        let mut name: Option<(bool, &str)> = None;
        for line in lines.skip(1) {
            let input = line.strip_prefix(' ').filter(|rest| rest.starts_with(|c: char| !c.is_whitespace()));
            let (is_input, rest) = match input {
                Some(rest) if rest.starts_with('*') => {
                    name = None;
                    continue;
                }
                Some(rest) => (true, rest),
                None if line.starts_with(|c: char| !c.is_whitespace()) => (false, line),
                None => {
                    if let Some((is_input, name)) = name.take() {
                        self.bfd_section(is_input, name, line.trim_start());
                    }
                    continue;
                }
            };
            match rest.split_once(char::is_whitespace) {
                Some((section, numbers)) => {
                    name = None;
                    self.bfd_section(is_input, section, numbers.trim_start());
                }
                None => name = Some((is_input, rest)),
            }
        }
    }

    /// `ADDRESS SIZE [OBJECT]`
    fn bfd_section(&mut self, is_input: bool, section: &str, rest: &str) {
        let mut words = rest.splitn(2, char::is_whitespace);
        let (Some(start), Some(rest)) = (words.next().and_then(hexadecimal), words.next()) else { return };
        let mut words = rest.trim_start().splitn(2, char::is_whitespace);
        let Some(size) = words.next().and_then(hexadecimal) else { return };
        match words.next().map(str::trim) {
            Some(object) if is_input && !object.is_empty() => self.piece(section, start, size, object),
            None if !is_input => self.output = Some(section.to_owned()),
            _ => {}
        }
    }

    /// `VMA LMA Size Align`, then the output section, or eight columns in `OBJECT:(SECTION)`.
    fn lld(&mut self, line: &str) {
        let mut rest = line;
        let mut numbers = [0; 4];
        for number in &mut numbers {
            rest = rest.trim_start();
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            let Ok(value) = u64::from_str_radix(word, 16) else { return };
            (*number, rest) = (value, tail);
        }
        let [start, _, size, _] = numbers;
        let name = rest.trim_start();
        match rest.len() - name.len() {
            0 => self.output = Some(name.to_owned()),
            8 => {
                if let Some((object, section)) = name.strip_suffix(')').and_then(|name| name.rsplit_once(":("))
                    && object != "<internal>"
                {
                    self.piece(section, start, size, object);
                }
            }
            _ => {}
        }
    }
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BFD: &str = "\
Discarded input sections

 .debug_info    0x0000000000000000       0xaa a.o

Linker script and memory map

LOAD a.o
.text           0x0000000000000000       0x24
 *(.text .stub)
 .text          0x0000000000000000        0x4 a.o
                0x0000000000000000                f
 *fill*         0x0000000000000004        0xc
 .text          0x0000000000000010        0x4 dir/with space/b.o
 .text          0x0000000000000020        0x4 a.o

.a.very.long.section.name
                0x0000000000000000        0x4
 .a.very.long.section.name
                0x0000000000000000        0x4 a.o
";

    const LLD: &str = "             VMA              LMA     Size Align Out     In      Symbol
               0                0       24    16 .text
               0                0        4    16         a.o:(.text)
               0                0        4     1                 f
              10               10        4    16         dir/with space/b.o:(.text)
              20               20        4    16         a.o:(.text)
               0                0        4    16 .a.very.long.section.name
               0                0        4    16         a.o:(.a.very.long.section.name)
               0                0        4    16 .rodata.str1.1
               0                0        4    16         <internal>:(.rodata.str1.1)
";

    #[test]
    fn both_linkers_maps_say_the_same() {
        for map in [BFD, LLD] {
            let layout = Layout::parse(map);
            let at = |section, offset| layout.origin(section, offset).map(|o| (o.object, o.section, o.nth, o.offset));
            assert_eq!(at(".text", 3), Some(("a.o", ".text", 0, 3)));
            assert_eq!(at(".text", 4), None);
            assert_eq!(at(".text", 0x12), Some(("dir/with space/b.o", ".text", 0, 2)));
            assert_eq!(at(".text", 0x20), Some(("a.o", ".text", 1, 0)));
            assert_eq!(at(".text", 0x24), None);
            assert_eq!(at(".a.very.long.section.name", 1), Some(("a.o", ".a.very.long.section.name", 0, 1)));
            assert_eq!(at(".debug_info", 0), None);
            assert_eq!(at(".rodata.str1.1", 0), None);
        }
    }

    #[test]
    fn a_map_that_contradicts_itself_places_nothing() {
        let map = BFD.replace("0x0000000000000010", "0x0000000000000002");
        assert_eq!(Layout::parse(&map).origin(".text", 0), None);
        assert_eq!(Layout::parse("").origin(".text", 0), None);
    }
}
