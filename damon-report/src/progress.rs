//! A line on the terminal that says how far the input has been read, for commands that take longer than a moment.
//!
//! It is there only while standard error is a terminal, begins after a second, and is erased before anything else is written
//! and at the end. Nothing is asked of those who read: they leave a number behind, and a thread of its own looks at it.

use crate::import::{Place, Reading};
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is done sooner needs no explanation.
const PATIENCE: Duration = Duration::from_secs(1);

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(200);

/// Erases the line that the cursor is in.
const ERASE: &str = "\r\x1b[K";

/// The line, from the start of the program to its end.
#[derive(Debug, Default)]
pub struct Progress {
    reading: Reading,
    line: Option<Arc<Line>>,
    thread: Option<JoinHandle<()>>,
}

/// The terminal's last line.
#[derive(Debug)]
struct Line {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    terminal: File,
    is_shown: bool,
    has_ended: bool,
}

impl Progress {
    /// Watches what is read, if standard error is a terminal on which a line can be erased.
    pub fn start() -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|name| name == "dumb");
        let error = io::stderr();
        if dumb || !error.is_terminal() {
            return Self::default();
        }
        let Ok(terminal) = error.as_fd().try_clone_to_owned() else {
            return Self::default();
        };
        let state = State { terminal: terminal.into(), is_shown: false, has_ended: false };
        let line = Arc::new(Line { state: Mutex::new(state), wake: Condvar::new() });
        let reading = Reading::default();
        let (shared, watched) = (Arc::clone(&line), reading.clone());
        let thread = std::thread::Builder::new().name("progress".to_owned());
        match thread.spawn(move || shared.watch(&watched)) {
            Ok(thread) => Self { reading, line: Some(line), thread: Some(thread) },
            Err(_) => Self::default(),
        }
    }

    /// Where commands tell what they read.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// For messages: the line makes way, and comes again.
    pub fn messages<W>(&self, to: W) -> Behind<W> {
        Behind { to, line: self.line.clone(), ends: false }
    }

    /// For results. Whoever reads them on the same screen is no longer waiting, and a pager draws its own; only a file may take
    /// long to fill.
    pub fn results<W>(&self, to: W) -> Behind<W> {
        let metadata = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let is_file = metadata.and_then(|file| file.metadata()).is_ok_and(|m| m.is_file());
        Behind { to, line: self.line.clone().filter(|_| !is_file), ends: true }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.make_way(true);
        }
        if let Some(thread) = self.thread.take() {
            // What it panicked about, it has said.
            drop(thread.join());
        }
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, reading: &Reading) {
        let mut watcher = Watcher::default();
        let mut wait = PATIENCE;
        let mut state = self.lock();
        loop {
            let waited = self.wake.wait_timeout_while(state, wait, |state| !state.has_ended);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.has_ended {
                return;
            }
            wait = EVERY;
            let size = terminal_size::terminal_size_of(&state.terminal);
            let columns = size.map_or(80, |(width, _)| usize::from(width.0));
            if let Some(text) = watcher.look(&reading.places(), columns) {
                state.is_shown = true;
                // A terminal that is gone needs no line.
                drop(write!(state.terminal, "{ERASE}{text}"));
            }
        }
    }

    fn make_way(&self, ends: bool) {
        let mut state = self.lock();
        state.has_ended |= ends;
        if state.is_shown {
            state.is_shown = false;
            drop(write!(state.terminal, "{ERASE}"));
        }
        drop(state);
        if ends {
            self.wake.notify_all();
        }
    }
}

/// Writes behind the line's back: it is erased first.
#[derive(Debug)]
pub struct Behind<W> {
    to: W,
    line: Option<Arc<Line>>,
    ends: bool,
}

