//! Who may read what: an independent reading of the rules for tokens.

use serde_json::Value;

/// A stored study, as far as access depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    pub site: &'static str,
    pub id: &'static str,
    pub subject: &'static str,
}

/// The second issuer. It speaks for site 5 only, and its administrators read all that it speaks for.
pub const SECOND_ISSUER: &str = "https://second.example";

/// Whether a token with these claims, whose signature holds, grants reading `study` at `now` (seconds since 1970) to a
/// client without a certificate.
pub fn may_read(claims: &Value, study: Study, now: f64) -> bool {
    is_for_this_service(claims)
        && is_valid_at(claims, now)
        && grants_site(claims, study.site)
        && grants_patient(claims, study.subject)
}

fn is_for_this_service(claims: &Value) -> bool {
    let audience = match (&claims["aud"], claims.get("aud")) {
        (Value::String(one), _) => one == local::AUDIENCE,
        (Value::Array(list), _) => {
            list.iter().all(Value::is_string) && list.iter().any(|one| one == local::AUDIENCE)
        }
        (_, None) => claims["client_id"] == local::AUDIENCE,
        _ => false,
    };
    let subject = claims.get("sub").is_none_or(Value::is_string);
    let issuer = claims["iss"] == local::ISSUER || claims["iss"] == SECOND_ISSUER;
    let is_access_token = claims.get("token_use").is_none_or(|token_use| token_use == "access")
        && !["ID", "Refresh", "Offline", "Logout"].iter().any(|other| claims["typ"] == *other);
    issuer && audience && subject && is_access_token && claims.get("cnf").is_none()
}

/// Thirty seconds of tolerance, as configured by default.
fn is_valid_at(claims: &Value, now: f64) -> bool {
    let holds = |name: &str, test: &dyn Fn(f64) -> bool| match claims.get(name) {
        None => true,
        Some(value) => {
            value.as_f64().is_some_and(|time| (0.0..253_402_300_800.0).contains(&time) && test(time))
        }
    };
    claims.get("exp").is_some()
        && holds("exp", &|time| time + 30.0 > now)
        && holds("nbf", &|time| time - 30.0 <= now)
        && holds("iat", &|time| time - 30.0 <= now)
}

fn grants_site(claims: &Value, site: &str) -> bool {
    let is_site = |value: &Value| match value {
        Value::String(text) => text == site,
        Value::Number(number) => !number.is_f64() && number.to_string() == site,
        _ => false,
    };
    let claimed = match &claims["siteIds"] {
        Value::Array(list) => list.iter().any(is_site),
        one => is_site(one),
    };
    if claims["iss"] == SECOND_ISSUER {
        site == "5" && (claimed || claims["role"] == "ADMIN")
    } else {
        claimed
    }
}

/// Whom a claim names.
enum Named<'a> {
    Nothing,
    Patient(&'a str),
    Practitioner,
    /// In a form that names nobody here.
    Nobody,
}

fn patient_claim(claims: &Value) -> Named<'_> {
    match claims.get("patient") {
        None | Some(Value::Null) => Named::Nothing,
        Some(Value::String(text)) => match text.strip_prefix("Patient/").unwrap_or(text) {
            id if is_id(id) => Named::Patient(id),
            _ => Named::Nobody,
        },
        Some(_) => Named::Nobody,
    }
}

fn user_claim(claims: &Value) -> Named<'_> {
    match claims.get("fhirUser") {
        None | Some(Value::Null) => Named::Nothing,
        Some(Value::String(text)) => {
            let parts: Vec<_> = text.rsplitn(3, '/').collect();
            match parts[..] {
                [id, "Practitioner" | "PractitionerRole"] if is_id(id) => Named::Practitioner,
                // No base URL is this service's: a patient elsewhere is nobody here, a practitioner is one anywhere.
                [id, "Practitioner" | "PractitionerRole", "https://ehr.example/fhir"] if is_id(id) => {
                    Named::Practitioner
                }
                [id, "Patient"] if is_id(id) => Named::Patient(id),
                _ => Named::Nobody,
            }
        }
        Some(_) => Named::Nobody,
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
}

