//! An HTTP server for tests, over TLS or not, that answers as told, byte by byte if need be: late, in part, forever, or
//! not at all.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, version::TLS13};

/// What the server does with a connection, step by step. After the last step it closes the connection in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// The moment at which the steps begin.
    pub from: Stage,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A moment in the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The TCP connection is there; before any TLS.
    Connected,
    /// The client's first bytes have been read: those of its TLS handshake, if there is one.
    Greeted,
    /// The TLS handshake is done, and the request not read.
    Secured,
    /// The request has been read.
    Requested,
}

/// One thing that a server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends the bytes one by one, with this pause before each.
    Drip(Vec<u8>, Duration),
    /// Sends the bytes again and again until the client goes away.
    Repeat(Vec<u8>),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the client goes away.
    Hang,
    /// Resets the connection (TCP RST).
    Reset,
    /// Leaves the connection open, and answers the next request on it.
    KeepOpen,
}

impl Behavior {
    /// After the request, these steps.
    #[must_use]
    pub fn steps(steps: impl Into<Vec<Step>>) -> Self {
        Self { from: Stage::Requested, steps: steps.into() }
    }

    /// These bytes in answer to a request.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::steps([Step::Send(bytes.into())])
    }

    /// A whole response.
    #[must_use]
    pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let length = body.len().to_string();
        let mut all = headers.to_vec();
        all.push(("content-length", &length));
        Self::bytes(head(status, &all) + body)
    }

    /// A JSON document with status 200.
    #[must_use]
    pub fn json(body: impl Into<String>) -> Self {
        Self::response(200, &[("content-type", "application/json")], &body.into())
    }

    /// The same document, on a connection that stays open for more requests.
    #[must_use]
    pub fn json_kept_open(body: &str) -> Self {
        let response = format!("HTTP/1.1 200 Status\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Self::steps([Step::Send(response.into()), Step::KeepOpen])
    }

    /// Any status.
    #[must_use]
    pub fn status(status: u16, body: &str) -> Self {
        Self::response(status, &[("content-type", "application/json")], body)
    }

    /// The same, later.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.steps.insert(0, Step::Pause(pause));
        self
    }

    /// The same steps at another moment.
    #[must_use]
    pub fn at(self, from: Stage) -> Self {
        Self { from, ..self }
    }
}

/// The head of a response, up to and including the empty line. The connection closes after each response.
#[must_use]
pub fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let mut head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n");
    for (name, value) in headers {
        head = head + name + ": " + value + "\r\n";
    }
    head + "\r\n"
}

/// The server. It lives as long as the runtime; clones are handles of the same server.
#[derive(Clone)]
pub struct FaultyServer(Arc<Shared>);

struct Shared {
    url: String,
    acceptor: Option<TlsAcceptor>,
    waiting: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_path: HashMap<String, Behavior>,
    connections: usize,
    requests: usize,
    last_headers: HeaderMap,
}

/// The authority of every TLS server of this process, and its certificate for 127.0.0.1.
static AUTHORITY: LazyLock<(String, TlsAcceptor)> = LazyLock::new(|| {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])
        .and_then(|params| params.signed_by(&key, &root))
        .expect("a certificate");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a key that fits its certificate");
    (root.pem(), Arc::new(config).into())
});

impl FaultyServer {
    /// Serves plain HTTP on a free port. Answers 404 until told otherwise.
    pub async fn http() -> Self {
        Self::start("http", None).await
    }

    /// Serves HTTPS on a free port, with a certificate of [`FaultyServer::ca_bundle`].
    pub async fn https() -> Self {
        Self::start("https", Some(AUTHORITY.1.clone())).await
    }

    /// The certificate authority of all HTTPS servers, as PEM.
    #[must_use]
    pub fn ca_bundle() -> Vec<u8> {
        AUTHORITY.0.clone().into()
    }

