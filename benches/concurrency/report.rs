//! The figures as Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use crate::keys::Keys;
use crate::load::Latencies;
use crate::{Bench, GOAL_ROW, LATENCY, LOAD, Outcome, Row, STALL, STALLS, Sample};

pub(crate) fn markdown(bench: &Bench, rows: &[Row], keys: &Keys, soak: &[Sample]) -> Outcome<String> {
    let mut out = String::new();
    writeln!(
        out,
        "The table answers after {LATENCY:?}; one read in {STALLS} stalls for {STALL:?}. Each row is a new process, \
         measured for {:?} after a warm-up. Every answer was compared with the document and the request that it is \
         for.\n",
        bench.settings.duration
    )?;
    goals(&mut out, rows)?;
    rows_table(&mut out, rows)?;
    keys_table(&mut out, keys)?;
    if !soak.is_empty() {
        writeln!(out, "| reads | resident, MiB | open files | threads |\n|---:|---:|---:|---:|")?;
        for Sample { reads, resident_kib, open_files, threads } in soak {
            writeln!(out, "| {reads} | {:.2} | {open_files} | {threads} |", mib(*resident_kib))?;
        }
    }
    Ok(out)
}

fn goals(out: &mut String, rows: &[Row]) -> Outcome<()> {
    let row = |concurrency, paced| {
        let mut rows = rows.iter();
        rows.find(|row| row.concurrency == concurrency && row.arrivals.is_some() == paced)
            .ok_or("a missing row")
    };
    let (one, many, paced) = (row(1, false)?, row(GOAL_ROW, false)?, row(GOAL_ROW, true)?);
    writeln!(out, "| goal | measured | bound | |\n|---|---:|---:|---|")?;
    let mut goal = |name: &str, measured: f64, bound: f64, at_least: bool, unit: &str| {
        let met = if at_least { measured >= bound } else { measured <= bound };
        let met = if met { "met" } else { "**missed**" };
        let sign = if at_least { "≥" } else { "≤" };
        writeln!(out, "| {name} | {measured:.2} {unit} | {sign} {bound:.2} {unit} | {met} |")
    };
    goal(
        "reads a second, 64 at once ÷ one at a time",
        many.reads_a_second / one.reads_a_second,
        8.0,
        true,
        "×",
    )?;
    goal("CPU of a read, 64 at once ÷ one at a time", many.cpu.div_duration_f64(one.cpu), 1.0, false, "×")?;
    goal(
        &format!(
            "p99 of reads that did not stall, at {LOAD} × the reads a second of one at a time ÷ the table's latency"
        ),
        paced.latency.p99_unstalled.div_duration_f64(LATENCY),
        3.0,
        false,
        "×",
    )?;
    goal("peak memory, 64 at once", mib(many.peak_kib.max(paced.peak_kib)), 32.0, false, "MiB")?;
    goal("peak memory, 256 at once", mib(row(256, false)?.peak_kib), 64.0, false, "MiB")?;
    writeln!(out)?;
    Ok(())
}

fn rows_table(out: &mut String, rows: &[Row]) -> Outcome<()> {
    writeln!(
        out,
        "| at once | arrivals | reads a second | p50, ms | p99, ms | p99 of reads that did not stall, ms | CPU a read, ms | peak, \
         MiB | threads | open files | 503 or 504 |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )?;
    for row in rows {
        let arrivals = match row.arrivals {
            None => "as fast as answered".to_owned(),
            Some(rate) => format!("{rate:.0} a second"),
        };
        let Latencies { p50, p99, p99_unstalled } = row.latency;
        writeln!(
            out,
            "| {} | {arrivals} | {:.0} | {:.2} | {:.2} | {:.2} | {:.3} | {:.2} | {} | {} | {} |",
            row.concurrency,
            row.reads_a_second,
            milliseconds(p50),
            milliseconds(p99),
            milliseconds(p99_unstalled),
            milliseconds(row.cpu),
            mib(row.peak_kib),
            row.threads,
            row.open_files,
            row.gave_up
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn keys_table(out: &mut String, keys: &Keys) -> Outcome<()> {
    writeln!(
        out,
        "| reads with known keys | p50, ms | p99 of reads that did not stall, ms |\n|---|---:|---:|"
    )?;
    for (phase, latency) in [
        ("before", &keys.before),
        ("key rotation", &keys.rotation),
        ("outage and 1,000 unknown keys", &keys.outage),
    ] {
        writeln!(
            out,
            "| {phase} | {:.2} | {:.2} |",
            milliseconds(latency.p50),
            milliseconds(latency.p99_unstalled)
        )?;
    }
    writeln!(
        out,
        "\nThe key set was fetched {} times, {} at once at most. Of the tokens with unknown keys, {} were answered 401 and {} \
         503; the slowest took {:.0} ms.\n",
        keys.fetches,
        keys.most_fetches_at_once,
        keys.unauthorized,
        keys.unavailable,
        milliseconds(keys.slowest_unknown)
    )?;
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(kib: u32) -> f64 {
    f64::from(kib) / 1024.0
}
