//! How fast `studies load` fills an embedded DynamoDB, and how much memory it takes: `cargo bench -p studies`.
//!
//! The documents are piped in, so that the tool cannot know how many will come. Both share the machine with the database.

use std::error::Error;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

const RUNS: [(&str, u32, u32); 4] = [
    ("first load", 1, 10_000),
    ("the same again", 1, 10_000),
    ("five times as many", 2, 50_000),
    ("the same again", 2, 50_000),
];

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command's output")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (_, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await?).await;
    println!("{:<20} {:>9} {:>12} {:>13} {:>9}", "", "documents", "bytes each", "documents/s", "peak MiB");
    for (name, site, count) in RUNS {
        let bytes = study(0).len();
        let (took, peak) = load(&format!("http://{address}"), site, count).await?;
        let rate = f64::from(count) / took.as_secs_f64();
        println!("{name:<20} {count:>9} {bytes:>12} {rate:>13.0} {:>9.1}", f64::from(peak) / 1024.0);
    }
    Ok(())
}

/// Runs the tool on `count` studies; how long it took, and its peak resident memory in KiB.
async fn load(endpoint: &str, site: u32, count: u32) -> Result<(Duration, u32), Box<dyn Error>> {
    let since = Instant::now();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_studies"))
        .args(["load", "--site", &site.to_string(), "--table", local::TABLE, "--endpoint-url", endpoint])
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", "eu-central-1"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", tool.id().ok_or("it has ended already")?);
    let mut input = tool.stdin.take().ok_or("it has no input")?;
    let fed = tokio::spawn(async move {
        for first in (0..count).step_by(1000) {
            let lines = (first..count.min(first + 1000)).map(study).collect::<Vec<_>>().join("\n");
            input.write_all(lines.as_bytes()).await?;
            input.write_all(b"\n").await?;
        }
        std::io::Result::Ok(())
    });
    let mut peak = 0;
    let ended = loop {
        peak = high_water(&status).unwrap_or(0).max(peak);
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(20), tool.wait()).await {
            break ended?;
        }
    };
    fed.await??;
    if ended.success() { Ok((since.elapsed(), peak)) } else { Err("the tool failed".into()) }
}

/// The kernel's own high-water mark, where there is one (Linux).
fn high_water(status: &str) -> Option<u32> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A study of one series and five instances.
fn study(number: u32) -> String {
    let uid = format!("1.2.826.0.1.3680043.8.498.{number}");
    let mut instances = String::new();
    for instance in 1..=5 {
        let comma = if instance == 1 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(
            instances,
            r#"{comma}{{"uid":"{uid}.1.{instance}","sopClass":{{"system":"urn:ietf:rfc:3986","code":"urn:oid:1.2.840.10008.5.1.4.1.1.1.1"}},"number":{instance}}}"#
        );
    }
    format!(
        r#"{{"resourceType":"ImagingStudy","id":"study-{number}","meta":{{"versionId":"1","lastUpdated":"2024-05-04T10:00:00Z"}},"identifier":[{{"system":"urn:dicom:uid","value":"urn:oid:{uid}"}}],"status":"available","subject":{{"reference":"Patient/{number}"}},"started":"2024-05-04T09:30:00+02:00","numberOfSeries":1,"numberOfInstances":5,"series":[{{"uid":"{uid}.1","number":1,"modality":{{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"DX"}},"numberOfInstances":5,"instance":[{instances}]}}]}}"#
    )
}
