//! Broken objects: no panic, no hang, no more memory or reading than the object is worth.
//!
//! Every case hangs on its number alone. A case that fails names its object, which is kept; `ORCLS_CASE=N` runs that one
//! case again. `ORCLS_MUTANTS=N` makes N mutants of the fixtures and runs the rest in full.

#[path = "support/fixture.rs"]
mod fixture;
#[path = "robustness/debug_info.rs"]
mod debug_info;
#[path = "robustness/hostile.rs"]
mod hostile;
#[path = "robustness/mutate.rs"]
mod mutate;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fixture::Fixture;
use mutate::{Dice, mutant};
use orcls::analysis::{AnalysisError, Config, Policy, analyse};
use orcls::cancel::CancelToken;
use orcls::decode::Disassembler;
use orcls::image::Store;
use orcls::kernel::{Kernel, KernelChoice};
use orcls::options::Options;
use orcls::orc;
use orcls::report;
use orcls::source_map::Lines;
use orcls::write::write;

/// A case hangs if the program has used as much processor time for each of its workers since the case began. Time on the
/// wall says nothing: other programs may have the processors.
const CPU_LIMIT: Duration = Duration::from_secs(120);
/// How often the object may be read in whole.
const READ_LIMIT: u64 = 40;
/// What the whole program may take.
const MEMORY_LIMIT_MIB: u64 = 1500;

/// An object in memory that counts what is read of it.
struct Counted {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl Store for Counted {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        let bytes = self.bytes.read(offset, size)?;
        self.read.fetch_add(size, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Does with an object all that orcls does with objects. An object that is refused is fine.
fn exercise(bytes: Vec<u8>, options: &Options, kernel: KernelChoice, cancel: &CancelToken) {
    let store = Arc::new(Counted { bytes, read: AtomicU64::new(0) });
    for policy in [Policy::Objtool, Policy::Everything] {
        let config = Config { options: options.clone(), kernel, policy, noreturn: Vec::new() };
        let analysis = match analyse(store.as_ref(), &config, cancel) {
            Ok(analysis) => analysis,
            Err(AnalysisError::Load(error)) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
            Err(AnalysisError::Cancelled(error)) => panic!("{error}"),
        };
        if policy == Policy::Objtool {
            let _ = write(&analysis, store.as_ref(), &mut io::sink());
            continue;
        }
        let image = &analysis.image;
        let disassembler = Disassembler::new(image);
        for id in image.sections().flat_map(|(id, _)| analysis.insns.of_section(id)).take(500) {
            assert!(!disassembler.text(&analysis.insns, id).is_empty());
        }
        let lines = Lines::new(store.clone());
        let _ = report::report("case.o", &analysis, &lines);
        report::CfiRows::new(&analysis, &lines, &report::Select::default()).for_each(drop);
        let _ = report::alternatives("case.o", &analysis, &lines, &report::Select::default());
        let _ = report::function_summaries(&analysis, &lines);
        let rules = analysis.kernel.rules();
        let _ = analysis.orc().map(|table| table.text(image, rules));
        let _ = orc::stored(store.as_ref(), image, rules).map(|table| table.text(rules));
    }
    let (read, size) = (store.read.load(Ordering::Relaxed), store.size());
    assert!(read <= READ_LIMIT * size.max(4096), "{read} bytes were read of {size}");
}

/// Runs a case. One that uses more than `limit` is cancelled, which fails it, and the others are run; one that does not
/// even then end, ends the program.
fn watched(limit: Duration, kept: &(impl Fn() -> String + Sync), case: impl FnOnce(&CancelToken)) {
    let cancel = CancelToken::default();
    let token = &cancel;
    let (done, watched) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let start = cpu_time();
            while watched.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                let used = cpu_time().saturating_sub(start);
                if used > 2 * limit {
                    eprintln!("does not end: {}", kept());
                    std::process::abort();
                } else if used > limit {
                    token.cancel();
                }
            }
        });
        let _done = done;
        case(token);
    });
}

