//! `.well-known/smart-configuration`: where tokens come from, in the operator's words (SMART App Launch 2.2 §2.0.10).

use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use lambda_http::http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::{Body, Response};

use super::error::ApiError;
use super::reply::{PUBLIC, response};
use super::route::RequestPath;

/// The response, whatever the client accepts: always `application/json`. The same for every well-formed site, known or not;
/// 404 if nothing is configured.
pub(crate) fn smart_configuration(
    configured: Option<&str>,
    path: &RequestPath<'_>,
) -> Result<Response<Body>, ApiError> {
    path.site()?;
    let json = configured.ok_or(ApiError::RouteNotFound)?;
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let mut response = response(StatusCode::OK, headers, Body::Text(json.to_owned()));
    response.headers_mut().insert(CACHE_CONTROL, PUBLIC);
    Ok(response)
}
