//! SMART scopes.

use serde_json::Value;

use super::error::TokenError;

/// Whether a token without SMART scopes may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmartScopes {
    /// It may: SMART scopes bind only tokens that carry any.
    Optional,
    /// It may not.
    Required,
}

/// The token's scopes: those of the claims `scope` and `scp` together. Each is a string or a list of strings, and every
/// string is split at spaces (RFC 8693 §4.2), so that a scope binds wherever it is written.
pub(super) fn scopes(claims: &Value) -> Result<Vec<&str>, TokenError> {
    let mut scopes = Vec::new();
    for claim in ["scope", "scp"].iter().filter_map(|name| claims.get(name)) {
        for text in claim.as_array().map_or(std::slice::from_ref(claim), Vec::as_slice) {
            let text = text.as_str().ok_or(TokenError::ScopeMalformed)?;
            scopes.extend(text.split(' ').filter(|scope| !scope.is_empty()));
        }
    }
    // RFC 6749 §3.3. A scope must not hide behind another separator.
    if scopes.iter().any(|scope| scope.contains(|c: char| c.is_whitespace() || c.is_control())) {
        return Err(TokenError::ScopeMalformed);
    }
    Ok(scopes)
}

/// A scope with the prefix `patient/`, `user/` or `system/`.
pub(super) struct SmartScope<'a> {
    pub(super) is_patient: bool,
    rest: &'a str,
}

impl<'a> SmartScope<'a> {
    pub(super) fn parse(scope: &'a str) -> Option<Self> {
        let (context, rest) = scope.split_once('/')?;
        matches!(context, "patient" | "user" | "system")
            .then_some(Self { is_patient: context == "patient", rest })
    }

    /// Whether the scope is `ImagingStudy` or `*`, then `.read` or `.*` (version 1) or an ordered choice of `cruds` that
    /// includes `r` (version 2). Search does not imply read. A scope with search parameters (`?`) grants nothing, because
    /// they are not evaluated.
    pub(super) fn reads_imaging_studies(&self) -> bool {
        let Some(("ImagingStudy" | "*", permissions)) = self.rest.split_once('.') else { return false };
        matches!(permissions, "read" | "*") || (permissions.contains('r') && is_ordered_choice(permissions))
    }
}

/// Whether `permissions` are letters of `cruds`, each at most once and in that order.
fn is_ordered_choice(permissions: &str) -> bool {
    let mut letters = "cruds".chars();
    permissions.chars().all(|permission| letters.any(|letter| letter == permission))
}
