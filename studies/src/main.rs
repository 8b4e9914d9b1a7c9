//! `studies`, the operator's tool: loads `ImagingStudy` documents into the table, shows, checks and deletes them.

mod aws;
mod output;

use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use http::Uri;
use imaging_study::ids::{FhirId, SiteId, StudyRef};
use imaging_study::store::{self, Found, Json, Store};
use output::{Output, pluralize, say, warn};
use studies::input;
use studies::load::{self, Counts, LoadOutcome};
use studies::table::{Finding, Table, TableError};

/// Loads FHIR R4 ImagingStudy documents into the table, shows, checks and deletes them.
#[derive(Parser)]
#[command(version, after_help = EXIT_STATUS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  all went well
  1  load: documents were refused; check: items were reported; show: there is no such study
  2  nothing was done, or it could not be finished: wrong usage, no input, no table, stopped by Ctrl-C";

#[derive(Subcommand)]
enum Command {
    /// Check documents against FHIR R4 and write them
    ///
    /// Takes JSON resources, Bundles and NDJSON, each gzipped or not, and folders of such files; picks out the ImagingStudy
    /// resources. A document that is not valid is refused and costs no other. One that the table has already is not
    /// written again, so that a load can be repeated, and one that was interrupted be run again. Of two documents with
    /// one id (upper and lower case are the same) the later one stands.
    #[command(after_help = EXIT_STATUS)]
    Load {
        #[command(flatten)]
        place: TableArgs,
        /// Check only; touch no table
        #[arg(long)]
        dry_run: bool,
        /// Write an object for every refused document to this file, one a line
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// Files and folders; `-` is standard input, as is none
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Print a study as it is stored
    #[command(after_help = EXIT_STATUS)]
    Show {
        #[command(flatten)]
        place: TableArgs,
        /// The study's id
        #[arg(value_parser = FhirId::parse)]
        id: FhirId,
    },
    /// Read a site's items and report those that the function could not serve
    ///
    /// Reports parts that no study names, too: a load that was cut off leaves them. Not to be trusted while a load of the
    /// same site runs.
    #[command(after_help = EXIT_STATUS)]
    Check {
        #[command(flatten)]
        place: TableArgs,
        /// Remove the parts that no study names
        #[arg(long)]
        remove_orphans: bool,
    },
    /// Delete studies; one that is not there is no error
    #[command(after_help = EXIT_STATUS)]
    Delete {
        #[command(flatten)]
        place: TableArgs,
        /// The studies' ids
        #[arg(required = true, value_name = "ID", value_parser = FhirId::parse)]
        ids: Vec<FhirId>,
    },
}

#[derive(Args)]
struct TableArgs {
    /// The site that the studies belong to
    #[arg(long, value_parser = SiteId::parse)]
    site: SiteId,
    /// The table
    #[arg(long, env = "TABLE_NAME", default_value = "", hide_default_value = true)]
    table: String,
    /// Where DynamoDB is, if not on AWS
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    endpoint_url: Option<String>,
}

fn endpoint(text: &str) -> Result<String, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "must be a URL")?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(text.to_owned()),
        _ => Err("must be a URL that begins with http:// or https://"),
    }
}

/// Ends the program with status 2.
struct Failed(String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What a command found, beside success.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Load { place, dry_run, report, paths } => load(place, dry_run, report, paths).await,
        Command::Show { place, id } => show(place, id).await,
        Command::Check { place, remove_orphans } => check(place, remove_orphans).await,
        Command::Delete { place, ids } => delete(place, ids).await,
    };
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(Failed(reason)) => {
            warn(&format!("studies: {reason}"));
            ExitCode::from(2)
        }
    }
}

async fn load(
    place: TableArgs,
    dry_run: bool,
    report: Option<PathBuf>,
    mut paths: Vec<PathBuf>,
) -> Result<Verdict, Failed> {
    if paths.is_empty() {
        if io::stdin().is_terminal() {
            return Err(Failed("nothing to read: name files or folders, or pipe documents in".to_owned()));
        }
        paths.push(PathBuf::from("-"));
    }
    let inputs = input::inputs(&paths)?;
    let size = inputs.iter().map(input::Input::size).sum();
    let table = if dry_run { None } else { Some(place.open().await?) };
    let mut output = Output::new(size, report)?;

    let (counts, end) = load::load(table.as_ref(), &place.site, inputs, &mut output, interrupted()).await;
    let reported = output.finish();
    say(&summary(&counts, dry_run));
    let again = "what was written is whole; run the same command again to go on";
    match end {
        LoadOutcome::Table(error) => return Err(Failed(format!("{error} ({again})"))),
        LoadOutcome::Observer(error) => {
            return Err(Failed(format!("the report cannot be written: {error} ({again})")));
        }
        LoadOutcome::Stopped => return Err(Failed(format!("stopped: {again}"))),
        LoadOutcome::Complete => {}
    }
    reported.map_err(|error| Failed(format!("the report cannot be written: {}", input::plain(&error))))?;
    match counts {
        Counts { refused: 1.., .. } => Ok(Verdict::Bad),
        counts if counts.good() == 0 => Err(Failed("there is no ImagingStudy in the input".to_owned())),
        _ => Ok(Verdict::Good),
    }
}

