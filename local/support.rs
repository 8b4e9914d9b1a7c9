//! What the local server and the tests share: the development key and its tokens, an embedded DynamoDB with the table
//! that the template declares, and the configuration that trusts them.

#![allow(dead_code, reason = "each of its users needs another part of it")]
#![allow(
    clippy::expect_used,
    reason = "a fault here is a fault of the repository, and stops a test or a trial"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use imaging_study::document::{self, Encoded, attribute};
use imaging_study::target::{SiteId, StudyId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The table's name in the local configuration.
pub(crate) const TABLE: &str = "ImagingStudies";
/// The issuer of the development tokens.
pub(crate) const ISSUER: &str = "https://issuer.example";
/// Their audience.
pub(crate) const AUDIENCE: &str = "imaging-study";
/// The site that the sample studies belong to.
pub(crate) const SITE: &str = "4";

/// The key that signs development tokens, as a private JWK (RFC 8037 §2). Only the local configuration trusts it.
const DEVELOPMENT_KEY: &str = include_str!("development-key.json");

/// The sample studies, by path.
pub(crate) fn sample_paths() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("local/studies");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the samples")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

/// The claims of a token that grants [`SITE`] for the next hour.
pub(crate) fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "developer", "exp": now + 3600, "siteIds": [SITE] })
}

/// [`claims`] with some of them replaced, or removed by a null.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().expect("claims are an object");
    for (name, value) in changes.as_object().expect("changes are an object") {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A token of these claims, signed by the development key. The same claims give the same token.
pub(crate) fn token(claims: &Value) -> String {
    let key: Value = serde_json::from_str(DEVELOPMENT_KEY).expect("a JWK");
    let seed = BASE64_URL_SAFE_NO_PAD.decode(key["d"].as_str().expect("d")).expect("base64url");
    // RFC 8410 §7: the PKCS #8 form of an Ed25519 key is this prefix and the seed.
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key_pair = EncodingKey::from_ed_der(&[&prefix[..], &seed].concat());
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("development".to_owned());
    jsonwebtoken::encode(&header, claims, &key_pair).expect("the development key signs")
}

/// The JWK Set of the development key's public half.
pub(crate) fn jwks() -> String {
    let mut key: Value = serde_json::from_str(DEVELOPMENT_KEY).expect("a JWK");
    key.as_object_mut().expect("a JWK is an object").remove("d");
    json!({ "keys": [key] }).to_string()
}

/// The environment of a function that trusts the development key and reads from `endpoint`.
pub(crate) fn environment(endpoint: &str) -> HashMap<String, String> {
    [
        ("TABLE_NAME", TABLE),
        ("JWT_ISSUER", ISSUER),
        ("JWT_AUDIENCE", AUDIENCE),
        ("JWT_JWKS", &jwks()),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// An AWS configuration for an emulator: it knows no account and signs with made-up credentials.
pub(crate) fn aws(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(Credentials::new(
            "local", "local", None, None, "local",
        )))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// Serves an empty DynamoDB on `listener` for as long as the runtime lives, and creates the table in it.
pub(crate) async fn dynamodb(listener: TcpListener) -> (Client, SocketAddr) {
    let address = listener.local_addr().expect("a bound listener");
    let database = dynoxide::Database::memory().expect("an empty database");
    tokio::spawn(async move { dynoxide::server::serve_on(listener, database).await });
    let endpoint = format!("http://127.0.0.1:{}", address.port());
    let client = Client::new(&aws(&endpoint));
    create_table(&client).await;
    (client, address)
}

/// The items that a document becomes, under its own id and [`SITE`].
pub(crate) fn encoded(json: &str) -> Encoded {
    let resource: Value = serde_json::from_str(json).expect("a document is JSON");
    let id = StudyId::parse(resource["id"].as_str().expect("a document has an id")).expect("a FHIR id");
    document::encode(&SiteId::parse(SITE).expect("a site"), &id, json).expect("a study that can be served")
}

/// Puts a document into the table.
pub(crate) async fn put(table: &Client, json: &str) {
    let Encoded { head, parts } = encoded(json);
    for item in parts.into_iter().chain([head]) {
        table.put_item().table_name(TABLE).set_item(Some(item)).send().await.expect("the table takes items");
    }
}

/// The table as `template.yaml` declares it.
async fn create_table(client: &Client) {
    let key = |name, role| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(role)
            .build()
            .expect("name and role are set")
    };
    let text = |name| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .expect("name and type are set")
    };
    client
        .create_table()
        .table_name(TABLE)
        .key_schema(key(attribute::SITE, KeyType::Hash))
        .key_schema(key(attribute::ID, KeyType::Range))
        .attribute_definitions(text(attribute::SITE))
        .attribute_definitions(text(attribute::ID))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .expect("a new database takes a new table");
}
