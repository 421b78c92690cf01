//! Keeps the house in order: what the compiler does not check, and reviewers forget.
//!
//! In: the repository's own files.  Out: a test per rule; each failure says what to do.

#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/sources.rs"]
mod sources;
#[path = "support/uses.rs"]
mod uses;

use std::collections::BTreeSet;
use std::fs;

use fixture::{Fixture, Kind};
use orcls::findings::Code;
use orcls::kernel::Kernel;
use sources::{Source, code_map, modules, repository, sources, text_files};

/// Codes that no fixture can show, and why.
const NOT_SHOWN: &[(Code, &str)] = &[
    (
        Code::UnknownStackOperation,
        "no x86 instruction decodes to such an operation: the check guards against a decoder that does",
    ),
    (Code::UnwindStackUntold, USER_SPACE),
    (Code::UnwindRegisterWrong, USER_SPACE),
    (Code::UnwindRowsBehindReturn, USER_SPACE),
    (Code::UnwindWrongNumber, USER_SPACE),
    (Code::UnwindRowMisplaced, USER_SPACE),
    (Code::UnwindAdjustedElsewhere, USER_SPACE),
    (Code::UnwindCfaLost, USER_SPACE),
    (Code::UnwindExpressionLost, USER_SPACE),
    (Code::UnwindMalformed, USER_SPACE),
    (Code::UnwindTableMissing, USER_SPACE),
    (Code::NotGivenBack, USER_SPACE),
    (Code::RedZoneOverwritten, USER_SPACE),
];

/// Fixtures are judged by the kernel's rules.
const USER_SPACE: &str = "rules for user space: tests/suite/unwind.rs shows it";

/// Crates that may be used anywhere: derives, and a faster hash.
const ANYWHERE: &[&str] = &["rustc_hash", "serde", "thiserror"];

/// Fails with all complaints and what to do about them.
#[track_caller]
fn demand(complaints: Vec<String>, remedy: &str) {
    assert!(complaints.is_empty(), "\n  {}\n\n{remedy}\n", complaints.join("\n  "));
}

/// Lines of non-test code for which `wrong` says something.
fn in_code(wrong: impl Fn(&Source, &str) -> Option<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            if let Some(complaint) = wrong(&source, line) {
                complaints.push(format!("{}:{number}: {complaint}", source.name));
            }
        }
    }
    complaints
}

#[test]
fn modules_use_only_modules_above_them() {
    let order = modules();
    let rank = |name: &str| order.iter().position(|module| module == name);
    let complaints = in_code(|source, line| {
        let own = rank(source.module())?;
        let lower = source.crate_paths(line).into_iter().find(|name| rank(name).is_some_and(|at| at > own))?;
        Some(format!("`{}` uses `{lower}`, which stands below it", source.module()))
    });
    demand(
        complaints,
        "The `mod` lines of src/lib.rs are in layer order. Hand the value in as an argument, move the type up, or move the \
         module down if it belongs there.",
    );
}

#[test]
fn files_do_not_use_each_other_in_a_circle() {
    let code = |source: &Source| source.code().into_iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
    let files = sources().iter().map(|source| (source.path(), code(source))).collect();
    let circle = uses::circle(&uses::uses(&files));
    demand(
        circle.map(|chain| chain.join(" -> ")).into_iter().collect(),
        "Each of these files uses the next. Move what two of them share into a third, or hand it in as an argument.",
    );
}

#[test]
fn outside_crates_stay_where_the_code_map_has_them() {
    let mut crates = sources::dependencies();
    crates.retain(|name| !ANYWHERE.contains(&name.as_str()));
    let mut complaints = Vec::new();
    for row in code_map() {
        let mut used = BTreeSet::new();
        for source in sources().iter().filter(|source| source.module() == row.module) {
            for (_, line) in source.code() {
                used.extend(crates.iter().filter(|name| sources::mentions(line, &format!("{name}::"))).cloned());
            }
        }
        if used != row.crates {
            complaints.push(format!("{}: uses {used:?}, the map says {:?}", row.module, row.crates));
        }
    }
    demand(
        complaints,
        "docs/architecture.md, \"Code map\", says which outside crates a module may use. Take the use to the module that is \
         there for it; only where a module is to have a new purpose, change the map.",
    );
}

