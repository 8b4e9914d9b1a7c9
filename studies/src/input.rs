//! Where documents come from: files, folders and standard input, in JSON, Bundles and NDJSON, each gzipped or not.
//!
//! What it takes is what a file holds, not how it is named: gzip is known by its first bytes, NDJSON by a first line
//! that is a whole value (or by the name). NDJSON and Bundles are streamed: no more than one document is in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::r4::not_json;

/// File names taken out of a folder end in one of these, or in one of these and `.gz`.
const EXTENSIONS: [&str; 3] = ["json", "ndjson", "jsonl"];

/// Bundles may stand in Bundles, up to this depth.
const DEEPEST: usize = 8;

const BUFFER: usize = 64 * 1024;

/// Something to read documents from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, given as `-`.
    Standard,
    /// A file.
    File(PathBuf),
}

/// The inputs that `paths` name, folders replaced by the files below them in the order of their names. Fails on what is
/// not there or cannot be read, so that nothing is done by halves.
pub fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>, InputError> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input::Standard);
            continue;
        }
        let failed = |source| InputError { path: path.clone(), source };
        if fs::metadata(path).map_err(failed)?.is_dir() {
            below(path, &mut inputs)?;
        } else {
            File::open(path).map_err(failed)?;
            inputs.push(Input::File(path.clone()));
        }
    }
    Ok(inputs)
}

fn below(folder: &Path, inputs: &mut Vec<Input>) -> Result<(), InputError> {
    let failed = |source| InputError { path: folder.to_owned(), source };
    let entries: Result<BTreeSet<PathBuf>, _> =
        fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect();
    for path in entries.map_err(failed)? {
        // A link to a folder is not followed: it may lead back up.
        if fs::symlink_metadata(&path).map_err(failed)?.is_dir() {
            below(&path, inputs)?;
        } else if is_document(&path) {
            inputs.push(Input::File(path));
        }
    }
    Ok(())
}

fn is_document(path: &Path) -> bool {
    extension(path).is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) && path.is_file()
}

/// The extension in lower case, `.gz` left aside.
fn extension(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map(|(_, extension)| extension.to_owned())
}

/// A path that names nothing that can be read.
#[derive(Debug, Error)]
#[error("{}: {}", path.display(), plain(source))]
pub struct InputError {
    path: PathBuf,
    source: io::Error,
}

/// The reason of an error without its number: `No such file or directory`.
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// Where a document stood.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SourceLocation {
    /// The file as it was given, `-` for standard input.
    pub file: String,
    /// The line of an NDJSON file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The entry of a Bundle, as in `Bundle.entry[3]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(entry) = &self.entry {
            write!(f, " {entry}")?;
        }
        Ok(())
    }
}

/// What stood there.
#[derive(Debug, PartialEq, Eq)]
pub enum InputItem<'a> {
    /// The text of a resource that says it is an `ImagingStudy`.
    Study(&'a [u8]),
    /// A resource of another type.
    Other,
    /// Something that cannot be read, and why.
    Broken(String),
}

/// Takes what is found; `Break` ends the reading.
pub trait Sink {
    /// Takes one document.
    fn take(&mut self, origin: &SourceLocation, found: InputItem<'_>) -> ControlFlow<()>;
    /// Learns that so many more bytes of the input (gzipped where it is) have been read.
    fn advance(&mut self, bytes: u64) {
        let _ = bytes;
    }
}

impl Input {
    /// Bytes to be read, where that can be known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Standard => None,
            Self::File(path) => fs::metadata(path).ok().map(|metadata| metadata.len()),
        }
    }

    /// Hands every resource of the input to `sink`. A broken one costs its line, entry or file, and nothing around it.
    pub fn read(&self, sink: &mut impl Sink) -> ControlFlow<()> {
        let (file, lines, opened): (_, _, io::Result<Box<dyn Read>>) = match self {
            Self::Standard => ("-".to_owned(), false, Ok(Box::new(io::stdin()))),
            Self::File(path) => (
                path.display().to_string(),
                matches!(extension(path).as_deref(), Some("ndjson" | "jsonl")),
                File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
            ),
        };
        let origin = SourceLocation { file, line: None, entry: None };
        let raw = match opened {
            Ok(raw) => raw,
            Err(error) => return sink.take(&origin, unreadable(&error)),
        };
        let sink = RefCell::new(sink);
        let advance = |bytes| sink.borrow_mut().advance(bytes);
        match unpacked(Counted { inner: raw, advance }) {
            Ok(text) => {
                documents(text, lines, origin, &mut |origin, found| sink.borrow_mut().take(origin, found))
            }
            Err(error) => sink.borrow_mut().take(&origin, unreadable(&error)),
        }
    }
}

