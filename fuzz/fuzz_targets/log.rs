//! Any text as a build's output: objtool's lines in it, and the folders that make names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orcls::findings::Code;
use orcls::wording::said::{self, Folders};

fuzz_target!(|text: &str| {
    let mut folders = Folders::default();
    for line in text.lines() {
        folders.hear(line);
        if let Some(said) = said::parse(line) {
            // Whatever stands around the name: it is a part of the line.
            assert!(line.contains(said.object(|_| false)));
            assert!(line.contains(said.object(|name| name.ends_with(".o"))));
            assert!(!said.text.starts_with(' '));
            let _ = Code::of_line(&said.text);
        }
    }
    assert!(folders.nearest_first().all(|folder| folder.is_absolute()));
});
