//! Finds objtool's flags for an object, and what an object alone cannot decide.
//!
//! In: the recipe of the object, the kernel tree it belongs to.  Out: [`Flags`].
//! Holds afterwards: flags are those of a command that the build ran, or those that its makefiles would pass by the
//! configuration; where the build checks the object only as part of a linked one, the flags say so, and what is left to
//! that one is named; an object without flags has a reason, and it is the true one.
//!
//! | case | the object's own recipe | the build | flags |
//! |---|---|---|---|
//! | 1 | runs objtool | | from there |
//! | 2 | does not | links it into a module that objtool checks | from the module's recipe |
//! | 3 | does not | links it into `vmlinux.o`, checked with all flags (IBT, LTO, KLP) | from `vmlinux.o`'s recipe |
//! | 4 | does not | would check the linked object, but there is no recipe of it (not linked yet, or the link failed) | from the configuration |
//! | 5 | does not | checks it in a command of its own, which no recipe keeps (up to 5.17) | from the configuration |
//! | 6 | does not | none of these | none, and [`Unchecked`] says why |
//!
//! Reads like: linux scripts/Makefile.build, scripts/Makefile.vmlinux_o (behaviour only).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustc_hash::{FxHashMap, FxHashSet};

use super::cmd::{self, CmdFile};
use super::config::{Configuration, Stage};
use super::kernel_tree::Tree;
use super::standard;
use super::words::Recipe;
use crate::files;
use crate::kernel::Kernel;
use crate::kernel::tree::TreeFacts;
use crate::options::{LinkCheck, Options};

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
    /// Cases 4 and 5: the configuration.
    Configured {
        /// The file of the configuration.
        file: PathBuf,
        /// The object that objtool checks, where it is a linked one.
        whole: Option<PathBuf>,
    },
    /// Case 6: the build does not run objtool on it.
    NotChecked(Unchecked),
    /// No `.cmd` file is known.
    Unknown,
}

impl FlagSource {
    /// The object that objtool checks, where it is one that this one is linked into.
    pub fn whole(&self) -> Option<&Path> {
        match self {
            FlagSource::Linked { whole, .. } | FlagSource::Configured { whole: Some(whole), .. } => Some(whole),
            FlagSource::Own(_)
            | FlagSource::Configured { whole: None, .. }
            | FlagSource::NotChecked(_)
            | FlagSource::Unknown => None,
        }
    }
}

/// Why the build does not run objtool on an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unchecked {
    /// Its command compiles no kernel code, and it belongs to no kernel tree.
    NotKernel,
    /// It is part of a program for the machine that builds, or for user space.
    HostProgram,
    /// 16-bit or 32-bit code.
    WordSize,
    /// A kernel configured without objtool.
    NoObjtool(PathBuf),
    /// It is linked from objects that are checked one by one.
    PartsChecked,
    /// What modpost generates for a module, up to 6.17.
    Glue,
    /// Neither part of vmlinux nor of a module: boot code, kexec's purgatory and the like.
    SeparateProgram,
    /// It is part of the vDSO, which the kernel maps into every process.
    Vdso,
    /// The folder's makefile switches objtool off for it.
    SwitchedOff,
}

impl Unchecked {
    /// The reason in words: "not checked, because ..."; objects of one reason are counted together by them.
    pub fn words(&self) -> &'static str {
        match self {
            Unchecked::NotKernel => "it is no kernel code (no -D__KERNEL__ in its command or project)",
            Unchecked::HostProgram => "it is part of a program for the build machine or user space",
            Unchecked::WordSize => "it is 16-bit or 32-bit code",
            Unchecked::NoObjtool(_) => "its kernel is configured without objtool",
            Unchecked::PartsChecked => "it is linked from objects that are checked one by one",
            Unchecked::Glue => "it is generated for a module, and this release does not check that",
            Unchecked::SeparateProgram => "it is part of neither vmlinux nor a module",
            Unchecked::Vdso => "it is part of the vDSO, code for user space",
            Unchecked::SwitchedOff => "the build does not run objtool on it (OBJECT_FILES_NON_STANDARD)",
        }
    }
}

