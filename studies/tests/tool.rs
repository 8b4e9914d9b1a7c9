//! The operator's tool, run as it is run by hand, against an embedded DynamoDB.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_types::body::SdkBody;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};

/// A folder, a table, and the tool pointed at it.
struct Bench {
    folder: PathBuf,
    table: Client,
    endpoint: SocketAddr,
}

impl Bench {
    async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("studies-tool-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (table, endpoint) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
        Self { folder, table, endpoint }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `studies COMMAND --site 4 …`
    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut studies = studies();
        studies.args([command, "--site", local::SITE, "--table", local::TABLE, "--endpoint-url"]);
        studies.arg(format!("http://{}", self.endpoint)).args(arguments);
        studies
    }

    /// Starts `studies load` and hands over its standard input.
    fn loading(&self) -> (Child, ChildStdin) {
        let mut child = self
            .command("load", &[])
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

    /// The sort keys of all items of the site.
    async fn keys(&self) -> Vec<String> {
        let items = self.table.scan().table_name(local::TABLE).send().await.unwrap().items.unwrap();
        let mut keys: Vec<_> = items.iter().map(|item| item["id"].as_s().unwrap().clone()).collect();
        keys.sort();
        keys
    }

    async fn put(&self, id: &str, document: AttributeValue) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = self.table.put_item().table_name(local::TABLE).item("siteId", text(local::SITE));
        put.item("id", text(id)).item("document", document).send().await.unwrap();
    }

