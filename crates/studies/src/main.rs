//! `studies`, the operator's tool: loads `ImagingStudy` documents into the table; shows, lists, checks and deletes them.

mod args;
mod aws;
mod figures;
mod output;
mod report;
mod tally;
mod visible;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use args::{Arguments, Command, LoadArgs, TableArgs};
use aws::ConnectError;
use clap::Parser as _;
use figures::{bytes, grouped, pluralize};
use output::{LoadOutput, OutputError, Progress, ask, say, say_document, warn};
use report::{Report, ReportError};
use studies::input::{InputError, Inputs, reason};
use studies::load::{self, Counts, LoadOutcome, Options};
use studies::pace::{PATIENCE, Pace};
use studies::site::{ListedStudy, SiteEntry};
use studies::table::{Table, TableError};
use table::id::{FhirId, SiteId};
use tally::Tally;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Result of a command that ran to completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing to report. Exit status 0.
    Good,
    /// Rejected documents, items that cannot be served, or nothing at all. Exit status 1.
    Bad,
}

/// Why a command did not complete.
#[derive(Debug)]
enum Failure {
    /// Exit status 2, and a line that says why.
    Failed(String),
    /// The reader of standard output has closed it and wants no more. Exit status 0.
    OutputClosed,
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError(source) if source.kind() == io::ErrorKind::BrokenPipe => Self::OutputClosed,
            error => failed(error.to_string()),
        }
    }
}

macro_rules! failures {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                failed(error.to_string())
            }
        }
    )+};
}

failures!(ConnectError, InputError, ReportError, TableError);

fn failed(reason: impl Into<String>) -> Failure {
    Failure::Failed(reason.into())
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            error.render().to_string().lines().for_each(warn);
            return ExitCode::from(2);
        }
        Err(help) => help.exit(),
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Blocking threads: one reads, one may resolve a host name, the others check.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(cores + 2).build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(arguments.command));
            // The thread that reads may wait for input for ever.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(failed(format!("no threads: {error}"))),
    };
    match outcome {
        Ok(Verdict::Good) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(Failure::Failed(reason)) => {
            warn(&format!("studies: {reason}"));
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Load(args) => load(args).await,
        Command::Show { site, table, id } => show(&site.site, &table.open().await?, &id).await,
        Command::List { site: None, table, json } => list_sites(&table.open().await?, json).await,
        Command::List { site: Some(site), table, json } => {
            list_studies(&table.open().await?, &site, json).await
        }
        Command::Check { site, table, remove_orphans } => {
            let table = table.open().await?;
            unless_interrupted(check(&table, &site.site, remove_orphans)).await
        }
        Command::Delete { site, table, all: true, yes, .. } => delete_all(&table, &site.site, yes).await,
        Command::Delete { site, table, ids, .. } => delete(&table.open().await?, &site.site, ids).await,
    }
}

async fn load(mut args: LoadArgs) -> Result<Verdict, Failure> {
    if args.paths.is_empty() {
        if io::stdin().is_terminal() {
            return Err(failed("no input: name files or folders, or pipe documents in"));
        }
        args.paths.push(PathBuf::from("-"));
    }
    let (stop, stopped) = oneshot::channel();
    tokio::select! {
        outcome = load_until(args, stopped) => outcome,
        failure = two_signals(stop) => Err(failure),
    }
}

/// Passes the first SIGINT or SIGTERM on to `stop`, and returns at the second.
async fn two_signals(stop: oneshot::Sender<()>) -> Failure {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return error,
    };
    signals.next().await;
    let _ = stop.send(());
    warn("stopping: writes in progress are being completed; interrupt again to end at once");
    signals.next().await;
    failed("ended at once; run the same command again to continue")
}

/// Ends at the first SIGINT or SIGTERM, so that no progress is left on the terminal.
fn unless_interrupted(
    work: impl Future<Output = Result<Verdict, Failure>>,
) -> impl Future<Output = Result<Verdict, Failure>> {
    let work = Box::pin(work);
    async {
        let mut signals = Signals::new()?;
        tokio::select! {
            outcome = work => outcome,
            () = signals.next() => Err(failed("interrupted; run the same command again to continue")),
        }
    }
}

