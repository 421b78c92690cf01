//! Any bytes as the findings of an earlier day.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use orcls::baseline::Baseline;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(baseline) = Baseline::parse(&String::from_utf8_lossy(bytes)) {
        let _ = baseline.of(Path::new("a/b.o"));
    }
});
