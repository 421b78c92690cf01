//! Lines of a linked object, looked up in the objects that it was linked from.
//!
//! In: a [`Layout`], the members.  Out: [`MemberPlaces`], which answers for places of the linked object.
//! Holds afterwards: a member is read when the first of its lines is asked for, and once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::ids::{CodeLoc, SectionId};
use crate::image::{ElfImage, FileStore, Store};
use crate::source_map::{InlineFrame, Lines, Place, Places};

use super::layout::{Layout, Origin};

/// A member with its lines.
struct Member {
    image: ElfImage,
    lines: Lines,
}

/// The lines of a linked object.
pub(super) struct MemberPlaces {
    layout: Arc<Layout>,
    /// The names of the linked object's sections, by their ids.
    sections: Vec<String>,
    /// Names of members are relative to it.
    directory: PathBuf,
    /// A member whose object is not the one on disk.
    replaced: Option<(String, Arc<dyn Store>)>,
    members: Mutex<FxHashMap<String, Option<Arc<Member>>>>,
}

impl MemberPlaces {
    /// Reads nothing yet.
    pub(super) fn new(
        layout: Arc<Layout>,
        linked: &ElfImage,
        directory: &Path,
        replaced: Option<(String, Arc<dyn Store>)>,
    ) -> MemberPlaces {
        let sections = linked.sections.iter().map(|section| section.name.clone()).collect();
        MemberPlaces { layout, sections, directory: directory.to_owned(), replaced, members: Mutex::default() }
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
        let replaced = self.replaced.as_ref().filter(|(replaced, _)| replaced == name).map(|(_, store)| store.clone());
        let store = replaced.or_else(|| {
            let file = FileStore::open(&self.directory.join(name)).ok()?;
            Some(Arc::new(file) as Arc<dyn Store>)
        });
        let member = store.and_then(|store| {
            let image = ElfImage::read(store.as_ref()).ok()?;
            Some(Arc::new(Member { image, lines: Lines::new(store) }))
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
        let place = member.lines.place(&member.image, CodeLoc::new(section, origin.offset))?;
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
