//! What the tool tells: results on standard output, everything else on standard error, and the report.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use studies::input::plain;
use studies::load::{Counts, Observer, RejectedDocument};

/// Where there is no terminal, how often a line tells how far it is.
const PLAIN: Duration = Duration::from_secs(10);

/// A line on standard output. A reader that has gone away is no error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A line on standard error.
pub(crate) fn warn(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// `1 study`, `2 studies`.
pub(crate) fn pluralize(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Looks on while documents are loaded: a progress bar on a terminal, plain lines elsewhere, and the report.
pub(crate) struct Output {
    bar: Option<ProgressBar>,
    size: Option<u64>,
    told: Instant,
    report: Option<BufWriter<File>>,
}

impl Output {
    /// Of an input of `size` bytes, if that is known. The report is opened first: it would be a pity to find at the end
    /// that it cannot be.
    pub(crate) fn new(size: Option<u64>, report: Option<PathBuf>) -> Result<Self, ReportError> {
        let open = |path: PathBuf| match File::create(&path) {
            Ok(file) => Ok(BufWriter::new(file)),
            Err(source) => Err(ReportError { path, source }),
        };
        let report = report.map(open).transpose()?;
        let bar = io::stderr().is_terminal().then(|| bar(size));
        Ok(Self { bar, size, told: Instant::now(), report })
    }

    /// Takes the bar away and completes the report.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.report.as_mut().map_or(Ok(()), io::Write::flush)
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| warn(line)),
            None => warn(line),
        }
    }
}

/// The report's file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", path.display(), plain(source))]
pub(crate) struct ReportError {
    path: PathBuf,
    source: io::Error,
}

fn bar(size: Option<u64>) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:40} {percent:>3} % {elapsed} {msg}"),
        None => (ProgressBar::no_length(), "{spinner} {bytes} {elapsed} {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Observer for Output {
    fn refused(&mut self, refusal: &RejectedDocument) -> io::Result<()> {
        let id = refusal.id.as_ref().map(|id| format!(" (id {id})")).unwrap_or_default();
        let mut reasons = refusal.problems.iter().map(ToString::to_string);
        let first = reasons.next().unwrap_or_default();
        let more = reasons.count() + refusal.omitted;
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        self.line(&format!("refused {}{id}: {first}{more}", refusal.origin));
        if let Some(report) = &mut self.report {
            serde_json::to_writer(&mut *report, refusal)?;
            report.write_all(b"\n")?;
        }
        Ok(())
    }

    fn progress(&mut self, counts: &Counts, bytes: u64) {
        let plain = self.bar.is_none();
        if plain && self.told.elapsed() < PLAIN {
            return;
        }
        let message = format!("{}, {} refused", pluralize(counts.good(), "study", "studies"), counts.refused);
        match (&self.bar, self.size) {
            (Some(bar), _) => {
                bar.set_position(bytes);
                bar.set_message(message);
            }
            (None, Some(size)) if size > 0 => warn(&format!("{} % read, {message}", bytes * 100 / size)),
            (None, _) => warn(&message),
        }
        self.told = Instant::now();
    }
}
