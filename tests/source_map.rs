//! The source map against binutils' `addr2line`: every byte of every code section, in objects built here and, where it
//! is beside the repository, in the corpus of kernel objects with debug info. `ORCLS_LINES_OF=FOLDER` compares all objects
//! of another folder.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use orcls::ids::CodeLoc;
use orcls::image::{ElfImage, FileStore};
use orcls::source_map::{NoSource, Place, SourceMap};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/source_map");
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/dwarf-6.12.tar.zst");

/// Name, compiler with its options, source.
const BUILDS: &[(&str, &str, &str)] = &[
    ("c_dwarf5", "gcc -O2 -gdwarf-5", "lines.c"),
    ("c_dwarf4", "gcc -O2 -gdwarf-4", "lines.c"),
    ("c_unoptimised", "gcc -O0 -g", "lines.c"),
    ("c_function_sections", "gcc -O2 -gdwarf-5 -ffunction-sections", "lines.c"),
    ("c_function_sections_dwarf4", "gcc -O2 -gdwarf-4 -ffunction-sections", "lines.c"),
    ("c_compressed", "gcc -O2 -g -gz=zlib", "lines.c"),
    ("c_type_units", "gcc -O2 -gdwarf-5 -fdebug-types-section", "lines.c"),
    ("c_lines_only", "gcc -O2 -g1", "lines.c"),
    ("c_clang", "clang -O2 -gdwarf-5 -ffunction-sections", "lines.c"),
    ("c_clang_dwarf4", "clang -O2 -gdwarf-4", "lines.c"),
    ("asm_dwarf5", "gcc -Wa,-gdwarf-5", "macros.S"),
    ("asm_dwarf4", "gcc -Wa,-gdwarf-4", "macros.S"),
    ("asm_through_gcc", "gcc -g", "macros.S"),
    ("asm_clang", "clang -g", "macros.S"),
];

fn main() {
    let arguments = Arguments::from_args();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let mut trials = vec![
        trial("an_object_without_debug_info_says_so", &scratch, without_debug_info),
        trial("places_name_the_chain_of_inlined_calls", &scratch, inline_chain),
        trial("a_line_leads_to_its_code", &scratch, line_to_code),
        trial("lines_do_not_need_what_was_split_off", &scratch, split),
        trial("names_that_are_asked_for_often_cost_what_they_cost_once", &scratch, declared_often),
        trial("forged_debug_info_does_no_harm", &scratch, forged),
        trial("sizes_that_lie_are_not_believed", &scratch, inflated),
    ];
    if has("addr2line") {
        let builds = BUILDS.iter().filter(|(_, command, _)| command.split(' ').next().is_some_and(has));
        for &(name, command, source) in builds {
            trials.push(trial(name, &scratch, move |dir| compare(&build(dir, name, command, source)?)));
        }
        trials.push(trial("linked_from_two", &scratch, |dir| compare(&linked(dir)?)));
        trials.push(trial("compressed_with_zstd", &scratch, |dir| compare(&zstd(dir)?)));
        let other = std::env::var_os("ORCLS_LINES_OF").map(PathBuf::from);
        for folder in corpus(scratch.path()).into_iter().chain(other) {
            for object in objects_below(&folder) {
                let name = object.strip_prefix(&folder).unwrap_or(&object).display().to_string();
                trials.push(Trial::test(name, move || compare(&object)));
            }
        }
    } else {
        eprintln!("skipped: the comparisons with addr2line, which is not installed");
    }
    libtest_mimic::run(&arguments, trials).exit_if_failed();
}

