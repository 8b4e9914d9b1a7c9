//! What the tool prints: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;
use studies::input::reason;
use studies::load::{Counts, Observer, RejectedDocument, WarnedDocument};
use studies::pace::Obstacle;
use studies::reader::BrokenInput;
use studies::resource::SourceLocation;
use table::id::FhirId;
use thiserror::Error;

use crate::figures::{bytes as in_units, grouped, pluralize, roughly};
use crate::report::Report;
use crate::tally::Tally;
use crate::visible::visible;

/// Without a terminal, a line says how far it is this often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// On a terminal, the line changes this often at most.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Why standard output does not take the rest.
#[derive(Debug, Error)]
#[error("standard output cannot be written: {}", reason(.0))]
pub(crate) struct OutputError(#[from] pub(crate) io::Error);

/// Ids that are named in the summary, at most.
const NAMED: usize = 5;
/// Warnings that are shown, at most.
const WARNINGS_SHOWN: usize = 10;

/// Prints a line on standard output.
pub(crate) fn say(line: &str) -> Result<(), OutputError> {
    print(&format!("{}\n", visible(line)))
}

/// Prints a document on standard output, byte for byte unless that is a terminal.
pub(crate) fn say_document(json: &str) -> Result<(), OutputError> {
    if !io::stdout().is_terminal() {
        return print(json);
    }
    let lines: Vec<_> = json.split('\n').map(|line| visible(line.trim_end_matches('\r'))).collect();
    print(&lines.join("\n"))
}

fn print(text: &str) -> Result<(), OutputError> {
    let _shown = LINE.lock().map(Hidden::new);
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints a line on standard error.
pub(crate) fn warn(line: &str) {
    let _shown = LINE.lock().map(Hidden::new);
    let _ = writeln!(io::stderr(), "{}", visible(line));
}

/// Prints a question on standard error, without a line end.
pub(crate) fn ask(question: &str) {
    let _ = write!(io::stderr(), "{}", visible(question));
}

/// The progress that the terminal shows in the line of the cursor, if any.
static LINE: Mutex<String> = Mutex::new(String::new());

/// Removes the progress from the terminal until this is dropped.
struct Hidden<'l>(MutexGuard<'l, String>);

impl<'l> Hidden<'l> {
    fn new(line: MutexGuard<'l, String>) -> Self {
        if !line.is_empty() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        Self(line)
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let _ = write!(io::stderr(), "{}", self.0);
        }
    }
}

/// Shows this progress in place of the last one. It leaves room for the `^C` of a terminal: a line that wraps cannot be
/// removed.
fn show(text: &str) {
    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
    let columns = if columns == 0 { 80 } else { usize::from(columns) };
    if let Ok(line) = LINE.lock() {
        let mut hidden = Hidden::new(line);
        *hidden.0 = text.chars().take(columns.saturating_sub(3)).collect();
    }
}

/// A line that changes on a terminal, and lines elsewhere.
pub(crate) struct Progress {
    at_terminal: bool,
    shown: Option<Instant>,
    obstacle: Option<Obstacle>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let at_terminal =
            io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { at_terminal, shown: (!at_terminal).then(Instant::now), obstacle: None }
    }

    /// Shows the progress every now and then, and a new obstacle at once.
    pub(crate) fn show(&mut self, message: impl FnOnce() -> String, obstacle: Option<Obstacle>) {
        let is_new = obstacle.is_some() && obstacle != self.obstacle;
        self.obstacle = obstacle;
        let interval = if self.at_terminal { REDRAW_INTERVAL } else { LINE_INTERVAL };
        if !is_new && self.shown.is_some_and(|shown| shown.elapsed() < interval) {
            return;
        }
        self.shown = Some(Instant::now());
        let obstacle = match obstacle {
            None => "",
            Some(Obstacle::Throttling) => "throttled by DynamoDB, ",
            Some(Obstacle::Timeout) => "DynamoDB does not respond, ",
            Some(Obstacle::Unavailable) => "DynamoDB is unavailable, ",
        };
        let message = format!("{obstacle}{}", message());
        if self.at_terminal { show(&message) } else { warn(&message) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.at_terminal {
            show("");
        }
    }
}

/// Watches a load: progress, the rejected documents, and the report.
pub(crate) struct LoadOutput {
    pub(crate) progress: Progress,
    pub(crate) report: Option<Report>,
    pub(crate) tally: Tally,
    pub(crate) warnings: Tally,
    warned: usize,
    /// Ids that several documents have: the first few.
    repeated: Vec<String>,
    size: Option<u64>,
    started: Instant,
}