/// What the build checks and the object alone does not decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gap {
    /// A flag that orcls does not know.
    Flag(String),
    /// What needs the linked object.
    Link(LinkCheck, PathBuf),
}

impl Gap {
    /// Whether this is left open by an object whose own code leaves `open` to the linked one.
    pub fn is_open(&self, open: &[LinkCheck]) -> bool {
        match self {
            Gap::Flag(_) => true,
            Gap::Link(check, _) => open.contains(check),
        }
    }

    /// Whether what is left of the object at `path` is checked with it: `all` has the linked object, which is no older.
    pub fn is_closed_by(&self, path: &Path, all: &FxHashSet<PathBuf>) -> bool {
        match self {
            Gap::Flag(_) => false,
            Gap::Link(_, whole) => super::objects::is_covered(path, whole, all),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (check, whole) = match self {
            Gap::Flag(word) => return write!(f, "{word}: a flag that orcls does not know"),
            Gap::Link(check, whole) => (check, whole.display()),
        };
        match check {
            LinkCheck::Noinstr => {
                write!(f, "--noinstr: whether callees in other files may be instrumented is known in {whole} only")
            }
            LinkCheck::Unret => {
                write!(
                    f,
                    "--unret: where the way from entry to untraining leads through other files, it is checked on {whole} only"
                )
            }
            LinkCheck::Ibt => {
                write!(
                    f,
                    "--ibt: references to functions of other files, and theirs to this one, are checked on {whole} only"
                )
            }
        }
    }
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
    pub undecided: Vec<Gap>,
    /// The kernel tree that it was built in or for.
    pub tree: Option<Arc<Tree>>,
    /// Its command compiles kernel code, whatever else is known.
    pub for_kernel: bool,
}

impl Flags {
    /// No flags are known.
    pub fn unknown() -> Self {
        Self::none(FlagSource::Unknown)
    }

    pub(super) fn none(source: FlagSource) -> Self {
        Flags { options: None, words: Vec::new(), source, undecided: Vec::new(), tree: None, for_kernel: false }
    }

    /// Why the build does not run objtool on it, if it does not.
    pub fn unchecked(&self) -> Option<&Unchecked> {
        match &self.source {
            FlagSource::NotChecked(why) => Some(why),
            _ => None,
        }
    }

    /// The release of the tree, and how that is known.
    pub fn kernel(&self) -> Option<(Kernel, String)> {
        let release = self.tree.as_ref()?.release.as_ref()?;
        Some((release.kernel, release.explained()))
    }

    /// What the sources of the tree say of its objtool, which is of the release `kernel` or near it.
    pub fn facts(&self, kernel: Kernel) -> Option<Arc<TreeFacts>> {
        TreeFacts::of(&self.tree.as_ref()?.root, kernel)
    }

    /// What is to be said about a release that is judged by another one's rules.
    pub fn caution(&self) -> Option<String> {
        self.tree.as_ref()?.release.as_ref()?.caution()
    }

