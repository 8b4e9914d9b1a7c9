//! An HTTP/1.1 server for tests, over TLS or not, that does as told, byte by byte if need be: late, in part, without end,
//! or not at all. In front of another server, it forwards every request that it is told nothing about.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use rcgen::CertificateParams;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::tls::Authority;

/// The address of a server that is not asked for by name.
const LOCALHOST: &str = "127.0.0.1";
/// By which [`Server::skip_time`] sets the clock forward.
const SKIP: Duration = Duration::from_millis(50);
/// Longer than any test.
const FOREVER: Duration = Duration::from_hours(24);

/// What the server does with a connection.
#[derive(Clone, Debug)]
pub struct Behavior {
    /// The moment at which the steps begin.
    pub from: Stage,
    /// The steps. After them, the server closes the connection in good order, unless the last one keeps it open.
    pub steps: Vec<Step>,
    body: &'static str,
    times: usize,
}

/// A moment in the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug)]
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
    /// Leaves the connection open, and responds to the next request on it.
    KeepOpen,
    /// Forwards the request, and its response as it arrives. Leaves the connection open.
    Forward,
    /// Forwards the request, and drops its response.
    LoseResponse,
}

impl Behavior {
    /// After the request, these steps.
    pub fn steps(steps: impl Into<Vec<Step>>) -> Self {
        Self { from: Stage::Requested, steps: steps.into(), body: "", times: usize::MAX }
    }

    /// These bytes in response to a request.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::steps([Step::Send(bytes.into())])
    }

    /// A whole response.
    pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let length = body.len().to_string();
        Self::bytes(head(status, &[headers, &[("content-length", &length)]].concat()) + body)
    }

    /// A JSON document with status 200.
    pub fn json(body: impl Into<String>) -> Self {
        Self::status(200, &body.into())
    }

    /// Any status and body, on a connection that stays open for more requests.
    pub fn kept_open(status: u16, body: &str) -> Self {
        let response = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Self::steps([Step::Send(response.into()), Step::KeepOpen])
    }

    /// Any status.
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

    /// The same for requests whose body contains this text, and for no others.
    #[must_use]
    pub fn for_body_with(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    /// The same for one request, and for none after it.
    #[must_use]
    pub fn once(self) -> Self {
        Self { times: 1, ..self }
    }
}

/// The head of a response, up to and including the empty line. The connection closes after the response.
pub fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let mut head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n");
    for (name, value) in headers {
        head = head + name + ": " + value + "\r\n";
    }
    head + "\r\n"
}

/// A request as the server has read it.
pub struct Request {
    /// The path, without the query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    message: Vec<u8>,
}

impl Request {
    /// The operation of DynamoDB that is called, such as `GetItem`.
    pub fn operation(&self) -> &str {
        let target = self.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        target.and_then(|target| target.rsplit('.').next()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// Whether the body contains a text.
    pub fn has(&self, text: &str) -> bool {
        let text = text.as_bytes();
        text.is_empty() || self.body.windows(text.len()).any(|window| window == text)
    }
}

/// What the server does with a request that no [`Behavior`] is for.
type Script = Box<dyn Fn(&Request) -> BoxFuture<'static, Vec<Step>> + Send + Sync>;

/// The server. It runs as long as the runtime; clones are handles of the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    url: String,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    upstream: Option<SocketAddr>,
    script: Script,
    skips_time: AtomicBool,
    state: Mutex<State>,
    /// How many requests are being responded to.
    in_flight: watch::Sender<usize>,
    /// How idle connections end.
    end: watch::Sender<Vec<Step>>,
}

#[derive(Default)]
struct State {
    by_path: HashMap<String, Behavior>,
    connections: usize,
    requests: usize,
    most_in_flight: usize,
    last_headers: HeaderMap,
}

/// The authority of all HTTPS servers of this process.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

impl Server {
    /// Serves HTTP on a free port: 404 until told otherwise.
    pub async fn http() -> Self {
        Self::start(LOCALHOST, None, None, not_found()).await
    }

