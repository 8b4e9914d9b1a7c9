//! Authorization: which sites a principal may read, and whose studies.

use std::sync::Arc;

use serde_json::Value;
use table::id::{FhirId, SiteId};
use thiserror::Error;

use super::claim::{AllSites, ClaimPath, texts};
use super::error::TokenError;
use super::patient::{BaseUrl, PatientFilter};
use super::scope::{SmartScope, SmartScopes, scopes};

/// How claims grant access.
#[derive(Clone, Debug)]
pub struct Access {
    /// The claim that names the sites a principal may read.
    pub site_claim: ClaimPath,
    /// A claim that, with the right value, grants every site.
    pub all_sites: Option<AllSites>,
    /// Whether a token needs SMART scopes.
    pub smart_scopes: SmartScopes,
    /// The FHIR servers whose patients are this service's patients.
    pub subject_base_urls: Arc<[BaseUrl]>,
}

/// The caller, and what the token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    issuer: Option<String>,
    subject: Option<String>,
    sites: Sites,
    grant: ScopeGrant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sites {
    All,
    These(Vec<String>),
}

/// What the scopes of a token grant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ScopeGrant {
    Read(PatientFilter),
    Nothing,
}

impl Principal {
    /// Reads verified claims. A scope claim of a wrong type is an error: ignoring it would lift the restriction that it is
    /// meant to be.
    pub(super) fn from_claims(claims: &Value, access: &Access) -> Result<Self, TokenError> {
        let text = |name| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let sites = match &access.all_sites {
            Some(all) if all.granted_by(claims) => Sites::All,
            _ => Sites::These(access.site_claim.find(claims).map(texts).unwrap_or_default()),
        };
        let grant = scope_grant(&scopes(claims)?, claims.get("patient"), access);
        Ok(Self { issuer: text("iss"), subject: text("sub"), sites, grant })
    }

    /// The token's `iss`. `None` only if the issuer is not checked and the token has none.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The token's `sub`, if it has one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whose studies of `site` the principal may read. Scopes are checked first, so that a token whose scopes grant nothing
    /// learns nothing about sites.
    pub fn authorize(&self, site: &SiteId) -> Result<PatientFilter, Forbidden> {
        let ScopeGrant::Read(patients) = &self.grant else { return Err(Forbidden::Scope) };
        match &self.sites {
            Sites::These(ids) if !ids.iter().any(|id| id == site.as_str()) => Err(Forbidden::Site),
            Sites::These(_) | Sites::All => Ok(patients.clone()),
        }
    }
}

/// Why a principal may not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// The token carries SMART scopes, or must, and none of them grants reading an `ImagingStudy`.
    #[error("no scope of the token grants reading an ImagingStudy")]
    Scope,
    /// The token does not grant the site.
    #[error("the token does not grant the site")]
    Site,
}

