//! Conditional requests (RFC 9110 §13), evaluated in the order of §13.2.2.

use std::time::UNIX_EPOCH;

use lambda_http::http::HeaderMap;
use lambda_http::http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};

use table::document::Properties;

/// The result of a request's preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// There is none, or all are true: 200.
    Met,
    /// The client has this state of the document: 304.
    NotModified,
    /// The client wants another state of the document: 412.
    Failed,
}

pub(super) fn evaluate(headers: &HeaderMap, study: &Properties) -> Precondition {
    if headers.contains_key(IF_MATCH) {
        // Only `*` can match: the comparison is strong (§13.1.1), and all our entity tags are weak.
        if !tags(headers, &IF_MATCH).any(|tag| tag == "*") {
            return Precondition::Failed;
        }
    } else if let (Some(updated), Some(since)) = (study.last_updated, date(headers, &IF_UNMODIFIED_SINCE))
        && updated > since
    {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        // The comparison is weak (§13.1.2), and `If-Modified-Since` is ignored (§13.1.3).
        let current = opaque_tag(&study.etag);
        if tags(headers, &IF_NONE_MATCH).any(|tag| tag == "*" || opaque_tag(tag) == current) {
            return Precondition::NotModified;
        }
    } else if let (Some(updated), Some(since)) = (study.last_updated, date(headers, &IF_MODIFIED_SINCE))
        && updated <= since
    {
        return Precondition::NotModified;
    }
    Precondition::Met
}

fn opaque_tag(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The entity tags of a list, from all its lines. A tag may contain commas, so the list is split at its quotes. Of a
/// malformed line, the rest is ignored.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let end = if rest.starts_with('*') {
                1
            } else {
                let open = if rest.starts_with("W/") { 2 } else { 0 };
                let quoted = rest[open..].strip_prefix('"')?;
                open + quoted.find('"')? + 2
            };
            let (tag, after) = rest.split_at(end);
            rest = after;
            Some(tag)
        })
    })
}

/// The HTTP-date of a header, in seconds since 1970. One that is malformed or repeated is ignored (§13.1.3).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let time = httpdate::parse_http_date(line.to_str().ok()?.trim()).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use lambda_http::http::HeaderValue;

    use super::Precondition::{Failed, Met, NotModified};
    use super::*;

    /// 2024-05-04T10:00:00Z.
    const UPDATED: i64 = 1_714_816_800;
    const BEFORE: &str = "Sat, 04 May 2024 09:59:59 GMT";
    const AT: &str = "Sat, 04 May 2024 10:00:00 GMT";
    const AFTER: &str = "Sat, 04 May 2024 10:00:01 GMT";

    fn outcome(lines: &[(HeaderName, &'static str)], last_updated: Option<i64>) -> Precondition {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut study = Properties::of_tag("W/\"3\"".to_owned());
        study.last_updated = last_updated;
        evaluate(&headers, &study)
    }

    #[test]
    fn preconditions_are_evaluated_as_rfc_9110_section_13_says() {
        for (lines, expected) in [
            (&[][..], Met),
            (&[(IF_NONE_MATCH, "W/\"3\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"3\"")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "W/\"2\"")], Met),
            (&[(IF_NONE_MATCH, "W/\"1\", \"a,b\" ,W/\"3\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"1\""), (IF_NONE_MATCH, "\"3\"")], NotModified),
            (&[(IF_NONE_MATCH, "3")], Met),
            (&[(IF_NONE_MATCH, "w/\"3\"")], Met),
            (&[(IF_NONE_MATCH, "")], Met),
            (&[(IF_NONE_MATCH, "\"3")], Met),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Met),
            (&[(IF_MODIFIED_SINCE, AT)], NotModified),
            (&[(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (&[(IF_MODIFIED_SINCE, "Saturday, 04-May-24 10:00:00 GMT")], NotModified),
            (&[(IF_MODIFIED_SINCE, "2024-05-04T10:00:00Z")], Met),
            (&[(IF_MODIFIED_SINCE, AT), (IF_MODIFIED_SINCE, AT)], Met),
            (&[(IF_NONE_MATCH, "\"2\""), (IF_MODIFIED_SINCE, AFTER)], Met),
            (&[(IF_NONE_MATCH, "\"3\""), (IF_MODIFIED_SINCE, BEFORE)], NotModified),
            (&[(IF_MATCH, "*")], Met),
            (&[(IF_MATCH, "W/\"3\"")], Failed),
            (&[(IF_MATCH, "\"3\"")], Failed),
            (&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            (&[(IF_UNMODIFIED_SINCE, AT)], Met),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Met),
            (&[(IF_MATCH, "*"), (IF_UNMODIFIED_SINCE, BEFORE)], Met),
        ] {
            assert_eq!(outcome(lines, Some(UPDATED)), expected, "{lines:?}");
        }
    }

    #[test]
    fn dates_are_ignored_where_the_document_has_none() {
        assert_eq!(outcome(&[(IF_MODIFIED_SINCE, AFTER)], None), Met);
        assert_eq!(outcome(&[(IF_UNMODIFIED_SINCE, BEFORE)], None), Met);
    }
}
