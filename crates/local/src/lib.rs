//! The service on one machine: the development key and its tokens, an embedded DynamoDB with the table that the template
//! declares, and the configuration that trusts them.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a fault here is a fault of the repository, and stops a test"
)]

use std::collections::HashMap;
use std::error::Error;
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
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Value, json};
use table::attribute;
use table::id::{FhirId, SiteId};
use table::write::{self, Encoded};
use tokio::net::TcpListener;

/// The table's name in the local configuration.
pub const TABLE: &str = "ImagingStudies";
/// The issuer of the development tokens.
pub const ISSUER: &str = "https://issuer.example";
/// Their audience.
pub const AUDIENCE: &str = "imaging-study";
/// The site that the sample studies belong to.
pub const SITE: &str = "4";

/// The embedded DynamoDB takes any region and any credentials.
const REGION: &str = "eu-central-1";
const CREDENTIAL: &str = "local";
/// The variables that Lambda would set.
pub const ACCOUNT: [(&str, &str); 3] =
    [("AWS_REGION", REGION), ("AWS_ACCESS_KEY_ID", CREDENTIAL), ("AWS_SECRET_ACCESS_KEY", CREDENTIAL)];

/// The key that signs development tokens, as a private JWK (RFC 8037 §2). Only the local configuration trusts it.
const DEVELOPMENT_KEY: &str = include_str!("../development-key.json");

/// The sample studies, by path.
pub fn sample_paths() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("studies");
    json_files(&folder)
}

/// The documents in such a folder, by path.
#[must_use]
pub fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    assert!(!files.is_empty(), "{}: no documents", folder.display());
    files.sort();
    files
}

/// The claims of a token that grants [`SITE`] for the next hour.
pub fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "developer", "exp": now + 3600, "siteIds": [SITE] })
}

/// [`claims`] with some of them replaced, or removed by a null.
pub fn claims_with(changes: &Value) -> Value {
    merged(claims(), changes)
}

/// An object with some of its members replaced, or removed by a null.
pub fn merged(mut object: Value, changes: &Value) -> Value {
    let members = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("changes are an object") {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    object
}

/// A token of these claims, signed with HS256 by the first secret in the JWK Set `JWT_JWKS`, or by the development key where
/// that has none.
pub fn token_for(jwks: Option<&str>, claims: &Value) -> String {
    let jwks: Option<Value> = jwks.and_then(|set| serde_json::from_str(set).ok());
    let secret = jwks.as_ref().and_then(|set| set["keys"][0]["k"].as_str());
    match secret.and_then(|secret| BASE64_URL_SAFE_NO_PAD.decode(secret).ok()) {
        Some(secret) => jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(&secret))
            .expect("a secret signs"),
        None => token(claims),
    }
}

/// A token of these claims, signed by the development key. The same claims give the same token.
pub fn token(claims: &Value) -> String {
    sign(&claims.to_string())
}

/// A token with this text for its payload, signed by the development key.
pub fn sign(payload: &str) -> String {
    let key: Value = serde_json::from_str(DEVELOPMENT_KEY).expect("a JWK");
    let seed = BASE64_URL_SAFE_NO_PAD.decode(key["d"].as_str().expect("d")).expect("base64url");
    // RFC 8410 §7: the PKCS #8 form of an Ed25519 key is this prefix and the seed.
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key_pair = EncodingKey::from_ed_der(&[&prefix[..], &seed].concat());
    let header = r#"{"typ":"JWT","alg":"EdDSA","kid":"development"}"#;
    let message = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key_pair, Algorithm::EdDSA);
    format!("{message}.{}", signature.expect("the development key signs"))
}

/// The JWK Set of the development key's public half.
pub fn jwks() -> String {
    let mut key: Value = serde_json::from_str(DEVELOPMENT_KEY).expect("a JWK");
    key.as_object_mut().expect("a JWK is an object").remove("d");
    json!({ "keys": [key] }).to_string()
}

/// Where the tokens of [`ISSUER`] would come from, if it existed (SMART App Launch 2.2 conformance.html#using-well-known).
fn smart_configuration() -> String {
    json!({
        "authorization_endpoint": format!("{ISSUER}/authorize"),
        "token_endpoint": format!("{ISSUER}/token"),
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    })
    .to_string()
}

/// The environment of a function that trusts the development key and reads from `endpoint`.
pub fn environment(endpoint: &str) -> HashMap<String, String> {
    [
        ("TABLE_NAME", TABLE),
        ("JWT_ISSUER", ISSUER),
        ("JWT_AUDIENCE", AUDIENCE),
        ("JWT_JWKS", &jwks()),
        ("SMART_CONFIGURATION", &smart_configuration()),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// An AWS configuration for an emulator: it knows no account and signs with made-up credentials.
pub fn aws(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(Credentials::new(
            CREDENTIAL, CREDENTIAL, None, None, CREDENTIAL,
        )))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// Serves an empty DynamoDB on `listener` for as long as the runtime lives, and creates the table in it.
pub async fn dynamodb(listener: TcpListener) -> (Client, SocketAddr) {
    let address = listener.local_addr().expect("a bound listener");
    let database = dynoxide::Database::memory().expect("an empty database");
    tokio::spawn(async move { dynoxide::server::serve_on(listener, database).await });
    let endpoint = format!("http://127.0.0.1:{}", address.port());
    let client = Client::new(&aws(&endpoint));
    create_table(&client).await;
    (client, address)
}

/// The items that a document becomes, under its own id and [`SITE`].
pub fn encode(json: &str) -> Result<Encoded, Box<dyn Error>> {
    #[derive(Deserialize)]
    struct Resource {
        id: String,
    }
    let id = FhirId::parse(&serde_json::from_str::<Resource>(json)?.id)?;
    Ok(write::encode(&SiteId::parse(SITE)?, &id, json)?)
}

/// Puts the items of a document into the table, its own item last.
pub async fn put_items(table: &Client, Encoded { head, parts }: Encoded) {
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
