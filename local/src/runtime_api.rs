//! A Runtime API for the real `bootstrap`: it hands out events, takes the answers, and keeps what the function logs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// An answer or a log line that does not come within this time does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running function.
pub struct Function {
    /// The process.
    pub process: Child,
    /// When it was started.
    pub started: Instant,
    events: mpsc::Sender<String>,
    polls: mpsc::UnboundedReceiver<Instant>,
    answers: mpsc::Receiver<Sent>,
    lines: mpsc::UnboundedReceiver<String>,
    /// The Runtime API and the reader of the log, which end with this.
    _tasks: JoinSet<()>,
}

/// What the function sent for an event.
pub struct Sent {
    /// When the last byte of it had come.
    pub at: Instant,
    /// The response, or the error.
    pub payload: Result<Bytes, Bytes>,
}

struct RuntimeApi {
    events: Mutex<mpsc::Receiver<String>>,
    polls: mpsc::UnboundedSender<Instant>,
    answers: mpsc::Sender<Sent>,
}

impl Function {
    /// Starts `binary` as Lambda would, with nothing in its environment but `environment` and what Lambda sets.
    pub async fn start(binary: impl AsRef<OsStr>, environment: &HashMap<String, String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (events, next) = mpsc::channel(1);
        let (polled, polls) = mpsc::unbounded_channel();
        let (taken, answers) = mpsc::channel(1);
        let api = Arc::new(RuntimeApi { events: Mutex::new(next), polls: polled, answers: taken });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_event))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .layer(DefaultBodyLimit::disable())
            .with_state(api);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.expect("serving ends with the tasks") });

        let started = Instant::now();
        let mut process = Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_FUNCTION_NAME", "imaging-study"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
            ])
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .envs(environment)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let output = process.stdout.take().expect("a piped output");
        let (written, lines) = mpsc::unbounded_channel();
        tasks.spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                if written.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, started, events, polls, answers, lines, _tasks: tasks }
    }

    /// When the function asked for an event, once for each time it did.
    pub async fn poll(&mut self) -> Instant {
        let poll = tokio::time::timeout(PATIENCE, self.polls.recv()).await;
        poll.expect("the function asks in time").expect("the Runtime API runs")
    }

    /// Hands the function an event, and takes what it sends for it.
    pub async fn exchange(&mut self, event: String) -> Sent {
        self.events.send(event).await.expect("the Runtime API runs");
        let sent = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        sent.expect("the function answers in time").expect("the Runtime API runs")
    }

    /// Hands the function an event: the response that it gives, or the error that it reports.
    pub async fn invoke(&mut self, event: Value) -> Result<Value, Value> {
        let json = |bytes: Bytes| serde_json::from_slice(&bytes).expect("the function sends JSON");
        self.exchange(event.to_string()).await.payload.map(json).map_err(json)
    }

    /// The next line of the log; `None` once the function has ended.
    pub async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.lines.recv()).await.expect("the function logs in time")
    }

    /// The next line of the log that a request left.
    pub async fn audit_line(&mut self) -> Value {
        loop {
            let line = self.line().await.expect("the function runs");
            let line: Value = serde_json::from_str(&line).expect("every line is JSON");
            if line["target"] == "imaging_study::audit" {
                return line;
            }
        }
    }
}

async fn next_event(State(api): State<Arc<RuntimeApi>>) -> (HeaderMap, String) {
    // Nobody may want to know.
    let _ = api.polls.send(Instant::now());
    let Some(event) = api.events.lock().await.recv().await else { std::future::pending().await };
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "9999999999999"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:imaging-study",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        ),
    ];
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name.parse().expect("a header name"), HeaderValue::from_static(value)));
    (headers.collect(), event)
}

async fn response(State(api): State<Arc<RuntimeApi>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    taken(&api, Ok(body)).await
}

async fn error(State(api): State<Arc<RuntimeApi>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    taken(&api, Err(body)).await
}

async fn taken(api: &RuntimeApi, payload: Result<Bytes, Bytes>) -> StatusCode {
    let sent = Sent { at: Instant::now(), payload };
    api.answers.send(sent).await.expect("somebody waits for the answer");
    StatusCode::ACCEPTED
}
