//! `studies show`, `list`, `check` and `delete`.

use std::fs::File;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use table::parts::{PartKey, WriteId};

use crate::{Bench, Ran, gzip, large_study, study, text};

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_items_that_cannot_be_served() {
    let bench = Bench::new().await;
    bench.put("good", AttributeValue::S(study("good", ""))).await;
    bench.put("text", AttributeValue::S("{".to_owned())).await;
    bench.put("zip", AttributeValue::B(Blob::new(&gzip(&study("zip", ""))[..40]))).await;
    bench.put("set", AttributeValue::Ss(vec!["x".to_owned()])).await;
    bench.put_at(local::SITE, "bare", None).await;
    let ran = bench.run("check", &[]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        [
            "bare: the item has no document",
            "set: attribute document has a type that no stored form has",
            "text: invalid ImagingStudy JSON (line 1, column 1)",
            "zip: damaged gzip data",
            "1 study can be served, 4 cannot, 0 orphaned parts",
            "1 × attribute document has a type that no stored form has",
            "1 × damaged gzip data",
            "1 × invalid ImagingStudy JSON",
            "1 × the item has no document",
        ]
    );
}

/// The key of a part of ours that was written so long ago.
fn part(head: &str, ago: Duration) -> String {
    PartKey { head: head.to_owned(), write: WriteId::new(SystemTime::now() - ago), index: 0 }.to_string()
}

