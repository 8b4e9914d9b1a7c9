//! Which files are read: those named on the command line, those below the folders named there, and standard input.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Files below a folder are read if their name ends in one of these, or in one of these and `.gz`, in any case.
pub const ENDINGS: [&str; 3] = ["json", "ndjson", "jsonl"];

/// Something to read documents from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, given as `-`.
    Standard,
    /// A file.
    File(PathBuf),
}

/// What the paths on the command line name.
#[derive(Debug, Default)]
pub struct Inputs {
    /// What is read, in order.
    pub read: Vec<Input>,
    /// The files below folders that are not read because of their names.
    pub skipped: Vec<PathBuf>,
    /// The links below folders that lead out of them. They are not followed.
    pub outside: Vec<PathBuf>,
}

impl Inputs {
    /// Replaces folders by the files below them, in the order of their names. A file that is named itself is read
    /// whatever its name. Fails if a path does not exist or cannot be read, before anything is loaded.
    pub fn find(paths: &[PathBuf]) -> Result<Self, InputError> {
        let mut inputs = Self::default();
        for path in paths {
            if path.as_os_str() == "-" {
                inputs.read.push(Input::Standard);
                continue;
            }
            let failed = |source| InputError { path: path.clone(), source };
            if fs::metadata(path).map_err(failed)?.is_dir() {
                let root = fs::canonicalize(path).map_err(failed)?;
                inputs.folder(path, &root)?;
            } else {
                File::open(path).map_err(failed)?;
                inputs.read.push(Input::File(path.clone()));
            }
        }
        Ok(inputs)
    }

    /// `root`: where links may lead.
    fn folder(&mut self, folder: &Path, root: &Path) -> Result<(), InputError> {
        let failed = |source| InputError { path: folder.to_owned(), source };
        let entries: Result<BTreeSet<PathBuf>, _> =
            fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect();
        for path in entries.map_err(failed)? {
            let found = fs::symlink_metadata(&path).map_err(failed)?;
            // A link to a folder is not followed: it may lead back up.
            if found.is_dir() {
                self.folder(&path, root)?;
            } else if found.is_symlink() && fs::canonicalize(&path).is_ok_and(|to| !to.starts_with(root)) {
                self.outside.push(path);
            } else if path.is_file() && ending(&path).is_some_and(|ending| ENDINGS.contains(&&*ending)) {
                self.read.push(Input::File(path));
            } else {
                self.skipped.push(path);
            }
        }
        Ok(())
    }

    /// The bytes of all inputs together, if none of them is a stream.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.read.iter().map(Input::size).sum()
    }
}

impl Input {
    /// Bytes of the file as stored; `None` for streams.
    fn size(&self) -> Option<u64> {
        match self {
            Self::Standard => None,
            Self::File(path) => {
                fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
            }
        }
    }

    /// The path as given, `-` for standard input.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Standard => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether the name says that each line is a document.
    pub(crate) fn is_named_ndjson(&self) -> bool {
        match self {
            Self::Standard => false,
            Self::File(path) => matches!(ending(path).as_deref(), Some("ndjson" | "jsonl")),
        }
    }
}

/// The last part of the name in lower case, without `.gz`.
fn ending(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map(|(_, ending)| ending.to_owned())
}

/// A path that cannot be read.
#[derive(Debug, Error)]
#[error("{}: {}", path.display(), reason(source))]
pub struct InputError {
    path: PathBuf,
    source: io::Error,
}

/// An error's text without its number: `No such file or directory`.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_replaced_by_the_documents_below_it_and_other_files_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b")).unwrap();
        for name in ["c.JSON", "a.ndjson.gz", "notes.txt", "b/x.jsonl", "b/x.dcm", "json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let inputs = Inputs::find(&[folder.path().to_owned(), PathBuf::from("-")]).unwrap();
        let below = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
        let read: Vec<_> = inputs
            .read
            .iter()
            .map(|input| match input {
                Input::Standard => "-".to_owned(),
                Input::File(path) => below(path),
            })
            .collect();
        assert_eq!(read, ["a.ndjson.gz", "b/x.jsonl", "c.JSON", "-"]);
        let skipped: Vec<_> = inputs.skipped.iter().map(|path| below(path)).collect();
        assert_eq!(skipped, ["b/x.dcm", "json", "notes.txt"]);
    }

    #[test]
    fn links_in_a_folder_are_followed_to_files_in_it_only() {
        use std::os::unix::fs::symlink;
        let (outside, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (secret, own) = (outside.path().join("x.json"), folder.path().join("own.json"));
        fs::write(&secret, "").unwrap();
        fs::write(&own, "").unwrap();
        for (name, target) in [
            ("in.json", &*own),
            ("out.json", &*secret),
            ("out", outside.path()),
            ("lost.json", Path::new("/nowhere")),
        ] {
            symlink(target, folder.path().join(name)).unwrap();
        }
        let inputs = Inputs::find(&[folder.path().to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(inputs.read, ["in.json", "own.json"].map(|name| Input::File(path(name))));
        assert_eq!(inputs.outside, [path("out"), path("out.json")]);
        assert_eq!(inputs.skipped, [path("lost.json")]);
        let named = Inputs::find(&[path("out.json")]).unwrap();
        assert_eq!(named.read, [Input::File(path("out.json"))]);
    }

    #[test]
    fn a_file_that_is_named_itself_is_read_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.txt");
        fs::write(&path, "").unwrap();
        let inputs = Inputs::find(std::slice::from_ref(&path)).unwrap();
        assert_eq!((inputs.read, inputs.skipped.len()), (vec![Input::File(path)], 0));
    }

    #[test]
    fn a_path_that_does_not_exist_is_an_error() {
        let error = Inputs::find(&[PathBuf::from("/nowhere/x.json")]).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/x.json: No such file or directory");
    }
}