    /// Serves HTTPS on a free port, with a certificate of [`Server::ca_bundle`]: 404 until told otherwise.
    pub async fn https() -> Self {
        let certificate = CertificateParams::new([LOCALHOST.to_owned()]).expect("a name");
        Self::with_certificate(LOCALHOST, &AUTHORITY, &certificate).await
    }

    /// Serves HTTPS for this host's URL, with this certificate.
    pub async fn with_certificate(
        host: &str,
        authority: &Authority,
        certificate: &CertificateParams,
    ) -> Self {
        Self::start(host, Some(authority.acceptor(certificate)), None, not_found()).await
    }

    /// Forwards requests to `upstream`.
    pub async fn in_front_of(upstream: SocketAddr) -> Self {
        Self::scripted(upstream, |_| vec![Step::Forward]).await
    }

    /// Takes these steps for each request, [`Step::Forward`] to `upstream` among them if there is one.
    pub async fn scripted(
        upstream: impl Into<Option<SocketAddr>>,
        steps: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let script: Script = Box::new(move |request| std::future::ready(steps(request)).boxed());
        Self::start(LOCALHOST, None, upstream.into(), script).await
    }

    /// Forwards each request to `upstream` once what `wait` makes of it has completed.
    pub async fn delaying<F>(
        upstream: SocketAddr,
        wait: impl Fn(&Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let script: Script = Box::new(move |request| wait(request).map(|()| vec![Step::Forward]).boxed());
        Self::start(LOCALHOST, None, Some(upstream), script).await
    }

    /// Forwards requests to `upstream`, from HTTPS with a certificate of `authority` for the name `localhost`.
    pub async fn https_in_front_of(upstream: SocketAddr, authority: &Authority) -> Self {
        let host = "localhost";
        let certificate = CertificateParams::new([host.to_owned()]).expect("a name");
        let script: Script = Box::new(|_| std::future::ready(vec![Step::Forward]).boxed());
        Self::start(host, Some(authority.acceptor(&certificate)), Some(upstream), script).await
    }

    async fn start(
        host: &str,
        acceptor: Option<TlsAcceptor>,
        upstream: Option<SocketAddr>,
        script: Script,
    ) -> Self {
        // The first address of a name is the one that clients try first.
        let listener = TcpListener::bind((host, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let server = Self(Arc::new(Shared {
            url: format!("{scheme}://{host}:{}", address.port()),
            address,
            acceptor,
            upstream,
            script,
            skips_time: AtomicBool::default(),
            state: Mutex::default(),
            in_flight: watch::Sender::default(),
            end: watch::Sender::default(),
        }));
        let shared = Arc::clone(&server.0);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // Subscribed here, so that an end that follows is this connection's.
                let (shared, ends) = (Arc::clone(&shared), shared.end.subscribe());
                // A client that goes away ends this connection and nothing else.
                tokio::spawn(async move { drop(shared.serve(connection, ends).await) });
            }
        });
        server
    }

    /// The certificate authority of [`Server::https`], as PEM.
    pub fn ca_bundle() -> Vec<u8> {
        AUTHORITY.root.clone().into()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url)
    }

    /// Sets what is done with requests for `path`. A behavior that begins before the request has been read is for every
    /// connection, whatever its path.
    pub fn set(&self, path: &str, behavior: Behavior) {
        self.0.state().by_path.insert(path.to_owned(), behavior);
    }

    /// Forgets all that was [`set`](Server::set).
    pub fn reset(&self) {
        self.0.state().by_path.clear();
    }

    /// From now on, whenever this server is to wait, it sets the runtime's clock forward instead. The time limits of all
    /// tasks of this runtime, which must have one thread, then pass fifty times as fast.
    pub fn skip_time(&self) {
        self.0.skips_time.store(true, Ordering::Relaxed);
    }

    /// Ends all connections that wait for a request, by these steps.
    pub fn end_connections(&self, steps: impl Into<Vec<Step>>) {
        self.0.end.send_replace(steps.into());
    }

    /// Waits until every request that was read has been responded to, or has come to a [`Step::Hang`].
    pub async fn settled(&self) {
        let mut in_flight = self.0.in_flight.subscribe();
        in_flight.wait_for(|&in_flight| in_flight == 0).await.expect("the server holds the sender");
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.0.state().connections
    }

