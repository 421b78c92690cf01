//! Finds objtool's flags for an object, and what an object alone cannot decide.
//!
//! In: a `.cmd` file of the object.  Out: [`Flags`].
//! Holds afterwards: flags are those of a command that the build ran; where the build checks the object only as part of
//! a linked one, the flags that need the whole are taken out and said.
//!
//! | case | the object's own recipe | the build | flags |
//! |---|---|---|---|
//! | 1 | runs objtool | | from there |
//! | 2 | does not | links it into a module that objtool checks | from the module's recipe |
//! | 3 | does not | links it into `vmlinux.o`, checked with all flags (IBT, LTO, KLP) | from `vmlinux.o`'s recipe |
//! | 4 | does not | neither | none: the build does not check it |
//!
//! Reads like: linux scripts/Makefile.build, scripts/Makefile.vmlinux_o (behaviour only).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Parser;
use rustc_hash::FxHashMap;

use super::cmd::{self, CmdFile};
use crate::kernel::Kernel;
use crate::options::Options;

/// Where flags come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FlagSource {
    /// Case 1: the object's own `.cmd` file.
    Own(PathBuf),
    /// Cases 2 and 3: the `.cmd` file of the object that this one is linked into.
    Linked {
        /// The object that objtool checks.
        whole: PathBuf,
        /// Its `.cmd` file.
        file: PathBuf,
    },
    /// Case 4: the object's `.cmd` file, which runs no objtool.
    NotChecked(PathBuf),
    /// No `.cmd` file is known.
    Unknown,
}

/// objtool's flags for one object.
#[derive(Clone, PartialEq, Debug)]
pub struct Flags {
    /// The flags to check this object alone by; `None` when the build checks it nowhere or nothing is known.
    pub options: Option<Options>,
    /// The flags as the build spells them.
    pub words: Vec<String>,
    /// Where they come from.
    pub source: FlagSource,
    /// What the build checks and this object alone cannot decide, and flags that orcls does not know.
    pub undecided: Vec<String>,
    /// The kernel that is built there, where it is one that orcls knows, and the file that says so.
    pub kernel: Option<(Kernel, PathBuf)>,
}

impl Flags {
    /// No flags are known.
    pub fn unknown() -> Self {
        Self::none(FlagSource::Unknown)
    }

    fn none(source: FlagSource) -> Self {
        Flags { options: None, words: Vec::new(), source, undecided: Vec::new(), kernel: None }
    }

    /// Where they come from, for a person.
    pub fn explained(&self) -> String {
        match &self.source {
            FlagSource::Own(file) => file.display().to_string(),
            FlagSource::Linked { whole, file } => {
                format!("{}: the build runs objtool on {} only", file.display(), whole.display())
            }
            FlagSource::NotChecked(file) => {
                format!("none: {} shows that the build does not run objtool on it", file.display())
            }
            FlagSource::Unknown => "not known: there is no Kbuild .cmd file".to_owned(),
        }
    }
}

/// Flags as one recipe has them.
#[derive(Clone, PartialEq, Debug)]
struct Recipe {
    options: Options,
    words: Vec<String>,
    unknown: Vec<String>,
}

/// A linked object that objtool checks.
#[derive(Debug)]
struct Whole {
    object: PathBuf,
    file: PathBuf,
    recipe: Arc<Recipe>,
}

/// Reads flags; a build has thousands of objects and few different lists of flags.
#[derive(Debug, Default)]
pub(super) struct FlagReader {
    recipes: Mutex<FxHashMap<Vec<String>, Arc<Recipe>>>,
    /// By build directory.
    kernels: Mutex<FxHashMap<PathBuf, Option<(Kernel, PathBuf)>>>,
}

impl FlagReader {
    /// The flags of `object`, whose `.cmd` file is `file`.
    pub fn of(&self, cmd: &CmdFile, file: &Path, object: &Path) -> Flags {
        let kernel = cmd.directory(object).and_then(|root| self.kernel(&root));
        Flags { kernel, ..self.by_case(cmd, file, object) }
    }

    /// The kernel that is built in `root`, where it is one that orcls knows.
    pub fn kernel(&self, root: &Path) -> Option<(Kernel, PathBuf)> {
        let mut kernels = self.kernels.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let read = || {
            let file = root.join("include/config/kernel.release");
            Some((release(&std::fs::read_to_string(&file).ok()?)?, file))
        };
        kernels.entry(root.to_owned()).or_insert_with(read).clone()
    }

