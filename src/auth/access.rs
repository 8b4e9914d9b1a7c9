//! Authorization: which sites a principal may read, and whose studies.

use std::sync::Arc;

use serde_json::Value;
use strum::{EnumIter, IntoStaticStr};
use table::id::{FhirId, SiteId};
use table::subject::{BaseUrl, Reference};
use thiserror::Error;

use super::claim::{AllSites, ClaimPath, texts};
use super::error::TokenError;
use super::patient::PatientFilter;
use super::scope::{ScopeContext, ScopeRules, Scopes};

/// How claims grant access.
#[derive(Clone, Debug)]
pub struct Access {
    /// The claim that names the sites a principal may read.
    pub site_claim: ClaimPath,
    /// A claim that, with the right value, grants every site.
    pub all_sites: Option<AllSites>,
    /// The only sites that tokens may grant, whatever they claim; `None` for every site.
    pub only_sites: Option<Vec<SiteId>>,
    /// Which scopes count.
    pub scopes: ScopeRules,
    /// The claim that names the patient.
    pub patient_claim: ClaimPath,
    /// The claim that names the user's own resource.
    pub fhir_user_claim: ClaimPath,
    /// The claim that names who reads, for the audit line.
    pub subject_claim: ClaimPath,
    /// Whether a token without that claim is rejected.
    pub requires_subject: bool,
    /// The FHIR servers whose patients are this service's patients.
    pub subject_base_urls: Arc<[BaseUrl]>,
}

/// The claims that name the client, by issuer (RFC 9068 §2.2, OpenID Connect, Okta, Microsoft Entra ID).
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

/// The caller, and what the token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    issuer: Option<String>,
    subject: Option<String>,
    client: Option<String>,
    sites: Result<Sites, Forbidden>,
    patients: Result<PatientFilter, Forbidden>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sites {
    All,
    These(Vec<String>),
}

impl Principal {
    /// Reads verified claims. Fails if the scopes cannot be read, or if the subject is not a string, or missing and required.
    pub(super) fn from_claims(claims: &Value, access: &Access) -> Result<Self, TokenError> {
        let text = |name| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let patients = access.patients(&Scopes::of(claims, &access.scopes)?, claims);
        Ok(Self {
            issuer: text("iss").map(str::to_owned),
            subject: access.subject(claims)?,
            client: CLIENT_CLAIMS.into_iter().find_map(text).map(str::to_owned),
            sites: access.sites(claims),
            patients,
        })
    }

    /// The token's `iss`. `None` only if the issuer is not checked, or is the one for tokens without.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The client that the token was issued to, if it says so.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Who reads, by the configured claim, if the token has it.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whose studies of `site` the principal may read. Scopes are checked first, so that a token whose scopes grant nothing
    /// learns nothing about sites.
    pub fn authorize(&self, site: &SiteId) -> Result<PatientFilter, Forbidden> {
        let patients = self.patients.as_ref().map_err(|&forbidden| forbidden)?;
        match self.sites.as_ref().map_err(|&forbidden| forbidden)? {
            Sites::These(ids) if !ids.iter().any(|id| id == site.as_str()) => Err(Forbidden::SiteNotGranted),
            Sites::These(_) | Sites::All => Ok(patients.clone()),
        }
    }
}

/// Why a principal may not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, Error, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[error("{}", self.code())]
pub enum Forbidden {
    /// The token is bound by its scopes, or must be, and none of them grants reading an `ImagingStudy`.
    ScopeInsufficient,
    /// A `patient/` scope grants the read, and the token names no patient.
    PatientMissing,
    /// The patient claim is not an id, `Patient/{id}`, or the URL of a patient of this service.
    PatientMalformed,
    /// The study is about somebody else, or the token names two patients where both restrict it.
    PatientNotGranted,
    /// `fhirUser` is neither a practitioner nor a patient of this service.
    FhirUserNotGranted,
    /// The token has no site claim.
    SiteClaimMissing,
    /// The site claim is neither a string, an integer nor a list of these.
    SiteClaimMalformed,
    /// The site claim names other sites.
    SiteNotGranted,
}

