//! Prints a token that the local configuration accepts, with the claims given as JSON in place of the usual ones:
//! `cargo run -p local --bin token -- '{"siteIds": ["7"]}'`. A null takes a claim away.

use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output")]
fn main() -> ExitCode {
    let changes = std::env::args().nth(1).unwrap_or_else(|| "{}".to_owned());
    let Ok(changes @ serde_json::Value::Object(_)) = serde_json::from_str(&changes) else {
        eprintln!("token: the claims must be a JSON object, such as '{{\"siteIds\": [\"7\"]}}'");
        return ExitCode::from(2);
    };
    println!("{}", local::token(&local::claims_with(&changes)));
    ExitCode::SUCCESS
}
