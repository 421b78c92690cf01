//! `orcls orc write`: a copy of an object with the table in it.
//!
//! In: an object, the path of the copy.  Out: the copy, by a temporary file beside it, so that nobody sees half of one.
//! Holds afterwards: the object is as it was, and so is the path of the copy where something went wrong.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::super::inputs::Input;
use super::super::judge::{Judge, Object, Rules};
use super::super::replace::Replacement;
use super::super::{Verdict, output};
use super::judged;
use crate::analysis::Policy;
use crate::detect;
use crate::write::write;

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(super) struct Copied {
    /// The object
    #[arg(value_name = "OBJ")]
    object: PathBuf,
    /// Where the copy goes
    #[arg(long, short, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    rules: Rules,
}

/// Runs the command. Flags on the command line are taken as they are: without `--orc` among them there is no table.
pub(super) fn run(copied: &Copied) -> anyhow::Result<Verdict> {
    let judge = Judge::new(&copied.rules, Policy::Objtool);
    let judge = if copied.rules.options.any_action() { judge } else { judge.for_orc() };
    let target = target(&copied.object, &copied.output)?;
    let input = Input { path: copied.object.clone(), named: true };
    let Some(object) = judged(&judge, &input).map_err(anyhow::Error::msg)? else { return Ok(Verdict::Incomplete) };
    if let Some(caution) = &object.caution {
        bail!(
            "{}: nothing is written, since the format of the table is not known: {caution}; --kernel names one",
            object.name
        );
    }
    if object.analysis.kernel_evidence == detect::NOTHING_TOLD {
        bail!(
            "{}: nothing is written, since nothing tells which release's table it is to have; --kernel names one",
            object.name
        );
    }
    if object.analysis.options.dry_run {
        write(&object.analysis, object.store.as_ref(), &mut io::sink()).context(object.name.clone())?;
    } else {
        put(&object, &target)?;
    }
    if object.analysis.gave_up.is_some() {
        let line = object.analysis.lines.last().map_or("", |line| &line.line.text);
        output::complain(&format!("{}: objtool gives up on it, and so is the copy: {line}", object.name));
        return Ok(Verdict::Incomplete);
    }
    Ok(Verdict::Clean)
}

/// The file to write. Links are followed, so that a link to the object does not hide that it is the object.
fn target(object: &Path, output: &Path) -> anyhow::Result<PathBuf> {
    let Ok(there) = fs::metadata(output) else { return Ok(output.to_owned()) };
    let shown = output.display();
    if !there.is_file() {
        bail!("{shown}: not a regular file");
    }
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    if fs::metadata(object).is_ok_and(|object| same(&object, &there)) {
        bail!("{shown}: this is the object itself, which orcls does not change");
    }
    fs::canonicalize(output).with_context(|| format!("{shown}"))
}

fn put(object: &Object, target: &Path) -> anyhow::Result<()> {
    let shown = || target.display().to_string();
    let copy = Replacement::of(target).with_context(shown)?;
    let mut out = BufWriter::with_capacity(1 << 16, copy.file());
    write(&object.analysis, object.store.as_ref(), &mut out).with_context(|| object.name.clone())?;
    out.flush().with_context(shown)?;
    drop(out);
    let mode = File::open(&object.path).and_then(|object| object.metadata()).with_context(|| object.name.clone())?;
    copy.file().set_permissions(mode.permissions()).with_context(shown)?;
    copy.publish().with_context(shown)
}
