//! How often each reason occurred.

use std::collections::{BTreeMap, BTreeSet};

use fhir_r4::Problem;

use crate::figures::pluralize;

/// Reasons that are told apart, at most, and those that are named.
const MAX_REASONS: usize = 1000;
const NAMED: usize = 10;

/// The reasons for which documents were rejected, or warned of.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts each reason of a document once.
    pub(crate) fn document(&mut self, problems: &[Problem]) {
        let reasons: BTreeSet<_> = problems.iter().map(|problem| &*problem.reason).collect();
        for reason in reasons {
            self.add(reason);
        }
    }

    /// Counts a reason, wherever it was found.
    pub(crate) fn add(&mut self, reason: &str) {
        let ends = [" at line ", " at its line ", " at column ", " (line "].map(|place| reason.find(place));
        let reason = &reason[..ends.into_iter().flatten().min().unwrap_or(reason.len())];
        if self.0.len() < MAX_REASONS || self.0.contains_key(reason) {
            *self.0.entry(reason.to_owned()).or_default() += 1;
        } else {
            *self.0.entry("other reasons".to_owned()).or_default() += 1;
        }
    }

    /// `14 × must not be an empty array`, the most frequent first. `hint`: whether to name the option that helps.
    pub(crate) fn lines(&self, hint: bool) -> Vec<String> {
        let mut reasons: Vec<_> = self.0.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let more = reasons.len().saturating_sub(NAMED) as u64;
        let is_empty = |reason: &str| {
            reason.starts_with("must not be an empty")
                || reason.ends_with("not be null")
                || reason.ends_with(", not null")
        };
        let line = |(reason, count): (&String, &u64)| {
            let hint = if hint && is_empty(reason) { ": try --drop-empty" } else { "" };
            format!("{count} × {reason}{hint}")
        };
        let mut lines: Vec<_> = reasons.into_iter().take(NAMED).map(line).collect();
        if more > 0 {
            lines.push(format!("and {}", pluralize(more, "other reason", "other reasons")));
        }
        lines
    }
}
