//! What may be passed on to the preprocessor, the assembler, or clang's inner compiler.
//!
//! In: the words that `-Wp,`, `-Wa,`, `-Xpreprocessor`, `-Xassembler` and `-Xclang` pass on.  Out: those that change code,
//! in one spelling.
//! Holds afterwards: as for the compiler's own options; each value stands in the word of its option, so that none can take
//! a word that follows.
//! Reads like: cpp(1), as(1), "i386-Options" of the assembler's manual (facts only).

use super::Refusal;

/// The assembler's options that are whole words.
const ASSEMBLER: [&str; 31] = [
    "--fatal-warnings",
    "--noexecstack",
    "--execstack",
    "--no-pad-sections",
    "--divide",
    "--32",
    "--64",
    "--x32",
    "--warn",
    "--no-warn",
    "-W",
    "-L",
    "--keep-locals",
    "-R",
    "--reduce-memory-overheads",
    "-nocpp",
    "-O",
    "-O0",
    "-O1",
    "-O2",
    "-Os",
    "-g",
    "--alternate",
    "-n",
    "--size-check=error",
    "--size-check=warning",
    "--strip-local-absolute",
    "--sectname-subst",
    "--gsframe",
    "--gsframe=yes",
    "--gsframe=no",
];
/// Its debug information, of which one version is asked for.
const VERSIONS: [&str; 4] = ["dwarf-2", "dwarf-3", "dwarf-4", "dwarf-5"];
/// Its options that change no code.
const ASSEMBLER_DROPPED: [&str; 14] = [
    "-v",
    "--statistics",
    "--compress-debug-sections",
    "--nocompress-debug-sections",
    "--gen-debug",
    "--gdwarf-sections",
    "-D",
    "--gstabs",
    "--gstabs+",
    "--generate-missing-build-notes=no",
    "--generate-missing-build-notes=yes",
    "--elf-stt-common=no",
    "--verbose",
    "--listing-lhs-width",
];

/// The value of an option that stands behind it, in its own word or the next one.
fn value<'a>(option: &str, joined: &'a str, rest: &mut impl Iterator<Item = &'a &'a str>) -> Result<&'a str, Refusal> {
    let value =
        if joined.is_empty() { *rest.next().ok_or_else(|| Refusal::NoValue(option.to_owned()))? } else { joined };
    match value.is_empty() || value.starts_with(['@', '-']) {
        true => Err(Refusal::BadValue(value.to_owned())),
        false => Ok(value),
    }
}

/// Macros are kept; `-MD` and `-MMD` take a file here.
pub(super) fn preprocessor(pieces: &[&str]) -> Result<Vec<String>, Refusal> {
    let mut kept = Vec::new();
    let mut rest = pieces.iter();
    while let Some(piece) = rest.next() {
        match *piece {
            "-MD" | "-MMD" | "-MF" | "-MT" | "-MQ" => drop(value(piece, "", &mut rest)?),
            "-MP" | "-MG" | "-w" | "-P" | "" => {}
            _ if piece.starts_with("-W") => {}
            _ if ["-MF", "-MT", "-MQ"].iter().any(|start| piece.starts_with(start)) => {}
            _ if piece.starts_with("-D") || piece.starts_with("-U") => {
                let (option, joined) = piece.split_at(2);
                kept.push(format!("{option}{}", value(option, joined, &mut rest)?));
            }
            _ if piece.contains("plugin") => return Err(Refusal::RunsOther((*piece).to_owned())),
            _ => return Err(Refusal::Unknown((*piece).to_owned())),
        }
    }
    Ok(kept)
}