fn trial(
    name: &str,
    scratch: &tempfile::TempDir,
    run: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let dir = scratch.path().to_owned();
    Trial::test(name, move || run(&dir))
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn run(command: &mut Command) -> Result<String, Failed> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn build(dir: &Path, name: &str, command: &str, source: &str) -> Result<PathBuf, Failed> {
    let object = dir.join(name).with_extension("o");
    let mut words = command.split(' ');
    run(Command::new(words.next().unwrap_or("cc"))
        .args(words)
        .current_dir(SOURCES)
        .args(["-c", source, "-o"])
        .arg(&object))?;
    Ok(object)
}

fn linked(dir: &Path) -> Result<PathBuf, Failed> {
    let first = build(dir, "linked_c", "gcc -O2 -g -ffunction-sections", "lines.c")?;
    let second = build(dir, "linked_asm", "gcc -g", "macros.S")?;
    let object = dir.join("linked.o");
    run(Command::new("ld").arg("-r").args([&first, &second]).arg("-o").arg(&object))?;
    Ok(object)
}

fn zstd(dir: &Path) -> Result<PathBuf, Failed> {
    let plain = build(dir, "for_zstd", "gcc -O2 -g", "lines.c")?;
    let object = dir.join("zstd.o");
    match run(Command::new("objcopy").arg("--compress-debug-sections=zstd").arg(&plain).arg(&object)) {
        Ok(_) => Ok(object),
        Err(error) => {
            eprintln!("skipped: zstd, which objcopy can not: {}", error.message().unwrap_or_default());
            Ok(plain)
        }
    }
}

fn load(object: &Path) -> Result<(ElfImage, Result<SourceMap, NoSource>), Failed> {
    let store = FileStore::open(object)?;
    let image = ElfImage::read(&store)?;
    let map = SourceMap::load(&store, &image);
    Ok((image, map))
}

fn without_debug_info(dir: &Path) -> Result<(), Failed> {
    match load(&build(dir, "bare", "cc -O2 -g0", "lines.c")?)?.1 {
        Err(NoSource::NoDebugInfo) => Ok(()),
        Err(other) => Err(other.into()),
        Ok(_) => Err("there are lines".into()),
    }
}

fn inline_chain(dir: &Path) -> Result<(), Failed> {
    let (image, map) = load(&build(dir, "chain", "cc -O2 -g", "lines.c")?)?;
    let map = map?;
    let text = image.section_by_name(".text").ok_or("no .text")?;
    let places = (0..image.section(text).size).filter_map(|offset| map.place(CodeLoc::new(text, offset)));
    // In `plain`, `deepest` is inside of `middle`, which was called from line 13 of lines.c.
    let chain = |place: &Place| {
        place.inlined.iter().map(|f| (f.function.clone(), f.line)).collect::<Vec<_>>()
            == [("deepest".into(), Some(15)), ("middle".into(), Some(13))]
    };
    let place = places.into_iter().find(chain).ok_or("no byte with both calls")?;
    let files: Vec<_> = place.inlined.iter().filter_map(|f| f.file.as_deref()).collect();
    assert!(place.file.ends_with("/inlined.h"), "{place:?}");
    assert!(matches!(files[..], [a, b] if a.ends_with("/inlined.h") && b.ends_with("/lines.c")), "{files:?}");
    Ok(())
}

fn line_to_code(dir: &Path) -> Result<(), Failed> {
    let (image, map) = load(&build(dir, "back", "cc -O2 -g -ffunction-sections", "lines.c")?)?;
    let map = map?;
    let names = map.files();
    let file = |end: &str| names.iter().find(|name| name.ends_with(end)).ok_or(format!("no {end}"));
    let sections = |ranges: Vec<orcls::source_map::CodeRange>| {
        ranges.iter().map(|r| image.section(r.start.section).name.clone()).collect::<BTreeSet<_>>()
    };
    // `sink = n;` of `deepest` was inlined into three functions.
    let everywhere = [".init.text", ".text.patched", ".text.plain"].map(str::to_owned).into();
    assert_eq!(sections(map.locations(file("/inlined.h")?, 8)), everywhere);
    // The call of `middle` in `plain` has no code of its own line's, but that of its body.
    assert_eq!(sections(map.inlined_at(file("/lines.c")?, 13)), [".text.plain".to_owned()].into());
    // Ranges come back from where they lead to.
    for range in map.locations(file("/lines.c")?, 31) {
        let place = map.place(range.start).ok_or("no place")?;
        assert_eq!((place.line, range.start.offset < range.end), (Some(31), true));
    }
    assert_eq!(map.locations(file("/lines.c")?, 1), []);
    Ok(())
}

/// What may be read for an object is limited; what is asked again is not read again.
fn declared_often(dir: &Path) -> Result<(), Failed> {
    let (image, map) = load(&build(dir, "declared", "cc -O2 -g -ffunction-sections", "lines.c")?)?;
    let map = map?;
    let lines =
        |name: &str| map.declarations(name).iter().map(|found| (found.line, found.function)).collect::<Vec<_>>();
    for _ in 0..50_000 {
        assert_eq!((lines("plain"), lines("sink"), lines("nowhere")), (vec![(11, true)], vec![(4, false)], vec![]));
    }
    let text = image.section_by_name(".text.plain").ok_or("no .text.plain")?;
    assert!(map.place(CodeLoc::new(text, 0)).is_some() && !map.is_cut());
    Ok(())
}

/// addr2line finds nothing here without the file that was split off.
fn split(dir: &Path) -> Result<(), Failed> {
    let (image, whole) = load(&build(dir, "whole", "cc -O2 -g -ffunction-sections", "lines.c")?)?;
    let (_, split) = load(&build(dir, "split", "cc -O2 -g -ffunction-sections -gsplit-dwarf", "lines.c")?)?;
    let (whole, split) = (whole?, split?);
    let line = |map: &SourceMap, at| map.place(at).map(|place| (place.file, place.line));
    let text = image.section_by_name(".text.patched").ok_or("no section")?;
    for at in (0..image.section(text).size).map(|offset| CodeLoc::new(text, offset)) {
        assert_eq!(line(&whole, at), line(&split, at));
        assert!(line(&whole, at).is_some(), "no line at {at:?}");
    }
    Ok(())
}

/// The numbers of a xorshift generator: the same ones on every run.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize
}

