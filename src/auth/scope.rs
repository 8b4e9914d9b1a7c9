//! SMART scopes: what binds a token, and what grants a read (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
//!
//! Not every issuer can write `patient/ImagingStudy.rs`: Entra ID allows no slash, Cognito puts a prefix in front. So a
//! scope binds as soon as it may be meant as a restriction, and grants only in the few forms that are understood.

use serde_json::Value;

use super::error::TokenError;

/// Which scopes count, and whether a token needs one.
#[derive(Clone, Debug, Default)]
pub struct ScopeRules {
    /// Whether a token without a scope that grants a read may read.
    pub requirement: SmartScopes,
    /// What the issuer puts in front of a SMART scope.
    pub prefix: Option<ScopePrefix>,
    /// Scopes that count as absent.
    pub ignored: Vec<String>,
}

/// Whether a token without SMART scopes may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmartScopes {
    /// It may: SMART scopes bind only tokens that carry any.
    #[default]
    Optional,
    /// It may not.
    Required,
}

/// What an issuer puts in front of every scope of this API, such as `https://api.example/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePrefix(String);

impl ScopePrefix {
    /// Parses a prefix: characters of a scope, `/` or `:` at the end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.ends_with(['/', ':']) && text.chars().all(is_scope_character)).then(|| Self(text.to_owned()))
    }
}

/// On whose behalf a scope grants reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeContext {
    /// `patient/`: the patient of the token.
    Patient,
    /// `user/`: the user of the token.
    User,
    /// `system/`: a client of its own.
    System,
}

/// What the scopes of a token say about reading an `ImagingStudy`.
pub(super) struct Scopes {
    /// Whether the token reads nothing but what its scopes grant.
    pub(super) bind: bool,
    /// The contexts in which its scopes grant reading.
    pub(super) granted: Vec<ScopeContext>,
}

impl Scopes {
    /// Reads the claims `scope` and `scp` together. Each is a string or a list of strings, and every string is split at
    /// spaces (RFC 8693 §4.2), so that a scope binds wherever it is written. A claim of another type, or a character that
    /// no scope has, is an error: ignoring it would lift the restriction that it is meant to be.
    pub(super) fn of(claims: &Value, rules: &ScopeRules) -> Result<Self, TokenError> {
        let mut scopes = Vec::new();
        for claim in ["scope", "scp"].iter().filter_map(|name| claims.get(name)) {
            for text in claim.as_array().map_or(std::slice::from_ref(claim), Vec::as_slice) {
                let text = text.as_str().ok_or(TokenError::ScopeMalformed)?;
                scopes.extend(text.split(' ').filter(|scope| !scope.is_empty()));
            }
        }
        if !scopes.iter().all(|scope| scope.chars().all(is_scope_character)) {
            return Err(TokenError::ScopeMalformed);
        }
        scopes.retain(|scope| !rules.ignored.iter().any(|ignored| ignored == scope));
        let granted: Vec<_> =
            scopes.iter().filter_map(|scope| granted(scope, rules.prefix.as_ref())).collect();
        let bind = !granted.is_empty()
            || rules.requirement == SmartScopes::Required
            || scopes.iter().any(|scope| binds(scope));
        Ok(Self { bind, granted })
    }
}

/// RFC 6749 §3.3.
pub(crate) fn is_scope_character(c: char) -> bool {
    matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e')
}

/// Whether a scope may be meant as a restriction to SMART's contexts or to imaging studies.
fn binds(scope: &str) -> bool {
    // What is percent-encoded is a slash to whoever decodes it.
    let scope = scope.replace("%2F", "/").replace("%2f", "/");
    words(&scope).any(|(has_predecessor, word, rest)| match word.to_ascii_lowercase().as_str() {
        "launch" => true,
        "patient" => !rest.is_empty(),
        "user" | "system" if rest.starts_with('/') => true,
        "user" | "system" => word.bytes().all(|b| b.is_ascii_lowercase()) && names_resources(rest),
        _ => has_predecessor && word == "ImagingStudy" && rest.starts_with('.'),
    })
}

/// The runs of ASCII letters and digits in a scope, each with whether something stands before it, and with what follows.
fn words(scope: &str) -> impl Iterator<Item = (bool, &str, &str)> {
    let mut start = 0;
    scope.split(|c: char| !c.is_ascii_alphanumeric()).map(move |word| {
        let (is_first, end) = (start == 0, start + word.len());
        start = end + 1;
        (!is_first, word, &scope[end..])
    })
}

/// Whether `rest` is a separator, a resource type, `*` or `all`, a dot, and something.
fn names_resources(rest: &str) -> bool {
    let Some((resource, permissions)) = rest.get(1..).and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let is_type = resource.starts_with(|c: char| c.is_ascii_uppercase())
        && resource.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_type || matches!(resource, "*" | "all")) && !permissions.is_empty()
}

/// The context in which a scope grants reading an `ImagingStudy`: a prefix or none, a context, a separator, `ImagingStudy`,
/// `*` or `all`, a dot, and `read` or `*` (version 1) or an ordered choice of `cruds` with `r` (version 2). Search does not
/// imply read, and a scope with search parameters (`?`) grants nothing, because they are not evaluated. Another prefix
/// than the configured one may be another API's.
fn granted(scope: &str, prefix: Option<&ScopePrefix>) -> Option<ScopeContext> {
    let scope = prefix.and_then(|ScopePrefix(prefix)| scope.strip_prefix(prefix.as_str())).unwrap_or(scope);
    let contexts =
        [("patient", ScopeContext::Patient), ("user", ScopeContext::User), ("system", ScopeContext::System)];
    let (context, rest) =
        contexts.into_iter().find_map(|(name, context)| Some((context, scope.strip_prefix(name)?)))?;
    let rest =
        ["/", ".", "$", "-", "%2F", "%2f"].iter().find_map(|separator| rest.strip_prefix(separator))?;
    let ("ImagingStudy" | "*" | "all", permissions) = rest.split_once('.')? else { return None };
    let reads =
        matches!(permissions, "read" | "*") || (permissions.contains('r') && is_ordered_choice(permissions));
    reads.then_some(context)
}

/// Whether `permissions` are letters of `cruds`, each at most once and in that order.
fn is_ordered_choice(permissions: &str) -> bool {
    let mut letters = "cruds".chars();
    permissions.chars().all(|permission| letters.any(|letter| letter == permission))
}
