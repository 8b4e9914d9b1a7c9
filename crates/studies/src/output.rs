//! What the tool prints: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use studies::input::reason;
use studies::load::{Counts, Observer, RejectedDocument};
use studies::pace::Obstacle;
use studies::reader::BrokenInput;
use studies::resource::SourceLocation;
use table::id::FhirId;
use thiserror::Error;

use crate::report::Report;
use crate::tally::Tally;

/// Without a terminal, a line says how far it is this often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Why standard output does not take the rest.
#[derive(Debug, Error)]
#[error("standard output cannot be written: {}", reason(.0))]
pub(crate) struct OutputError(#[from] pub(crate) io::Error);

/// Ids that are named in the summary, at most.
const NAMED: usize = 5;

/// A text in which nothing moves the cursor, ends the line, changes the direction or is hidden: such characters become
/// escapes of JSON, so that JSON keeps its meaning. Names of files, keys and messages are other people's.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(visible, "\\u{unit:04x}");
            }
        } else {
            visible.push(c);
        }
    }
    visible.into()
}

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
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints a line on standard error.
pub(crate) fn warn(line: &str) {
    ask(&format!("{line}\n"));
}

/// Prints a text on standard error, without a line end unless it has one.
pub(crate) fn ask(text: &str) {
    let (line, end) = text.strip_suffix('\n').map_or((text, ""), |line| (line, "\n"));
    let mut err = io::stderr().lock();
    let _ = write!(err, "{}{end}", visible(line)).and_then(|()| err.flush());
}

/// `1 study`, `2,000 studies`.
pub(crate) fn pluralize(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", HumanCount(count), if count == 1 { one } else { more })
}

/// A bar or spinner on a terminal, lines elsewhere.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    last_line: Instant,
    obstacle: Option<Obstacle>,
}

impl Progress {
    /// Of `size` bytes, if that is known.
    pub(crate) fn new(size: Option<u64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let (bar, template) = match size {
                Some(size) => (ProgressBar::new(size), "{bar:30} {percent:>3} %  {msg}"),
                None => (ProgressBar::no_length(), "{spinner} {msg}"),
            };
            match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { bar, last_line: Instant::now(), obstacle: None }
    }

    /// Prints a line without disturbing the bar.
    pub(crate) fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| warn(line)),
            None => warn(line),
        }
    }

    /// Prints a result on standard output without disturbing the bar.
    pub(crate) fn print(&self, line: &str) -> Result<(), OutputError> {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }

    /// Shows the progress. A new obstacle is shown at once, also without a terminal.
    pub(crate) fn show(
        &mut self,
        position: u64,
        message: impl FnOnce() -> String,
        obstacle: Option<Obstacle>,
    ) {
        let new = obstacle.is_some() && obstacle != self.obstacle;
        self.obstacle = obstacle;
        if self.bar.is_none() && !new && self.last_line.elapsed() < LINE_INTERVAL {
            return;
        }
        let message = match obstacle {
            None => message(),
            Some(Obstacle::Throttling) => format!("{}, throttled by DynamoDB", message()),
            Some(Obstacle::Timeout) => format!("{}, DynamoDB does not respond", message()),
            Some(Obstacle::Unavailable) => format!("{}, DynamoDB is unavailable", message()),
        };
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(message);
        } else {
            warn(&message);
            self.last_line = Instant::now();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Watches a load: progress, the rejected documents, and the report.
pub(crate) struct LoadOutput {
    pub(crate) progress: Progress,
    pub(crate) report: Option<Report>,
    pub(crate) tally: Tally,
    /// Ids that several documents have: the first few.
    repeated: Vec<String>,
    size: Option<u64>,
    started: Instant,
}

impl LoadOutput {
    /// Of an input of `size` bytes, if that is known.
    pub(crate) fn new(size: Option<u64>, report: Option<Report>) -> Self {
        Self {
            progress: Progress::new(size),
            report,
            tally: Tally::default(),
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
        self.tally.document(document);
        self.progress.line(&format!("rejected {}{id}: {first}{more}", document.location));
        self.report.as_mut().map_or(Ok(()), |report| report.add(document))
    }

    fn warned(&mut self, location: &SourceLocation, id: &FhirId, warning: &str) {
        self.progress.line(&format!("warning {location} (id {id}): {warning}"));
    }

    fn kept(&mut self, location: &SourceLocation, id: &FhirId) {
        self.progress.line(&format!(
            "kept {location} (id {id}): the table has a later version; --allow-older replaces it"
        ));
    }

    fn repeated(&mut self, id: &FhirId) {
        let id = id.as_str();
        if self.repeated.len() <= NAMED && !self.repeated.iter().any(|named| named == id) {
            self.repeated.push(id.to_owned());
        }
    }

    fn broken(&mut self, input: &BrokenInput) {
        self.progress.line(&input.to_string());
    }

    fn progress(&mut self, counts: &Counts, bytes: u64, obstacle: Option<Obstacle>) {
        let (elapsed, size) = (self.started.elapsed(), self.size);
        self.progress.show(bytes, || progress_message(counts, bytes, size, elapsed), obstacle);
    }
}

/// Documents, their rate, and the time left as far as the bytes read tell.
fn progress_message(counts: &Counts, bytes: u64, size: Option<u64>, elapsed: Duration) -> String {
    let documents = counts.studies() + counts.rejected;
    let seconds = elapsed.as_secs().max(1);
    let read = match size {
        Some(size) if size > 0 => {
            let left =
                u128::from(size.saturating_sub(bytes)) * elapsed.as_millis() / u128::from(bytes.max(1));
            let left = Duration::from_secs(u64::try_from(left / 1000).unwrap_or(u64::MAX));
            format!("{} of {} read, about {} left", HumanBytes(bytes), HumanBytes(size), HumanDuration(left))
        }
        _ => format!("{} read", HumanBytes(bytes)),
    };
    format!(
        "{} ({} rejected), {}/s, {read}",
        pluralize(documents, "document", "documents"),
        HumanCount(counts.rejected),
        HumanCount(documents / seconds),
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
            "1,500 documents (10 rejected), 150/s, 1.00 MiB of 4.00 MiB read, about 30 seconds left"
        );
        assert_eq!(
            progress_message(&counts, 1 << 20, None, elapsed),
            "1,500 documents (10 rejected), 150/s, 1.00 MiB read"
        );
    }
}
