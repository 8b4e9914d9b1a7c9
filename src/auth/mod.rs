//! Authentication: a bearer token becomes a [`Principal`] or an [`AuthError`].

mod access;
mod certificate;
mod claim;
mod error;
mod hmac_secret;
mod issuer;
mod key_cache;
mod key_set;
mod key_source;
mod patient;
mod scope;
mod strict_json;
mod token;
mod verifier;

pub use self::access::{Access, Forbidden, Principal};
pub use self::certificate::ClientCertificate;
pub use self::claim::{AllSites, ClaimPath};
pub use self::error::{AuthError, KeysUnavailable, TokenError};
pub use self::issuer::{Issuer, Issuers};
pub use self::key_set::{Algorithms, SetError};
pub(crate) use self::key_source::is_https_url;
pub use self::key_source::{FETCH_TIMEOUT, Https, KeySource, SourceError};
pub use self::patient::PatientFilter;
pub(crate) use self::scope::is_scope_character;
pub use self::scope::{ScopePrefix, ScopeRules, SmartScopes};
pub(crate) use self::strict_json::{list as strict_json_list, object as strict_json_object};
pub use self::verifier::{Authentication, Verifier};
