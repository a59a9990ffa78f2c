//! Progress on stderr: bars on a terminal, nothing elsewhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hafnia_study::{Bar, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::stderr::say;

/// Whether nothing but results and errors is printed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Turns bars and notes off, or on again.
pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// A bar of `what`, counted in `unit`, drawn on stderr if that is a terminal.
pub(crate) fn bar(what: &str, unit: &'static str) -> ProgressBar {
    // Drawn to stderr at most 20 times a second, and not at all where stderr is no terminal.
    let bar = ProgressBar::new(0);
    if QUIET.load(Ordering::Relaxed) {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let count = match unit {
        "bytes" => "{bytes} of {total_bytes}".to_owned(),
        unit => format!("{{human_pos}} of {{human_len}} {unit}"),
    };
    let template = format!("{{prefix:28!}} [{{wide_bar}}] {count} {{msg}} {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.expect("a valid template").progress_chars("=> "));
    bar.set_prefix(what.to_owned());
    bar
}

/// Prints a line to stderr unless it is to be quiet, above the bar where there is one.
pub(crate) fn line(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() {
        note(text);
    } else {
        bar.println(text);
    }
}

/// Prints a line to stderr unless it is to be quiet.
pub(crate) fn note(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        say(text);
    }
}

/// Follows the requests of a session on stderr.
pub(crate) struct Terminal;

impl Observer for Terminal {
    fn bar(&self, what: &str, unit: &'static str) -> Box<dyn Bar> {
        Box::new(Moving { bar: bar(what, unit), furthest: AtomicU64::new(0) })
    }

    fn note(&self, text: &str) {
        note(text);
    }
}

/// A bar that never goes back while its length stays.
struct Moving {
    bar: ProgressBar,
    furthest: AtomicU64,
}

impl Bar for Moving {
    fn moves(&self, done: u64, of: u64) {
        if self.bar.length() != Some(of) {
            self.bar.set_length(of);
            self.furthest.store(0, Ordering::Relaxed);
        }
        if self.furthest.fetch_max(done, Ordering::Relaxed) <= done {
            self.bar.set_position(done);
        }
    }

    fn message(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    fn line(&self, text: &str) {
        line(&self.bar, text);
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
