//! Where the claims have a value, and which texts it is.

use serde_json::Value;

/// The location of a value in the claims: the name of a claim or, if it begins with `/`, a JSON pointer (RFC 6901). A claim
/// whose name is the pointer's text takes precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// Parses a path. It must not be empty, contain a control character, or be a pointer with an invalid escape
    /// (RFC 6901 §3).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let invalid_escape = text.starts_with('/')
            && text.split('~').skip(1).any(|after| !after.starts_with('0') && !after.starts_with('1'));
        let invalid = text.is_empty() || text.chars().any(char::is_control) || invalid_escape;
        (!invalid).then(|| Self(text.to_owned()))
    }

    /// A claim by its name.
    pub(super) fn named(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        let pointer = || self.0.starts_with('/').then(|| claims.pointer(&self.0))?;
        claims.get(&self.0).or_else(pointer)
    }
}

/// The claim and the value that grant every site, such as `role=ADMIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllSites {
    claim: ClaimPath,
    value: String,
}

impl AllSites {
    /// Parses `claim=value`, split at the first `=`. Neither may be empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (claim, value) = text.split_once('=')?;
        let invalid = value.is_empty() || value.chars().any(char::is_control);
        (!invalid).then_some(Self { claim: ClaimPath::parse(claim)?, value: value.to_owned() })
    }

    pub(super) fn granted_by(&self, claims: &Value) -> bool {
        self.claim.find(claims).is_some_and(|value| texts(value).contains(&self.value))
    }
}

/// The ids in a claim: a string is one id and never split, an integer is its digits, a list is its members. Anything else,
/// `4.0` and `1e0` included, is not an id.
pub(super) fn texts(value: &Value) -> Vec<String> {
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