    async fn start(scheme: &str, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("a bound listener"));
        let shared = Shared { url, acceptor, waiting: Notify::new(), state: Mutex::default() };
        let server = Self(Arc::new(shared));
        let handle = server.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let server = handle.clone();
                // A client that goes away in the middle ends this connection and nothing else.
                tokio::spawn(async move { drop(server.serve(connection).await) });
            }
        });
        server
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url)
    }

    /// Sets what is done with requests for `path`. A behavior that begins before the request has been read holds for
    /// every connection, whatever its path.
    pub fn set(&self, path: &str, behavior: Behavior) {
        self.state().by_path.insert(path.to_owned(), behavior);
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// How many requests have been read.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// The headers of the last request.
    #[must_use]
    pub fn last_headers(&self) -> HeaderMap {
        self.state().last_headers.clone()
    }

    /// Awaits `future`. From the moment at which this server waits instead of answering, time passes at once.
    pub async fn skipping_time<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        {
            // Forgets an earlier wait.
            let earlier = self.0.waiting.notified();
            tokio::pin!(earlier);
            earlier.enable();
        }
        tokio::select! {
            biased;
            value = &mut future => return value,
            () = self.0.waiting.notified() => tokio::time::pause(),
        }
        let value = future.await;
        tokio::time::resume();
        value
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The behavior that begins at `stage`, for whatever path.
    fn early(&self, stage: Stage) -> Option<Vec<Step>> {
        let behaviors = &self.state().by_path;
        behaviors.values().find(|behavior| behavior.from == stage).map(|behavior| behavior.steps.clone())
    }

    async fn serve(&self, mut connection: TcpStream) -> std::io::Result<()> {
        self.state().connections += 1;
        connection.set_nodelay(true)?;
        if let Some(steps) = self.early(Stage::Connected) {
            return perform(&mut connection, steps, &self.0.waiting).await;
        }
        if let Some(steps) = self.early(Stage::Greeted) {
            let _ = connection.read(&mut [0; 1024]).await?;
            return perform(&mut connection, steps, &self.0.waiting).await;
        }
        match &self.0.acceptor {
            Some(acceptor) => self.answer(acceptor.accept(connection).await?).await,
            None => self.answer(connection).await,
        }
    }

    async fn answer(&self, mut stream: impl Connection) -> std::io::Result<()> {
        if let Some(steps) = self.early(Stage::Secured) {
            return perform(&mut stream, steps, &self.0.waiting).await;
        }
        while let Some((path, headers)) = read_request(&mut stream).await? {
            let behavior = {
                let mut state = self.state();
                state.requests += 1;
                state.last_headers = headers;
                state.by_path.get(&path).cloned()
            };
            let steps = behavior.unwrap_or_else(|| Behavior::status(404, "")).steps;
            let keeps_open = steps.last() == Some(&Step::KeepOpen);
            perform(&mut stream, steps, &self.0.waiting).await?;
            if !keeps_open {
                break;
            }
        }
        Ok(())
    }
}

/// Takes the steps, and notifies `waiting` whenever one of them is to wait.
pub(crate) async fn perform(
    stream: &mut impl Connection,
    steps: Vec<Step>,
    waiting: &Notify,
) -> std::io::Result<()> {
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    waiting.notify_one();
                    wait(stream, pause).await?;
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                }
            }
            Step::Repeat(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Step::Pause(pause) => {
                waiting.notify_one();
                wait(stream, pause).await?;
            }
            Step::Hang => {
                stream.flush().await?;
                waiting.notify_one();
                client_left(stream).await?;
            }
            Step::Reset => {
                stream.flush().await?;
                // Closing such a socket sends RST.
                return stream.tcp().set_zero_linger();
            }
            Step::KeepOpen => return stream.flush().await,
        }
    }
    stream.shutdown().await
}

/// Waits for a while, but not for a client that is gone.
async fn wait(stream: &mut impl Connection, pause: Duration) -> std::io::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(pause) => Ok(()),
        left = client_left(stream) => left.and(Err(std::io::ErrorKind::BrokenPipe.into())),
    }
}

/// Completes when the client closes the connection.
async fn client_left(stream: &mut impl Connection) -> std::io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// A TCP connection, with TLS or without.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Connection for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The path and the headers of a request, whose body is read and dropped. `None` if the client sends none.
async fn read_request(stream: &mut impl Connection) -> std::io::Result<Option<(String, HeaderMap)>> {
    let mut text = Vec::new();
    let end = loop {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(None);
        }
        text.extend_from_slice(&bytes[..count]);
        if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let mut lines = head.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let headers: HeaderMap = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
        })
        .collect();
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut missing = length.unwrap_or_default().saturating_sub(text.len() - end - 4);
    while missing > 0 {
        let count = stream.read(&mut [0; 4096]).await?;
        if count == 0 {
            return Ok(None);
        }
        missing = missing.saturating_sub(count);
    }
    Ok(Some((path, headers)))
}
