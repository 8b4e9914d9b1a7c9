//! `make run` through its own binary: what it prints can be typed, and the function's variables take effect.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use jsonwebtoken::{EncodingKey, Header};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

const STUDY: &str = "/site/4/fhir/imaging-study/panoramic";
/// 32 bytes, in base64url as a JWK has them.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OWN_KEY_SET: &str =
    r#"{"keys":[{"kty":"oct","alg":"HS256","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;

#[test]
fn the_printed_command_reads_a_study() {
    let server = Server::start(&[]);
    assert_eq!(server.get(STUDY, &server.printed_token()), 200);
    assert_eq!(server.get("/site/5/fhir/imaging-study/panoramic", &server.printed_token()), 404);
    assert_eq!(server.get(STUDY, "none"), 401);
}

#[test]
fn the_body_of_a_401_and_of_a_path_that_ends_in_a_slash_says_why() {
    let server = Server::start(&[]);
    let token = local::token(&local::claims_with(&json!({ "exp": 1 })));
    let expired = format!("authorization: Bearer {token}\r\n");
    let valid = format!("authorization: Bearer {}\r\n", server.printed_token());
    for (request, headers, text) in [
        (STUDY, "", r#"{"message":"Unauthorized: token_missing: send "#),
        (STUDY, &expired, r#"{"message":"Unauthorized: token_expired: get a new token; a clock "#),
        (
            &STUDY.replace("imaging-study", "ImagingStudy"),
            "",
            r#""diagnostics":"Unauthorized: token_missing: "#,
        ),
        (&format!("{STUDY}/"), &valid, "no path ends in a slash"),
        ("/site/5/fhir/imaging-study/a", &valid, r#"{"message":"Not Found","statusCode":404}"#),
    ] {
        let response = server.send(&format!("GET {request}"), headers);
        assert!(response.contains(text), "{request}: {response}");
    }
}

#[test]
fn a_terminal_shows_lines_for_people_and_a_pipe_those_of_the_function() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let end = File::options().write(true).open(name).unwrap();
    let process = command(&[("JWT_AUDIENCES", "a")]).stdout(end).stderr(Stdio::null()).spawn().unwrap();
    let server = Server::reading(process, File::from(terminal));
    let warning = r#"WARN no variable of the function: nearest "JWT_AUDIENCE", variable "JWT_AUDIENCES""#;
    assert!(server.printed.starts_with(warning), "{}", server.printed);
    assert_eq!(server.get("/site/5/fhir/imaging-study/a", &server.printed_token()), 404);
    let line = "404 site_not_granted: ask for access to the site  GET /site/5/fhir/imaging-study/a";
    assert_eq!(server.next_line(), line);
    assert_eq!(server.get(STUDY, &server.printed_token()), 200);
    assert_eq!(server.next_line(), format!("200 ok  GET {STUDY}"));

    let piped = Server::start(&[]);
    assert_eq!(piped.get(STUDY, "none"), 401);
    let line: Value = serde_json::from_str(&piped.next_line()).unwrap();
    assert_eq!((&line["status"], &line["reason"]), (&json!(401), &json!("token_malformed")));
}

#[test]
fn a_page_of_any_origin_may_read_with_any_header() {
    let server = Server::start(&[]);
    let origin = "origin: http://127.0.0.1:1\r\n";
    let asked =
        "access-control-request-method: GET\r\naccess-control-request-headers: authorization,x-medplum\r\n";
    let preflight = server.send(&format!("OPTIONS {STUDY}"), &format!("{origin}{asked}"));
    for line in [
        "HTTP/1.1 204 ",
        "allow: GET, HEAD, OPTIONS",
        "access-control-allow-origin: http://127.0.0.1:1",
        "access-control-allow-headers: authorization,x-medplum",
    ] {
        assert!(preflight.contains(line), "{line}: {preflight}");
    }
    let token = format!("authorization: Bearer {}\r\n", server.printed_token());
    let response = server.send(&format!("GET {STUDY}"), &format!("{origin}{token}"));
    for line in [
        "HTTP/1.1 200 ",
        "access-control-allow-origin: http://127.0.0.1:1",
        "access-control-expose-headers: etag,",
    ] {
        assert!(response.contains(line), "{line}: {response}");
    }
}

#[test]
fn options_that_no_page_asks_for_is_the_functions_own_response() {
    let response = Server::start(&[]).send(&format!("OPTIONS {STUDY}"), "");
    assert!(
        response.contains("HTTP/1.1 204 ") && response.contains("allow: GET, HEAD, OPTIONS"),
        "{response}"
    );
    assert!(!response.contains("access-control-"), "{response}");
}

#[test]
fn an_own_issuer_with_own_keys_replaces_the_built_in_ones() {
    let server = Server::start(&[
        ("JWT_ISSUER", "https://own.example"),
        ("JWT_AUDIENCE", "own"),
        ("JWT_JWKS", OWN_KEY_SET),
        ("JWT_ALGORITHMS", "HS256"),
    ]);
    assert!(server.printed.contains("Tokens come from https://own.example for own."));
    assert!(
        server.printed.contains("Set TOKEN to a token of your issuer that grants site 4"),
        "{}",
        server.printed
    );
    assert_eq!(server.printed_token(), "$TOKEN");
    assert_eq!(server.get(STUDY, &local::token(&local::claims())), 401);

    let claims = local::claims_with(&json!({ "iss": "https://own.example", "aud": "own" }));
    let own = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(server.get(STUDY, &own), 200);
}

#[test]
fn a_secret_of_ones_own_signs_the_local_tokens() {
    let variables = [("JWT_JWKS", OWN_KEY_SET), ("JWT_ALGORITHMS", "HS256")];
    let server = Server::start(&variables);
    assert_eq!(server.get(STUDY, &server.printed_token()), 200);
    let token = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_token"));
        command.args(arguments).envs(variables).output().unwrap()
    };
    let site_7 = String::from_utf8(token(&[r#"{"siteIds": [7]}"#]).stdout).unwrap();
    assert_eq!(server.get(STUDY, site_7.trim()), 404);
    assert!(token(&["--help"]).status.success());
    for arguments in [&["[]"][..], &["{}", "{}"], &["--sites"]] {
        assert_eq!(token(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_own_issuer_replaces_the_development_key() {
    // Nothing listens there, so that no key is known.
    let server = Server::start(&[("JWT_ISSUER", "https://127.0.0.1:1")]);
    assert_eq!(server.printed_token(), "$TOKEN");
    let cause = "https://127.0.0.1:1/.well-known/openid-configuration: the connection failed: \
                 tcp connect error: Connection refused (os error ";
    assert!(server.printed.contains(cause), "{}", server.printed);
    assert_eq!(server.printed.matches("WARN").count(), 1, "{}", server.printed);
    assert_eq!(server.get(STUDY, &local::token(&local::claims())), 503);
}

#[test]
fn the_smart_configuration_is_that_of_the_built_in_issuer_only() {
    let path = "/site/4/fhir/.well-known/smart-configuration";
    let built_in = Server::start(&[]).send(&format!("GET {path}"), "");
    assert!(built_in.contains(r#""token_endpoint":"https://issuer.example/token""#), "{built_in}");
    assert_eq!(Server::start(&[("JWT_ISSUER", "https://127.0.0.1:1")]).get(path, "none"), 404);
}

#[test]
fn a_variable_that_the_development_token_does_not_fit_is_not_hidden() {
    for variable in [("SITE_CLAIM", "sites"), ("SMART_SCOPES", "required"), ("JWT_AUDIENCE", "own")] {
        assert_eq!(Server::start(&[variable]).printed_token(), "$TOKEN", "{variable:?}");
    }
}

#[test]
fn empty_variables_and_those_of_the_table_change_nothing() {
    let server = Server::start(&[
        ("JWT_ISSUER", ""),
        ("JWT_JWKS_URL", ""),
        ("JWT_JWKS_SECRET_ARN", ""),
        ("TABLE_NAME", "Other"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1"),
        ("AWS_CA_BUNDLE", "/nowhere.pem"),
    ]);
    assert_eq!(server.get(STUDY, &server.printed_token()), 200);
}

#[test]
fn an_invalid_variable_is_named() {
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:api/key-AbCdEf";
    for (name, value) in [
        ("JWT_ALGORITHMS", "none"),
        ("JWT_ISSUER", "*"),
        ("JWT_JWKS_URL", "http://issuer.example"),
        ("JWT_JWKS_SECRET_ARN", arn),
        ("LOCAL_PORT", "nine"),
        ("DYNAMODB_PORT", "99999"),
        ("DYNAMODB_HOST", "localhost"),
    ] {
        let stderr = failure(&[(name, value)]);
        assert!(stderr.starts_with(&format!("local: {name}: ")), "{name}: {stderr}");
        assert!(!stderr.contains(value), "{name}: {stderr}");
    }
}

#[test]
fn a_port_in_use_is_named_with_its_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for name in ["LOCAL_PORT", "DYNAMODB_PORT"] {
        let stderr = failure(&[(name, &port)]);
        assert!(stderr.contains(&format!("127.0.0.1:{port}")) && stderr.contains(name), "{stderr}");
    }
}

/// A running server, and what it printed before it served.
struct Server {
    process: Child,
    printed: String,
    lines: Receiver<String>,
}

impl Server {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut process = command(variables).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        Self::reading(process, output)
    }

    fn reading(process: Child, output: impl Read + Send + 'static) -> Self {
        // A terminal whose process is gone cannot be read.
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut printed = String::new();
        // The last of the commands.
        while !printed.contains("/site/5/") {
            printed.push_str(&lines.next().expect("the server says how to reach it"));
            printed.push('\n');
        }
        // The log goes on, and must not fill the pipe.
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            lines.filter(|line| !line.is_empty()).for_each(|line| drop(sender.send(line)));
        });
        Self { process, printed, lines: log }
    }

    /// The next line of the log.
    fn next_line(&self) -> String {
        self.lines.recv().expect("a line")
    }

    fn printed_token(&self) -> String {
        let (_, rest) = self.printed.split_once("Authorization: Bearer ").expect("a curl command");
        rest.split('"').next().unwrap().to_owned()
    }

    /// The status of a read with this token.
    fn get(&self, path: &str, token: &str) -> u16 {
        let response = self.send(&format!("GET {path}"), &format!("authorization: Bearer {token}\r\n"));
        response.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The response to a request with these header lines.
    fn send(&self, request: &str, headers: &str) -> String {
        let (_, rest) = self.printed.split_once("served on http://").unwrap();
        let address = rest.split(' ').next().unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: {address}\r\n{headers}connection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).unwrap();
        response
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// What the server says when it does not start.
fn failure(variables: &[(&str, &str)]) -> String {
    let output = command(variables).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{variables:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The server with these variables and no others of the test's own environment, on free ports.
fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    command.env_clear().env("LOCAL_PORT", "0").env("DYNAMODB_PORT", "0").envs(variables.iter().copied());
    command
}
