//! Processes, and what the operating system counts of one: CPU time, memory, threads and open files.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

/// Runs a program that was built with the tests: under the emulator in `TEST_RUNNER`, a program and its arguments, if
/// that is set because they are for another processor.
#[must_use]
pub fn command(program: &OsStr) -> Command {
    let runner = std::env::var("TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().map(OsStr::new).chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}

/// What can go wrong here stops a benchmark.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How often a process is looked at until it rests.
const GLANCE: Duration = Duration::from_millis(1);

/// The accounts of one process, in `/proc`.
pub struct Accounts {
    folder: PathBuf,
    /// CPU time by thread: a thread that has ended takes its account with it.
    threads: HashMap<OsString, Duration>,
}

impl Accounts {
    /// Those of the process with this id.
    #[must_use]
    pub fn of(id: u32) -> Self {
        Self { folder: format!("/proc/{id}").into(), threads: HashMap::new() }
    }

    /// User and system time since the start, in nanoseconds of resolution, read as soon as the process rests: the
    /// scheduler does not count the time slice that is still running.
    pub async fn cpu_at_rest(&mut self) -> Outcome<Duration> {
        let mut before = None;
        loop {
            tokio::time::sleep(GLANCE).await;
            let rests = self.read_threads()?;
            let now = rests.then(|| self.threads.values().sum());
            match now {
                Some(cpu) if now == before => return Ok(cpu),
                _ => before = now,
            }
        }
    }

    /// Reads every thread's account, and says whether all threads sleep.
    fn read_threads(&mut self) -> Outcome<bool> {
        let mut all_sleep = true;
        for thread in std::fs::read_dir(self.folder.join("task"))? {
            let thread = thread?;
            let read = |account| std::fs::read_to_string(thread.path().join(account));
            let (stat, schedstat) = match (read("stat"), read("schedstat")) {
                (Ok(stat), Ok(schedstat)) => (stat, schedstat),
                (Err(fault), _) | (_, Err(fault)) if thread.path().exists() => {
                    return Err(format!("the accounts of a thread (CONFIG_SCHED_INFO): {fault}").into());
                }
                // It has ended while the list was read.
                _ => continue,
            };
            // `PID (NAME) STATE …`, proc_pid_stat(5).
            let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.trim_start().chars().next());
            all_sleep &= state == Some('S');
            // Nanoseconds on a CPU first (Documentation/scheduler/sched-stats.rst of the kernel).
            let nanoseconds = schedstat.split(' ').next().unwrap_or_default().parse()?;
            self.threads.insert(thread.file_name(), Duration::from_nanos(nanoseconds));
        }
        Ok(all_sleep)
    }

    /// User and system time since the start. Of a process that is busy, it lacks the time slices that are still running.
    pub fn cpu(&mut self) -> Outcome<Duration> {
        self.read_threads()?;
        Ok(self.threads.values().sum())
    }

    /// The most memory that the process has had resident, in KiB.
    pub fn peak_kib(&self) -> Outcome<u32> {
        self.status("VmHWM:")
    }

    /// The memory that is resident now, in KiB.
    pub fn resident_kib(&self) -> Outcome<u32> {
        self.status("VmRSS:")
    }

    /// The threads that run now.
    pub fn threads(&self) -> Outcome<u32> {
        self.status("Threads:")
    }

    /// The files and sockets that are open now.
    pub fn open_files(&self) -> Outcome<usize> {
        Ok(std::fs::read_dir(self.folder.join("fd"))?.count())
    }

    /// A number in `status` (`proc_pid_status(5)`).
    fn status(&self, name: &str) -> Outcome<u32> {
        let status = std::fs::read_to_string(self.folder.join("status"))?;
        let value =
            status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }
}
