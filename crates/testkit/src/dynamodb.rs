//! A DynamoDB that fails some of the calls.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::server::{Behavior, Request, Server, Step};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The database receives it, and its response is returned.
    None,
    /// An error of this code is returned.
    Error(&'static str),
    /// The database does not receive it, and there is no response.
    Silence,
    /// The database receives it, and there is no response.
    LostResponse,
}

/// Starts a server that forwards calls to `database`, except for those that `fault` fails. It sees the name of the
/// operation (`PutItem`) and the request. A call that is forwarded reaches the database even if the caller ends.
pub async fn faulty_dynamodb(
    database: SocketAddr,
    fault: impl Fn(&str, &Value) -> Fault + Send + Sync + 'static,
) -> Server {
    let steps = move |request: &Request| match fault(request.operation(), &request.json()) {
        Fault::None => vec![Step::Forward],
        Fault::Error(code) => error(400, code).steps,
        Fault::Silence => vec![Step::Hang],
        Fault::LostResponse => vec![Step::LoseResponse, Step::Hang],
    };
    Server::scripted(database, steps).await
}

/// An error of DynamoDB.
pub fn error(status: u16, code: &str) -> Behavior {
    let code = format!("com.amazonaws.dynamodb.v20120810#{code}");
    Behavior::kept_open(status, &json!({ "__type": code, "message": "the test says so" }).to_string())
}