/// SIGINT and SIGTERM.
struct Signals([Signal; 2]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => Ok(Self([interrupt, terminate])),
            (Err(error), _) | (_, Err(error)) => Err(failed(format!("signals: {error}"))),
        }
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

async fn load_until(args: LoadArgs, stopped: oneshot::Receiver<()>) -> Result<Verdict, Failure> {
    let site = args.site.site;
    let inputs = Inputs::find(&args.paths)?;
    for path in &inputs.outside {
        warn(&format!("skipped {}: a link that leads out of its folder", path.display()));
    }
    if args.verbose {
        inputs.skipped.iter().for_each(|path| warn(&format!("skipped {}", path.display())));
    }
    let report = args.report.map(|path| Report::create(path, args.force, &inputs.read)).transpose()?;
    let table = if args.dry_run {
        None
    } else {
        let pace = Pace::new(args.rate, Duration::from_secs(args.patience));
        let table = args.table.open_at(pace).await?.allowing_older(args.allow_older);
        table.probe(&site).await?;
        Some(table)
    };
    let skipped_files = inputs.skipped.len() as u64;
    let mut output = LoadOutput::new(inputs.size(), report);
    let options = Options { drop_empty: args.drop_empty, strict: args.strict };
    let stop = async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let (counts, outcome) = load::load(table.as_ref(), &site, inputs.read, options, &mut output, stop).await;

    let repeated = output.repeated_ids();
    let LoadOutput { progress, report, tally, warnings, .. } = output;
    drop(progress);
    let again = if args.dry_run { "" } else { "; run the same command again to continue" };
    let failure = match outcome {
        LoadOutcome::Complete => None,
        LoadOutcome::Stopped => Some(format!("stopped{again}")),
        LoadOutcome::Table(error) => Some(format!("{error}{again}")),
        LoadOutcome::Observer(error) => {
            return Err(failed(format!("the report cannot be written: {}{again}", reason(&error))));
        }
        LoadOutcome::Panicked => Some(format!("a thread panicked, which is a bug{again}")),
    };
    let reported = report.map_or(Ok(()), Report::finish);
    let mut lines = vec![summary(&counts, args.dry_run, skipped_files, &repeated)];
    lines.extend(tally.lines(!args.drop_empty));
    lines.extend(warnings.lines(false).into_iter().map(|line| format!("warning: {line}")));
    let said = lines.iter().try_for_each(|line| say(line));
    if let Some(failure) = failure {
        return Err(failed(failure));
    }
    reported?;
    match said.map_err(Failure::from) {
        Ok(()) | Err(Failure::OutputClosed) => {}
        failed => failed?,
    }
    match counts {
        Counts { broken_inputs: 1.., .. } => {
            let inputs = pluralize(counts.broken_inputs, "input", "inputs");
            Err(failed(format!("{inputs} could not be read to the end")))
        }
        Counts { rejected: 1.., .. } => Ok(Verdict::Bad),
        counts if counts.studies() == 0 => Err(failed("the input has no ImagingStudy")),
        _ => Ok(Verdict::Good),
    }
}

