//! Loading: one thread reads the input, as many as there are cores check and encode documents, and the runtime's own
//! thread writes them, many at once.
//!
//! Queues between them are bounded, and documents keep the order of the input.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::admission::warnings;
use crate::empty::drop_empty;
use crate::input::Input;
use crate::pace::Obstacle;
use crate::protocol::Change;
use crate::reader::{self, BrokenInput, Chunk, Sink};
use crate::resource::{InputItem, SourceLocation};
use crate::seen::{Seen, Sight};
use crate::table::{Table, TableError};
use fhir_r4::{Problem, Study, ValidationError, Warnings};
use table::id::{FhirId, SiteId};
use table::write::{Prepared, Sizes};

/// Studies written at once, at most.
const MAX_WRITES: usize = 64;
/// Bytes of the studies written at once, at most, except that one may always be written.
const MAX_WRITE_BYTES: usize = 32 << 20;
/// Chunks of the input that wait for each core, at most.
const CHUNKS_PER_CORE: usize = 4;
/// How often the observer learns of progress.
const TICK: Duration = Duration::from_millis(250);

/// What is done to documents before they are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leave out empty values before the check.
    pub drop_empty: bool,
    /// Reject studies with warnings.
    pub strict: bool,
}

/// What became of the documents so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Studies that the table did not have.
    pub added: u64,
    /// Studies that replaced another document.
    pub replaced: u64,
    /// Studies that the table had already.
    pub unchanged: u64,
    /// Studies of which the table has a later version, which it kept.
    pub kept: u64,
    /// Documents among these whose id another document of the input has.
    pub repeated: u64,
    /// Studies that were only checked.
    pub checked: u64,
    /// Studies with warnings.
    pub warned: u64,
    /// Documents that are not R4 `ImagingStudy` resources, or cannot be stored.
    pub rejected: u64,
    /// Empty values that were left out of studies.
    pub dropped: u64,
    /// Resources of other types.
    pub other_types: u64,
    /// Inputs that could not be read to their end.
    pub broken_inputs: u64,
    /// Bytes that the checked studies take in the table.
    pub stored_bytes: u64,
    /// Write units that the checked studies take: one for each KiB of an item, rounded up.
    pub write_units: u64,
}

impl Counts {
    /// Studies that are in the table now, or could be.
    #[must_use]
    pub fn studies(&self) -> u64 {
        self.added + self.replaced + self.unchanged + self.kept + self.checked
    }
}

/// A document that is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RejectedDocument {
    /// Where it was found.
    #[serde(flatten)]
    pub location: SourceLocation,
    /// Its id, if it has one that is well formed.
    pub id: Option<String>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// How many more problems it has.
    #[serde(rename = "moreProblems")]
    pub omitted: usize,
}

/// A study that is loaded although something about it is odd.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WarnedDocument {
    /// Where it was found.
    #[serde(flatten)]
    pub location: SourceLocation,
    /// Its id.
    pub id: String,
    /// What is odd about it.
    pub warnings: Vec<Problem>,
    /// How many more warnings there are.
    #[serde(rename = "moreWarnings")]
    pub omitted: usize,
}

/// Watches documents being loaded.
pub trait Observer {
    /// Learns of a rejected document; an error ends the loading.
    fn rejected(&mut self, document: &RejectedDocument) -> io::Result<()>;
    /// Learns of a study with warnings; an error ends the loading.
    fn warned(&mut self, document: &WarnedDocument) -> io::Result<()>;
    /// Learns of a study that was not written, because the table has a later version.
    fn kept(&mut self, location: &SourceLocation, id: &FhirId);
    /// Learns of an id that an earlier document of the input has, too.
    fn repeated(&mut self, id: &FhirId);
    /// Learns of an input that could not be read to its end.
    fn broken(&mut self, input: &BrokenInput);
    /// Learns of the progress, several times a second: counts, bytes read of the input as stored, and what keeps the
    /// table from being written.
    fn progress(&mut self, counts: &Counts, bytes: u64, obstacle: Option<Obstacle>);
}

/// How loading ended. Either way each written study is complete, and loading again continues where this ended.
#[derive(Debug)]
pub enum LoadOutcome {
    /// All of the input was processed.
    Complete,
    /// It was told to stop.
    Stopped,
    /// The table could not be used.
    Table(TableError),
    /// The observer failed.
    Observer(io::Error),
    /// A thread that reads or checks panicked.
    Panicked,
}

