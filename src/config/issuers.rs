//! The issuers whose tokens are accepted: one, described by variables, or a list of them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use table::id::SiteId;
use table::subject::BaseUrl;

use super::source::{Environment, Error, Name, Source, text};
use crate::auth::{
    Access, Algorithms, AllSites, ClaimPath, Issuer, Issuers, KeySource, ScopePrefix, ScopeRules,
    SmartScopes, is_scope_character, strict_json_list,
};

/// More issuers than a platform trusts. Each costs a fetch at start.
const MAX_ISSUERS: usize = 20;

const LIST: &str = "JWT_ISSUERS";
const LIST_FILE: &str = "JWT_ISSUERS_FILE";
const LEEWAY: &str = "JWT_LEEWAY_SECONDS";

const ISSUER: Name = Name { variable: "JWT_ISSUER", member: "issuer" };
const AUDIENCE: Name = Name { variable: "JWT_AUDIENCE", member: "audience" };
const JWKS_URL: Name = Name { variable: "JWT_JWKS_URL", member: "jwksUrl" };
const JWKS_SECRET: Name = Name { variable: "JWT_JWKS_SECRET_ARN", member: "jwksSecretArn" };
const JWKS: Name = Name { variable: "JWT_JWKS", member: "jwks" };
const ALGORITHMS: Name = Name { variable: "JWT_ALGORITHMS", member: "algorithms" };
const SITE_CLAIM: Name = Name { variable: "SITE_CLAIM", member: "siteClaim" };
const ALL_SITES: Name = Name { variable: "ALL_SITES", member: "allSites" };
const PATIENT_CLAIM: Name = Name { variable: "PATIENT_CLAIM", member: "patientClaim" };
const FHIR_USER_CLAIM: Name = Name { variable: "FHIR_USER_CLAIM", member: "fhirUserClaim" };
const SUBJECT_CLAIM: Name = Name { variable: "SUBJECT_CLAIM", member: "subjectClaim" };
/// Has no member: who must be named is not the issuer's to decide.
const REQUIRE_SUBJECT: Name = Name { variable: "REQUIRE_SUBJECT", member: "" };
const SMART_SCOPES: Name = Name { variable: "SMART_SCOPES", member: "smartScopes" };
const SCOPE_PREFIX: Name = Name { variable: "SCOPE_PREFIX", member: "scopePrefix" };
const IGNORED_SCOPES: Name = Name { variable: "IGNORED_SCOPES", member: "ignoredScopes" };
const SUBJECT_BASE_URLS: Name = Name { variable: "SUBJECT_BASE_URLS", member: "subjectBaseUrls" };
/// Has no variable: one issuer may speak for every site that its tokens name.
const SITES: Name = Name { variable: "", member: "sites" };

/// The members of an element.
const MEMBERS: [Name; 16] = [
    ISSUER, AUDIENCE, JWKS_URL, JWKS_SECRET, JWKS, ALGORITHMS, SITE_CLAIM, ALL_SITES, PATIENT_CLAIM,
    FHIR_USER_CLAIM, SUBJECT_CLAIM, SMART_SCOPES, SCOPE_PREFIX, IGNORED_SCOPES, SUBJECT_BASE_URLS, SITES,
];

/// The variables that are read here.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    let of_members = MEMBERS.map(|name| name.variable).into_iter().filter(|variable| !variable.is_empty());
    of_members.chain([LIST, LIST_FILE, LEEWAY, REQUIRE_SUBJECT.variable])
}

