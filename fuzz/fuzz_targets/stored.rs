//! Any bytes as an object that has an ORC table, read as each release would.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orcls::image::ElfImage;
use orcls::kernel::Kernel;
use orcls::orc;

fuzz_target!(|bytes: &[u8]| {
    let store = bytes.to_vec();
    let Ok(image) = ElfImage::read(&store) else { return };
    for kernel in Kernel::ALL {
        let _ = orc::stored(&store, &image, kernel.rules()).map(|table| table.text(kernel.rules()));
    }
});
