//! What a principal may read: which sites, and whose studies.

use serde_json::Value;
use thiserror::Error;

use super::TokenError;
use crate::ids::{FhirId, SiteId};

/// How claims turn into access.
#[derive(Clone, Debug)]
pub struct Access {
    /// The claim that names the sites a principal may read.
    pub site_claim: ClaimPath,
    /// A claim that, with the right value, grants every site.
    pub all_sites: Option<AllSites>,
    /// Whether a token needs SMART scopes.
    pub smart_scopes: SmartScopes,
}

/// Where in the claims a value stands: the name of a claim, or else, if it begins with `/`, a JSON pointer
/// (RFC 6901). A claim that has the pointer's text for its name comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// Takes `text` unless it is empty, holds a control character, or is a pointer with a `~` that RFC 6901 §3 does
    /// not know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let broken_escape = text.starts_with('/')
            && text.split('~').skip(1).any(|after| !after.starts_with('0') && !after.starts_with('1'));
        let refused = text.is_empty() || text.chars().any(char::is_control) || broken_escape;
        (!refused).then(|| Self(text.to_owned()))
    }

    fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        let pointer = || self.0.starts_with('/').then(|| claims.pointer(&self.0))?;
        claims.get(&self.0).or_else(pointer)
    }
}

/// The claim and the value that grant every site, as in `role=ADMIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllSites {
    claim: ClaimPath,
    value: String,
}

impl AllSites {
    /// Reads `claim=value`, cut at the first `=`; neither may be empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (claim, value) = text.split_once('=')?;
        let refused = value.is_empty() || value.chars().any(char::is_control);
        (!refused).then_some(Self { claim: ClaimPath::parse(claim)?, value: value.to_owned() })
    }

    fn granted_by(&self, claims: &Value) -> bool {
        self.claim.find(claims).is_some_and(|value| texts(value).contains(&self.value))
    }
}

/// Whether a token without any SMART scope reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmartScopes {
    /// It does: only a token that carries SMART scopes is bound by them.
    Optional,
    /// It does not.
    Required,
}

/// Who asks, and what the token grants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    issuer: Option<String>,
    subject: Option<String>,
    sites: Sites,
    reads: ScopeGrant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sites {
    All,
    These(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ScopeGrant {
    Any,
    Patient(String),
    Nothing,
}

impl Principal {
    /// Reads claims that have been verified. A scope claim of a wrong type is refused rather than ignored: ignoring
    /// it would lift the restriction that it was to be.
    pub(super) fn from_claims(claims: &Value, access: &Access) -> Result<Self, TokenError> {
        let text = |name| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let sites = match &access.all_sites {
            Some(all) if all.granted_by(claims) => Sites::All,
            _ => Sites::These(access.site_claim.find(claims).map(texts).unwrap_or_default()),
        };
        let reads = granted(&scopes(claims)?, claims.get("patient"), access.smart_scopes);
        Ok(Self { issuer: text("iss"), subject: text("sub"), sites, reads })
    }

    /// The token's `iss`. `None` only where the issuer is not checked and the token names none.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The token's `sub`, if it has one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whose studies of `site` the principal may read. Scopes are judged first, so that a token whose scopes grant
    /// nothing learns nothing about sites.
    pub fn authorize(&self, site: &SiteId) -> Result<PatientFilter, AccessDenied> {
        let reach = match &self.reads {
            ScopeGrant::Any => PatientFilter::AnySubject,
            ScopeGrant::Patient(id) => PatientFilter::Patient(id.clone()),
            ScopeGrant::Nothing => return Err(AccessDenied::Scope),
        };
        match &self.sites {
            Sites::All => Ok(reach),
            Sites::These(ids) if ids.iter().any(|id| id == site.as_str()) => Ok(reach),
            Sites::These(_) => Err(AccessDenied::Site),
        }
    }
}

/// Why a principal may not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccessDenied {
    /// The token carries SMART scopes, or must, and none of them grants reading an `ImagingStudy`.
    #[error("no scope of the token grants reading an ImagingStudy")]
    Scope,
    /// The token does not grant the site.
    #[error("the token does not grant the site")]
    Site,
}

/// Whose studies a principal may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatientFilter {
    /// Anybody's.
    AnySubject,
    /// Those of the patient with this id only.
    Patient(String),
}