#[test]
fn a_case_without_end_is_cancelled_by_the_work_it_does() {
    let spin = |cancel: &CancelToken| while !cancel.is_cancelled() {};
    watched(Duration::from_millis(200), &|| "spinning".to_owned(), spin);
}

/// Runs cases on all processors. Each must end in time; those that panic are kept as files and reported together.
fn run_cases(name: &str, n_cases: usize, case: impl Fn(usize) -> (Vec<u8>, Options, KernelChoice) + Sync) {
    let only = std::env::var("ORCLS_CASE").ok().and_then(|number| number.parse().ok());
    let cases: Vec<usize> = only.map_or_else(|| (0..n_cases).collect(), |number| vec![number]);
    let next = AtomicUsize::new(0);
    let keep = |number: usize, bytes: &[u8]| -> PathBuf {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{number}.o"));
        std::fs::write(&path, bytes).expect("the case is kept");
        path
    };
    let n_workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let work = || {
        let mut failed = Vec::new();
        while let Some(&number) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (bytes, options, kernel) = case(number);
            let kept = || keep(number, &bytes).display().to_string();
            let limit = CPU_LIMIT * n_workers;
            let run = |cancel: &CancelToken| exercise(bytes.clone(), &options, kernel, cancel);
            if catch_unwind(AssertUnwindSafe(|| watched(limit, &kept, run))).is_err() {
                failed.push(format!("case {number}: {}", kept()));
            }
        }
        failed
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker ends")).collect()
    });
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
    assert!(peak_memory_mib() < MEMORY_LIMIT_MIB, "{} MiB of memory were needed", peak_memory_mib());
}

/// The processor time that the program has used on all processors, as Linux tells it (proc(5), `/proc/pid/stat`, fields 14
/// and 15, in hundredths of a second); 0 elsewhere.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses, which may hold blanks.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that the program had, as Linux tells it; 0 elsewhere.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// The fixtures as objects, each for each release that it is about, with their flags. Built once for all tests.
static FIXTURES: LazyLock<Vec<(Vec<u8>, Options, Kernel)>> = LazyLock::new(|| {
    let mut objects = Vec::new();
    for fixture in Fixture::all() {
        for kernel in Kernel::ALL {
            let Some(run) = fixture.runs.iter().find(|run| run.kernel == kernel) else { continue };
            let built = fixture.build(kernel, &[]).expect("the fixture builds");
            let bytes = std::fs::read(&built.object).expect("the object");
            objects.push((bytes, run.options.clone(), kernel));
        }
    }
    objects
});

/// All checks at once.
fn all_checks() -> Options {
    Options {
        stackval: true,
        orc: true,
        uaccess: true,
        noinstr: true,
        retpoline: true,
        rethunk: true,
        sls: true,
        ibt: true,
        unret: true,
        static_call: true,
        mcount: true,
        noabs: true,
        backtrace: true,
        prefix: Some(16),
        hacks: vec!["jump_label,noinstr,skylake".to_owned()],
        ..Options::default()
    }
}

#[test]
fn mutants_of_the_fixtures_end_quietly() {
    let n_mutants = std::env::var("ORCLS_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    run_cases("fixture", n_mutants, |number| {
        let mut dice = Dice::new(number as u64);
        let (object, options, kernel) = dice.pick(&FIXTURES).expect("there are fixtures");
        let options = if dice.below(2) == 0 { options.clone() } else { all_checks() };
        let kernel = match dice.below(8) {
            0 => KernelChoice::Auto,
            1 => KernelChoice::Fixed(dice.pick(&Kernel::ALL).copied().unwrap_or(*kernel)),
            _ => KernelChoice::Fixed(*kernel),
        };
        (mutant(object, &mut dice), options, kernel)
    });
}

/// Whether somebody has asked for more than a gate has time for.
fn is_long_run() -> bool {
    std::env::var_os("ORCLS_MUTANTS").is_some()
}

