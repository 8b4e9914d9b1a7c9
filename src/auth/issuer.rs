//! What one issuer's tokens must be, and what they may read.

use std::time::Duration;

use super::access::Access;
use super::key_set::Algorithms;
use super::key_source::KeySource;

/// The rules for the tokens of one issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The exact `iss`. `None` disables the check, and in a list is for tokens without `iss`.
    pub iss: Option<String>,
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

/// The issuers whose tokens are accepted.
#[derive(Clone, Debug)]
pub enum Issuers {
    /// One, by which every token is verified.
    One(Box<Issuer>),
    /// Several, each with an `iss` of its own, which chooses among them.
    Several(Vec<Issuer>),
}

impl From<Issuer> for Issuers {
    fn from(issuer: Issuer) -> Self {
        Self::One(Box::new(issuer))
    }
}