    fn by_case(&self, cmd: &CmdFile, file: &Path, object: &Path) -> Flags {
        let root = cmd.directory(object);
        let is_vmlinux = object.file_name().is_some_and(|name| name == "vmlinux.o");
        let vmlinux = root.as_deref().filter(|_| !is_vmlinux).and_then(|root| self.whole(root.join("vmlinux.o")));
        // Case 1.
        if let Some(words) = cmd.objtool() {
            let recipe = self.recipe(words);
            let mut flags = flags_of(&recipe, FlagSource::Own(file.to_owned()));
            if let Some(vmlinux) = vmlinux
                && !is_module_part(&recipe.options)
            {
                only_the_whole(&vmlinux, &mut flags.undecided);
            }
            return flags;
        }
        let whole = root.as_deref().and_then(|root| {
            let target = object.strip_prefix(root).ok()?;
            // Case 2, then case 3.
            self.module_of(root, target).or_else(|| {
                let checks_all = |whole: &Whole| checks_stack(&whole.recipe.options);
                vmlinux.filter(checks_all).filter(|_| is_in_archive(root, target))
            })
        });
        match whole {
            Some(whole) => {
                let source = FlagSource::Linked { whole: whole.object.clone(), file: whole.file.clone() };
                let mut flags = flags_of(&whole.recipe, source);
                if let Some(options) = &mut flags.options {
                    alone(options);
                }
                only_the_whole(&whole, &mut flags.undecided);
                flags
            }
            // Case 4.
            None => Flags::none(FlagSource::NotChecked(file.to_owned())),
        }
    }

    fn recipe(&self, words: &[String]) -> Arc<Recipe> {
        let mut recipes = self.recipes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        recipes.entry(words.to_vec()).or_insert_with(|| Arc::new(parse(words))).clone()
    }

    /// The linked object, if the build runs objtool on it.
    fn whole(&self, object: PathBuf) -> Option<Whole> {
        let file = cmd::file_of(&object)?;
        let cmd = CmdFile::read_command(&file).ok()?;
        let recipe = self.recipe(cmd.objtool()?);
        Some(Whole { object, file, recipe })
    }

    /// The module that `target` is linked into: the `.mod` file of a module lists its objects.
    fn module_of(&self, root: &Path, target: &Path) -> Option<Whole> {
        let name = target.to_str()?;
        target.ancestors().skip(1).find_map(|folder| {
            let mut lists: Vec<_> =
                std::fs::read_dir(root.join(folder)).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
            lists.retain(|path| path.extension().is_some_and(|extension| extension == "mod"));
            lists.sort();
            let list = lists.into_iter().find(|list| {
                std::fs::read_to_string(list).is_ok_and(|text| text.split_whitespace().any(|word| word == name))
            })?;
            self.whole(list.with_extension("o"))
        })
    }
}

/// The release line of `6.12.117-amd64`.
fn release(text: &str) -> Option<Kernel> {
    let mut numbers = text.trim().split(['.', '-', '+', '_']);
    format!("{}.{}", numbers.next()?, numbers.next()?).parse().ok()
}

fn flags_of(recipe: &Recipe, source: FlagSource) -> Flags {
    let undecided = recipe.unknown.iter().map(|word| format!("{word}: a flag that orcls does not know")).collect();
    Flags { options: Some(recipe.options.clone()), words: recipe.words.clone(), source, undecided, kernel: None }
}

fn checks_stack(options: &Options) -> bool {
    options.stackval || options.orc || options.uaccess
}

fn is_module_part(options: &Options) -> bool {
    options.module
}

/// Takes out what cannot be judged without the other objects: where a callee lies, and what it does.
fn alone(options: &mut Options) {
    options.noinstr = false;
    options.unret = false;
}

/// Which of the linked object's checks one of its parts cannot decide.
fn only_the_whole(whole: &Whole, undecided: &mut Vec<String>) {
    let options = &whole.recipe.options;
    let whole = whole.object.display();
    if options.noinstr {
        undecided
            .push(format!("--noinstr: whether callees in other files may be instrumented is known in {whole} only"));
    }
    if options.unret {
        undecided
            .push(format!("--unret: the way from entry to untraining leads through other files; checked on {whole}"));
    }
    if options.ibt {
        undecided.push(format!("--ibt: references to functions of other files are checked on {whole} only"));
    }
}

/// Whether the folder's archive, or one of a folder above, has the object. Kbuild's archives name their members in the
/// recipe.
fn is_in_archive(root: &Path, target: &Path) -> bool {
    target.ancestors().skip(1).any(|folder| {
        let Some(member) = target.strip_prefix(folder).ok().and_then(Path::to_str) else {
            return false;
        };
        [".built-in.a.cmd", ".lib.a.cmd"].iter().any(|archive| {
            CmdFile::read_command(&root.join(folder).join(archive))
                .is_ok_and(|cmd| cmd.commands.iter().flatten().any(|word| word == member || Path::new(word) == target))
        })
    })
}

/// objtool's own command line.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    objects: Vec<String>,
}

