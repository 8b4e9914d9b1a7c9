//! A Runtime API for the real `bootstrap`: it hands out events to as many pollers as ask, takes the responses, and keeps
//! what the function logs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::process::command;

/// A response or a log line that does not arrive within this time counts as missing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Carries the request id.
const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
/// All request ids start with this; the first of a function is `8476a536-e9f4-11e8-9739-2dfe598c3fcd`.
const REQUEST_ID_PREFIX: &str = "8476a536-e9f4-11e8-9739-";
const FIRST_REQUEST_NUMBER: u64 = 0x2dfe_598c_3fcd;

/// A running function.
pub struct Function {
    /// The process.
    pub process: Child,
    /// When it was started.
    pub started: Instant,
    /// The Runtime API that it polls.
    pub api: RuntimeApi,
    polls: mpsc::UnboundedReceiver<Instant>,
    lines: mpsc::UnboundedReceiver<String>,
    /// The Runtime API and the reader of the log, which end with this.
    _tasks: JoinSet<()>,
}

/// What the function sent for an event.
#[derive(Debug)]
pub struct Sent {
    /// The id of the invocation.
    pub request_id: String,
    /// When a poller received the event.
    pub handed_out: Instant,
    /// When the last byte of the response arrived.
    pub at: Instant,
    /// The response, or the error.
    pub payload: Result<Bytes, Bytes>,
}

/// The Runtime API of one function. Clones share it.
#[derive(Clone)]
pub struct RuntimeApi(Arc<Shared>);

struct Shared {
    /// `None` ends the poller that receives it.
    queue: mpsc::UnboundedSender<Option<Invocation>>,
    next: tokio::sync::Mutex<mpsc::UnboundedReceiver<Option<Invocation>>>,
    polls: mpsc::UnboundedSender<Instant>,
    requests: AtomicU64,
    unsolicited: AtomicU64,
    /// The invocations that a poller has received and not responded to, by request id.
    pending: Mutex<HashMap<String, Pending>>,
}

struct Invocation {
    event: String,
    sender: oneshot::Sender<Sent>,
}

struct Pending {
    handed_out: Instant,
    sender: oneshot::Sender<Sent>,
}

impl Function {
    /// Starts `binary` as Lambda would, with nothing in its environment but `environment` and what Lambda sets.
    pub async fn start(binary: impl AsRef<OsStr>, environment: &HashMap<String, String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (polled, polls) = mpsc::unbounded_channel();
        let api = RuntimeApi::new(polled);
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_event))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .layer(DefaultBodyLimit::disable())
            .with_state(api.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.expect("serving ends with the tasks") });

        let started = Instant::now();
        let mut process = command(binary.as_ref())
            .env_clear()
            // Where `make coverage` counts.
            .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)))
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
        Self { process, started, api, polls, lines, _tasks: tasks }
    }

    /// When the function asked for an event, once for each time it did.
    pub async fn poll(&mut self) -> Instant {
        let poll = tokio::time::timeout(PATIENCE, self.polls.recv()).await;
        poll.expect("the function asks in time").expect("the Runtime API runs")
    }

    /// As [`RuntimeApi::exchange`].
    pub async fn exchange(&self, event: String) -> Sent {
        self.api.exchange(event).await
    }

    /// Hands the function an event: the response that it gives, or the error that it reports.
    pub async fn invoke(&self, event: Value) -> Result<Value, Value> {
        let json = |bytes: Bytes| serde_json::from_slice(&bytes).expect("the function sends JSON");
        self.exchange(event.to_string()).await.payload.map(json).map_err(json)
    }

    /// Ends the function by an event whose request id is no text, an error for `lambda_runtime`. An instrumented function
    /// writes its profile when `main` returns, and would not if it were killed.
    pub async fn end(mut self) -> std::io::Result<ExitStatus> {
        self.api.queue(None);
        tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("the function ends in time")
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

impl RuntimeApi {
    fn new(polls: mpsc::UnboundedSender<Instant>) -> Self {
        let (queue, next) = mpsc::unbounded_channel();
        Self(Arc::new(Shared {
            queue,
            next: next.into(),
            polls,
            requests: AtomicU64::new(FIRST_REQUEST_NUMBER),
            unsolicited: AtomicU64::default(),
            pending: Mutex::default(),
        }))
    }

    /// Hands an event to the next poller, and takes what the function sends for it.
    pub async fn exchange(&self, event: String) -> Sent {
        let (sender, sent) = oneshot::channel();
        self.queue(Some(Invocation { event, sender }));
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        sent.expect("the function responds in time").expect("an invocation ends with a response")
    }

    fn queue(&self, invocation: Option<Invocation>) {
        assert!(self.0.queue.send(invocation).is_ok(), "the queue lives as long as its API");
    }

    /// Responses to invocations that were not handed out, or had a response before.
    #[must_use]
    pub fn unsolicited(&self) -> u64 {
        self.0.unsolicited.load(Ordering::Relaxed)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn next_event(State(api): State<RuntimeApi>) -> (HeaderMap, String) {
    // Nobody may want to know.
    let _ = api.0.polls.send(Instant::now());
    let invocation = api.0.next.lock().await.recv().await;
    let Some(Invocation { event, sender }) = invocation.expect("the API holds a sender") else {
        let no_text = HeaderValue::from_bytes(&[0xff]).expect("an opaque value");
        return (HeaderMap::from_iter([(HeaderName::from_static(REQUEST_ID), no_text)]), String::new());
    };
    let number = api.0.requests.fetch_add(1, Ordering::Relaxed);
    let request_id = format!("{REQUEST_ID_PREFIX}{number:012x}");
    let headers = [
        (REQUEST_ID, request_id.as_str()),
        ("lambda-runtime-invocation-id", request_id.as_str()),
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
    let headers = headers.into_iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))
    });
    let headers = headers.collect();
    api.pending().insert(request_id, Pending { handed_out: Instant::now(), sender });
    (headers, event)
}

async fn response(
    State(api): State<RuntimeApi>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    take(&api, id, &headers, Ok(body))
}

async fn error(
    State(api): State<RuntimeApi>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    take(&api, id, &headers, Err(body))
}

/// Takes a response if it is for an invocation that waits for one, and repeats the id of that invocation.
fn take(api: &RuntimeApi, id: String, headers: &HeaderMap, payload: Result<Bytes, Bytes>) -> StatusCode {
    let echoed = headers.get("lambda-runtime-invocation-id");
    let pending = if echoed.is_some_and(|echoed| *echoed == id) { api.pending().remove(&id) } else { None };
    let Some(Pending { handed_out, sender }) = pending else {
        api.0.unsolicited.fetch_add(1, Ordering::Relaxed);
        return StatusCode::GONE;
    };
    // Whoever asked may have stopped waiting.
    let _ = sender.send(Sent { request_id: id, handed_out, at: Instant::now(), payload });
    StatusCode::ACCEPTED
}
