//! Any bytes as what a build has left beside an object: its recipe, a compilation database, the release.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use orcls::build::{Finder, Search};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir_all(folder.path().join("include/config")).expect("a folder");
    std::fs::write(folder.path().join("a.c"), "").expect("a file");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let at = |name: &str| FOLDER.path().join(name);
    for name in [".a.o.cmd", "compile_commands.json", "include/config/kernel.release"] {
        std::fs::write(at(name), bytes).expect("a file");
        let finder = Finder::new(Search { build_dir: Some(FOLDER.path().to_owned()), roots: Vec::new() });
        let _ = finder.flags(&at("a.o"));
        let _ = finder.object(&at("a.o"));
        let _ = finder.source(&at("a.c"));
        std::fs::remove_file(at(name)).expect("the file is there");
    }
});
