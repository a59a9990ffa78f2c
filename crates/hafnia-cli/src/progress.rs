//! Progress on stderr: bars on a terminal, nothing elsewhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether nothing but results and errors is printed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Turns bars and notes off, or on again.
pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a line to stderr that is good to know.
pub(crate) fn note(text: &str) {
    if !is_quiet() {
        eprintln!("{text}");
    }
}

/// A bar that counts `what`, drawn on stderr if that is a terminal.
pub(crate) fn bar(what: &str) -> ProgressBar {
    // Drawn to stderr at most 20 times a second, and not at all where stderr is no terminal.
    let bar = ProgressBar::new(0);
    if is_quiet() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(
        "{prefix:>12} [{bar:30}] {pos}/{len} {msg} {elapsed}, {eta} left",
    );
    bar.set_style(style.expect("a valid template").progress_chars("=> "));
    bar.set_prefix(what.to_owned());
    bar
}

/// A callback `(done, of)` that moves a bar; calls may come from any thread in any order.
pub(crate) fn moves(bar: &ProgressBar) -> impl Fn(u64, u64) + Sync + '_ {
    let furthest = AtomicU64::new(0);
    move |done, of| {
        if furthest.fetch_max(done, Ordering::Relaxed) <= done {
            bar.set_length(of);
            bar.set_position(done);
        }
    }
}

/// Prints a line to stderr, above the bar where there is one.
pub(crate) fn line(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() {
        eprintln!("{text}");
    } else {
        bar.println(text);
    }
}