impl LoadOutput {
    /// Of an input of `size` bytes, if that is known.
    pub(crate) fn new(size: Option<u64>, report: Option<Report>) -> Self {
        Self {
            progress: Progress::new(),
            report,
            tally: Tally::default(),
            warnings: Tally::default(),
            warned: 0,
            repeated: Vec::new(),
            size,
            started: Instant::now(),
        }
    }
}

impl LoadOutput {
    /// The ids that several documents have, as far as they are named: `a, b, …`.
    pub(crate) fn repeated_ids(&self) -> String {
        let ids: Vec<&str> = self.repeated.iter().take(NAMED).map(String::as_str).collect();
        let more = if self.repeated.len() > NAMED { ", …" } else { "" };
        format!("{}{more}", ids.join(", "))
    }
}

impl Observer for LoadOutput {
    fn rejected(&mut self, document: &RejectedDocument) -> io::Result<()> {
        let id = document.id.as_ref().map(|id| format!(" (id {id})")).unwrap_or_default();
        let mut problems = document.problems.iter().map(ToString::to_string);
        let first = problems.next().unwrap_or_default();
        let more = problems.count() + document.omitted;
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        self.tally.document(&document.problems);
        warn(&format!("rejected {}{id}: {first}{more}", document.location));
        self.report.as_mut().map_or(Ok(()), |report| report.add(document))
    }

    fn warned(&mut self, document: &WarnedDocument) -> io::Result<()> {
        self.warnings.document(&document.warnings);
        let left = WARNINGS_SHOWN.saturating_sub(self.warned);
        for warning in document.warnings.iter().take(left) {
            warn(&format!("warning {} (id {}): {warning}", document.location, document.id));
        }
        let before = self.warned;
        self.warned += document.warnings.len();
        if (before..self.warned).contains(&WARNINGS_SHOWN) {
            warn("more warnings are not shown: --report FILE has all of them");
        }
        self.report.as_mut().map_or(Ok(()), |report| report.add(document))
    }

    fn kept(&mut self, location: &SourceLocation, id: &FhirId) {
        warn(&format!("kept {location} (id {id}): the table has a later version; --allow-older replaces it"));
    }

    fn repeated(&mut self, id: &FhirId) {
        let id = id.as_str();
        if self.repeated.len() <= NAMED && !self.repeated.iter().any(|named| named == id) {
            self.repeated.push(id.to_owned());
        }
    }

    fn broken(&mut self, input: &BrokenInput) {
        warn(&input.to_string());
    }

    fn progress(&mut self, counts: &Counts, bytes: u64, obstacle: Option<Obstacle>) {
        let (elapsed, size) = (self.started.elapsed(), self.size);
        self.progress.show(|| progress_message(counts, bytes, size, elapsed), obstacle);
    }
}

/// The time left as far as the bytes read tell, documents and their rate; what matters least last, which narrow
/// terminals do not show.
fn progress_message(counts: &Counts, bytes: u64, size: Option<u64>, elapsed: Duration) -> String {
    let documents = counts.studies() + counts.rejected;
    let seconds = elapsed.as_secs().max(1);
    let (left, of) = match size {
        Some(size) if size > 0 => {
            let left =
                u128::from(size.saturating_sub(bytes)) * elapsed.as_millis() / u128::from(bytes.max(1));
            let left = Duration::from_secs(u64::try_from(left / 1000).unwrap_or(u64::MAX));
            let percent = u128::from(bytes) * 100 / u128::from(size);
            let left = format!("{percent} %, about {} left, ", roughly(left));
            (left, format!(" of {}", in_units(size)))
        }
        _ => (String::new(), String::new()),
    };
    format!(
        "{left}{} ({} rejected), {}/s, {}{of} read",
        pluralize(documents, "document", "documents"),
        grouped(counts.rejected),
        grouped(documents / seconds),
        in_units(bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_documents_rate_and_time_left() {
        let counts = Counts { added: 1_490, rejected: 10, ..Counts::default() };
        let elapsed = Duration::from_secs(10);
        assert_eq!(
            progress_message(&counts, 1 << 20, Some(4 << 20), elapsed),
            "25 %, about 30 seconds left, 1,500 documents (10 rejected), 150/s, 1.00 MiB of 4.00 MiB read"
        );
        assert_eq!(
            progress_message(&counts, 1 << 20, None, elapsed),
            "1,500 documents (10 rejected), 150/s, 1.00 MiB read"
        );
    }
}
