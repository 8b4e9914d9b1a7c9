//! The function's own binary under a Runtime API, as Lambda runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod clock;
mod concurrency;
mod events;
mod memory;
mod thaw;

use std::net::SocketAddr;

use aws_sdk_dynamodb::Client;
use testkit::runtime_api::Function;
use tokio::net::TcpListener;

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");

/// Tests that measure time, and those that leave no processor time to others, take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// An empty table, and where it is.
async fn table() -> (Client, SocketAddr) {
    local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await
}

/// A table with these documents.
async fn table_with(documents: impl IntoIterator<Item = String>) -> SocketAddr {
    let (table, address) = table().await;
    for json in documents {
        testkit::put(&table, &json).await;
    }
    address
}

/// A table with the sample studies.
async fn samples() -> SocketAddr {
    table_with(local::sample_paths().into_iter().map(|path| std::fs::read_to_string(path).unwrap())).await
}

/// The function, reading from the table at this address.
async fn function(table: SocketAddr) -> Function {
    Function::start(BOOTSTRAP, &local::environment(&format!("http://{table}"))).await
}