#[test]
fn every_dependency_is_used() {
    let used = |name: &String, folders: &[&str]| {
        let files = text_files();
        let mut rust = files.iter().filter(|file| file.name.ends_with(".rs"));
        let mention =
            |line: &str| ["::", " ", ";", "!"].iter().any(|end| sources::mentions(line, &format!("{name}{end}")));
        rust.any(|file| folders.iter().any(|folder| file.name.starts_with(folder)) && file.text.lines().any(mention))
    };
    let mut complaints: Vec<String> = Vec::new();
    for (section, folders) in
        [("dependencies", &["src/"][..]), ("dev-dependencies", &["src/", "tests/", "benches/"][..])]
    {
        let unused = sources::dependencies_of(section).into_iter().filter(|name| !used(name, folders));
        complaints.extend(unused.map(|name| format!("[{section}] {name}: no file names it")));
    }
    demand(complaints, "Take it out of Cargo.toml; what only tests need belongs to [dev-dependencies].");
}

/// `url` can read host names in every script; that takes twenty crates of Unicode tables, which everybody would build first.
/// No document that the server is asked about lies on such a host. The way out is that of `idna_adapter`: its version 1.0.
#[test]
fn no_unicode_tables_are_built_for_host_names() {
    let mut complaints = Vec::new();
    for name in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let lock = fs::read_to_string(repository().join(name)).expect("a file of the repository");
        assert!(
            lock.contains("name = \"idna_adapter\""),
            "{name} has no idna_adapter: this test has no purpose any more"
        );
        complaints.extend(
            lock.lines().filter(|line| line.starts_with("name = \"icu_")).map(|line| format!("{name}: {line}")),
        );
    }
    demand(
        complaints,
        "cargo update -p idna_adapter --precise 1.0.0, for the fuzz targets with --manifest-path fuzz/Cargo.toml",
    );
}

#[test]
fn every_licence_goes_with_ours() {
    // Those that may be combined with GPL-2.0-or-later, some of them by way of version 3.
    const FITTING: &[&str] = &[
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "GPL-2.0-or-later",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "Unicode-3.0",
        "Unlicense",
        "Zlib",
    ];
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    // `A OR (B AND C)`: one side of an OR is enough, both of an AND are needed.
    let fits = |expression: &str| {
        let either = expression.replace('/', " OR ").replace(['(', ')'], "");
        either.split(" OR ").any(|all| all.split(" AND ").all(|licence| FITTING.contains(&licence.trim())))
    };
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 20, "{} packages", packages.len());
    let unfit = packages.iter().filter(|package| !fits(package["license"].as_str().unwrap_or_default()));
    let complaints = unfit.map(|package| format!("{}: {}", package["name"], package["license"])).collect();
    demand(
        complaints,
        "Use another crate; add the licence to FITTING only if it may be combined with GPL-2.0-or-later.",
    );
}

#[test]
fn the_code_map_lists_the_modules_in_order() {
    let map: Vec<String> = code_map().into_iter().map(|row| row.module).collect();
    assert_eq!(
        map,
        modules(),
        "\n\nGive docs/architecture.md, \"Code map\", a row per `mod` line of src/lib.rs, in its order.\n"
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut complaints = Vec::new();
    for source in sources() {
        let doc: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        if doc.is_empty() {
            complaints.push(format!("{}: does not start with `//!`", source.name));
        } else if source.is_stage() && !doc.iter().any(|line| line.contains("Out: ")) {
            complaints.push(format!("{}: its `//!` has no `Out: `", source.name));
        }
    }
    demand(
        complaints,
        "The first line of a file says what it does for the reader; a module of src/lib.rs goes on with `In: ...  Out: ...` \
         and `Holds afterwards: ...`. tests/tidy.rs itself is an example.",
    );
}

#[test]
fn files_are_short_and_named_for_what_they_do() {
    let vague = ["utils", "util", "helpers", "helper", "common", "manager", "misc", "mod"];
    let mut complaints = Vec::new();
    for source in sources() {
        let n_lines = source.code().len();
        if n_lines > 800 {
            complaints.push(format!("{}: {n_lines} lines without tests", source.name));
        }
        if vague.contains(&source.stem()) {
            complaints.push(format!("{}: `{}` says nothing", source.name, source.stem()));
        }
    }
    demand(
        complaints,
        "Split the file by what its parts do, and name each for that (`foo.rs` with `foo/`, never `mod.rs`).",
    );
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    // In two parts each, so that this file does not find itself.
    let marks = [("#[ign", "ore"), ("#[should_", "panic"), ("dbg", "!("), ("todo", "!("), ("unimple", "mented!(")];
    let marks = marks.map(|(one, two)| format!("{one}{two}"));
    let mut complaints = Vec::new();
    for file in text_files().iter().filter(|file| file.name.ends_with(".rs")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            complaints.extend(
                marks
                    .iter()
                    .filter(|mark| line.contains(*mark))
                    .map(|mark| format!("{}:{number}: `{mark}`", file.name)),
            );
        }
    }
    demand(complaints, "Assert what happens today, with a FIXME that says what should; finish it, or take it out.");
}

