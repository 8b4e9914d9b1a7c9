//! The reader of the studies tool: any input, and the documents of an input in a file of each kind. The first byte
//! chooses the kind.
#![no_main]

use std::cell::LazyCell;
use std::io::Write as _;
use std::ops::ControlFlow;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::value::RawValue;
use studies::input::Input;
use studies::reader::{Chunk, Sink, read};
use studies::resource::InputItem;

/// The studies of an input, and whether it was read to its end.
#[derive(Default)]
struct Found {
    studies: Vec<Vec<u8>>,
    bytes: u64,
}

impl Sink for Found {
    fn chunk(&mut self, chunk: Chunk) -> ControlFlow<()> {
        chunk.documents(&mut |_, item| {
            if let InputItem::Study(text) = item {
                self.studies.push(text.as_bytes().to_vec());
            }
        });
        ControlFlow::Continue(())
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

thread_local! {
    static FOLDER: LazyCell<tempfile::TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
}

fn found(name: &str, content: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let path = FOLDER.with(|folder| folder.path().join(name));
    std::fs::write(&path, content).expect("a file");
    let mut found = Found::default();
    let read = read(&Input::File(path), &mut found);
    assert!(found.bytes <= content.len() as u64, "something was read twice");
    (found.studies, read.is_ok())
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, content)) = data.split_first() else { return Corpus::Reject };
    let name = if kind & 1 == 0 { "a.json" } else { "a.ndjson" };
    let (studies, _) = found(name, content);
    if !content.starts_with(&[0x1f, 0x8b]) {
        are_in_order(&studies, content);
    }
    let documents: Vec<_> = content.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(is_study).collect();
    if !documents.is_empty() {
        let (studies, is_whole) = found(name, &file_of(&documents, kind >> 1));
        assert!(is_whole, "a good file is broken");
        assert_eq!(studies, documents);
    }
    Corpus::Keep
});

/// Each study is JSON, and stands in the input behind the one before.
fn are_in_order(studies: &[Vec<u8>], mut content: &[u8]) {
    for study in studies {
        assert!(serde_json::from_slice::<&RawValue>(study).is_ok(), "a study that is not JSON");
        let at = content.windows(study.len()).position(|window| window == study);
        content = &content[at.expect("a study that is not in the input, or not in order") + study.len()..];
    }
}

/// Whether this is a study that any file may hold.
fn is_study(text: &&[u8]) -> bool {
    let members = serde_json::from_slice::<std::collections::BTreeMap<String, &RawValue>>(text);
    members.is_ok_and(|members| {
        members.get("resourceType").is_some_and(|name| name.get() == "\"ImagingStudy\"")
            && !members.contains_key("entry")
    })
}

/// A file that holds these documents.
fn file_of(documents: &[&[u8]], kind: u8) -> Vec<u8> {
    match kind % 4 {
        0 => documents.join(&b"\n"[..]),
        1 => documents.join(&b"\n\n"[..]),
        2 => {
            let entries = documents.join(&b"},{\"resource\":"[..]);
            [br#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":"#, &entries[..], b"}]}"]
                .concat()
        }
        _ => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&documents.join(&b"\r\n"[..])).expect("memory takes every byte");
            encoder.finish().expect("memory takes every byte")
        }
    }
}
