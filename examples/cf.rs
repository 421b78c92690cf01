//! throwaway
use clap::Parser;
use orcls::{
    analysis::*, cancel::CancelToken, finding::Level, image::FileStore, kernel::KernelChoice, options::Options,
};
#[derive(Parser)]
#[command(disable_help_flag = true)]
struct A {
    cmd: String,
    #[arg(long)]
    kernel: KernelChoice,
    #[arg(long)]
    format: Option<String>,
    #[arg(long)]
    all: bool,
    #[arg(long)]
    time: bool,
    #[command(flatten)]
    o: Options,
    files: Vec<String>,
}
fn main() {
    let mut v: Vec<String> = std::env::args().collect();
    let orc = v[1] == "orc";
    if orc {
        v.remove(1);
    }
    let a = A::parse_from(v);
    let cfg = Config {
        options: a.o.clone(),
        kernel: a.kernel,
        policy: if a.all { Policy::Everything } else { Policy::Objtool },
        noreturn: vec![],
    };
    for f in &a.files {
        let st = match FileStore::open(f.as_ref()) {
            Ok(s) => s,
            Err(e) => {
                eprintln!("{f}: {e}");
                continue;
            }
        };
        match analyse(&st, &cfg, &CancelToken::default()) {
            Ok(an) => {
                if orc {
                    println!("==> {f} <==");
                    if let Some(t) = &an.orc {
                        print!("{}", t.text(&an.image, an.kernel.rules()));
                    }
                } else {
                    for l in &an.lines {
                        println!(
                            "{f}: {}: objtool: {}",
                            if l.level == Level::Warning { "warning" } else { "error" },
                            l.text
                        );
                    }
                    if a.all {
                        for x in &an.findings {
                            println!(
                                "   ALL {:?} at {:?} states {} trail {:?} objtool {:?}",
                                x.fault,
                                x.at,
                                x.states.len(),
                                x.states.last().map(|s| s.trail.len()),
                                x.objtool
                            );
                        }
                    }
                }
                if a.time {
                    for (s, d) in &an.timing {
                        eprintln!("{s}: {d:?}");
                    }
                }
            }
            Err(e) => eprintln!("{f}: {e}"),
        }
    }
}
