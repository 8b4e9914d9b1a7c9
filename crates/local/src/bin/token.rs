//! Prints a token that the local configuration accepts.

use std::process::ExitCode;

use imaging_study::config::process_env;

const USAGE: &str = "\
Usage: token [CLAIMS]

Prints a token for the service that `make run` starts: for site 4, valid for an hour.

CLAIMS is a JSON object with claims in place of the usual ones; null takes one away:
  token '{\"siteIds\": [\"7\"], \"sub\": null}'
With a secret in JWT_JWKS, which `make run` must have as well, it signs the token (HS256).";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let changes = match &arguments[..] {
        [] => "{}",
        [help] if help == "--help" || help == "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [changes] => changes,
        _ => "",
    };
    let Ok(changes @ serde_json::Value::Object(_)) = serde_json::from_str(changes) else {
        eprintln!("token: the claims must be one JSON object\n\n{USAGE}");
        return ExitCode::from(2);
    };
    println!("{}", local::token_for(process_env("JWT_JWKS").as_deref(), &local::claims_with(&changes)));
    ExitCode::SUCCESS
}