    /// Where they come from, for a person.
    pub fn explained(&self) -> String {
        match &self.source {
            FlagSource::Own(file) => file.display().to_string(),
            FlagSource::Linked { whole, file } => {
                format!("{}: the build runs objtool on {} only", file.display(), whole.display())
            }
            FlagSource::Configured { file, whole: Some(whole) } => {
                format!(
                    "{}: the build runs objtool on {} only, which has no recipe yet",
                    file.display(),
                    whole.display()
                )
            }
            FlagSource::Configured { file, whole: None } => {
                format!("{}: the build's own call of objtool is recorded nowhere", file.display())
            }
            FlagSource::NotChecked(Unchecked::NoObjtool(file)) => {
                format!("none: {} ({})", Unchecked::NoObjtool(file.clone()).words(), file.display())
            }
            FlagSource::NotChecked(why) => format!("none: {}", why.words()),
            FlagSource::Unknown => "not known: there is no Kbuild .cmd file".to_owned(),
        }
    }
}

/// Longer lists of flags are not kept.
const MOST_FLAGS: usize = 256;

/// A linked object that objtool checks.
#[derive(Debug)]
struct Whole {
    object: PathBuf,
    /// Its `.cmd` file; `None` where the flags follow from the configuration.
    file: Option<PathBuf>,
    recipe: Arc<Recipe>,
}

/// Reads flags; a build has thousands of objects and few different lists of flags.
#[derive(Debug, Default)]
pub(super) struct FlagReader {
    recipes: Mutex<FxHashMap<Vec<String>, Arc<Recipe>>>,
}

/// An object and its recipe.
struct Part<'a> {
    cmd: &'a CmdFile,
    object: &'a Path,
    /// The folder that make ran in.
    base: PathBuf,
    /// The object as make names it.
    target: PathBuf,
}

/// What an object becomes a part of.
enum Member {
    Vmlinux,
    /// A module, and the object that it is linked to, if it is linked from several.
    Module(Option<PathBuf>),
    Nothing,
}

impl FlagReader {
    /// The flags of `object`, whose `.cmd` file is `file` and which belongs to `tree`.
    pub(super) fn of(&self, cmd: &CmdFile, file: &Path, object: &Path, tree: Option<Arc<Tree>>) -> Flags {
        Flags { tree: tree.clone(), ..self.by_case(cmd, file, object, tree.as_deref()) }
    }

    /// The flags of a `vmlinux.o` of which there is no recipe: up to 5.17 a script links it.
    pub(super) fn of_vmlinux(&self, tree: Arc<Tree>) -> Option<Flags> {
        let config = tree.config.as_ref().filter(|config| config.checks_vmlinux())?;
        let recipe = self.recipe(&config.words(Stage::Vmlinux));
        let flags = flags_of(&recipe, FlagSource::Configured { file: config.file.clone(), whole: None });
        Some(Flags { tree: Some(tree), ..flags })
    }

    fn by_case(&self, cmd: &CmdFile, file: &Path, object: &Path, tree: Option<&Tree>) -> Flags {
        let directory = cmd.directory(object);
        let root = directory.clone().or_else(|| Some(tree?.root.clone()));
        let is_vmlinux = object.file_name().is_some_and(|name| name == "vmlinux.o");
        let vmlinux = root.as_deref().filter(|_| !is_vmlinux).and_then(|root| self.whole(root.join("vmlinux.o")));
        // Case 1.
        if let Some(words) = cmd.objtool() {
            let recipe = self.recipe(words);
            let mut flags = flags_of(&recipe, FlagSource::Own(file.to_owned()));
            if let Some(vmlinux) = vmlinux
                && !recipe.options.module
            {
                only_the_whole(&vmlinux, &mut flags.undecided);
            }
            return flags;
        }
        let base = root.unwrap_or_else(|| object.parent().unwrap_or(object).to_owned());
        let part = Part { cmd, object, base, target: super::normal(Path::new(&cmd.target)) };
        if let Some(whole) = self.linked(&part, vmlinux) {
            return of_whole(&whole, None);
        }
        if cmd.compiles() && !cmd.is_kernel_code() {
            let why = if tree.is_some() { Unchecked::HostProgram } else { Unchecked::NotKernel };
            return Flags::none(FlagSource::NotChecked(why));
        }
        match tree.and_then(|tree| tree.config.as_ref()) {
            Some(config) => self.configured(&part, config, tree),
            None if !cmd.is_kept => Flags { for_kernel: true, ..Flags::unknown() },
            None if !cmd.compiles() => Flags::none(FlagSource::NotChecked(Unchecked::PartsChecked)),
            None => Flags::none(FlagSource::NotChecked(Unchecked::SwitchedOff)),
        }
    }