/// What scopes and claims say about the patient whose study this is.
fn grants_patient(claims: &Value, subject: &str) -> bool {
    let Some(scopes) = scopes(claims) else { return false };
    let is_of = |id: &str| subject == format!("Patient/{id}");
    let granted: Vec<_> = scopes.iter().filter_map(|scope| granting_context(scope)).collect();
    if granted.is_empty() {
        // Restricted by what it names, unless a scope restricts it and nothing is granted.
        return !scopes.iter().any(|scope| may_be_a_restriction(scope))
            && match patient_claim(claims) {
                Named::Nothing => true,
                Named::Patient(id) => is_of(id),
                Named::Nobody | Named::Practitioner => false,
            }
            && match user_claim(claims) {
                Named::Nothing | Named::Practitioner => true,
                Named::Patient(id) => is_of(id),
                Named::Nobody => false,
            };
    }
    granted.into_iter().any(|context| match context {
        "system" => true,
        "user" => match user_claim(claims) {
            Named::Nothing | Named::Practitioner => true,
            Named::Patient(id) => is_of(id),
            Named::Nobody => false,
        },
        _ => matches!(patient_claim(claims), Named::Patient(id) if is_of(id)),
    })
}

/// All scopes of `scope` and `scp`; `None` where one of them has a wrong type or a character that no scope has.
fn scopes(claims: &Value) -> Option<Vec<&str>> {
    let mut all = Vec::new();
    for name in ["scope", "scp"] {
        match claims.get(name) {
            None => {}
            Some(Value::String(text)) => all.extend(text.split(' ')),
            Some(Value::Array(list)) => {
                for entry in list {
                    all.extend(entry.as_str()?.split(' '));
                }
            }
            Some(_) => return None,
        }
    }
    let allowed = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
    all.iter().all(|scope| scope.bytes().all(allowed)).then_some(all)
}

/// The context of a scope that grants reading an `ImagingStudy`. Every such scope, one by one.
fn granting_context(scope: &str) -> Option<&'static str> {
    let reads = [
        "read", "*", "r", "cr", "ru", "rd", "rs", "cru", "crd", "crs", "rud", "rus", "rds", "crud", "crus",
        "crds", "ruds", "cruds",
    ];
    ["patient", "user", "system"].into_iter().find(|context| {
        ["/", ".", "$", "-", "%2F", "%2f"].iter().any(|separator| {
            ["ImagingStudy", "*", "all"].iter().any(|resource| {
                reads.iter().any(|read| scope == format!("{context}{separator}{resource}.{read}"))
            })
        })
    })
}

/// Whether a scope binds: byte by byte, with what stands before and after each place where a word begins.
fn may_be_a_restriction(scope: &str) -> bool {
    let lower = scope.to_ascii_lowercase();
    let is_word = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let (bytes, lower) = (scope.as_bytes(), lower.as_bytes());
    (0..bytes.len()).filter(|&at| at == 0 || !is_word(bytes.get(at - 1))).any(|at| {
        let after = |word: &str| lower[at..].starts_with(word.as_bytes()).then(|| at + word.len());
        let ends = |at: Option<usize>| at.filter(|&end| !is_word(bytes.get(end)));
        ends(after("launch")).is_some()
            || ends(after("patient")).is_some_and(|end| end < bytes.len())
            || ["user", "system"].iter().any(|&context| {
                ends(after(context)).is_some_and(|end| {
                    bytes.get(end) == Some(&b'/')
                        || bytes[at..end] == lower[at..end]
                            && scope.get(end + 1..).is_some_and(names_a_resource)
                })
            })
            || at > 0 && bytes[at..].starts_with(b"ImagingStudy.")
    })
}

/// A capitalized word, `*` or `all`, then a dot and something.
fn names_a_resource(text: &str) -> bool {
    text.split_once('.').is_some_and(|(name, rest)| {
        let capitalized = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric());
        !rest.is_empty() && (capitalized || name == "*" || name == "all")
    })
}
