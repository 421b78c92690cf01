//! Any bytes as an object, for each release, with all findings and with objtool's alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orcls::analysis::{Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;

fuzz_target!(|bytes: &[u8]| {
    let store = bytes.to_vec();
    let options = Options { stackval: true, orc: true, uaccess: true, sls: true, ..Options::default() };
    for kernel in Kernel::ALL {
        for policy in [Policy::Objtool, Policy::Everything] {
            let kernel = KernelChoice::Fixed(kernel);
            let config = Config { options: options.clone(), kernel, policy, noreturn: Vec::new() };
            let _ = analyse(&store, &config, &CancelToken::default());
        }
    }
});