    /// Case 2, then case 3.
    fn linked(&self, part: &Part<'_>, vmlinux: Option<Whole>) -> Option<Whole> {
        let module = part.module().and_then(|module| self.whole(module));
        module.or_else(|| {
            let checks_all = |whole: &Whole| checks_stack(&whole.recipe.options);
            vmlinux.filter(checks_all).filter(|_| part.is_in_archive() == Some(true))
        })
    }

    /// Cases 4 to 6.
    fn configured(&self, part: &Part<'_>, config: &Configuration, tree: Option<&Tree>) -> Flags {
        let unchecked = |why| Flags::none(FlagSource::NotChecked(why));
        if !config.runs_objtool() {
            return unchecked(Unchecked::NoObjtool(config.file.clone()));
        }
        let (delayed, file) = (config.is_delayed(), config.file.clone());
        let whole = |object: PathBuf, stage| {
            let recipe = self.recipe(&config.words(stage));
            of_whole(&Whole { object, file: None, recipe }, Some(file.clone()))
        };
        if part.is_linked_vdso() {
            return unchecked(Unchecked::Vdso);
        }
        if !part.cmd.compiles() {
            let list = part.object.with_extension("mod");
            return match delayed && list.is_file() {
                true => {
                    flags_of(&self.recipe(&config.words(Stage::Module)), FlagSource::Configured { file, whole: None })
                }
                false => unchecked(Unchecked::PartsChecked),
            };
        }
        if ["-m16", "-m32"].iter().any(|word| part.cmd.has(word)) {
            return unchecked(Unchecked::WordSize);
        }
        if part.object.to_str().is_some_and(|name| name.ends_with(".mod.o")) {
            return unchecked(Unchecked::Glue);
        }
        // A recipe that make kept would name objtool, unless the release keeps the call elsewhere.
        let is_kept = part.cmd.is_kept && !config.has_subcommands();
        let stage = match part.member() {
            Member::Nothing if part.is_of_vdso() => return unchecked(Unchecked::Vdso),
            Member::Nothing => return unchecked(Unchecked::SeparateProgram),
            Member::Vmlinux if delayed => return whole(part.base_of(tree).join("vmlinux.o"), Stage::Vmlinux),
            Member::Module(Some(module)) if delayed => return whole(module, Stage::Module),
            Member::Module(None) if delayed => Stage::Module,
            _ if is_kept => return unchecked(Unchecked::SwitchedOff),
            Member::Vmlinux => Stage::Object,
            Member::Module(_) => Stage::Module,
        };
        if !part.is_standard(config) {
            return unchecked(Unchecked::SwitchedOff);
        }
        flags_of(&self.recipe(&config.words(stage)), FlagSource::Configured { file, whole: None })
    }

    fn recipe(&self, words: &[String]) -> Arc<Recipe> {
        // A build's lists of flags are short.
        if words.len() > MOST_FLAGS {
            return Arc::new(Recipe::new(words));
        }
        let mut recipes = self.recipes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        recipes.entry(words.to_vec()).or_insert_with(|| Arc::new(Recipe::new(words))).clone()
    }

    /// The linked object, if the build runs objtool on it.
    fn whole(&self, object: PathBuf) -> Option<Whole> {
        let file = cmd::file_of(&object)?;
        let cmd = CmdFile::read_command(&file).ok()?;
        let recipe = self.recipe(cmd.objtool()?);
        Some(Whole { object, file: Some(file), recipe })
    }
}

