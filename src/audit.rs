//! The log, with one audit line for each request.
//!
//! Lines are flat JSON on standard output. Audit lines have the target `imaging_study::audit` and leave out the fields
//! that are not known. No line contains a token, a claim but those that name issuer, subject and client, or
//! anything of a document.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lambda_http::http::header::CONTENT_ENCODING;
use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::lambda_runtime::Context;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use table::id::StudyRef;
use table::read::StoredForm;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::api::{MalformedEvent, body_len};
use crate::auth::Principal;

const AUDIT: &str = "imaging_study::audit";

/// The issuer, or the reader, of a token that names none: what is counted is always there, so that nobody goes uncounted.
const UNNAMED: &str = "-";

/// Starts logging to `writer`, panics included.
pub fn init<W>(level: LevelFilter, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    subscriber(level, writer).init();
    log_panics();
}

/// Logs where a panic happened, in place of the panic's message, which may quote the text that a slice was cut from.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        // Not with this module's name as the target, which is that of audit lines.
        tracing::error!(target: "imaging_study", at, "panicked");
    }));
}

/// A subscriber that writes this crate's events at `level` and above as lines of JSON.
///
/// Audit lines are written at every level, events of other crates at WARN and above only: below that, the SDK and the
/// HTTP client log headers and bodies.
pub fn subscriber<W>(level: LevelFilter, writer: W) -> impl Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("imaging_study", level)
        .with_target(AUDIT, LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(lines).with(targets)
}

/// The audit line of a request, as far as it is known.
#[derive(Debug)]
pub struct Audit {
    cold_start: bool,
    started: Instant,
    issuer: Option<String>,
    subject: Option<String>,
    client: Option<String>,
    /// The route's name.
    pub(crate) route: Option<&'static str>,
    /// The study that is requested.
    pub(crate) study_ref: Option<StudyRef>,
    /// How the study is stored.
    pub(crate) form: Option<StoredForm>,
    read_units: Option<f64>,
    auth: Option<Duration>,
    store: Option<Duration>,
}

impl Audit {
    /// Starts the clock of a request.
    #[must_use]
    pub fn begin(cold_start: bool) -> Self {
        Self {
            cold_start,
            started: Instant::now(),
            issuer: None,
            subject: None,
            client: None,
            route: None,
            study_ref: None,
            form: None,
            read_units: None,
            auth: None,
            store: None,
        }
    }

    /// Records the time that the token's verification took.
    pub fn auth_done(&mut self, since: Instant) {
        self.auth = Some(since.elapsed());
    }

    /// Records who sent the request.
    pub fn principal(&mut self, principal: &Principal) {
        self.issuer = Some(principal.issuer().unwrap_or(UNNAMED).to_owned());
        self.subject = principal.subject().map(str::to_owned);
        self.client = principal.client().map(str::to_owned);
    }

    /// Records the time and the read units that reading took.
    pub fn store_done(&mut self, since: Instant, read_units: f64) {
        self.store = Some(since.elapsed());
        self.read_units = Some(read_units);
    }

    /// Who is counted as the reader, beside the issuer. Rules that count cannot choose among fields.
    fn reader(&self) -> Option<&str> {
        self.issuer.as_ref()?;
        Some(self.subject.as_deref().or(self.client.as_deref()).unwrap_or(UNNAMED))
    }

    /// Writes the line: at ERROR for a server error, else at INFO.
    pub fn end(self, request: &Request, response: &Response<Body>, reason: &str, cause: Option<&str>) {
        let status = response.status().as_u16();
        let lambda = request.lambda_context_ref();
        let site = self.study_ref.as_ref().map(|study_ref| study_ref.site.as_str());
        let study = self.study_ref.as_ref().map(|study_ref| study_ref.study.as_str());
        let encoding = response.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: AUDIT,
                    requestId = lambda.map(|context| context.request_id.as_str()),
                    gatewayRequestId = gateway_request_id(request),
                    traceId = lambda.and_then(|context| context.xray_trace_id.as_deref()),
                    version = lambda.map(|context| context.env_config.version.as_str()),
                    issuer = self.issuer.as_deref(),
                    subject = self.subject.as_deref(),
                    client = self.client.as_deref(),
                    reader = self.reader(),
                    sourceIp = source_ip(request),
                    clientTraceId = client_trace_id(request.headers()),
                    clientRequestId = client_request_id(request.headers()),
                    route = self.route,
                    site,
                    study,
                    method = request.method().as_str(),
                    status,
                    reason,
                    cause,
                    form = self.form.map(StoredForm::code),
                    encoding,
                    bytes = body_len(response.body()),
                    readUnits = self.read_units,
                    coldStart = self.cold_start,
                    authMs = self.auth.map(milliseconds),
                    storeMs = self.store.map(milliseconds),
                    totalMs = milliseconds(self.started.elapsed()),
                    "request"
                )
            };
        }
        if status >= 500 { line!(error) } else { line!(info) }
    }
}

/// Writes the audit line of an invocation whose event is malformed. API Gateway responds with 500.
pub(crate) fn malformed_event(lambda: &Context, error: &MalformedEvent, cold_start: bool) {
    tracing::error!(
        target: AUDIT,
        requestId = lambda.request_id.as_str(),
        traceId = lambda.xray_trace_id.as_deref(),
        version = lambda.env_config.version.as_str(),
        status = StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
        reason = "event_malformed",
        cause = %error,
        coldStart = cold_start,
        "request"
    );
}