impl Forbidden {
    /// The stable machine word in the log.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// Whether the site is not granted. The client must not learn whether it exists.
    #[must_use]
    pub const fn is_about_sites(self) -> bool {
        matches!(self, Self::SiteClaimMissing | Self::SiteClaimMalformed | Self::SiteNotGranted)
    }
}

impl Default for Access {
    /// The access that a token grants where nothing is configured.
    fn default() -> Self {
        Self {
            site_claim: ClaimPath::named("siteIds"),
            all_sites: None,
            only_sites: None,
            scopes: ScopeRules::default(),
            patient_claim: ClaimPath::named("patient"),
            fhir_user_claim: ClaimPath::named("fhirUser"),
            subject_claim: ClaimPath::named("sub"),
            requires_subject: false,
            subject_base_urls: Arc::new([]),
        }
    }
}

impl Access {
    /// Who reads. An empty claim names nobody.
    fn subject(&self, claims: &Value) -> Result<Option<String>, TokenError> {
        match self.subject_claim.find(claims) {
            Some(Value::String(subject)) if !subject.is_empty() => Ok(Some(subject.clone())),
            None | Some(Value::String(_)) if self.requires_subject => Err(TokenError::SubjectMissing),
            None | Some(Value::String(_)) => Ok(None),
            Some(_) => Err(TokenError::SubjectMalformed),
        }
    }

    /// The sites that the token grants, as far as its issuer may speak for them.
    fn sites(&self, claims: &Value) -> Result<Sites, Forbidden> {
        let claimed = self.claimed_sites(claims)?;
        let Some(only) = &self.only_sites else { return Ok(claimed) };
        let only = only.iter().map(|site| site.as_str().to_owned());
        Ok(Sites::These(match claimed {
            Sites::All => only.collect(),
            Sites::These(ids) => only.filter(|site| ids.contains(site)).collect(),
        }))
    }

    fn claimed_sites(&self, claims: &Value) -> Result<Sites, Forbidden> {
        if self.all_sites.as_ref().is_some_and(|rule| rule.granted_by(claims)) {
            return Ok(Sites::All);
        }
        match self.site_claim.find(claims) {
            None | Some(Value::Null) => Err(Forbidden::SiteClaimMissing),
            Some(value) => match texts(value) {
                ids if ids.is_empty() && *value != Value::Array(Vec::new()) => {
                    Err(Forbidden::SiteClaimMalformed)
                }
                ids => Ok(Sites::These(ids)),
            },
        }
    }

    /// Whose studies the scopes grant, all of them together. A token that no scope binds may read everyone's, unless it
    /// names a patient or a user who may not.
    fn patients(&self, scopes: &Scopes, claims: &Value) -> Result<PatientFilter, Forbidden> {
        let patient = || self.patient(claims);
        let user = || self.user(claims);
        if !scopes.bind {
            let restrictions = [patient()?, user()?.patient()];
            return match restrictions {
                [None, None] => Ok(self.only(None)),
                [Some(one), Some(other)] if one != other => Err(Forbidden::PatientNotGranted),
                [Some(id), _] | [None, Some(id)] => Ok(self.only(Some(vec![id]))),
            };
        }
        let mut ids = Vec::new();
        let mut forbidden = Forbidden::ScopeInsufficient;
        for context in &scopes.granted {
            let granted = match context {
                ScopeContext::System => Ok(None),
                ScopeContext::User => user().map(User::patient),
                ScopeContext::Patient => {
                    patient().and_then(|id| id.ok_or(Forbidden::PatientMissing)).map(Some)
                }
            };
            match granted {
                Ok(None) => return Ok(self.only(None)),
                Ok(Some(id)) => ids.push(id),
                Err(reason) => forbidden = reason,
            }
        }
        if ids.is_empty() { Err(forbidden) } else { Ok(self.only(Some(ids))) }
    }

