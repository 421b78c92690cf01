//! The orcls program.

fn main() -> std::process::ExitCode {
    orcls::cli::run()
}
