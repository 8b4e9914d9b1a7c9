//! A table that misbehaves as told: a proxy in front of DynamoDB that answers some calls itself, and that can make its
//! connections die the way they do while a function is frozen.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::faulty::{Behavior, Stage, Step, perform};

/// What happens to which calls.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the table does.
    pub behavior: Behavior,
    /// It does so to calls that contain this text.
    pub calls_with: &'static str,
    /// It does so this many times, and then works again.
    pub times: usize,
}

/// How open connections die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The client is told (TCP FIN).
    Closed,
    /// The client is told (TCP RST).
    Reset,
    /// The client is not told: nothing it sends is answered.
    Silent,
}

/// The proxy. It lives as long as the runtime.
pub struct FaultyStore {
    /// Where clients connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    fault: Mutex<Option<Fault>>,
    death: watch::Sender<Death>,
    calls: Mutex<Calls>,
}

/// What the proxy counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    /// Calls that were answered, by the table or by a fault.
    pub total: usize,
    /// Calls that are being answered.
    pub in_flight: usize,
    /// The most calls that were being answered at once.
    pub most_in_flight: usize,
}

impl From<Behavior> for Fault {
    /// What happens to every call.
    fn from(behavior: Behavior) -> Self {
        Self { behavior, calls_with: "", times: usize::MAX }
    }
}

impl FaultyStore {
    /// A proxy to the table at `upstream`, without a fault.
    pub async fn in_front_of(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let death = watch::channel(Death::Closed).0;
        let shared = Arc::new(Shared { upstream, fault: Mutex::default(), death, calls: Mutex::default() });
        let state = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // Subscribed here: a death that follows is one of this connection.
                let (state, deaths) = (Arc::clone(&state), state.death.subscribe());
                // A client that goes away in the middle ends this connection and nothing else.
                tokio::spawn(async move { drop(state.serve(connection, deaths).await) });
            }
        });
        Self { address, shared }
    }

    /// Begins or ends a fault. Open connections are closed, so that the next call meets it.
    pub fn set(&self, fault: Option<Fault>) {
        *lock(&self.shared.fault) = fault;
        self.kill_connections(Death::Closed);
    }

    /// Makes all open connections die.
    pub fn kill_connections(&self, death: Death) {
        self.shared.death.send_replace(death);
    }

    /// What was counted so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        *lock(&self.shared.calls)
    }
}

impl Shared {
    async fn serve(
        &self,
        mut connection: TcpStream,
        mut deaths: watch::Receiver<Death>,
    ) -> std::io::Result<()> {
        let waiting = Notify::new();
        connection.set_nodelay(true)?;
        if let Some(steps) = self.fault_at(Stage::Connected, &[]) {
            return perform(&mut connection, steps, &waiting).await;
        }
        loop {
            let call = tokio::select! {
                biased;
                _ = deaths.changed() => {
                    let death = *deaths.borrow();
                    return match death {
                        Death::Closed => Ok(()),
                        Death::Reset => connection.set_zero_linger(),
                        Death::Silent => std::future::pending().await,
                    };
                }
                call = read_message(&mut connection) => call?,
            };
            let Some(call) = call else { return Ok(()) };
            self.count(|calls| {
                calls.in_flight += 1;
                calls.most_in_flight = calls.most_in_flight.max(calls.in_flight);
            });
            let fault = self.fault_at(Stage::Requested, &call);
            let faulty = fault.is_some();
            let answered = match fault {
                Some(steps) => perform(&mut connection, steps, &waiting).await,
                None => self.forward(&call, &mut connection).await,
            };
            self.count(|calls| {
                calls.in_flight -= 1;
                calls.total += 1;
            });
            answered?;
            if faulty {
                return Ok(());
            }
        }
    }

    /// The steps of a fault that begins at `stage` and concerns `call`.
    fn fault_at(&self, stage: Stage, call: &[u8]) -> Option<Vec<Step>> {
        let mut fault = lock(&self.fault);
        let fault = fault.as_mut().filter(|fault| fault.behavior.from == stage)?;
        let text = fault.calls_with.as_bytes();
        let concerned = text.is_empty() || call.windows(text.len()).any(|window| window == text);
        fault.times = fault.times.checked_sub(usize::from(concerned))?;
        concerned.then(|| fault.behavior.steps.clone())
    }

    async fn forward(&self, call: &[u8], client: &mut TcpStream) -> std::io::Result<()> {
        let mut upstream = TcpStream::connect(self.upstream).await?;
        upstream.write_all(call).await?;
        match read_message(&mut upstream).await? {
            Some(answer) => client.write_all(&answer).await,
            None => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn count(&self, change: impl FnOnce(&mut Calls)) {
        change(&mut lock(&self.calls));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads an HTTP/1.1 message with a `Content-Length`; `None` at the end of the connection.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut message = Vec::with_capacity(4096);
    let mut end = None;
    loop {
        if end.is_none() {
            end = message.windows(4).position(|four| four == b"\r\n\r\n").map(|head| {
                let lines = String::from_utf8_lossy(&message[..head]).to_ascii_lowercase();
                let length = lines.lines().find_map(|line| line.strip_prefix("content-length:"));
                head + 4 + length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or_default()
            });
        }
        if end.is_some_and(|end| message.len() >= end) {
            return Ok(Some(message));
        }
        if stream.read_buf(&mut message).await? == 0 {
            return Ok(None);
        }
    }
}