#[test]
fn only_the_command_line_prints() {
    let complaints = in_code(|source, line| {
        let prints = ["println!(", "print!("].iter().any(|call| sources::mentions(line, call));
        (prints && !matches!(source.module(), "cli" | "main")).then(|| "prints to standard output".to_owned())
    });
    demand(complaints, "Standard output belongs to the protocol. Return the text, or log it with `tracing`.");
}

#[test]
fn nothing_is_unwrapped() {
    let complaints = in_code(|_, line| line.contains(".unwrap()").then(|| "`.unwrap()`".to_owned()));
    demand(
        complaints,
        "Input is hostile: return an error, skip, or use a default. Where it can not happen, `expect` says why it can not.",
    );
}

#[test]
fn every_code_has_a_case_and_a_near_miss() {
    let fixtures = Fixture::all();
    let has = |code: Code, kind: Kind| {
        fixtures.iter().flat_map(|fixture| &fixture.expectations).any(|e| e.code == code && e.kind == kind)
    };
    let mut complaints = Vec::new();
    for &code in Code::ALL {
        let excused = NOT_SHOWN.iter().any(|(excused, _)| *excused == code);
        for (kind, word) in [(Kind::Warn, "warn"), (Kind::Silent, "silent")] {
            // What objtool never prints is there beside what it does.
            let shown = has(code, kind) || (kind == Kind::Warn && has(code, Kind::Also));
            match (shown, excused) {
                (false, false) => complaints.push(format!("no fixture has `// {word}: {code}`")),
                (true, true) => complaints.push(format!("a fixture has `// {word}: {code}`, but NOT_SHOWN excuses it")),
                _ => {}
            }
        }
    }
    demand(
        complaints,
        "fixtures/README.md says how to write one. A code that nothing can show goes into NOT_SHOWN with the reason.",
    );
}

#[test]
fn every_release_can_be_chosen() {
    let mut complaints = Vec::new();
    for (file, quote) in [
        ("docs/schema/check.schema.json", "\""),
        ("docs/schema/doctor.schema.json", "\""),
        ("docs/schema/orc.schema.json", "\""),
        ("docs/editors.md", "\""),
        ("editors/settings.json", "\""),
        ("editors/vscode/package.json", "\""),
        ("README.md", ""),
    ] {
        let text = fs::read_to_string(repository().join(file)).expect(file);
        let lacks = |kernel: &&Kernel| !text.contains(&format!("{quote}{kernel}{quote}"));
        complaints.extend(Kernel::ALL.iter().filter(lacks).map(|kernel| format!("{file} lacks {kernel}")));
    }
    demand(complaints, "docs/adding-a-kernel.md, step 4.");
}