fn summary(counts: &Counts, dry_run: bool, skipped_files: u64, repeated_ids: &str) -> String {
    let studies = pluralize(counts.studies() - counts.kept, "study", "studies");
    let loaded = if dry_run {
        let (bytes, units) =
            (bytes(counts.stored_bytes), pluralize(counts.write_units, "write unit", "write units"));
        format!("{studies} could be loaded ({bytes} in the table, {units})")
    } else {
        let [added, replaced, unchanged] = [counts.added, counts.replaced, counts.unchanged].map(grouped);
        format!("{studies} loaded ({added} added, {replaced} replaced, {unchanged} unchanged)")
    };
    let kept = match counts.kept {
        0 => String::new(),
        count => {
            format!(", {} kept because the table has a later version", pluralize(count, "study", "studies"))
        }
    };
    let repeated = match counts.repeated {
        0 => String::new(),
        count => {
            let documents = pluralize(count, "document has", "documents have");
            format!(", {documents} the id of an earlier one ({repeated_ids})")
        }
    };
    let dropped = match counts.dropped {
        0 => String::new(),
        count => format!(", {} left out", pluralize(count, "empty value", "empty values")),
    };
    let rejected = pluralize(counts.rejected, "document", "documents");
    let warned = match counts.warned {
        0 => String::new(),
        count => format!(", {} with warnings", pluralize(count, "study", "studies")),
    };
    let other_types = match counts.other_types {
        0 => String::new(),
        count => format!(", {} of other types skipped", pluralize(count, "resource", "resources")),
    };
    let skipped = match skipped_files {
        0 => String::new(),
        count => format!(", {} with other names skipped", pluralize(count, "file", "files")),
    };
    format!("{loaded}{kept}{repeated}{dropped}, {rejected} rejected{warned}{other_types}{skipped}")
}

/// Prints what the function would serve.
async fn show(site: &SiteId, table: &Table, id: &FhirId) -> Result<Verdict, Failure> {
    let Some(document) = table.document(site, id).await? else {
        warn(&format!("studies: site {site} has no study {id}"));
        return Ok(Verdict::Bad);
    };
    say_document(&document)?;
    Ok(Verdict::Good)
}

async fn list_sites(table: &Table, json: bool) -> Result<Verdict, Failure> {
    let mut last: Option<String> = None;
    while let Some(site) = table.site_after(last.as_deref()).await? {
        say(&if json { serde_json::json!({ "site": site }).to_string() } else { site.clone() })?;
        last = Some(site);
    }
    if last.is_none() {
        warn(&format!("studies: table {} is empty", table.address()));
        return Ok(Verdict::Bad);
    }
    Ok(Verdict::Good)
}

async fn list_studies(table: &Table, site: &SiteId, json: bool) -> Result<Verdict, Failure> {
    let row = |id: &str, form: &str, bytes: &str, last_updated: &str, etag: &str| {
        format!("{id:<36} {form:<10} {bytes:>9}  {last_updated:<29} {etag}")
    };
    let mut reader = table.read_site(site);
    let mut found = false;
    while let Some(entries) = reader.next().await? {
        for entry in entries {
            let SiteEntry::Study(study) = entry else { continue };
            if !found && !json {
                say(&row("ID", "FORM", "BYTES", "LAST UPDATED", "ETAG"))?;
            }
            found = true;
            let study = study.listed();
            if json {
                say(&serde_json::json!(study).to_string())?;
            } else {
                let ListedStudy { id, form, bytes, etag, last_updated } = study;
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                say(&row(&id, form, &bytes.to_string(), &or_dash(last_updated), &or_dash(etag)))?;
            }
        }
    }
    if !found {
        warn(&format!("studies: site {site} has no studies in table {}", table.address()));
        return Ok(Verdict::Bad);
    }
    Ok(Verdict::Good)
}