    /// How many requests have been read.
    pub fn requests(&self) -> usize {
        self.0.state().requests
    }

    /// The most requests that were in flight at once.
    pub fn most_in_flight(&self) -> usize {
        self.0.state().most_in_flight
    }

    /// The headers of the last request.
    pub fn last_headers(&self) -> HeaderMap {
        self.0.state().last_headers.clone()
    }
}

fn not_found() -> Script {
    Box::new(|_| std::future::ready(Behavior::status(404, "").steps).boxed())
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The steps that begin at `stage`, for whatever path.
    fn early(&self, stage: Stage) -> Option<Vec<Step>> {
        let behaviors = &self.state().by_path;
        behaviors.values().find(|behavior| behavior.from == stage).map(|behavior| behavior.steps.clone())
    }

    /// The steps that are set for a request.
    fn set_for(&self, request: &Request) -> Option<Vec<Step>> {
        let mut state = self.state();
        let behavior = state.by_path.get_mut(&request.path)?;
        let concerns = behavior.from == Stage::Requested && request.has(behavior.body);
        behavior.times = behavior.times.checked_sub(usize::from(concerns))?;
        concerns.then(|| behavior.steps.clone())
    }

    async fn serve(
        &self,
        mut connection: TcpStream,
        ends: watch::Receiver<Vec<Step>>,
    ) -> std::io::Result<()> {
        self.state().connections += 1;
        connection.set_nodelay(true)?;
        if let Some(steps) = self.early(Stage::Connected) {
            return self.perform(&mut connection, steps, None).await.map(drop);
        }
        if let Some(steps) = self.early(Stage::Greeted) {
            let _ = connection.read(&mut [0; 1024]).await?;
            return self.perform(&mut connection, steps, None).await.map(drop);
        }
        match &self.acceptor {
            Some(acceptor) => self.respond(acceptor.accept(connection).await?, ends).await,
            None => self.respond(connection, ends).await,
        }
    }

    async fn respond(
        &self,
        mut stream: impl Connection,
        mut ends: watch::Receiver<Vec<Step>>,
    ) -> std::io::Result<()> {
        if let Some(steps) = self.early(Stage::Secured) {
            return self.perform(&mut stream, steps, None).await.map(drop);
        }
        let mut upstream = None;
        loop {
            let request = tokio::select! {
                biased;
                _ = ends.changed() => {
                    let steps = ends.borrow().clone();
                    return self.perform(&mut stream, steps, None).await.map(drop);
                }
                request = read_request(&mut stream) => request?,
            };
            let Some(request) = request else { return Ok(()) };
            let in_flight = self.count(&request);
            let steps = match self.set_for(&request) {
                Some(steps) => steps,
                None => (self.script)(&request).await,
            };
            let call = Call { request: &request, upstream: &mut upstream, _in_flight: in_flight };
            if !self.perform(&mut stream, steps, Some(call)).await? {
                return Ok(());
            }
        }
    }

    fn count(&self, request: &Request) -> InFlight<'_> {
        self.in_flight.send_modify(|in_flight| *in_flight += 1);
        let in_flight = *self.in_flight.borrow();
        let mut state = self.state();
        state.requests += 1;
        state.most_in_flight = state.most_in_flight.max(in_flight);
        state.last_headers = request.headers.clone();
        InFlight(&self.in_flight)
    }

    /// Takes the steps, and says whether the connection stays open.
    async fn perform(
        &self,
        stream: &mut impl Connection,
        steps: Vec<Step>,
        mut call: Option<Call<'_>>,
    ) -> std::io::Result<bool> {
        let stays_open = matches!(steps.last(), Some(Step::KeepOpen | Step::Forward));
        for step in steps {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Drip(bytes, pause) => {
                    for byte in bytes {
                        self.wait(stream, pause).await?;
                        stream.write_all(&[byte]).await?;
                        stream.flush().await?;
                    }
                }
                Step::Repeat(bytes) => loop {
                    stream.write_all(&bytes).await?;
                },
                Step::Pause(pause) => self.wait(stream, pause).await?,
                Step::Hang => {
                    drop(call.take());
                    stream.flush().await?;
                    self.wait(stream, FOREVER).await?;
                }
                Step::Reset => {
                    stream.flush().await?;
                    // Closing such a socket sends RST.
                    stream.tcp().set_zero_linger()?;
                    return Ok(false);
                }
                Step::KeepOpen => {}
                Step::Forward | Step::LoseResponse => {
                    let Call { request, upstream, .. } = call.as_mut().expect("a request was read");
                    let address = self.upstream.expect("a server to forward to");
                    let upstream = match upstream {
                        Some(upstream) => upstream,
                        None => upstream.insert(TcpStream::connect(address).await?),
                    };
                    upstream.write_all(&request.message).await?;
                    match step {
                        Step::Forward => copy_message(upstream, stream).await?,
                        _ => copy_message(upstream, &mut tokio::io::sink()).await?,
                    }
                }
            }
        }
        stream.flush().await?;
        if !stays_open {
            stream.shutdown().await?;
        }
        Ok(stays_open)
    }

    /// Waits for a while, but not for a client that is gone.
    async fn wait(&self, stream: &mut impl Connection, pause: Duration) -> std::io::Result<()> {
        let end = Instant::now() + pause;
        let passing = async {
            while self.skips_time.load(Ordering::Relaxed) && Instant::now() < end {
                tokio::time::pause();
                // Done at its first poll; what is left of it is to yield, which the sleep does.
                tokio::time::advance(SKIP).now_or_never();
                tokio::time::resume();
                // The others' turn, on the sockets as well.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep_until(end).await;
        };
        tokio::select! {
            () = passing => Ok(()),
            gone = client_gone(stream) => gone.and(Err(ErrorKind::BrokenPipe.into())),
        }
    }
}