/// Ready at the first Ctrl-C; the second one ends the program where it stands.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    tokio::spawn(async {
        let _ = tokio::signal::ctrl_c().await;
        std::process::exit(2);
    });
}

fn summary(counts: &Counts, dry_run: bool) -> String {
    let studies = pluralize(counts.good(), "study", "studies");
    let loaded = if dry_run {
        format!("{studies} could be loaded")
    } else {
        let Counts { added, replaced, unchanged, .. } = counts;
        format!("{studies} loaded ({added} added, {replaced} replaced, {unchanged} unchanged)")
    };
    let refused = pluralize(counts.refused, "document", "documents");
    let others = match counts.skipped {
        0 => String::new(),
        count => format!(", {} of other types passed over", pluralize(count, "resource", "resources")),
    };
    format!("{loaded}, {refused} refused{others}")
}

async fn show(place: TableArgs, id: FhirId) -> Result<Verdict, Failed> {
    let aws = place.connect().await?;
    let name = place.table_name()?;
    let store = Store::new(&aws, place.endpoint_url.as_deref(), name.to_owned(), true);
    let target = StudyRef { site: place.site.clone(), study: id };
    let found = store.study(&target, |_| None::<Infallible>).await.found;
    let Some(Found::Document(study)) = found.map_err(|error| TableError::of_store(name, error))? else {
        warn(&format!("studies: site {} has no study {}", target.site, target.study));
        return Ok(Verdict::Bad);
    };
    let json = match study.json {
        Json::Text(json) => json,
        Json::Gzip(gzip) => store::inflate(&gzip).map_err(TableError::Document)?,
    };
    match io::stdout().write_all(json.as_bytes()).and_then(|()| io::stdout().flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Verdict::Good),
    }
}

async fn check(place: TableArgs, remove_orphans: bool) -> Result<Verdict, Failed> {
    let table = place.open().await?;
    let (mut good, mut bad, mut orphans) = (0, 0, Vec::new());
    table
        .check(&place.site, |finding| match finding {
            Finding::Good(_) => good += 1,
            Finding::Bad(key, error) => {
                bad += 1;
                say(&format!("{key}: {error}"));
            }
            Finding::Orphan(key) => {
                say(&format!("{key}: is a part that no study names"));
                orphans.push(key);
            }
        })
        .await?;
    let mut removed = 0;
    if remove_orphans {
        for part in &orphans {
            removed += u64::from(table.remove_orphan(&place.site, part).await?);
        }
    }
    let left = orphans.len() as u64 - removed;
    say(&format!(
        "{} can be served, {bad} cannot, {} named by none{}",
        pluralize(good, "study", "studies"),
        pluralize(orphans.len() as u64, "part is", "parts are"),
        if remove_orphans { format!(" ({removed} removed)") } else { String::new() }
    ));
    Ok(if bad == 0 && left == 0 { Verdict::Good } else { Verdict::Bad })
}

async fn delete(place: TableArgs, ids: Vec<FhirId>) -> Result<Verdict, Failed> {
    let table = place.open().await?;
    for id in ids {
        let removed = table.remove(&place.site, &id).await?;
        say(&format!("{id}: {}", if removed { "deleted" } else { "was not there" }));
    }
    Ok(Verdict::Good)
}

impl TableArgs {
    fn table_name(&self) -> Result<&str, Failed> {
        match self.table.as_str() {
            "" => Err(Failed("no table: give --table, or set TABLE_NAME".to_owned())),
            name => Ok(name),
        }
    }

    async fn connect(&self) -> Result<aws_config::SdkConfig, Failed> {
        self.table_name()?;
        Ok(aws::connect().await?)
    }

    async fn open(&self) -> Result<Table, Failed> {
        let aws = self.connect().await?;
        let mut config = aws_sdk_dynamodb::config::Builder::from(&aws);
        if let Some(endpoint) = &self.endpoint_url {
            config = config.endpoint_url(endpoint);
        }
        let client = aws_sdk_dynamodb::Client::from_conf(config.build());
        let table = Table::new(client, self.table_name()?.to_owned());
        table.probe(&self.site).await?;
        Ok(table)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
