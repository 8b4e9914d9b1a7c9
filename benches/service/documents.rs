//! The documents that are read, each in every form that an item has room for.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use table::attribute;
use table::id::{FhirId, SiteId};
use table::read::StoredForm;

use crate::Outcome;

const SIZES: [u32; 3] = [10, 1_000, 10_000];
const FORMS: [StoredForm; 3] = [StoredForm::Gzip, StoredForm::Text, StoredForm::Map];
const INSTANCES_PER_SERIES: u32 = 250;

/// A stored document.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    /// The id under which it stands in the table.
    pub(crate) id: String,
    /// How many instances it lists.
    pub(crate) instances: u32,
    /// The form in which it is stored.
    #[serde(serialize_with = "code")]
    pub(crate) form: StoredForm,
    /// The bytes of its JSON.
    pub(crate) json_bytes: u32,
    /// The bytes of it as it is stored; `None` for a map, which has no one length.
    pub(crate) stored_bytes: Option<u32>,
    /// Whether an item has room for it; it is not in the table otherwise.
    pub(crate) fits: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn code<S: Serializer>(form: &StoredForm, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(form.code())
}

/// Puts a document of every size into the table, in every form that fits.
pub(crate) async fn store(table: &Client) -> Outcome<Vec<Document>> {
    let mut documents = Vec::new();
    for instances in SIZES {
        for form in FORMS {
            let id = format!("{}-{instances}", form.code());
            let study = study(&id, instances);
            let json = study.to_string();
            let json_bytes = u32::try_from(json.len())?;
            // The attributes beside the document are those that the service writes; the form is chosen here.
            let mut item =
                table::write::encode(&SiteId::parse(local::SITE)?, &FhirId::parse(&id)?, &json)?.head;
            let (value, stored_bytes) = match form {
                StoredForm::Gzip | StoredForm::Parts => {
                    let gzip = testkit::gzip(&json);
                    let bytes = u32::try_from(gzip.len())?;
                    (testkit::binary(gzip), Some(bytes))
                }
                StoredForm::Text => (AttributeValue::S(json), Some(json_bytes)),
                StoredForm::Map | StoredForm::Flat => (testkit::native(&study), None),
            };
            item.insert(attribute::DOCUMENT.to_owned(), value);
            let put = table.put_item().table_name(local::TABLE).set_item(Some(item)).send().await;
            let fits = match put.map_err(aws_sdk_dynamodb::Error::from) {
                Ok(_) => true,
                Err(error) if error.message().is_some_and(|text| text.starts_with("Item size")) => false,
                Err(error) => return Err(error.into()),
            };
            documents.push(Document { id, instances, form, json_bytes, stored_bytes, fits });
        }
    }
    Ok(documents)
}

/// A cone beam CT of this many instances, some 170 bytes each: UIDs of a device's root, a series, and 19 digits that do
/// not compress.
fn study(id: &str, instances: u32) -> Value {
    let coding = |system: &str, code: &str| json!({ "system": system, "code": code });
    let modality = coding("http://dicom.nema.org/resources/ontology/DCM", "CT");
    // 19 digits.
    let mut random = fastrand::Rng::with_seed(instances.into());
    let mut digits = || random.u64(1_000_000_000_000_000_000..10_000_000_000_000_000_000);
    let mut series = Vec::new();
    for first in (1..=instances).step_by(INSTANCES_PER_SERIES as usize) {
        let uid = format!("1.2.826.0.1.3680043.2.1125.{}", digits());
        let last = instances.min(first + INSTANCES_PER_SERIES - 1);
        let listed: Vec<Value> = (first..=last)
            .map(|number| {
                json!({
                    "uid": format!("{}.{}", &uid[..uid.len() - 5], digits()),
                    "sopClass": coding("urn:ietf:rfc:3986", "urn:oid:1.2.840.10008.5.1.4.1.1.2"),
                    "number": number,
                })
            })
            .collect();
        series.push(json!({
            "uid": uid,
            "number": first / INSTANCES_PER_SERIES + 1,
            "modality": modality,
            "numberOfInstances": listed.len(),
            "instance": listed,
        }));
    }
    json!({
        "resourceType": "ImagingStudy",
        "id": id,
        "meta": { "versionId": "1", "lastUpdated": "2026-04-11T15:20:03Z" },
        "status": "available",
        "modality": [modality],
        "subject": { "reference": "Patient/example-1" },
        "started": "2026-04-11T15:12:44Z",
        "numberOfSeries": series.len(),
        "numberOfInstances": instances,
        "description": "Cone beam CT of the mandible",
        "series": series,
    })
}