/// What SMART scopes grant (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
///
/// A token is bound as soon as one of its scopes begins with a SMART context, whether or not the rest of that scope is
/// understood. Other scopes (`openid`, `launch`, `api/read`) neither bind nor grant.
fn scope_grant(scopes: &[&str], patient: Option<&Value>, access: &Access) -> ScopeGrant {
    let any_subject = ScopeGrant::Read(PatientFilter::AnySubject);
    let smart_scopes: Vec<_> = scopes.iter().filter_map(|scope| SmartScope::parse(scope)).collect();
    if smart_scopes.is_empty() && access.smart_scopes == SmartScopes::Optional {
        return any_subject;
    }
    let reading: Vec<_> = smart_scopes.iter().filter(|scope| scope.reads_imaging_studies()).collect();
    if reading.iter().any(|scope| !scope.is_patient) {
        return any_subject;
    }
    match patient.and_then(|id| FhirId::parse(id.as_str()?).ok()) {
        Some(id) if !reading.is_empty() => {
            ScopeGrant::Read(PatientFilter::Patient { id, base_urls: Arc::clone(&access.subject_base_urls) })
        }
        _ => ScopeGrant::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access() -> Access {
        Access {
            site_claim: ClaimPath::parse("siteIds").unwrap(),
            all_sites: None,
            smart_scopes: SmartScopes::Optional,
            subject_base_urls: Arc::new([]),
        }
    }

    fn patient(id: &str, base_urls: &[&str]) -> PatientFilter {
        let base_urls = base_urls.iter().map(|url| BaseUrl::parse(url).expect(url)).collect();
        PatientFilter::Patient { id: FhirId::parse(id).unwrap(), base_urls }
    }

    fn at_claim(path: &str) -> Access {
        Access { site_claim: ClaimPath::parse(path).unwrap(), ..access() }
    }

    fn all_sites(rule: &str) -> Access {
        Access { all_sites: Some(AllSites::parse(rule).unwrap()), ..access() }
    }

    fn authorize(claims: &Value, access: &Access, site: &str) -> Result<PatientFilter, Forbidden> {
        Principal::from_claims(claims, access).unwrap().authorize(&SiteId::parse(site).unwrap())
    }

    fn grants(claims: &Value, access: &Access, site: &str) -> bool {
        authorize(claims, access, site) == Ok(PatientFilter::AnySubject)
    }

    fn scoped(scope: &Value) -> Result<PatientFilter, Forbidden> {
        authorize(&json!({"siteIds": "4", "scope": scope, "patient": "p-1"}), &access(), "4")
    }

    #[test]
    fn the_site_claim_grants_the_sites_that_it_names() {
        for (claim, site) in [
            (json!("4"), "4"),
            (json!(4), "4"),
            (json!(-4), "-4"),
            (json!(0), "0"),
            (json!(18_446_744_073_709_551_615_u64), "18446744073709551615"),
            (json!(["4"]), "4"),
            (json!([3, 4, "5"]), "5"),
            (json!([3, null, {"a": 4}, [4], 4]), "4"),
            (json!("North.Clinic_1~a"), "North.Clinic_1~a"),
        ] {
            assert!(grants(&json!({"siteIds": claim}), &access(), site), "{claim} {site}");
        }
    }

    #[test]
    fn a_similar_id_is_another_site() {
        for (claim, site) in [
            ("4", "40"),
            ("40", "4"),
            ("4", "04"),
            ("04", "4"),
            ("4 5", "4"),
            ("4,5", "4"),
            (" 4", "4"),
            ("4\n", "4"),
            ("a", "A"),
            ("A", "a"),
            ("%34", "4"),
            ("４", "4"),
            ("*", "4"),
            ("", "4"),
            ("[\"4\"]", "4"),
            ("4\u{0}", "4"),
        ] {
            assert!(!grants(&json!({"siteIds": claim}), &access(), site), "{claim:?} {site}");
            assert!(!grants(&json!({"siteIds": [claim]}), &access(), site), "[{claim:?}] {site}");
        }
    }

    #[test]
    fn a_number_is_compared_by_its_digits() {
        for text in ["4.0", "4e0", "40e-1", "4.5", "-0", "18446744073709551616"] {
            let claim: Value = serde_json::from_str(text).unwrap();
            for site in ["4", "4.0", "4.5", "0", "-0", "18446744073709551616", "18446744073709552000"] {
                assert!(!grants(&json!({"siteIds": claim}), &access(), site), "{text} {site}");
            }
        }
    }

    #[test]
    fn a_site_claim_of_another_type_grants_nothing() {
        for claim in
            [json!(null), json!(true), json!({"4": true}), json!({"id": "4"}), json!([["4"]]), json!([])]
        {
            assert!(!grants(&json!({"siteIds": claim}), &access(), "4"), "{claim}");
        }
        assert!(!grants(&json!({}), &access(), "4"));
        assert!(!grants(&json!({"siteids": "4", "sites": "4"}), &access(), "4"));
    }

    #[test]
    fn a_pointer_reaches_into_the_claims() {
        let claims = json!({"app": {"a/b": {"m~n": [{"site": "4"}]}}, "roles": ["x", "5"]});
        assert!(grants(&claims, &at_claim("/app/a~1b/m~0n/0/site"), "4"));
        assert!(grants(&claims, &at_claim("/roles/1"), "5"));
        assert!(grants(&claims, &at_claim("/roles"), "x"));
        for path in ["/app", "/app/a/b", "/roles/2", "/roles/01", "/roles/-", "/", "app/a~1b"] {
            assert!(!grants(&claims, &at_claim(path), "4"), "{path}");
        }
    }

    #[test]
    fn a_claim_whose_name_is_the_pointer_takes_precedence() {
        let claims = json!({"/a": "4", "a": "5", "https://example.org/sites": "6"});
        assert!(grants(&claims, &at_claim("/a"), "4"));
        assert!(!grants(&claims, &at_claim("/a"), "5"));
        assert!(grants(&claims, &at_claim("https://example.org/sites"), "6"));
    }

    #[test]
    fn an_empty_or_invalid_claim_path_is_rejected() {
        for text in ["", "a\n", "/a~", "/a~2b", "/~~0"] {
            assert_eq!(ClaimPath::parse(text), None, "{text:?}");
        }
        assert!(ClaimPath::parse("a~b").is_some());
        assert!(ClaimPath::parse("/a~0~1b").is_some());
    }

    #[test]
    fn every_site_is_granted_by_the_configured_value_only() {
        let rule = all_sites("role=ADMIN");
        for role in [json!("ADMIN"), json!(["USER", "ADMIN"])] {
            assert!(grants(&json!({"role": role}), &rule, "9"), "{role}");
            assert!(!grants(&json!({"role": role}), &access(), "9"), "{role}");
        }
        for role in [
            json!("admin"),
            json!("ADMINS"),
            json!("USER ADMIN"),
            json!(true),
            json!({"ADMIN": 1}),
            json!(null),
        ] {
            assert!(!grants(&json!({"role": role}), &rule, "9"), "{role}");
        }
        assert!(grants(&json!({"realm": {"level": 7}}), &all_sites("/realm/level=7"), "9"));
        assert!(!grants(&json!({"realm": {"level": 7.0}}), &all_sites("/realm/level=7"), "9"));
        assert!(grants(&json!({"a": "b=c"}), &all_sites("a=b=c"), "9"));
        assert!(grants(&json!({"siteIds": "4"}), &rule, "4"));
    }

    #[test]
    fn a_rule_for_all_sites_needs_a_claim_and_a_value() {
        for text in ["", "role", "=ADMIN", "role=", "role=\n", "/a~=b"] {
            assert_eq!(AllSites::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_user_or_system_scope_reads_everyones_studies() {
        for scope in [
            "user/ImagingStudy.read",
            "user/*.read",
            "user/ImagingStudy.*",
            "system/*.*",
            "system/ImagingStudy.r",
            "system/ImagingStudy.rs",
            "user/*.cruds",
            "user/*.cr",
            "user/*.rd",
            "openid user/Patient.read user/ImagingStudy.r",
            "user/ImagingStudy.s  user/ImagingStudy.r",
            "patient/ImagingStudy.rs user/ImagingStudy.rs",
        ] {
            assert_eq!(scoped(&json!(scope)), Ok(PatientFilter::AnySubject), "{scope}");
        }
    }

    #[test]
    fn a_patient_scope_reads_the_patients_studies() {
        for scope in ["patient/ImagingStudy.read", "patient/*.rs", "patient/*.* user/Patient.read"] {
            assert_eq!(scoped(&json!(scope)), Ok(patient("p-1", &[])), "{scope}");
        }
    }

    #[test]
    fn a_patient_scope_without_a_patient_grants_nothing() {
        for patient in [json!(null), json!(1), json!(""), json!("a b"), json!("Patient/p-1"), json!(["p-1"])]
        {
            let claims = json!({"siteIds": "4", "scope": "patient/*.rs", "patient": patient});
            assert_eq!(authorize(&claims, &access(), "4"), Err(Forbidden::Scope), "{patient}");
        }
        let claims = json!({"siteIds": "4", "scope": "patient/*.rs"});
        assert_eq!(authorize(&claims, &access(), "4"), Err(Forbidden::Scope));
    }

    #[test]
    fn a_scope_that_does_not_read_imaging_studies_grants_nothing() {
        for scope in [
            "user/Patient.read",
            "user/ImagingStudy.write",
            "user/ImagingStudy.s",
            "user/ImagingStudy.cuds",
            "user/ImagingStudy.dus",
            "user/ImagingStudy.sr",
            "user/ImagingStudy.rr",
            "user/ImagingStudy.",
            "user/ImagingStudy",
            "user/ImagingStudy.R",
            "user/ImagingStudy.reads",
            "user/ImagingStudy.Read",
            "user/ImagingStudy.rs?status=available",
            "user/ImagingStudy.rs?",
            "user/ImagingStudy.read?x=y",
            "user/ImagingStudy.*?x=y",
            "user/imagingstudy.read",
            "user/ImagingStudyX.read",
            "user/XImagingStudy.read",
            "user/*ImagingStudy.read",
            "user/ImagingStudy.read.read",
            "user/ImagingStudy.rs,user/ImagingStudy.rs",
            "user//ImagingStudy.rs",
            "user/ImagingStudy/rs",
            "user/",
            "user/.rs",
            "user/*",
            "user/%2A.rs",
            "patient/ImagingStudy.rs?x=y",
        ] {
            assert_eq!(scoped(&json!(scope)), Err(Forbidden::Scope), "{scope}");
        }
    }

    #[test]
    fn scopes_of_other_kinds_neither_bind_nor_grant() {
        for scope in [
            "openid launch/patient",
            "api/read",
            "users/ImagingStudy.read",
            "User/ImagingStudy.read",
            "*",
            "",
        ] {
            let claims = json!({"siteIds": "4", "scope": scope});
            let required = Access { smart_scopes: SmartScopes::Required, ..access() };
            assert_eq!(authorize(&claims, &access(), "4"), Ok(PatientFilter::AnySubject), "{scope}");
            assert_eq!(authorize(&claims, &required, "4"), Err(Forbidden::Scope), "{scope}");
        }
    }

    #[test]
    fn scopes_are_those_of_both_claims_with_every_string_split_at_spaces() {
        let reading = json!("user/ImagingStudy.rs");
        let required = Access { smart_scopes: SmartScopes::Required, ..access() };
        for claims in [
            json!({"siteIds": 4, "scope": reading}),
            json!({"siteIds": 4, "scope": ["openid", reading]}),
            json!({"siteIds": 4, "scp": reading}),
            json!({"siteIds": 4, "scp": [reading]}),
            json!({"siteIds": 4, "scope": "openid", "scp": reading}),
            json!({"siteIds": 4, "scope": [], "scp": ["openid  user/ImagingStudy.rs "]}),
        ] {
            assert_eq!(authorize(&claims, &required, "4"), Ok(PatientFilter::AnySubject), "{claims}");
        }
        let elsewhere = json!({"siteIds": 4, "scopes": reading});
        assert_eq!(authorize(&elsewhere, &required, "4"), Err(Forbidden::Scope));
    }

    #[test]
    fn scopes_with_another_separator_are_an_error() {
        for separator in ["\t", "\n", "\u{a0}", "\u{2028}", "\0"] {
            let scope = format!("openid{separator}patient/ImagingStudy.rs");
            let principal = Principal::from_claims(&json!({"scope": scope}), &access());
            assert_eq!(principal, Err(TokenError::ScopeMalformed), "{separator:?}");
        }
    }

    #[test]
    fn scopes_of_a_wrong_type_are_an_error() {
        for scope in [json!(null), json!(1), json!({}), json!(true), json!([1]), json!(["openid", null])] {
            for name in ["scope", "scp"] {
                let principal = Principal::from_claims(&json!({name: scope}), &access());
                assert_eq!(principal, Err(TokenError::ScopeMalformed), "{name} {scope}");
            }
        }
    }

    #[test]
    fn scopes_are_checked_before_sites() {
        let claims = json!({"siteIds": "4", "scope": "user/Patient.read"});
        assert_eq!(authorize(&claims, &access(), "5"), Err(Forbidden::Scope));
        assert_eq!(authorize(&json!({"siteIds": "4"}), &access(), "5"), Err(Forbidden::Site));
    }

    #[test]
    fn a_patient_reads_studies_with_a_relative_reference_to_that_patient() {
        let own = patient("123", &[]);
        for reference in ["Patient/123", "Patient/123/_history/2"] {
            assert!(own.permits(Some(reference)), "{reference}");
        }
        for reference in [
            "",
            "123",
            "Patient/1234",
            "Patient/0123",
            "patient/123",
            "Group/123",
            "xPatient/123",
            "x/Patient/123",
            "/Patient/123",
            "//Patient/123",
            "Patient/123/",
            "Patient/123/_history/",
            "Patient/123/_history/1/_history/2",
            "Patient/123/_history/1/..",
            "Patient/123#a",
            "Patient/123?a",
            "#Patient/123",
            "urn:uuid:123",
            "https://example.org/fhir/Patient/123",
            "ftp://example.org/Patient/123",
        ] {
            assert!(!own.permits(Some(reference)), "{reference}");
        }
        assert!(!own.permits(None));
        assert!(
            PatientFilter::AnySubject.permits(None) && PatientFilter::AnySubject.permits(Some("Group/1"))
        );
    }

    #[test]
    fn a_patient_reads_studies_with_a_reference_below_a_base_url() {
        let own =
            patient("123", &["https://fhir.example/r4/", "http://[::1]:8080", "https://a.example:8443/x"]);
        for reference in [
            "Patient/123",
            "https://fhir.example/r4/Patient/123",
            "https://fhir.example/r4/Patient/123/_history/2",
            "HTTPS://FHIR.example/r4/Patient/123",
            "https://fhir.example:443/r4/Patient/123",
            "http://[::1]:8080/Patient/123",
            "https://a.example:8443/x/Patient/123",
        ] {
            assert!(own.permits(Some(reference)), "{reference}");
        }
        for reference in [
            "https://fhir.example/r4/Patient/1234",
            "https://fhir.example/r4/Patient/123/_history/",
            "https://fhir.example/r4Patient/123",
            "https://fhir.example/r4b/Patient/123",
            "https://fhir.example/R4/Patient/123",
            "https://fhir.example/r4//Patient/123",
            "https://fhir.example/r4/x/Patient/123",
            "https://fhir.example/r4/../r4/Patient/123",
            "https://fhir.example/%72%34/Patient/123",
            "https://fhir.example/Patient/123",
            "https://fhir.example.evil.example/r4/Patient/123",
            "https://fhir.example@evil.example/r4/Patient/123",
            "https://evil.example/https://fhir.example/r4/Patient/123",
            "https://evil.example/?https://fhir.example/r4/Patient/123",
            "https://evil.example/#https://fhir.example/r4/Patient/123",
            "https://fhir.example/r4?/Patient/123",
            "http://fhir.example/r4/Patient/123",
            "http://fhir.example:443/r4/Patient/123",
            "https://fhir.example:8443/r4/Patient/123",
            "https://fhir.example:99999/r4/Patient/123",
            "https://fhir.example:+443/r4/Patient/123",
            "fhir.example/r4/Patient/123",
            "//fhir.example/r4/Patient/123",
            "https://a.example/x/Patient/123",
        ] {
            assert!(!own.permits(Some(reference)), "{reference}");
        }
    }

    #[test]
    fn a_base_url_is_absolute_and_plain() {
        for url in [
            "",
            "/fhir",
            "fhir.example",
            "https://:443/fhir",
            "ftp://fhir.example",
            "https://",
            "https:///x",
            "https://u@fhir.example",
            "https://fhir.example/?a",
            "https://fhir.example/#a",
            "https://fhir.example:x/",
            "https://a b/",
        ] {
            assert_eq!(BaseUrl::parse(url), None, "{url}");
        }
    }
}
