//! Any words, one a line, as the arguments of a compiler.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use orcls::compile::arguments;
use orcls::compile::program::Family;

fuzz_target!(|text: &str| {
    let words: Vec<String> = text.lines().map(str::to_owned).collect();
    let _ = arguments::sort(&words, Family::Gcc, Path::new("/build"), Path::new("/build/a.c"));
});