fn unreadable(error: &io::Error) -> InputItem<'static> {
    InputItem::Broken(format!("cannot be read: {}", plain(error)))
}

type Text<'a> = BufReader<Box<dyn Read + 'a>>;
type Take<'a> = dyn FnMut(&SourceLocation, InputItem<'_>) -> ControlFlow<()> + 'a;

/// Inflates what is gzipped and drops a byte order mark.
fn unpacked<'a>(raw: impl Read + 'a) -> io::Result<Text<'a>> {
    let mut raw = BufReader::with_capacity(BUFFER, raw);
    let gzip = raw.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let inner: Box<dyn Read + 'a> = if gzip { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
    let mut text = BufReader::with_capacity(BUFFER, inner);
    if text.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    Ok(text)
}

struct Counted<R, F> {
    inner: R,
    advance: F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.advance)(read as u64);
        Ok(read)
    }
}

fn documents(
    mut text: Text<'_>,
    lines: bool,
    mut origin: SourceLocation,
    take: &mut Take<'_>,
) -> ControlFlow<()> {
    let read = if lines || begins_with_a_whole_line(&mut text) {
        by_line(text, &mut origin, take)
    } else {
        by_value(text, &origin, take)
    };
    match read {
        Ok(flow) => flow,
        Err(error) => take(&origin, unreadable(&error)),
    }
}

/// Whether the text is NDJSON. A first line longer than the buffer is read as a value, which comes to the same unless it
/// is broken.
fn begins_with_a_whole_line(text: &mut Text<'_>) -> bool {
    let buffer = text.buffer();
    let end = buffer.iter().position(|b| *b == b'\n');
    end.is_some_and(|end| serde_json::from_slice::<IgnoredAny>(&buffer[..end]).is_ok())
}

fn by_line(
    mut text: Text<'_>,
    origin: &mut SourceLocation,
    take: &mut Take<'_>,
) -> io::Result<ControlFlow<()>> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        origin.line = Some(number);
        if text.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() && resource(line.trim_ascii(), origin, 0, take).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// One value after another, up to the first broken one: who knows where the next begins?
fn by_value(mut text: Text<'_>, origin: &SourceLocation, take: &mut Take<'_>) -> io::Result<ControlFlow<()>> {
    loop {
        match text.fill_buf()?.first() {
            None => return Ok(ControlFlow::Continue(())),
            Some(b) if b.is_ascii_whitespace() => text.consume(1),
            Some(_) => {
                let copy = RefCell::new(Some(Vec::new()));
                let reader = Copied { inner: &mut text, copy: &copy };
                let mut reading =
                    ResourceVisitor { origin, depth: 0, take, copy: Some(&copy), stopped: false };
                let kind = reading.deserialize(&mut serde_json::Deserializer::from_reader(reader));
                let stopped = reading.stopped;
                let kind = match kind {
                    Err(error) if error.is_io() => return Err(error.into()),
                    kind => kind,
                };
                let broken = kind.is_err();
                let flow = if stopped {
                    ControlFlow::Break(())
                } else {
                    hand_on(&kind, copy.borrow().as_deref(), origin, take)
                };
                if broken || flow.is_break() {
                    return Ok(flow);
                }
            }
        }
    }
}

/// One value, of which the whole text is at hand.
fn resource(text: &[u8], origin: &SourceLocation, depth: usize, take: &mut Take<'_>) -> ControlFlow<()> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut reading = ResourceVisitor { origin, depth, take, copy: None, stopped: false };
    let kind = reading.deserialize(&mut reader).and_then(|kind| reader.end().map(|()| kind));
    if reading.stopped { ControlFlow::Break(()) } else { hand_on(&kind, Some(text), origin, take) }
}

/// Hands on a value that has been read; the entries of a Bundle have been handed on by then.
fn hand_on(
    kind: &serde_json::Result<Option<String>>,
    text: Option<&[u8]>,
    origin: &SourceLocation,
    take: &mut Take<'_>,
) -> ControlFlow<()> {
    let found = match (kind.as_ref().map(Option::as_deref), text) {
        (Ok(Some("Bundle")), _) => return ControlFlow::Continue(()),
        (Ok(Some("ImagingStudy")), Some(text)) => InputItem::Study(text),
        (Ok(Some("ImagingStudy")), None) => InputItem::Broken("has entries, as only a Bundle may".to_owned()),
        (Ok(Some(_)), _) => InputItem::Other,
        (Ok(None), _) => InputItem::Broken("is no FHIR resource: it has no resourceType".to_owned()),
        // The message would repeat what it found.
        (Err(error), _) if error.is_data() => InputItem::Broken(format!(
            "is no FHIR resource: something else stands at line {}, column {}",
            error.line(),
            error.column()
        )),
        (Err(error), _) => InputItem::Broken(not_json(error)),
    };
    take(origin, found)
}

