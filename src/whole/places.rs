//! Lines of a linked object, looked up in the objects that it was linked from.
//!
//! In: a [`Layout`], the members.  Out: [`MemberPlaces`], which answers for places of the linked object.
//! Holds afterwards: a member is read when the first of its lines is asked for, and once; code without a line of its own
//! has none of its neighbour's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashMap;

use crate::analysis::{self, Analysis, Config, Policy};
use crate::assembly::is_assembly_name;
use crate::cancel::CancelToken;
use crate::files;
use crate::ids::{CodeLoc, SectionId};
use crate::image::{ElfImage, FileStore, Store, Symbol};
use crate::kernel::{Kernel, KernelChoice};
use crate::options::Options;
use crate::report::labels::Unlined;
use crate::report::view::View;
use crate::source_map::{InlineFrame, Lines, Place, Places, TextOf};

use super::layout::{Layout, Origin};

/// So far behind code without a line the next row is looked for.
const MOST_BYTES: u64 = 256;

/// A member with its lines.
struct Member {
    image: ElfImage,
    lines: Lines,
    store: Arc<dyn Store>,
    /// Of assembly: what tells the code that has no row of its own.
    analysis: OnceLock<Option<Analysis>>,
}

impl Member {
    /// Where the code at `at` was written, never the line of a neighbour.
    fn place(&self, at: CodeLoc, kernel: Kernel) -> Option<Place> {
        let place = self.lines.place(&self.image, at)?;
        if !is_assembly_name(place.file.as_ref().as_ref()) {
            return if self.is_neighbours(at) { self.behind(at).or(Some(place)) } else { Some(place) };
        }
        let analyse = || {
            let config = Config {
                // Alternatives are followed only where stacks are.
                options: Options { part: true, stackval: true, ..Options::default() },
                kernel: KernelChoice::Fixed(kernel),
                policy: Policy::Objtool,
                noreturn: Vec::new(),
            };
            analysis::analyse(self.store.as_ref(), &config, &CancelToken::default()).ok()
        };
        match self.analysis.get_or_init(analyse) {
            Some(analysis) => {
                let view = View::new(analysis, &self.lines);
                let own = view.place(at).filter(|own| own.line.is_some());
                own.or_else(|| self.by_label(&view, at)).or_else(|| self.behind(at)).or(Some(place))
            }
            None => Some(place),
        }
    }

    /// As a finding of the member itself would be placed.
    fn by_label(&self, view: &View<'_>, at: CodeLoc) -> Option<Place> {
        let symbols = &view.analysis.symbols;
        let function = symbols.function_containing(at.section, at.offset);
        let symbol = function.or_else(|| symbols.symbol_containing(at.section, at.offset))?;
        let instruction = view.analysis.insns.at(at).map(|insn| view.text(insn)).unwrap_or_default();
        let function = self.image.symbol_name(symbol);
        let code = Unlined { function, instruction: &instruction, file: None };
        let (file, line) = code.by_label(view.map()?, self.lines.texts()?.as_ref())?;
        Some(Place { file, line: Some(line), column: None, inlined: Vec::new() })
    }

    /// The first row that begins after the code at `at`, which has none: a finding without a line would be shown nowhere.
    fn behind(&self, at: CodeLoc) -> Option<Place> {
        let map = self.lines.map(&self.image).ok()?;
        let mut onwards = (1..=MOST_BYTES).map(|n| CodeLoc { offset: at.offset.saturating_add(n), ..at });
        map.place(onwards.find(|&behind| map.has_row(behind))?)
    }

    /// Whether the row that holds there began before the function did.
    fn is_neighbours(&self, at: CodeLoc) -> bool {
        let row = self.lines.map(&self.image).ok().and_then(|map| map.row_start(at));
        let around = |symbol: &&Symbol| {
            let range = symbol.value..symbol.value.saturating_add(symbol.size);
            symbol.is_function() && symbol.section == at.section && range.contains(&at.offset)
        };
        let starts = self.image.symbols.iter().filter(around).map(|symbol| symbol.value).max();
        row.zip(starts).is_some_and(|(row, start)| row.offset < start)
    }
}