impl<W: Write> Write for Behind<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(line) = &self.line {
            line.make_way(self.ends);
            if self.ends {
                self.line = None;
            }
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What to show, from one look to the next.
#[derive(Debug, Default)]
struct Watcher {
    /// Where each file was read at the last look.
    before: Vec<u64>,
    /// Which of them was read last.
    current: usize,
    /// How often it was begun.
    rounds: usize,
}

impl Watcher {
    /// The line, at most `columns` wide; nothing before anything was opened.
    fn look(&mut self, places: &[Arc<Place>], columns: usize) -> Option<String> {
        let now: Vec<u64> = places.iter().map(|place| place.at()).collect();
        let was = |index: usize| self.before.get(index).copied().unwrap_or(0);
        let moved = now.iter().enumerate().position(|(index, at)| *at != was(index));
        let current = moved.unwrap_or(self.current);
        let place = places.get(current)?;
        let at = now.get(current).copied()?;
        if current != self.current {
            self.rounds = 0;
        } else if place.size.is_some_and(|size| at.saturating_add(size / 20) < was(current)) {
            // Threads read beside each other; so far back goes who begins anew.
            self.rounds += 1;
        }
        (self.current, self.before) = (current, now);
        Some(text(place, at, self.rounds, columns))
    }
}

fn text(place: &Place, at: u64, rounds: usize, columns: usize) -> String {
    let done = match place.size.filter(|size| *size > 0) {
        Some(size) => {
            format!("{} %", at.saturating_mul(100).checked_div(size).unwrap_or(0).min(100))
        }
        None if at < 1 << 20 => format!("{} KiB", at >> 10),
        None => format!("{} MiB", at >> 20),
    };
    let again = if rounds > 0 { " again" } else { "" };
    let end = format!("{again}: {done}");
    // The last column stays free: some terminals begin a new line behind it.
    let room = columns.saturating_sub("reading ".len() + end.len() + 1);
    let name: Vec<char> =
        place.name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let surplus = name.len().saturating_sub(room);
    let kept: String = if surplus == 0 {
        name.into_iter().collect()
    } else {
        // The end of a path tells more than its beginning.
        let rest = name.into_iter().skip(surplus.saturating_add(2));
        "..".chars().chain(rest).take(room).collect()
    };
    format!("reading {kept}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_where_the_file_is_read_that_is_read() {
        let reading = Reading::default();
        let mut watcher = Watcher::default();
        let mut look = |columns| watcher.look(&reading.places(), columns);
        assert_eq!(look(80), None);
        let first = reading.begin("/tmp/first.damon", Some(1000));
        assert_eq!(look(80).unwrap(), "reading /tmp/first.damon: 0 %");
        first.reach(437);
        assert_eq!(look(80).unwrap(), "reading /tmp/first.damon: 43 %");
        // Another thread is a little behind.
        first.reach(420);
        assert_eq!(look(80).unwrap(), "reading /tmp/first.damon: 42 %");
        first.reach(10);
        assert_eq!(look(80).unwrap(), "reading /tmp/first.damon again: 1 %");
        let second = reading.begin("-", None);
        second.reach(5 << 10);
        assert_eq!(look(80).unwrap(), "reading -: 5 KiB");
        second.reach(5 << 20);
        assert_eq!(look(80).unwrap(), "reading -: 5 MiB");
        first.reach(999);
        assert_eq!(look(80).unwrap(), "reading /tmp/first.damon: 99 %");
        // Nothing moved: what was read last is what one waits for.
        assert_eq!(look(80).unwrap(), "reading /tmp/first.damon: 99 %");
        first.reach(u64::MAX);
        assert_eq!(look(80).unwrap(), "reading /tmp/first.damon: 100 %");
    }

    #[test]
    fn a_line_stays_one_line() {
        let reading = Reading::default();
        let place = reading.begin("/very/long/\u{1b}[31m/directory/work.damon", Some(0));
        for columns in 0..90 {
            let text = text(&place, 1 << 20, 1, columns);
            assert!(text.chars().all(|c| !c.is_control()), "{text}");
            assert!(text.chars().count() < columns || columns < 24, "{columns}: {text}");
        }
        assert_eq!(text(&place, 1 << 20, 0, 29), "reading ../work.damon: 1 MiB");
    }
}