#[test]
fn every_directive_is_used() {
    let fixtures = Fixture::all();
    let expectations = || fixtures.iter().flat_map(|fixture| &fixture.expectations);
    let runs = || fixtures.iter().flat_map(|fixture| &fixture.runs);
    let used = [
        ("warn", expectations().any(|e| e.kind == Kind::Warn && e.line.is_some())),
        ("also", expectations().any(|e| e.kind == Kind::Also)),
        ("silent", expectations().any(|e| e.kind == Kind::Silent)),
        ("cause", expectations().any(|e| e.kind == Kind::Cause)),
        ("//! warn", expectations().any(|e| e.kind == Kind::Warn && e.line.is_none())),
        ("a selector", expectations().any(|e| !e.selector.is_empty())),
        ("--all", runs().any(|run| run.all)),
        ("//! cc", fixtures.iter().any(|fixture| !fixture.cc.is_empty())),
        ("//! golden", fixtures.iter().any(|fixture| fixture.golden)),
        ("//! oracle", fixtures.iter().any(|fixture| fixture.oracle)),
    ];
    let unused = used.iter().filter(|(_, used)| !used).map(|(word, _)| format!("no fixture uses {word}")).collect();
    demand(unused, "Write the fixture, or take the directive out of tests/support/fixture.rs and fixtures/README.md.");
}

#[test]
fn every_kept_table_belongs_to_a_fixture() {
    let fixtures = Fixture::all();
    let golden = fixtures.iter().filter(|fixture| fixture.golden);
    let wanted: BTreeSet<_> =
        golden.flat_map(|fixture| fixture.runs.iter().map(|run| fixture.golden_path(run.kernel))).collect();
    let kept = text_files().into_iter().filter(|file| file.name.ends_with(".orc")).map(|file| file.path);
    let kept: BTreeSet<_> = kept.collect();
    let complaints = wanted.symmetric_difference(&kept).map(|path| path.display().to_string()).collect();
    demand(
        complaints,
        "BLESS=1 cargo test --test fixtures writes a table that is missing; delete one that nobody wants.",
    );
}

#[test]
fn lines_end_cleanly() {
    let mut complaints = Vec::new();
    for file in text_files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            if line.ends_with([' ', '\t', '\r']) {
                complaints.push(format!("{}:{number}: white space at the end", file.name));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            complaints.push(format!("{}: no newline at the end", file.name));
        }
    }
    demand(complaints, "Take the white space out, and end the file with a newline.");
}

#[test]
fn nothing_names_the_place_where_it_was_written() {
    let places =
        [("/wo", "rk/"), ("/tmp", "/tb"), ("/tmp", "/brief"), ("/tmp", "/corpus"), ("/ro", "ot/"), ("/ho", "me/")];
    let places = places.map(|(one, two)| format!("{one}{two}"));
    let mut complaints = Vec::new();
    for file in text_files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            complaints.extend(
                places
                    .iter()
                    .filter(|place| line.contains(*place))
                    .map(|place| format!("{}:{number}: `{place}`", file.name)),
            );
        }
    }
    demand(
        complaints,
        "Nobody else has this path. Use one relative to the repository, or take it from the environment.",
    );
}

#[test]
fn an_address_is_the_one_of_cargo_toml() {
    let read = |name: &str| fs::read_to_string(repository().join(name)).expect("a file of the repository");
    let manifest = read("Cargo.toml");
    let field = |name: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")))?;
        line.split('"').nth(1).map(str::to_owned)
    };
    let (version, address, author) = (field("version").expect("a version"), field("repository"), field("authors"));
    let homepage = address.as_deref().unwrap_or("https://example.invalid/orcls");
    let maintainer = author.as_deref().unwrap_or("orcls developers <orcls@example.invalid>");
    let mut shown = vec![
        ("editors/mason/package.yaml", format!("homepage: {homepage}\n")),
        ("editors/mason/package.yaml", format!("id: pkg:cargo/orcls@{version}\n")),
        ("packaging/debian/control", format!("Maintainer: {maintainer}\n")),
        ("packaging/debian/changelog", format!("orcls ({version}) ")),
        ("packaging/debian/changelog", format!(" -- {maintainer}  ")),
        ("packaging/aur/PKGBUILD", format!("pkgver={version}\n")),
        ("packaging/nix/package.nix", format!("version = \"{version}\";")),
    ];
    // Where no format insists on an address, a made-up one would only mislead.
    let mut silent = Vec::new();
    for name in [
        "packaging/debian/control",
        "packaging/debian/copyright",
        "packaging/aur/PKGBUILD",
        "packaging/nix/package.nix",
        "editors/vscode/package.json",
        "editors/nvim/README.md",
    ] {
        match &address {
            Some(address) => shown.push((name, address.clone())),
            None => silent.push((name, "://")),
        }
    }
    match &author {
        Some(author) => shown.push(("SECURITY.md", format!("Write to {author} "))),
        None => shown.push(("SECURITY.md", "The project has no public address yet".to_owned())),
    }
    let mut complaints = Vec::new();
    for (name, text) in shown {
        if !read(name).contains(&text) {
            complaints.push(format!("{name}: lacks `{}`", text.trim_end()));
        }
    }
    for (name, text) in silent {
        let allowed = |line: &str| line.starts_with("Format: ") || line.contains("\"$schema\"");
        if let Some(line) = read(name).lines().find(|line| line.contains(text) && !allowed(line)) {
            complaints.push(format!("{name}: `{}`", line.trim()));
        }
    }
    demand(complaints, "node editors/sync.mjs writes what Cargo.toml says.");
}

