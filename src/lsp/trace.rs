//! A log of the traffic that can be attached to a bug report.
//!
//! In: messages in both directions.  Out: a text file, a line per message, long ones shortened.
//! Holds afterwards: without a file nothing is kept; a file that can not be written ends the log and nothing else.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// More of a message than this is left out.
const MAX_SHOWN: usize = 4096;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// The log; clones write to the same file.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Option<Log>>>);

#[derive(Debug)]
struct Log {
    file: File,
    start: Instant,
}

impl Trace {
    /// Starts a log in `file`, or ends it.
    pub fn set(&self, file: Option<&Path>) -> std::io::Result<()> {
        let log = match file {
            Some(path) => Some(Log { file: File::create(path)?, start: Instant::now() }),
            None => None,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = log;
        Ok(())
    }

    /// Whether messages are logged.
    pub fn is_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Logs a message.
    pub fn message(&self, direction: Direction, message: &[u8]) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = slot.as_mut() else {
            return;
        };
        let arrow = match direction {
            Direction::In => "<-",
            Direction::Out => "->",
        };
        let shown = String::from_utf8_lossy(message.get(..MAX_SHOWN).unwrap_or(message));
        let rest = message.len().saturating_sub(MAX_SHOWN);
        let more = if rest == 0 { String::new() } else { format!(" ... {rest} more bytes") };
        let seconds = log.start.elapsed().as_secs_f64();
        if writeln!(log.file, "{seconds:10.4} {arrow} {shown}{more}").is_err() {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_shortened_and_stop_with_the_log() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("trace");
        let trace = Trace::default();
        trace.set(Some(&path)).expect("the file can be written");
        trace.message(Direction::In, b"short");
        trace.message(Direction::Out, &[b'x'; MAX_SHOWN + 7]);
        trace.set(None).expect("ending always works");
        trace.message(Direction::In, b"unseen");
        let log = std::fs::read_to_string(&path).expect("the log is there");
        assert_eq!(log.lines().count(), 2);
        assert!(log.contains("<- short") && log.trim_end().ends_with("... 7 more bytes"), "{log}");
    }
}
