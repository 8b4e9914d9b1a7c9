//! What reaches a terminal or a log.

use std::os::unix::fs::symlink;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::*;

/// Characters that clear the screen, set a title, go up a line, write from right to left, and hide.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}1A\u{202e}\u{2066}\u{200b}\u{e0041}x";

/// Whether a text moves nothing but to the next line.
fn is_harmless(text: &str) -> bool {
    let hidden = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{e0041}'];
    !text.contains(|c: char| (c.is_control() && c != '\n') || hidden.contains(&c))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_hostile_reaches_the_screen() {
    let bench = Bench::new().await;
    let folder = bench.path(HOSTILE);
    fs::create_dir(&folder).unwrap();
    let [file, other, named] = ["a.json", "a.txt", "b.json"].map(|name| format!("{folder}/{HOSTILE}{name}"));
    let warned = study("w", "").replace(r#"{"reference":"Patient/1"}"#, r#"{"display":"x"}"#);
    fs::write(&file, format!("{{\"{HOSTILE}\n{warned}\n{{\"resourceType\":\"{HOSTILE}\"")).unwrap();
    fs::write(&other, "").unwrap();
    let unknown = concat!(r#","x\u001b\u0007\u202e"#, "\u{e0041}", r#"":1"#);
    fs::write(&named, study("bad", unknown)).unwrap();
    symlink("/etc/hostname", format!("{folder}/{HOSTILE}link.json")).unwrap();
    let report = format!("{folder}/{HOSTILE}report");
    let load: &[&str] = &[&folder, "--verbose", "--report", &report];
    let ran = [bench.run("load", load).await, bench.run("load", &[&folder, "--report", &file]).await];
    assert!(ran[0].err.contains("a link that leads out of its folder"), "{ran:?}");
    assert!(is_harmless(&fs::read_to_string(&report).unwrap()));

    bench
        .put_attributes(&format!("k{HOSTILE}"), [("etag", text(HOSTILE)), ("lastUpdated", text(HOSTILE))])
        .await;
    bench.put(&format!("p#{HOSTILE}"), AttributeValue::Bool(true)).await;
    bench.put_at(HOSTILE, "a", None).await;
    let mut ran = Vec::from(ran);
    for (command, arguments) in [
        ("list", &[][..]),
        ("list", &["--json"]),
        ("check", &[]),
        ("delete", &[HOSTILE]),
        ("load", &["--rate", HOSTILE]),
        ("load", &["/nowhere/\u{1b}\n"]),
    ] {
        ran.push(bench.run(command, arguments).await);
    }
    ran.push(bench.at_table("list", &[]).output().await.unwrap().into());
    ran.push(bench.at_table("list", &["--json"]).output().await.unwrap().into());
    let mut profile = bench.command("check", &[]);
    profile.env("AWS_PROFILE", HOSTILE).env_remove("AWS_ACCESS_KEY_ID");
    ran.push(profile.output().await.unwrap().into());
    for ran in &ran {
        assert!(is_harmless(&ran.out) && is_harmless(&ran.err), "{ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("\\u"), "{ran:?}");
    }
    for line in [&ran[3], &ran[9]].into_iter().flat_map(|ran| ran.out.lines()) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_never_replaces_a_file_that_appeared_or_changed_during_the_load() {
    let bench = Bench::new().await;
    for exists in [false, true] {
        let report = bench.path("report");
        if exists {
            bench.file("report", r#"{"file":"x","line":1,"id":null,"problems":[],"moreProblems":0}"#);
        }
        let (mut child, mut input) = bench.loading(&["--report", &report]);
        input.write_all(b"x\n").await.unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.next_line().await.unwrap().unwrap().starts_with("rejected -:1"));
        bench.file("report", "precious");
        drop(input);
        let said = lines.next_line().await.unwrap().unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(2));
        assert_eq!(fs::read_to_string(&report).unwrap(), "precious");
        let (said, kept) = said.split_once("; the report is in ").unwrap();
        assert_eq!(said, format!("studies: {report}: the file appeared or changed during the load"));
        assert!(fs::read_to_string(kept).unwrap().starts_with(r#"{"file":"-""#));
        fs::remove_file(report).unwrap();
    }
}