/// Reads the issuer that the variables describe, or the list of issuers.
pub(super) fn issuers(env: Environment<'_>) -> Result<Issuers, Error> {
    let leeway = leeway(env)?;
    let (place, list) = match (text(env, LIST)?, text(env, LIST_FILE)?) {
        (None, None) => return issuer(Source::Variables(env), leeway).map(|one| Issuers::One(Box::new(one))),
        (Some(list), None) => (LIST, list),
        (None, Some(path)) => (LIST_FILE, file(&path)?),
        (Some(_), Some(_)) => return Err(Error::new(LIST, format!("cannot be combined with {LIST_FILE}"))),
    };
    for name in [ISSUER, AUDIENCE, JWKS_URL, JWKS_SECRET, JWKS] {
        if text(env, name.variable)?.is_some() {
            return Err(Error::new(name.variable, format!("cannot be combined with {place}")));
        }
    }
    if text(env, ALL_SITES.variable)?.is_some() {
        tracing::warn!("ALL_SITES applies to no issuer of a list: give allSites to an element");
    }
    let elements = strict_json_list(list.as_bytes())
        .filter(|elements| (1..=MAX_ISSUERS).contains(&elements.len()))
        .ok_or_else(|| Error::must_be(place, format!("a JSON list of 1 to {MAX_ISSUERS} objects")))?;
    let mut names = HashSet::new();
    let mut issuers = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let place = format!("{place}: element {}", index + 1);
        let members = element.as_object().ok_or_else(|| Error::must_be(&place, "a JSON object"))?;
        if let Some(unknown) =
            members.keys().find(|member| !MEMBERS.iter().any(|name| name.member == *member))
        {
            let known = MEMBERS.map(|name| name.member).join(", ");
            let place = format!("{place}, {}", unknown.escape_debug());
            return Err(Error::must_be(place, format!("one of {known}")));
        }
        let source = Source::Element { place: &place, members, defaults: env };
        let issuer = issuer(source, leeway)?;
        if !names.insert(issuer.iss.clone()) {
            return Err(source.error(ISSUER, "is that of an earlier element"));
        }
        if issuer.access.only_sites.is_none() {
            tracing::warn!(issuer = issuer.iss.as_deref(), "an issuer of the list may speak for every site");
        }
        issuers.push(issuer);
    }
    Ok(Issuers::Several(issuers))
}

fn file(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(Path::new(path))
        .map_err(|error| Error::new(LIST_FILE, format!("the file cannot be read: {error}")))
}

fn leeway(env: Environment<'_>) -> Result<Duration, Error> {
    let seconds = match text(env, LEEWAY)? {
        None => Some(30),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|seconds| *seconds <= 300)
        }
        Some(_) => None,
    };
    let error = || Error::must_be(LEEWAY, "a whole number of seconds from 0 to 300");
    seconds.map(Duration::from_secs).ok_or_else(error)
}

fn issuer(source: Source<'_>, leeway: Duration) -> Result<Issuer, Error> {
    let iss = iss(source)?;
    let algorithms = algorithms(source.or_default(ALGORITHMS))?;
    Ok(Issuer {
        keys: key_source(source, iss.as_deref(), &algorithms)?,
        iss,
        audiences: audiences(source)?,
        algorithms,
        leeway,
        access: access(source)?,
    })
}

/// `None` for the variable `*`, and for an element that is for tokens without `iss`.
fn iss(source: Source<'_>) -> Result<Option<String>, Error> {
    let expected = match source {
        Source::Variables(_) => "the exact iss of the tokens, or * to leave it unchecked",
        Source::Element { .. } => "the exact iss of the tokens, or null for tokens without one",
    };
    if source.member(ISSUER) == Some(Value::Null) {
        return Ok(None);
    }
    let iss = source.text(ISSUER)?.ok_or_else(|| source.error(ISSUER, format!("is required: {expected}")))?;
    match source {
        Source::Variables(_) if iss == "*" => Ok(None),
        _ if iss != "*" && !iss.contains(is_blank) => Ok(Some(iss)),
        _ => Err(source.error(ISSUER, format!("must be {expected}"))),
    }
}

