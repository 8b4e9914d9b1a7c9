//! Secrets for HMAC that are none.

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::IgnoredAny;

/// Whether a secret is a public key or a certificate in one of their usual forms: PEM, an SSH key, DER or its base64, or
/// JSON, as a JWK is. Everyone knows a public key, and could sign with one that is configured as a secret (the confusion of
/// RS256 with HS256, RFC 8725 §2.1).
pub(super) fn is_public_key(secret: &[u8]) -> bool {
    is_pem(secret) || is_ssh_key(secret) || is_json(secret) || is_der(secret) || is_base64_der(secret)
}

/// RFC 7468, and the form of SSH2 (RFC 4716) with four dashes.
fn is_pem(secret: &[u8]) -> bool {
    let contains = |text: &[u8]| secret.windows(text.len()).any(|part| part == text);
    contains(b"-----BEGIN") || contains(b"---- BEGIN")
}

/// A line of `authorized_keys` (sshd(8)), whatever options stand in front.
fn is_ssh_key(secret: &[u8]) -> bool {
    let begins_key = |word: &[u8]| {
        [&b"ssh-"[..], b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"].iter().any(|name| word.starts_with(name))
    };
    secret.split(u8::is_ascii_whitespace).any(begins_key)
}

/// An object or a list.
fn is_json(secret: &[u8]) -> bool {
    matches!(secret.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<IgnoredAny>(secret).is_ok()
}

/// A SEQUENCE (X.690 §8.9) that ends where the bytes end and begins with a SEQUENCE or an INTEGER: X.509 certificates and
/// keys (RFC 5280), RSA keys (RFC 8017 §A.1). One of ten million random secrets looks like this.
fn is_der(bytes: &[u8]) -> bool {
    let Some((&[0x30, first], rest)) = bytes.split_first_chunk() else { return false };
    let (length, content) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let Some((digits, content)) = rest.split_at_checked(usize::from(first & 0x7f)) else {
                return false;
            };
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), content)
        }
        _ => return false,
    };
    length == content.len() && matches!(content.first(), Some(0x30 | 0x02))
}

fn is_base64_der(secret: &[u8]) -> bool {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let text: Vec<u8> = secret.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decodes_to_der = |alphabet: &Alphabet| {
        GeneralPurpose::new(alphabet, config).decode(&text).is_ok_and(|bytes| is_der(&bytes))
    };
    decodes_to_der(&STANDARD) || decodes_to_der(&URL_SAFE)
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    /// The form of a P-256 key (RFC 5480), without the point's own bytes.
    fn spki() -> Vec<u8> {
        let mut der = vec![0x30, 0x59, 0x30, 0x13, 0x06, 0x07];
        der.resize(0x5b, 0x41);
        der
    }

    /// An RSA key of 2048 bits (RFC 8017 §A.1.1).
    fn pkcs1() -> Vec<u8> {
        let mut der = vec![0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01];
        der.resize(4 + 0x10a, 0x41);
        der
    }

    /// In base64 this has characters that base64url does not have, and the other way around.
    fn with_both_marks(mut der: Vec<u8>) -> Vec<u8> {
        der[20..].fill(0xfb);
        der
    }

    #[test]
    fn public_keys_are_told_from_secrets() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
        for secret in [
            pem.as_bytes().to_vec(),
            format!("\u{feff}{pem}").into_bytes(),
            format!("Bag Attributes: <No Attributes>\n{pem}").into_bytes(),
            b"---- BEGIN SSH2 PUBLIC KEY ----".to_vec(),
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA someone@example".to_vec(),
            b"no-pty ssh-rsa AAAAB3NzaC1yc2EAAAA".to_vec(),
            b"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTI".to_vec(),
            br#" {"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_vec(),
            br#"[{"kty":"RSA","n":"AQAB","e":"AQAB"}]"#.to_vec(),
            spki(),
            pkcs1(),
            BASE64_STANDARD.encode(spki()).into_bytes(),
            BASE64_URL_SAFE_NO_PAD.encode(pkcs1()).into_bytes(),
            BASE64_STANDARD.encode(with_both_marks(pkcs1())).into_bytes(),
            BASE64_URL_SAFE_NO_PAD.encode(with_both_marks(pkcs1())).into_bytes(),
            BASE64_STANDARD.encode(pkcs1()).replace('A', "A\n").into_bytes(),
        ] {
            assert!(is_public_key(&secret), "{:?}", String::from_utf8_lossy(&secret));
        }
        let cut_short = spki()[..60].to_vec();
        for secret in [
            b"thirty-two bytes of a shared key".to_vec(),
            b"{thirty-two bytes of a shared key".to_vec(),
            b"[thirty-two bytes of a shared key]".to_vec(),
            b"0123456789abcdef0123456789abcdef".to_vec(),
            BASE64_STANDARD.encode([0x30; 32]).into_bytes(),
            cut_short,
            vec![0x30; 64],
            vec![0xff; 64],
            Vec::new(),
        ] {
            assert!(!is_public_key(&secret), "{:?}", String::from_utf8_lossy(&secret));
        }
    }
}
