//! How fast each stage is, in instructions per second, and how fast whole objects are judged by the rules of either kind.
//!
//! The object is compiled from `tests/decode/mix.c`; `ORCLS_BENCH_OBJECT=FILE` takes another one.

use std::path::Path;
use std::process::Command;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orcls::analysis::{Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::decode;
use orcls::image::ElfImage;
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::unwind;

fn object() -> Vec<u8> {
    if let Some(path) = std::env::var_os("ORCLS_BENCH_OBJECT") {
        return std::fs::read(path).expect("the object");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let object = folder.path().join("mix.o");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode/mix.c");
    let status = Command::new("cc").args(["-O2", "-c", "-o"]).arg(&object).arg(source).status();
    assert!(status.expect("a C compiler").success());
    std::fs::read(&object).expect("the object")
}

fn stages(criterion: &mut Criterion) {
    let bytes = object();
    let cancel = CancelToken::default();
    let image = ElfImage::read(&bytes).expect("an ELF object");
    let count = |kernel: Kernel| {
        let (insns, _) = decode::decode(&image, kernel.rules(), &cancel).expect("nobody cancels");
        image.sections().map(|(id, _)| insns.of_section(id).count() as u64).sum()
    };
    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Elements(count(Kernel::V6_12)));
    group.bench_function("image", |b| b.iter(|| ElfImage::read(&bytes)));
    for kernel in Kernel::ALL {
        let decode = || decode::decode(&image, kernel.rules(), &cancel);
        group.bench_function(format!("decode {kernel}"), |b| b.iter(decode));
    }
    group.bench_function("kernel rules", |b| {
        let config = Config {
            options: Options { stackval: true, orc: true, ..Options::default() },
            kernel: KernelChoice::Fixed(Kernel::V6_12),
            policy: Policy::Objtool,
            noreturn: Vec::new(),
        };
        b.iter(|| analyse(&bytes, &config, &cancel));
    });
    group.bench_function("unwind table, user rules", |b| {
        b.iter(|| {
            let image = ElfImage::read(&bytes).expect("an ELF object");
            unwind::judge(&bytes, &image, &cancel)
        });
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
