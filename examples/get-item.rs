//! What `make bench` compares a warm read with: a bare `GetItem` through the same SDK, configured the same, with no
//! token, no audit line and no header.

use std::future::ready;
use std::pin::Pin;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use imaging_study::aws;
use imaging_study::config::{Config, process_env};
use lambda_http::{Body, Error, IntoResponse, Request, RequestExt as _, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let Config { account, aws_ca_bundle, dynamodb_endpoint, table_name, .. } = Config::from_env(process_env)?;
    let roots = aws_ca_bundle.map(|path| aws::ca_bundle("AWS_CA_BUNDLE", &path)).transpose()?;
    let mut config = aws_sdk_dynamodb::config::Builder::from(&aws::sdk_config(account, roots, 1));
    config.set_endpoint_url(dynamodb_endpoint);
    let client = Client::from_conf(config.build());
    let (client, table) = (&client, table_name.as_str());
    run(service_fn(move |request: Request| async move {
        let parameters = request.path_parameters();
        let key = |name| AttributeValue::S(parameters.first(name).unwrap_or_default().to_owned());
        let item = client
            .get_item()
            .table_name(table)
            .key("siteId", key("siteId"))
            .key("id", key("id"))
            .send()
            .await?
            .item
            .ok_or("no such study")?;
        let body = match item.into_iter().find(|(name, _)| name == "document") {
            Some((_, AttributeValue::B(gzip))) => Body::Binary(gzip.into_inner()),
            Some((_, AttributeValue::S(text))) => Body::Text(text),
            _ => return Err(Error::from("no document")),
        };
        Ok(Unconverted(Response::new(body)))
    }))
    .await
}

/// A response as it is: `lambda_http`'s own conversion takes a body without headers for text.
struct Unconverted(Response<Body>);

impl IntoResponse for Unconverted {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(ready(self.0))
    }
}
