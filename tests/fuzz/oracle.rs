//! Who may read what: an independent reading of the rules for tokens.

use serde_json::Value;

/// A stored study, as far as access depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Study {
    pub(crate) site: &'static str,
    pub(crate) id: &'static str,
    pub(crate) subject: &'static str,
}

/// Whether a token with these claims, whose signature holds, grants reading `study` at `now` (seconds since 1970) to a
/// client without a certificate.
pub(crate) fn may_read(claims: &Value, study: Study, now: f64) -> bool {
    is_for_this_service(claims) && is_valid_at(claims, now) && grants_site(claims, study.site) && {
        let Some(scopes) = scopes(claims) else { return false };
        let smart: Vec<_> = scopes.iter().filter_map(|scope| smart_scope(scope)).collect();
        let patient = claims["patient"].as_str().unwrap_or_default();
        smart.is_empty()
            || smart.iter().any(|&(level, reads)| {
                reads && (level != "patient" || study.subject == format!("Patient/{patient}"))
            })
    }
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
    claims["iss"] == local::ISSUER && audience && subject && claims.get("cnf").is_none()
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
    match &claims["siteIds"] {
        Value::Array(list) => list.iter().any(is_site),
        one => is_site(one),
    }
}

/// All scopes of `scope` and `scp`; `None` where one of them has a wrong type.
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
    Some(all)
}

/// The level of a SMART scope, and whether it grants reading any `ImagingStudy`.
fn smart_scope(scope: &str) -> Option<(&str, bool)> {
    let (level @ ("patient" | "user" | "system"), rest) = scope.split_once('/')? else { return None };
    let reads = [
        "read", "*", "r", "cr", "ru", "rd", "rs", "cru", "crd", "crs", "rud", "rus", "rds", "crud", "crus",
        "crds", "ruds", "cruds",
    ];
    let granted =
        reads.iter().any(|read| rest == format!("ImagingStudy.{read}") || rest == format!("*.{read}"));
    Some((level, granted))
}