/// Asks everything of an object in memory; what the answers are is open.
fn ask(object: Vec<u8>) {
    let Ok(image) = ElfImage::read(&object) else { return };
    let Ok(map) = SourceMap::load(&object, &image) else { return };
    for (id, section) in image.sections().filter(|(_, s)| s.is_code()) {
        for offset in (0..section.size).step_by(7) {
            map.place(CodeLoc::new(id, offset));
        }
    }
    for file in map.files().iter().take(8) {
        map.locations(file, 8);
        map.inlined_at(file, 13);
    }
}

fn forged(dir: &Path) -> Result<(), Failed> {
    let commands = ["gcc -O2 -gdwarf-5", "gcc -O2 -gdwarf-4 -ffunction-sections", "gcc -O2 -g -gz=zlib"];
    let mut state = 0x2545_f491_4f6c_dd1d;
    for (name, command) in ["forged_5", "forged_4", "forged_z"].into_iter().zip(commands) {
        let object = std::fs::read(build(dir, name, command, "lines.c")?)?;
        let image = ElfImage::read(&object)?;
        let debug: Vec<_> = image.sections().filter(|(_, s)| s.name.contains(".debug_") && s.size > 0).collect();
        for _ in 0..700 {
            let mut forged = object.clone();
            for _ in 0..1 + random(&mut state) % 4 {
                let (_, section) = debug[random(&mut state) % debug.len()];
                let at = section.file_offset as usize + random(&mut state) % section.size as usize;
                // Lengths, offsets and counts are most wrong where they are largest.
                forged[at] = if random(&mut state).is_multiple_of(3) { 0xff } else { random(&mut state) as u8 };
            }
            ask(forged);
        }
    }
    Ok(())
}

/// A compression header may claim any size; memory for it is only asked for within reason.
fn inflated(dir: &Path) -> Result<(), Failed> {
    let mut object = std::fs::read(build(dir, "inflated", "gcc -O2 -g -gz=zlib", "lines.c")?)?;
    let image = ElfImage::read(&object)?;
    let id = image.section_by_name(".debug_info").ok_or("no .debug_info")?;
    let size = image.section(id).file_offset as usize + 8;
    object[size..size + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    match SourceMap::load(&object, &image) {
        Err(NoSource::Compression(section)) if section == ".debug_info" => Ok(()),
        Err(other) => Err(other.into()),
        Ok(_) => Err("the size was believed".into()),
    }
}

/// What binutils says about each byte of a section: `FILE:LINE`, the discriminator left out.
fn addr2line(object: &Path, section: &str, size: u64) -> Result<Vec<String>, Failed> {
    let mut command = Command::new("addr2line");
    command.args(["-j", section, "-e"]).arg(object).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    let feed = std::thread::spawn(move || {
        let mut text = String::new();
        for offset in 0..size {
            let _ = writeln!(text, "{offset:x}");
        }
        input.write_all(text.as_bytes())
    });
    let output = child.wait_with_output()?;
    feed.join().map_err(|_| "the feeding thread died")??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(|line| line.split(" (").next().unwrap_or(line).to_owned()).collect())
}

