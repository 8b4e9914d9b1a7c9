//! The identifiers of sites and studies.

use std::fmt;

use thiserror::Error;

/// Names one study of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyRef {
    /// The site that owns the study; the table's partition key.
    pub site: SiteId,
    /// The study's logical id; the table's sort key.
    pub study: FhirId,
}

/// A site's identifier: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SiteId(String);

impl SiteId {
    /// Parses a site identifier.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::SiteId)
        }
    }

    /// The identifier, the same in the path and in the table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The logical id of a resource: 1 to 64 of `A-Z a-z 0-9 . -` (FHIR R4 datatypes.html#id).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FhirId(String);

impl FhirId {
    /// Parses a FHIR id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::FhirId)
        }
    }

    /// The id, in its original case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id in lower case, which is how we write keys.
    #[must_use]
    pub fn key(&self) -> Self {
        Self(self.0.to_ascii_lowercase())
    }

    /// [`FhirId::key`] if it differs from the id; `None` if the id has no upper-case letter.
    #[must_use]
    pub fn lower_case(&self) -> Option<Self> {
        self.0.bytes().any(|b| b.is_ascii_uppercase()).then(|| self.key())
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FhirId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an identifier is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Not a site identifier.
    #[error("siteId must be 1 to 128 letters, digits, '.', '_', '~' or '-'")]
    SiteId,
    /// Not a FHIR id.
    #[error("id must be 1 to 64 letters, digits, '.' or '-'")]
    FhirId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_any_other_character_are_rejected() {
        for text in ["", "a b", "a_b", "a#b", "ä", "a/b", "a\0", "a%41", "../a~"] {
            assert!(FhirId::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "a b", "a#b", "ä", "a/b", "a\n", "a*"] {
            assert!(SiteId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_an_id_with_an_upper_case_letter_has_a_lower_case_form() {
        assert_eq!(FhirId::parse("aB").unwrap().lower_case(), FhirId::parse("ab").ok());
        assert_eq!(FhirId::parse("ab-1").unwrap().lower_case(), None);
    }

    #[test]
    fn ids_are_shown_as_they_are() {
        assert_eq!(SiteId::parse("Site-4").unwrap().to_string(), "Site-4");
        assert_eq!(FhirId::parse("Study-1").unwrap().to_string(), "Study-1");
    }
}