async fn check(table: &Table, site: &SiteId, remove_orphans: bool) -> Result<Verdict, Failure> {
    let (mut good, mut bad, mut listed, mut tally) = (0, 0, Vec::new(), Tally::default());
    let mut progress = Progress::new();
    let mut reader = table.read_site(site);
    while let Some(entries) = reader.next().await? {
        for entry in entries {
            match entry {
                SiteEntry::Study(study) => {
                    let key = study.key.clone();
                    match table.check(site, study).await? {
                        Some(Ok(())) => good += 1,
                        Some(Err(error)) => {
                            bad += 1;
                            tally.add(&error.to_string());
                            say(&format!("{key}: {error}"))?;
                        }
                        None => {}
                    }
                }
                SiteEntry::Unnamed { key, is_binary } => listed.push((key, is_binary)),
            }
        }
        let message = || format!("{} checked", pluralize(good + bad, "study", "studies"));
        progress.show(message, table.obstacle());
    }
    if reader.items == 0 {
        warn(&format!("studies: site {site} has no items in table {}", table.address()));
        return Ok(Verdict::Bad);
    }
    let unnamed = table.unnamed(site, listed).await?;
    for key in &unnamed.abandoned {
        say(&format!("{key}: an orphaned part: no study names it"))?;
    }
    for key in &unnamed.foreign {
        say(&format!("{key}: an item of another program: neither a study nor named by one"))?;
    }
    let mut removed = 0;
    if remove_orphans {
        let deleted = |count| format!("{} deleted", pluralize(count, "orphaned part", "orphaned parts"));
        let show = |count| progress.show(|| deleted(count), table.obstacle());
        removed = table.sweep(site, &unnamed, show).await?;
    }
    drop(progress);
    let count = |keys: &[String], one: &str, more: &str| pluralize(keys.len() as u64, one, more);
    let deleted = if remove_orphans { " deleted" } else { "" };
    let mut summary = vec![
        format!("{} can be served", pluralize(good, "study", "studies")),
        format!("{} cannot", grouped(bad)),
        format!("{}{deleted}", count(&unnamed.abandoned, "orphaned part", "orphaned parts")),
    ];
    if !unnamed.recent.is_empty() {
        let parts = count(&unnamed.recent, "part", "parts");
        summary.push(format!("{parts} of loads that run or ended within a day"));
    }
    if !unnamed.foreign.is_empty() {
        summary.push(format!("{} of other programs", count(&unnamed.foreign, "item", "items")));
    }
    say(&summary.join(", "))?;
    tally.lines(false).iter().try_for_each(|line| say(line))?;
    let orphans_are_left = removed < unnamed.abandoned.len() as u64;
    Ok(if bad > 0 || orphans_are_left { Verdict::Bad } else { Verdict::Good })
}

async fn delete(table: &Table, site: &SiteId, ids: Vec<FhirId>) -> Result<Verdict, Failure> {
    for id in ids {
        let removed = table.remove(site, &id).await?;
        say(&format!("{id}: {}", if removed { "deleted" } else { "does not exist" }))?;
    }
    Ok(Verdict::Good)
}

async fn delete_all(table: &TableArgs, site: &SiteId, yes: bool) -> Result<Verdict, Failure> {
    if !yes && !io::stdin().is_terminal() {
        return Err(failed("--all asks before it deletes; add --yes where nobody can answer"));
    }
    let table = table.open().await?;
    table.probe(site).await?;
    if !yes {
        ask(&format!("Delete every study of site {site} from table {}? [y/N] ", table.address()));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.map_err(|error| failed(format!("standard input cannot be read: {}", reason(&error))))?;
        if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Err(failed("nothing was deleted"));
        }
    }
    unless_interrupted(delete_each(&table, site)).await
}

async fn delete_each(table: &Table, site: &SiteId) -> Result<Verdict, Failure> {
    let mut progress = Progress::new();
    let studies = |count| pluralize(count, "study", "studies");
    let deleted = table
        .remove_site(site, |count| {
            progress.show(|| format!("{} deleted", studies(count)), table.obstacle());
        })
        .await?;
    drop(progress);
    let rest = match table.count_items(site).await? {
        0 => String::new(),
        count => format!("; {} left that no study names", pluralize(count, "item is", "items are")),
    };
    say(&format!("{} of site {site} deleted{rest}", studies(deleted)))?;
    Ok(Verdict::Good)
}

impl TableArgs {
    fn name(&self) -> Result<&str, Failure> {
        match self.name.as_str() {
            "" => Err(failed("no table: give --table, or set TABLE_NAME")),
            name => Ok(name),
        }
    }

    fn endpoint(&self) -> Option<&str> {
        self.endpoint_url.as_deref().filter(|url| !url.is_empty())
    }

    async fn open(&self) -> Result<Table, Failure> {
        self.open_at(Pace::new(None, PATIENCE)).await
    }

    async fn open_at(&self, pace: Pace) -> Result<Table, Failure> {
        let name = self.name()?.to_owned();
        let aws = aws::connect(Duration::from_secs(self.call_timeout)).await?;
        Ok(aws::table(&aws, self.endpoint(), name, pace).await)
    }
}
