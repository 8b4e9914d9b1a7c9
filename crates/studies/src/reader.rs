//! Finds the documents in an input: JSON resources, Bundles and NDJSON, each gzipped or not.
//!
//! The content decides, not the name: gzip is known by its first bytes, and once a line holds one whole value, every
//! line after it is taken for a document. NDJSON and Bundles are streamed: no more than one document, or 64 KiB of
//! lines, is in memory.
//!
//! [`read`] only splits the input into [`Chunk`]s, in order; [`Chunk::documents`] does the parsing, on any thread.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow;

use flate2::bufread::GzDecoder;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use table::json::Object;
use thiserror::Error;

use crate::input::{Input, reason};
use fhir_r4::not_json;

/// Bundles may be nested in Bundles to this depth.
const MAX_BUNDLE_DEPTH: usize = 8;

const BUFFER_BYTES: usize = 65_536;

/// Where a document was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SourceLocation {
    /// The file as it was given, `-` for standard input.
    pub file: String,
    /// The line on which the document begins, counted from 1. For one in a Bundle, the line of the Bundle.
    pub line: u64,
    /// The entry of a Bundle, as in `Bundle.entry[3]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if let Some(entry) = &self.entry {
            write!(f, " {entry}")?;
        }
        Ok(())
    }
}

/// What was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputItem<Text> {
    /// The text of a resource whose `resourceType` is `ImagingStudy`.
    Study(Text),
    /// A resource of another type.
    Other,
    /// Something that is not a FHIR resource, and why not.
    Broken(String),
}

/// A piece of an input.
#[derive(Debug)]
pub struct Chunk {
    location: SourceLocation,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Whole lines, each blank or a document.
    Lines(Vec<u8>),
    /// A resource that is the entry of so many Bundles.
    Entry(Box<RawValue>, usize),
    Item(InputItem<Vec<u8>>),
}

/// An input that could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file} could not be read beyond {bytes} bytes of text ({lines} lines): {reason}")]
pub struct BrokenInput {
    /// The file as it was given, `-` for standard input.
    pub file: String,
    /// Bytes of text that were read, after inflating.
    pub bytes: u64,
    /// Whole lines among them.
    pub lines: u64,
    /// What failed.
    pub reason: String,
}

/// Receives what is read. `Break` ends the reading.
pub trait Sink {
    /// Receives the next chunk.
    fn chunk(&mut self, chunk: Chunk) -> ControlFlow<()>;
    /// Learns that so many more bytes of the input, as stored, have been read.
    fn advance(&mut self, bytes: u64);
}

/// Splits an input into chunks. A broken document costs no other: reading continues at the next line, or, if the
/// document spans lines, at the next line that begins with a brace.
pub fn read(input: &Input, sink: &mut impl Sink) -> Result<ControlFlow<()>, BrokenInput> {
    let file = input.name();
    let failed = |bytes, lines, error: &io::Error| BrokenInput {
        file: file.clone(),
        bytes,
        lines,
        reason: reason(error),
    };
    let raw: Box<dyn Read> = match input {
        Input::Standard => Box::new(io::stdin()),
        Input::File(path) => Box::new(File::open(path).map_err(|error| failed(0, 0, &error))?),
    };
    let sink = RefCell::new(sink);
    let advance = |bytes| sink.borrow_mut().advance(bytes);
    let mut text = Text::open(Counted { inner: raw, advance }).map_err(|error| failed(0, 0, &error))?;
    let mut send = |location, content| sink.borrow_mut().chunk(Chunk { location, content });
    let split = if input.is_named_ndjson() {
        lines(&mut text, &file, &mut send)
    } else {
        values(&mut text, &file, &mut send)
    };
    split.map_err(|error| failed(text.bytes, text.line - 1, &error))
}

type Send<'a> = dyn FnMut(SourceLocation, Content) -> ControlFlow<()> + 'a;

/// Counts the bytes of an input as they are read.
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

