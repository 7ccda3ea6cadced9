//! Where a node takes the time from: the machine, or for tests the machine plus what a file says.

use std::path::Path;

use kernel::Clock;

/// The machine's clock, moved by the whole seconds that stand in `offset_file` at that moment, if one is named.
pub(crate) fn clock(offset_file: &Path) -> Clock {
    let system = Clock::system();
    if offset_file.as_os_str().is_empty() {
        return system;
    }
    let file = offset_file.to_owned();
    Clock::from_fn(move || {
        // Nobody has moved the clock yet.
        let text = std::fs::read_to_string(&file).unwrap_or_else(|_| "0".into());
        let seconds = text.trim().parse().inspect_err(|cause| tracing::error!(%cause, "the test clock's file holds no seconds"));
        system.now().plus_seconds(seconds.unwrap_or(0))
    })
}
