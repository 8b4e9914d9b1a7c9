//! A server of keys on this machine that does as it is told, and a clock that goes as it is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, Uri, header};
use tokio::net::TcpListener;

/// What to answer with.
#[derive(Clone)]
pub(crate) enum Answer {
    Text(String),
    Status(u16, String),
    Redirect(String),
    /// Nothing, ever.
    Silence,
    /// The start of a body, and then nothing.
    HalfABody,
    /// The start of a body, and then the end of the connection.
    BrokenBody,
    /// An endless one.
    EndlessBody,
    /// As another answer, but not before that time has passed.
    After(Duration, Box<Answer>),
}

impl Answer {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

#[derive(Clone)]
pub(crate) struct Server {
    url: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    requests: Arc<AtomicUsize>,
    last_headers: Arc<Mutex<HeaderMap>>,
}

impl Server {
    /// Answers 404 until told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server =
            Self { url, answers: Arc::default(), requests: Arc::default(), last_headers: Arc::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// How many requests there have been.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn last_headers(&self) -> HeaderMap {
        self.last_headers.lock().unwrap().clone()
    }
}

async fn answer(State(server): State<Server>, uri: Uri, headers: HeaderMap) -> Response {
    server.requests.fetch_add(1, Ordering::SeqCst);
    *server.last_headers.lock().unwrap() = headers;
    let found = server.answers.lock().unwrap().get(uri.path()).cloned();
    let mut answer = found.unwrap_or(Answer::Status(404, String::new()));
    while let Answer::After(pause, then) = answer {
        tokio::time::sleep(pause).await;
        answer = *then;
    }
    match answer {
        Answer::Text(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Answer::Status(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Answer::Silence | Answer::After(..) => patience_ends().await,
        Answer::HalfABody => body(stream::once(patience_ends())),
        Answer::BrokenBody => body(stream::once(async { Err(std::io::Error::other("broken")) })),
        Answer::EndlessBody => body(stream::repeat_with(|| Ok(Bytes::from_static(&[b' '; 4096])))),
    }
}

/// The start of a key set, and then `rest`.
fn body(rest: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Response {
    let start = stream::iter([Ok(Bytes::from_static(b"{\"keys\":["))]);
    Body::from_stream(start.chain(rest)).into_response()
}

/// Never comes back. A minute passes at once, so that no test has to wait for the one who waits.
async fn patience_ends<T>() -> T {
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    std::future::pending().await
}

/// A clock that only moves when told to.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<SystemTime>>);

impl Clock {
    pub(crate) fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    pub(crate) fn forward(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }

    pub(crate) fn back(&self, seconds: u64) {
        *self.0.lock().unwrap() -= Duration::from_secs(seconds);
    }

    pub(crate) fn reading(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let clock = self.clone();
        move || *clock.0.lock().unwrap()
    }
}