#[test]
fn small_objects_that_ask_for_much_end_soon() {
    let objects = [hostile::objects(), debug_info::objects()].concat();
    // By two releases each, other ones for the next.
    let n_kernels = Kernel::ALL.len();
    let n_turns = if is_long_run() { n_kernels } else { 2 };
    run_cases("hostile", objects.len() * n_turns, |number| {
        let (turn, index) = (number / objects.len(), number % objects.len());
        let (what, object) = &objects[index];
        let kernel = Kernel::ALL[(index + turn * (n_kernels / n_turns)) % n_kernels];
        println!("case {number}: {kernel}, {what}");
        (object.clone(), all_checks(), KernelChoice::Fixed(kernel))
    });
}

/// What may be taken for an object of so many bytes beyond what next to nothing takes, in MiB.
fn memory_for(size: usize) -> u64 {
    54 + (30 * size as u64).div_ceil(1 << 20)
}

/// What `orcls check` of this file says that it took, in MiB; `None` where nothing was analysed. And how it ended.
fn memory_of_check(arguments: &[&str], path: &Path) -> (Option<u64>, ExitStatus) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_orcls"));
    let done = program.arg("check").arg("--time").args(arguments).arg(path).output().expect("orcls runs");
    let said = String::from_utf8_lossy(&done.stderr);
    let peak = said.lines().find_map(|line| line.trim().strip_prefix("peak memory")).map(str::trim);
    (peak.and_then(|peak| peak.strip_suffix(" MiB")?.parse().ok()), done.status)
}

#[test]
fn small_objects_that_ask_for_much_get_little_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("case.o");
    // The program itself, which is larger where nothing is optimised.
    let (smallest, ..) = FIXTURES.iter().min_by_key(|(object, ..)| object.len()).expect("there are fixtures");
    std::fs::write(&path, smallest).expect("the object is written");
    let (itself, _) = memory_of_check(&[], &path);
    let itself = itself.expect("a fixture is analysed");
    let mut failed = Vec::new();
    for (what, object) in [hostile::objects(), debug_info::objects()].concat() {
        std::fs::write(&path, &object).expect("the object is written");
        // The first one asks for most.
        let n_runs = if is_long_run() { 2 } else { 1 };
        for arguments in
            [&["--all", "--format=json"][..], &["--format=objtool", "--kernel=6.1"]].into_iter().take(n_runs)
        {
            let (peak, status) = memory_of_check(arguments, &path);
            let limit = itself + memory_for(object.len());
            println!("{what} {arguments:?}: {peak:?} MiB of {limit}");
            match peak {
                Some(peak) if peak <= limit => {}
                // Where nothing was analysed nothing is measured.
                None if status.code() == Some(2) => {}
                peak => failed.push(format!("{what} {arguments:?}: {peak:?} MiB of {limit}, {status}")),
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A part of the corpus of kernel objects; nothing where it is not beside the repository.
fn kernel_objects() -> Vec<(Vec<u8>, Kernel)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut objects = Vec::new();
    for kernel in Kernel::ALL {
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/corpus/dev-{kernel}.tar.zst"));
        if !archive.is_file() {
            eprintln!("skipped: the kernel objects of {kernel}, {} is not there", archive.display());
            continue;
        }
        let pattern = format!("*/objects/{kernel}-[0-3]*.o");
        let mut tar = Command::new("tar");
        tar.arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(folder.path()).args(["--wildcards", &pattern]);
        if !tar.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: the kernel objects of {kernel}, tar and zstd are needed for them");
            continue;
        }
        let unpacked = folder.path().join(format!("dev-{kernel}/objects"));
        let entries = std::fs::read_dir(unpacked).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        objects.extend(paths.iter().take(100).map(|path| (std::fs::read(path).expect("the object"), kernel)));
    }
    objects
}

#[test]
fn kernel_objects_and_their_mutants_end_quietly() {
    let objects = kernel_objects();
    run_cases("kernel", 3 * objects.len(), |number| {
        let (object, kernel) = &objects[number / 3];
        let bytes = match number % 3 {
            0 => object.clone(),
            _ => mutant(object, &mut Dice::new(number as u64)),
        };
        (bytes, all_checks(), KernelChoice::Fixed(*kernel))
    });
}