/// The id that clients see: the gateway's, or else Lambda's.
pub(crate) fn request_id(request: &Request) -> Option<&str> {
    let lambda = || request.lambda_context_ref().map(|context| context.request_id.as_str());
    gateway_request_id(request).or_else(lambda)
}

fn gateway_request_id(request: &Request) -> Option<&str> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.request_id.as_deref(),
        RequestContext::ApiGatewayV2(context) => context.request_id.as_deref(),
        _ => None,
    }
}

/// The caller's IP address, as the gateway saw it.
fn source_ip(request: &Request) -> Option<&str> {
    let address = match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.as_deref(),
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref(),
        _ => None,
    };
    address.filter(|address| address.parse::<IpAddr>().is_ok())
}

/// The value of a header that the client sent once: of two, none is believed.
fn sent_once<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// The trace id of a well-formed `traceparent` (W3C Trace Context §3.2): version, trace id, parent id and flags in
/// lower-case hexadecimal, of which neither id is all zeros.
fn client_trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut fields = sent_once(headers, "traceparent")?.split('-');
    let mut field = |length| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        fields.next().filter(|field| field.len() == length && field.bytes().all(is_hex))
    };
    let (version, trace, parent, _flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let is_set = |id: &str| id.bytes().any(|digit| digit != b'0');
    // Later versions may have more fields.
    let is_known = version != "ff" && (version != "00" || fields.next().is_none());
    (is_known && is_set(trace) && is_set(parent)).then_some(trace)
}

/// What the client calls the request, if no character of it can disturb the log.
fn client_request_id(headers: &HeaderMap) -> Option<&str> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ["x-request-id", "x-correlation-id"].into_iter().find_map(|name| {
        let id = sent_once(headers, name)?;
        ((1..=64).contains(&id.len()) && id.bytes().all(is_safe)).then_some(id)
    })
}

/// In milliseconds, to the microsecond.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use lambda_http::request::LambdaRequest;

    use super::*;

    #[test]
    fn a_time_is_in_milliseconds_to_the_microsecond() {
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567_890)).to_string(), "1234.568");
    }

    #[test]
    fn what_the_client_sends_to_correlate_is_logged_if_it_is_well_formed() {
        let of = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for (value, expected) in [
            (format!("00-{trace}-b7ad6b7169203331-01"), Some(trace)),
            (format!("01-{trace}-b7ad6b7169203331-01-more"), Some(trace)),
            (format!("00-{trace}-b7ad6b7169203331-01-more"), None),
            (format!("ff-{trace}-b7ad6b7169203331-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()), None),
            (format!("00-{trace}-b7ad6b7169203331"), None),
            (trace.to_owned(), None),
        ] {
            assert_eq!(client_trace_id(&of("traceparent", &value)), expected, "{value}");
        }
        let longest = "a".repeat(64);
        for (value, expected) in
            [("A-1._z", true), (&*longest, true), ("", false), ("a b", false), ("a\"b", false)]
        {
            for name in ["x-request-id", "x-correlation-id"] {
                assert_eq!(client_request_id(&of(name, value)), expected.then_some(value), "{name}");
            }
        }
        assert_eq!(client_request_id(&of("x-request-id", &"a".repeat(65))), None);
    }

    #[test]
    fn what_the_client_sends_twice_is_not_logged() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let twice = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(name, value.parse().unwrap());
            headers.append(name, value.parse().unwrap());
            headers
        };
        assert_eq!(client_trace_id(&twice("traceparent", trace)), None);
        assert_eq!(client_request_id(&twice("x-request-id", "a")), None);
        let mut headers = twice("x-request-id", "a");
        headers.append("x-correlation-id", "b".parse().unwrap());
        assert_eq!(client_request_id(&headers), Some("b"));
    }

    #[test]
    fn the_callers_address_is_logged_if_it_is_an_address() {
        let from = |event: &str, address: &str| {
            let event: LambdaRequest = serde_json::from_str(&event.replace("192.0.2.10", address)).unwrap();
            source_ip(&Request::from(event)).map(str::to_owned)
        };
        for event in [include_str!("../events/found.json"), include_str!("../events/found-rest-v1.json")] {
            for address in ["192.0.2.10", "2001:db8::1"] {
                assert_eq!(from(event, address).as_deref(), Some(address));
            }
            for other in ["", "test-invoke-source-ip", "192.0.2.10, 192.0.2.11"] {
                assert_eq!(from(event, other), None, "{other}");
            }
        }
    }

    #[test]
    fn the_request_id_is_the_gateways_or_else_lambdas() {
        let asked = |event: &str| {
            let event: LambdaRequest = serde_json::from_str(event).unwrap();
            let mut lambda = Context::default();
            lambda.request_id = "lambda's".to_owned();
            Request::from(event).with_lambda_context(lambda)
        };
        for event in [include_str!("../events/found.json"), include_str!("../events/found-rest-v1.json")] {
            let json: serde_json::Value = serde_json::from_str(event).unwrap();
            assert_eq!(request_id(&asked(event)), json["requestContext"]["requestId"].as_str());
        }
        let no_id = include_str!("../events/found.json").replace("requestId", "x");
        assert_eq!(request_id(&asked(&no_id)), Some("lambda's"));
    }
}
