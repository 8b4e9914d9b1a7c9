//! Documents as gzip members (RFC 1952).

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};

use crate::error::DocumentError;
use crate::limit::{MAX_GZIP_BYTES, MAX_JSON_BYTES};

/// Puts the parts of a document together, once they are known to be one gzip member that a response can carry.
pub fn join(parts: &[Vec<u8>]) -> Result<Vec<u8>, DocumentError> {
    check_gzip(parts)?;
    Ok(parts.concat())
}

/// Inflates a gzip member to its JSON text, at most [`MAX_JSON_BYTES`].
pub fn inflate(gzip: &[u8]) -> Result<String, DocumentError> {
    // No more at once than compression can plausibly have saved: the claim may be false.
    let capacity = claimed_len(gzip).min(gzip.len().saturating_mul(16)).min(MAX_JSON_BYTES);
    let text = decode(&[gzip], Vec::with_capacity(capacity))?;
    String::from_utf8(text).map_err(|_| DocumentError::Utf8)
}

/// Whether a response can carry a compressed document of so many bytes.
#[must_use]
pub fn fits_response(gzip_bytes: usize) -> bool {
    gzip_bytes <= MAX_GZIP_BYTES
}

/// Checks that the chunks are one gzip member within the limits, in constant memory.
pub fn check_gzip(chunks: &[impl AsRef<[u8]>]) -> Result<(), DocumentError> {
    decode(chunks, io::sink()).map(drop)
}

fn decode<W: Write>(chunks: &[impl AsRef<[u8]>], out: W) -> Result<W, DocumentError> {
    if !fits_response(chunks.iter().map(|chunk| chunk.as_ref().len()).sum()) {
        return Err(DocumentError::TooLarge);
    }
    let mut decoder = GzDecoder::new(Limited { out, left: MAX_JSON_BYTES });
    // Data after the end of the member is not accepted, and so an error too.
    let written = chunks.iter().try_for_each(|chunk| decoder.write_all(chunk.as_ref()));
    match written.and_then(|()| decoder.finish()) {
        Ok(limited) => Ok(limited.out),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(DocumentError::TooLarge),
        Err(error) => Err(DocumentError::Gzip(error)),
    }
}

/// A writer that fails with [`io::ErrorKind::FileTooLarge`] after `left` bytes.
struct Limited<W> {
    out: W,
    left: usize,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The size that gzip data claims to inflate to (RFC 1952 §2.3.1, ISIZE). Only [`check_gzip`] or [`inflate`] can tell
/// whether the claim is true.
#[must_use]
pub fn claimed_len(gzip: &[u8]) -> usize {
    gzip.last_chunk().map_or(0, |trailer| u32::from_le_bytes(*trailer) as usize)
}

/// The header of a gzip member with deflate data, and room for its trailer (RFC 1952 §2.3).
pub(crate) fn looks_like_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8]) && bytes.len() >= 18
}

/// Compresses `bytes` to a gzip member.
#[must_use]
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "writing to a Vec does not fail")]
pub fn compress(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8 + 64), level);
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to a Vec does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &[u8] = br#"{"resourceType":"ImagingStudy"}"#;

    fn gzip(text: &[u8]) -> Vec<u8> {
        compress(text, Compression::fast())
    }

    #[test]
    fn gzip_is_inflated_up_to_32_mib() {
        let mut json = vec![b' '; MAX_JSON_BYTES];
        assert_eq!(inflate(&gzip(&json)).map(|text| text.len()).ok(), Some(MAX_JSON_BYTES));
        json.push(b' ');
        assert!(matches!(inflate(&gzip(&json)), Err(DocumentError::TooLarge)));
        assert!(matches!(inflate(&gzip(b"{}")[..10]), Err(DocumentError::Gzip(_))));
        assert!(matches!(inflate(&gzip(b"\xff")), Err(DocumentError::Utf8)));
    }

    #[test]
    fn more_gzip_than_a_response_carries_is_too_large() {
        assert!(matches!(inflate(&vec![0; MAX_GZIP_BYTES]), Err(DocumentError::Gzip(_))));
        assert!(matches!(inflate(&vec![0; MAX_GZIP_BYTES + 1]), Err(DocumentError::TooLarge)));
    }

    #[test]
    fn parts_are_put_together_only_if_they_are_one_gzip_member() {
        let gzip = gzip(STUDY);
        let parts = |at: usize| vec![gzip[..at].to_vec(), gzip[at..].to_vec()];
        assert_eq!(join(&parts(20)).ok(), Some(gzip.clone()));
        assert_eq!(join(std::slice::from_ref(&gzip)).ok(), Some(gzip.clone()));
        for damaged in [vec![], vec![gzip[..20].to_vec()], [parts(20), parts(20)].concat()] {
            assert!(matches!(join(&damaged), Err(DocumentError::Gzip(_))));
        }
    }

    #[test]
    fn the_claimed_size_is_the_last_four_bytes() {
        assert_eq!(claimed_len(&gzip(&[b' '; 300])), 300);
        assert_eq!(claimed_len(&[0; 3]), 0);
    }
}
