//! Loading: documents are read and checked on one thread, and written side by side from another.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use crate::input::{Input, InputItem, Sink, SourceLocation};
use crate::r4::{Problem, Study};
use crate::table::{Change, Table, TableError};
use imaging_study::ids::{FhirId, SiteId};
use imaging_study::store::{self, Encoded};

/// Studies written at the same time.
const WRITES: usize = 32;

/// Studies checked and waiting to be written.
const WAITING: usize = 16;

/// What became of the documents so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Studies that the table did not have.
    pub added: u64,
    /// Studies of which it had another version.
    pub replaced: u64,
    /// Studies that it had as they are.
    pub unchanged: u64,
    /// Documents that are no R4 `ImagingStudy`, and inputs that cannot be read.
    pub refused: u64,
    /// Resources of other types.
    pub skipped: u64,
}

impl Counts {
    /// Studies that are in the table now, or would be after a dry run.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.added + self.replaced + self.unchanged
    }
}

/// A document that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RejectedDocument {
    /// Where it stood.
    #[serde(flatten)]
    pub origin: SourceLocation,
    /// Its id, if it has one that is well formed.
    pub id: Option<String>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// How many more problems it has.
    #[serde(rename = "moreProblems")]
    pub omitted: usize,
}

/// Looks on while documents are loaded.
pub trait Observer {
    /// Learns of a refused document; an error ends the loading.
    fn refused(&mut self, refusal: &RejectedDocument) -> io::Result<()>;
    /// Learns how far it is: documents, and bytes of the input.
    fn progress(&mut self, counts: &Counts, bytes: u64);
}

/// How loading ended. Whichever way, what was written is whole, and running it again goes on where it stopped.
#[derive(Debug)]
pub enum LoadOutcome {
    /// All of the input was seen to.
    Complete,
    /// It was told to stop.
    Stopped,
    /// The table failed.
    Table(TableError),
    /// The observer failed.
    Observer(io::Error),
}

/// Loads every `ImagingStudy` of `inputs` into `table`, or with none only checks them, until `stop` is ready. Of two
/// documents with one id the later one stands.
pub async fn load(
    table: Option<&Table>,
    site: &SiteId,
    inputs: Vec<Input>,
    observer: &mut impl Observer,
    stop: impl Future<Output = ()>,
) -> (Counts, LoadOutcome) {
    let (documents, bytes) = checked(site.clone(), inputs);
    let mut documents = Some(documents);
    let mut counts = Counts::default();
    let mut end = LoadOutcome::Complete;
    let mut writes = FuturesUnordered::new();
    let mut writing: HashSet<String> = HashSet::new();
    let mut held: Option<Box<Ready>> = None;
    let mut stop = pin!(stop);
    loop {
        // Two documents with one id are written one after the other.
        if let Some(ready) = held.take_if(|ready| !writing.contains(&ready.key)) {
            writing.insert(ready.key.clone());
            writes.push(write(table, site, ready));
        }
        let taking = held.is_none() && writes.len() < WRITES && documents.is_some();
        tokio::select! {
            () = &mut stop, if documents.is_some() => {
                (documents, held, end) = (None, None, LoadOutcome::Stopped);
            }
            Some((key, change)) = writes.next(), if !writes.is_empty() => {
                writing.remove(&key);
                match change {
                    Ok(Change::Added) => counts.added += 1,
                    Ok(Change::Replaced) => counts.replaced += 1,
                    Ok(Change::Unchanged) => counts.unchanged += 1,
                    Err(error) => (documents, held, end) = (None, None, LoadOutcome::Table(error)),
                }
            }
            document = next(&mut documents), if taking => match document {
                Some(Document::Ready(ready)) => held = Some(ready),
                Some(Document::Other) => counts.skipped += 1,
                Some(Document::ValidationError(refusal)) => {
                    counts.refused += 1;
                    if let Err(error) = observer.refused(&refusal) {
                        (documents, end) = (None, LoadOutcome::Observer(error));
                    }
                }
                None => documents = None,
            },
            else => break,
        }
        observer.progress(&counts, bytes.load(Ordering::Relaxed));
    }
    (counts, end)
}

async fn next(documents: &mut Option<mpsc::Receiver<Document>>) -> Option<Document> {
    documents.as_mut()?.recv().await
}

async fn write(
    table: Option<&Table>,
    site: &SiteId,
    ready: Box<Ready>,
) -> (String, Result<Change, TableError>) {
    let Ready { key, id, encoded } = *ready;
    let change = match table {
        Some(table) => table.put(site, &id, encoded).await,
        None => Ok(Change::Added),
    };
    (key, change)
}

enum Document {
    Ready(Box<Ready>),
    ValidationError(RejectedDocument),
    Other,
}

struct Ready {
    key: String,
    id: FhirId,
    encoded: Encoded,
}

/// Reads and checks on a thread of its own, which ends with the input or when nobody listens any more.
fn checked(site: SiteId, inputs: Vec<Input>) -> (mpsc::Receiver<Document>, Arc<AtomicU64>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let bytes = Arc::new(AtomicU64::new(0));
    let mut checker = Checker { site, sender, bytes: Arc::clone(&bytes) };
    std::thread::spawn(move || inputs.iter().try_for_each(|input| input.read(&mut checker)));
    (receiver, bytes)
}

struct Checker {
    site: SiteId,
    sender: mpsc::Sender<Document>,
    bytes: Arc<AtomicU64>,
}

impl Sink for Checker {
    fn take(&mut self, origin: &SourceLocation, found: InputItem<'_>) -> ControlFlow<()> {
        let document = match found {
            InputItem::Study(json) => self.study(origin, json),
            InputItem::Other => Document::Other,
            InputItem::Broken(reason) => refused(origin, None, Problem::whole(reason)),
        };
        match self.sender.blocking_send(document) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Checker {
    fn study(&self, origin: &SourceLocation, json: &[u8]) -> Document {
        let study = match Study::parse(json) {
            Ok(study) => study,
            Err(found) => {
                let (id, problems, omitted) = (found.id, found.problems, found.omitted);
                return Document::ValidationError(RejectedDocument {
                    origin: origin.clone(),
                    id,
                    problems,
                    omitted,
                });
            }
        };
        let id = study.id().clone();
        match store::encode(&self.site, &id, study.json()) {
            Ok(encoded) => {
                let key = id.key().to_string();
                Document::Ready(Box::new(Ready { key, id, encoded }))
            }
            Err(error) => refused(origin, Some(id.to_string()), Problem::whole(error.to_string())),
        }
    }
}

fn refused(origin: &SourceLocation, id: Option<String>, problem: Problem) -> Document {
    Document::ValidationError(RejectedDocument {
        origin: origin.clone(),
        id,
        problems: vec![problem],
        omitted: 0,
    })
}
