//! Whole events: whatever an event contains, there is an answer or an error that repeats nothing of it.

use imaging_study::{Event, MalformedEvent};
use lambda_http::Context;
use lambda_http::lambda_runtime::{Diagnostic, LambdaEvent};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tracing::level_filters::LevelFilter;

use super::*;

const EVENTS: [&str; 2] =
    [include_str!("../../events/found.json"), include_str!("../../events/found-rest-v1.json")];
/// In no event, and in nothing that may be logged.
const SECRET: &str = "secret 7f3a\u{1}";

fn event(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn invoke(service: &Service, event: &Value) -> Result<Value, MalformedEvent> {
    let event: Event = serde_json::from_str(&event.to_string()).unwrap();
    let response = service.invoke(LambdaEvent::new(event, Context::default())).await?;
    Ok(serde_json::to_value(&response).unwrap())
}

#[tokio::test]
async fn a_malformed_event_is_reported_by_category_and_position_and_leaves_an_audit_line() {
    let service = service("http://127.0.0.1:1");
    for (path, value) in [
        ("/headers/accept", json!(SECRET)),
        ("/cookies", json!(SECRET)),
        ("/requestContext/authorizer", json!([SECRET])),
        ("/requestContext/http/method", json!(SECRET)),
        ("/isBase64Encoded", json!(SECRET)),
    ] {
        let mut event = event(EVENTS[0]);
        let (parent, name) = path.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value;
        let log = audit::Log::default();
        let listening = log.listen(LevelFilter::TRACE);
        let error = invoke(&service, &event).await.expect_err(path);
        drop(listening);
        let line = log.request();
        assert_eq!((&line["reason"], &line["status"]), (&json!("event_malformed"), &json!(500)), "{path}");
        let message = Diagnostic::from(error).error_message;
        assert!(message.starts_with("malformed event: data error at line 1, column "), "{message}");
        assert_eq!(line["cause"], message, "{path}");
        for text in [message, format!("{error:?}"), log.text()] {
            assert!(!text.contains("7f3a"), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_body_is_dropped_unread() {
    let site = Site::with(STUDY).await;
    for text in EVENTS {
        let mut event = event(text);
        event["pathParameters"]["id"] = json!("Study-1");
        for (body, base64) in [(json!("%"), true), (json!({ "a": 1 }), false), (json!("x".repeat(100)), true)]
        {
            event["body"] = body;
            event["isBase64Encoded"] = json!(base64);
            assert_eq!(invoke(&site.service, &event).await.unwrap()["statusCode"], 200);
        }
    }
}

#[tokio::test]
async fn odd_paths_and_parameters_are_answered() {
    let service = service("http://127.0.0.1:1");
    let long = "a".repeat(70_000);
    for text in EVENTS {
        for (path, value) in [
            ("/multiValueQueryStringParameters", json!({ "a": [] })),
            ("/queryStringParameters", json!({ "a": [] })),
            ("/multiValueQueryStringParameters", json!({ "a": [long] })),
            ("/rawQueryString", json!(long)),
            ("/rawPath", json!(":x")),
            ("/path", json!(":x")),
            ("/rawPath", json!(format!("/{long}"))),
            ("/path", json!(format!("/{long}"))),
            ("/requestContext/stage", json!(":x y")),
            ("/requestContext/domainName", json!(":x y")),
            ("/headers/host", json!(":x y")),
            ("/headers/x-forwarded-proto", json!(":")),
        ] {
            let mut event = event(text);
            let Some(target) = event.pointer_mut(path) else { continue };
            *target = value;
            event["headers"].as_object_mut().unwrap().remove("authorization");
            event["headers"].as_object_mut().unwrap().remove("Authorization");
            event["multiValueHeaders"] = json!({});
            assert_eq!(invoke(&service, &event).await.unwrap()["statusCode"], 401, "{path}");
        }
    }
}

/// Every place in `value`, as a JSON pointer (RFC 6901).
fn pointers(value: &Value, prefix: &str, all: &mut Vec<String>) {
    all.push(prefix.to_owned());
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, value)| pointers(value, &format!("{prefix}/{}", escaped(name)), all));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, &format!("{prefix}/{index}"), all));
        }
        _ => {}
    }
}

fn replacements() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!(SECRET),
        json!(":x"),
        json!("//[::"),
        json!("%ff%"),
        json!("/site/4/fhir/imaging-study/panoramic"),
        json!("ä\u{7f}\u{10ffff}"),
        json!("x".repeat(70_000)),
        json!([]),
        json!([SECRET]),
        json!([[], null, 1]),
        json!({}),
        json!({ "a": [] }),
        json!({ "a": [SECRET, null] }),
        json!({ SECRET: SECRET }),
        json!({ "authorization": "Bearer x", "Authorization": ["Bearer x", "Bearer y"] }),
    ]
}

/// An event without a valid token, with up to four odd values anywhere in it.
fn odd_event() -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec((any::<Index>(), select(replacements())), 1..5);
    (select(EVENTS.to_vec()), changes).prop_map(|(text, changes)| {
        let mut event = event(text);
        for headers in ["headers", "multiValueHeaders"] {
            if let Some(headers) = event[headers].as_object_mut() {
                headers.retain(|name, _| !name.eq_ignore_ascii_case("authorization"));
            }
        }
        for (place, value) in changes {
            let mut all = Vec::new();
            pointers(&event, "", &mut all);
            // The gateway makes request ids, and they are logged and sent.
            all.retain(|pointer| !pointer.is_empty() && pointer != "/requestContext/requestId");
            if let Some(target) = event.pointer_mut(&all[place.index(all.len())]) {
                *target = value;
            }
        }
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_event_panics_or_is_200_without_a_valid_token_or_leaks(event in odd_event()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let log = audit::Log::default();
        let listening = log.listen(LevelFilter::TRACE);
        let outcome = runtime.block_on(async {
            // Made here: its clients belong to the runtime.
            invoke(&service("http://127.0.0.1:1"), &event).await
        });
        drop(listening);
        let shown = match outcome {
            Ok(response) => {
                prop_assert_ne!(&response["statusCode"], &json!(200));
                prop_assert_ne!(&response["statusCode"], &json!(500));
                response.to_string()
            }
            Err(error) => format!("{error:?}{error}"),
        };
        prop_assert!(!shown.contains("7f3a") && !log.text().contains("7f3a"), "{shown}{}", log.text());
        prop_assert_eq!(log.requests().len(), 1);
    }
}
