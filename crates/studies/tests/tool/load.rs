//! `studies load`: what it reads, writes, reports and says.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use testkit::dynamodb::Fault;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::{Bench, Ran, gzip, large_study, lines, studies, study};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_input_is_loaded_and_keeps_its_bytes() {
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
    let ran = bench.run("load", &[&bench.path("")]).await;
    assert_eq!(
        (ran.status, ran.out.as_str(), ran.err.as_str()),
        (
            0,
            "4 studies loaded (4 added, 0 replaced, 0 unchanged), 0 documents rejected, \
             1 resource of other types skipped\n",
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
async fn a_load_into_an_empty_table_soon_stops_reading_before_it_writes() {
    let calls = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let counted = Arc::clone(&calls);
    let bench = Bench::with_faults(move |operation, _| {
        counted[usize::from(operation == "GetItem")].fetch_add(1, Ordering::Relaxed);
        Fault::None
    })
    .await;
    let input = bench.file("a.ndjson", lines(0..400, ""));
    let sent = || calls.each_ref().map(|calls| calls.swap(0, Ordering::Relaxed));
    for (change, [most_writes, most_reads]) in [("400 added", [400, 200]), ("400 unchanged", [0, 401])] {
        let ran = bench.run("load", &[&input]).await;
        assert!(ran.out.contains(change), "{ran:?}");
        let [writes, reads] = sent();
        assert!(writes <= most_writes && reads <= most_reads, "{change}: {writes} writes, {reads} reads");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_table_has_is_found_after_many_studies_that_it_lacked() {
    let bench = Bench::new().await;
    bench.run("load", &[&bench.file("a.ndjson", lines(300..400, ""))]).await;
    let other = r#","description":"other""#;
    let ran =
        bench.run("load", &[&bench.file("b.ndjson", lines(0..350, "") + &lines(350..400, other))]).await;
    for change in ["300 added", "50 replaced", "50 unchanged"] {
        assert!(ran.out.contains(change), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_path_standard_input_is_read() {
    let bench = Bench::new().await;
    let (child, mut input) = bench.loading(&[]);
    input.write_all(format!("{}\n{}", study("a", ""), study("b", "")).as_bytes()).await.unwrap();
    drop(input);
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(bench.keys().await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_documents_are_reported_and_the_others_loaded() {
    let bench = Bench::new().await;
    let unknown = study("bad", r#","series":[{"uid":"1.2","modality":{"code":"CT"},"foo":1}]"#);
    let lines = bench.file("a.ndjson", [study("a", ""), unknown, "{".to_owned(), study("b", "")].join("\n"));
    let report = bench.path("report");
    let ran = bench.run("load", &[&lines, "--report", &report]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.out.starts_with("2 studies loaded (2 added, 0 replaced, 0 unchanged), 2 documents rejected\n")
    );
    let tally = [
        "1 × is not JSON: EOF while parsing an object",
        "1 × is not an element of an R4 ImagingStudy.series",
    ];
    assert_eq!(ran.out.lines().skip(1).collect::<Vec<_>>(), tally);
    assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
    assert_eq!(bench.keys().await, ["a", "b"]);

    let report = fs::read_to_string(report).unwrap();
    let objects: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        objects,
        [
            serde_json::json!({
                "file": lines, "line": 2, "id": "bad", "moreProblems": 0, "problems": [
                    {"path": "ImagingStudy.series[0].foo", "reason": "is not an element of an R4 ImagingStudy.series"}
                ]
            }),
            serde_json::json!({
                "file": lines, "line": 3, "id": null, "moreProblems": 0, "problems": [
                    {"path": "", "reason": "is not JSON: EOF while parsing an object at column 1"}
                ]
            }),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_values_are_left_out_on_demand() {
    let bench = Bench::new().await;
    let empty =
        r#","note":[],"encounter":{},"description":"","endpoint":[{"display":null}],"numberOfSeries":null"#;
    let file = bench.file("a.ndjson", lines(0..14, empty));
    let ran = bench.run("load", &[&file]).await;
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains(", 14 documents rejected\n"), "{ran:?}");
    assert!(ran.out.contains("\n14 × must not be an empty array: try --drop-empty\n"), "{ran:?}");
    let ran = bench.run("load", &["--drop-empty", &file]).await;
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (
            0,
            "14 studies loaded (14 added, 0 replaced, 0 unchanged), 70 empty values left out, 0 documents rejected\n"
        )
    );
    assert_eq!(bench.shown("s0").await, study("s0", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_documents_with_one_id_the_later_wins() {
    let bench = Bench::new().await;
    let later = study("a", r#","description":"later""#);
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
    bench.delete_item(&part).await;

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
async fn an_item_under_the_ids_own_case_does_not_hide_the_new_one() {
    let bench = Bench::new().await;
    bench.put("A", AttributeValue::S(study("A", r#","description":"old""#))).await;
    let new = study("A", r#","description":"new""#);
    let ran = bench.run("load", &[&bench.file("a.json", &new)]).await;
    assert!(ran.out.contains("(0 added, 1 replaced, 0 unchanged)"), "{ran:?}");
    assert_eq!(bench.keys().await, ["a"]);
    assert_eq!(bench.shown("A").await, new);
}

/// The function looks up an id as given first.
#[tokio::test(flavor = "multi_thread")]
async fn loading_again_removes_an_item_that_hides_an_unchanged_study() {
    let bench = Bench::new().await;
    let file = bench.file("a.json", study("A", ""));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    bench.put("A", AttributeValue::S(study("A", r#","description":"old""#))).await;
    let ran = bench.run("load", &[&file]).await;
    assert!(ran.out.contains("(0 added, 1 replaced, 0 unchanged)"), "{ran:?}");
    assert_eq!(bench.keys().await, ["a"]);
    assert_eq!(bench.shown("A").await, study("A", ""));
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
    assert_eq!(
        (ran.status, ran.out.as_str(), ran.err.as_str()),
        (0, "2 studies could be loaded (504 B in the table, 2 write units), 0 documents rejected\n", "")
    );
    assert!(bench.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_without_studies_is_a_failure() {
    let bench = Bench::new().await;
    let ran = bench.run("load", &[&bench.file("a.json", r#"{"resourceType":"Patient"}"#)]).await;
    assert_eq!((ran.status, ran.err.as_str()), (2, "studies: the input has no ImagingStudy\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_environment_is_one_line_and_status_2() {
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
    no_credentials.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let mut no_secret = load("T", &endpoint);
    no_secret.env("AWS_SECRET_ACCESS_KEY", "");
    let mut no_key = load("T", &endpoint);
    no_key.env_remove("AWS_ACCESS_KEY_ID");
    let mut failing_credentials = load("T", &endpoint);
    let config = bench.file("config", "[default]\ncredential_process = false\n");
    failing_credentials
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONFIG_FILE", config)
        .env("PATH", "/bin:/usr/bin");
    let mut no_profile = load("T", &endpoint);
    no_profile
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_PROFILE", "nobody");
    let mut no_bundle = load("T", &endpoint);
    no_bundle.env("AWS_CA_BUNDLE", "/nowhere/roots.pem");
    let no_such_table = format!("there is no table Other in region eu-central-1 ({endpoint})");
    let no_file = bench.command("load", &["/nowhere/a.json"]);
    let no_report = bench.command("load", &[&file, "--report", "/nowhere/report"]);
    let long_name = bench.path(&"a".repeat(300));
    let no_report_name = bench.command("load", &[&file, "--report", &long_name]);
    for (mut command, reason) in [
        (no_table, "no table: give --table, or set TABLE_NAME"),
        (other_table, &*no_such_table),
        (nobody, "DynamoDB cannot be reached at http://127.0.0.1:1: "),
        (no_region, "no region: set AWS_REGION, or use a profile that has one"),
        (no_credentials, "no credentials: set AWS_PROFILE, or log in\n"),
        (no_secret, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both, or neither\n"),
        (no_key, "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not: set both, or neither\n"),
        (failing_credentials, "credentials could not be loaded: "),
        (no_profile, "no profile nobody in the AWS configuration: "),
        (no_bundle, "AWS_CA_BUNDLE: the file cannot be read: "),
        (no_file, "/nowhere/a.json: No such file or directory"),
        (no_report, "/nowhere/report: the report cannot be written: No such file or directory"),
        (no_report_name, &format!("{long_name}: the report cannot be written: File name too long")),
    ] {
        let ran = Ran::from(command.output().await.unwrap());
        assert_eq!((ran.status, ran.err.lines().count()), (2, 1), "{ran:?}");
        assert!(ran.err.starts_with(&format!("studies: {reason}")), "{ran:?}");
    }
    assert!(bench.keys().await.is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_report_or_summary_is_a_failure() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", ["{".to_owned(), study("a", "")].join("\n"));
    let ran = bench.run("load", &[&file, "--report", "/dev/full"]).await;
    assert_eq!(ran.status, 2);
    let last = ran.err.lines().last().unwrap_or_default();
    let no_space = "cannot be written: No space left on device";
    assert!(last.starts_with("studies: ") && last.contains(no_space), "{ran:?}");

    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let file = bench.file("a.json", study("a", ""));
    let child = bench.command("load", &[&file]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!((ran.status, ran.err), (2, format!("studies: standard output {no_space}\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_never_replaces_an_input() {
    let bench = Bench::new().await;
    let content = [study("a", ""), "{".to_owned()].join("\n");
    let file = bench.file("a.ndjson", &content);
    let link = bench.path("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for (input, report) in [(&file, &file), (&bench.path(""), &file), (&file, &link), (&link, &file)] {
        for force in [&[][..], &["--force"]] {
            let ran = bench.run("load", &[&[input, "--report", report], force].concat()).await;
            let reason = format!("studies: {report}: the report would replace an input\n");
            assert_eq!((ran.status, ran.err), (2, reason));
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
    }
    assert!(bench.keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_replaces_an_earlier_report_and_other_files_only_by_force() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [study("a", ""), "{".to_owned()].join("\n"));
    let report = bench.file("report.json", "");
    let load = [&*file, "--report", &report];
    for _ in 0..2 {
        assert_eq!(bench.run("load", &load).await.status, 1);
        assert_eq!(fs::read_to_string(&report).unwrap().lines().count(), 1);
    }
    for other in [study("precious", ""), "notes\n".to_owned(), "[\"a\",[],0]\n".to_owned()] {
        fs::write(&report, &other).unwrap();
        let ran = bench.run("load", &load).await;
        assert_eq!((ran.status, ran.err.contains("add --force to replace it")), (2, true), "{ran:?}");
        assert_eq!(fs::read_to_string(&report).unwrap(), other);
        let ran = bench.run("load", &[&load[..], &["--force"]].concat()).await;
        assert_eq!(ran.status, 1);
        assert!(fs::read_to_string(&report).unwrap().starts_with(r#"{"file":"#));
    }
    let left = fs::read_dir(bench.folder.path()).unwrap().count();
    assert_eq!(left, 2, "temporary files are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_written_in_its_own_folder() {
    let bench = Bench::new().await;
    let file = bench.file("a.json", "{");
    // Nobody can write files in /proc.
    for (folder, report) in [(bench.path(""), "a.report"), ("/proc".to_owned(), &*bench.path("b.report"))] {
        let mut load = bench.command("load", &["--dry-run", &file, "--report", report]);
        let ran = Ran::from(load.current_dir(folder).output().await.unwrap());
        assert_eq!(ran.status, 1, "{ran:?}");
    }
    for report in ["a.report", "b.report"] {
        assert_eq!(fs::read_to_string(bench.path(report)).unwrap().lines().count(), 1, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_not_completed_leaves_the_earlier_one() {
    let bench = Bench::new().await;
    let earlier = r#"{"file":"x","line":1,"id":null,"problems":[],"moreProblems":0}"#;
    let report = bench.file("report.json", earlier);
    let (mut child, mut input) = bench.loading(&["--report", &report]);
    input.write_all(b"x\n").await.unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("rejected -:1"));
    assert_eq!(fs::read_to_string(&report).unwrap(), earlier);
    child.kill().await.unwrap();
    assert_eq!(fs::read_to_string(&report).unwrap(), earlier);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_breaks_off_is_said_once_and_fails_the_load() {
    let bench = Bench::new().await;
    let lines = lines(0..200, "");
    let whole = gzip(&lines);
    let cut = bench.file("cut.ndjson.gz", &whole[..whole.len() - 20]);
    let other = bench.file("other.json", study("other", ""));
    let report = bench.path("report");
    let ran = bench.run("load", &[&cut, &other, "--report", &report]).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    let [broken, end] = ran.err.lines().collect::<Vec<_>>()[..] else { panic!("{ran:?}") };
    assert!(broken.starts_with(&format!("{cut} could not be read beyond ")), "{broken}");
    assert!(broken.contains(" bytes of text ("), "{broken}");
    assert_eq!(end, "studies: 1 input could not be read to the end");
    assert!(ran.out.ends_with(", 0 documents rejected\n"), "{ran:?}");
    assert_eq!(fs::read_to_string(report).unwrap(), "");
    assert!(bench.keys().await.contains(&"other".to_owned()), "the other input is loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn ndjson_from_a_pipe_survives_a_broken_document_wherever_it_is() {
    let bench = Bench::new().await;
    let long = study("long", &format!(r#","description":"{}""#, "x".repeat(1 << 20)));
    let lines = ["{\"a\":".to_owned(), long, "x".to_owned(), study("b", ""), "{".to_owned(), study("c", "")];
    let (child, mut input) = bench.loading(&[]);
    tokio::spawn(async move {
        for piece in lines.join("\n").as_bytes().chunks(8192) {
            input.write_all(piece).await.unwrap();
            input.flush().await.unwrap();
        }
    });
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.out.starts_with("3 studies loaded"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 3, "{ran:?}");
    assert_eq!(bench.keys().await, ["b", "c", "long"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_whose_head_fits_no_item_is_rejected_alone() {
    let bench = Bench::new().await;
    let long = study("long", "")
        .replace("Patient/1", &format!("http://example.org/{}/Patient/1", "x".repeat(500_000)));
    let ran = bench
        .run("load", &[&bench.file("a.ndjson", [study("a", ""), long, study("b", "")].join("\n"))])
        .await;
    assert_eq!((ran.status, ran.err.lines().count()), (1, 1), "{ran:?}");
    assert!(ran.err.contains("too many bytes for one item"), "{ran:?}");
    assert_eq!(bench.keys().await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_folder_that_are_skipped_are_counted_and_named_if_asked() {
    let bench = Bench::new().await;
    bench.file("a.json", study("a", ""));
    let notes = bench.file("notes.txt", "x");
    let ran = bench.run("load", &[&bench.path("")]).await;
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(ran.out.ends_with(", 1 file with other names skipped\n"), "{ran:?}");
    let ran = bench.run("load", &[&bench.path(""), "--verbose"]).await;
    assert_eq!(ran.err, format!("skipped {notes}\n"));
    let ran = bench.run("load", &[&bench.file("b.text", study("b", ""))]).await;
    assert_eq!(ran.status, 0, "a file that is named itself is read: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_lists_the_endings_that_are_read() {
    let help = Ran::from(studies().args(["load", "--help"]).output().await.unwrap()).out;
    for ending in studies::input::ENDINGS {
        assert!(help.contains(&format!(".{ending}")), "{help}");
    }
    assert!(help.contains(".gz"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_bounds_the_writes_of_each_second() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", lines(0..16, ""));
    let since = Instant::now();
    assert_eq!(bench.run("load", &[&file, "--rate", "10"]).await.status, 0);
    assert!(since.elapsed() >= Duration::from_millis(1_500), "{:?}", since.elapsed());
    assert_eq!(bench.run("load", &[&file, "--rate", "0"]).await.status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_load_completes_its_writes_and_says_how_to_continue() {
    for signal in ["-INT", "-TERM"] {
        let bench = Bench::new().await;
        let (mut child, mut input) = bench.loading(&[]);
        // A rejected document is reported at once: the studies before it are being written.
        let lines = format!("{}\n{}\n{{\n", study("a", ""), large_study("b", 1));
        input.write_all(lines.as_bytes()).await.unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(told.next_line().await.unwrap().unwrap().starts_with("rejected -:3"));
        let pid = child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());

        let mut next = async || told.next_line().await.unwrap().unwrap();
        assert_eq!(
            next().await,
            "stopping: writes in progress are being completed; interrupt again to end at once"
        );
        assert_eq!(next().await, "studies: stopped; run the same command again to continue");
        let ran = Ran::from(child.wait_with_output().await.unwrap());
        assert_eq!(ran.status, 2);
        assert!(ran.out.starts_with("2 studies loaded"), "{ran:?}");
        assert_eq!(bench.run("check", &[]).await.status, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_dry_run_does_not_speak_of_writing() {
    let bench = Bench::new().await;
    let (mut child, mut input) = bench.loading(&["--dry-run"]);
    input.write_all(format!("{}\n{{\n", study("a", "")).as_bytes()).await.unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("rejected -:2"));
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    lines.next_line().await.unwrap();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "studies: stopped");
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert!(ran.out.starts_with("1 study could be loaded"), "{ran:?}");
    assert_eq!(ran.status, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs STUDIES_DIR, a folder of collected ImagingStudy documents"]
async fn collected_documents_are_loaded_and_come_back_unchanged() {
    let bench = Bench::new().await;
    let mut studies = Vec::new();
    for path in local::json_files(&testkit::data_folder("STUDIES_DIR")) {
        let text = fs::read_to_string(&path).unwrap();
        if let Some(id) =
            serde_json::from_str::<Value>(&text).ok().and_then(|study| Some(study["id"].as_str()?.to_owned()))
        {
            bench.file(path.file_name().unwrap().to_str().unwrap(), &text);
            studies.push((id, text));
        }
    }
    assert_eq!(bench.run("load", &[&bench.path("")]).await.status, 0);
    for (id, text) in studies {
        assert_eq!(bench.shown(&id).await, text.trim());
    }
}
