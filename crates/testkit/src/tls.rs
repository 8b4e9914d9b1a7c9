//! TLS in front of what speaks plain HTTP, with certificates of an authority that lives as long as the run.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, version::TLS13};

/// What can go wrong here stops a test or a benchmark.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The name that the certificate is for.
const HOST: &str = "localhost";

/// A throw-away authority, and the one server that it vouches for.
pub struct Authority {
    /// Its root certificate, as PEM.
    pub root: String,
    acceptor: TlsAcceptor,
}

impl Authority {
    /// A chain as AWS endpoints send it: RSA of 2048 bits, one intermediate.
    pub fn new() -> Outcome<Self> {
        let root = CertifiedIssuer::self_signed(issuer("Throw-away root")?, key()?)?;
        let intermediate = CertifiedIssuer::signed_by(issuer("Throw-away intermediate")?, key()?, &root)?;
        let server_key = key()?;
        let server = CertificateParams::new([HOST.to_owned()])?.signed_by(&server_key, &intermediate)?;
        let chain = vec![server.der().clone(), intermediate.der().clone()];
        let config = ServerConfig::builder_with_protocol_versions(&[&TLS13])
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(server_key.serialize_der()).into())?;
        Ok(Self { root: root.pem(), acceptor: Arc::new(config).into() })
    }

    /// Ends TLS in front of `upstream` for as long as the runtime lives; the `https` URL at which it does.
    pub async fn in_front_of(&self, upstream: SocketAddr) -> Outcome<String> {
        // The name, not an address: the first address that clients will try.
        let listener = TcpListener::bind((HOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that goes away in the middle is one that was stopped.
                tokio::spawn(relay(acceptor.clone(), client, upstream));
            }
        });
        Ok(format!("https://{HOST}:{port}"))
    }
}

async fn relay(acceptor: TlsAcceptor, client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

fn issuer(name: &str) -> Outcome<CertificateParams> {
    let mut params = CertificateParams::new([])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn key() -> Outcome<KeyPair> {
    Ok(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?)
}
