//! The `CapabilityStatement`: what the service can do, and who issues its tokens (FHIR R4
//! capabilitystatement.html).

use lambda_http::http::header::CACHE_CONTROL;
use lambda_http::{Body, Request, Response};
use serde_json::json;
use table::document::{Document, Properties, digest_tag};

use super::error::ApiError;
use super::reply::PUBLIC;
use super::route::{RequestPath, parent_url};
use super::smart_configuration::SmartConfiguration;
use super::study::{ResponseOptions, respond};
use super::subset::Subset;

/// The code system of what secures a FHIR service.
const SERVICES: &str = "http://terminology.hl7.org/CodeSystem/restful-security-service";

/// Change `date` along with anything else.
const TEMPLATE: &str = r#"{
  "resourceType": "CapabilityStatement",
  "status": "active",
  "date": "2026-11-26",
  "kind": "instance",
  "software": { "name": "imaging-study", "version": {version} },
  "implementation": { "description": "FHIR R4 ImagingStudy resources, read by id"{url} },
  "fhirVersion": "4.0.1",
  "format": ["application/fhir+json", "application/json"],
  "rest": [
    {
      "mode": "server",
      "security": {security},
      "resource": [
        {
          "type": "ImagingStudy",
          "profile": "http://hl7.org/fhir/StructureDefinition/ImagingStudy",
          "interaction": [{ "code": "read" }],
          "versioning": "versioned",
          "readHistory": false,
          "updateCreate": false,
          "conditionalCreate": false,
          "conditionalRead": "full-support",
          "conditionalUpdate": false,
          "conditionalDelete": "not-supported"
        }
      ]
    }
  ]
}"#;

/// The response to `metadata`. The statement is whole, whatever `_summary` and `_elements` say: servers may ignore them (FHIR R4
/// search.html#summary).
pub(crate) fn metadata(
    issuer: Option<&str>,
    smart: Option<&SmartConfiguration>,
    request: &Request,
    path: &RequestPath<'_>,
) -> Result<Response<Body>, ApiError> {
    path.site()?;
    let default = path.route.default_media();
    let options = ResponseOptions { subset: Subset::Whole, ..ResponseOptions::of(request, default)? };
    let text = statement(issuer, smart, parent_url(request).as_deref());
    let properties = Properties::of_tag(digest_tag(&text));
    let mut response = respond(request, Document::Text(text), &properties, &options)?;
    response.headers_mut().insert(CACHE_CONTROL, PUBLIC);
    Ok(response)
}

/// A statement that names the issuer if it is a URL, where a client can find out how to get a token, what the SMART
/// configuration names, and the URL that the client used.
fn statement(issuer: Option<&str>, smart: Option<&SmartConfiguration>, base_url: Option<&str>) -> String {
    let service = if smart.is_some() { "SMART-on-FHIR" } else { "OAuth" };
    let description = match issuer.filter(|issuer| issuer.starts_with("https://")) {
        Some(issuer) => format!("Send a JWT bearer token issued by {issuer}"),
        None => "Send a JWT bearer token".to_owned(),
    };
    let mut security = json!({
        "service": [{ "coding": [{ "system": SERVICES, "code": service, "display": service }] }],
        "description": description,
    });
    if let Some(uris) = smart.and_then(SmartConfiguration::oauth_uris) {
        security["extension"] = json!([uris]);
    }
    let text: String = TEMPLATE.lines().map(str::trim_start).collect();
    let text = text.replace("{version}", &json!(env!("CARGO_PKG_VERSION")).to_string());
    let url = base_url.map_or_else(String::new, |url| format!(", \"url\": {}", json!(url)));
    // What the client sent is put in last, so that nothing in it is replaced.
    text.replace("{security}", &security.to_string()).replacen("{url}", &url, 1)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn statement(issuer: Option<&str>, base_url: Option<&str>) -> Value {
        serde_json::from_str(&super::statement(issuer, None, base_url)).unwrap()
    }

    #[test]
    fn the_statement_has_what_r4_requires_of_an_instance() {
        let statement =
            statement(Some("https://issuer.example"), Some("https://api.example.com/site/4/fhir"));
        // cpb-14: an instance has an implementation; cpb-1 and cpb-2 hold with rest and software.
        assert_eq!(statement["kind"], "instance");
        assert_eq!(statement["implementation"]["url"], "https://api.example.com/site/4/fhir");
        assert!(statement["implementation"]["description"].is_string());
        assert_eq!(statement["software"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(statement["fhirVersion"], "4.0.1");
        for required in ["status", "date", "format"] {
            assert!(!statement[required].is_null(), "{required}");
        }
        let rest = &statement["rest"][0];
        assert_eq!(rest["security"]["service"][0]["coding"][0]["code"], "OAuth");
        assert_eq!(
            rest["security"]["description"],
            "Send a JWT bearer token issued by https://issuer.example"
        );
        assert_eq!(rest["resource"][0]["interaction"], json!([{ "code": "read" }]));
        assert!(rest["resource"][0]["searchParam"].is_null() && statement["patchFormat"].is_null());
    }

    #[test]
    fn an_issuer_that_is_not_a_url_is_not_named() {
        for issuer in [None, Some("my-issuer")] {
            let statement = statement(issuer, None);
            assert_eq!(statement["rest"][0]["security"]["description"], "Send a JWT bearer token");
        }
    }

    #[test]
    fn without_a_host_there_is_no_url() {
        assert!(statement(None, None)["implementation"]["url"].is_null());
    }
}