fn parse(words: &[String]) -> Recipe {
    let mut rest = words.to_vec();
    let mut unknown = Vec::new();
    loop {
        match CommandLine::try_parse_from(&rest) {
            Ok(line) => return Recipe { options: line.options, words: words.to_vec(), unknown },
            Err(error) => {
                // A flag of a later release must not hide those that are known.
                let culprit = match error.get(clap::error::ContextKind::InvalidArg) {
                    Some(clap::error::ContextValue::String(argument)) => {
                        let name = argument.split([' ', '=', '<']).next().unwrap_or(argument).to_owned();
                        rest.iter().position(|word| word.split('=').next() == Some(&name))
                    }
                    _ => None,
                };
                let Some(at) = culprit else {
                    unknown.extend(rest);
                    return Recipe { options: Options::default(), words: words.to_vec(), unknown };
                };
                unknown.push(rest.remove(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// A build folder with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn flags(tree: &tempfile::TempDir, object: &str) -> Flags {
        let object = tree.path().join(object);
        let file = cmd::file_of(&object).unwrap();
        FlagReader::default().of(&CmdFile::read(&file).unwrap(), &file, &object)
    }

    #[test]
    fn what_debian_passes_is_understood() {
        let recipe = parse(&words(
            "--hacks=jump_label --hacks=noinstr --hacks=skylake --orc --retpoline --rethunk --static-call --uaccess --prefix=16",
        ));
        assert!(recipe.unknown.is_empty());
        let options = recipe.options;
        assert!(options.orc && options.retpoline && options.rethunk && options.static_call && options.uaccess);
        assert_eq!(options.prefix, Some(16));
        assert!(options.hacks().skylake);
    }

    #[test]
    fn an_unknown_flag_does_not_hide_the_others() {
        let recipe = parse(&words("--orc --klp-symids --from-the-future=3 --uaccess"));
        assert_eq!(recipe.unknown, ["--klp-symids", "--from-the-future=3"]);
        assert!(recipe.options.orc && recipe.options.uaccess);
    }

    #[test]
    fn a_kernel_tree_says_which_kernel_it_builds() {
        assert_eq!(release("6.12.117-amd64\n"), Some(Kernel::V6_12));
        assert_eq!(release("7.3-rc1+\n"), Some(Kernel::V7_3));
        assert_eq!(release("6.7.1\n"), None);
        assert_eq!(release(""), None);
        let tree = tree(&[
            ("lib/.a.o.cmd", "savedcmd_lib/a.o := gcc -c -o lib/a.o a.c\n"),
            ("include/config/kernel.release", "6.1.192\n"),
        ]);
        let file = tree.path().join("include/config/kernel.release");
        assert_eq!(flags(&tree, "lib/a.o").kernel, Some((Kernel::V6_1, file)));
    }

    #[test]
    fn case_1_own_flags_and_what_only_vmlinux_decides() {
        let tree = tree(&[
            ("lib/.a.o.cmd", "savedcmd_lib/a.o := gcc -c -o lib/a.o a.c ; ./tools/objtool/objtool --orc lib/a.o\n"),
            (
                ".vmlinux.o.cmd",
                "savedcmd_vmlinux.o := ld -o vmlinux.o ; ./tools/objtool/objtool --noinstr --link vmlinux.o\n",
            ),
        ]);
        let flags = flags(&tree, "lib/a.o");
        assert_eq!(flags.words, ["--orc"]);
        assert!(matches!(flags.source, FlagSource::Own(_)));
        assert_eq!(flags.undecided.len(), 1);
        assert!(flags.undecided[0].starts_with("--noinstr"));
    }

    #[test]
    fn case_2_an_object_of_a_module_has_the_modules_flags() {
        let tree = tree(&[
            ("d/e/.a.o.cmd", "savedcmd_d/e/a.o := gcc -c -o d/e/a.o a.c\n"),
            ("d/m.mod", "d/e/a.o\nd/b.o\n"),
            (
                "d/.m.o.cmd",
                "savedcmd_d/m.o := ld -r -o d/m.o @d/m.mod ; ./tools/objtool/objtool --ibt --orc --link --module d/m.o\n",
            ),
        ]);
        let flags = flags(&tree, "d/e/a.o");
        let options = flags.options.unwrap();
        assert!(options.module && options.orc);
        assert_eq!(
            flags.source,
            FlagSource::Linked { whole: tree.path().join("d/m.o"), file: tree.path().join("d/.m.o.cmd") }
        );
    }

    const DELAYED: &str = "savedcmd_vmlinux.o := ld -r -o vmlinux.o ; \
                           ./tools/objtool/objtool --ibt --orc --noinstr --unret --link vmlinux.o\n";

    #[test]
    fn case_3_delayed_to_vmlinux() {
        let tree = tree(&[
            ("lib/.a.o.cmd", "savedcmd_lib/a.o := gcc -c -o lib/a.o a.c\n"),
            (
                "lib/.built-in.a.cmd",
                "savedcmd_lib/built-in.a := rm -f lib/built-in.a;  printf \"lib/%s \" a.o | xargs ar cDPrST lib/built-in.a\n",
            ),
            (".vmlinux.o.cmd", DELAYED),
        ]);
        let flags = flags(&tree, "lib/a.o");
        let options = flags.options.unwrap();
        assert!(options.ibt && options.orc && options.link);
        assert!(!options.noinstr && !options.unret);
        assert_eq!(flags.undecided.len(), 3);
    }

    #[test]
    fn case_4_checked_nowhere() {
        let tree =
            tree(&[("boot/.a.o.cmd", "savedcmd_boot/a.o := gcc -c -o boot/a.o a.c\n"), (".vmlinux.o.cmd", DELAYED)]);
        let flags = flags(&tree, "boot/a.o");
        assert_eq!(flags.options, None);
        assert!(matches!(flags.source, FlagSource::NotChecked(_)));
    }
}
