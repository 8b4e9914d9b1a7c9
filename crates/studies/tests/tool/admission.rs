//! What a load does not put in front: another patient's study, an old version, a deleted one.

use std::fs;

use serde_json::Value;

use crate::{Bench, large_study, study, text};

/// A study of this version, one minute later than the one before.
fn version(id: &str, minute: u32) -> String {
    study(id, &format!(r#","meta":{{"versionId":"{minute}","lastUpdated":"2024-05-04T12:{minute:02}:00Z"}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_is_kept_out_and_said_unless_it_is_asked_for() {
    let bench = Bench::new().await;
    let (new, old) = (bench.file("new.json", version("a", 2)), bench.file("old.json", version("a", 1)));
    assert_eq!(bench.run("load", &[&new]).await.status, 0);
    let ran = bench.run("load", &[&old]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.err.contains("kept ") && ran.out.contains("1 study kept"), "{ran:?}");
    assert_eq!(bench.run("show", &["a"]).await.out, version("a", 2));
    assert_eq!(bench.run("load", &[&old, "--allow-older"]).await.status, 0);
    assert_eq!(bench.run("show", &["a"]).await.out, version("a", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_input_does_not_decide_between_versions() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [version("a", 1), version("a", 3), version("a", 2)].join("\n"));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    assert_eq!(bench.run("show", &["a"]).await.out, version("a", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_in_the_future_keeps_no_version_out() {
    let bench = Bench::new().await;
    let future = study("a", r#","meta":{"lastUpdated":"2999-01-01T00:00:00Z"}"#);
    let file = bench.file("a.ndjson", [future, version("a", 1)].join("\n"));
    assert_eq!(bench.run("load", &[&file]).await.status, 0);
    assert_eq!(bench.run("show", &["a"]).await.out, version("a", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_with_one_id_are_counted_and_named() {
    let bench = Bench::new().await;
    let ids = ["a", "b", "a", "c", "b", "a"];
    let lines: Vec<_> = ids.iter().zip(0..).map(|(id, minute)| version(id, minute)).collect();
    let file = bench.file("a.ndjson", lines.join("\n"));
    for dry_run in [&["--dry-run"][..], &[]] {
        let ran = bench.run("load", &[&[&*file], dry_run].concat()).await;
        let counted = ", 3 documents have the id of an earlier one (a, b), 0 documents rejected\n";
        assert!(ran.status == 0 && ran.out.ends_with(counted), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_differs_only_in_case_from_one_in_the_table_is_rejected() {
    let bench = Bench::new().await;
    let other = large_study("StudyAb", 1);
    let new = bench.file("new.json", study("STUDYaB", ""));
    for stored in ["by the tool", "by another program"] {
        if stored == "by the tool" {
            assert_eq!(bench.run("load", &[&bench.file("a.json", &other)]).await.status, 0);
        } else {
            bench.put("studyab", text(&study("StudyAb", ""))).await;
        }
        let ran = bench.run("load", &[&new]).await;
        assert!(
            ran.status == 1 && ran.err.contains("differs only in case from StudyAb"),
            "{stored}: {ran:?}"
        );
        assert_ne!(bench.shown("STUDYaB").await, study("STUDYaB", ""), "{stored}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_differs_only_in_case_replaces_no_other_study() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", [study("StudyAb", ""), study("STUDYaB", "")].join("\n"));
    let ran = bench.run("load", &[&file, "--dry-run"]).await;
    assert!(ran.status == 1 && ran.err.contains("differs only in case from StudyAb"), "{ran:?}");
    let ran = bench.run("load", &[&file]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.err.contains("a.ndjson:2") && ran.err.contains("differs only in case from StudyAb"),
        "{ran:?}"
    );
    assert_eq!(bench.run("show", &["STUDYaB"]).await.out, study("StudyAb", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_writer_named_as_parts_is_neither_deleted_nor_swept() {
    let bench = Bench::new().await;
    let victim = bench.file("victim.json", study("victim", ""));
    assert_eq!(bench.run("load", &[&victim]).await.status, 0);
    bench.put("other#1", text("a part")).await;
    for named in ["victim", "other#1"] {
        let put = bench.table.put_item().table_name(local::TABLE).item("siteId", text(local::SITE));
        let parts = aws_sdk_dynamodb::types::AttributeValue::L(vec![text(named)]);
        let put = put.item("id", text("a")).item("etag", text("\"1\"")).item("parts", parts);
        put.clone().send().await.unwrap();
        bench.run("check", &["--remove-orphans"]).await;
        assert!(bench.keys().await.contains(&named.to_owned()), "swept: {named}");
        bench.run("delete", &["a"]).await;
        assert!(bench.keys().await.contains(&named.to_owned()), "deleted: {named}");
        put.send().await.unwrap();
        let file = bench.file("a.json", study("a", ""));
        assert_eq!(bench.run("load", &[&file]).await.status, 0);
        assert!(bench.keys().await.contains(&named.to_owned()), "replaced: {named}");
    }
    assert_eq!(bench.run("show", &["victim"]).await.out, study("victim", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_no_patients_token_can_match_loads_with_a_warning() {
    let bench = Bench::new().await;
    for (subject, warned) in [
        (r#"{"reference":"urn:uuid:4fd0bfc3-7a4e-4f0c-9d4d-1b1a3b1f8a11"}"#, true),
        (r#"{"identifier":{"value":"1"}}"#, true),
        (r#"{"reference":"Patient/1"}"#, false),
    ] {
        let study = study("a", "").replace(r#"{"reference":"Patient/1"}"#, subject);
        for dry_run in [&["--dry-run"][..], &[]] {
            let file = bench.file("a.json", &study);
            let ran = bench.run("load", &[&[&*file], dry_run].concat()).await;
            assert_eq!((ran.status, ran.err.contains("warning ")), (0, warned), "{subject}: {ran:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_deletions_subsets_and_conditional_references_are_rejected() {
    let bench = Bench::new().await;
    let entry = |rest: &str| {
        let study = study("a", "");
        format!(r#"{{"resourceType":"Bundle","type":"history","entry":[{{"resource":{study}{rest}}}]}}"#)
    };
    for (name, document) in [
        ("history", entry(r#","request":{"method":"PUT"},"response":{"status":"200"}"#)),
        ("deletion", entry(r#","request":{"method":"DELETE"},"response":{"status":"204"}"#)),
        ("subset", study("a", r#","meta":{"tag":[{"code":"SUBSETTED"}]}"#)),
        (
            "deleted",
            study("a", r#","meta":{"extension":[{"url":"http://x/deleted-state","valueString":"x"}]}"#),
        ),
        ("conditional", study("a", r#","referrer":{"reference":"Practitioner?identifier=1"}"#)),
    ] {
        let file = bench.file("a.json", &document);
        let ran = bench.run("load", &[&file]).await;
        assert_eq!((ran.status, ran.err.contains("rejected ")), (1, true), "{name}: {ran:?}");
        fs::remove_file(file).unwrap();
    }
    assert!(bench.keys().await.is_empty());
}

/// A study of so many series whose UIDs are none.
fn wrong_dicom(id: &str, series: usize) -> String {
    let series = vec![r#"{"uid":"x","modality":{"code":"CT"}}"#; series].join(",");
    study(id, &format!(r#","series":[{series}]"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_warnings_are_shown_and_all_are_summed_and_reported() {
    let bench = Bench::new().await;
    let lines = [wrong_dicom("a", 8), wrong_dicom("b", 8), study("c", "")];
    let (file, report) = (bench.file("a.ndjson", lines.join("\n")), bench.path("report"));
    for dry_run in [&["--dry-run"][..], &[]] {
        let ran = bench.run("load", &[&[&*file, "--report", &report], dry_run].concat()).await;
        assert_eq!(ran.status, 0, "{ran:?}");
        assert_eq!(ran.err.matches("\nwarning ").count() + 1, 10, "{ran:?}");
        let last = format!("warning {file}:2 (id b): ImagingStudy.series[1].uid is not a DICOM UID\n");
        let more = "more warnings are not shown: --report FILE has all of them\n";
        assert!(ran.err.ends_with(&format!("{last}{more}")), "{ran:?}");
        assert!(ran.out.contains("0 documents rejected, 2 studies with warnings\n"), "{ran:?}");
        assert!(ran.out.ends_with("\nwarning: 2 × is not a DICOM UID\n"), "{ran:?}");
        let report = fs::read_to_string(&report).unwrap();
        let objects: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> =
            objects.iter().map(|o| (&o["id"], o["warnings"].as_array().unwrap().len())).collect();
        assert_eq!(told, [(&"a".into(), 8), (&"b".into(), 8)]);
        assert_eq!(objects[0]["warnings"][7]["path"], "ImagingStudy.series[7].uid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_rejects_what_else_is_a_warning() {
    let bench = Bench::new().await;
    let unreadable = study("b", "").replace("Patient/1", "urn:uuid:4fd0bfc3-7a4e-4f0c-9d4d-1b1a3b1f8a11");
    let lines = [wrong_dicom("a", 1), unreadable, study("c", "")];
    let file = bench.file("a.ndjson", lines.join("\n"));
    let ran = bench.run("load", &[&file, "--strict"]).await;
    assert_eq!((ran.status, bench.keys().await), (1, vec!["c".to_owned()]), "{ran:?}");
    let rejected = format!("rejected {file}:1 (id a): ImagingStudy.series[0].uid is not a DICOM UID\n");
    assert!(
        ran.err.starts_with(&rejected) && ran.err.contains(":2 (id b): ImagingStudy.subject "),
        "{ran:?}"
    );
    assert!(ran.out.contains(", 2 documents rejected\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_studies_are_strictly_right() {
    let bench = Bench::new().await;
    let paths = local::sample_paths();
    let paths: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let ran = bench.run("load", &[&["--strict"], &*paths].concat()).await;
    assert_eq!((ran.status, &*ran.err), (0, ""), "{ran:?}");
}
