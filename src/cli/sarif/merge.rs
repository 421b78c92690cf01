//! `orcls merge`: SARIF documents of shards, put together into one.
//!
//! In: documents that `check` or `log` wrote, in the order of the shards.  Out: one document with one run.
//! Holds afterwards: every result and every notification is in it, in order; a rule that several have is in it once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Verdict, output};
use crate::files;

/// A document of more is none of orcls's.
const MAX_DOCUMENT: u64 = 1 << 30;

/// Arguments of `merge`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The documents, in the order of the shards
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command. The exit status says whether there are results, as that of `check` would.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let mut whole: Option<Value> = None;
    let mut rules = BTreeMap::new();
    let (mut results, mut notifications) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        let name = || file.display().to_string();
        let text = files::read(file, MAX_DOCUMENT).with_context(name)?;
        let mut document: Value = serde_json::from_slice(&text).with_context(name)?;
        let Some([run]) = document.get_mut("runs").and_then(Value::as_array_mut).map(Vec::as_mut_slice) else {
            bail!("{}: not a document of orcls: it has not one run", name());
        };
        if run.pointer("/tool/driver/name").and_then(Value::as_str) != Some("orcls") {
            bail!("{}: the run is not one of orcls", name());
        }
        let mut list = |path: &str| run.pointer_mut(path).and_then(Value::as_array_mut).map(std::mem::take);
        for rule in list("/tool/driver/rules").unwrap_or_default() {
            let id = rule.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            rules.entry(id).or_insert(rule);
        }
        results.append(&mut list("/results").unwrap_or_default());
        notifications.append(&mut list("/invocations/0/toolExecutionNotifications").unwrap_or_default());
        whole.get_or_insert_with(|| run.take());
    }
    let Some(mut run) = whole else { bail!("there is no document") };
    let verdict = if results.is_empty() { Verdict::Clean } else { Verdict::Found };
    run["tool"]["driver"]["rules"] = json!(in_order(rules));
    run["results"] = json!(results);
    run["invocations"][0]["toolExecutionNotifications"] = json!(notifications);
    if let Some(run) = run.as_object_mut() {
        run.remove("automationDetails");
    }
    output::print(&super::text(run))?;
    Ok(verdict)
}

/// Rules in the order in which `check` lists them.
fn in_order(mut rules: BTreeMap<String, Value>) -> Vec<Value> {
    let known = crate::findings::Code::ALL.iter().filter_map(|code| rules.remove(code.slug())).collect::<Vec<_>>();
    known.into_iter().chain(rules.into_values()).collect()
}
