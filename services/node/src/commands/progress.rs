//! How far long work has come, on stderr: one line rewritten on a terminal, now and then a plain line elsewhere. Results are
//! printed by the commands themselves, on stdout.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Between two signs of life on a terminal.
const REDRAWN: Duration = Duration::from_millis(100);
/// Between two lines elsewhere: a log stays readable.
const TOLD: Duration = Duration::from_secs(5);

/// Tells of one piece of work after the other.
pub(crate) struct Progress {
    terminal: bool,
    last: Option<Instant>,
    /// Letters of the line that stands on the terminal.
    drawn: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: None, drawn: 0 }
    }

    /// So many of `what` are done; told only now and then.
    pub(crate) fn at(&mut self, what: &str, done: u64) {
        let every = if self.terminal { REDRAWN } else { TOLD };
        let due = self.last.get_or_insert_with(Instant::now).elapsed() >= every;
        if due {
            self.last = Some(Instant::now());
            self.draw(&format!("{what}: {done}"));
        }
    }

    /// A stage was reached; always told.
    pub(crate) fn stage(&mut self, told: &str) {
        self.last = Some(Instant::now());
        self.draw(told);
        if self.terminal {
            self.write("\n");
            self.drawn = 0;
        }
    }

    fn draw(&mut self, line: &str) {
        if self.terminal {
            let letters = line.chars().count();
            let gap = self.drawn.saturating_sub(letters);
            self.write(&format!("\r{line}{:gap$}", ""));
            self.drawn = letters;
        } else {
            self.write(&format!("{line}\n"));
        }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // Work goes on when nobody reads how far it is.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
