//! What tests and benchmarks share.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a fault here is a fault of the repository, and stops a test or a benchmark"
)]

pub mod dynamodb;
pub mod log;
pub mod process;
pub mod runtime_api;
pub mod server;
pub mod signer;
pub mod tls;

use std::io::Write as _;
use std::path::PathBuf;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::write::GzEncoder;
use imaging_study::aws::{Account, sdk_config};
use local::{TABLE, encode, put_items};
use serde_json::Value;
use table::attribute::{DOCUMENT, ETAG, ID, Item, PARTS, SITE};
use table::write::Encoded;

/// The folder that an environment variable names: data of others that is not part of this repository.
#[must_use]
pub fn data_folder(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} must name a folder")).into()
}

/// So many hexadecimal digits that compress badly and are the same in every run.
#[must_use]
pub fn noise_text(seed: u64, length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.digit(16)).collect()
}

/// The items that a valid document becomes, under its own id and [`SITE`].
#[must_use]
pub fn encoded(json: &str) -> Encoded {
    encode(json).expect("a study that can be served")
}

/// Puts a valid document into the table.
pub async fn put(table: &Client, json: &str) {
    put_items(table, encoded(json)).await;
}

/// Every item of the table, in the table's own order.
pub async fn items(table: &Client) -> Vec<Item> {
    let pages = table.scan().table_name(TABLE).into_paginator();
    pages.items().send().collect::<Result<_, _>>().await.expect("the table can be read")
}

/// A gzip member.
pub fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes.as_ref()).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

/// A string attribute.
pub fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A binary attribute.
pub fn binary(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// JSON as native attributes.
pub fn native(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(value) => text(value),
        Value::Array(items) => AttributeValue::L(items.iter().map(native).collect()),
        Value::Object(members) => {
            AttributeValue::M(members.iter().map(|(name, value)| (name.clone(), native(value))).collect())
        }
    }
}

/// Puts an item of the site under this key, with these attributes.
pub async fn put_item<'a>(
    table: &Client,
    key: &str,
    attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>,
) {
    let mut put = table.put_item().table_name(TABLE).item(SITE, text(local::SITE)).item(ID, text(key));
    for (name, value) in attributes {
        put = put.item(name, value);
    }
    put.send().await.expect("the table takes the item");
}

/// An event of `events/`.
pub fn event(name: &str) -> Value {
    let path = format!("{}/../../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("an event")).expect("an event is JSON")
}

/// Puts a document whose gzip member is in these parts under this key: the parts, then a head with an entity tag.
pub async fn put_parts<'a>(table: &Client, key: &str, parts: impl IntoIterator<Item = &'a [u8]>) {
    let mut keys = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let part_key = format!("{key}#{index}");
        put_item(table, &part_key, [(DOCUMENT, binary(part))]).await;
        keys.push(text(part_key));
    }
    put_item(table, key, [(PARTS, AttributeValue::L(keys)), (ETAG, text("\"1\""))]).await;
}

/// The function's own AWS configuration, for an emulator of every service at `endpoint`.
pub fn aws(endpoint: &str) -> SdkConfig {
    let credentials = Some(Credentials::new("local", "local", None, None, "testkit"));
    let account = Account { region: Some("us-east-1".to_owned()), credentials };
    sdk_config(account, None, 1).into_builder().endpoint_url(endpoint).build()
}