    fn only(&self, ids: Option<Vec<FhirId>>) -> PatientFilter {
        PatientFilter { ids, base_urls: Arc::clone(&self.subject_base_urls) }
    }

    /// The patient that the token names: an id, `Patient/{id}`, or the URL of a patient of this service.
    fn patient(&self, claims: &Value) -> Result<Option<FhirId>, Forbidden> {
        let Some(value) = self.patient_claim.find(claims).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or(Forbidden::PatientMalformed)?;
        let reference = Reference::parse(text, &self.subject_base_urls);
        let id = match reference.filter(|reference| !reference.has_version) {
            Some(reference) => reference.patient().ok_or(Forbidden::PatientMalformed)?,
            None => text,
        };
        FhirId::parse(id).map(Some).map_err(|_| Forbidden::PatientMalformed)
    }

    /// The user's own resource (SMART App Launch 2.2, `fhirUser`).
    fn user(&self, claims: &Value) -> Result<User, Forbidden> {
        let Some(value) = self.fhir_user_claim.find(claims).filter(|value| !value.is_null()) else {
            return Ok(User::Practitioner);
        };
        let reference = value.as_str().and_then(|text| Reference::parse(text, &self.subject_base_urls));
        let reference = reference.filter(|reference| !reference.has_version);
        match reference.as_ref().map(|reference| (reference.resource_type, reference.patient())) {
            Some(("Practitioner" | "PractitionerRole", _)) => Ok(User::Practitioner),
            Some((_, Some(id))) => {
                FhirId::parse(id).map(User::Patient).map_err(|_| Forbidden::FhirUserNotGranted)
            }
            _ => Err(Forbidden::FhirUserNotGranted),
        }
    }
}

/// Who the user of a token is.
enum User {
    /// Somebody who may read everyone's studies, as who is not named may.
    Practitioner,
    /// A patient.
    Patient(FhirId),
}

