//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use table::id::{FhirId, SiteId};

/// Manages the FHIR R4 ImagingStudy documents that a DynamoDB table holds
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_STATUS)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  Success
  1  load: documents were rejected; check: problems were found; show, list, check: nothing was found
  2  The command failed or was interrupted: wrong usage, no input, an input that breaks off, no table

AWS credentials and the region are taken from the environment, profiles and single sign-on, as by the AWS CLI.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Load(LoadArgs),
    /// Print the document of a study, byte for byte
    #[command(after_help = EXIT_STATUS, override_usage = "studies show [OPTIONS] --site <SITE> --table <TABLE> <ID>")]
    Show {
        #[command(flatten)]
        site: SiteArgs,
        #[command(flatten)]
        table: TableArgs,
        /// The study's id
        #[arg(value_parser = FhirId::parse)]
        id: FhirId,
    },
    /// List the sites of the table, or the studies of a site
    ///
    /// For each study: its key, the stored form (gzip, text, map, flat, parts, or unreadable), the bytes of the document
    /// as stored, the entity tag and meta.lastUpdated. Listing studies reads the whole site; listing sites takes one
    /// small read for each.
    #[command(after_help = EXIT_STATUS, override_usage = "studies list [OPTIONS] [--site <SITE>] --table <TABLE>")]
    List {
        /// List the studies of this site
        #[arg(long, value_parser = SiteId::parse)]
        site: Option<SiteId>,
        #[command(flatten)]
        table: TableArgs,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Check whether the function can serve each study of a site
    ///
    /// Reads all items of the site and reports those that the function cannot serve, parts older than a day that no study
    /// names (orphaned parts: a load was interrupted, or two wrote the same study), and items of other programs that are
    /// neither.
    #[command(after_help = EXIT_STATUS, override_usage = "studies check [OPTIONS] --site <SITE> --table <TABLE>")]
    Check {
        #[command(flatten)]
        site: SiteArgs,
        #[command(flatten)]
        table: TableArgs,
        /// Delete orphaned parts
        #[arg(long)]
        remove_orphans: bool,
    },
    /// Delete studies
    ///
    /// A study that does not exist is not an error. An interrupted deletion is completed by running it again.
    #[command(after_help = EXIT_STATUS, override_usage = "studies delete [OPTIONS] --site <SITE> --table <TABLE> <--all|ID...>")]
    Delete {
        #[command(flatten)]
        site: SiteArgs,
        #[command(flatten)]
        table: TableArgs,
        /// Delete every study of the site
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Do not ask before deleting every study
        #[arg(long, requires = "all", conflicts_with = "ids")]
        yes: bool,
        /// The studies' ids
        #[arg(required_unless_present = "all", value_name = "ID", value_parser = FhirId::parse)]
        ids: Vec<FhirId>,
    },
}

/// Check documents against FHIR R4 and write them
///
/// Reads FHIR JSON resources, Bundles and NDJSON, each optionally gzipped, and loads the ImagingStudy resources in them.
/// The content of a file decides how it is read. Files named on the command line are read whatever their names; of those
/// in a folder, the ones whose names end in .json, .ndjson or .jsonl, each optionally followed by .gz.
///
/// Rejected documents are reported with location and reason; the others are loaded. Loading is idempotent: a document
/// that the table has already is not written again, nor one that is older than the table's, and an interrupted load
/// continues when it is run again. An id that differs only in case from that of a study in the table is rejected. If
/// DynamoDB throttles, the load slows down; it fails after 60 seconds without any success.
///
/// The first Ctrl-C or SIGTERM completes the writes in progress; the second ends at once.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS, override_usage = "studies load [OPTIONS] --site <SITE> <--table <TABLE>|--dry-run> [PATH]...")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    /// Check only, and say how much would be stored; needs no table and no credentials
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave out empty arrays, objects and strings and null, which FHIR forbids and converters write
    #[arg(long)]
    pub(crate) drop_empty: bool,
    /// Reject studies with warnings: wrong DICOM, and subjects that no patient's token can match
    #[arg(long)]
    pub(crate) strict: bool,
    /// Also replace studies of which the table has a later version by meta.lastUpdated
    #[arg(long)]
    pub(crate) allow_older: bool,
    /// Write at most this many items a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Write a JSON object for each document that is rejected or has warnings to this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Replace the report's file even if it is not a report of an earlier load
    #[arg(long, requires = "report")]
    pub(crate) force: bool,
    /// Name the files in folders that are skipped
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Seconds without any success after which the load fails; for tests
    #[arg(long, value_name = "SECONDS", default_value_t = studies::pace::PATIENCE.as_secs(), hide = true)]
    pub(crate) patience: u64,
    /// Files and folders; standard input if none is given, or for `-`
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SiteArgs {
    /// The site that the studies belong to
    #[arg(long, value_parser = SiteId::parse)]
    pub(crate) site: SiteId,
}

#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// The table, unless the environment names it
    #[arg(
        long = "table",
        value_name = "TABLE",
        env = "TABLE_NAME",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) name: String,
    /// The URL of DynamoDB, if it is not the region's
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_DYNAMODB", hide_env_values = true, value_parser = endpoint)]
    pub(crate) endpoint_url: Option<String>,
    /// Timeout of one attempt of a call, in seconds; for tests
    #[arg(long, value_name = "SECONDS", default_value_t = 10, hide = true)]
    pub(crate) call_timeout: u64,
}

fn endpoint(text: &str) -> Result<String, &'static str> {
    let is_http_url =
        |uri: http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    // Empty counts as unset, as in the function's configuration.
    if text.is_empty() || text.parse().is_ok_and(is_http_url) {
        Ok(text.to_owned())
    } else {
        Err("must be an http or https URL")
    }
}