const TWO_DAYS: Duration = Duration::from_hours(48);

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_beside_a_document_that_names_another_is_reported_in_every_form() {
    let bench = Bench::new().await;
    let json = study("a", "");
    for document in [text(&json), AttributeValue::B(Blob::new(gzip(&json)))] {
        let put = bench.table.put_item().table_name(local::TABLE).item("siteId", text(local::SITE));
        let put = put.item("id", text("a")).item("document", document).item("etag", text("\"1\""));
        for (subject, status) in [("Patient/1", 0), ("Patient/2", 1)] {
            put.clone().item("subject", text(subject)).send().await.unwrap();
            assert_eq!(bench.run("check", &[]).await.status, status, "{subject}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_no_study_names_for_a_day_are_reported_and_deleted_if_asked() {
    let bench = Bench::new().await;
    let binary = || AttributeValue::B(Blob::new("x"));
    let orphans = ["a", "b", "c"].map(|head| part(head, TWO_DAYS));
    let named = part("d", TWO_DAYS);
    let head = [
        ("etag", AttributeValue::S("\"1\"".to_owned())),
        ("parts", AttributeValue::L(vec![AttributeValue::S(named.clone())])),
    ];
    // A head of another key than the part's names it as well.
    bench.put_attributes("z", head).await;
    let not_binary = part("e", TWO_DAYS);
    bench.put(&not_binary, AttributeValue::S("x".to_owned())).await;
    let recent = part("b", Duration::from_hours(23));
    let content_named = "b#0123456789abcdef0123456789abcdef#0";
    for key in [&*named, &recent, content_named, "b#"].into_iter().chain(orphans.iter().map(String::as_str)) {
        bench.put(key, binary()).await;
    }
    assert_eq!(bench.run("load", &[&bench.file("b.json", large_study("b", 1))]).await.status, 0);
    let before = bench.keys().await;

    let ran = bench.run("check", &[]).await;
    let orphan = |key: &String| format!("{key}: an orphaned part: no study names it");
    let foreign = |key: &str| format!("{key}: an item of another program: neither a study nor named by one");
    let mut expected: Vec<_> = orphans.iter().map(orphan).collect();
    expected.insert(0, "z: damaged gzip data".to_owned());
    expected.extend(["b#", content_named, &not_binary].map(foreign));
    let counted = ", 1 part of loads that run or ended within a day, 3 items of other programs";
    expected.push(format!("1 study can be served, 1 cannot, 3 orphaned parts{counted}"));
    expected.push("1 × damaged gzip data".to_owned());
    assert_eq!(
        (ran.status, ran.out.lines().collect::<Vec<_>>()),
        (1, expected.iter().map(String::as_str).collect())
    );

    let ran = bench.run("check", &["--remove-orphans"]).await;
    assert!(ran.out.contains(&format!("3 orphaned parts deleted{counted}\n")), "{ran:?}");
    let left: Vec<_> = before.into_iter().filter(|key| !orphans.contains(key)).collect();
    assert_eq!(bench.keys().await, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_check_leaves_alone_are_no_failure() {
    let bench = Bench::new().await;
    bench.put("a", AttributeValue::S(study("a", ""))).await;
    bench.put(&part("a", Duration::ZERO), AttributeValue::B(Blob::new("x"))).await;
    bench.put("a#00#0", AttributeValue::B(Blob::new("x"))).await;
    for arguments in [&[][..], &["--remove-orphans"]] {
        assert_eq!(bench.run("check", arguments).await.status, 0);
        assert_eq!(bench.keys().await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_another_writer_names_as_a_part_survives_load_and_delete() {
    let bench = Bench::new().await;
    let victim = study("victim", "");
    for (command, argument) in [("load", bench.file("a.json", study("a", ""))), ("delete", "a".to_owned())] {
        bench.put("victim", AttributeValue::S(victim.clone())).await;
        let victim = AttributeValue::L(vec![AttributeValue::S("victim".to_owned())]);
        bench.put_attributes("a", [("etag", AttributeValue::S("\"1\"".to_owned())), ("parts", victim)]).await;
        assert_eq!(bench.run(command, &[&argument]).await.status, 0);
        assert!(bench.keys().await.contains(&"victim".to_owned()), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_a_study_with_its_parts_and_can_be_repeated() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [large_study("a", 1), study("b", "")].join("\n"));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    let ran = bench.run("delete", &["A", "x"]).await;
    assert_eq!((ran.status, ran.out.as_str()), (0, "A: deleted\nx: does not exist\n"));
    assert_eq!(bench.keys().await, ["b"]);
    let ran = bench.run("delete", &["A", "b"]).await;
    assert_eq!((ran.status, ran.out.as_str()), (0, "A: does not exist\nb: deleted\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn show_says_that_a_study_does_not_exist() {
    let ran = Bench::new().await.run("show", &["nobody"]).await;
    assert_eq!((ran.status, ran.err.as_str()), (1, "studies: site 4 has no study nobody\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn show_ends_quietly_if_nobody_reads() {
    let bench = Bench::new().await;
    assert_eq!(bench.run("load", &[&bench.file("a.json", large_study("a", 1))]).await.status, 0);
    let mut child =
        bench.command("show", &["a"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn show_says_that_an_item_has_no_document() {
    let bench = Bench::new().await;
    bench.put_at(local::SITE, "bare", None).await;
    let ran = bench.run("show", &["bare"]).await;
    let reason = "studies: the study cannot be read: the item has no document\n";
    assert_eq!((ran.status, ran.err.as_str()), (2, reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_any_item_is_said() {
    let bench = Bench::new().await;
    for (command, what) in [("check", "items"), ("list", "studies")] {
        let ran = bench.run(command, &[]).await;
        let reason = format!("studies: site 4 has no {what} in table ImagingStudies in region");
        assert_eq!((ran.status, ran.out.as_str()), (1, ""));
        assert!(ran.err.starts_with(&reason), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_names_each_site_once() {
    let bench = Bench::new().await;
    let list =
        async |arguments: &[&str]| Ran::from(bench.at_table("list", arguments).output().await.unwrap());
    let empty = list(&[]).await;
    assert_eq!((empty.status, empty.out.as_str()), (1, ""));
    for site in ["4", "5", "40", "a~b"] {
        for id in ["a", "b", "b#00#0", "zzz"] {
            bench.put_at(site, id, None).await;
        }
    }
    let listed = list(&[]).await;
    let mut sites: Vec<_> = listed.out.lines().collect();
    sites.sort_unstable();
    assert_eq!((listed.status, sites), (0, vec!["4", "40", "5", "a~b"]));
    assert_eq!(list(&["--json"]).await.out.lines().filter(|line| *line == r#"{"site":"40"}"#).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_describes_each_study_of_a_site() {
    let bench = Bench::new().await;
    let meta = r#","meta":{"versionId":"7","lastUpdated":"2024-05-04T12:00:00Z"}"#;
    let long = study("long", &format!(r#","description":"{}""#, "x".repeat(10_000)));
    let file = bench.file("a.ndjson", [study("text", meta), long, large_study("parts", 1)].join("\n"));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    bench.put("broken", AttributeValue::S("{".to_owned())).await;
    bench.put("orphan#00#0", AttributeValue::B(Blob::new("x"))).await;
    bench.put_at("5", "elsewhere", Some(AttributeValue::S(study("elsewhere", "")))).await;

    let listed = bench.run("list", &["--json"]).await;
    assert_eq!(listed.status, 0, "{listed:?}");
    let studies: Vec<Value> = listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = studies.iter().map(|study| (&study["id"], &study["form"])).collect();
    assert_eq!(
        serde_json::json!(ids),
        serde_json::json!([["broken", "unreadable"], ["long", "gzip"], ["parts", "parts"], ["text", "text"]])
    );
    let bytes = study("text", meta).len();
    let text = serde_json::json!({
        "id": "text", "form": "text", "bytes": bytes, "etag": "W/\"7\"", "lastUpdated": "2024-05-04T12:00:00Z"
    });
    assert_eq!(studies[3], text);
    assert!(studies[2]["bytes"].as_u64().unwrap() > 409_600, "{}", studies[2]);

    let table = bench.run("list", &[]).await;
    let lines: Vec<Vec<_>> = table.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "FORM", "BYTES", "LAST", "UPDATED", "ETAG"]);
    assert_eq!(lines[4], ["text", "text", &bytes.to_string(), "2024-05-04T12:00:00Z", "W/\"7\""]);
    assert_eq!(lines.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_all_empties_one_site_and_asks_first() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [study("a", ""), large_study("b", 1)].join("\n"));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    bench.put("orphan#00#0", AttributeValue::B(Blob::new("x"))).await;
    bench.put_at("5", "kept", Some(AttributeValue::S(study("kept", "")))).await;
    let before = bench.keys().await;

    let ran = bench.run("delete", &["--all"]).await;
    let reason = "studies: --all asks before it deletes; add --yes where nobody can answer\n";
    assert_eq!((ran.status, ran.err.as_str()), (2, reason));
    for wrong in [&["--all", "a"][..], &["--yes", "a"], &[]] {
        assert_eq!(bench.run("delete", wrong).await.status, 2, "{wrong:?}");
    }
    assert_eq!(bench.keys().await, before);

    let ran = bench.run("delete", &["--all", "--yes"]).await;
    let rest = "; 1 item is left that no study names\n";
    assert_eq!((ran.status, ran.out), (0, format!("2 studies of site 4 deleted{rest}")));
    assert_eq!(bench.keys().await, ["orphan#00#0", "kept"]);
    let ran = bench.run("delete", &["--all", "--yes"]).await;
    assert_eq!((ran.status, ran.out), (0, format!("0 studies of site 4 deleted{rest}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_delete_all_deletes_only_after_a_yes() {
    let bench = Bench::new().await;
    bench.put("a", AttributeValue::S(study("a", ""))).await;
    for answer in ["\n", "n\n", "yess\n", "\x04"] {
        let ran = run_at_terminal(&bench, "delete", &["--all"], answer).await;
        let question = format!("Delete every study of site 4 from table {} ", local::TABLE);
        assert!(ran.err.starts_with(&question), "{ran:?}");
        assert!(ran.err.ends_with("? [y/N] studies: nothing was deleted\n"), "{ran:?}");
        assert_eq!((ran.status, bench.keys().await.len()), (2, 1), "{answer:?}");
    }
    for answer in ["y\n", " YES \n"] {
        bench.put("a", AttributeValue::S(study("a", ""))).await;
        let ran = run_at_terminal(&bench, "delete", &["--all"], answer).await;
        assert_eq!((ran.status, ran.out.as_str()), (0, "1 study of site 4 deleted\n"), "{answer:?}");
        assert!(bench.keys().await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_load_asks_for_input_instead_of_waiting() {
    let ran = run_at_terminal(&Bench::new().await, "load", &[], "").await;
    let reason = "studies: no input: name files or folders, or pipe documents in\n";
    assert_eq!((ran.status, ran.err.as_str()), (2, reason));
}

/// Runs the tool with a terminal as its standard input, at which `typed` is typed.
async fn run_at_terminal(bench: &Bench, command: &str, arguments: &[&str], typed: &str) -> Ran {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let input = File::options().read(true).write(true).open(name).unwrap();
    let mut terminal = File::from(terminal);
    terminal.write_all(typed.as_bytes()).unwrap();
    bench.command(command, arguments).stdin(input).output().await.unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_of_several_pages_is_read_to_its_end() {
    let bench = Bench::new().await;
    let noise: Vec<_> = (0..8).map(|n| large_study(&format!("s{n}"), n)).collect();
    assert_eq!(bench.run("load", &[&bench.file("a.ndjson", noise.join("\n"))]).await.status, 0);
    let checked = bench.run("check", &[]).await;
    assert_eq!(checked.out, "8 studies can be served, 0 cannot, 0 orphaned parts\n");
    assert_eq!(bench.run("list", &["--json"]).await.out.lines().count(), 8);
    assert_eq!(bench.run("delete", &["--all", "--yes"]).await.out, "8 studies of site 4 deleted\n");
    assert!(bench.keys().await.is_empty());
}
