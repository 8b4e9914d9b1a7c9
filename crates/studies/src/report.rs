//! The report: an object for each rejected document and each one with warnings, one a line.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use studies::input::{Input, reason};
use table::json::Object;
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::visible::visible;

/// A report that replaces the file of its name when it is complete.
pub(crate) struct Report {
    path: PathBuf,
    file: Destination,
}

enum Destination {
    /// A file in the folder of the one that it will replace, and what that was in the beginning.
    Temporary(BufWriter<NamedTempFile>, Option<State>),
    /// What cannot be replaced: a device or a pipe.
    Stream(BufWriter<File>),
}

/// By which a file is known to be the same, unchanged.
type State = (u64, u64, u64, i64, i64);

fn state(file: &fs::Metadata) -> State {
    (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec())
}

#[derive(Debug, Error)]
pub(crate) enum ReportError {
    #[error("{}: the report would replace an input", .0.display())]
    Input(PathBuf),
    #[error("{}: is not a report of an earlier load; add --force to replace it", .0.display())]
    NotAReport(PathBuf),
    #[error("{}: the file appeared or changed during the load; the report is in {}", .0.display(), .1.display())]
    Appeared(PathBuf, PathBuf),
    #[error("{}: the report cannot be written: {}", path.display(), reason(source))]
    Write { path: PathBuf, source: io::Error },
}

impl Report {
    /// Fails rather than replace an input or, unless `force`, a file that is not a report. Fails now if the report cannot be
    /// written later.
    pub(crate) fn create(path: PathBuf, force: bool, inputs: &[Input]) -> Result<Self, ReportError> {
        let failed = |source| ReportError::Write { path: path.clone(), source };
        let existing = match fs::metadata(&path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => None,
            Err(error) => return Err(failed(error)),
        };
        if let Some(existing) = &existing {
            let is_input = |input: &Input| match input {
                Input::Standard => false,
                Input::File(input) => fs::metadata(input)
                    .is_ok_and(|input| (input.dev(), input.ino()) == (existing.dev(), existing.ino())),
            };
            if inputs.iter().any(is_input) {
                return Err(ReportError::Input(path));
            }
            if !existing.is_file() {
                let file = File::options().write(true).open(&path).map_err(failed)?;
                return Ok(Self { path, file: Destination::Stream(BufWriter::new(file)) });
            }
            if !force && !is_report(&path).map_err(failed)? {
                return Err(ReportError::NotAReport(path));
            }
        }
        // A link is followed: the file that it names is replaced, not the link.
        let target = if existing.is_some() { fs::canonicalize(&path).map_err(failed)? } else { path.clone() };
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let temporary = tempfile::Builder::new()
            .prefix(".studies-report-")
            // The umask applies, as to any other file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .map_err(failed)?;
        let file = Destination::Temporary(BufWriter::new(temporary), existing.as_ref().map(state));
        Ok(Self { path: target, file })
    }

    pub(crate) fn add(&mut self, document: &impl Serialize) -> io::Result<()> {
        let file: &mut dyn Write = match &mut self.file {
            Destination::Temporary(file, _) => file,
            Destination::Stream(file) => file,
        };
        writeln!(file, "{}", visible(&serde_json::to_string(document)?))
    }

    /// Puts the report in its place, unless another file is there now.
    pub(crate) fn finish(self) -> Result<(), ReportError> {
        let path = self.path;
        let failed = |source| ReportError::Write { path: path.clone(), source };
        let (file, before) = match self.file {
            Destination::Temporary(file, before) => (file, before),
            Destination::Stream(mut file) => return file.flush().map_err(failed),
        };
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        let now = fs::symlink_metadata(&path).ok().as_ref().map(state);
        let unfinished = match before {
            Some(_) if now == before => {
                return file.persist(&path).map(drop).map_err(|error| failed(error.error));
            }
            Some(_) => file,
            None => match file.persist_noclobber(&path) {
                Ok(_) => return Ok(()),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => error.file,
                Err(error) => return Err(failed(error.error)),
            },
        };
        let (_, kept) = unfinished.keep().map_err(|error| failed(error.error))?;
        Err(ReportError::Appeared(path, kept))
    }
}

/// Whether a file is empty or begins with a line of a report.
fn is_report(path: &Path) -> io::Result<bool> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Line {
        #[serde(rename = "file")]
        _file: IgnoredAny,
        #[serde(rename = "problems", alias = "warnings")]
        _problems: Vec<IgnoredAny>,
        #[serde(rename = "moreProblems", alias = "moreWarnings")]
        _more_problems: u64,
    }
    let mut line = Vec::new();
    BufReader::new(File::open(path)?).read_until(b'\n', &mut line)?;
    Ok(line.is_empty() || serde_json::from_slice::<Object<Line>>(&line).is_ok())
}