/// `None` for the variable `*`.
fn audiences(source: Source<'_>) -> Result<Option<Vec<String>>, Error> {
    let expected = match source {
        Source::Variables(_) => {
            "a comma-separated list of audiences, of which a token must name one, or * to leave it unchecked"
        }
        Source::Element { .. } => "an audience that a token must name, or a list of them",
    };
    let audiences = source.list(AUDIENCE, &[','])?;
    let audiences = audiences.ok_or_else(|| source.error(AUDIENCE, format!("is required: {expected}")))?;
    if matches!(source, Source::Variables(_)) && audiences == ["*"] {
        return Ok(None);
    }
    let is_invalid = |one: &String| one.is_empty() || one == "*" || one.contains(is_blank);
    if audiences.is_empty() || audiences.iter().any(is_invalid) {
        return Err(source.error(AUDIENCE, format!("must be {expected}")));
    }
    Ok(Some(audiences))
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn algorithms(source: Source<'_>) -> Result<Algorithms, Error> {
    let names = source.list(ALGORITHMS, &[','])?;
    let names =
        names.unwrap_or_else(|| ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(str::to_owned).into());
    Algorithms::of(names.iter().map(String::as_str)).ok_or_else(|| {
        source.error(
            ALGORITHMS,
            "must be a list of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512, each \
             at most once",
        )
    })
}

fn key_source(source: Source<'_>, iss: Option<&str>, algorithms: &Algorithms) -> Result<KeySource, Error> {
    let [url_name, secret_name, set_name] = [JWKS_URL, JWKS_SECRET, JWKS].map(|name| source.called(name));
    let url = source.text(JWKS_URL)?;
    let secret = source.text(JWKS_SECRET)?;
    let jwks = match source.member(JWKS) {
        Some(set @ Value::Object(_)) => Some(set.to_string()),
        _ => source.text(JWKS)?,
    };
    if algorithms.contain_hmac() && secret.is_none() && jwks.is_none() {
        let problem =
            format!("HMAC algorithms require {secret_name} or {set_name}, because keys at a URL are public");
        return Err(source.error(ALGORITHMS, problem));
    }
    let combined = |name, others| Err(source.error(name, format!("cannot be combined with {others}")));
    match (url, secret, jwks) {
        (Some(url), None, None) => {
            KeySource::url(&url).map_err(|error| source.error(JWKS_URL, error.to_string()))
        }
        (None, Some(arn), None) => {
            KeySource::secret(&arn).map_err(|error| source.error(JWKS_SECRET, error.to_string()))
        }
        (None, None, Some(set)) => KeySource::jwks(&set, algorithms)
            .map_err(|error| source.error(JWKS, format!("the key set is rejected: {error}"))),
        (None, None, None) => {
            let no_discovery = || {
                let sources = format!("{url_name}, {secret_name} or {set_name}");
                let problem = "must be an https URL, from which the keys are discovered, unless";
                source.error(ISSUER, format!("{problem} {sources} is set"))
            };
            KeySource::discovery(iss.ok_or_else(no_discovery)?).map_err(|_| no_discovery())
        }
        (Some(_), _, _) => combined(JWKS_URL, format!("{secret_name} or {set_name}")),
        (None, Some(_), Some(_)) => combined(JWKS_SECRET, set_name.to_owned()),
    }
}

fn access(source: Source<'_>) -> Result<Access, Error> {
    const CLAIM: &str = "the name of a claim, or a JSON pointer (RFC 6901)";
    let default = Access::default();
    let claim = |name| parsed(source.or_default(name), name, ClaimPath::parse, CLAIM);
    Ok(Access {
        site_claim: claim(SITE_CLAIM)?.unwrap_or(default.site_claim),
        all_sites: parsed(
            source,
            ALL_SITES,
            AllSites::parse,
            "claim=value, as in role=ADMIN; the claim may be a JSON pointer (RFC 6901)",
        )?,
        only_sites: only_sites(source)?,
        scopes: ScopeRules {
            requirement: parsed(
                source.or_default(SMART_SCOPES),
                SMART_SCOPES,
                |word| match word {
                    "optional" => Some(SmartScopes::Optional),
                    "required" => Some(SmartScopes::Required),
                    _ => None,
                },
                "optional or required",
            )?
            .unwrap_or_default(),
            prefix: parsed(
                source.or_default(SCOPE_PREFIX),
                SCOPE_PREFIX,
                ScopePrefix::parse,
                "what stands before patient/, user/ and system/ in a scope; it ends in / or :",
            )?,
            ignored: ignored_scopes(source.or_default(IGNORED_SCOPES))?,
        },
        patient_claim: claim(PATIENT_CLAIM)?.unwrap_or(default.patient_claim),
        fhir_user_claim: claim(FHIR_USER_CLAIM)?.unwrap_or(default.fhir_user_claim),
        subject_claim: claim(SUBJECT_CLAIM)?.unwrap_or(default.subject_claim),
        requires_subject: parsed(
            source.or_default(REQUIRE_SUBJECT),
            REQUIRE_SUBJECT,
            |word| word.parse().ok(),
            "true or false",
        )?
        .unwrap_or_default(),
        subject_base_urls: subject_base_urls(source.or_default(SUBJECT_BASE_URLS))?,
    })
}

/// An optional text that `parse` reads.
fn parsed<T>(
    source: Source<'_>,
    name: Name,
    parse: impl Fn(&str) -> Option<T>,
    expected: &str,
) -> Result<Option<T>, Error> {
    let value = source.text(name)?;
    value
        .map(|value| parse(&value).ok_or_else(|| source.error(name, format!("must be {expected}"))))
        .transpose()
}

/// The only sites that an issuer of a list may speak for; `None` for every site.
fn only_sites(source: Source<'_>) -> Result<Option<Vec<SiteId>>, Error> {
    let Source::Element { .. } = source else { return Ok(None) };
    let Some(sites) = source.list(SITES, &[])? else { return Ok(None) };
    let sites: Result<Vec<_>, _> = sites.iter().map(|site| SiteId::parse(site)).collect();
    sites.map(Some).map_err(|error| source.error(SITES, error.to_string()))
}

fn ignored_scopes(source: Source<'_>) -> Result<Vec<String>, Error> {
    let mut scopes = source.list(IGNORED_SCOPES, &[',', ' '])?.unwrap_or_default();
    scopes.retain(|scope| !scope.is_empty());
    if scopes.iter().all(|scope| scope.chars().all(is_scope_character)) {
        Ok(scopes)
    } else {
        Err(source.error(IGNORED_SCOPES, "must be a list of scopes (RFC 6749 §3.3)"))
    }
}

fn subject_base_urls(source: Source<'_>) -> Result<Arc<[BaseUrl]>, Error> {
    let urls = source.list(SUBJECT_BASE_URLS, &[','])?.unwrap_or_default();
    urls.iter().map(|url| BaseUrl::parse(url)).collect::<Option<_>>().ok_or_else(|| {
        source.error(
            SUBJECT_BASE_URLS,
            "must be a list of http or https URLs without user name, query and fragment",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    const SET: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn with(variables: &[(&str, &str)]) -> Result<Issuers, Error> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        issuers(&|name| variables.get(name).map(ToString::to_string))
    }

    fn several(list: &Value, variables: &[(&str, &str)]) -> Result<Vec<Issuer>, String> {
        let list = list.to_string();
        match with(&[variables, &[("JWT_ISSUERS", &list)]].concat()) {
            Ok(Issuers::Several(issuers)) => Ok(issuers),
            Ok(Issuers::One(_)) => panic!("one issuer of a list"),
            Err(error) => Err(error.to_string()),
        }
    }

    /// An element with these members in place of others.
    fn element(changes: &Value) -> Value {
        let mut element = json!({ "issuer": "https://a.example", "audience": "api" });
        for (name, value) in changes.as_object().unwrap() {
            element[name] = value.clone();
        }
        element
    }

    #[test]
    fn an_element_needs_an_issuer_and_an_audience_and_takes_the_rest_from_the_variables() {
        let variables = [
            ("JWT_ALGORITHMS", "ES256"),
            ("JWT_LEEWAY_SECONDS", "5"),
            ("SITE_CLAIM", "sites"),
            ("ALL_SITES", "role=ADMIN"),
            ("SMART_SCOPES", "required"),
            ("SCOPE_PREFIX", "app:"),
            ("IGNORED_SCOPES", "a b"),
            ("PATIENT_CLAIM", "p"),
            ("FHIR_USER_CLAIM", "u"),
            ("SUBJECT_BASE_URLS", "https://fhir.example"),
        ];
        let [issuer] = &several(&json!([element(&json!({}))]), &variables).unwrap()[..] else { panic!() };
        assert_eq!(issuer.iss.as_deref(), Some("https://a.example"));
        assert_eq!(issuer.audiences, Some(vec!["api".to_owned()]));
        assert_eq!(Some(&issuer.algorithms), Algorithms::of(["ES256"]).as_ref());
        assert_eq!(issuer.leeway, Duration::from_secs(5));
        let access = &issuer.access;
        assert_eq!(Some(&access.site_claim), ClaimPath::parse("sites").as_ref());
        assert_eq!((&access.all_sites, &access.only_sites), (&None, &None), "inherited by nobody");
        assert_eq!(access.scopes.requirement, SmartScopes::Required);
        assert_eq!(access.scopes.prefix, ScopePrefix::parse("app:"));
        assert_eq!(access.scopes.ignored, ["a", "b"]);
        assert_eq!(Some(&access.patient_claim), ClaimPath::parse("p").as_ref());
        assert_eq!(Some(&access.fhir_user_claim), ClaimPath::parse("u").as_ref());
        assert_eq!(access.subject_base_urls.len(), 1);
    }

    #[test]
    fn an_element_has_its_own_values_before_those_of_the_variables() {
        let set: Value = serde_json::from_str(SET).unwrap();
        let own = element(&json!({
            "issuer": null,
            "audience": ["a,b", "c"],
            "jwks": set,
            "algorithms": ["EdDSA"],
            "siteClaim": "/own/sites",
            "allSites": "role=OWN",
            "patientClaim": "own",
            "fhirUserClaim": "own",
            "subjectClaim": "/own/subject",
            "smartScopes": "optional",
            "scopePrefix": "own/",
            "ignoredScopes": ["a,b"],
            "subjectBaseUrls": [],
            "sites": ["4"],
        }));
        let variables = [
            ("JWT_ALGORITHMS", "HS256"),
            ("SMART_SCOPES", "required"),
            ("SUBJECT_BASE_URLS", "https://fhir.example"),
        ];
        let [issuer] = &several(&json!([own]), &variables).unwrap()[..] else { panic!() };
        assert_eq!(issuer.iss, None);
        assert_eq!(issuer.audiences, Some(vec!["a,b".to_owned(), "c".to_owned()]));
        let access = &issuer.access;
        assert_eq!(access.all_sites, AllSites::parse("role=OWN"));
        assert_eq!(access.only_sites, Some(vec![SiteId::parse("4").unwrap()]));
        assert_eq!(Some(&access.subject_claim), ClaimPath::parse("/own/subject").as_ref());
        assert_eq!(access.scopes.requirement, SmartScopes::Optional);
        assert_eq!(access.scopes.ignored, ["a,b"]);
        assert!(access.subject_base_urls.is_empty());
    }

    #[test]
    fn a_wrong_element_is_named_with_its_member() {
        for (changes, message) in [
            (json!({ "issuer": "*" }), "issuer: must be the exact iss"),
            (json!({ "issuer": "" }), "issuer: must be a string that is not empty"),
            (json!({ "issuer": 5 }), "issuer: must be a string"),
            (json!({ "issuer": "no url" }), "issuer: must be the exact iss"),
            (
                json!({ "issuer": "not-a-url" }),
                "issuer: must be an https URL, from which the keys are discovered",
            ),
            (json!({ "issuer": null }), "issuer: must be an https URL, from which the keys are discovered"),
            (json!({ "audience": "*" }), "audience: must be an audience"),
            (json!({ "audience": ["a", "*"] }), "audience: must be an audience"),
            (json!({ "audience": [] }), "audience: must be an audience"),
            (json!({ "audience": [1] }), "audience: must be a string, or a list of strings"),
            (json!({ "audience": null }), "audience: must be a string, or a list of strings"),
            (json!({ "jwksUrl": "http://a.example" }), "jwksUrl: must be an https URL"),
            (
                json!({ "jwksUrl": "https://a.example/k", "jwks": SET }),
                "jwksUrl: cannot be combined with jwksSecretArn",
            ),
            (json!({ "jwksSecretArn": "secret" }), "jwksSecretArn: must be the ARN"),
            (json!({ "jwks": {} }), "jwks: the key set is rejected"),
            (json!({ "jwks": [SET] }), "jwks: must be a string"),
            (json!({ "algorithms": ["HS256"] }), "algorithms: HMAC algorithms require jwksSecretArn or jwks"),
            (json!({ "algorithms": ["none"] }), "algorithms: must be a list of RS256"),
            (json!({ "algorithms": [] }), "algorithms: must be a list of RS256"),
            (json!({ "siteClaim": "" }), "siteClaim: must be a string"),
            (json!({ "siteClaim": "/~" }), "siteClaim: must be the name of a claim"),
            (json!({ "allSites": "ADMIN" }), "allSites: must be claim=value"),
            (json!({ "smartScopes": "always" }), "smartScopes: must be optional or required"),
            (json!({ "scopePrefix": "app" }), "scopePrefix: must be what stands before"),
            (json!({ "ignoredScopes": ["a b"] }), "ignoredScopes: must be a list of scopes"),
            (json!({ "subjectBaseUrls": ["fhir"] }), "subjectBaseUrls: must be a list"),
            (json!({ "sites": ["a b"] }), "sites: siteId must be"),
            (json!({ "sites": 4 }), "sites: must be a string, or a list of strings"),
            (json!({ "site": ["4"] }), "site: must be one of issuer, audience, jwksUrl,"),
        ] {
            let first = element(&json!({ "issuer": "https://first.example" }));
            let error = several(&json!([first, element(&changes)]), &[]).err();
            let expected = format!("JWT_ISSUERS: element 2, {message}");
            assert!(
                error.as_ref().is_some_and(|error| error.starts_with(&expected)),
                "{expected}: {error:?}"
            );
        }
    }

    #[test]
    fn a_list_has_1_to_20_objects_of_different_issuers() {
        let of = |iss: &Value| element(&json!({ "issuer": iss, "jwks": SET }));
        let numbered = |count: usize| {
            let elements = (0..count).map(|number| of(&json!(format!("https://{number}.example"))));
            Value::Array(elements.collect())
        };
        assert_eq!(several(&numbered(20), &[]).map(|issuers| issuers.len()), Ok(20));
        let one = "https://a.example";
        for (list, message) in [
            (json!([]), "JWT_ISSUERS: must be a JSON list of 1 to 20 objects"),
            (numbered(21), "JWT_ISSUERS: must be a JSON list of 1 to 20 objects"),
            (of(&json!(one)), "JWT_ISSUERS: must be a JSON list of 1 to 20 objects"),
            (json!([["https://a.example", "api"]]), "JWT_ISSUERS: element 1: must be a JSON object"),
            (
                json!([of(&json!(one)), of(&json!(one))]),
                "JWT_ISSUERS: element 2, issuer: is that of an earlier element",
            ),
            (
                json!([of(&json!(null)), of(&json!(null))]),
                "JWT_ISSUERS: element 2, issuer: is that of an earlier element",
            ),
        ] {
            assert_eq!(several(&list, &[]).err().as_deref(), Some(message), "{list}");
        }
        let twice = r#"[{"issuer":"https://a.example","issuer":"https://b.example","audience":"api"}]"#;
        assert!(with(&[("JWT_ISSUERS", twice)]).is_err());
    }

    #[test]
    fn a_list_stands_for_the_variables_of_one_issuer() {
        let list = json!([element(&json!({}))]);
        for variable in ["JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS_URL", "JWT_JWKS_SECRET_ARN", "JWT_JWKS"] {
            let expected = format!("{variable}: cannot be combined with JWT_ISSUERS");
            assert_eq!(several(&list, &[(variable, "x")]).err(), Some(expected));
        }
        let both = [("JWT_ISSUERS", "[]"), ("JWT_ISSUERS_FILE", "x")];
        assert!(with(&both).is_err());
    }

    #[test]
    fn a_list_may_stand_in_a_file() {
        let path = format!("{}/issuers-{}.json", std::env::temp_dir().display(), std::process::id());
        std::fs::write(&path, json!([element(&json!({})), element(&json!({ "sites": 1 }))]).to_string())
            .unwrap();
        let error = with(&[("JWT_ISSUERS_FILE", &path)]).err().map(|error| error.to_string());
        std::fs::write(&path, json!([element(&json!({}))]).to_string()).unwrap();
        let found = with(&[("JWT_ISSUERS_FILE", &path)]);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(found, Ok(Issuers::Several(issuers)) if issuers.len() == 1));
        assert!(error.is_some_and(|error| error.starts_with("JWT_ISSUERS_FILE: element 2, sites: ")));
        let missing = with(&[("JWT_ISSUERS_FILE", &path)]).err().map(|error| error.to_string());
        assert!(
            missing.is_some_and(|error| error.starts_with("JWT_ISSUERS_FILE: the file cannot be read: "))
        );
    }
}