/// The decompressed text of an input, with push-back.
struct Text<'a> {
    again: Cursor<Vec<u8>>,
    inner: BufReader<Box<dyn Read + 'a>>,
    /// The line of the next byte, from 1.
    line: u64,
    /// Bytes read.
    bytes: u64,
}

impl<'a> Text<'a> {
    /// Inflates what is gzipped and drops a byte order mark.
    fn open(raw: impl Read + 'a) -> io::Result<Self> {
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let gzip = raw.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let inner: Box<dyn Read + 'a> = if gzip { Box::new(Members::new(raw)) } else { Box::new(raw) };
        let mut inner = BufReader::with_capacity(BUFFER_BYTES, inner);
        if inner.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            inner.consume(3);
        }
        Ok(Self { again: Cursor::default(), inner, line: 1, bytes: 0 })
    }

    /// Reads these bytes, the last ones that were read, again.
    fn push_back(&mut self, mut bytes: Vec<u8>) {
        self.line -= newlines(&bytes);
        self.bytes -= bytes.len() as u64;
        let read = usize::try_from(self.again.position()).unwrap_or(usize::MAX);
        bytes.extend_from_slice(self.again.get_ref().get(read..).unwrap_or_default());
        self.again = Cursor::new(bytes);
    }

    /// Goes to the next line that begins with a brace. `line_start`: whether the next byte begins a line.
    fn skip_to_brace(&mut self, mut line_start: bool) -> io::Result<()> {
        loop {
            let buffer = self.fill_buf()?;
            let skipped = match buffer {
                [] => return Ok(()),
                [b'{', ..] if line_start => return Ok(()),
                buffer => buffer.iter().position(|b| *b == b'\n').map(|end| end + 1),
            };
            line_start = skipped.is_some();
            let skipped = skipped.unwrap_or(buffer.len());
            self.consume(skipped);
        }
    }
}

impl BufRead for Text<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let again = self.again.get_ref().len() as u64 > self.again.position();
        if again { self.again.fill_buf() } else { self.inner.fill_buf() }
    }

    fn consume(&mut self, amount: usize) {
        let again = self.again.get_ref().len() as u64 > self.again.position();
        let buffer = if again { self.again.fill_buf().unwrap_or_default() } else { self.inner.buffer() };
        self.line += newlines(&buffer[..amount]);
        self.bytes += amount as u64;
        if again { self.again.consume(amount) } else { self.inner.consume(amount) }
    }
}

impl Read for Text<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.fill_buf()?;
        let read = buffer.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

/// gzip members one after the other, and zeros after the last one, which tapes and block devices leave.
struct Members<R> {
    /// Absent between two members.
    current: Option<GzDecoder<R>>,
    raw: Option<R>,
}

impl<R: BufRead> Members<R> {
    fn new(raw: R) -> Self {
        Self { current: None, raw: Some(raw) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                let read = current.read(out)?;
                if read > 0 || out.is_empty() {
                    return Ok(read);
                }
                self.raw = self.current.take().map(GzDecoder::into_inner);
            }
            let Some(raw) = &mut self.raw else { return Ok(0) };
            let rest = raw.fill_buf()?;
            match rest {
                [] => return Ok(0),
                [0, ..] => {
                    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                    raw.consume(zeros);
                    if raw.fill_buf()?.first().is_some_and(|byte| *byte != 0) {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "something follows the zeros after gzip",
                        ));
                    }
                }
                _ => self.current = self.raw.take().map(GzDecoder::new),
            }
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|b| u64::from(*b == b'\n')).sum()
}

