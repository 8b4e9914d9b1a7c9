//! What the store's client does differently from the SDK's defaults.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::endpoint::{
    DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
    BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, disable_interceptor, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http::header::USER_AGENT;
use http_body_util::Limited;

/// Maximum size of a response of DynamoDB: several times an item of 400 KB with every character escaped.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// A client for the table, at `endpoint` if one is given.
pub(super) fn client(aws: &SdkConfig, endpoint: Option<&str>) -> Client {
    let resolver = ResolvedOnce { rules: DefaultResolver::new(), endpoint: OnceLock::new() };
    let mut config = aws_sdk_dynamodb::config::Builder::from(aws)
        .endpoint_resolver(resolver)
        .interceptor(ConstantUserAgent)
        .interceptor(LimitedResponse);
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

/// Resolves the endpoint at the first call and keeps it: table and region do not change, and the SDK would evaluate its
/// rules for each call.
#[derive(Debug)]
struct ResolvedOnce {
    rules: DefaultResolver,
    endpoint: OnceLock<Endpoint>,
}

impl ResolveEndpoint for ResolvedOnce {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        if let Some(endpoint) = self.endpoint.get() {
            return EndpointFuture::ready(Ok(endpoint.clone()));
        }
        EndpointFuture::new(async move {
            let endpoint = self.rules.resolve_endpoint(params).await?;
            Ok(self.endpoint.get_or_init(|| endpoint).clone())
        })
    }
}

/// Stops reading a response at [`MAX_RESPONSE_BYTES`]: the SDK would keep all of it in memory.
#[derive(Debug)]
struct LimitedResponse;

#[dyn_dispatch_hint]
impl Intercept for LimitedResponse {
    fn name(&self) -> &'static str {
        "LimitedResponse"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let body = Limited::new(response.take_body(), MAX_RESPONSE_BYTES);
        *response.body_mut() = SdkBody::from_body_1_x(body);
        Ok(())
    }
}

/// Sends the function's own name. The SDK would put together, and sign, a description of itself and of its environment
/// for each call.
#[derive(Debug)]
struct ConstantUserAgent;

impl ConstantUserAgent {
    const NAME: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
}

#[dyn_dispatch_hint]
impl Intercept for ConstantUserAgent {
    fn name(&self) -> &'static str {
        "ConstantUserAgent"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let disabled = disable_interceptor::<UserAgentInterceptor>("the user agent is constant");
        config.interceptor_state().store_put(disabled);
        Ok(())
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert(USER_AGENT.as_str(), Self::NAME);
        Ok(())
    }
}
