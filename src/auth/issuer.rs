//! What is configured for the tokens of an issuer.

use std::time::Duration;

use super::access::Access;
use super::key_set::Algorithms;
use super::key_source::KeySource;

/// The rules for tokens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The exact `iss`. `None` disables the check.
    pub issuer: Option<String>,
    /// Accepted audiences. `None` disables the check.
    pub audiences: Option<Vec<String>>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// The algorithms that tokens may be signed with.
    pub algorithms: Algorithms,
    /// The tolerated difference between the issuer's clock and this one.
    pub leeway: Duration,
    /// How claims grant access.
    pub access: Access,
}
