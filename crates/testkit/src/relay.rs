//! A TCP relay in front of a server, to make its calls slow, to hold them, to count them, or to cut them off.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Room for a request without its document.
const BUFFER_BYTES: usize = 16 << 10;

/// A relay for a protocol in which a connection carries one call at a time, such as HTTP/1.1.
pub struct Relay {
    /// Where clients connect.
    pub address: SocketAddr,
    calls: Arc<Calls>,
    /// Connections of an earlier generation are cut off.
    generation: watch::Sender<usize>,
}

/// What a relay counts.
#[derive(Default)]
struct Calls {
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

/// One call in flight.
struct InFlight<'a>(&'a Calls);

impl Relay {
    /// Relays to `upstream` for as long as the runtime lives. Each call waits for what `delay` makes of its first
    /// bytes before it is passed on.
    pub async fn in_front_of<D, F>(upstream: SocketAddr, delay: D) -> std::io::Result<Self>
    where
        D: Fn(&[u8]) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let calls = Arc::<Calls>::default();
        let (generation, current) = watch::channel(0);
        let (counted, delay) = (Arc::clone(&calls), Arc::new(delay));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counted, delay) = (Arc::clone(&counted), Arc::clone(&delay));
                let mut current = current.clone();
                current.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        Ok(()) = current.changed() => {}
                        // A client that goes away in the middle is one that was stopped.
                        _ = relay(client, upstream, &counted, delay.as_ref()) => {}
                    }
                });
            }
        });
        Ok(Self { address, calls, generation })
    }

    /// The most calls that were in flight at once.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.calls.most_in_flight.load(Ordering::Relaxed)
    }

    /// Cuts off every connection that is open now. New ones are relayed.
    pub fn cut_off(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

impl<'a> InFlight<'a> {
    fn new(calls: &'a Calls) -> Self {
        let now = calls.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        calls.most_in_flight.fetch_max(now, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn relay<D, F>(
    mut client: TcpStream,
    upstream: SocketAddr,
    calls: &Calls,
    delay: &D,
) -> std::io::Result<()>
where
    D: Fn(&[u8]) -> F,
    F: Future<Output = ()>,
{
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut request, mut response) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut call = None;
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let bytes = request.get(..read?).filter(|bytes| !bytes.is_empty());
                let Some(bytes) = bytes else { return Ok(()) };
                if call.is_none() {
                    call = Some(InFlight::new(calls));
                    delay(bytes).await;
                }
                to_server.write_all(bytes).await?;
            }
            read = from_server.read(&mut response) => {
                let bytes = response.get(..read?).filter(|bytes| !bytes.is_empty());
                let Some(bytes) = bytes else { return Ok(()) };
                call = None;
                to_client.write_all(bytes).await?;
            }
        }
    }
}
