//! The handler against an embedded DynamoDB, through the real SDK.

mod audit;
mod documented;
mod errors;
mod events;
mod items;
mod routes;
mod studies;

use std::collections::HashMap;
use std::net::SocketAddr;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::read::GzDecoder;
use imaging_study::{Config, Service};
use lambda_http::http::request::Builder;
use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response, http};
use serde_json::{Value, json};
use testkit::{binary, gzip, text};
use tokio::net::TcpListener;

const STUDY: &str = concat!(
    r#"{ "resourceType":"ImagingStudy", "id":"Study-1","status":"available","zeta":1.10,"#,
    r#""subject":{"reference":"Patient/7"},"meta":{"versionId":"3","lastUpdated":"2024-05-04T12:00:00.9+02:00"}}"#
);

/// Where no table is.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// A service over an embedded table.
struct Site {
    service: Service,
    table: Client,
    address: SocketAddr,
}

impl Site {
    async fn new() -> Self {
        let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
        Self { service: service(address), table, address }
    }

    /// A service whose table holds `json` as we write it.
    async fn with(json: &str) -> Self {
        let site = Self::new().await;
        site.load(json).await;
        site
    }

    async fn load(&self, json: &str) {
        testkit::put(&self.table, json).await;
    }

    /// Puts an item with this `id` and these attributes.
    async fn put<const N: usize>(&self, id: &str, attributes: [(&str, AttributeValue); N]) {
        testkit::put_item(&self.table, id, attributes).await;
    }

    async fn respond(&self, request: Builder) -> Response<Body> {
        self.handle(request.body(Body::Empty).unwrap()).await
    }

    async fn handle(&self, request: Request) -> Response<Body> {
        self.service.handle(request).await
    }

    async fn status(&self, request: Builder) -> StatusCode {
        self.respond(request).await.status()
    }
}

/// The service that the function runs, reading from the table at this address.
pub(crate) fn service(table: SocketAddr) -> Service {
    Service::from_config(config(table)).unwrap()
}

fn config(table: SocketAddr) -> Config {
    let mut environment = local::environment(&format!("http://{table}"));
    environment.extend(local::ACCOUNT.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Config::from_env(|name| environment.get(name).cloned()).unwrap()
}

fn anonymous(id: &str) -> Builder {
    http::Request::get(format!("/site/{}/fhir/imaging-study/{id}", local::SITE))
}

/// A request for a study of the site, with a token that grants it.
pub(crate) fn get(id: &str) -> Builder {
    get_with(&json!({}), id)
}

fn get_with(claims: &Value, id: &str) -> Builder {
    let token = local::token(&local::claims_with(claims));
    anonymous(id).header("authorization", format!("Bearer {token}"))
}

fn asking(id: &str, query: &[(&str, &str)]) -> Request {
    let parameters: HashMap<_, _> =
        query.iter().map(|&(name, value)| (name.to_owned(), vec![value.to_owned()])).collect();
    get(id).body(Body::Empty).unwrap().with_query_string_parameters(parameters)
}

fn body(response: &Response<Body>) -> String {
    match response.body() {
        Body::Text(text) => text.clone(),
        Body::Binary(gzip) => std::io::read_to_string(GzDecoder::new(&gzip[..])).unwrap(),
        _ => String::new(),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// A document of about 100 bytes an instance.
fn large(instances: usize) -> String {
    let instances: Vec<_> = (0..instances)
        .map(|n| {
            let uid = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!(r#"{{"uid":"2.25.{uid}{n}","sopClass":{{"system":"urn:ietf:rfc:3986","code":"urn:oid:1.2"}}}}"#)
        })
        .collect();
    format!(
        r#"{{"resourceType":"ImagingStudy","id":"large","status":"available","subject":{{"reference":"Patient/7"}},"series":[{{"uid":"1","modality":{{"code":"CT"}},"instance":[{}]}}]}}"#,
        instances.join(",")
    )
}
