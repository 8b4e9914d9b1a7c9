//! What reaches a terminal or a log.

use std::io::Read as _;
use std::os::unix::fs::symlink;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::*;

/// A terminal that a program writes to, as far as this tool uses it.
struct Screen {
    columns: usize,
    lines: Vec<String>,
    at: usize,
    /// What stood in the last line at any time.
    shown: Vec<String>,
}

impl Screen {
    fn new(columns: usize) -> Self {
        Self { columns, lines: vec![String::new()], at: 0, shown: Vec::new() }
    }

    fn write(&mut self, text: &str) {
        let mut text = text.chars();
        while let Some(c) = text.next() {
            let line = self.lines.last_mut().unwrap();
            match c {
                '\r' => self.at = 0,
                '\n' => self.lines.push(String::new()),
                '\u{1b}' => {
                    assert_eq!((text.next(), text.next()), (Some('['), Some('K')));
                    assert!(line.len() < self.columns, "{line} wraps");
                    self.shown.push(line.clone());
                    line.truncate(self.at);
                }
                c => {
                    line.truncate(self.at);
                    line.push(c);
                    self.at += 1;
                }
            }
        }
    }
}

/// Runs the tool at a terminal of so many columns. `typed` is told what was shown so far, and may answer once.
async fn at_terminal(
    columns: u16,
    mut command: Command,
    typed: impl Fn(&str) -> Option<&'static [u8]> + Send + 'static,
) -> (Screen, i32) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let end = fs::File::options().read(true).write(true).open(name).unwrap();
    tcsetwinsize(&end, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    command.stdout(end.try_clone().unwrap()).stderr(end);
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut output, pid) = (fs::File::from(terminal), child.id().unwrap().to_string());
    let reading = tokio::task::spawn_blocking(move || {
        let (mut written, mut is_answered, mut buffer) = (String::new(), false, [0; 4096]);
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            written.push_str(str::from_utf8(&buffer[..length]).unwrap());
            if !is_answered && let Some(answer) = typed(&written) {
                is_answered = true;
                // What the terminal echoes, and the signal that it sends.
                written.push_str(str::from_utf8(answer).unwrap());
                let kill = std::process::Command::new("kill").args(["-INT", &pid]).status();
                assert!(kill.unwrap().success());
            }
        }
        written
    });
    let written = reading.await.unwrap();
    let mut screen = Screen::new(usize::from(columns));
    screen.write(&written);
    (screen, child.wait().await.unwrap().code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_never_wraps_and_leaves_nothing_behind() {
    for columns in [80, 40, 10] {
        let bench = Bench::new().await;
        let file = bench.file("a.ndjson", lines(0..300, ""));
        let load = bench.command("load", &["--rate", "500", &file]);
        let (screen, status) = at_terminal(columns, load, |_| None).await;
        assert_eq!(status, 0);
        let documents = |line: &String| line.contains("documents (0 rejected)");
        assert!(columns < 80 || screen.shown.iter().any(documents), "{:?}", screen.shown);
        assert!(screen.shown.iter().all(|line| line.len() <= usize::from(columns) - 3));
        assert_eq!(
            screen.lines,
            ["300 studies loaded (300 added, 0 replaced, 0 unchanged), 0 documents rejected", ""]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_said_in_a_line_of_its_own() {
    let bench = Bench::new().await;
    let file = bench.file("a.ndjson", lines(0..300, ""));
    let load = bench.command("load", &["--rate", "50", &file]);
    let is_loading = |written: &str| written.contains("left, ").then_some(&b"^C"[..]);
    let (screen, status) = at_terminal(80, load, is_loading).await;
    assert_eq!(status, 2);
    assert_eq!(
        screen.lines[0],
        "stopping: writes in progress are being completed; interrupt again to end at once"
    );
    assert!(screen.lines[1].contains(" studies loaded "), "{:?}", screen.lines);
    assert_eq!(screen.lines[2..], ["studies: stopped; run the same command again to continue", ""]);
}

#[test]
fn usage_names_the_table() {
    for command in ["load", "show", "list", "check", "delete"] {
        let help =
            std::process::Command::new(env!("CARGO_BIN_EXE_studies")).args([command, "-h"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let usage = help.lines().find(|line| line.starts_with("Usage: ")).unwrap();
        assert!(
            usage.starts_with(&format!("Usage: studies {command} ")) && usage.contains("--table <TABLE>"),
            "{usage}"
        );
        assert!(help.contains("[env: TABLE_NAME]"), "{help}");
    }
}

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
    profile.env("AWS_PROFILE", HOSTILE).env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
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
