//! Whole events: whatever an event contains, there is a response, or an error that repeats nothing of it.

use imaging_study::{Event, MalformedEvent};
use lambda_http::Context;
use lambda_http::lambda_runtime::{Diagnostic, LambdaEvent};
use testkit::log::{Log, audit_line};
use tracing::level_filters::LevelFilter;

use super::*;

const EVENTS: [&str; 2] = ["found", "found-rest-v1"];
/// In no event, and in nothing that may be logged.
const SECRET: &str = "secret 7f3a\u{1}";

async fn invoke(service: &Service, event: &Value) -> Result<Value, MalformedEvent> {
    let event: Event = serde_json::from_str(&event.to_string()).unwrap();
    let response = service.invoke(LambdaEvent::new(event, Context::default())).await?;
    Ok(serde_json::to_value(&response).unwrap())
}

#[tokio::test]
async fn a_malformed_event_is_reported_by_category_and_position_and_leaves_an_audit_line() {
    let service = service(NOWHERE);
    for (path, value) in [
        ("/headers/accept", json!(SECRET)),
        ("/cookies", json!(SECRET)),
        ("/requestContext/authorizer", json!([SECRET])),
        ("/requestContext/http/method", json!(SECRET)),
        ("/isBase64Encoded", json!(SECRET)),
    ] {
        let mut event = testkit::event(EVENTS[0]);
        let (parent, name) = path.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value;
        let log = Log::default();
        let listening = log.listen(LevelFilter::TRACE);
        let error = invoke(&service, &event).await.expect_err(path);
        drop(listening);
        let line = audit_line(&log.text());
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
async fn the_body_of_a_request_is_dropped_unread() {
    let site = Site::with(STUDY).await;
    for name in EVENTS {
        let mut event = testkit::event(name);
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
async fn odd_paths_and_parameters_receive_a_response() {
    let service = service(NOWHERE);
    let long = "a".repeat(70_000);
    for name in EVENTS {
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
            let mut event = testkit::event(name);
            let Some(target) = event.pointer_mut(path) else { continue };
            *target = value;
            event["headers"].as_object_mut().unwrap().remove("authorization");
            event["headers"].as_object_mut().unwrap().remove("Authorization");
            event["multiValueHeaders"] = json!({});
            assert_eq!(invoke(&service, &event).await.unwrap()["statusCode"], 401, "{path}");
        }
    }
}
