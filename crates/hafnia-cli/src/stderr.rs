//! Stderr, which may be full, closed or read no longer: nothing but the messages depends on it.

use std::fmt::Display;
use std::io::{self, Write};

/// Stderr as something that takes all that is written, whether it can be delivered or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // There is nowhere left to say that this failed.
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints a line to stderr, in one piece.
pub(crate) fn say(line: impl Display) {
    let _ = Stderr.write_all(format!("{line}\n").as_bytes());
}