impl User {
    fn patient(self) -> Option<FhirId> {
        match self {
            Self::Practitioner => None,
            Self::Patient(id) => Some(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::scope::{ScopePrefix, SmartScopes};
    use super::*;

    fn patient(id: &str, base_urls: &[&str]) -> PatientFilter {
        let base_urls = base_urls.iter().map(|url| BaseUrl::parse(url).expect(url)).collect();
        PatientFilter { ids: Some(vec![FhirId::parse(id).unwrap()]), base_urls }
    }

    fn at_claim(path: &str) -> Access {
        Access { site_claim: ClaimPath::parse(path).unwrap(), ..Access::default() }
    }

    fn all_sites(rule: &str) -> Access {
        Access { all_sites: Some(AllSites::parse(rule).unwrap()), ..Access::default() }
    }

    fn authorize(claims: &Value, access: &Access, site: &str) -> Result<PatientFilter, Forbidden> {
        Principal::from_claims(claims, access).unwrap().authorize(&SiteId::parse(site).unwrap())
    }

    fn grants(claims: &Value, access: &Access, site: &str) -> bool {
        authorize(claims, access, site).is_ok_and(|patients| patients.ids.is_none())
    }

    #[test]
    fn the_subject_is_that_of_its_claim_and_the_client_that_of_the_first_claim_that_has_one() {
        let access = Access {
            subject_claim: ClaimPath::parse("/user/name").unwrap(),
            requires_subject: true,
            ..Access::default()
        };
        let claims = json!({ "sub": "s", "user": { "name": "u" }, "azp": "second", "appid": "last" });
        let principal = Principal::from_claims(&claims, &access).unwrap();
        assert_eq!((principal.subject(), principal.client()), (Some("u"), Some("second")));
        for claims in [json!({ "sub": "s" }), json!({ "user": {} }), json!({ "user": { "name": "" } })] {
            assert_eq!(Principal::from_claims(&claims, &access), Err(TokenError::SubjectMissing), "{claims}");
        }
    }

    #[test]
    fn a_subject_that_is_not_a_string_is_rejected_whether_or_not_one_is_required() {
        for requires_subject in [false, true] {
            let subject_claim = ClaimPath::named("user");
            let access = Access { subject_claim, requires_subject, ..Access::default() };
            for user in [json!(1), json!(null), json!(["u"]), json!({ "name": "u" })] {
                let claims = json!({ "sub": "s", "user": user });
                let principal = Principal::from_claims(&claims, &access);
                assert_eq!(principal, Err(TokenError::SubjectMalformed), "{claims}");
            }
        }
    }

    #[test]
    fn a_claim_that_is_empty_names_neither_subject_nor_client() {
        let claims = json!({ "sub": "", "client_id": "", "azp": 1, "cid": "okta", "appid": "entra" });
        let principal = Principal::from_claims(&claims, &Access::default()).unwrap();
        assert_eq!((principal.subject(), principal.client()), (None, Some("okta")));
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
            assert!(grants(&json!({"siteIds": claim}), &Access::default(), site), "{claim} {site}");
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
            assert!(!grants(&json!({"siteIds": claim}), &Access::default(), site), "{claim:?} {site}");
            assert!(!grants(&json!({"siteIds": [claim]}), &Access::default(), site), "[{claim:?}] {site}");
        }
    }

    #[test]
    fn a_number_is_compared_by_its_digits() {
        for text in ["4.0", "4e0", "40e-1", "4.5", "-0", "18446744073709551616"] {
            let claim: Value = serde_json::from_str(text).unwrap();
            for site in ["4", "4.0", "4.5", "0", "-0", "18446744073709551616", "18446744073709552000"] {
                assert!(!grants(&json!({"siteIds": claim}), &Access::default(), site), "{text} {site}");
            }
        }
    }

    #[test]
    fn a_site_claim_of_another_type_grants_nothing() {
        for claim in
            [json!(null), json!(true), json!({"4": true}), json!({"id": "4"}), json!([["4"]]), json!([])]
        {
            assert!(!grants(&json!({"siteIds": claim}), &Access::default(), "4"), "{claim}");
        }
        assert!(!grants(&json!({}), &Access::default(), "4"));
        assert!(!grants(&json!({"siteids": "4", "sites": "4"}), &Access::default(), "4"));
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
            assert!(!grants(&json!({"role": role}), &Access::default(), "9"), "{role}");
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

    /// What a token with these claims reads, in the words of `scopes.tsv`.
    fn reads(claims: &Value, access: &Access) -> &'static str {
        let Ok(patients) = authorize(claims, access, "4") else { return "none" };
        let reads = |patient| patients.permits(Some(&format!("Patient/{patient}")));
        match (reads("p-1"), reads("p-9")) {
            (true, true) => "all",
            (true, false) => "own",
            (false, _) => "none",
        }
    }

    fn with_scope(scope: &str, others: &Value) -> Value {
        let mut claims = json!({"siteIds": "4", "scope": scope, "patient": "p-1"});
        for (name, value) in others.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn with_rules(requirement: SmartScopes, prefix: Option<&str>, ignored: &[&str]) -> Access {
        let scopes = ScopeRules {
            requirement,
            prefix: prefix.map(|prefix| ScopePrefix::parse(prefix).unwrap()),
            ignored: ignored.iter().map(ToString::to_string).collect(),
        };
        let fhir = BaseUrl::parse("https://fhir.example/r4").unwrap();
        Access { scopes, subject_base_urls: Arc::new([fhir]), ..Access::default() }
    }

    #[test]
    fn scopes_grant_and_bind_as_the_table_says() {
        let rows = include_str!("scopes.tsv").lines().filter(|line| !line.starts_with('#'));
        let mut tried = 0;
        for row in rows {
            let [scope, claims, optional, required] = row.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{row}");
            };
            let claims = with_scope(scope, &serde_json::from_str(claims).expect(row));
            for (requirement, expected) in
                [(SmartScopes::Optional, optional), (SmartScopes::Required, required)]
            {
                assert_eq!(
                    reads(&claims, &with_rules(requirement, None, &[])),
                    expected,
                    "{requirement:?}: {row}"
                );
                tried += 1;
            }
        }
        assert!(tried >= 240, "{tried}");
    }

    #[test]
    fn only_the_configured_prefix_may_stand_before_a_scope_that_grants() {
        let prefixed = with_rules(SmartScopes::Optional, Some("https://api.example/"), &[]);
        for (scope, expected) in [
            ("https://api.example/patient/ImagingStudy.rs", "own"),
            ("https://api.example/user.ImagingStudy.read", "all"),
            ("patient/ImagingStudy.rs", "own"),
            ("https://api.example/https://api.example/user/*.rs", "none"),
            ("https://other.example/user/ImagingStudy.rs", "none"),
            ("HTTPS://api.example/user/ImagingStudy.rs", "none"),
            ("api.example/user/ImagingStudy.rs", "none"),
            ("https://api.example/ImagingStudy.rs", "none"),
        ] {
            assert_eq!(reads(&with_scope(scope, &json!({})), &prefixed), expected, "{scope}");
        }
        for prefix in ["", "api", "api.", "a b/", "ä/", "\"/", "a\\/"] {
            assert_eq!(ScopePrefix::parse(prefix), None, "{prefix:?}");
        }
    }

    #[test]
    fn an_ignored_scope_counts_as_absent() {
        let ignoring = with_rules(SmartScopes::Optional, None, &["patient-portal", "user/*.rs"]);
        for (scope, expected) in [
            ("patient-portal", "own"),
            ("openid patient-portal", "own"),
            ("patient-portal patient.x", "none"),
            ("Patient-portal", "none"),
            ("patient-portals", "none"),
            ("user/*.rs", "own"),
            ("user/*.rs user/*.r", "all"),
        ] {
            assert_eq!(reads(&with_scope(scope, &json!({})), &ignoring), expected, "{scope}");
        }
        let required = with_rules(SmartScopes::Required, None, &["user/*.rs"]);
        assert_eq!(reads(&with_scope("user/*.rs", &json!({})), &required), "none");
    }

    #[test]
    fn scopes_are_those_of_both_claims_with_every_string_split_at_spaces() {
        let reading = json!("user/ImagingStudy.rs");
        let required = with_rules(SmartScopes::Required, None, &[]);
        for (claims, expected) in [
            (json!({"siteIds": 4, "scope": reading}), "all"),
            (json!({"siteIds": 4, "scope": ["openid", reading]}), "all"),
            (json!({"siteIds": 4, "scp": reading}), "all"),
            (json!({"siteIds": 4, "scp": [reading]}), "all"),
            (json!({"siteIds": 4, "scope": "openid", "scp": reading}), "all"),
            (json!({"siteIds": 4, "scope": [], "scp": ["openid  user/ImagingStudy.rs "]}), "all"),
            (json!({"siteIds": 4, "scopes": reading}), "none"),
        ] {
            assert_eq!(reads(&claims, &required), expected, "{claims}");
        }
    }

    #[test]
    fn a_character_that_no_scope_has_is_an_error() {
        for character in ["\t", "\n", "\u{a0}", "\u{2028}", "\0", "\"", "\\", "\u{7f}", "ä", "\u{ff0f}"] {
            for scope in [format!("openid{character}patient/ImagingStudy.rs"), format!("a {character} b")] {
                for claims in [json!({"scope": scope}), json!({"scp": ["openid", scope]})] {
                    let principal = Principal::from_claims(&claims, &Access::default());
                    assert_eq!(principal, Err(TokenError::ScopeMalformed), "{character:?}");
                }
            }
        }
    }

    #[test]
    fn the_patient_and_the_user_are_where_the_configuration_says() {
        let access = Access {
            patient_claim: ClaimPath::parse("/launch/patient").unwrap(),
            fhir_user_claim: ClaimPath::parse("user").unwrap(),
            ..Access::default()
        };
        let with = |others: Value| reads(&with_scope("", &others), &access);
        assert_eq!(with(json!({"patient": "p-9", "launch": {"patient": "p-1"}})), "own");
        assert_eq!(with(json!({"patient": "p-9", "user": "Patient/p-1"})), "own");
        assert_eq!(with(json!({"fhirUser": "Patient/p-9"})), "all");
    }

    #[test]
    fn everything_that_forbids_a_read_has_a_reason_of_its_own() {
        use Forbidden::{
            FhirUserNotGranted, PatientMalformed, PatientMissing, PatientNotGranted, ScopeInsufficient,
            SiteClaimMalformed, SiteClaimMissing, SiteNotGranted,
        };
        let patient = "patient/ImagingStudy.rs";
        for (scope, others, reason) in [
            ("user/Patient.read", json!({}), ScopeInsufficient),
            ("user/Patient.read", json!({"siteIds": null}), ScopeInsufficient),
            (patient, json!({"patient": null}), PatientMissing),
            (patient, json!({"patient": 1}), PatientMalformed),
            ("", json!({"patient": 1}), PatientMalformed),
            ("", json!({"fhirUser": "Patient/p-2"}), PatientNotGranted),
            ("", json!({"fhirUser": "Person/1"}), FhirUserNotGranted),
            ("user/*.rs", json!({"fhirUser": "Person/1"}), FhirUserNotGranted),
            (patient, json!({"siteIds": null}), SiteClaimMissing),
            (patient, json!({"siteIds": true}), SiteClaimMalformed),
            (patient, json!({"siteIds": 4.0}), SiteClaimMalformed),
            (patient, json!({"siteIds": [{}]}), SiteClaimMalformed),
            (patient, json!({"siteIds": ["5", {}]}), SiteNotGranted),
            (patient, json!({"siteIds": []}), SiteNotGranted),
        ] {
            let claims = with_scope(scope, &others);
            assert_eq!(authorize(&claims, &Access::default(), "4"), Err(reason), "{claims}");
        }
    }

    #[test]
    fn scopes_of_a_wrong_type_are_an_error() {
        for scope in [json!(null), json!(1), json!({}), json!(true), json!([1]), json!(["openid", null])] {
            for name in ["scope", "scp"] {
                let principal = Principal::from_claims(&json!({name: scope}), &Access::default());
                assert_eq!(principal, Err(TokenError::ScopeMalformed), "{name} {scope}");
            }
        }
    }

    #[test]
    fn a_patient_reads_studies_with_a_relative_reference_to_that_patient() {
        let own = patient("123", &[]);
        for reference in ["Patient/123", "Patient/123/_history/2"] {
            assert!(own.permits(Some(reference)), "{reference}");
        }
        for reference in [
            "", "123", "Patient/1234", "Patient/0123", "patient/123", "Group/123", "xPatient/123",
            "x/Patient/123", "/Patient/123", "//Patient/123", "Patient/123/", "Patient/123/_history/",
            "Patient/123/_history/1/_history/2", "Patient/123/_history/1/..", "Patient/123#a",
            "Patient/123?a", "#Patient/123", "urn:uuid:123", "https://example.org/fhir/Patient/123",
            "ftp://example.org/Patient/123",
        ] {
            assert!(!own.permits(Some(reference)), "{reference}");
        }
        assert!(!own.permits(None));
        let everyone = PatientFilter { ids: None, base_urls: Arc::new([]) };
        assert!(everyone.permits(None) && everyone.permits(Some("Group/1")));
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
}