#[test]
fn no_file_carries_the_copyright_line_of_another_project() {
    let mark = format!("{} (", "Copyright");
    let mut complaints = Vec::new();
    for file in text_files().iter().filter(|file| file.name != "LICENSE") {
        if file.text.contains(&mark) {
            complaints.push(format!("{}: has a copyright line", file.name));
        }
    }
    demand(
        complaints,
        "Describe behaviour and cite the file and function; copy neither code nor comments (README, \"Licence\").",
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for file in text_files().iter().filter(|file| file.name.ends_with(".md")) {
        let folder = file.path.parent().expect("a file is in a folder");
        for target in file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                complaints.push(format!("{}: ({target})", file.name));
            }
        }
    }
    demand(complaints, "Correct the link, or take it out.");
}

/// Words that a kernel developer would not use, and those to use instead. In two parts each, so that this file does not find
/// itself.
const WORDS: &[(&str, &str, &str)] = &[
    ("can n", "ot ", "cannot"),
    ("it is not kn", "own how", "... is unknown"),
    ("which there i", "s not", "which does not exist"),
    ("hangs o", "n ", "depends on"),
    ("hang o", "n ", "depend on"),
    ("goes on beh", "ind", "continues after"),
    ("keeps bo", "ok", "tracks"),
    ("way ba", "ck", "old stack pointer, caller's frame"),
    ("have to be give", "n back", "are still on the stack"),
    ("too many taken o", "ff", "too many were popped"),
    ("which is no cod", "e of", "unknown finding code"),
    ("For who wan", "ts", "For contributors."),
];

#[test]
fn people_read_the_words_of_the_field() {
    let mut complaints = Vec::new();
    // What people read: documents, and the texts of findings.
    let read = |name: &str| {
        name.ends_with(".md") || name.starts_with("src/findings") || name.starts_with("src/report/message")
    };
    for file in text_files().iter().filter(|file| read(&file.name)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let found = WORDS.iter().filter(|(one, two, _)| line.contains(&format!("{one}{two}")));
            complaints
                .extend(found.map(|(one, two, say)| format!("{}:{number}: `{one}{two}`: say `{say}`", file.name)));
        }
    }
    demand(
        complaints,
        "docs/glossary.md has the terms. Write as a kernel developer writes: short, concrete, no invented words.",
    );
}

#[test]
fn recipes_name_files_that_exist() {
    let recipes = ["docs/architecture.md", "docs/adding-a-kernel.md", "docs/glossary.md", "fixtures/README.md"];
    let texts = recipes.map(|name| fs::read_to_string(repository().join(name)).expect(name));
    let text = texts.join("\n");
    let named = text.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        ["src/", "tests/", "fixtures/", "docs/", "benches/", "editors/"].iter().any(|start| word.starts_with(start))
    };
    let paths = named.filter(is_path).filter(|word| !word.contains(['<', '*', ' ', 'N']));
    let complaints = paths.filter(|path| !repository().join(path).exists()).map(str::to_owned).collect();
    demand(complaints, "A document names them. Write the name that the file has; a made-up one holds `<...>`.");
}
