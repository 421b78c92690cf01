//! Where the program's own messages go: to standard error, a line each.
//!
//! In: what `tracing` is told anywhere, and `ORCLS_LOG`.  Out: lines on standard error.
//! Holds afterwards: warnings and errors are shown unless the user asks for less; standard output is never touched.

use tracing_subscriber::filter::LevelFilter;

/// Shows messages from here on: those that `ORCLS_LOG` (off, error, warn, info, debug, trace) asks for, else warnings and
/// errors.
pub(crate) fn show() {
    let wanted = std::env::var("ORCLS_LOG").ok().and_then(|level| level.parse().ok());
    let lines =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).without_time();
    // Fails only where messages are shown already.
    let _ = lines.with_max_level(wanted.unwrap_or(LevelFilter::WARN)).try_init();
}