impl Part<'_> {
    fn base_of(&self, tree: Option<&Tree>) -> PathBuf {
        tree.map_or_else(|| self.base.clone(), |tree| tree.root.clone())
    }

    /// The object of the module that this one is linked into: the `.mod` file of a module lists its objects.
    fn module(&self) -> Option<PathBuf> {
        let name = self.target.to_str()?;
        self.target.ancestors().skip(1).find_map(|folder| {
            let entries = std::fs::read_dir(self.base.join(folder)).ok()?;
            let mut lists: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            lists.retain(|path| path.extension().is_some_and(|extension| extension == "mod"));
            lists.sort();
            let list = lists.into_iter().find(|list| {
                files::text(list, files::RECIPE).is_ok_and(|text| text.split_whitespace().any(|word| word == name))
            })?;
            Some(list.with_extension("o"))
        })
    }

    /// Whether the folder's archive, or one of a folder above, has the object; `None` where the folder has none yet.
    /// Kbuild's archives name their members in the recipe.
    fn is_in_archive(&self) -> Option<bool> {
        let mut known = None;
        for (n_above, folder) in self.target.ancestors().skip(1).enumerate() {
            let member = self.target.strip_prefix(folder).ok().and_then(Path::to_str)?;
            for archive in [".built-in.a.cmd", ".lib.a.cmd", ".vmlinux.a.cmd"] {
                let Ok(cmd) = CmdFile::read_command(&self.base.join(folder).join(archive)) else { continue };
                if cmd.words().any(|word| word == member || Path::new(word) == self.target) {
                    return Some(true);
                }
                if n_above == 0 {
                    known = Some(false);
                }
            }
        }
        known
    }

    /// What the object becomes a part of: as the build has put it together, else as it was compiled for.
    fn member(&self) -> Member {
        if let Some(module) = self.module() {
            return Member::Module(Some(module).filter(|module| module != self.object));
        }
        if self.cmd.has("-DMODULE") || self.cmd.words().any(|word| word == "MODULE") {
            return Member::Module(None);
        }
        match self.is_in_archive() {
            Some(true) => Member::Vmlinux,
            Some(false) => Member::Nothing,
            None if self.is_for_vmlinux() => Member::Vmlinux,
            None => Member::Nothing,
        }
    }

    /// Whether the code model is the kernel's; of assembly, which has none, whether it lies where the kernel's own does.
    fn is_for_vmlinux(&self) -> bool {
        /// Folders below `arch/x86` and `drivers` whose code runs elsewhere.
        const ELSEWHERE: [&str; 8] = [
            "arch/x86/boot",
            "arch/x86/realmode/rm",
            "arch/x86/entry/vdso",
            "arch/x86/purgatory",
            "arch/x86/um",
            "drivers/firmware/efi/libstub",
            "scripts",
            "tools",
        ];
        let modelled = self.cmd.words().any(|word| word.ends_with("code-model=kernel") || word == "-mcmodel=kernel");
        let assembly = self.cmd.has("-D__ASSEMBLY__") || self.cmd.has("-D__ASSEMBLER__");
        modelled || (assembly && !ELSEWHERE.iter().any(|folder| self.target.starts_with(folder)))
    }

    /// Whether it is built where the vDSO is. What the kernel has there itself is part of vmlinux.
    fn is_of_vdso(&self) -> bool {
        self.cmd.has("-DBUILD_VDSO") || self.target.starts_with("arch/x86/entry/vdso")
    }

    /// Whether it is the vDSO.
    fn is_linked_vdso(&self) -> bool {
        let name = self.target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_linked = (name.ends_with(".so") || name.ends_with(".so.dbg")) && !name.contains("32");
        self.target.starts_with("arch/x86/entry/vdso") && is_linked
    }

    /// Whether the makefile of the sources' folder leaves objtool on.
    fn is_standard(&self, config: &Configuration) -> bool {
        let name = self.object.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let source = self.cmd.source.as_ref().map(|source| self.base.join(source));
        let folder = source.as_deref().and_then(Path::parent).or_else(|| self.object.parent());
        folder.is_none_or(|folder| standard::is_standard(folder, name, &|symbol| config.is_set(symbol)))
    }
}

