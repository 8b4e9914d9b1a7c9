//! `.well-known/smart-configuration`: where tokens come from, in the operator's words (SMART App Launch 2.2
//! conformance.html#using-well-known).

use lambda_http::http::HeaderValue;
use lambda_http::http::header::{CACHE_CONTROL, VARY};
use lambda_http::{Body, Request, Response};
use serde_json::{Value, json};
use table::document::{Document, Properties, digest_tag};

use super::error::ApiError;
use super::negotiation::{Coding, Media};
use super::reply::PUBLIC;
use super::route::RequestPath;
use super::study::{ResponseOptions, respond};
use super::subset::Subset;
use crate::auth::{is_https_url, strict_json_object};

/// The operator's document.
#[derive(Clone, Debug)]
pub struct SmartConfiguration {
    json: String,
    properties: Properties,
    /// `authorization_endpoint`, if it is an `https` URL, and `token_endpoint`.
    endpoints: (Option<String>, String),
}

impl SmartConfiguration {
    /// Parses a JSON object without duplicate members. `token_endpoint` must be an `https` URL without user name and
    /// fragment, and `capabilities` a list of strings; everything else is the operator's to say.
    #[must_use]
    pub fn parse(json: &str) -> Option<Self> {
        let members = strict_json_object(json.as_bytes())?;
        let url = |name: &str| members[name].as_str().filter(|url| is_https_url(url)).map(str::to_owned);
        let endpoints = (url("authorization_endpoint"), url("token_endpoint")?);
        members["capabilities"].as_array().filter(|list| list.iter().all(Value::is_string))?;
        Some(Self { json: json.to_owned(), properties: Properties::of_tag(digest_tag(json)), endpoints })
    }

    /// The endpoints as SMART App Launch 1.0 has them in the `CapabilityStatement`, for clients that ask for both documents and
    /// take the first that arrives, as fhir-kit-client does. `None` without the endpoint that the extension requires.
    pub(super) fn oauth_uris(&self) -> Option<Value> {
        let (Some(authorize), token) = &self.endpoints else { return None };
        Some(json!({
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [
                { "url": "authorize", "valueUri": authorize },
                { "url": "token", "valueUri": token },
            ],
        }))
    }

    /// The response for every well-formed site, known or not; 404 if nothing is `configured`. `Accept` and `_format` have no
    /// effect: SMART requires `application/json` whatever they say.
    pub(crate) fn response(
        configured: Option<&Self>,
        request: &Request,
        path: &RequestPath<'_>,
    ) -> Result<Response<Body>, ApiError> {
        path.site()?;
        let Self { json, properties, .. } = configured.ok_or(ApiError::RouteNotFound)?;
        let coding = Coding::of(request.headers()).ok_or(ApiError::CodingNotAcceptable)?;
        let options = ResponseOptions { media: Media::Json, coding, subset: Subset::Whole };
        let mut response = respond(request, Document::Text(json.clone()), properties, &options)?;
        response.headers_mut().insert(CACHE_CONTROL, PUBLIC);
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_an_object_with_an_https_token_endpoint_and_a_list_of_capabilities() {
        for json in [
            "{",
            "[]",
            "{}",
            r#"["https://issuer.example/token",[]]"#,
            r#"{"token_endpoint":"https://issuer.example/token"}"#,
            r#"{"token_endpoint":1,"capabilities":[]}"#,
            r#"{"token_endpoint":"https://issuer.example/token","capabilities":"launch"}"#,
            r#"{"token_endpoint":"https://issuer.example/token","capabilities":["launch",1]}"#,
            r#"{"token_endpoint":"https://issuer.example/token","capabilities":null}"#,
            r#"{"capabilities":[]}"#,
            r#"{"token_endpoint":"http://issuer.example/token","capabilities":[]}"#,
            r#"{"token_endpoint":"/token","capabilities":[]}"#,
            r#"{"token_endpoint":"https://u:p@issuer.example/token","capabilities":[]}"#,
            r#"{"token_endpoint":"https://issuer.example/token#a","capabilities":[]}"#,
            r#"{"token_endpoint":"https://issuer.example/token","capabilities":[],"capabilities":[]}"#,
            r#"{"token_endpoint":"https://issuer.example/token","capabilities":[],"a":{"b":1,"b":2}}"#,
            r#"{"token_endpoint":"https://issuer.example/token","capabilities":[]} x"#,
        ] {
            assert!(SmartConfiguration::parse(json).is_none(), "{json}");
        }
        let least = r#"{"token_endpoint":"https://issuer.example/token","capabilities":[]}"#;
        assert!(SmartConfiguration::parse(least).is_some());
    }
}