/// Loads every `ImagingStudy` of `inputs` into `table`, or without a table only checks them, until `stop` is ready. Of
/// two documents with one id, the one with the later `meta.lastUpdated` wins, else the later one of the input.
pub async fn load(
    table: Option<&Table>,
    site: &SiteId,
    inputs: Vec<Input>,
    options: Options,
    observer: &mut impl Observer,
    stop: impl Future<Output = ()>,
) -> (Counts, LoadOutcome) {
    let site_of_chunks = site.clone();
    let pipeline =
        Pipeline::start(inputs, Arc::new(move |chunk: &Chunk| check(&site_of_chunks, options, chunk)));
    let obstacle = || table.and_then(Table::obstacle);
    let bytes = Arc::clone(&pipeline.bytes);
    let mut ledger = Ledger { counts: Counts::default(), seen: Seen::default(), observer };
    let mut documents = Some(pipeline);
    let mut outcome = LoadOutcome::Complete;
    let mut writes = FuturesUnordered::new();
    let mut writing: HashSet<String> = HashSet::new();
    let mut write_bytes = 0;
    let mut next: Option<Box<Ready>> = None;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stop = pin!(stop);
    loop {
        // Two documents with one id are written one after the other.
        if let Some(table) = table
            && let Some(ready) = next.take_if(|ready| !writing.contains(&ready.key))
        {
            writing.insert(ready.key.clone());
            write_bytes += ready.bytes;
            writes.push(write(table, ready));
        }
        let taking = next.is_none() && has_room(writes.len(), write_bytes) && documents.is_some();
        if !taking && writes.is_empty() {
            break;
        }
        let mut end = None;
        tokio::select! {
            biased;
            () = &mut stop, if documents.is_some() => end = Some(LoadOutcome::Stopped),
            _ = tick.tick() => ledger.progress(bytes.load(Ordering::Relaxed), obstacle()),
            Some((written, change)) = writes.next(), if !writes.is_empty() => {
                writing.remove(&written.key);
                write_bytes -= written.bytes;
                end = match change {
                    Ok(change) => ledger.written(written, change).err().map(LoadOutcome::Observer),
                    Err(error) => Some(LoadOutcome::Table(error)),
                };
            }
            document = next_document(&mut documents), if taking => match document {
                Some(Ok(document)) => match ledger.found(document) {
                    Ok(Some(ready)) if table.is_some() => next = Some(ready),
                    Ok(Some(ready)) => ledger.checked(&ready),
                    Ok(None) => {}
                    Err(error) => end = Some(LoadOutcome::Observer(error)),
                },
                Some(Err(Panicked)) => end = Some(LoadOutcome::Panicked),
                None => documents = None,
            },
        }
        if let Some(end) = end {
            // The first failure is the one to report; what is being written is completed.
            if matches!(outcome, LoadOutcome::Complete) {
                outcome = end;
            }
            (documents, next) = (None, None);
        }
    }
    ledger.progress(bytes.load(Ordering::Relaxed), obstacle());
    (ledger.counts, outcome)
}

/// What became of the documents, counted and told to the observer.
struct Ledger<'o, O> {
    counts: Counts,
    seen: Seen,
    observer: &'o mut O,
}

impl<O: Observer> Ledger<'_, O> {
    /// Returns the document if it may be written.
    fn found(&mut self, document: Document) -> io::Result<Option<Box<Ready>>> {
        match document {
            Document::Ready(ready) => return self.admit(ready),
            Document::OtherType => self.counts.other_types += 1,
            Document::Rejected(document) => self.rejected(&document)?,
            Document::BrokenInput(input) => {
                self.counts.broken_inputs += 1;
                self.observer.broken(&input);
            }
        }
        Ok(None)
    }

    fn admit(&mut self, mut ready: Box<Ready>) -> io::Result<Option<Box<Ready>>> {
        let id = ready.prepared.id();
        match self.seen.see(id) {
            Sight::New => {}
            Sight::Again => {
                self.counts.repeated += 1;
                self.observer.repeated(id);
            }
            Sight::OtherCase(other) => {
                self.rejected(&differs_in_case(ready.location.clone(), id, &other))?;
                return Ok(None);
            }
        }
        self.counts.dropped += ready.dropped;
        let Warnings { problems: warnings, omitted, .. } = std::mem::take(&mut ready.warnings);
        if !warnings.is_empty() {
            self.counts.warned += 1;
            let location = ready.location.clone();
            self.observer.warned(&WarnedDocument { location, id: id.to_string(), warnings, omitted })?;
        }
        Ok(Some(ready))
    }

    fn checked(&mut self, ready: &Ready) {
        self.counts.checked += 1;
        self.counts.stored_bytes += ready.bytes as u64;
        self.counts.write_units += ready.write_units;
    }

    fn written(&mut self, written: Written, change: Change) -> io::Result<()> {
        let Written { id, location, .. } = written;
        match change {
            Change::Added => self.counts.added += 1,
            Change::Replaced => self.counts.replaced += 1,
            Change::Unchanged => self.counts.unchanged += 1,
            Change::Kept => {
                self.counts.kept += 1;
                self.observer.kept(&location, &id);
            }
            Change::OtherId(other) => self.rejected(&differs_in_case(location, &id, &other))?,
        }
        Ok(())
    }

    fn rejected(&mut self, document: &RejectedDocument) -> io::Result<()> {
        self.counts.rejected += 1;
        self.observer.rejected(document)
    }

    fn progress(&mut self, bytes: u64, obstacle: Option<Obstacle>) {
        self.observer.progress(&self.counts, bytes, obstacle);
    }
}