fn of_whole(whole: &Whole, config: Option<PathBuf>) -> Flags {
    let source = match (&whole.file, config) {
        (Some(file), _) => FlagSource::Linked { whole: whole.object.clone(), file: file.clone() },
        (None, Some(file)) => FlagSource::Configured { file, whole: Some(whole.object.clone()) },
        (None, None) => FlagSource::Unknown,
    };
    let mut flags = flags_of(&whole.recipe, source);
    if let Some(options) = &mut flags.options {
        options.part = true;
    }
    only_the_whole(whole, &mut flags.undecided);
    flags
}

fn flags_of(recipe: &Recipe, source: FlagSource) -> Flags {
    let undecided = recipe.unknown.iter().cloned().map(Gap::Flag).collect();
    Flags {
        options: Some(recipe.options.clone()),
        words: recipe.words.clone(),
        source,
        undecided,
        tree: None,
        for_kernel: true,
    }
}

fn checks_stack(options: &Options) -> bool {
    options.stackval || options.orc || options.uaccess
}

/// Which of the linked object's checks one of its parts does not decide.
fn only_the_whole(whole: &Whole, undecided: &mut Vec<Gap>) {
    let options = &whole.recipe.options;
    let checks =
        [(options.noinstr, LinkCheck::Noinstr), (options.unret, LinkCheck::Unret), (options.ibt, LinkCheck::Ibt)];
    let asked = checks.into_iter().filter(|(asked, _)| *asked);
    undecided.extend(asked.map(|(_, check)| Gap::Link(check, whole.object.clone())));
}

