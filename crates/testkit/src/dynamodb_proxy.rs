//! A server in front of the embedded DynamoDB that fails some of the calls.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_types::body::SdkBody;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::RwLock;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The database receives it, and its response is returned.
    None,
    /// An error of this code is returned.
    Error(&'static str),
    /// The database does not receive it, and it is not answered.
    Silence,
    /// The database receives it, and it is not answered.
    LostResponse,
}

/// The server, which runs for as long as the runtime lives.
pub struct FaultyDynamodb {
    /// Where it listens.
    pub address: SocketAddr,
    /// Each call has a read lock from before its fault is decided until the database has answered.
    calls: Arc<RwLock<()>>,
}

impl FaultyDynamodb {
    /// Waits until the database has answered every call that was forwarded to it.
    pub async fn settled(&self) {
        drop(self.calls.write().await);
    }
}

/// Starts a server that forwards calls to `database`, except for those that `fault` fails. It sees the name of the
/// operation (`PutItem`) and the request. A call that is forwarded reaches the database even if the caller ends.
pub async fn faulty_dynamodb(
    database: SocketAddr,
    fault: impl Fn(&str, &Value) -> Fault + Send + Sync + 'static,
) -> FaultyDynamodb {
    let connector = SharedHttpConnector::new(Connector::builder().build_http());
    let fault = Arc::new(fault);
    let calls = Arc::<RwLock<()>>::default();
    let locks = Arc::clone(&calls);
    let answer = move |request: Request| {
        let (fault, connector, locks) = (Arc::clone(&fault), connector.clone(), Arc::clone(&locks));
        async move {
            let (parts, body) = request.into_parts();
            let target = parts.headers["x-amz-target"].to_str().expect("an operation").to_owned();
            let operation = target.rsplit('.').next().unwrap_or_default();
            let body = to_bytes(body, usize::MAX).await.expect("a whole request");
            let forwarding = locks.read_owned().await;
            let fault = fault(operation, &serde_json::from_slice(&body).expect("JSON"));
            match fault {
                Fault::Error(code) => return error(code),
                Fault::Silence => {
                    drop(forwarding);
                    return std::future::pending().await;
                }
                Fault::None | Fault::LostResponse => {}
            }
            let mut forwarded = lambda_http::http::Request::from_parts(parts, SdkBody::from(body));
            *forwarded.uri_mut() = format!("http://{database}/").parse().expect("an address is a URL");
            let request = forwarded.try_into().expect("the request came over HTTP/1.1");
            let call = tokio::spawn(async move {
                let answered = connector.call(request).await.expect("the database answers");
                drop(forwarding);
                answered
            });
            let answered = call.await.expect("the database answers");
            if fault == Fault::LostResponse {
                std::future::pending::<()>().await;
            }
            let (parts, body) = answered.try_into_http1x().expect("HTTP/1.1").into_parts();
            Response::from_parts(parts, Body::new(body))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    FaultyDynamodb { address, calls }
}

fn error(code: &str) -> Response {
    let body = serde_json::json!({
        "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
        "message": "the test says so",
    });
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], body.to_string())
        .into_response()
}