/// A request that is being responded to.
struct Call<'a> {
    request: &'a Request,
    upstream: &'a mut Option<TcpStream>,
    _in_flight: InFlight<'a>,
}

/// A request in flight.
struct InFlight<'a>(&'a watch::Sender<usize>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|in_flight| *in_flight -= 1);
    }
}

/// Completes when the client closes the connection.
async fn client_gone(stream: &mut impl Connection) -> std::io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// A TCP connection, with TLS or without.
trait Connection: AsyncRead + AsyncWrite + Unpin {
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

/// The next request; `None` if the client sends none. Requests have a `Content-Length` or no body.
async fn read_request(stream: &mut impl Connection) -> std::io::Result<Option<Request>> {
    let mut message = Vec::new();
    let Some(end) = read_head(stream, &mut message).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&message[..end]).into_owned();
    let mut lines = text.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(header).collect();
    let length = content_length(&headers).unwrap_or_default();
    while message.len() < end + length {
        if stream.read_buf(&mut message).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(Request { path, headers, body: message[end..].to_vec(), message }))
}

/// Copies a response as it arrives. It must have a `Content-Length`.
async fn copy_message(from: &mut TcpStream, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(64 << 10);
    let end = read_head(from, &mut bytes).await?.ok_or(ErrorKind::UnexpectedEof)?;
    let headers = String::from_utf8_lossy(&bytes[..end]).lines().filter_map(header).collect();
    let length = content_length(&headers).ok_or_else(|| Error::other("a response of unknown length"))?;
    let mut missing = (end + length).saturating_sub(bytes.len());
    to.write_all(&bytes).await?;
    while missing > 0 {
        bytes.clear();
        match from.read_buf(&mut bytes).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => missing = missing.saturating_sub(read),
        }
        to.write_all(&bytes).await?;
    }
    Ok(())
}

/// Reads at least the head of a message, and says where it ends; `None` at the end of the stream.
async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    message: &mut Vec<u8>,
) -> std::io::Result<Option<usize>> {
    loop {
        if stream.read_buf(message).await? == 0 {
            return Ok(None);
        }
        if let Some(end) = message.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(Some(end + 4));
        }
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.parse().ok()?, value.trim().parse().ok()?))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}
