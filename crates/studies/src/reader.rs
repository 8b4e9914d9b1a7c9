//! Finds the documents in an input: JSON resources, Bundles and NDJSON, each gzipped or not.
//!
//! The content decides, not the name: gzip is known by its first bytes, and once a line holds one whole value, every
//! line after it is taken for a document. NDJSON and Bundles are streamed: no more than twice 32 MiB of text is in
//! memory. A document that is larger is not read to its end.
//!
//! [`read`] only splits the input into [`Chunk`]s, in order; [`Chunk::documents`] does the parsing, on any thread.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead as _, Read};
use std::ops::ControlFlow;

use memchr::memchr_iter;
use serde::Deserialize as _;
use serde::de::IgnoredAny;
use table::limit::MAX_JSON_BYTES;
use thiserror::Error;

use crate::input::{self, Input};
use crate::resource::{
    ARRAY, End, EntryText, InputItem, Kind, SourceLocation, StreamedInput, Take, ValueReader, reason,
    take_entry, take_study, take_value,
};
use crate::text::Text;
use crate::work::count;

const TOO_LARGE: &str = "has more than 32 MiB";

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
    /// An entry of the value at the location.
    Entry(EntryText),
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
/// document spans lines, at the next line that begins with a brace. Nothing inside a broken document is a document.
pub fn read(input: &Input, sink: &mut impl Sink) -> Result<ControlFlow<()>, BrokenInput> {
    let file = input.name();
    let failed = |bytes, lines, error: &io::Error| BrokenInput {
        file: file.clone(),
        bytes,
        lines,
        reason: input::reason(error),
    };
    let raw: Box<dyn Read> = match input {
        Input::Standard => Box::new(io::stdin()),
        Input::File(path) => Box::new(File::open(path).map_err(|error| failed(0, 0, &error))?),
    };
    let sink = RefCell::new(sink);
    let advance = |bytes| sink.borrow_mut().advance(bytes);
    let text = Text::open(Counted { inner: raw, advance }).map_err(|error| failed(0, 0, &error))?;
    let mut send = |location, content| sink.borrow_mut().chunk(Chunk { location, content });
    let mut splitter = Splitter { text, file: &file, send: &mut send, max_bytes: MAX_JSON_BYTES };
    let split = if input.is_named_ndjson() { splitter.lines() } else { splitter.values() };
    split.map_err(|error| failed(splitter.text.bytes, splitter.text.line - 1, &error))
}

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

/// A value of the input.
enum Value {
    Read(Option<InputItem<Vec<u8>>>, Vec<EntryText>),
    Broken {
        reason: String,
        /// What was read of it, if it has no entries.
        copy: Option<Vec<u8>>,
        /// Whether the input ends inside it.
        at_end: bool,
    },
    /// Nobody wants the rest.
    Stopped,
}

/// Splits the text of an input.
struct Splitter<'s, 't> {
    text: Text<'t>,
    file: &'s str,
    send: &'s mut dyn FnMut(SourceLocation, Content) -> ControlFlow<()>,
    /// The size of a document, at most.
    max_bytes: usize,
}

