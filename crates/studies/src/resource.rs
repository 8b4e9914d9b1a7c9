//! What a JSON value is: a study, another resource, or a Bundle and what its entries hold.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use table::json::Object;

use crate::work::count;

/// Bundles may be nested in Bundles to this depth.
const MAX_BUNDLE_DEPTH: usize = 8;
/// Bytes around the document in an entry, at most.
const ENTRY_FRAME_BYTES: usize = 64 << 10;

const HISTORY: &str = "belongs to a history, which has old versions";

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

impl SourceLocation {
    /// The location of an entry of the Bundle that is here.
    fn entry(&self, index: usize) -> Self {
        let bundle = self.entry.as_ref().map_or("Bundle".to_owned(), |entry| format!("{entry}.resource"));
        Self { entry: Some(format!("{bundle}.entry[{index}]")), ..self.clone() }
    }
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
    /// Something that is not a FHIR resource, or must not be loaded, and why not.
    Broken(String),
}

/// The entry of a Bundle or of something else, as it was read.
#[derive(Debug)]
pub(crate) struct EntryText {
    pub(crate) index: usize,
    pub(crate) json: Box<RawValue>,
    /// Why no resource of this value's entries is taken.
    pub(crate) refusal: Option<&'static str>,
}

/// Receives what is found.
pub(crate) type Take<'t> = dyn FnMut(&SourceLocation, InputItem<&str>) + 't;

