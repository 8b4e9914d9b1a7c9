//! Stored items in every form, whole and damaged.

use std::collections::HashMap;
use std::io::Read as _;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use testkit::{gzip, native};
use tokio::net::TcpListener;

use super::{prop_oneof, *};

pub type Item = HashMap<String, AttributeValue>;

/// In every document, in no response but its own.
const IN_DOCUMENT: &str = "words-of-the-document";
const SITE: &str = local::SITE;
const ID: &str = "study";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Gzip,
    Map,
    Flat,
    Parts,
}

#[derive(Clone, Debug)]
enum Damage {
    None,
    /// Cuts this share (in 256ths) off the end of the stored bytes.
    Cut(u8),
    /// Changes one byte.
    Flip(usize),
    /// Appends bytes after the end.
    Trailing,
    /// Puts another attribute in the place of one.
    Attribute(&'static str, AttributeValue),
    /// Removes an attribute.
    Without(&'static str),
    /// Leaves one part out of the table.
    MissingPart(usize),
    /// Swaps the first two parts.
    SwappedParts,
}

#[derive(Clone, Debug)]
pub struct Case {
    document: Value,
    form: Form,
    /// Whether `etag`, `lastUpdated` and `subject` are stored as well.
    properties: bool,
    damage: Damage,
    gzip: bool,
    parameters: &'static str,
}

fn attribute() -> impl Strategy<Value = AttributeValue> {
    select(vec![
        AttributeValue::Null(true),
        AttributeValue::Bool(false),
        AttributeValue::N("1".to_owned()),
        AttributeValue::S(String::new()),
        AttributeValue::S("x\r\ny: z".to_owned()),
        AttributeValue::S("\"strong\"".to_owned()),
        AttributeValue::S("{".to_owned()),
        AttributeValue::S("null".to_owned()),
        AttributeValue::S(r#"{"resourceType":"Patient"}"#.to_owned()),
        AttributeValue::B(Blob::new([])),
        AttributeValue::B(Blob::new([0x1f, 0x8b, 8, 0])),
        AttributeValue::L(Vec::new()),
        AttributeValue::L(vec![AttributeValue::N("1".to_owned())]),
        AttributeValue::L(vec![AttributeValue::S(ID.to_owned())]),
        AttributeValue::L(vec![AttributeValue::S("no-such-part#".to_owned()); 40]),
        AttributeValue::M(HashMap::new()),
        AttributeValue::Ss(vec!["a".to_owned()]),
        AttributeValue::Ns(vec!["1".to_owned()]),
    ])
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    // By hand: `prop_recursive` splits the generator, and with it the bytes that libFuzzer gives.
    let any = (0..3).fold(leaf.boxed(), |inner, _| {
        let members = prop::collection::hash_map("[a-z]{1,8}", inner.clone(), 0..4);
        prop_oneof![
            1 => inner.clone(),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
            1 => members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
        .boxed()
    });
    let meta = select(vec![
        json!({ "versionId": "7", "lastUpdated": "2024-05-04T12:00:00Z" }),
        json!({ "versionId": null, "tag": null }),
        json!(null),
        json!({}),
    ]);
    let subject = select(vec![json!({ "reference": "Patient/1" }), json!({ "display": "x" }), json!(null)]);
    let series =
        select(vec![json!(null), json!([]), json!([{ "uid": "1.2", "instance": [{ "uid": "1.2.3" }] }])]);
    (meta, subject, series, any, prop_oneof![40 => 0_usize..300, 1 => Just(300_000)]).prop_map(
        |(meta, subject, series, extension, length)| {
            // Incompressible, so that a large one needs its room.
            let noise: String =
                (0..length).map(|n| char::from(b"bcdfghjklmnpqrstvwxz"[(n * n / 7 + n) % 20])).collect();
            json!({
                "resourceType": "ImagingStudy",
                "id": ID,
                "meta": meta,
                "status": "available",
                "subject": subject,
                "series": series,
                "description": format!("{IN_DOCUMENT} {noise}"),
                "_description": extension,
            })
        },
    )
}

pub fn case() -> impl Strategy<Value = Case> {
    let name = select(vec!["document", "etag", "lastUpdated", "subject", "parts", "resourceType", "meta"]);
    let damage = prop_oneof![
        3 => Just(Damage::None),
        1 => any::<u8>().prop_map(Damage::Cut),
        2 => any::<usize>().prop_map(Damage::Flip),
        1 => Just(Damage::Trailing),
        3 => (name.clone(), attribute()).prop_map(|(name, value)| Damage::Attribute(name, value)),
        1 => name.prop_map(Damage::Without),
        1 => (0_usize..4).prop_map(Damage::MissingPart),
        1 => Just(Damage::SwappedParts),
    ];
    let form = select(vec![Form::Text, Form::Gzip, Form::Map, Form::Flat, Form::Parts]);
    let parameters = prop_oneof![
        4 => Just(""),
        1 => select(vec!["_summary=true", "_summary=text", "_elements=id,status"]),
    ];
    (document(), form, any::<bool>(), damage, any::<bool>(), parameters).prop_map(
        |(document, form, properties, damage, gzip, parameters)| Case {
            document,
            form,
            properties,
            damage,
            gzip,
            parameters,
        },
    )
}

/// The items of a case: the study's own, then its parts.
pub fn items(case: &Case) -> Vec<Item> {
    let json = case.document.to_string();
    let mut head = key(ID);
    let mut parts = Vec::new();
    // A flat item is the resource itself, and its `subject` the resource's.
    if (case.properties && case.form != Form::Flat) || case.form == Form::Parts {
        head.insert("etag".to_owned(), AttributeValue::S("W/\"7\"".to_owned()));
        head.insert("lastUpdated".to_owned(), AttributeValue::S("2024-05-04T12:00:00Z".to_owned()));
        if let Some(reference) = case.document["subject"]["reference"].as_str() {
            head.insert("subject".to_owned(), AttributeValue::S(reference.to_owned()));
        }
    }
    let mut stored = match case.form {
        Form::Gzip | Form::Parts => gzip(&json),
        _ => json.into_bytes(),
    };
    match case.damage {
        Damage::Cut(share) => stored.truncate(stored.len() - stored.len() * usize::from(share) / 256),
        Damage::Flip(at) => {
            let at = at % stored.len();
            stored[at] ^= 0x20;
        }
        Damage::Trailing => stored.extend(b" {}"),
        _ => {}
    }
    match case.form {
        Form::Text => {
            let text = String::from_utf8_lossy(&stored).into_owned();
            head.insert("document".to_owned(), AttributeValue::S(text));
        }
        Form::Gzip => {
            head.insert("document".to_owned(), AttributeValue::B(Blob::new(stored)));
        }
        Form::Map => {
            head.insert("document".to_owned(), native(&case.document));
        }
        Form::Flat => {
            let AttributeValue::M(members) = native(&case.document) else { unreachable!("an object") };
            for (name, value) in members {
                head.entry(name).or_insert(value);
            }
        }
        Form::Parts => {
            let mut keys = Vec::new();
            for (index, chunk) in stored.chunks((stored.len() / 3).max(1)).enumerate() {
                let name = format!("{ID}#c0ffee#{index}");
                let mut part = key(&name);
                part.insert("document".to_owned(), AttributeValue::B(Blob::new(chunk)));
                parts.push(part);
                keys.push(AttributeValue::S(name));
            }
            if matches!(case.damage, Damage::SwappedParts) && keys.len() > 1 {
                keys.swap(0, 1);
            }
            head.insert("parts".to_owned(), AttributeValue::L(keys));
        }
    }
    match &case.damage {
        Damage::Attribute(name, value) => {
            head.insert((*name).to_owned(), value.clone());
        }
        Damage::Without(name) => {
            head.remove(*name);
        }
        Damage::MissingPart(index) if *index < parts.len() => {
            parts.remove(*index);
        }
        _ => {}
    }
    parts.insert(0, head);
    parts
}

/// What a reader who knows nothing of the function takes from these items: the whole document as JSON, and its bytes
/// where a form keeps them.
fn whole(items: &[Item]) -> Option<(Value, Option<Vec<u8>>)> {
    // Null is absent.
    let mut head = items[0].clone();
    head.retain(|name, value| !matches!(name.as_str(), "document" | "parts") || !value.is_null());
    let bytes = match (head.get("document"), head.get("parts")) {
        (Some(AttributeValue::S(text)), _) => text.clone().into_bytes(),
        (Some(AttributeValue::M(map)), _) => return Some((plain(&AttributeValue::M(map.clone()))?, None)),
        (Some(AttributeValue::B(_)), _) | (None, Some(AttributeValue::L(_))) => {
            inflated(&stored_gzip(items)?)?
        }
        (Some(_), _) | (None, Some(_)) => return None,
        (None, None) => {
            for own in ["siteId", "etag", "lastUpdated"] {
                head.remove(own);
            }
            return Some((plain(&AttributeValue::M(head))?, None));
        }
    };
    Some((serde_json::from_slice(&bytes).ok()?, Some(bytes)))
}

/// The subject that an item tells beside its document. An attribute counts only together with an entity tag.
fn subject_beside(head: &Item) -> Option<&String> {
    let tag = head.get("etag")?.as_s().ok()?.trim_start_matches("W/");
    let is_tag = tag.len() > 1 && tag.starts_with('"') && tag.ends_with('"') && tag.matches('"').count() == 2;
    let has_document = head.get("document").or(head.get("parts")).is_some_and(|value| !value.is_null());
    head.get("subject").filter(|_| is_tag && has_document)?.as_s().ok()
}

/// The bytes of a gzip member as they are stored, in one item or in parts.
fn stored_gzip(items: &[Item]) -> Option<Vec<u8>> {
    let bytes = |item: &Item| Some(item.get("document")?.as_b().ok()?.as_ref().to_vec());
    let gzip = match items[0].get("parts") {
        Some(AttributeValue::L(keys)) if items[0].get("document").is_none_or(AttributeValue::is_null) => {
            let parts = keys.iter().map(|key| bytes(items.iter().find(|item| item["id"] == *key)?));
            parts.collect::<Option<Vec<_>>>()?.concat()
        }
        _ => bytes(&items[0])?,
    };
    (gzip.starts_with(&[0x1f, 0x8b, 8]) && gzip.len() >= 18).then_some(gzip)
}

fn inflated(gzip: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(gzip);
    decoder.read_to_end(&mut bytes).ok()?;
    decoder.into_inner().is_empty().then_some(bytes)
}

fn key(id: &str) -> Item {
    [("siteId", SITE), ("id", id)]
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
        .into()
}

fn plain(value: &AttributeValue) -> Option<Value> {
    Some(match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(value) => (*value).into(),
        AttributeValue::N(digits) => serde_json::from_str(digits).ok()?,
        AttributeValue::S(text) => text.as_str().into(),
        AttributeValue::L(list) => list.iter().map(plain).collect::<Option<Vec<_>>>()?.into(),
        AttributeValue::M(members) => {
            let present = members.iter().filter(|(_, value)| !value.is_null());
            let members: Option<_> =
                present.map(|(name, value)| Some((name.clone(), plain(value)?))).collect();
            Value::Object(members?)
        }
        _ => return None,
    })
}

/// The event that reads the study of a case.
pub fn event(case: &Case, token: &str) -> String {
    json!({
        "version": "2.0",
        "rawPath": format!("/site/{SITE}/fhir/imaging-study/{ID}"),
        "rawQueryString": case.parameters,
        "queryStringParameters": case.parameters.split_once('=').map(|(name, value)| json!({ name: value })),
        "headers": {
            "authorization": format!("Bearer {token}"),
            "accept-encoding": if case.gzip { "gzip" } else { "identity" },
        },
        "requestContext": { "http": { "method": "GET", "path": "/" }, "stage": "$default" },
        "isBase64Encoded": false,
    })
    .to_string()
}

/// What no log line may repeat.
pub fn secrets() -> [String; 1] {
    [IN_DOCUMENT.to_owned()]
}

/// Whether the study of a case was served. Fails on what its items do not allow.
pub fn check(case: &Case, items: &[Item], exchange: Exchange) -> Result<bool, String> {
    let Exchange { payload, reason } = exchange;
    let response = payload.map_err(|_| "an error instead of a response")?;
    let whole = whole(items).filter(|(json, _)| json["resourceType"] == "ImagingStudy");
    if response["statusCode"] != 200 {
        return match &whole {
            _ if response.to_string().contains(IN_DOCUMENT) => {
                Err("an error with text of the document".to_owned())
            }
            Some(_) if matches!(case.damage, Damage::None) => {
                Err(format!("a good item is rejected: {reason}"))
            }
            _ => Ok(false),
        };
    }
    if header(&response, "etag").is_none_or(|tag| !tag.starts_with("W/\"")) {
        return Err("an entity tag that is not weak".to_owned());
    }
    served_whole(case, items, &response, whole).map(|()| true)
}

#[test]
fn a_stored_item_is_served_whole_or_rejected() {
    let runtime = Runtime::new().unwrap();
    let (table, address) =
        runtime.block_on(async { local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await });
    let environment = local::environment(&format!("http://{address}"));
    let mut function = runtime.block_on(Function::start(env!("CARGO_BIN_EXE_bootstrap"), &environment));
    let token = local::token(&local::claims());
    let (mut cases, mut served) = (0, 0);
    for_each(&runtime, case(), async |case| {
        let items = items(&case);
        // The emulator may reject what DynamoDB would reject: no reader meets such an item.
        if write(&table, items.iter().map(put)).await.is_err() {
            return Ok(());
        }
        let outcome = exchange(&mut function, event(&case, &token), &secrets()).await;
        write(&table, items.iter().map(delete)).await.unwrap();
        cases += 1;
        served += u32::from(check(&case, &items, outcome?)?);
        Ok(())
    });
    eprintln!("{cases} items, {served} served");
    assert!(served * 4 > cases, "only {served} of {cases} items were served: the grammar has rotted");
}

async fn write(
    table: &Client,
    writes: impl Iterator<Item = WriteRequest>,
) -> Result<(), aws_sdk_dynamodb::Error> {
    let call = table.batch_write_item().request_items(local::TABLE, writes.collect());
    let left = call.send().await?.unprocessed_items.unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn put(item: &Item) -> WriteRequest {
    let put = PutRequest::builder().set_item(Some(item.clone())).build().unwrap();
    WriteRequest::builder().put_request(put).build()
}

fn delete(item: &Item) -> WriteRequest {
    let mut key = item.clone();
    key.retain(|name, _| name == "siteId" || name == "id");
    let delete = DeleteRequest::builder().set_key(Some(key)).build().unwrap();
    WriteRequest::builder().delete_request(delete).build()
}

fn served_whole(
    case: &Case,
    items: &[Item],
    response: &Value,
    whole: Option<(Value, Option<Vec<u8>>)>,
) -> Result<(), String> {
    let body = response["body"].as_str().unwrap_or_default();
    let body = match response["isBase64Encoded"].as_bool() {
        Some(true) => {
            let gzip = BASE64_STANDARD.decode(body).map_err(|_| "the body is not base64")?;
            if case.parameters.is_empty() && stored_gzip(items).is_some_and(|stored| stored == gzip) {
                // As stored; the client's own check of the gzip member tells whether it is whole.
                return Ok(());
            }
            inflated(&gzip).ok_or("the body is not one whole gzip member")?
        }
        _ => body.as_bytes().to_vec(),
    };
    let (json, bytes) = whole.ok_or("served, and no reader finds a whole document")?;
    let served: Value = serde_json::from_slice(&body).map_err(|_| "the body is not JSON")?;
    if served["resourceType"] != "ImagingStudy" {
        return Err("the body is not an ImagingStudy".to_owned());
    }
    if subject_beside(&items[0])
        .is_some_and(|subject| json["subject"]["reference"].as_str().unwrap_or_default() != subject)
    {
        return Err("an open document whose subject is told in two ways".to_owned());
    }
    match (case.parameters, bytes) {
        ("", Some(bytes)) if bytes == body => Ok(()),
        ("", Some(_)) => Err("not the bytes as they are stored".to_owned()),
        ("", _) if served == json => Ok(()),
        ("", _) => Err("not the document as it is stored".to_owned()),
        _ => Ok(()),
    }
}
