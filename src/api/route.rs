//! Routes: what a request's path asks for.

use std::borrow::Cow;

use lambda_http::http::header::HOST;
use lambda_http::http::{HeaderMap, HeaderValue};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use percent_encoding::percent_decode_str;
use table::id::{FhirId, IdError, SiteId, StudyRef};

use super::error::ApiError;
use super::event::X_FORWARDED_HOST;
use super::negotiation::Media;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/site/{siteId}/fhir/imaging-study/{id}`: a study, as the published contract has it.
    Study,
    /// `/site/{siteId}/fhir/ImagingStudy/{id}`: the same study by FHIR's own URL (FHIR R4 http.html#read).
    FhirStudy,
    /// `/site/{siteId}/fhir/metadata`: the `CapabilityStatement` (FHIR R4 http.html#capabilities).
    Metadata,
    /// `/site/{siteId}/fhir/.well-known/smart-configuration`: where tokens come from.
    SmartConfiguration,
    /// Any other resource or interaction of `/site/{siteId}/fhir`.
    UnsupportedFhir,
    /// Any other path.
    Unknown,
}

impl Route {
    /// The route's last literal segment, for the audit line. `None` if the service has no such route.
    #[must_use]
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Study => Some("imaging-study"),
            Self::FhirStudy => Some("ImagingStudy"),
            Self::Metadata => Some("metadata"),
            Self::SmartConfiguration => Some("smart-configuration"),
            Self::UnsupportedFhir | Self::Unknown => None,
        }
    }

    /// The media type for clients that accept both equally.
    #[must_use]
    pub(crate) fn default_media(self) -> Media {
        match self {
            Self::FhirStudy | Self::Metadata | Self::UnsupportedFhir => Media::FhirJson,
            Self::Study | Self::SmartConfiguration | Self::Unknown => Media::Json,
        }
    }

    /// The media type of an error. SMART's own route is `application/json` throughout.
    pub(crate) fn error_media(self, request: &Request) -> Media {
        let default = self.default_media();
        match self {
            Self::SmartConfiguration => default,
            _ => Media::requested(request, default).unwrap_or(default),
        }
    }

    /// The route of what follows `/fhir/`, in a path or in a route's template.
    fn of_tail(tail: &str) -> Self {
        match tail.split_once('/') {
            None if tail == "metadata" => Self::Metadata,
            Some((".well-known", "smart-configuration")) => Self::SmartConfiguration,
            Some(("imaging-study", id)) if !id.contains('/') => Self::Study,
            Some(("ImagingStudy", id)) if !id.contains('/') => Self::FhirStudy,
            _ => Self::UnsupportedFhir,
        }
    }
}

/// A request's route and the identifiers in its path, percent-decoded but not yet checked.
pub(crate) struct RequestPath<'a> {
    pub(crate) route: Route,
    site: Cow<'a, str>,
    id: Cow<'a, str>,
}

impl<'a> RequestPath<'a> {
    /// Reads the event's route and path parameters, `proxy` among them, or its raw path if it has none (function URLs,
    /// local servers). An HTTP API delivers parameters percent-decoded; those of a REST API and the raw path are decoded
    /// here, once.
    pub(crate) fn of(request: &'a Request) -> Self {
        let raw = raw_path(request);
        let parameter = |name| request.path_parameters_ref().and_then(|parameters| parameters.first(name));
        let tail = |path: &'a str| path.rsplit_once("/fhir/").map(|(_, tail)| tail);
        let read: fn(&'a str) -> Cow<'a, str> = match request.request_context_ref() {
            Some(RequestContext::ApiGatewayV1(_)) => decode,
            _ => Cow::Borrowed,
        };
        let Some(site) = parameter("siteId") else { return Self::of_raw(raw) };
        if let Some(proxy) = parameter("proxy") {
            return Self::below(site, proxy, read);
        }
        let route = event_route(request).and_then(tail).or_else(|| tail(raw)).map(Route::of_tail);
        match (route, parameter("id")) {
            (Some(route @ (Route::Metadata | Route::SmartConfiguration)), _) => {
                Self::new(route, read(site), "".into())
            }
            (Some(route @ (Route::Study | Route::FhirStudy)), Some(id)) => {
                Self::new(route, read(site), read(id))
            }
            _ => Self::of_raw(raw),
        }
    }

    fn of_raw(path: &'a str) -> Self {
        let mut segments = path.trim_start_matches('/').splitn(4, '/');
        let named = [(); 4].map(|()| segments.next());
        let [Some("site"), Some(site), Some("fhir"), Some(tail)] = named else {
            return Self::new(Route::Unknown, "".into(), "".into());
        };
        Self::below(site, tail, decode)
    }

    /// The path of what follows a site's `/fhir/`. `read` makes identifiers of their text in the path.
    fn below(site: &'a str, tail: &'a str, read: fn(&'a str) -> Cow<'a, str>) -> Self {
        let id = tail.split_once('/').map_or("", |(_, id)| id);
        Self::new(Route::of_tail(tail), read(site), read(id))
    }

    fn new(route: Route, site: Cow<'a, str>, id: Cow<'a, str>) -> Self {
        // `_history`, `_search` and `$validate` stand where an id does (FHIR R4 http.html#summary).
        let route = if id.starts_with(['_', '$']) { Route::UnsupportedFhir } else { route };
        Self { route, site, id }
    }

    /// The path's site.
    pub(crate) fn site(&self) -> Result<SiteId, IdError> {
        SiteId::parse(&self.site)
    }

    /// The study that the path names.
    pub(crate) fn study_ref(&self) -> Result<StudyRef, ApiError> {
        match self.route {
            Route::Study | Route::FhirStudy => {
                Ok(StudyRef { site: self.site()?, study: FhirId::parse(&self.id)? })
            }
            Route::UnsupportedFhir => Err(ApiError::InteractionNotSupported),
            Route::Metadata | Route::SmartConfiguration | Route::Unknown => Err(ApiError::RouteNotFound),
        }
    }
}

/// The URL that the client sent, without its last segment and query: the FHIR base URL of `…/fhir/metadata`. `None`
/// without a usable host.
pub(crate) fn parent_url(request: &Request) -> Option<String> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
    let host = header(X_FORWARDED_HOST).or(header(HOST))?;
    if !(1..=255).contains(&host.len()) || !host.bytes().all(allowed) {
        return None;
    }
    // A REST API's path leaves out the stage, and the base path of a custom domain.
    let path = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.path.as_deref().unwrap_or(raw_path(request)),
        _ => raw_path(request),
    };
    let (parent, _) = path.rsplit_once('/')?;
    Some(format!("{}://{host}{parent}", scheme(request.headers())))
}

/// API Gateway always sends `X-Forwarded-Proto`; local servers have no TLS.
fn scheme(headers: &HeaderMap) -> &'static str {
    match headers.get("x-forwarded-proto").map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        _ => "http",
    }
}

/// The template of the event's route, such as `/site/{siteId}/fhir/metadata`.
fn event_route(request: &Request) -> Option<&str> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.resource_path.as_deref(),
        RequestContext::ApiGatewayV2(context) => context.route_key.as_deref(),
        _ => None,
    }
}

fn raw_path(request: &Request) -> &str {
    match request.raw_http_path() {
        "" => request.uri().path(),
        path => path,
    }
}

/// Invalid UTF-8 becomes U+FFFD, which no identifier may contain.
fn decode(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_http::Body;
    use lambda_http::http;

    use super::*;

    fn at(path: &str) -> Result<StudyRef, &'static str> {
        let request = http::Request::get(path).body(Body::Empty).unwrap();
        RequestPath::of(&request).study_ref().map_err(|error| error.code())
    }

    fn target(site: &str, study: &str) -> StudyRef {
        StudyRef { site: SiteId::parse(site).unwrap(), study: FhirId::parse(study).unwrap() }
    }

    #[test]
    fn the_raw_path_names_site_and_study() {
        assert_eq!(at("/site/4/fhir/imaging-study/a.B-1"), Ok(target("4", "a.B-1")));
    }

    #[test]
    fn the_raw_path_is_percent_decoded_once() {
        assert_eq!(at("/site/a%7Eb/fhir/imaging-study/%41"), Ok(target("a~b", "A")));
        assert_eq!(at("/site/4/fhir/imaging-study/%2541"), Err("study_id_malformed"));
    }

    #[test]
    fn a_slash_hidden_by_percent_encoding_does_not_make_a_segment() {
        assert_eq!(at("/site/4%2Ffhir/fhir/imaging-study/a"), Err("site_id_malformed"));
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_no_id() {
        assert_eq!(at("/site/4/fhir/imaging-study/%FF"), Err("study_id_malformed"));
    }

    #[test]
    fn path_parameters_of_the_event_win_over_its_path() {
        let request = http::Request::get("/prod/site/5/fhir/imaging-study/b")
            .body(Body::Empty)
            .unwrap()
            .with_path_parameters(HashMap::from([
                ("siteId".to_owned(), vec!["4".to_owned()]),
                ("id".to_owned(), vec!["a".to_owned()]),
            ]));
        assert_eq!(RequestPath::of(&request).study_ref().ok(), Some(target("4", "a")));
    }

    #[test]
    fn another_path_is_no_route() {
        for path in ["/", "/site/4", "/site/4/fhir", "/sites/4/fhir/imaging-study/a"] {
            assert_eq!(at(path), Err("route_unknown"), "{path}");
        }
    }

    #[test]
    fn fhir_clients_name_the_study_by_its_resource_type() {
        assert_eq!(at("/site/4/fhir/ImagingStudy/a"), Ok(target("4", "a")));
    }

    #[test]
    fn other_resources_and_interactions_are_not_supported() {
        for path in [
            "/site/4/fhir/Patient/1", "/site/4/fhir/ImagingStudy", "/site/4/fhir/ImagingStudy/a/_history/1",
            "/site/4/fhir/ImagingStudy/_history", "/site/4/fhir/ImagingStudy/_search",
            "/site/4/fhir/ImagingStudy/$validate", "/site/4/fhir/ImagingStudy/%24validate",
            "/site/4/fhir/imaging-study/_history", "/site/4/fhir/imaging-study",
            "/site/4/fhir/imaging-study/a/b", "/site/4/fhir/imagingstudy/a", "/site/4/fhir/",
        ] {
            assert_eq!(at(path), Err("interaction_not_supported"), "{path}");
        }
    }

    #[test]
    fn an_interaction_in_the_place_of_an_id_is_no_study_on_either_route() {
        for path in [
            "/site/4/fhir/imaging-study/_history", "/site/4/fhir/imaging-study/%24validate",
            "/site/4/fhir/ImagingStudy/_search",
        ] {
            let request = http::Request::get(path).body(Body::Empty).unwrap();
            assert_eq!(RequestPath::of(&request).route, Route::UnsupportedFhir, "{path}");
        }
        let history = serde_json::json!({ "siteId": "4", "id": "_history" });
        let request = rest_event("/site/{siteId}/fhir/imaging-study/{id}", &history);
        assert_eq!(RequestPath::of(&request).route, Route::UnsupportedFhir);
    }

    fn v2_event(route: &str, path: &str) -> Request {
        let event = serde_json::json!({
            "version": "2.0",
            "routeKey": route,
            "rawPath": path,
            "headers": { "host": "api.example.com", "x-forwarded-proto": "https" },
            "requestContext": { "routeKey": route, "http": { "method": "GET" } },
            "pathParameters": { "siteId": "4", "id": "a" },
        });
        super::super::event::request(&event.to_string())
    }

    #[test]
    fn the_route_is_the_events_own() {
        for (route, expected) in [
            ("GET /site/{siteId}/fhir/imaging-study/{id}", Route::Study),
            ("GET /site/{siteId}/fhir/ImagingStudy/{id}", Route::FhirStudy),
            ("GET /site/{siteId}/fhir/metadata", Route::Metadata),
            ("GET /v1/site/{siteId}/fhir/metadata", Route::Metadata),
            ("GET /site/{siteId}/fhir/.well-known/smart-configuration", Route::SmartConfiguration),
        ] {
            assert_eq!(RequestPath::of(&v2_event(route, "/")).route, expected, "{route}");
        }
    }

    #[test]
    fn the_proxy_parameter_of_the_catch_all_route_is_the_path_below_the_base_url() {
        for (proxy, expected) in [
            ("imaging-study/a", Ok(target("4", "a"))),
            ("ImagingStudy/a", Ok(target("4", "a"))),
            ("ImagingStudy/$validate", Err("interaction_not_supported")),
            ("ImagingStudy/a%2Fb", Err("study_id_malformed")),
            ("Patient/1", Err("interaction_not_supported")),
            ("metadata", Err("route_unknown")),
        ] {
            let event = serde_json::json!({
                "version": "2.0",
                "rawPath": "/stage/base/site/5/fhir/imaging-study/b",
                "requestContext": {
                    "routeKey": "ANY /site/{siteId}/fhir/{proxy+}",
                    "http": { "method": "GET" },
                },
                "pathParameters": { "siteId": "4", "proxy": proxy },
            });
            let request = super::super::event::request(&event.to_string());
            let found = RequestPath::of(&request).study_ref().map_err(|error| error.code());
            assert_eq!(found, expected, "{proxy}");
        }
    }

    fn rest_event(resource: &str, parameters: &serde_json::Value) -> Request {
        let mut event: serde_json::Value =
            serde_json::from_str(include_str!("../../events/found-rest-v1.json")).unwrap();
        event["resource"] = resource.into();
        event["requestContext"]["resourcePath"] = resource.into();
        event["pathParameters"] = parameters.clone();
        super::super::event::request(&event.to_string())
    }

    #[test]
    fn the_path_parameters_of_a_rest_event_are_percent_decoded_once() {
        let study = "/site/{siteId}/fhir/ImagingStudy/{id}";
        let proxy = "/site/{siteId}/fhir/{proxy+}";
        for (resource, site, name, value, expected) in [
            (study, "a%7Eb", "id", "%41", Ok(target("a~b", "A"))),
            (study, "4", "id", "%2541", Err("study_id_malformed")),
            (study, "4", "id", "%24validate", Err("interaction_not_supported")),
            (proxy, "a%7Eb", "proxy", "imaging-study/%41", Ok(target("a~b", "A"))),
            (proxy, "4", "proxy", "ImagingStudy/a%2Fb", Err("study_id_malformed")),
            (proxy, "4", "proxy", "ImagingStudy/%24validate", Err("interaction_not_supported")),
            (proxy, "4%2F5", "proxy", "ImagingStudy/a", Err("site_id_malformed")),
        ] {
            let request = rest_event(resource, &serde_json::json!({ "siteId": site, name: value }));
            let found = RequestPath::of(&request).study_ref().map_err(|error| error.code());
            assert_eq!(found, expected, "{site} {value}");
        }
    }

    #[test]
    fn the_path_parameters_of_an_http_event_are_decoded_already() {
        let mut event: serde_json::Value =
            serde_json::from_str(include_str!("../../events/found.json")).unwrap();
        event["pathParameters"] = serde_json::json!({ "siteId": "4", "id": "%41" });
        let request = super::super::event::request(&event.to_string());
        let found = RequestPath::of(&request).study_ref().map_err(|error| error.code());
        assert_eq!(found, Err("study_id_malformed"));
    }

    #[test]
    fn the_route_of_a_rest_event_is_its_resource() {
        let event = include_str!("../../events/found-rest-v1.json");
        let event = event.replace("/site/{siteId}/fhir/imaging-study/{id}", "/site/{siteId}/fhir/metadata");
        assert_eq!(RequestPath::of(&super::super::event::request(&event)).route, Route::Metadata);
    }

    #[test]
    fn a_catch_all_route_leaves_it_to_the_path() {
        for (path, expected) in [
            ("/site/4/fhir/imaging-study/a", Route::Study),
            ("/site/4/fhir/ImagingStudy/a", Route::FhirStudy),
            ("/site/4/fhir/metadata", Route::Metadata),
            ("/site/4/fhir/Patient/a", Route::UnsupportedFhir),
            ("/", Route::Unknown),
        ] {
            assert_eq!(RequestPath::of(&v2_event("$default", path)).route, expected, "{path}");
        }
    }

    #[test]
    fn the_base_url_is_what_the_client_sent() {
        let url = |path| parent_url(&v2_event("$default", path));
        assert_eq!(url("/site/4/fhir/metadata").as_deref(), Some("https://api.example.com/site/4/fhir"));
        assert_eq!(
            url("/stage/site/4/fhir/metadata").as_deref(),
            Some("https://api.example.com/stage/site/4/fhir")
        );
        let local = http::Request::get("/site/4/fhir/metadata").header(HOST, "127.0.0.1:9000");
        let local = local.body(Body::Empty).unwrap();
        assert_eq!(parent_url(&local).as_deref(), Some("http://127.0.0.1:9000/site/4/fhir"));
        for host in ["", "a/b", "user@host", "a\"b", "a b"] {
            let request = http::Request::get("/site/4/fhir/metadata").header(HOST, host);
            assert_eq!(parent_url(&request.body(Body::Empty).unwrap()), None, "{host}");
        }
    }

    #[test]
    fn the_base_url_of_a_rest_api_has_its_stage() {
        let event = include_str!("../../events/metadata-rest-v1.json");
        assert_eq!(
            parent_url(&super::super::event::request(event)).as_deref(),
            Some("https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/prod/site/4/fhir")
        );
    }

    #[test]
    fn an_id_is_rejected_beyond_64_characters_and_a_site_beyond_128() {
        assert!(FhirId::parse(&"a".repeat(64)).is_ok());
        assert!(FhirId::parse(&"a".repeat(65)).is_err());
        assert!(SiteId::parse(&"a".repeat(128)).is_ok());
        assert!(SiteId::parse(&"a".repeat(129)).is_err());
    }
}