/// The assembler takes one dash for two, unambiguous beginnings for names, and several letters behind one dash: what is not
/// spelled as here is refused.
pub(super) fn assembler(pieces: &[&str]) -> Result<Vec<String>, Refusal> {
    let mut kept = Vec::new();
    let mut rest = pieces.iter();
    while let Some(piece) = rest.next() {
        let version = piece.trim_start_matches('-').strip_prefix('g').filter(|version| VERSIONS.contains(version));
        match *piece {
            "" => {}
            "-o" | "--MD" => drop(value(piece, "", &mut rest)?),
            "-I" => kept.push(format!("-I{}", value(piece, "", &mut rest)?)),
            "--defsym" | "-defsym" => kept.push(symbol(value(piece, "", &mut rest)?)?),
            _ if ASSEMBLER.contains(piece) => kept.push((*piece).to_owned()),
            _ if ASSEMBLER_DROPPED.contains(piece) => {}
            _ if piece.starts_with("--compress-debug-sections=") || piece.starts_with("--MD=") => {}
            _ if version.is_some() => kept.push(format!("-g{}", version.unwrap_or_default())),
            _ if piece.starts_with("-I") => kept.push(format!("-I{}", value("-I", &piece[2..], &mut rest)?)),
            _ if piece.starts_with("--defsym=") => kept.push(symbol(&piece["--defsym=".len()..])?),
            _ if is_machine(piece) => kept.push((*piece).to_owned()),
            _ if is_listing(piece) => {}
            _ => return Err(Refusal::MayWrite((*piece).to_owned())),
        }
    }
    Ok(kept)
}

/// `-aln=FILE`: a listing, which makes no difference to the object.
fn is_listing(piece: &str) -> bool {
    let Some(letters) = piece.strip_prefix("-a") else {
        return false;
    };
    letters.split('=').next().is_some_and(|letters| letters.bytes().all(|letter| b"cdghilmns".contains(&letter)))
}

/// `-mbranches-within-32B-boundaries`, `-mtune=generic`: what instructions look like.
fn is_machine(piece: &str) -> bool {
    let Some(option) = piece.strip_prefix("-m") else {
        return false;
    };
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte));
    !name.is_empty() && name != "llvm" && is_name(name) && is_name(value)
}

fn symbol(definition: &str) -> Result<String, Refusal> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte))
    };
    match definition.split_once('=') {
        // Clang's assembler takes the definition as a word of its own, and GCC's takes it like that too.
        Some((name, value)) if is_name(name) && is_name(value) => Ok(format!("-defsym,{name}={value}")),
        _ => Err(Refusal::BadValue(definition.to_owned())),
    }
}

/// What is passed to clang's inner compiler.
pub(super) enum ForClang {
    /// As it is, each by `-Xclang`.
    Words(Vec<String>),
    /// A file that is included.
    Include(String),
    /// A precompiled header, which is not read: it is a file of the workspace that need not say what the text says.
    Precompiled(String),
}

/// A few options that build systems are known to pass.
pub(super) fn clang(pieces: &[&str]) -> Result<Vec<ForClang>, Refusal> {
    const KEPT: [&str; 4] = [
        "-mno-constructor-aliases",
        "-opaque-pointers",
        "-no-opaque-pointers",
        "-fexperimental-assignment-tracking=disabled",
    ];
    const DROPPED: [&str; 5] =
        ["-fcolor-diagnostics", "-fno-pch-timestamp", "-fno-validate-pch", "-fansi-escape-codes", "-pedantic"];
    let mut kept = Vec::new();
    let mut rest = pieces.iter();
    while let Some(piece) = rest.next() {
        match *piece {
            "-include" => kept.push(ForClang::Include(value(piece, "", &mut rest)?.to_owned())),
            "-include-pch" => kept.push(ForClang::Precompiled(value(piece, "", &mut rest)?.to_owned())),
            "-target-feature" => {
                let feature = rest.next().ok_or_else(|| Refusal::NoValue((*piece).to_owned()))?;
                let is_name =
                    |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
                match feature.strip_prefix(['+', '-']) {
                    Some(name) if is_name(name) => {
                        kept.push(ForClang::Words(vec![(*piece).to_owned(), (*feature).to_owned()]))
                    }
                    _ => return Err(Refusal::BadValue((*feature).to_owned())),
                }
            }
            "-fdebug-compilation-dir" => drop(rest.next().ok_or_else(|| Refusal::NoValue((*piece).to_owned()))?),
            _ if DROPPED.contains(piece) || piece.starts_with("-fdebug-compilation-dir=") => {}
            _ if KEPT.contains(piece) => kept.push(ForClang::Words(vec![(*piece).to_owned()])),
            _ if ["-load", "-fplugin", "-fpass-plugin", "-plugin", "-add-plugin"]
                .iter()
                .any(|start| piece.starts_with(start)) =>
            {
                return Err(Refusal::RunsOther((*piece).to_owned()));
            }
            _ => return Err(Refusal::Unknown((*piece).to_owned())),
        }
    }
    Ok(kept)
}