impl PatientFilter {
    /// Whether it takes in a study whose `subject.reference` is `reference`: `Patient/123`, or the same at the end
    /// of an absolute URL, each also with a version (`/_history/2`). A study without the reference is nobody's.
    #[must_use]
    pub fn permits(&self, reference: Option<&str>) -> bool {
        let Self::Patient(id) = self else { return true };
        let Some(reference) = reference else { return false };
        let unversioned = reference.split_once("/_history/").map_or(reference, |(before, _)| before);
        let Some(base) = unversioned.strip_suffix(id.as_str()).and_then(|r| r.strip_suffix("Patient/"))
        else {
            return false;
        };
        base.is_empty()
            || (base.ends_with('/') && (base.starts_with("https://") || base.starts_with("http://")))
    }
}

/// The ids that a claim holds: a string is one id, never split; an integer is its digits; a list is each of its
/// members. Everything else (`4.0` and `1e0` too) is no id.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    }
}

/// The token's scopes: the claim `scope`, else `scp`; a string (RFC 8693 §4.2: split at spaces) or a list of
/// strings.
fn scopes(claims: &Value) -> Result<Vec<&str>, TokenError> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.split(' ').filter(|scope| !scope.is_empty()).collect()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().ok_or(TokenError::ScopeMalformed)).collect()
        }
        Some(_) => Err(TokenError::ScopeMalformed),
    }
}

/// What SMART scopes grant (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
///
/// A token is bound as soon as one of its scopes has a SMART context for its prefix, whether or not the rest of that
/// scope can be understood. Other scopes (`openid`, `launch`, `api/read`) neither bind nor grant.
fn granted(scopes: &[&str], patient: Option<&Value>, smart: SmartScopes) -> ScopeGrant {
    let smart_scopes: Vec<_> = scopes.iter().filter_map(|scope| SmartScope::of(scope)).collect();
    if smart_scopes.is_empty() && smart == SmartScopes::Optional {
        return ScopeGrant::Any;
    }
    let reading = |context: &SmartScope| context.reads_imaging_studies();
    if smart_scopes.iter().filter(|scope| !scope.patient).any(reading) {
        return ScopeGrant::Any;
    }
    match patient.and_then(Value::as_str) {
        // A patient's id is a FHIR id as a study's is.
        Some(id) if FhirId::parse(id).is_ok() && smart_scopes.iter().any(reading) => {
            ScopeGrant::Patient(id.to_owned())
        }
        _ => ScopeGrant::Nothing,
    }
}

/// A scope with the prefix `patient/`, `user/` or `system/`.
struct SmartScope<'a> {
    patient: bool,
    rest: &'a str,
}

impl<'a> SmartScope<'a> {
    fn of(scope: &'a str) -> Option<Self> {
        let (context, rest) = scope.split_once('/')?;
        matches!(context, "patient" | "user" | "system")
            .then_some(Self { patient: context == "patient", rest })
    }

    /// `ImagingStudy` or `*`, then `.read` or `.*` (version 1) or an ordered choice of `cruds` with an `r` in it
    /// (version 2). Search does not imply read. A scope with search parameters (`?`) narrows by a condition that is
    /// not evaluated here, and so grants nothing.
    fn reads_imaging_studies(&self) -> bool {
        let Some(("ImagingStudy" | "*", permissions)) = self.rest.split_once('.') else { return false };
        matches!(permissions, "read" | "*") || (permissions.contains('r') && is_ordered_choice(permissions))
    }
}

