//! Native attributes as JSON.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::value::RawValue;

use crate::attribute::Item;
use crate::error::DocumentError;

/// Native attributes as a JSON object: `resourceType` first, the others by name, so that equal items give equal bytes.
pub(crate) fn to_json(map: &Item) -> Result<String, DocumentError> {
    let mut json = Vec::with_capacity(4096);
    write_object(&mut json, map)?;
    String::from_utf8(json).map_err(|_| DocumentError::Utf8)
}

fn write_object(json: &mut Vec<u8>, map: &Item) -> Result<(), DocumentError> {
    // A null attribute counts as absent. In a list it stays: FHIR aligns lists by position (FHIR R4 json.html#primitive).
    let mut members: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
    members.sort_unstable_by_key(|&(name, _)| (name != "resourceType", name));
    json.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_string(json, name)?;
        json.push(b':');
        write_value(json, value)?;
    }
    json.push(b'}');
    Ok(())
}

/// The recursion is bounded: DynamoDB nests values at most 32 levels deep.
fn write_value(json: &mut Vec<u8>, value: &AttributeValue) -> Result<(), DocumentError> {
    match value {
        AttributeValue::S(text) => write_string(json, text)?,
        AttributeValue::N(digits) if is_json_number(digits) => json.extend_from_slice(digits.as_bytes()),
        AttributeValue::Bool(true) => json.extend_from_slice(b"true"),
        AttributeValue::Bool(false) => json.extend_from_slice(b"false"),
        AttributeValue::Null(_) => json.extend_from_slice(b"null"),
        AttributeValue::M(map) => write_object(json, map)?,
        AttributeValue::L(items) => {
            json.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_value(json, item)?;
            }
            json.push(b']');
        }
        _ => return Err(DocumentError::NotJson),
    }
    Ok(())
}

fn write_string(json: &mut Vec<u8>, text: &str) -> Result<(), DocumentError> {
    serde_json::to_writer(json, text).map_err(|_| DocumentError::NotJson)
}

/// Whether DynamoDB's digits are a number in JSON as well (RFC 8259 §6): they are copied, not converted.
fn is_json_number(digits: &str) -> bool {
    serde_json::from_str::<&RawValue>(digits).is_ok_and(|raw| raw.get() == digits)
        && digits.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}
