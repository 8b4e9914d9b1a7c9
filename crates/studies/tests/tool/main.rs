//! The operator's tool, run as by hand, against an embedded DynamoDB.
#![expect(clippy::unwrap_used, reason = "tests")]

mod admission;
mod faults;
mod interruption;
mod load;
mod model;
mod site;
mod terminal;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Output, Stdio};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use table::attribute::Item;
use tempfile::TempDir;
use testkit::dynamodb::{Fault, faulty_dynamodb};
use testkit::server::Server;
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};

/// A folder, a table, and the tool that uses them.
struct Bench {
    folder: TempDir,
    table: Client,
    /// Where the tool finds the database.
    endpoint: SocketAddr,
    /// The server between tool and database, if there is one.
    faulty: Option<Server>,
}

impl Bench {
    async fn new() -> Self {
        let (table, endpoint) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
        Self { folder: tempfile::tempdir().unwrap(), table, endpoint, faulty: None }
    }

    /// The same, with a server between tool and database that fails calls.
    async fn with_faults(fault: impl Fn(&str, &Value) -> Fault + Send + Sync + 'static) -> Self {
        let bench = Self::new().await;
        let faulty = faulty_dynamodb(bench.endpoint, fault).await;
        Self { endpoint: faulty.address(), faulty: Some(faulty), ..bench }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// `studies COMMAND --table … …`
    fn at_table(&self, command: &str, arguments: &[&str]) -> Command {
        let mut studies = studies();
        studies.args([command, "--table", local::TABLE, "--endpoint-url"]);
        studies.arg(format!("http://{}", self.endpoint)).args(arguments);
        studies
    }

    /// `studies COMMAND --table … --site 4 …`
    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        self.at_table(command, &[&["--site", local::SITE], arguments].concat())
    }

    /// Starts `studies load` and returns its standard input.
    fn loading(&self, arguments: &[&str]) -> (Child, ChildStdin) {
        let mut child = self
            .command("load", arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        (child, input)
    }

    async fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        self.command(command, arguments).output().await.unwrap().into()
    }

    /// The sort keys of all items.
    async fn keys(&self) -> Vec<String> {
        let items = self.items().await;
        items.iter().map(|item| item["id"].as_s().unwrap().clone()).collect()
    }

    /// All items, in the order of their keys.
    async fn items(&self) -> Vec<Item> {
        let mut items = testkit::items(&self.table).await;
        items
            .sort_by_key(|item| (item["siteId"].as_s().unwrap().clone(), item["id"].as_s().unwrap().clone()));
        items
    }

    async fn put(&self, id: &str, document: AttributeValue) {
        self.put_at(local::SITE, id, Some(document)).await;
    }

    async fn put_at(&self, site: &str, id: &str, document: Option<AttributeValue>) {
        let put = self.table.put_item().table_name(local::TABLE).item("siteId", text(site));
        let mut put = put.item("id", text(id));
        if let Some(document) = document {
            put = put.item("document", document);
        }
        put.send().await.unwrap();
    }

    async fn put_attributes<const N: usize>(&self, id: &str, attributes: [(&str, AttributeValue); N]) {
        let put = self.table.put_item().table_name(local::TABLE).item("siteId", text(local::SITE));
        let put = put.item("id", text(id));
        let put = attributes.into_iter().fold(put, |put, (name, value)| put.item(name, value));
        put.send().await.unwrap();
    }

    /// Deletes one item and nothing else.
    async fn delete_item(&self, key: &str) {
        let delete = self.table.delete_item().table_name(local::TABLE).key("siteId", text(local::SITE));
        delete.key("id", text(key)).send().await.unwrap();
    }

    async fn shown(&self, id: &str) -> String {
        let shown = self.run("show", &[id]).await;
        assert_eq!(shown.status, 0, "{shown:?}");
        shown.out
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// The tool in an environment with credentials and nothing else.
fn studies() -> Command {
    let mut studies = Command::new(env!("CARGO_BIN_EXE_studies"));
    studies.env_clear().envs([
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("TERM", "xterm"),
    ]);
    studies.stdin(Stdio::null()).kill_on_drop(true);
    studies
}

#[derive(Debug)]
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn study(id: &str, more: &str) -> String {
    format!(
        r#"{{"resourceType":"ImagingStudy","id":"{id}","status":"available","subject":{{"reference":"Patient/1"}}{more}}}"#
    )
}

/// Studies with these numbers, each on a line of its own.
fn lines(numbers: Range<usize>, more: &str) -> String {
    numbers.map(|n| study(&format!("s{n}"), more) + "\n").collect()
}

/// A study too large for one item, even compressed: its content is noise.
fn large_study(id: &str, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let noise: String = (0..560_000).map(|_| random.alphanumeric()).collect();
    study(id, &format!(r#","extension":[{{"url":"http://example.org/e","valueBase64Binary":"{noise}"}}]"#))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
