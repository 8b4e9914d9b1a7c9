//! The tables, as Markdown.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use imaging_study::store::StorageFormat;

use crate::documents::Document;
use crate::{Bench, Case, Outcome, Program, Sample};

/// What the bounds are stated for: a small document, and a large one.
const SMALL: u32 = 10;
const LARGE: u32 = 10_000;
/// The crates whose versions matter to the figures.
const CRATES: [&str; 9] = [
    "lambda_http",
    "lambda_runtime",
    "aws-sdk-dynamodb",
    "aws-smithy-http-client",
    "rustls",
    "aws-lc-rs",
    "tokio",
    "jsonwebtoken",
    "dynoxide-rs",
];

/// Everything that was measured, and how.
pub(crate) fn markdown(bench: &Bench, documents: &[Document], cases: &[Case]) -> Outcome<String> {
    let results = Results { cases, artifacts: artifacts(bench)? };
    let sections = [
        conditions(bench)?,
        results.bounds()?,
        results.artifacts(),
        stored(documents),
        results.cold()?,
        results.warm()?,
    ];
    Ok(sections.join("\n"))
}

fn conditions(bench: &Bench) -> Outcome<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let models: Vec<&str> = cpus.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models.first().and_then(|line| line.split_once(": ")).map_or("CPU", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rustc = String::from_utf8(Command::new("rustc").arg("--version").output()?.stdout)?;
    let settings = &bench.settings;
    let build = if cfg!(debug_assertions) { "**Debug build: the figures say nothing.**\n\n" } else { "" };
    let bootstrap = match settings.bootstrap {
        Some(_) => "the one that ships, named by `BENCH_BOOTSTRAP`",
        None => "as cargo builds it here, with the features that development dependencies switch on",
    };
    Ok(format!(
        "# Benchmarks

{build}    BENCH_ROUNDS={rounds} BENCH_ANSWERS={answers} make bench

{model}, {cores} cores, Linux {kernel}, {rustc};
{crates}.

`function` is `bootstrap`, {bootstrap}.
`floor` is hello-world on the same `lambda_http`, `bare` a `GetItem` through the same SDK with no token, no log line and
no header; both have the features that development dependencies switch on. Each runs alone, as Lambda would start it,
under a Runtime API on this machine.

CPU is user and system time of the whole process, as the scheduler counts it in nanoseconds
(`/proc/PID/task/*/schedstat`), up to where the process rests again: what follows an answer belongs to it. The first
event waits until that account has been read, and the pause is in no figure. Memory is `VmHWM`. Wall times include
those of the local store. Figures are medians over the rounds ({rounds}), in each of which every row had a new process,
in turn; warm ones are those of the answers after the first ({answers}), each with another token (RS256). Every answer
was checked: status 200, and as many bytes as the document has.

The store is an embedded DynamoDB behind TLS 1.3, its certificate of RSA 2048 signed by a throw-away authority through
one intermediate. `AWS_CA_BUNDLE` names a file with Amazon's roots and that authority's, so that as many roots are read
as in production, and one more. The system's {system_roots} roots stand in their usual place. With a key-set URL, the
same authority vouches for its server, and `SSL_CERT_FILE` names a file with the system's roots and that one.
",
        rounds = settings.rounds,
        answers = settings.answers,
        kernel = kernel.trim(),
        rustc = rustc.trim(),
        crates = crate_versions(),
        system_roots = bench.system_roots,
    ))
}

fn crate_versions() -> String {
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        rest.split_once('"').map(|(version, _)| format!("{name} {version}"))
    };
    CRATES.iter().filter_map(|name| version(name)).collect::<Vec<_>>().join(", ")
}

/// A program as it is shipped.
struct Artifact {
    name: &'static str,
    bytes: f64,
    zipped: f64,
}

fn artifacts(bench: &Bench) -> Outcome<Vec<Artifact>> {
    let artifact = |name, path: &Path| {
        let program = fs::read(path)?;
        // SAM zips with `zlib`'s level 6.
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::new(6));
        deflated.write_all(&program)?;
        let deflated = deflated.finish()?.len();
        // The entry's header, its line in the directory, and the directory's end (APPNOTE 4.3.7, 4.3.12, 4.3.16).
        let zipped = deflated + 30 + 46 + 22 + 2 * "bootstrap".len();
        Ok(Artifact { name, bytes: count(program.len())?, zipped: count(zipped)? })
    };
    [("function", &bench.bootstrap), ("bare", &bench.bare), ("floor", &bench.floor)]
        .map(|(name, path)| artifact(name, path))
        .into_iter()
        .collect()
}