/// Whether another study may be written beside `writes` that take `bytes` together.
fn has_room(writes: usize, bytes: usize) -> bool {
    writes == 0 || (writes < MAX_WRITES && bytes < MAX_WRITE_BYTES)
}

async fn next_document(documents: &mut Option<Pipeline>) -> Option<Result<Document, Panicked>> {
    documents.as_mut()?.next().await
}

/// A study that has been written, or not.
struct Written {
    key: String,
    id: FhirId,
    location: SourceLocation,
    bytes: usize,
}

async fn write(table: &Table, ready: Box<Ready>) -> (Written, Result<Change, TableError>) {
    let Ready { key, location, prepared, bytes, .. } = *ready;
    let change = table.put(&prepared).await;
    (Written { key, id: prepared.id().clone(), location, bytes }, change)
}

#[derive(Debug)]
enum Document {
    Ready(Box<Ready>),
    Rejected(RejectedDocument),
    OtherType,
    BrokenInput(BrokenInput),
}

/// A study that can be written.
#[derive(Debug)]
struct Ready {
    key: String,
    location: SourceLocation,
    warnings: Warnings,
    dropped: u64,
    prepared: Prepared,
    bytes: usize,
    write_units: u64,
}

/// A thread panicked; its message is on standard error.
#[derive(Debug, PartialEq, Eq)]
struct Panicked;

/// The threads that read and check. Dropping this ends them.
struct Pipeline {
    /// What the reader found, in order: each chunk as the thread that checks it.
    chunks: mpsc::Receiver<JoinHandle<Vec<Document>>>,
    reader: Option<JoinHandle<()>>,
    current: Option<JoinHandle<Vec<Document>>>,
    documents: VecDeque<Document>,
    /// Bytes read of the inputs, as stored.
    bytes: Arc<AtomicU64>,
}

type Check = dyn Fn(&Chunk) -> Vec<Document> + Send + Sync;

impl Pipeline {
    fn start(inputs: Vec<Input>, check: Arc<Check>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let (sender, chunks) = mpsc::channel(CHUNKS_PER_CORE * cores);
        let bytes = Arc::new(AtomicU64::new(0));
        let mut checkers = Checkers { runtime: Handle::current(), check, sender, bytes: Arc::clone(&bytes) };
        let reader = tokio::task::spawn_blocking(move || {
            for input in &inputs {
                let flow = reader::read(input, &mut checkers)
                    .unwrap_or_else(|broken| checkers.send(|_| vec![Document::BrokenInput(broken)]));
                if flow.is_break() {
                    break;
                }
            }
        });
        Self { chunks, reader: Some(reader), current: None, documents: VecDeque::new(), bytes }
    }

    /// The next document; `None` at the end. May be dropped and called again.
    async fn next(&mut self) -> Option<Result<Document, Panicked>> {
        loop {
            if let Some(document) = self.documents.pop_front() {
                return Some(Ok(document));
            }
            if let Some(current) = &mut self.current {
                let checked = current.await;
                self.current = None;
                match checked {
                    Ok(documents) => self.documents = documents.into(),
                    Err(_) => return Some(Err(Panicked)),
                }
            } else if let Some(chunk) = self.chunks.recv().await {
                self.current = Some(chunk);
            } else {
                let ended = self.reader.as_mut()?.await;
                self.reader = None;
                return ended.err().map(|_| Err(Panicked));
            }
        }
    }
}

/// Hands chunks to threads of the runtime's pool, which has as many as there are cores.
struct Checkers {
    runtime: Handle,
    check: Arc<Check>,
    sender: mpsc::Sender<JoinHandle<Vec<Document>>>,
    bytes: Arc<AtomicU64>,
}

