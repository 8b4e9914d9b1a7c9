//! How fast `studies load` checks documents and fills an embedded DynamoDB, in how much memory, and how it fares when
//! writes are throttled: `cargo bench -p studies`, with `-- speed` or `-- throttled` for one of the two. Prints Markdown.
//!
//! The tool shares the machine with the database. `BENCH_STUDIES` names another build of it.
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::dynamodb::{Fault, faulty_dynamodb};
use tokio::net::TcpListener;
use tokio::process::Command;

/// Instances in each study, and studies.
const INPUTS: [(u32, u32); 3] = [(1, 50_000), (100, 5_000), (10_000, 100)];
/// Studies loaded while writes are throttled.
const THROTTLED: u32 = 2_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command's output")]
async fn main() -> Outcome<()> {
    let folder = std::env::temp_dir().join(format!("studies-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let measured = async {
        if only.as_deref() != Some("throttled") {
            speed(&folder).await?;
            println!();
        }
        if only.as_deref() != Some("speed") {
            throttled(&folder).await?;
        }
        Ok(())
    };
    let measured: Outcome<()> = measured.await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

#[expect(clippy::print_stdout, reason = "a command's output")]
async fn speed(folder: &Path) -> Outcome<()> {
    println!("| instances | documents | JSON, MB | into | documents/s | MB/s | CPU, s | cores | peak, MiB |");
    println!("|---:|---:|---:|---|---:|---:|---:|---:|---:|");
    for (instances, count) in INPUTS {
        let file = folder.join(format!("{instances}.ndjson"));
        let bytes = write_studies(&file, instances, count)?;
        let (_, database) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await?).await;
        for (into, arguments) in [("nothing", &["--dry-run"][..]), ("a table", &[]), ("the same again", &[])]
        {
            let run = load(database, &file, arguments).await?;
            let (seconds, megabytes) = (run.took.as_secs_f64(), bytes as f64 / 1e6);
            println!(
                "| {instances} | {count} | {megabytes:.1} | {into} | {:.0} | {:.1} | {:.2} | {:.2} | {:.1} |",
                f64::from(count) / seconds,
                megabytes / seconds,
                run.cpu.as_secs_f64(),
                run.cpu.as_secs_f64() / seconds,
                run.peak_kib as f64 / 1024.0
            );
        }
        std::fs::remove_file(file)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command's output")]
async fn throttled(folder: &Path) -> Outcome<()> {
    println!("| writes throttled | documents | seconds | calls | writes sent for each document |");
    println!("|---:|---:|---:|---:|---:|");
    let file = folder.join("throttled.ndjson");
    write_studies(&file, 1, THROTTLED)?;
    for percent in [0, 50, 70, 90] {
        let (_, database) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await?).await;
        let (calls, writes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (all, written) = (Arc::clone(&calls), Arc::clone(&writes));
        let throttled = faulty_dynamodb(database, move |operation, _| {
            all.fetch_add(1, Ordering::Relaxed);
            if operation == "GetItem" {
                return Fault::None;
            }
            written.fetch_add(1, Ordering::Relaxed);
            match fastrand::u8(0..100) {
                share if share >= percent => Fault::None,
                share if share % 2 == 0 => Fault::Error("ThrottlingException"),
                _ => Fault::Error("ProvisionedThroughputExceededException"),
            }
        })
        .await;
        let outcome = load(throttled.address(), &file, &[]).await;
        let (calls, writes) = (calls.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
        match outcome {
            Ok(run) => println!(
                "| {percent} % | {THROTTLED} | {:.1} | {calls} | {:.1} |",
                run.took.as_secs_f64(),
                writes as f64 / f64::from(THROTTLED)
            ),
            Err(error) => println!("| {percent} % | {THROTTLED} | {error} | {calls} | – |"),
        }
    }
    Ok(())
}

struct Run {
    took: Duration,
    cpu: Duration,
    peak_kib: u64,
}

async fn load(database: SocketAddr, file: &Path, arguments: &[&str]) -> Outcome<Run> {
    let program = std::env::var_os("BENCH_STUDIES").unwrap_or_else(|| env!("CARGO_BIN_EXE_studies").into());
    let since = Instant::now();
    let mut child = Command::new(program)
        .args(["load", "--site", local::SITE, "--table", local::TABLE, "--endpoint-url"])
        .arg(format!("http://{database}"))
        .args(arguments)
        .arg(file)
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", "eu-central-1"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let process = format!("/proc/{}", child.id().ok_or("the tool has ended")?);
    let (mut cpu, mut peak_kib) = (Duration::ZERO, 0);
    let ended = loop {
        cpu = cpu_time(&process).unwrap_or(cpu);
        peak_kib = high_water(&process).unwrap_or(0).max(peak_kib);
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(20), child.wait()).await {
            break ended?;
        }
    };
    let took = since.elapsed();
    if ended.success() {
        Ok(Run { took, cpu, peak_kib })
    } else {
        Err(format!("fails after {took:.1?}").into())
    }
}

/// User and system time of the process, in the kernel's ticks of 10 ms (Linux).
fn cpu_time(process: &str) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 10))
}

/// Peak resident memory of the process, in KiB (Linux).
fn high_water(process: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Writes studies as NDJSON; the file's bytes.
fn write_studies(file: &Path, instances: u32, count: u32) -> Outcome<u64> {
    let mut out = BufWriter::new(File::create(file)?);
    for number in 0..count {
        writeln!(out, "{}", study(number, instances))?;
    }
    out.flush()?;
    Ok(std::fs::metadata(file)?.len())
}

/// A study of one series.
fn study(number: u32, instances: u32) -> String {
    let uid = format!("1.2.826.0.1.3680043.8.498.{number}");
    let mut list = String::new();
    for instance in 1..=instances {
        let comma = if instance == 1 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(
            list,
            r#"{comma}{{"uid":"{uid}.1.{instance}","sopClass":{{"system":"urn:ietf:rfc:3986","code":"urn:oid:1.2.840.10008.5.1.4.1.1.1.1"}},"number":{instance}}}"#
        );
    }
    format!(
        r#"{{"resourceType":"ImagingStudy","id":"study-{number}","meta":{{"versionId":"1","lastUpdated":"2024-05-04T10:00:00Z"}},"identifier":[{{"system":"urn:dicom:uid","value":"urn:oid:{uid}"}}],"status":"available","subject":{{"reference":"Patient/{number}"}},"started":"2024-05-04T09:30:00+02:00","numberOfSeries":1,"numberOfInstances":{instances},"series":[{{"uid":"{uid}.1","number":1,"modality":{{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"DX"}},"numberOfInstances":{instances},"instance":[{list}]}}]}}"#
    )
}