/// Keeps what is read through it, until it turns out to be a Bundle.
struct Copied<'c, R> {
    inner: R,
    copy: &'c RefCell<Option<Vec<u8>>>,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(copy) = &mut *self.copy.borrow_mut() {
            copy.extend_from_slice(&buffer[..read]);
        }
        Ok(read)
    }
}

/// Reads one value: yields its `resourceType` and hands on the resources in its entries as they come.
struct ResourceVisitor<'r, 't> {
    origin: &'r SourceLocation,
    depth: usize,
    take: &'r mut Take<'t>,
    copy: Option<&'r RefCell<Option<Vec<u8>>>>,
    stopped: bool,
}

impl<'de> DeserializeSeed<'de> for &mut ResourceVisitor<'_, '_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut ResourceVisitor<'_, '_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a FHIR resource")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kind = None;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "resourceType" => kind = Some(map.next_value()?),
                "entry" => {
                    if let Some(copy) = self.copy {
                        copy.take();
                    }
                    map.next_value_seed(Entries(self))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(kind)
    }
}

struct Entries<'e, 'r, 't>(&'e mut ResourceVisitor<'r, 't>);

#[derive(Deserialize)]
struct Entry {
    resource: Option<Box<RawValue>>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entries of a Bundle")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self(reading) = self;
        let bundle =
            reading.origin.entry.as_ref().map_or("Bundle".to_owned(), |entry| format!("{entry}.resource"));
        let mut index = 0;
        while let Some(Entry { resource: inner }) = entries.next_element()? {
            let origin =
                SourceLocation { entry: Some(format!("{bundle}.entry[{index}]")), ..reading.origin.clone() };
            index += 1;
            let Some(inner) = inner else { continue };
            let flow = if reading.depth < DEEPEST {
                resource(inner.get().as_bytes(), &origin, reading.depth + 1, reading.take)
            } else {
                (reading.take)(&origin, InputItem::Broken("is in too many Bundles".to_owned()))
            };
            if flow.is_break() {
                reading.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const STUDY: &str = r#"{"resourceType":"ImagingStudy", "id":"a"}"#;
    const PATIENT: &str = r#"{"resourceType":"Patient"}"#;

    #[derive(Default)]
    struct Collected {
        found: Vec<String>,
        most: Option<usize>,
        bytes: u64,
    }

    impl Sink for Collected {
        fn take(&mut self, origin: &SourceLocation, found: InputItem<'_>) -> ControlFlow<()> {
            let found = match found {
                InputItem::Study(text) => str::from_utf8(text).unwrap().to_owned(),
                InputItem::Other => "other".to_owned(),
                InputItem::Broken(reason) => reason,
            };
            let name = Path::new(&origin.file).file_name().unwrap_or_default().to_str().unwrap().to_owned();
            self.found.push(format!("{}: {found}", SourceLocation { file: name, ..origin.clone() }));
            if self.most == Some(self.found.len()) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }

        fn advance(&mut self, bytes: u64) {
            self.bytes += bytes;
        }
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("studies-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Input {
            fs::write(self.0.join(name), content).unwrap();
            Input::File(self.0.join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn read(test: &str, name: &str, content: impl AsRef<[u8]>) -> Vec<String> {
        let folder = Folder::new(test);
        let mut collected = Collected::default();
        assert!(folder.file(name, content).read(&mut collected).is_continue());
        collected.found
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_resource_is_handed_on_in_its_own_bytes() {
        let pretty = "{\n  \"decimal\": 1.10,\n  \"resourceType\": \"ImagingStudy\"\n}";
        assert_eq!(read("own", "a.json", format!(" {pretty}\n")), [format!("a.json: {pretty}")]);
    }

    #[test]
    fn what_is_gzipped_is_known_by_its_bytes() {
        assert_eq!(read("gzip", "a.json", gzip(STUDY)), [format!("a.json: {STUDY}")]);
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(read("mark", "a.json", format!("\u{feff}{STUDY}")), [format!("a.json: {STUDY}")]);
    }

    #[test]
    fn the_resources_of_a_bundle_are_named_by_their_entry() {
        let inner = format!(r#"{{"resourceType":"Bundle","entry":[{{"resource":{STUDY}}}]}}"#);
        let bundle = format!(
            r#"{{"entry":[{{"resource":{PATIENT}}},{{"fullUrl":"x"}},{{"resource":{STUDY}}},{{"resource":{inner}}}],"resourceType":"Bundle"}}"#
        );
        assert_eq!(
            read("bundle", "a.json", bundle),
            [
                "a.json Bundle.entry[0]: other".to_owned(),
                format!("a.json Bundle.entry[2]: {STUDY}"),
                format!("a.json Bundle.entry[3].resource.entry[0]: {STUDY}"),
            ]
        );
    }

    #[test]
    fn a_broken_line_costs_no_other_line() {
        let text = format!("{STUDY}\n\n{{\"a\":\n{STUDY} x\r\n{PATIENT}\r\n[1]\n\"name\"\n{STUDY}");
        assert_eq!(
            read("lines", "a.ndjson", text),
            [
                format!("a.ndjson:1: {STUDY}"),
                "a.ndjson:3: is not JSON: EOF while parsing a value at line 1 column 5".to_owned(),
                "a.ndjson:4: is not JSON: trailing characters at line 1 column 43".to_owned(),
                "a.ndjson:5: other".to_owned(),
                "a.ndjson:6: is no FHIR resource: something else stands at line 1, column 0".to_owned(),
                "a.ndjson:7: is no FHIR resource: something else stands at line 1, column 6".to_owned(),
                format!("a.ndjson:8: {STUDY}"),
            ]
        );
    }

    #[test]
    fn lines_are_known_by_the_first_of_them() {
        assert_eq!(
            read("sniff", "a.txt", format!("{STUDY}\nx\n{PATIENT}\n")),
            [
                format!("a.txt:1: {STUDY}"),
                "a.txt:2: is not JSON: expected value at line 1 column 1".to_owned(),
                "a.txt:3: other".to_owned()
            ]
        );
    }

    #[test]
    fn values_without_line_breaks_between_them_are_read_too() {
        assert_eq!(
            read("values", "a.json", format!("{STUDY}{PATIENT} {STUDY}")),
            [format!("a.json: {STUDY}"), "a.json: other".to_owned(), format!("a.json: {STUDY}")]
        );
    }

    #[test]
    fn broken_json_is_named_by_line_and_column() {
        assert_eq!(
            read("broken", "a.json", "{\n  \"resourceType\": ImagingStudy\n}"),
            ["a.json: is not JSON: expected value at line 2 column 19"]
        );
    }

    #[test]
    fn broken_gzip_is_named() {
        let whole = gzip(&format!("{STUDY}\n").repeat(1000));
        let mut corrupt = whole.clone();
        corrupt[20] ^= 0xff;
        for broken in [&whole[..whole.len() - 12], &corrupt] {
            let found = read("inflate", "a.ndjson.gz", broken);
            assert!(found.last().unwrap().contains("cannot be read"), "{found:?}");
        }
    }

    #[test]
    fn reading_ends_where_the_sink_says() {
        let folder = Folder::new("ends");
        let bundle =
            format!(r#"{{"resourceType":"Bundle","entry":[{{"resource":{STUDY}}},{{"resource":{STUDY}}}]}}"#);
        for content in [bundle, format!("{STUDY}\n{STUDY}\n"), format!("{STUDY}{STUDY}")] {
            let mut collected = Collected { most: Some(1), ..Collected::default() };
            assert!(folder.file("a.json", content).read(&mut collected).is_break());
            assert_eq!(collected.found.len(), 1);
        }
    }

    #[test]
    fn progress_is_counted_in_bytes_of_the_file() {
        let folder = Folder::new("progress");
        let input = folder.file("a.json.gz", gzip(&STUDY.repeat(10_000)));
        let mut collected = Collected::default();
        assert!(input.read(&mut collected).is_continue());
        assert_eq!(Some(collected.bytes), input.size());
    }

    #[test]
    fn a_folder_stands_for_the_documents_below_it() {
        let folder = Folder::new("folder");
        fs::create_dir_all(folder.0.join("b")).unwrap();
        for name in ["c.JSON", "a.ndjson.gz", "notes.txt", "b/x.jsonl", "json"] {
            folder.file(name, "");
        }
        let names: Vec<_> = inputs(&[folder.0.clone(), PathBuf::from("-")])
            .unwrap()
            .into_iter()
            .map(|input| match input {
                Input::Standard => "-".to_owned(),
                Input::File(path) => path.strip_prefix(&folder.0).unwrap().display().to_string(),
            })
            .collect();
        assert_eq!(names, ["a.ndjson.gz", "b/x.jsonl", "c.JSON", "-"]);
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        let error = inputs(&[PathBuf::from("/nowhere/x.json")]).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/x.json: No such file or directory");
    }
}