impl Checkers {
    fn send(&self, work: impl FnOnce(&Check) -> Vec<Document> + Send + 'static) -> ControlFlow<()> {
        let check = Arc::clone(&self.check);
        let checked = self.runtime.spawn_blocking(move || work(&*check));
        match self.sender.blocking_send(checked) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

impl Sink for Checkers {
    fn chunk(&mut self, chunk: Chunk) -> ControlFlow<()> {
        self.send(move |check| check(&chunk))
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Checks and encodes the documents of a chunk.
fn check(site: &SiteId, options: Options, chunk: &Chunk) -> Vec<Document> {
    let mut documents = Vec::new();
    chunk.documents(&mut |location, item| {
        documents.push(match item {
            InputItem::Study(json) => study(site, options, location, json),
            InputItem::Other => Document::OtherType,
            InputItem::Broken(reason) => rejected(location, None, vec![Problem::whole(reason)], 0),
        });
    });
    documents
}

fn study(site: &SiteId, options: Options, location: &SourceLocation, json: &str) -> Document {
    let (json, dropped) = if options.drop_empty { drop_empty(json) } else { (json.into(), 0) };
    let study = match Study::parse(&json) {
        Ok(study) => study,
        Err(ValidationError { id, problems, omitted }) => return rejected(location, id, problems, omitted),
    };
    let id = study.id().clone();
    match Prepared::new(site, &id, study.json(), Sizes::DYNAMODB) {
        Ok(prepared) => {
            let (bytes, write_units) = prepared
                .item_sizes()
                .fold((0, 0), |(bytes, units), size| (bytes + size, units + size.div_ceil(1024) as u64));
            let warnings = warnings(&study, prepared.attributes());
            if options.strict && !warnings.problems.is_empty() {
                return rejected(location, Some(id.to_string()), warnings.problems, warnings.omitted);
            }
            let (key, location) = (id.key().to_string(), location.clone());
            Document::Ready(Box::new(Ready {
                key,
                location,
                warnings,
                dropped,
                prepared,
                bytes,
                write_units,
            }))
        }
        Err(error) => rejected(location, Some(id.to_string()), vec![Problem::whole(error.to_string())], 0),
    }
}

fn differs_in_case(location: SourceLocation, id: &FhirId, other: &str) -> RejectedDocument {
    let reason = format!("differs only in case from {other}, which another study has");
    let problem = Problem { path: "ImagingStudy.id".to_owned(), reason: reason.into() };
    RejectedDocument { location, id: Some(id.to_string()), problems: vec![problem], omitted: 0 }
}

fn rejected(
    location: &SourceLocation,
    id: Option<String>,
    problems: Vec<Problem>,
    omitted: usize,
) -> Document {
    Document::Rejected(RejectedDocument { location: location.clone(), id, problems, omitted })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Documents that each begin on the line on which the previous one ends.
    fn documents(count: usize) -> (tempfile::TempDir, Vec<Input>) {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("a.json");
        std::fs::write(&path, "{\"resourceType\":\n\"Patient\"}".repeat(count)).unwrap();
        (folder, vec![Input::File(path)])
    }

    #[tokio::test]
    async fn a_checker_that_panics_fails_the_load() {
        let (_folder, inputs) = documents(3);
        let seen = AtomicU64::new(0);
        let check: Arc<Check> = Arc::new(move |_: &Chunk| {
            assert!(seen.fetch_add(1, Ordering::Relaxed) != 1, "the second document");
            vec![Document::OtherType]
        });
        let mut pipeline = Pipeline::start(inputs, check);
        let mut panics = 0;
        while let Some(document) = pipeline.next().await {
            panics += u32::from(document.is_err());
        }
        assert_eq!(panics, 1);
    }

    #[tokio::test]
    async fn documents_keep_the_order_of_the_input() {
        let (_folder, inputs) = documents(500);
        let count = AtomicU64::new(0);
        let check: Arc<Check> = Arc::new(move |chunk: &Chunk| {
            // Later chunks are done sooner.
            if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                std::thread::sleep(Duration::from_millis(2));
            }
            let mut found = Vec::new();
            chunk.documents(&mut |location, _| found.push(rejected(location, None, Vec::new(), 0)));
            found
        });
        let mut pipeline = Pipeline::start(inputs, check);
        let mut lines = Vec::new();
        while let Some(document) = pipeline.next().await {
            let Ok(Document::Rejected(document)) = document else { panic!("{document:?}") };
            lines.push(document.location.line);
        }
        assert_eq!(lines, (1..=500).collect::<Vec<_>>());
    }

    #[test]
    fn a_study_waits_while_64_are_written_or_32_mib_but_never_for_itself() {
        let mib = 1 << 20;
        for (writes, bytes, room) in [
            (0, 0, true),
            (0, 40 * mib, true),
            (1, 32 * mib - 1, true),
            (1, 32 * mib, false),
            (63, 0, true),
            (64, 0, false),
        ] {
            assert_eq!(has_room(writes, bytes), room, "{writes} with {bytes} bytes");
        }
    }
}