/// Whether `permissions` are letters of `cruds`, each at most once and in that order.
fn is_ordered_choice(permissions: &str) -> bool {
    let mut letters = "cruds".chars();
    permissions.chars().all(|permission| letters.any(|letter| letter == permission))
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
        }
    }

    fn at_claim(path: &str) -> Access {
        Access { site_claim: ClaimPath::parse(path).unwrap(), ..access() }
    }

    fn all_sites(rule: &str) -> Access {
        Access { all_sites: Some(AllSites::parse(rule).unwrap()), ..access() }
    }

    fn reach(claims: &Value, access: &Access, site: &str) -> Result<PatientFilter, AccessDenied> {
        Principal::from_claims(claims, access).unwrap().authorize(&SiteId::parse(site).unwrap())
    }

    fn grants(claims: &Value, access: &Access, site: &str) -> bool {
        reach(claims, access, site) == Ok(PatientFilter::AnySubject)
    }

    fn scoped(scope: &Value) -> Result<PatientFilter, AccessDenied> {
        reach(&json!({"siteIds": "4", "scope": scope, "patient": "p-1"}), &access(), "4")
    }

    #[test]
    fn the_site_claim_grants_a_site_that_it_names_as_text() {
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
    fn a_near_miss_is_no_site() {
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
    fn a_claim_that_has_the_pointer_for_its_name_comes_first() {
        let claims = json!({"/a": "4", "a": "5", "https://example.org/sites": "6"});
        assert!(grants(&claims, &at_claim("/a"), "4"));
        assert!(!grants(&claims, &at_claim("/a"), "5"));
        assert!(grants(&claims, &at_claim("https://example.org/sites"), "6"));
    }

    #[test]
    fn a_claim_path_is_refused_when_empty_or_broken() {
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
    fn a_user_or_system_scope_that_reads_imaging_studies_reads_anybodys() {
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
    fn a_patient_scope_reads_the_patients_own() {
        for scope in ["patient/ImagingStudy.read", "patient/*.rs", "patient/*.* user/Patient.read"] {
            assert_eq!(scoped(&json!(scope)), Ok(PatientFilter::Patient("p-1".to_owned())), "{scope}");
        }
    }

    #[test]
    fn a_patient_scope_without_a_patient_grants_nothing() {
        for patient in [json!(null), json!(1), json!(""), json!("a b"), json!("Patient/p-1"), json!(["p-1"])]
        {
            let claims = json!({"siteIds": "4", "scope": "patient/*.rs", "patient": patient});
            assert_eq!(reach(&claims, &access(), "4"), Err(AccessDenied::Scope), "{patient}");
        }
        let claims = json!({"siteIds": "4", "scope": "patient/*.rs"});
        assert_eq!(reach(&claims, &access(), "4"), Err(AccessDenied::Scope));
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
            "user/ImagingStudy.r\u{2028}",
            "patient/ImagingStudy.rs?x=y",
        ] {
            assert_eq!(scoped(&json!(scope)), Err(AccessDenied::Scope), "{scope}");
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
            assert_eq!(reach(&claims, &access(), "4"), Ok(PatientFilter::AnySubject), "{scope}");
            assert_eq!(reach(&claims, &required, "4"), Err(AccessDenied::Scope), "{scope}");
        }
    }

    #[test]
    fn scopes_come_as_a_string_or_a_list_in_scope_or_else_in_scp() {
        let reading = json!("user/ImagingStudy.rs");
        let required = Access { smart_scopes: SmartScopes::Required, ..access() };
        for claims in [
            json!({"siteIds": 4, "scope": reading}),
            json!({"siteIds": 4, "scope": ["openid", reading]}),
            json!({"siteIds": 4, "scp": reading}),
            json!({"siteIds": 4, "scp": [reading]}),
        ] {
            assert_eq!(reach(&claims, &required, "4"), Ok(PatientFilter::AnySubject), "{claims}");
        }
        for claims in [
            json!({"siteIds": 4, "scope": "openid", "scp": reading}),
            json!({"siteIds": 4, "scopes": reading}),
            json!({"siteIds": 4, "scope": ["openid user/ImagingStudy.rs"]}),
        ] {
            assert_eq!(reach(&claims, &required, "4"), Err(AccessDenied::Scope), "{claims}");
        }
    }

    #[test]
    fn scopes_of_a_wrong_type_refuse_the_token() {
        for scope in [json!(null), json!(1), json!({}), json!(true), json!([1]), json!(["openid", null])] {
            for name in ["scope", "scp"] {
                let refused = Principal::from_claims(&json!({name: scope}), &access());
                assert_eq!(refused, Err(TokenError::ScopeMalformed), "{name} {scope}");
            }
        }
    }

    #[test]
    fn scopes_are_judged_before_sites() {
        let claims = json!({"siteIds": "4", "scope": "user/Patient.read"});
        assert_eq!(reach(&claims, &access(), "5"), Err(AccessDenied::Scope));
        assert_eq!(reach(&json!({"siteIds": "4"}), &access(), "5"), Err(AccessDenied::Site));
    }

    #[test]
    fn a_patient_reads_studies_whose_subject_is_that_patient() {
        let own = PatientFilter::Patient("123".to_owned());
        for reference in [
            "Patient/123",
            "Patient/123/_history/2",
            "https://example.org/fhir/Patient/123",
            "http://example.org/Patient/123/_history/1",
        ] {
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
            "Patient/123/",
            "Patient/123#a",
            "Patient/123?a",
            "#Patient/123",
            "urn:uuid:123",
            "ftp://example.org/Patient/123",
            "https://example.org/xPatient/123",
        ] {
            assert!(!own.permits(Some(reference)), "{reference}");
        }
        assert!(!own.permits(None));
        assert!(
            PatientFilter::AnySubject.permits(None) && PatientFilter::AnySubject.permits(Some("Group/1"))
        );
    }
}