fn compare(object: &Path) -> Result<(), Failed> {
    let (image, map) = load(object)?;
    let quirk = FileZero::of(object)?;
    let map = match map {
        Err(NoSource::NoDebugInfo) => None,
        other => Some(other?),
    };
    let mut wrong = String::new();
    let mut seen = BTreeSet::new();
    for (id, section) in image.sections().filter(|(_, s)| s.is_code() && s.size > 0) {
        // addr2line takes the first section of a name.
        if !seen.insert(&section.name) {
            continue;
        }
        for (offset, theirs) in addr2line(object, &section.name, section.size)?.iter().enumerate() {
            let Some(map) = &map else {
                assert!(theirs.ends_with(":?") || theirs == "??:0", "no debug info, but {theirs}");
                continue;
            };
            let ours = map.place(CodeLoc::new(id, offset as u64));
            if !same(ours.as_ref(), theirs) && !quirk.explains(ours.as_ref(), theirs) {
                let _ = writeln!(wrong, "{}+{offset:x}: {ours:?}, addr2line: {theirs}", section.name);
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.lines().take(40).collect::<Vec<_>>().join("\n").into()) }
}

fn same(ours: Option<&Place>, theirs: &str) -> bool {
    match ours.map(|place| (place, place.line)) {
        None => theirs == "??:0" || theirs == "??:?",
        Some((place, Some(line))) => theirs == format!("{}:{line}", place.file),
        Some((place, None)) => theirs == format!("{}:?", place.file),
    }
}

/// Before 2.42 binutils started the sequences of a DWARF 5 table at file 0, though DWARF 5 §6.2.2 says 1
/// (<https://sourceware.org/bugzilla/show_bug.cgi?id=30783>). `readelf` of the same binutils reads them right.
struct FileZero {
    /// Per table of the object: the names of files 0 and 1.
    pairs: Vec<(String, String)>,
}

impl FileZero {
    fn of(object: &Path) -> Result<FileZero, Failed> {
        let version = run(Command::new("addr2line").arg("--version"))?;
        let number = version.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
        let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (parts.next(), parts.next()) >= (Some(2), Some(42)) {
            return Ok(FileZero { pairs: Vec::new() });
        }
        let tables = run(Command::new("readelf").args(["--debug-dump=rawline", "--wide"]).arg(object))?;
        let mut pairs = Vec::new();
        for table in tables.split("The File Name Table").skip(1) {
            let mut names =
                table.lines().skip(2).map(|line| line.rsplit([' ', '\t']).next().unwrap_or(line).to_owned());
            pairs.extend(names.next().zip(names.next()));
        }
        Ok(FileZero { pairs })
    }

    fn explains(&self, ours: Option<&Place>, theirs: &str) -> bool {
        let (Some(place), Some((file, line))) = (ours, theirs.rsplit_once(':')) else { return false };
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let pair = (base(file), base(&place.file));
        place.line.map(|line| line.to_string()).as_deref() == Some(line) && self.pairs.contains(&pair)
    }
}

fn corpus(scratch: &Path) -> Option<PathBuf> {
    if !Path::new(CORPUS).is_file() {
        eprintln!("skipped: the corpus of kernel objects, {CORPUS} is not there");
        return None;
    }
    match run(Command::new("tar").arg("--zstd").args(["-xf", CORPUS, "-C"]).arg(scratch)) {
        Ok(_) => Some(scratch.join("dwarf-6.12")),
        Err(error) => {
            eprintln!("skipped: the corpus of kernel objects: {}", error.message().unwrap_or_default());
            None
        }
    }
}

fn objects_below(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut objects) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.extension() {
                Some(end) if end == "o" => objects.push(path),
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    objects.sort();
    objects
}