    async fn shown(&self, id: &str) -> String {
        let shown = self.run("show", &[id]).await;
        assert_eq!(shown.status, 0, "{shown:?}");
        shown.out
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The tool in an environment with credentials and nothing else.
fn studies() -> Command {
    let mut studies = Command::new(env!("CARGO_BIN_EXE_studies"));
    studies.env_clear().envs([
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
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

/// A study too large for one item, even compressed: its content is noise.
fn large_study(id: &str, seed: u64) -> String {
    let mut state = seed;
    let noise: String = (0..560_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(state >> 58) as usize],
            )
        })
        .collect();
    study(id, &format!(r#","extension":[{{"url":"http://example.org/e","valueBase64Binary":"{noise}"}}]"#))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_input_is_loaded_and_shown_in_its_own_bytes() {
    let bench = Bench::new().await;
    let own =
        study("own", ",\n \"extension\": [{\"url\": \"http://example.org/e\", \"valueDecimal\": 120.0}]");
    bench.file("one.json", &own);
    bench.file("lines.ndjson.gz", gzip(&format!("{}\n{}\n", study("l1", ""), study("l2", ""))));
    let patient = r#"{"resourceType":"Patient"}"#;
    bench.file(
        "bundle.json",
        format!(
            r#"{{"resourceType":"Bundle","entry":[{{"resource":{}}},{{"resource":{patient}}}]}}"#,
            study("b1", "")
        ),
    );
    let ran = bench.run("load", &[bench.folder.to_str().unwrap()]).await;
    assert_eq!(
        (ran.status, ran.out.as_str(), ran.err.as_str()),
        (
            0,
            "4 studies loaded (4 added, 0 replaced, 0 unchanged), 0 documents refused, \
             1 resource of other types passed over\n",
            ""
        )
    );
    assert_eq!(bench.keys().await, ["b1", "l1", "l2", "own"]);
    assert_eq!(bench.shown("own").await, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_load_changes_nothing() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [study("a", ""), large_study("b", 1), study("C", "")].join("\n"));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let before = bench.keys().await;
    let ran = bench.run("load", &[&file]).await;
    assert_eq!(ran.status, 0);
    assert!(ran.out.starts_with("3 studies loaded (0 added, 0 replaced, 3 unchanged)"), "{ran:?}");
    assert_eq!(bench.keys().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_read_where_no_path_is_given() {
    let bench = Bench::new().await;
    let (child, mut input) = bench.loading();
    input.write_all(format!("{}\n{}", study("a", ""), study("b", "")).as_bytes()).await.unwrap();
    drop(input);
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(bench.keys().await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_reported_and_costs_no_other() {
    let bench = Bench::new().await;
    let unknown = study("bad", r#","series":[{"uid":"1.2","modality":{"code":"CT"},"foo":1}]"#);
    let lines = bench.file("a.ndjson", [study("a", ""), unknown, "{".to_owned(), study("b", "")].join("\n"));
    let report = bench.folder.join("report");
    let ran = bench.run("load", &[&lines, "--report", report.to_str().unwrap()]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.out.starts_with("2 studies loaded (2 added, 0 replaced, 0 unchanged), 2 documents refused\n")
    );
    assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
    assert_eq!(bench.keys().await, ["a", "b"]);

    let report = fs::read_to_string(report).unwrap();
    let objects: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        objects,
        [
            serde_json::json!({
                "file": lines, "line": 2, "id": "bad", "moreProblems": 0, "problems": [
                    {"path": "ImagingStudy.series[0].foo", "reason": "is no element of an R4 ImagingStudy.series"}
                ]
            }),
            serde_json::json!({
                "file": lines, "line": 3, "id": null, "moreProblems": 0, "problems": [
                    {"path": "", "reason": "is not JSON: EOF while parsing an object at line 1 column 1"}
                ]
            }),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_documents_with_one_id_the_later_stands() {
    let bench = Bench::new().await;
    let later = study("A", r#","description":"later""#);
    let mut lines: Vec<_> = (0..50).map(|n| study("a", &format!(r#","description":"{n}""#))).collect();
    lines.push(later.clone());
    let ran = bench.run("load", &[&bench.file("a.ndjson", lines.join("\n"))]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.out.contains("(1 added, 50 replaced, 0 unchanged)"), "{ran:?}");
    assert_eq!(bench.keys().await, ["a"]);
    assert_eq!(bench.shown("A").await, later);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_document_leaves_no_parts_behind() {
    let bench = Bench::new().await;
    let file = bench.file("a.json", large_study("a", 1));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let first = bench.keys().await;
    assert!(first.len() > 2, "{first:?}");
    let second = large_study("a", 2);
    bench.file("a.json", &second);
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let keys = bench.keys().await;
    assert_eq!(keys.len(), first.len());
    assert!(keys.iter().filter(|key| key.contains('#')).all(|key| !first.contains(key)));
    assert_eq!(bench.shown("a").await, second);
    assert_eq!(bench.run("check", &[]).await.status, 0);

    bench.file("a.json", study("a", ""));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    assert_eq!(bench.keys().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_part_is_reported_and_restored_by_loading_again() {
    let bench = Bench::new().await;
    let document = large_study("a", 1);
    let file = bench.file("a.json", &document);
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let part = bench.keys().await.pop().unwrap();
    let key = |text: &str| AttributeValue::S(text.to_owned());
    let delete = bench.table.delete_item().table_name(local::TABLE).key("siteId", key(local::SITE));
    delete.key("id", key(&part)).send().await.unwrap();

    let checked = bench.run("check", &[]).await;
    assert_eq!(
        (checked.status, checked.out.lines().next()),
        (1, Some("a: a part of the document is missing"))
    );
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    assert_eq!(bench.run("check", &[]).await.status, 0);
    assert_eq!(bench.shown("a").await, document);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_others_wrote_in_capitals_does_not_hide_the_new_one() {
    let bench = Bench::new().await;
    bench.put("A", AttributeValue::S(study("A", r#","description":"old""#))).await;
    let new = study("A", r#","description":"new""#);
    let ran = bench.run("load", &[&bench.file("a.json", &new)]).await;
    assert!(ran.out.contains("(0 added, 1 replaced, 0 unchanged)"), "{ran:?}");
    assert_eq!(bench.keys().await, ["a"]);
    assert_eq!(bench.shown("A").await, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_what_cannot_be_served() {
    let bench = Bench::new().await;
    bench.put("good", AttributeValue::S(study("good", ""))).await;
    bench.put("text", AttributeValue::S("{".to_owned())).await;
    bench.put("zip", AttributeValue::B(Blob::new(&gzip(&study("zip", ""))[..40]))).await;
    bench.put("set", AttributeValue::Ss(vec!["x".to_owned()])).await;
    let ran = bench.run("check", &[]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        [
            "set: attribute document has a type that no storage format has",
            "text: invalid ImagingStudy JSON (line 1, column 1)",
            "zip: damaged gzip data",
            "1 study can be served, 3 cannot, 0 parts are named by none"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaned_parts_are_reported_and_removed_when_told() {
    let bench = Bench::new().await;
    assert_eq!(bench.run("load", &[&bench.file("b.json", large_study("b", 1))]).await.status, 0);
    let loaded = bench.keys().await;
    for orphan in ["a#00#0", "b#00#0", "c#00#0"] {
        bench.put(orphan, AttributeValue::B(Blob::new("x"))).await;
    }
    let ran = bench.run("check", &[]).await;
    assert_eq!((ran.status, ran.out.lines().next()), (1, Some("a#00#0: is a part that no study names")));
    assert!(ran.out.ends_with("1 study can be served, 0 cannot, 3 parts are named by none\n"), "{ran:?}");
    assert_eq!(bench.run("check", &["--remove-orphans"]).await.status, 0);
    assert_eq!(bench.keys().await, loaded);
    assert_eq!(bench.run("check", &[]).await.status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_a_study_with_its_parts_and_can_be_repeated() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [large_study("a", 1), study("b", "")].join("\n"));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let ran = bench.run("delete", &["A", "x"]).await;
    assert_eq!((ran.status, ran.out.as_str()), (0, "A: deleted\nx: was not there\n"));
    assert_eq!(bench.keys().await, ["b"]);
    assert_eq!(bench.run("delete", &["A"]).await.status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_a_study_that_is_not_there() {
    let ran = Bench::new().await.run("show", &["nobody"]).await;
    assert_eq!((ran.status, ran.err.as_str()), (1, "studies: site 4 has no study nobody\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn show_ends_quietly_when_nobody_reads_on() {
    let bench = Bench::new().await;
    assert_eq!(bench.run("load", &[&bench.file("a.json", large_study("a", 1))]).await.status, 0);
    let mut child =
        bench.command("show", &["a"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_no_table_and_no_credentials() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [study("a", ""), study("b", "")].join("\n"));
    let ran: Ran = studies()
        .env_clear()
        .args(["load", "--site", "4", "--dry-run", &file])
        .output()
        .await
        .unwrap()
        .into();
    assert_eq!((ran.status, ran.out.as_str()), (0, "2 studies could be loaded, 0 documents refused\n"));
    assert!(bench.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_without_studies_is_a_failure() {
    let bench = Bench::new().await;
    let ran = bench.run("load", &[&bench.file("a.json", r#"{"resourceType":"Patient"}"#)]).await;
    assert_eq!((ran.status, ran.err.as_str()), (2, "studies: there is no ImagingStudy in the input\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_surroundings_is_one_line_and_status_2() {
    let bench = Bench::new().await;
    let file = bench.file("a.json", study("a", ""));
    let endpoint = format!("http://{}", bench.endpoint);
    let load = |table: &'static str, endpoint: &str| {
        let mut studies = studies();
        studies.args(["load", "--site", "4", "--table", table, "--endpoint-url", endpoint, file.as_str()]);
        studies
    };
    let no_table = load("", &endpoint);
    let other_table = load("Other", &endpoint);
    let nobody = load("T", "http://127.0.0.1:1");
    let mut no_region = load("T", &endpoint);
    no_region.env_remove("AWS_REGION");
    let mut no_credentials = load("T", &endpoint);
    no_credentials.env_remove("AWS_ACCESS_KEY_ID");
    let mut failing_credentials = load("T", &endpoint);
    let config = bench.file("config", "[default]\ncredential_process = false\n");
    failing_credentials
        .env_remove("AWS_ACCESS_KEY_ID")
        .env("AWS_CONFIG_FILE", config)
        .env("PATH", "/bin:/usr/bin");
    let no_file = bench.command("load", &["/nowhere/a.json"]);
    let no_report = bench.command("load", &[&file, "--report", "/nowhere/report"]);
    for (mut command, reason) in [
        (no_table, "no table: give --table, or set TABLE_NAME"),
        (other_table, "there is no table Other in this account and region"),
        (nobody, "DynamoDB cannot be reached: "),
        (no_region, "no region: set AWS_REGION, or use a profile that has one"),
        (no_credentials, "no credentials: set AWS_PROFILE, or log in\n"),
        (failing_credentials, "the credentials cannot be had: "),
        (no_file, "/nowhere/a.json: No such file or directory"),
        (no_report, "/nowhere/report: No such file or directory"),
    ] {
        let ran = Ran::from(command.output().await.unwrap());
        assert_eq!((ran.status, ran.err.lines().count()), (2, 1), "{ran:?}");
        assert!(ran.err.starts_with(&format!("studies: {reason}")), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_report_is_told() {
    if !Path::new("/dev/full").exists() {
        println!("skipped: there is no /dev/full");
        return;
    }
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", ["{".to_owned(), study("a", "")].join("\n"));
    let ran = bench.run("load", &[&file, "--report", "/dev/full"]).await;
    assert_eq!(ran.status, 2);
    let last = ran.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("studies: the report cannot be written: No space left on device"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_load_leaves_whole_studies_and_says_how_to_go_on() {
    let bench = Bench::new().await;
    let (mut child, mut input) = bench.loading();
    // A refused document is told at once, and tells that the studies before it are on their way.
    let lines = format!("{}\n{}\n{{\n", study("a", ""), large_study("b", 1));
    input.write_all(lines.as_bytes()).await.unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.next_line().await.unwrap().unwrap().starts_with("refused -:3"));
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());

    let reason = told.next_line().await.unwrap().unwrap();
    assert_eq!(reason, "studies: stopped: what was written is whole; run the same command again to go on");
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.status, 2);
    assert!(ran.out.starts_with("2 studies loaded"), "{ran:?}");
    assert_eq!(bench.run("check", &[]).await.status, 0);
}

/// What stands between the tool and the table answers in its place where this says so, by operation and request.
type Instead = dyn Fn(&str, &Value) -> Option<&'static str> + Send + Sync;

/// Puts a server in front of the table that fails calls with the error that `instead` names.
async fn between(bench: &mut Bench, instead: Arc<Instead>) {
    let table = bench.endpoint;
    let connector = SharedHttpConnector::new(Connector::builder().build_http());
    let answer = move |request: Request| {
        let (instead, connector) = (Arc::clone(&instead), connector.clone());
        async move {
            let operation = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let failed =
                instead(operation.rsplit('.').next().unwrap(), &serde_json::from_slice(&body).unwrap());
            if let Some(code) = failed {
                let body =
                    format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"no"}}"#);
                return (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], body)
                    .into_response();
            }
            let mut forwarded = http::Request::from_parts(parts, SdkBody::from(body));
            *forwarded.uri_mut() = format!("http://{table}/").parse().unwrap();
            let answered = connector.call(forwarded.try_into().unwrap()).await.unwrap();
            let (parts, body) = answered.try_into_http1x().unwrap().into_parts();
            Response::from_parts(parts, Body::new(body))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    bench.endpoint = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_outlasts_throttling() {
    let mut bench = Bench::new().await;
    let writes = AtomicU32::new(0);
    let throttled = move |operation: &str, _: &Value| {
        let refused = operation == "PutItem" && writes.fetch_add(1, Ordering::Relaxed) < 5;
        refused.then_some("ProvisionedThroughputExceededException")
    };
    between(&mut bench, Arc::new(throttled)).await;
    let lines: Vec<_> = (0..10).map(|n| study(&format!("s{n}"), "")).collect();
    let ran = bench.run("load", &[&bench.file("a.ndjson", lines.join("\n"))]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(bench.keys().await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_before_the_head_leaves_the_old_document() {
    let mut bench = Bench::new().await;
    let old = large_study("a", 1);
    let file = bench.file("a.json", &old);
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let new = large_study("a", 2);
    bench.file("a.json", &new);

    let direct = bench.endpoint;
    let heads = |operation: &str, request: &Value| {
        let head = operation == "PutItem" && request["Item"]["id"]["S"] == "a";
        head.then_some("AccessDeniedException")
    };
    between(&mut bench, Arc::new(heads)).await;
    let ran = bench.run("load", &[&file]).await;
    assert_eq!(ran.status, 2);
    assert!(ran.err.starts_with("studies: AWS refuses: no"), "{ran:?}");
    assert_eq!(bench.shown("a").await, old);

    bench.endpoint = direct;
    let checked = bench.run("check", &[]).await;
    assert!(checked.out.contains("1 study can be served, 0 cannot"), "{checked:?}");
    assert_eq!(checked.status, 1, "the new document's parts are there, and named by none");
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    assert_eq!(bench.shown("a").await, new);
    assert_eq!(bench.run("check", &[]).await.status, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs STUDIES_DIR, a folder of collected ImagingStudy documents"]
async fn collected_documents_are_loaded_and_come_back_unchanged() {
    let bench = Bench::new().await;
    let mut studies = Vec::new();
    for path in local::json_files(&local::data_folder("STUDIES_DIR")) {
        let text = fs::read_to_string(&path).unwrap();
        if let Some(id) =
            serde_json::from_str::<Value>(&text).ok().and_then(|study| Some(study["id"].as_str()?.to_owned()))
        {
            bench.file(path.file_name().unwrap().to_str().unwrap(), &text);
            studies.push((id, text));
        }
    }
    assert_eq!(bench.run("load", &[bench.folder.to_str().unwrap()]).await.status, 0);
    for (id, text) in studies {
        assert_eq!(bench.shown(&id).await, text.trim());
    }
}