fn count(number: usize) -> Outcome<f64> {
    Ok(u32::try_from(number)?.into())
}

fn stored(documents: &[Document]) -> String {
    let mut table = String::from(
        "## Documents

| instances | form | JSON, bytes | stored, bytes | in an item |
|---:|---|---:|---:|---|
",
    );
    for document in documents {
        let fits = if document.fits { "fits" } else { "does not fit, and is not measured" };
        let (form, json) = (document.form.code(), document.json_bytes);
        let stored = document.stored_bytes.map_or_else(|| "–".to_owned(), |bytes| bytes.to_string());
        let _ = writeln!(table, "| {} | {form} | {json} | {stored} | {fits} |", document.instances);
    }
    table
}

struct Results<'a> {
    cases: &'a [Case],
    artifacts: Vec<Artifact>,
}

impl Results<'_> {
    fn bounds(&self) -> Outcome<String> {
        let mut table = String::from(
            "## Bounds

| | measured | bound | |
|---|---:|---:|---|
",
        );
        let mut row = |what: &str, measured: f64, bound: f64, unit: &str| {
            let holds = if measured <= bound { "holds" } else { "**does not hold**" };
            let _ = writeln!(table, "| {what} | {measured:.2} {unit} | {bound:.2} {unit} | {holds} |");
        };
        let floor = self.case(Program::Floor, SMALL, StorageFormat::Gzip, true)?;
        for form in [StorageFormat::Gzip, StorageFormat::Text] {
            let function = self.case(Program::Function, SMALL, form, true)?;
            let bare = self.case(Program::Bare, SMALL, form, true)?;
            let word = form.code();
            let cpu = function.median(|s| s.first_cpu) / floor.median(|s| s.first_cpu);
            row(&format!("cold, CPU to the first answer ÷ floor, {word}"), cpu, 3.0, "×");
            let wall = function.median(|s| s.first_wall) / floor.median(|s| s.first_wall);
            row(&format!("cold, wall to the first answer ÷ floor, {word}"), wall, 4.0, "×");
            let warm = function.median(|s| s.warm_cpu.mean) / bare.median(|s| s.warm_cpu.mean);
            row(&format!("warm, mean CPU of an answer ÷ bare, {word}"), warm, 1.3, "×");
        }
        let small =
            self.case(Program::Function, SMALL, StorageFormat::Gzip, true)?.median(|s| s.warm_cpu.mean);
        let beyond_bare = |instances| -> Outcome<f64> {
            let function = self.case(Program::Function, instances, StorageFormat::Gzip, true)?;
            let bare = self.case(Program::Bare, instances, StorageFormat::Gzip, true)?;
            Ok(function.median(|s| s.warm_cpu.mean) - bare.median(|s| s.warm_cpu.mean))
        };
        let large = beyond_bare(LARGE)?;
        row("large, mean CPU beyond bare ÷ that of a small one", large / small, 3.0, "×");
        let small_beyond_bare = 3.0 * beyond_bare(SMALL)?;
        row(
            "large, mean CPU beyond bare; 3 × what a small one costs beyond bare",
            large,
            small_beyond_bare,
            "ms",
        );
        let peak =
            self.cases.iter().filter(|case| case.program.is_function() && case.document.instances == SMALL);
        let peak = peak.map(|case| case.median(|s| s.peak_kib)).fold(0.0, f64::max);
        row("highest peak memory, small documents", peak / 1024.0, 16.0, "MiB");
        let function = self.artifacts.first().ok_or("no artifact")?;
        row("zipped", function.zipped / f64::from(1 << 20), 4.0, "MiB");
        table.push_str(
            "\nSmall is 10 instances, large 10,000; both as gzip to a client that accepts gzip where nothing else is said. \
             A large document's memory as a multiple of it stands in the last table.\n",
        );
        Ok(table)
    }

    fn artifacts(&self) -> String {
        let mut table = String::from(
            "## Artifacts

| | binary, MiB | zipped, MiB |
|---|---:|---:|
",
        );
        for Artifact { name, bytes, zipped } in &self.artifacts {
            let [bytes, zipped] = [bytes, zipped].map(|bytes| bytes / f64::from(1 << 20));
            let _ = writeln!(table, "| {name} | {bytes:.2} | {zipped:.2} |");
        }
        table
    }

    fn cold(&self) -> Outcome<String> {
        let mut table = String::from(
            "## Cold

From the start of the process, in milliseconds.

| program | document | client | first `next`, wall | CPU | first answer, wall | CPU | wall ÷ floor | CPU ÷ floor |
|---|---|---|---:|---:|---:|---:|---:|---:|
",
        );
        let floor = self.case(Program::Floor, SMALL, StorageFormat::Gzip, true)?;
        for case in self.cases {
            let [wall, cpu] = [case.median(|s| s.first_wall), case.median(|s| s.first_cpu)];
            let _ = writeln!(
                table,
                "| {} | {:.2} | {:.2} | {wall:.2} | {cpu:.2} | {:.2} | {:.2} |",
                case.name(),
                case.median(|s| s.next_wall),
                case.median(|s| s.next_cpu),
                wall / floor.median(|s| s.first_wall),
                cpu / floor.median(|s| s.first_cpu),
            );
        }
        Ok(table)
    }

    fn warm(&self) -> Outcome<String> {
        let mut table = String::from(
            "## Warm

One answer, in milliseconds; and the most memory that the process had by the end.

| program | document | client | wall p50 | p99 | CPU mean | p50 | p99 | CPU ÷ floor | ÷ bare | peak, MiB | beyond a small one's ÷ JSON |
|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
",
        );
        let floor = self.case(Program::Floor, SMALL, StorageFormat::Gzip, true)?.median(|s| s.warm_cpu.mean);
        for case in self.cases {
            let Document { instances, form, json_bytes, .. } = case.document;
            let cpu = case.median(|s| s.warm_cpu.mean);
            let peak = case.median(|s| s.peak_kib);
            let bare = self.case(Program::Bare, instances, form, true).ok();
            let to_bare = bare.map(|bare| cpu / bare.median(|s| s.warm_cpu.mean));
            let small = self.case(case.program, SMALL, form, case.gzip)?.median(|s| s.peak_kib);
            let multiple = (instances > SMALL).then(|| (peak - small) * 1024.0 / f64::from(json_bytes));
            let _ = writeln!(
                table,
                "| {} | {:.3} | {:.3} | {cpu:.3} | {:.3} | {:.3} | {:.2} | {} | {:.2} | {} |",
                case.name(),
                case.median(|s| s.warm_wall.p50),
                case.median(|s| s.warm_wall.p99),
                case.median(|s| s.warm_cpu.p50),
                case.median(|s| s.warm_cpu.p99),
                cpu / floor,
                ratio(to_bare),
                peak / 1024.0,
                ratio(multiple),
            );
        }
        Ok(table)
    }

    fn case(&self, program: Program, instances: u32, form: StorageFormat, gzip: bool) -> Outcome<&Case> {
        let wanted = |case: &&Case| {
            (case.program, case.document.instances, case.document.form, case.gzip)
                == (program, instances, form, gzip)
        };
        Ok(self.cases.iter().find(wanted).ok_or("a row is missing")?)
    }
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

impl Case {
    /// Program, document and client, as cells of a table.
    pub(crate) fn name(&self) -> String {
        let program = match self.program {
            Program::Floor => return "floor | – | –".to_owned(),
            Program::Bare => "bare",
            Program::Function => "function",
            Program::FunctionWithUrl => "function, keys from a URL",
        };
        let client = match (self.program, self.gzip) {
            (Program::Bare, _) => "any",
            (_, true) => "gzip",
            (_, false) => "plain",
        };
        format!("{program} | {}, {} | {client}", self.document.instances, self.document.form.code())
    }

    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        // The mean of the two in the middle, which are one where the number is odd.
        f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2])
    }
}

impl Program {
    fn is_function(self) -> bool {
        matches!(self, Self::Function | Self::FunctionWithUrl)
    }
}