/// Sends the lines that have arrived, and waits for the rest of a line only when it has sent all before it.
fn lines(text: &mut Text<'_>, file: &str, send: &mut Send<'_>) -> io::Result<ControlFlow<()>> {
    let mut block = Vec::new();
    let mut line = text.line;
    loop {
        let buffer = text.fill_buf()?;
        let ended = buffer.is_empty();
        let whole = buffer.iter().rposition(|b| *b == b'\n').map(|end| end + 1);
        let taken = whole.unwrap_or(buffer.len());
        block.extend_from_slice(&buffer[..taken]);
        text.consume(taken);
        if (ended || whole.is_some()) && !block.is_empty() {
            let location = SourceLocation { file: file.to_owned(), line, entry: None };
            line = text.line;
            if send(location, Content::Lines(std::mem::take(&mut block))).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if ended {
            return Ok(ControlFlow::Continue(()));
        }
    }
}

/// Sends one value after another, until one that is alone on its line shows that the rest is NDJSON.
fn values(text: &mut Text<'_>, file: &str, send: &mut Send<'_>) -> io::Result<ControlFlow<()>> {
    let mut line_start = true;
    loop {
        match text.fill_buf()?.first() {
            None => return Ok(ControlFlow::Continue(())),
            Some(b) if b.is_ascii_whitespace() => {
                line_start |= *b == b'\n';
                text.consume(1);
                continue;
            }
            Some(_) => {}
        }
        let location = SourceLocation { file: file.to_owned(), line: text.line, entry: None };
        let copy = RefCell::new(Some(Vec::new()));
        let mut stopped = false;
        let kind = {
            let mut entry = |location, resource: EntryResource| {
                let flow = send(
                    location,
                    match resource {
                        Ok(resource) => Content::Entry(resource, 1),
                        Err(reason) => Content::Item(InputItem::Broken(reason)),
                    },
                );
                stopped = flow.is_break();
                flow
            };
            let reader = Copied { inner: &mut *text, copy: &copy };
            ResourceVisitor { location: &location, copy: Some(&copy), entry: &mut entry }
                .deserialize(&mut serde_json::Deserializer::from_reader(reader))
        };
        let copy = copy.into_inner();
        let item = match kind {
            _ if stopped => return Ok(ControlFlow::Break(())),
            Err(error) if error.is_io() => return Err(error.into()),
            Err(error) => {
                // Said before the rest is read, which may take long to arrive.
                let item = InputItem::Broken(not_a_resource(&error));
                if send(location, Content::Item(item)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                match copy {
                    Some(mut read) => match next_document(&read) {
                        Some(at) => text.push_back(read.split_off(at)),
                        None => text.skip_to_brace(read.ends_with(b"\n"))?,
                    },
                    None => text.skip_to_brace(false)?,
                }
                line_start = true;
                continue;
            }
            Ok(kind) => item(kind.as_deref(), copy),
        };
        let alone = line_start && text.line == location.line;
        line_start = false;
        if let Some(item) = item
            && send(location, Content::Item(item)).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        if alone && ends_line(text)? {
            return lines(text, file, send);
        }
    }
}

/// Where the text of a broken document holds the beginning of another: a line end before a brace.
fn next_document(text: &[u8]) -> Option<usize> {
    text.windows(2).position(|pair| pair == b"\n{")
}

/// Whether nothing but white space is left of the line.
fn ends_line(text: &mut Text<'_>) -> io::Result<bool> {
    loop {
        match text.fill_buf()?.first() {
            Some(b'\n') => return Ok(true),
            Some(b' ' | b'\t' | b'\r') => text.consume(1),
            _ => return Ok(false),
        }
    }
}

impl Chunk {
    /// Hands every resource in it to `take`; the resources of a Bundle one by one.
    pub fn documents(&self, take: &mut dyn FnMut(&SourceLocation, InputItem<&[u8]>)) {
        let location = &self.location;
        match &self.content {
            Content::Item(InputItem::Study(text)) => take(location, InputItem::Study(text)),
            Content::Item(InputItem::Other) => take(location, InputItem::Other),
            Content::Item(InputItem::Broken(reason)) => take(location, InputItem::Broken(reason.clone())),
            Content::Entry(text, depth) => resource(text.get().as_bytes(), location, *depth, take),
            Content::Lines(text) => {
                let mut location = location.clone();
                for line in text.split(|b| *b == b'\n') {
                    let line = line.trim_ascii();
                    if !line.is_empty() {
                        resource(line, &location, 0, take);
                    }
                    location.line += 1;
                }
            }
        }
    }
}

/// One resource, and those in it if it is a Bundle.
fn resource(
    text: &[u8],
    location: &SourceLocation,
    depth: usize,
    take: &mut dyn FnMut(&SourceLocation, InputItem<&[u8]>),
) {
    if depth > MAX_BUNDLE_DEPTH {
        return take(location, InputItem::Broken("is nested in too many Bundles".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let kind = {
        let mut entry = |location: SourceLocation, inner: EntryResource| {
            match inner {
                Ok(inner) => resource(inner.get().as_bytes(), &location, depth + 1, take),
                Err(reason) => take(&location, InputItem::Broken(reason)),
            }
            ControlFlow::Continue(())
        };
        let visitor = ResourceVisitor { location, copy: None, entry: &mut entry };
        visitor.deserialize(&mut reader).and_then(|kind| reader.end().map(|()| kind))
    };
    match kind {
        Ok(kind) => {
            if let Some(item) = item(kind.as_deref(), Some(text)) {
                take(location, item);
            }
        }
        Err(error) => take(location, InputItem::Broken(not_a_resource(&error))),
    }
}

/// What a value is. Nothing for a Bundle: its entries have been taken by then. `text` is missing if the value has a
/// member `entry` and was streamed.
fn item<Text>(kind: Option<&str>, text: Option<Text>) -> Option<InputItem<Text>> {
    match (kind, text) {
        (Some("Bundle"), _) => None,
        (Some("ImagingStudy"), Some(text)) => Some(InputItem::Study(text)),
        (Some("ImagingStudy"), None) => {
            Some(InputItem::Broken("has a member entry, which only a Bundle may have".to_owned()))
        }
        (Some(_), _) => Some(InputItem::Other),
        (None, _) => Some(InputItem::Broken("is not a FHIR resource: it has no resourceType".to_owned())),
    }
}

/// The position alone where the message would repeat the value.
fn not_a_resource(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("is not a FHIR resource: unexpected value at line {} column {}", error.line(), error.column())
    } else {
        not_json(error)
    }
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

/// Reads one value: yields its `resourceType`, and hands the resources of its entries on as they come.
struct ResourceVisitor<'r> {
    location: &'r SourceLocation,
    /// Dropped as soon as there is a member `entry`.
    copy: Option<&'r RefCell<Option<Vec<u8>>>>,
    entry: &'r mut dyn FnMut(SourceLocation, EntryResource) -> ControlFlow<()>,
}

/// The resource of an entry, or why it is not taken.
type EntryResource = Result<Box<RawValue>, String>;

impl<'de> DeserializeSeed<'de> for ResourceVisitor<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ResourceVisitor<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a FHIR resource")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kind: Option<String> = None;
        let mut history = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "resourceType" => kind = Some(map.next_value()?),
                "type" => history = map.next_value::<Box<RawValue>>()?.get() == "\"history\"",
                "entry" => {
                    if let Some(copy) = self.copy {
                        copy.take();
                    }
                    let refusal = match kind.as_deref() {
                        None | Some("Bundle") if history => {
                            Some("belongs to a history, which has old versions")
                        }
                        None | Some("Bundle") => None,
                        Some(_) => Some("is in an entry, which only a Bundle may have"),
                    };
                    map.next_value_seed(Entries { visitor: &mut self, refusal })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(kind)
    }
}

struct Entries<'e, 'r> {
    visitor: &'e mut ResourceVisitor<'r>,
    /// Why no resource in here is taken.
    refusal: Option<&'static str>,
}

#[derive(Deserialize)]
struct Entry {
    resource: Option<Box<RawValue>>,
    request: Option<Object<Request>>,
    response: Option<Object<Response>>,
}

#[derive(Deserialize)]
struct Request {
    method: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    status: Option<String>,
}

impl Entry {
    /// Why its resource is not taken, whatever Bundle it is in. Only entries of a history have both a request and a
    /// response (FHIR R4 bundle.html, bdl-3 and bdl-4).
    fn refusal(&self) -> Option<&'static str> {
        let method = self.request.as_ref().and_then(|Object(request)| request.method.as_deref());
        let status = self.response.as_ref().and_then(|Object(response)| response.status.as_deref());
        match (method, status) {
            (Some("DELETE"), _) => Some("is to be deleted, as its request says"),
            (_, Some(status)) if !status.starts_with('2') => Some("has a response that is no success"),
            (Some(_), Some(_)) => Some("belongs to a history, which has old versions"),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entries of a Bundle")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { visitor, refusal } = self;
        let outer = visitor.location;
        let bundle = outer.entry.as_ref().map_or("Bundle".to_owned(), |entry| format!("{entry}.resource"));
        let mut index = 0;
        while let Some(Object(entry)) = entries.next_element::<Object<Entry>>()? {
            let refusal = entry.refusal().or(refusal.filter(|_| entry.resource.is_some()));
            let resource = match refusal {
                Some(refusal) => Some(Err(refusal.to_owned())),
                None => entry.resource.map(Ok),
            };
            if let Some(resource) = resource {
                let entry = Some(format!("{bundle}.entry[{index}]"));
                if (visitor.entry)(SourceLocation { entry, ..outer.clone() }, resource).is_break() {
                    return Err(A::Error::custom("stopped"));
                }
            }
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const STUDY: &str = r#"{"resourceType":"ImagingStudy", "id":"a"}"#;
    const PATIENT: &str = r#"{"resourceType":"Patient"}"#;

    #[derive(Default)]
    struct Collected {
        found: Vec<String>,
        chunks: usize,
        most: Option<usize>,
        bytes: u64,
    }

    impl Sink for Collected {
        fn chunk(&mut self, chunk: Chunk) -> ControlFlow<()> {
            self.chunks += 1;
            chunk.documents(&mut |location, found| {
                let found = match found {
                    InputItem::Study(text) => str::from_utf8(text).unwrap().to_owned(),
                    InputItem::Other => "other".to_owned(),
                    InputItem::Broken(reason) => reason,
                };
                let file = Path::new(&location.file).file_name().unwrap_or_default().to_str().unwrap();
                let location = SourceLocation { file: file.to_owned(), ..location.clone() };
                self.found.push(format!("{location}: {found}"));
            });
            if self.most == Some(self.chunks) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }

        fn advance(&mut self, bytes: u64) {
            self.bytes += bytes;
        }
    }

    fn read_file(name: &str, content: impl AsRef<[u8]>) -> (Collected, Result<ControlFlow<()>, BrokenInput>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut collected = Collected::default();
        let read = read(&Input::File(path), &mut collected);
        (collected, read)
    }

    fn found(name: &str, content: impl AsRef<[u8]>) -> Vec<String> {
        let (collected, read) = read_file(name, content);
        assert_eq!(read, Ok(ControlFlow::Continue(())));
        collected.found
    }

    /// What is found in text that arrives in pieces of so many bytes.
    fn arriving(text: &[u8], piece: usize) -> Vec<String> {
        struct Pieces<'t>(&'t [u8], usize);
        impl Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = self.1.min(buffer.len());
                self.0.read(&mut buffer[..length])
            }
        }
        let mut collected = Collected::default();
        let mut text = Text::open(Pieces(text, piece)).unwrap();
        let mut send = |location, content| collected.chunk(Chunk { location, content });
        assert!(values(&mut text, "a", &mut send).unwrap().is_continue());
        collected.found
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_resource_keeps_its_bytes() {
        let pretty = "{\n  \"decimal\": 1.10,\n  \"resourceType\": \"ImagingStudy\"\n}";
        assert_eq!(found("a.json", format!(" {pretty}\n")), [format!("a.json:1: {pretty}")]);
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes() {
        assert_eq!(found("a.json", gzip(STUDY)), [format!("a.json:1: {STUDY}")]);
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(found("a.json", format!("\u{feff}{STUDY}")), [format!("a.json:1: {STUDY}")]);
    }

    #[test]
    fn the_resources_of_a_bundle_are_located_by_their_entry() {
        let inner = format!(r#"{{"resourceType":"Bundle","entry":[{{"resource":{STUDY}}}]}}"#);
        let bundle = format!(
            r#"{{"entry":[{{"resource":{PATIENT}}},{{"fullUrl":"x"}},{{"resource":{STUDY}}},{{"resource":{inner}}}],"resourceType":"Bundle"}}"#
        );
        for name in ["a.json", "a.ndjson"] {
            assert_eq!(
                found(name, &bundle),
                [
                    format!("{name}:1 Bundle.entry[0]: other"),
                    format!("{name}:1 Bundle.entry[2]: {STUDY}"),
                    format!("{name}:1 Bundle.entry[3].resource.entry[0]: {STUDY}"),
                ]
            );
        }
    }

    #[test]
    fn bundles_are_nested_eight_deep_at_most() {
        let nested = |depth: usize| {
            let open = r#"{"resourceType":"Bundle","entry":[{"resource":"#.repeat(depth);
            format!("{open}{STUDY}{}", "}]}".repeat(depth))
        };
        assert!(found("a.json", nested(8))[0].ends_with(STUDY));
        assert!(found("a.json", nested(9))[0].ends_with("is nested in too many Bundles"));
    }

    #[test]
    fn a_broken_line_costs_no_other_line() {
        let text = format!("{{\"a\":\n{STUDY}\n\n{{\"a\":\n{STUDY} x\r\n{PATIENT}\r\n[1]\n\"name\"\n{STUDY}");
        assert_eq!(
            found("a.ndjson", text),
            [
                "a.ndjson:1: is not JSON: EOF while parsing a value at line 1 column 5".to_owned(),
                format!("a.ndjson:2: {STUDY}"),
                "a.ndjson:4: is not JSON: EOF while parsing a value at line 1 column 5".to_owned(),
                "a.ndjson:5: is not JSON: trailing characters at line 1 column 43".to_owned(),
                "a.ndjson:6: other".to_owned(),
                "a.ndjson:7: is not a FHIR resource: unexpected value at line 1 column 0".to_owned(),
                "a.ndjson:8: is not a FHIR resource: unexpected value at line 1 column 6".to_owned(),
                format!("a.ndjson:9: {STUDY}"),
            ]
        );
    }

    #[test]
    fn entries_of_a_history_deletions_failures_and_those_of_other_resources_are_not_taken() {
        let study = format!(r#""resource":{STUDY}"#);
        for (bundle, reason) in [
            (
                format!(r#"{{"resourceType":"Bundle","type":"history","entry":[{{{study}}}]}}"#),
                "belongs to a history",
            ),
            (
                format!(
                    r#"{{"entry":[{{{study},"request":{{"method":"PUT"}},"response":{{"status":"200"}}}}],"type":"history","resourceType":"Bundle"}}"#
                ),
                "belongs to a history",
            ),
            (
                format!(
                    r#"{{"resourceType":"Bundle","entry":[{{{study},"request":{{"method":"DELETE"}}}}]}}"#
                ),
                "is to be deleted",
            ),
            (
                r#"{"resourceType":"Bundle","entry":[{"request":{"method":"DELETE"}}]}"#.to_owned(),
                "is to be deleted",
            ),
            (
                format!(
                    r#"{{"resourceType":"Bundle","entry":[{{{study},"response":{{"status":"404 Not Found"}}}}]}}"#
                ),
                "has a response that is no success",
            ),
            (format!(r#"{{"resourceType":"List","entry":[{{{study}}}]}}"#), "is in an entry"),
        ] {
            for name in ["a.json", "a.ndjson"] {
                let found = found(name, &bundle);
                assert!(found[0].contains(".entry[0]: ") && found[0].contains(reason), "{name} {found:?}");
                assert!(!found.iter().any(|found| found.contains(STUDY)), "{name} {found:?}");
            }
        }
        let taken = format!(
            r#"{{"resourceType":"Bundle","entry":[{{{study},"response":{{"status":"201 Created"}}}}]}}"#
        );
        assert_eq!(found("a.json", taken), [format!("a.json:1 Bundle.entry[0]: {STUDY}")]);
    }

    #[test]
    fn zeros_after_gzip_are_padding() {
        let mut padded = gzip(STUDY);
        padded.extend([0; 1000]);
        assert_eq!(found("a.json", padded), [format!("a.json:1: {STUDY}")]);
    }

    #[test]
    fn an_array_in_place_of_an_entry_is_no_entry() {
        let bundle = format!(r#"{{"resourceType":"Bundle","entry":[[{STUDY}]]}}"#);
        let found = found("a.json", bundle);
        assert!(matches!(&found[..], [one] if one.starts_with("a.json:1: is not ")), "{found:?}");
    }

    #[test]
    fn ndjson_is_known_however_its_bytes_arrive() {
        let long = format!(r#"{{"resourceType":"ImagingStudy","x":"{}"}}"#, "x".repeat(1 << 20));
        for first in [STUDY, &long] {
            let text = format!("{first}\nx\n{PATIENT}\n");
            let expected = [
                format!("a:1: {first}"),
                "a:2: is not JSON: expected value at line 1 column 1".to_owned(),
                "a:3: other".to_owned(),
            ];
            for piece in [1, 7, 8192, BUFFER_BYTES, usize::MAX] {
                assert!(arriving(text.as_bytes(), piece) == expected, "in pieces of {piece} bytes");
            }
        }
    }

    #[test]
    fn reading_continues_after_a_broken_first_document() {
        let broken_line = format!("{{\"a\":\n{STUDY}\n{{\"b\n{PATIENT}\n");
        assert_eq!(
            arriving(broken_line.as_bytes(), 8192),
            [
                "a:1: is not JSON: expected `,` or `}` at line 3 column 1".to_owned(),
                format!("a:2: {STUDY}"),
                "a:3: is not JSON: EOF while parsing a string at line 1 column 3".to_owned(),
                "a:4: other".to_owned(),
            ]
        );
        let broken_pretty =
            format!("{{\n  \"a\": [{{\n    }}, x\n  ]\n}}\n{{\n \"resourceType\": \"Patient\"\n}}\n{STUDY}");
        assert_eq!(
            arriving(broken_pretty.as_bytes(), 3),
            [
                "a:1: is not JSON: expected value at line 3 column 8".to_owned(),
                "a:6: other".to_owned(),
                format!("a:9: {STUDY}")
            ]
        );
        let broken_bundle = format!("{{\"entry\":[\n{{\"resource\":{STUDY}}},\n {{x}}]}}\n{PATIENT}\n");
        assert_eq!(
            arriving(broken_bundle.as_bytes(), 8192),
            [
                format!("a:1 Bundle.entry[0]: {STUDY}"),
                "a:1: is not JSON: key must be a string at line 3 column 3".to_owned(),
                "a:4: other".to_owned()
            ]
        );
    }

    #[test]
    fn values_without_line_breaks_between_them_are_separate_documents() {
        assert_eq!(
            found("a.json", format!("{STUDY}{PATIENT} {STUDY}\n{STUDY}")),
            [
                format!("a.json:1: {STUDY}"),
                "a.json:1: other".to_owned(),
                format!("a.json:1: {STUDY}"),
                format!("a.json:2: {STUDY}")
            ]
        );
    }

    #[test]
    fn broken_json_is_located_by_line_and_column() {
        assert_eq!(
            found("a.json", "{\n  \"resourceType\": ImagingStudy\n}"),
            ["a.json:1: is not JSON: expected value at line 2 column 19"]
        );
    }

    #[test]
    fn an_input_that_breaks_off_is_an_error_and_not_a_document() {
        let whole = gzip(&format!("{STUDY}\n").repeat(10_000));
        let mut corrupt = whole.clone();
        corrupt[40] ^= 0xff;
        for name in ["a.ndjson.gz", "a.json.gz"] {
            let (collected, read) = read_file(name, &whole[..whole.len() - 12]);
            let broken = read.unwrap_err();
            assert!(broken.lines > 0 && broken.bytes >= broken.lines * (STUDY.len() as u64 + 1), "{broken}");
            assert_eq!(collected.found.len() as u64, broken.lines);
            assert!(collected.found.iter().all(|found| found.ends_with(STUDY)));
            assert!(read_file(name, &corrupt).1.is_err());
        }
    }

    #[test]
    fn reading_ends_when_the_sink_breaks() {
        let bundle =
            format!(r#"{{"resourceType":"Bundle","entry":[{{"resource":{STUDY}}},{{"resource":{STUDY}}}]}}"#);
        for content in [bundle, format!("{STUDY}{STUDY}"), format!("x\n{STUDY}\n{STUDY}\n")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.json");
            std::fs::write(&path, content).unwrap();
            let mut collected = Collected { most: Some(1), ..Collected::default() };
            assert_eq!(read(&Input::File(path), &mut collected), Ok(ControlFlow::Break(())));
            assert_eq!(collected.found.len(), 1);
        }
    }

    #[test]
    fn progress_is_counted_in_bytes_of_the_file() {
        let content = gzip(&STUDY.repeat(10_000));
        assert_eq!(read_file("a.json.gz", &content).0.bytes, content.len() as u64);
    }

    #[test]
    fn what_is_read_again_is_counted_once() {
        // Without a name that says so, NDJSON is known after the first document that is not broken.
        let whole = gzip(&format!("{{\"a\":\n{}", format!("{STUDY}\n").repeat(10_000)));
        let broken = |name| read_file(name, &whole[..whole.len() - 12]).1.unwrap_err();
        let (known, found) = (broken("a.ndjson.gz"), broken("a.json.gz"));
        assert_eq!((found.lines, found.bytes), (known.lines, known.bytes));
    }

    #[test]
    fn the_rest_of_a_broken_line_is_no_document() {
        let text = format!("{{\"a\" x{STUDY}\n{STUDY}");
        for piece in [1, 6, 7, 8, 8192] {
            let found = arriving(text.as_bytes(), piece);
            assert_eq!(
                (found.len(), found.last()),
                (2, Some(&format!("a:2: {STUDY}"))),
                "in pieces of {piece} bytes"
            );
        }
    }

    #[test]
    fn ndjson_is_known_by_the_first_document_that_is_alone_on_its_line() {
        let pretty = "{\n\"resourceType\": \"Patient\"\n}\n";
        for before in [String::new(), pretty.repeat(2), format!("{PATIENT}{PATIENT}\n")] {
            for end in ["\n", "\r\n", " \t\n"] {
                let text = format!("{before}{STUDY}{end}{{\"a\":\n{STUDY}\n");
                let found = arriving(text.as_bytes(), 8192);
                let line = before.lines().count() + 1;
                let expected = [
                    format!("a:{line}: {STUDY}"),
                    format!("a:{}: is not JSON: EOF while parsing a value at line 1 column 5", line + 1),
                    format!("a:{}: {STUDY}", line + 2),
                ];
                assert!(found.ends_with(&expected), "{before:?} {end:?}: {found:?}");
                assert_eq!(
                    found.len(),
                    if before.is_empty() { 3 } else { 5 },
                    "{before:?} {end:?}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_first_document_that_breaks_off_is_not_said_to_be_broken() {
        let whole = gzip(&format!("{{\"a\":\"{}\"}}", testkit::noise_text(1, 100_000)));
        let (collected, read) = read_file("a.json.gz", &whole[..whole.len() / 2]);
        assert!(read.is_err());
        assert!(collected.found.is_empty(), "{:?}", collected.found);
    }
}