#[cfg(test)]
mod tests {
    use super::super::Search;
    use super::super::kernel_tree::Trees;
    use super::*;

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
        let cmd = CmdFile::read(&file).unwrap();
        let trees = Trees::default();
        let tree = trees.of(&cmd, &file, &object, &Search::default());
        FlagReader::default().of(&cmd, &file, &object, tree)
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
        assert!(matches!(flags.undecided[0], Gap::Link(LinkCheck::Noinstr, _)));
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
        assert!(options.noinstr && options.unret && options.part);
        assert_eq!(flags.undecided.len(), 3);
    }

    /// A tree with this release and configuration, and these objects: each with what its command has and, after `=`, more.
    fn configured(release: &str, config: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let config: String = config.split_whitespace().map(|word| format!("CONFIG_{word}\n")).collect();
        let cmds: Vec<(String, String)> = files
            .iter()
            .map(|(name, text)| match name.strip_suffix(".o") {
                Some(_) => {
                    let path = Path::new(name);
                    let file = path.with_file_name(format!(".{}.cmd", path.file_name().unwrap().to_str().unwrap()));
                    let source = path.with_extension("c").display().to_string();
                    let text =
                        format!("savedcmd_{name} := gcc {text} -c -o {name} {source}\n\nsource_{name} := {source}\n");
                    (file.display().to_string(), text)
                }
                None => ((*name).to_owned(), (*text).to_owned()),
            })
            .collect();
        let release = format!("{release}\n");
        let mut all =
            vec![("include/config/kernel.release", release.as_str()), ("include/config/auto.conf", config.as_str())];
        all.extend(cmds.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        tree(&all)
    }

    const IBT: &str = "OBJTOOL=y UNWINDER_ORC=y X86_KERNEL_IBT=y NOINSTR_VALIDATION=y";
    const KERNEL: &str = "-D__KERNEL__ -mcmodel=kernel";

    #[test]
    fn case_4_vmlinux_is_not_linked_yet() {
        let tree = configured(
            "6.12.1",
            IBT,
            &[
                ("lib/a.o", KERNEL),
                ("lib/s.o", "-D__KERNEL__ -D__ASSEMBLY__"),
                ("arch/x86/entry/vdso/v.o", "-D__KERNEL__ -D__ASSEMBLY__"),
                ("tools/t.o", "-O2"),
            ],
        );
        for object in ["lib/a.o", "lib/s.o"] {
            let flags = flags(&tree, object);
            let options = flags.options.clone().unwrap();
            assert!(options.ibt && options.orc && options.link && options.part, "{object}");
            assert!(
                matches!(&flags.source, FlagSource::Configured { whole: Some(whole), .. } if whole.ends_with("vmlinux.o"))
            );
            assert_eq!(flags.undecided.len(), 2);
            assert_eq!(flags.kernel().map(|(kernel, _)| kernel), Some(Kernel::V6_12));
        }
        assert_eq!(flags(&tree, "arch/x86/entry/vdso/v.o").unchecked(), Some(&Unchecked::Vdso));
        assert_eq!(flags(&tree, "tools/t.o").unchecked(), Some(&Unchecked::HostProgram));
    }

    #[test]
    fn case_4_a_module_that_failed_to_link() {
        let tree = configured(
            "6.12.1",
            IBT,
            &[
                ("d/a.o", "-D__KERNEL__ -DMODULE"),
                ("d/m.mod", "d/a.o\nd/b.o\n"),
                ("e/c.o", "-D__KERNEL__ -DMODULE"),
                ("e/c.mod.o", "-D__KERNEL__ -DMODULE"),
            ],
        );
        let of = flags(&tree, "d/a.o");
        assert!(of.options.clone().unwrap().module && of.options.clone().unwrap().link);
        assert!(matches!(&of.source, FlagSource::Configured { whole: Some(whole), .. } if whole.ends_with("d/m.o")));
        assert!(flags(&tree, "e/c.o").options.unwrap().module);
        assert_eq!(flags(&tree, "e/c.mod.o").unchecked(), Some(&Unchecked::Glue));
    }

    #[test]
    fn case_5_a_call_that_no_recipe_keeps() {
        let tree = configured(
            "5.15.215",
            "STACK_VALIDATION=y UNWINDER_ORC=y RETPOLINE=y",
            &[
                ("lib/a.o", KERNEL),
                ("lib/b.o", KERNEL),
                ("lib/m.o", "-D__KERNEL__ -DMODULE"),
                ("lib/Makefile", "OBJECT_FILES_NON_STANDARD_b.o := y\n"),
            ],
        );
        let of = flags(&tree, "lib/a.o");
        assert!(of.options.clone().is_some_and(|options| options.orc && options.retpoline && options.static_call));
        assert!(matches!(of.source, FlagSource::Configured { whole: None, .. }));
        assert_eq!(flags(&tree, "lib/b.o").unchecked(), Some(&Unchecked::SwitchedOff));
        assert!(flags(&tree, "lib/m.o").options.unwrap().module);
    }

    #[test]
    fn case_6_checked_nowhere() {
        let boot = "savedcmd_boot/a.o := gcc -D__KERNEL__ -c -o boot/a.o a.c\n";
        let tree = tree(&[("boot/.a.o.cmd", boot), (".vmlinux.o.cmd", DELAYED)]);
        assert_eq!(flags(&tree, "boot/a.o").unchecked(), Some(&Unchecked::SwitchedOff));
        let tree = configured("6.12.1", "UNWINDER_FRAME_POINTER=y", &[("lib/a.o", KERNEL)]);
        assert!(matches!(flags(&tree, "lib/a.o").unchecked(), Some(Unchecked::NoObjtool(_))));
        let tree =
            configured("6.12.1", "OBJTOOL=y UNWINDER_ORC=y", &[("lib/a.o", KERNEL), ("boot/b.o", "-D__KERNEL__ -m16")]);
        assert_eq!(flags(&tree, "lib/a.o").unchecked(), Some(&Unchecked::SwitchedOff));
        assert_eq!(flags(&tree, "boot/b.o").unchecked(), Some(&Unchecked::WordSize));
    }

    #[test]
    fn what_is_no_kernel_is_called_so() {
        let tree = tree(&[(".a.o.cmd", "cmd_a.o := gcc -O2 -c -o a.o a.c\n")]);
        assert_eq!(flags(&tree, "a.o").unchecked(), Some(&Unchecked::NotKernel));
    }
}
