//! Subsets: a query on the first line, and the document that it is about.
#![no_main]

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};

use fuzz::{InProcess, events};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::json;
use serde_json::value::RawValue;

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What every subset but `_summary=data` may have (FHIR R4 search.html#elements), `contained` where something refers to it.
const ALWAYS: [&str; 8] =
    ["resourceType", "id", "meta", "implicitRules", "modifierExtension", "status", "subject", "contained"];

thread_local! {
    static SERVICE: LazyCell<(InProcess, String)> =
        LazyCell::new(|| (InProcess::new(), local::token(&local::claims_with(&fuzz::forever()))));
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((query, document)) = str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else {
        return Corpus::Reject;
    };
    let Some((name, value)) = query.split_once('=') else { return Corpus::Reject };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_,. ".contains(c);
    if !["_elements", "_summary"].contains(&name) || !value.chars().all(is_plain) {
        return Corpus::Reject;
    }
    let (whole, subset) = (response(None, document), response(Some((name, value)), document));
    assert_eq!(whole.is_some(), subset.is_some(), "one of whole and subset is served");
    let (Some(whole), Some(subset)) = (whole, subset) else { return Corpus::Keep };
    assert_eq!(whole, document);
    if subset == document {
        let cuts = if name == "_summary" {
            ["true", "text", "data"].contains(&value)
        } else {
            names_in(value).count() > 0
        };
        assert!(!cuts, "the whole document for a subset");
    } else {
        check(name, value, document, &subset);
    }
    Corpus::Keep
});

fn names_in(elements: &str) -> impl Iterator<Item = &str> {
    elements
        .split(',')
        .map(|name| name.trim().trim_start_matches("ImagingStudy."))
        .filter(|name| !name.is_empty())
}

/// The subset has what was asked for and what it must have, as it is in the document, and says that it is a subset.
fn check(name: &str, value: &str, document: &str, subset: &str) {
    let whole: Members<'_> = serde_json::from_str(document).expect("a document is an object");
    let subset: Members<'_> = serde_json::from_str(subset).expect("a subset is an object");
    let asked: Vec<_> = if name == "_elements" { names_in(value).collect() } else { Vec::new() };
    let is_wanted = |element: &str| {
        let element = element.strip_prefix('_').unwrap_or(element);
        match (name, value) {
            ("_summary", "data") => element != "text",
            ("_summary", "text") => element == "text" || ALWAYS.contains(&element),
            ("_summary", _) => !["text", "extension", "language"].contains(&element),
            _ => ALWAYS.contains(&element) || asked.contains(&element),
        }
    };
    for (element, text) in &subset {
        assert!(is_wanted(element), "{element} was not asked for");
        match element.as_str() {
            "meta" => assert!(text.get().contains("SUBSETTED"), "no tag"),
            "series" if value == "true" => {
                assert!(!names(text).contains(&"instance".to_owned()), "an instance");
            }
            _ => assert_eq!(Some(text.get()), whole.get(element).map(|text| text.get()), "{element}"),
        }
    }
    let must = ["resourceType", "id", "status", "subject"].into_iter().chain(asked.iter().copied());
    for element in must.filter(|element| *element != "meta" && whole.contains_key(*element)) {
        assert!(subset.contains_key(element), "{element} is missing");
    }
    assert!(subset.contains_key("meta"), "no tag");
}

/// The names of the members of all series.
fn names(series: &RawValue) -> Vec<String> {
    let series: Vec<Members<'_>> = serde_json::from_str(series.get()).expect("series are objects");
    series.into_iter().flat_map(BTreeMap::into_keys).collect()
}

/// The body of the response to a read of the document, if it is served.
fn response(query: Option<(&str, &str)>, document: &str) -> Option<String> {
    SERVICE.with(|state| {
        let (service, token) = &**state;
        let text = |text: &str| testkit::text(text);
        let item = [("siteId", text(local::SITE)), ("id", text("a")), ("document", text(document))];
        service.put(vec![item.map(|(name, value)| (name.to_owned(), value)).into()]);
        let event = json!({
            "version": "2.0",
            "rawPath": format!("/site/{}/fhir/imaging-study/a", local::SITE),
            "rawQueryString": query.map(|(name, value)| format!("{name}={}", value.replace(' ', "%20"))),
            "queryStringParameters": query.map(|(name, value)| HashMap::from([(name, value)])),
            "headers": { "authorization": format!("Bearer {token}") },
            "requestContext": { "http": { "method": "GET", "path": "/" }, "stage": "$default" },
            "isBase64Encoded": false,
        });
        let exchange =
            service.exchange(&event.to_string(), &[]).unwrap_or_else(|failure| panic!("{failure}"));
        let response = exchange.payload.unwrap_or_else(|error| panic!("{error}"));
        if response["statusCode"] != 200 {
            assert!(["document_broken"].contains(&&*exchange.reason), "{}", exchange.reason);
            return None;
        }
        Some(events::text(&response).unwrap_or_else(|failure| panic!("{failure}")))
    })
}