/// A member whose object is not the one on disk.
pub(super) struct Replaced {
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    /// What it was compiled from, where that is not on disk.
    pub(super) texts: Option<Arc<TextOf>>,
}

/// The lines of a linked object.
pub(super) struct MemberPlaces {
    layout: Arc<Layout>,
    /// The names of the linked object's sections, by their ids.
    sections: Vec<String>,
    /// Names of members are relative to it.
    directory: PathBuf,
    replaced: Option<Replaced>,
    kernel: Kernel,
    members: Mutex<FxHashMap<String, Option<Arc<Member>>>>,
}

impl MemberPlaces {
    /// Reads nothing yet.
    pub(super) fn new(
        layout: Arc<Layout>,
        linked: &ElfImage,
        directory: &Path,
        replaced: Option<Replaced>,
        kernel: Kernel,
    ) -> MemberPlaces {
        let sections = linked.sections.iter().map(|section| section.name.clone()).collect();
        MemberPlaces { layout, sections, directory: directory.to_owned(), replaced, kernel, members: Mutex::default() }
    }

    /// Where a place of the linked object comes from.
    pub(super) fn origin(&self, at: CodeLoc) -> Option<Origin<'_>> {
        self.layout.origin(self.sections.get(at.section.index())?, at.offset)
    }

    /// Where a place of a section of this name comes from.
    pub(super) fn origin_in(&self, section: &str, offset: u64) -> Option<Origin<'_>> {
        self.layout.origin(section, offset)
    }

    fn member(&self, name: &str) -> Option<Arc<Member>> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = members.get(name) {
            return known.clone();
        }
        let replaced = self.replaced.as_ref().filter(|replaced| replaced.name == name);
        let texts = replaced.and_then(|replaced| replaced.texts.clone());
        let store = replaced.map(|replaced| replaced.store.clone()).or_else(|| {
            let file = FileStore::open(&self.directory.join(name)).ok()?;
            Some(Arc::new(file) as Arc<dyn Store>)
        });
        let member = store.and_then(|store| {
            let image = ElfImage::read(store.as_ref()).ok()?;
            let directory = self.directory.clone();
            let of_file = move |name: &str| {
                let text = texts.as_ref().and_then(|texts| texts(name));
                text.or_else(|| files::text(&directory.join(name), files::SOURCE).ok().map(Arc::from))
            };
            let lines = Lines::new(Arc::clone(&store)).with_texts(Box::new(of_file));
            Some(Arc::new(Member { image, lines, store, analysis: OnceLock::new() }))
        });
        members.insert(name.to_owned(), member.clone());
        member
    }

    /// A name of the debug information from the root on: names of several members meet in one report.
    fn absolute(&self, name: Arc<str>) -> Arc<str> {
        if name.starts_with('/') { name } else { self.directory.join(&*name).display().to_string().into() }
    }
}

impl Places for MemberPlaces {
    fn place(&self, at: CodeLoc) -> Option<Place> {
        let origin = self.origin(at)?;
        let member = self.member(origin.object)?;
        let section = nth_section(&member.image, origin.section, origin.nth)?;
        let place = member.place(CodeLoc::new(section, origin.offset), self.kernel)?;
        let frame = |frame: InlineFrame| InlineFrame { file: frame.file.map(|file| self.absolute(file)), ..frame };
        Some(Place {
            file: self.absolute(place.file),
            inlined: place.inlined.into_iter().map(frame).collect(),
            ..place
        })
    }
}

fn nth_section(image: &ElfImage, name: &str, nth: u32) -> Option<SectionId> {
    image.sections().filter(|(_, section)| section.name == name).nth(nth as usize).map(|(id, _)| id)
}
