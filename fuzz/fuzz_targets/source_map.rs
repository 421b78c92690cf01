//! Any bytes as an object with DWARF: the lines of its instructions.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use orcls::analysis::{Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::kernel::KernelChoice;
use orcls::options::Options;
use orcls::report;
use orcls::source_map::Lines;

fuzz_target!(|bytes: &[u8]| {
    let store = Arc::new(bytes.to_vec());
    let options = Options { stackval: true, ..Options::default() };
    let config = Config { options, kernel: KernelChoice::Auto, policy: Policy::Everything, noreturn: Vec::new() };
    if let Ok(analysis) = analyse(store.as_ref(), &config, &CancelToken::default()) {
        let lines = Lines::new(store.clone());
        let _ = report::report("case.o", &analysis, &lines);
        let _ = report::function_summaries(&analysis, &lines);
    }
});
