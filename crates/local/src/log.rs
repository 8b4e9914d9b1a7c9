//! The function's log: JSON as everywhere, or lines for people where a terminal is attached.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write, stdout};

use lambda_http::http::StatusCode;
use serde_json::{Map, Value};

/// Its table of reasons says what to do about each.
const MONITORING: &str = include_str!("../../../docs/monitoring.md");

tokio::task_local! {
    /// The audit line of the request that this task handles.
    static LINE: RefCell<Map<String, Value>>;
}

/// Runs a handler, and returns the audit line that it writes, too.
pub(crate) async fn with_line<T>(handler: impl Future<Output = T>) -> (T, Map<String, Value>) {
    LINE.scope(RefCell::default(), async { (handler.await, LINE.with(RefCell::take)) }).await
}

/// Prints a line that is for people.
pub(crate) fn tell(line: &str) {
    if stdout().is_terminal() {
        let _ = writeln!(stdout(), "{line}");
    }
}

/// The reason of an audit line, and what to do about it if the status is an error.
pub(crate) fn why(status: StatusCode, path: &str, line: &Map<String, Value>) -> String {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let reason = text("reason").unwrap_or_default();
    let advice = match status.as_u16() {
        400 | 404 if path.ends_with('/') => "no path ends in a slash".to_owned(),
        400.. => advice(reason),
        _ => return reason.to_owned(),
    };
    [Some(reason), Some(&advice), text("cause")].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// Takes the function's lines, one with each write.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let fields: Map<String, Value> = serde_json::from_slice(line)?;
        let is_audit = fields.contains_key("reason");
        if !stdout().is_terminal() {
            stdout().write_all(line)?;
        } else if !is_audit {
            tell(&sentence(&fields));
        }
        if is_audit {
            // Outside of it is the request that the server sends itself at start.
            let _ = LINE.try_with(|last| last.replace(fields));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stdout().flush()
    }
}

/// A line that is no request's: `WARN no variable of the function: nearest "JWT_AUDIENCE", …`.
fn sentence(fields: &Map<String, Value>) -> String {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let others = fields
        .iter()
        .filter(|(name, _)| !["timestamp", "level", "message", "target"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name} {value}"))
        .collect::<Vec<_>>();
    let colon = if others.is_empty() { "" } else { ": " };
    format!("{} {}{colon}{}", text("level"), text("message"), others.join(", "))
}

/// What to do about a reason, for the caller and for the operator, as the page on monitoring says.
fn advice(reason: &str) -> String {
    let row = MONITORING.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()).find(
        |cells| matches!(cells[..], ["", reasons, _, _, _, ""] if reasons.contains(&format!("`{reason}`"))),
    );
    let advice = row.iter().flat_map(|cells| &cells[3..5]).filter(|cell| !cell.is_empty());
    // A link becomes its text and its page.
    advice.copied().collect::<Vec<_>>().join("; ").replace("](", " (docs/").replace(['[', '`'], "")
}