impl Splitter<'_, '_> {
    /// Sends the lines that have arrived, and waits for the rest of a line only when it has sent all before it.
    fn lines(&mut self) -> io::Result<ControlFlow<()>> {
        let mut block = Vec::new();
        let mut line = self.text.line;
        loop {
            let buffer = self.text.fill_buf()?;
            let ended = buffer.is_empty();
            let whole = buffer.iter().rposition(|b| *b == b'\n').map(|end| end + 1);
            let taken = whole.unwrap_or(buffer.len());
            block.extend_from_slice(&buffer[..taken]);
            self.text.consume(taken);
            let location = SourceLocation { file: self.file.to_owned(), line, entry: None };
            if (ended || whole.is_some()) && !block.is_empty() {
                line = self.text.line;
                if (self.send)(location, Content::Lines(std::mem::take(&mut block))).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            } else if block.len() > self.max_bytes {
                let item = InputItem::Broken(TOO_LARGE.to_owned());
                if (self.send)(location, Content::Item(item)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                // Another document begins at the next line, unless that is far away.
                if !self.text.skip_line_within(self.max_bytes)? {
                    return Err(too_large());
                }
                block = Vec::new();
                line = self.text.line;
            }
            if ended {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Sends one value after another, until one that is alone on its line shows that the rest is NDJSON.
    fn values(&mut self) -> io::Result<ControlFlow<()>> {
        let mut line_start = true;
        // What follows a broken document may still belong to it.
        let mut is_doubtful = false;
        while let Some(first) = self.text.skip_space(&mut line_start)? {
            let location = SourceLocation { file: self.file.to_owned(), line: self.text.line, entry: None };
            let read = if first == b'[' { self.array() } else { self.value(&location) };
            let read = match read {
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    let item = InputItem::Broken(error.to_string());
                    let flow = (self.send)(location, Content::Item(item));
                    return if flow.is_break() { Ok(flow) } else { Err(too_large()) };
                }
                read => read?,
            };
            let (item, entries) = match read {
                Value::Stopped => return Ok(ControlFlow::Break(())),
                Value::Read(item, entries) => (item, entries),
                Value::Broken { reason, copy, at_end } => {
                    // Said before the rest is read, which may take long to arrive.
                    if (self.send)(location, Content::Item(InputItem::Broken(reason))).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    if at_end {
                        break;
                    }
                    if let Some(rest) = copy.as_deref().and_then(lines_behind) {
                        self.text.push_back(rest.to_vec());
                        return self.lines();
                    }
                    self.text.skip_to_brace(copy.is_some_and(|copy| copy.ends_with(b"\n")))?;
                    (line_start, is_doubtful) = (true, true);
                    continue;
                }
            };
            let starts_line = std::mem::replace(&mut line_start, false) && self.text.line == location.line;
            let is_alone = if is_doubtful {
                let next = self.text.skip_space(&mut line_start)?;
                if matches!(next, Some(b',' | b'}' | b']')) {
                    let item = InputItem::Broken("is inside a broken document".to_owned());
                    if (self.send)(location, Content::Item(item)).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    self.text.skip_to_brace(false)?;
                    line_start = true;
                    continue;
                }
                starts_line && line_start
            } else {
                false
            };
            let entries = entries.into_iter().map(Content::Entry);
            for content in entries.chain(item.map(Content::Item)) {
                if (self.send)(location.clone(), content).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if is_alone || (!is_doubtful && starts_line && self.text.ends_line()?) {
                return self.lines();
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads one value, and sends its entries as far as they cannot be held.
    fn value(&mut self, location: &SourceLocation) -> io::Result<Value> {
        let input = StreamedInput::new(self.max_bytes);
        let mut send_entry = |entry| (self.send)(location.clone(), Content::Entry(entry));
        let mut value = ValueReader::new(Some(&input), Some(&mut send_entry));
        let read = value.read(&mut serde_json::Deserializer::from_reader(Limited {
            text: &mut self.text,
            input: &input,
        }));
        match (read, value.end) {
            (_, Some(End::Stopped)) => Ok(Value::Stopped),
            (_, Some(End::Unknown)) => {
                let reason =
                    "has more than 32 MiB, and does not say its resourceType and type before its entries";
                Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
            }
            (Err(error), None) if error.is_io() => Err(error.into()),
            (Err(error), None) => Ok(Value::Broken {
                reason: reason(&error, |line| Some(location.line - 1 + line as u64)),
                copy: input.into_copy(),
                at_end: error.is_eof(),
            }),
            (Ok(()), None) => Ok(match value.kind() {
                Ok(Kind::Study) => Value::Read(input.into_copy().map(InputItem::Study), Vec::new()),
                Ok(kind) => {
                    let item = (kind == Kind::Other).then_some(InputItem::Other);
                    Value::Read(item, value.into_entries().collect())
                }
                Err(reason) => Value::Read(Some(InputItem::Broken(reason)), Vec::new()),
            }),
        }
    }

    /// Reads an array, of which nothing is taken.
    fn array(&mut self) -> io::Result<Value> {
        let input = StreamedInput::without_copy(self.max_bytes);
        let mut reader =
            serde_json::Deserializer::from_reader(Limited { text: &mut self.text, input: &input });
        match IgnoredAny::deserialize(&mut reader) {
            Ok(_) => Ok(Value::Read(Some(InputItem::Broken(ARRAY.to_owned())), Vec::new())),
            Err(error) if error.is_io() => Err(error.into()),
            Err(error) => Ok(Value::Broken { reason: ARRAY.to_owned(), copy: None, at_end: error.is_eof() }),
        }
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "a document has more than 32 MiB")
}

/// Copies what is read, as long as that is asked for, up to a limit.
struct Limited<'l, 't> {
    text: &'l mut Text<'t>,
    input: &'l StreamedInput,
}

impl Read for Limited<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.input.left.get();
        if left == 0 && !self.text.fill_buf()?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, TOO_LARGE));
        }
        let wanted = buffer.len().min(left);
        let read = self.text.read(&mut buffer[..wanted])?;
        self.input.left.set(left - read);
        if let Some(copy) = &mut *self.input.copy.borrow_mut() {
            copy.extend_from_slice(&buffer[..read]);
        }
        Ok(read)
    }
}

/// The lines that a broken document took in although they are documents of their own, as in NDJSON whose first line is
/// broken: the first one is a whole object, and what follows it would not go on with an object or array around it.
fn lines_behind(broken: &[u8]) -> Option<&[u8]> {
    let mut rest = broken;
    loop {
        let line_end = rest.iter().position(|b| *b == b'\n')? + 1;
        rest = &rest[line_end..];
        let line = &rest[..rest.iter().position(|b| *b == b'\n')?];
        let is_object = line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(line).is_ok();
        count(line.len());
        let mut behind = rest[line.len()..].iter().inspect(|_| count(1)).filter(|b| !b.is_ascii_whitespace());
        if is_object && !matches!(behind.next(), Some(b',' | b'}' | b']')) {
            return Some(rest);
        }
    }
}

impl Chunk {
    /// Hands every resource in it to `take`; the resources of a Bundle one by one.
    pub fn documents(&self, take: &mut Take<'_>) {
        let location = &self.location;
        match &self.content {
            Content::Item(InputItem::Study(text)) => take_study(text, location, take),
            Content::Item(InputItem::Other) => take(location, InputItem::Other),
            Content::Item(InputItem::Broken(reason)) => take(location, InputItem::Broken(reason.clone())),
            Content::Entry(entry) => take_entry(entry, location, 0, take),
            Content::Lines(text) => {
                let (mut location, mut start) = (location.clone(), 0);
                for end in memchr_iter(b'\n', text).chain([text.len()]) {
                    let line = text[start..end].trim_ascii();
                    start = end + 1;
                    if !line.is_empty() {
                        take_value(line, &location, 0, take);
                    }
                    location.line += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::text::BUFFER_BYTES;
    use crate::work::steps_of;

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
                    InputItem::Study(text) => text.to_owned(),
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
        let text = Text::open(Pieces(text, piece)).unwrap();
        let mut send = |location, content| collected.chunk(Chunk { location, content });
        let mut splitter = Splitter { text, file: "a", send: &mut send, max_bytes: MAX_JSON_BYTES };
        assert!(splitter.values().unwrap().is_continue());
        collected.found
    }

    /// What is found where documents have at most so many bytes, and whether it was read to its end.
    fn bounded(text: &str, max_bytes: usize, is_ndjson: bool) -> (Vec<String>, bool) {
        let mut collected = Collected::default();
        let mut send = |location, content| collected.chunk(Chunk { location, content });
        let text = Text::open(text.as_bytes()).unwrap();
        let mut splitter = Splitter { text, file: "a", send: &mut send, max_bytes };
        let split = if is_ndjson { splitter.lines() } else { splitter.values() };
        let is_whole = split.is_ok();
        (collected.found, is_whole)
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
                "a.ndjson:1: is not JSON: EOF while parsing a value at column 5".to_owned(),
                format!("a.ndjson:2: {STUDY}"),
                "a.ndjson:4: is not JSON: EOF while parsing a value at column 5".to_owned(),
                "a.ndjson:5: is not JSON: trailing characters at column 43".to_owned(),
                "a.ndjson:6: other".to_owned(),
                format!("a.ndjson:7: {ARRAY}"),
                "a.ndjson:8: is not a FHIR resource: unexpected value at column 6".to_owned(),
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
        let reason = "a.json:1 Bundle.entry[0]: is not a FHIR resource: unexpected value at column 0";
        assert_eq!(found, [reason]);
    }

    #[test]
    fn ndjson_is_known_however_its_bytes_arrive() {
        let long = format!(r#"{{"resourceType":"ImagingStudy","x":"{}"}}"#, "x".repeat(1 << 20));
        for first in [STUDY, &long] {
            let text = format!("{first}\nx\n{PATIENT}\n");
            let expected = [
                format!("a:1: {first}"),
                "a:2: is not JSON: expected value at column 1".to_owned(),
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
                "a:3: is not JSON: EOF while parsing a string at column 3".to_owned(),
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
            ["a:1: is not JSON: key must be a string at line 3 column 3".to_owned(), "a:4: other".to_owned()]
        );
    }

    #[test]
    fn no_resource_inside_a_broken_document_is_taken() {
        let entry = format!("{{\"resource\":{STUDY}}}");
        for broken in [
            format!(r#"{{"resourceType":"Bundle","entry":[{entry},{entry}"#),
            format!(r#"{{"resourceType":"Bundle","entry":[{entry}],oops}}"#),
            format!(
                "{{\"resourceType\":\"Bundle\",\"entry\":[{{\"resource\":\n{STUDY}\n}}, oops\n{entry}\n]}}"
            ),
            format!("{{\"a\": oops,\n\"contained\":\n{STUDY}\n}}"),
            format!("{{\"a\":\n{STUDY}\n,\n{STUDY}\n}}"),
            format!("{{\"a\": [oops,\n{STUDY}\n,\n{STUDY}\n]}}"),
            format!("{{\"a\":\n{STUDY}"),
        ] {
            for name in ["a.json", "-"] {
                let found = found(name, &broken);
                assert!(!found.is_empty(), "{broken}");
                assert!(!found.iter().any(|found| found.contains(STUDY)), "{broken}: {found:?}");
            }
        }
    }

    #[test]
    fn what_a_bundle_is_may_be_said_after_its_entries() {
        let with = |rest: &str| format!(r#"{{"entry":[{{"resource":{STUDY}}}]{rest}}}"#);
        for (rest, expected) in [
            (r#","resourceType":"Bundle","type":"collection""#, "a.json:1 Bundle.entry[0]: {STUDY}"),
            (
                r#","resourceType":"Bundle","type":"history""#,
                "a.json:1 Bundle.entry[0]: belongs to a history, which has old versions",
            ),
            (
                r#","resourceType":"Bundle","type":"\u0068istory""#,
                "a.json:1 Bundle.entry[0]: belongs to a history, which has old versions",
            ),
            (
                r#","resourceType":"Parameters""#,
                "a.json:1 Bundle.entry[0]: is in an entry, which only a Bundle may have",
            ),
            (
                r#","resourceType":"ImagingStudy""#,
                "a.json:1: has a member entry, which only a Bundle may have",
            ),
            ("", "a.json:1: is not a FHIR resource: it has no resourceType"),
            (
                r#","resourceType":"Bundle","resourceType":"Bundle""#,
                "a.json:1: has the member resourceType, type or entry more than once",
            ),
            (
                r#","resourceType":"Bundle","entry":[]"#,
                "a.json:1: has the member resourceType, type or entry more than once",
            ),
        ] {
            let found = found("a.json", with(rest));
            assert_eq!(found[0], expected.replace("{STUDY}", STUDY), "{rest}");
        }
    }

    #[test]
    fn a_document_that_is_too_large_is_rejected_and_not_read_to_its_end() {
        let long = |bytes: usize| format!(r#"{{"resourceType":"ImagingStudy","x":"{}"}}"#, "x".repeat(bytes));
        let overhead = long(0).len();
        let fits = long(1000 - overhead);
        assert_eq!(bounded(&fits, 1000, false), (vec![format!("a:1: {fits}")], true));
        let too_long = long(1001 - overhead);
        let reason = "a:1: has more than 32 MiB".to_owned();
        for text in [&too_long, &too_long.repeat(10), &format!("[{}]", "1,".repeat(1000))] {
            assert_eq!(bounded(text, 1000, false), (vec![reason.clone()], false));
        }
        // A line ends soon, or not.
        let next = format!("a:2: {STUDY}");
        let line = |bytes: usize| bounded(&format!("{}\n{STUDY}", long(bytes)), 10_000, true);
        assert_eq!(line(70_000), (vec![reason.clone(), next], true));
        assert_eq!(line(200_000), (vec![reason], false));
    }

    #[test]
    fn a_bundle_may_be_larger_than_a_document_if_it_says_what_it_is_first() {
        let entries: Vec<_> = (0..50).map(|_| format!(r#"{{"resource":{STUDY}}}"#)).collect();
        let bundle = |first: &str| format!(r#"{{{first}"entry":[{}],"id":"x"}}"#, entries.join(","));
        let (found, is_whole) =
            bounded(&bundle(r#""resourceType":"Bundle","type":"collection","#), 1000, false);
        let expected: Vec<_> = (0..50).map(|n| format!("a:1 Bundle.entry[{n}]: {STUDY}")).collect();
        assert_eq!((found, is_whole), (expected, true));
        for first in ["", r#""resourceType":"Bundle","#, r#""type":"collection","#] {
            let (found, is_whole) = bounded(&bundle(first), 1000, false);
            assert_eq!((found.len(), is_whole), (1, false), "{first}");
            assert!(
                found[0].ends_with("does not say its resourceType and type before its entries"),
                "{found:?}"
            );
        }
        let large = format!(r#"{{"resourceType":"ImagingStudy","x":"{}"}}"#, "x".repeat(70_000));
        let last = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"resource":{large}}}]}}"#);
        assert_eq!(bounded(&last, 1000, false), (vec!["a:1: has more than 32 MiB".to_owned()], false));
    }

    #[test]
    fn an_array_is_rejected_as_a_whole() {
        let text = format!("[\n{STUDY},\n{STUDY}\n]\n{PATIENT}\n");
        let expected = [format!("a:1: {ARRAY}"), "a:5: other".to_owned()];
        assert_eq!(arriving(text.as_bytes(), 7), expected);
    }

    #[test]
    fn other_encodings_are_named() {
        let utf_16: Vec<u8> = STUDY.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for text in [[&[0xff, 0xfe][..], &utf_16].concat(), utf_16] {
            let broken = read_file("a.json", text).1.unwrap_err();
            assert!(broken.reason.contains("UTF-16"), "{broken}");
        }
        let latin_1 = STUDY.as_bytes().iter().map(|b| if *b == b'a' { 0xe4 } else { *b }).collect::<Vec<_>>();
        let bundle = [br#"{"resourceType":"Bundle","entry":[{"resource":"#, &*latin_1, b"}]}"].concat();
        for text in [latin_1, bundle] {
            for name in ["a.json", "a.ndjson"] {
                assert!(found(name, &text)[0].contains("Latin-1"), "{name}");
            }
        }
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
                    format!("a:{}: is not JSON: EOF while parsing a value at column 5", line + 1),
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
    fn twice_the_input_is_at_most_twice_the_work() {
        let entry = format!(r#"{{"resource":{STUDY}}}"#);
        let bundle = |entries: &str| format!(r#"{{"resourceType":"Bundle","entry":[{entries}]}}"#);
        let shapes: [(&str, &dyn Fn(usize) -> String); 18] = [
            ("opened objects", &|n| "{\"a\":\n".repeat(n)),
            ("opened objects and something broken", &|n| format!("{}x\n{STUDY}", "{\"a\":\n".repeat(n))),
            ("opened arrays", &|n| "[\n".repeat(n)),
            ("opened strings", &|n| "{\"a\n".repeat(n)),
            ("blank lines in a broken document", &|n| format!("{{{}x", "\n".repeat(10 * n))),
            ("objects and blank lines in a broken document", &|n| {
                format!("{{\"a\":{}x", "{}\n\n\n,".repeat(n))
            }),
            ("broken lines", &|n| "x\n".repeat(n)),
            ("braces", &|n| "{\n".repeat(n)),
            ("closing braces", &|n| format!("x{}", "\n}".repeat(n))),
            ("braces on one line", &|n| "{}".repeat(n)),
            ("documents", &|n| STUDY.repeat(n)),
            ("lines", &|n| format!("{STUDY}\n").repeat(n)),
            ("lines behind a broken one", &|n| format!("{{\"a\":\n{}", format!("{STUDY}\n").repeat(n))),
            ("documents with a broken one between", &|n| format!("{{\"a\" x\n{STUDY}{STUDY}\n,\n").repeat(n)),
            ("a Bundle", &|n| bundle(&vec![&*entry; n].join(","))),
            ("Bundles in Bundles", &|n| {
                let open = r#"{"resourceType":"Bundle","entry":[{"resource":"#.repeat(n);
                format!("{open}{STUDY}{}", "}]}".repeat(n))
            }),
            ("members entry", &|n| format!("{{{}}}", vec![r#""entry":[{}]"#; n].join(","))),
            ("blanks", &|n| format!("{}{STUDY}", " \n".repeat(n))),
        ];
        for (name, shape) in shapes {
            let [once, twice] = [1000, 2000].map(|n| {
                let text = shape(n);
                ["a.json", "a.ndjson"].map(|name| steps_of(|| drop(read_file(name, &text))))
            });
            println!("{name}\t{once:?}\t{twice:?}");
            for (once, twice) in once.into_iter().zip(twice) {
                assert!(
                    once > 0 && twice * 10 <= once * 22,
                    "{name}: {once} steps, {twice} for twice as much"
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