/// Hands on what a text of one JSON value is, at a depth of so many Bundles.
pub(crate) fn take_value(text: &[u8], location: &SourceLocation, depth: usize, take: &mut Take<'_>) {
    count(text.len());
    if depth > MAX_BUNDLE_DEPTH {
        return take(location, InputItem::Broken("is nested in too many Bundles".to_owned()));
    }
    if text.starts_with(b"[") {
        return take(location, InputItem::Broken(ARRAY.to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut value = ValueReader::new(None, None);
    let read = value.read(&mut reader).and_then(|()| reader.end());
    match read.map_err(|error| reason(&error, |_| None)).and_then(|()| value.kind()) {
        Ok(Kind::Study) => take_study(text, location, take),
        Ok(kind) => {
            for entry in value.into_entries() {
                take_entry(&entry, location, depth, take);
            }
            if kind == Kind::Other {
                take(location, InputItem::Other);
            }
        }
        Err(reason) => take(location, InputItem::Broken(reason)),
    }
}

/// Hands on the text of a study.
pub(crate) fn take_study(text: &[u8], location: &SourceLocation, take: &mut Take<'_>) {
    match str::from_utf8(text) {
        Ok(text) => take(location, InputItem::Study(text)),
        Err(_) => take(location, InputItem::Broken(NOT_UTF_8.to_owned())),
    }
}

/// Hands on what an entry of the value at `location` holds.
pub(crate) fn take_entry(entry: &EntryText, location: &SourceLocation, depth: usize, take: &mut Take<'_>) {
    count(entry.json.get().len());
    let location = location.entry(entry.index);
    match serde_json::from_str::<Object<Entry<'_>>>(entry.json.get()) {
        Err(error) => take(&location, InputItem::Broken(reason(&error, |_| None))),
        Ok(Object(parsed)) => match (parsed.refusal(entry.refusal), parsed.resource) {
            (Some(refusal), _) => take(&location, InputItem::Broken(refusal.to_owned())),
            (None, Some(resource)) => take_value(resource.get().as_bytes(), &location, depth + 1, take),
            (None, None) => {}
        },
    }
}

pub(crate) const ARRAY: &str = "is an array; take it apart: `jq --compact-output '.[]'`";
const NOT_UTF_8: &str =
    "is not UTF-8; if it is Latin-1, convert it: `iconv --from-code=LATIN1 --to-code=UTF-8`";

/// Why a text is no resource, with its position alone where the message would repeat the value. `line`: the line of the
/// input on which a line of the text is, if the text may have several.
pub(crate) fn reason(error: &serde_json::Error, line: impl Fn(usize) -> Option<u64>) -> String {
    let text = error.to_string();
    let position = match line(error.line()) {
        Some(line) => format!("at line {line} column {}", error.column()),
        None if error.line() > 1 => format!("at its line {} column {}", error.line(), error.column()),
        None => format!("at column {}", error.column()),
    };
    match text.split(" at line ").next() {
        _ if error.is_data() => format!("is not a FHIR resource: unexpected value {position}"),
        Some("invalid unicode code point") => NOT_UTF_8.to_owned(),
        cause => format!("is not JSON: {} {position}", cause.unwrap_or_default()),
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
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

impl Entry<'_> {
    /// Why its resource is not taken. Only entries of a history have both a request and a response (FHIR R4 bundle.html,
    /// bdl-3 and bdl-4).
    fn refusal(&self, of_all: Option<&'static str>) -> Option<&'static str> {
        let method = self.request.as_ref().and_then(|Object(request)| request.method.as_deref());
        let status = self.response.as_ref().and_then(|Object(response)| response.status.as_deref());
        match (method, status) {
            (Some("DELETE"), _) => Some("is to be deleted, as its request says"),
            (_, Some(status)) if !status.starts_with('2') => Some("has a response that is no success"),
            (Some(_), Some(_)) => Some(HISTORY),
            _ => of_all.filter(|_| self.resource.is_some()),
        }
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Study,
    Bundle,
    /// If it has entries, none of their resources is taken.
    Other,
}

/// Reads one value: which kind of resource it is, and its entries. These are held until the whole value has been read,
/// since nothing inside a broken value is taken, and what a Bundle is may be said after its entries.
pub(crate) struct ValueReader<'r> {
    kind: Option<String>,
    bundle_type: Option<String>,
    repeated: bool,
    has_entry: bool,
    held: Vec<Box<RawValue>>,
    held_bytes: usize,
    /// Entries that are not held any more.
    sent: usize,
    input: Option<&'r StreamedInput>,
    send: Option<&'r mut dyn FnMut(EntryText) -> ControlFlow<()>>,
    /// Why reading ended, if not because of the JSON.
    pub(crate) end: Option<End>,
}

/// Why reading a value ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody wants the rest.
    Stopped,
    /// It has more bytes than can be held, and what it is has not been said yet.
    Unknown,
}

/// What reader and input share while a value is read from a stream.
#[derive(Debug)]
pub(crate) struct StreamedInput {
    /// What was read of the value; `None` once it has entries.
    pub(crate) copy: RefCell<Option<Vec<u8>>>,
    /// Bytes that may still be read of the document.
    pub(crate) left: Cell<usize>,
    max_bytes: usize,
}

impl StreamedInput {
    /// A value of at most so many bytes, of which a copy is made.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { copy: RefCell::new(Some(Vec::new())), left: Cell::new(bytes), max_bytes: bytes }
    }

    /// The same without a copy.
    pub(crate) fn without_copy(bytes: usize) -> Self {
        Self { copy: RefCell::new(None), left: Cell::new(bytes), max_bytes: bytes }
    }

    /// What was read, unless the value has entries.
    pub(crate) fn into_copy(self) -> Option<Vec<u8>> {
        self.copy.into_inner()
    }
}

impl<'r> ValueReader<'r> {
    /// Of a text in memory, or with `input` and `send` of a stream, whose entries are sent once they are too large to
    /// be held.
    pub(crate) fn new(
        input: Option<&'r StreamedInput>,
        send: Option<&'r mut dyn FnMut(EntryText) -> ControlFlow<()>>,
    ) -> Self {
        Self {
            kind: None,
            bundle_type: None,
            repeated: false,
            has_entry: false,
            held: Vec::new(),
            held_bytes: 0,
            sent: 0,
            input,
            send,
            end: None,
        }
    }

    pub(crate) fn read<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    /// What the value is, once it has been read.
    pub(crate) fn kind(&self) -> Result<Kind, String> {
        match self.kind.as_deref() {
            _ if self.repeated => Err("has the member resourceType, type or entry more than once".to_owned()),
            None => Err("is not a FHIR resource: it has no resourceType".to_owned()),
            Some("ImagingStudy") if self.has_entry => {
                Err("has a member entry, which only a Bundle may have".to_owned())
            }
            Some("ImagingStudy") => Ok(Kind::Study),
            Some("Bundle") => Ok(Kind::Bundle),
            Some(_) => Ok(Kind::Other),
        }
    }

    /// Why no resource of its entries is taken.
    fn refusal(&self) -> Option<&'static str> {
        match (self.kind.as_deref(), self.bundle_type.as_deref()) {
            (Some("Bundle"), Some("history")) => Some(HISTORY),
            (Some("Bundle"), _) => None,
            _ => Some("is in an entry, which only a Bundle may have"),
        }
    }

    /// The entries that are held.
    pub(crate) fn into_entries(mut self) -> impl Iterator<Item = EntryText> {
        self.entries()
    }

    fn entries(&mut self) -> impl Iterator<Item = EntryText> + use<> {
        let (refusal, first, held) = (self.refusal(), self.sent, std::mem::take(&mut self.held));
        self.sent += held.len();
        self.held_bytes = 0;
        (first..).zip(held).map(move |(index, json)| EntryText { index, json, refusal })
    }

    /// Takes another entry. What is held is bounded: beyond, all is sent, if the value has said what it is.
    fn entry(&mut self, json: Box<RawValue>) -> ControlFlow<End> {
        self.held_bytes += json.get().len();
        self.held.push(json);
        if self.input.is_none_or(|input| self.held_bytes <= input.max_bytes) {
            return ControlFlow::Continue(());
        }
        let is_known = match self.kind.as_deref() {
            Some("Bundle") => self.bundle_type.is_some(),
            kind => kind.is_some(),
        };
        if !is_known {
            return ControlFlow::Break(End::Unknown);
        }
        let entries = self.entries();
        let Some(send) = &mut self.send else { return ControlFlow::Continue(()) };
        for entry in entries {
            if send(entry).is_break() {
                return ControlFlow::Break(End::Stopped);
            }
        }
        ControlFlow::Continue(())
    }

    /// Begins to count the bytes of an entry.
    fn begin_entry(&self) {
        if let Some(input) = self.input {
            input.left.set(input.max_bytes + ENTRY_FRAME_BYTES);
        }
    }
}

impl<'de> Visitor<'de> for &mut ValueReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a FHIR resource")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "resourceType" => self.repeated |= self.kind.replace(map.next_value()?).is_some(),
                // Another resource's may be anything.
                "type" => {
                    let text = map.next_value::<Box<RawValue>>()?;
                    let code = serde_json::from_str(text.get()).unwrap_or_default();
                    self.repeated |= self.bundle_type.replace(code).is_some();
                }
                "entry" => {
                    self.repeated |= std::mem::replace(&mut self.has_entry, true);
                    if let Some(input) = self.input {
                        input.copy.take();
                    }
                    map.next_value_seed(Entries(self))?;
                    self.begin_entry();
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Entries<'e, 'r>(&'e mut ValueReader<'r>);

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
        let Self(value) = self;
        loop {
            value.begin_entry();
            let Some(json) = entries.next_element()? else { return Ok(()) };
            if let ControlFlow::Break(end) = value.entry(json) {
                value.end = Some(end);
                return Err(A::Error::custom("stopped"));
            }
        }
    }
}
