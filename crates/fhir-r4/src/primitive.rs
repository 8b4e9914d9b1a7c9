//! The primitive types of FHIR R4 and the format of their values (<http://hl7.org/fhir/R4/datatypes.html#primitive>).

use table::id::FhirId;

use super::work::count;
use super::xhtml;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    /// `Element.id`: a string without spaces.
    ElementId,
    Id,
    Instant,
    Integer,
    Markdown,
    /// A code of BCP 13.
    MimeType,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

/// Characters in a string: "strings SHALL NOT exceed 1MB" (1024*1024 characters).
const LONGEST_STRING: usize = 1024 * 1024;

impl Primitive {
    pub(super) fn check_number(self, digits: &str) -> Result<(), String> {
        let (low, reason) = match self {
            Self::Decimal => return Ok(()),
            Self::Integer => (i32::MIN, "must be an integer of 32 bits"),
            Self::UnsignedInt => (0, "must be an integer from 0 to 2147483647"),
            Self::PositiveInt => (1, "must be an integer from 1 to 2147483647"),
            _ => return Err(self.instead_of("a number")),
        };
        let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match digits.parse::<i32>() {
            // R4's expression for unsignedInt has no sign: `-0` does not match.
            Ok(number) if plain && number >= low && (low < 0 || !digits.starts_with('-')) => Ok(()),
            _ => Err(reason.to_owned()),
        }
    }

    pub(super) fn check_text(self, text: &str) -> Result<(), String> {
        count(text.len());
        if matches!(
            self,
            Self::Boolean | Self::Decimal | Self::Integer | Self::UnsignedInt | Self::PositiveInt
        ) {
            return Err(self.instead_of("a string"));
        }
        if text.is_empty() {
            return Err("must not be an empty string".to_owned());
        }
        if text.bytes().any(|byte| byte < b' ' && !is_space(byte)) {
            return Err("must not have control characters".to_owned());
        }
        let (fits, reason) = match self {
            Self::String | Self::Markdown => {
                let fits = text.len() <= LONGEST_STRING || text.chars().nth(LONGEST_STRING).is_none();
                (fits, "must not exceed 1048576 characters")
            }
            Self::Uri | Self::Url | Self::Canonical | Self::ElementId => {
                (!text.bytes().any(is_space), "must not have white space")
            }
            Self::Code => (
                text.as_bytes().split(|byte| is_space(*byte)).all(|word| !word.is_empty()),
                "must not have white space but single spaces between words",
            ),
            Self::Id => (FhirId::parse(text).is_ok(), "must be 1 to 64 letters, digits, '.' or '-'"),
            Self::Base64Binary => (is_base64(text), "must be base64"),
            Self::Date => (is_date(text), "must be a date that exists, as YYYY, YYYY-MM or YYYY-MM-DD"),
            Self::DateTime => (
                is_date(text) || is_instant(text),
                "must be a date, or a date and time with seconds and time zone",
            ),
            Self::Instant => (is_instant(text), "must be a date and time with seconds and time zone"),
            Self::Time => (is_time(text), "must be a time as hh:mm:ss"),
            Self::Oid => (is_oid(text), "must be urn:oid: and an OID"),
            Self::Uuid => (is_uuid(text), "must be urn:uuid: and a UUID in lower case"),
            Self::MimeType => (is_mime_type(text), "must be a MIME type"),
            Self::Xhtml => return xhtml::check(text),
            Self::Boolean | Self::Decimal | Self::Integer | Self::UnsignedInt | Self::PositiveInt => {
                (false, "")
            }
        };
        if fits { Ok(()) } else { Err(reason.to_owned()) }
    }

    /// The reason for a value of another JSON type.
    pub(super) fn instead_of(self, found: &str) -> String {
        let wanted = match self {
            Self::Boolean => "true or false",
            Self::Decimal | Self::Integer | Self::UnsignedInt | Self::PositiveInt => "a number",
            _ => "a string",
        };
        format!("must be {wanted}, not {found}")
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    let (data, _) = bytes.split_at(bytes.len() - padding);
    !data.is_empty()
        && bytes.len().is_multiple_of(4)
        && padding <= 2
        && data.iter().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(b))
}

fn is_oid(text: &str) -> bool {
    let Some(arcs) = text.strip_prefix("urn:oid:") else { return false };
    let arc = |arc: &str| {
        !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
    };
    arcs.split_once('.')
        .is_some_and(|(root, rest)| matches!(root, "0" | "1" | "2") && rest.split('.').all(arc))
}

fn is_uuid(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix("urn:uuid:") else { return false };
    let groups: Vec<&str> = uuid.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && uuid.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// `type/subtype` and parameters (RFC 6838 §4.2).
fn is_mime_type(text: &str) -> bool {
    let name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let essence = text.split_once(';').map_or(text, |(essence, _)| essence.trim_end());
    essence.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype))
}

fn is_date(text: &str) -> bool {
    let mut rest = text;
    date(&mut rest).is_some() && rest.is_empty()
}

fn is_time(text: &str) -> bool {
    let mut rest = text;
    time(&mut rest).is_some() && rest.is_empty()
}

fn is_instant(text: &str) -> bool {
    let mut rest = text;
    date(&mut rest) == Some(Precision::Day)
        && literal(&mut rest, "T").is_some()
        && time(&mut rest).is_some()
        && zone(&mut rest).is_some()
        && rest.is_empty()
}

#[derive(PartialEq, Eq)]
enum Precision {
    Year,
    Month,
    Day,
}

fn date(rest: &mut &str) -> Option<Precision> {
    let year = number(rest, 4, 1, 9999)?;
    if literal(rest, "-").is_none() {
        return Some(Precision::Year);
    }
    let month = number(rest, 2, 1, 12)?;
    if literal(rest, "-").is_none() {
        return Some(Precision::Month);
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    number(rest, 2, 1, days)?;
    Some(Precision::Day)
}

/// A second of 60 is a leap second.
fn time(rest: &mut &str) -> Option<()> {
    number(rest, 2, 0, 23)?;
    literal(rest, ":")?;
    number(rest, 2, 0, 59)?;
    literal(rest, ":")?;
    number(rest, 2, 0, 60)?;
    if literal(rest, ".").is_some() {
        let fraction = rest.bytes().take_while(u8::is_ascii_digit).count();
        *rest = (fraction > 0).then(|| &rest[fraction..])?;
    }
    Some(())
}

fn zone(rest: &mut &str) -> Option<()> {
    if literal(rest, "Z").is_some() {
        return Some(());
    }
    literal(rest, "+").or_else(|| literal(rest, "-"))?;
    let hours = number(rest, 2, 0, 14)?;
    literal(rest, ":")?;
    number(rest, 2, 0, if hours == 14 { 0 } else { 59 })?;
    Some(())
}

fn number(rest: &mut &str, width: usize, low: u32, high: u32) -> Option<u32> {
    let (digits, after) = rest.split_at_checked(width)?;
    let value = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    *rest = after;
    (low..=high).contains(&value).then_some(value)
}

fn literal(rest: &mut &str, text: &str) -> Option<()> {
    *rest = rest.strip_prefix(text)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(kind: Primitive, texts: &[&str]) {
        for text in texts {
            assert_eq!(kind.check_text(text), Ok(()), "{text:?}");
        }
    }

    fn rejects(kind: Primitive, texts: &[&str]) {
        for text in texts {
            assert!(kind.check_text(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_date_exists_in_the_calendar() {
        accepts(
            Primitive::Date,
            &["2024", "2024-02", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"],
        );
        rejects(
            Primitive::Date,
            &[
                "0000", "24", "2024-13", "2024-00", "2024-2", "2023-02-29", "1900-02-29", "2024-04-31",
                "2024-01-00", "2024-", "2024-01-", "20240101", "+2024", "2024-01-01T00:00:00Z", "٢٠٢٤",
            ],
        );
    }

    #[test]
    fn a_date_with_a_time_has_seconds_and_a_zone() {
        accepts(
            Primitive::DateTime,
            &[
                "2024", "2024-02-29", "2016-12-31T23:59:60Z", "2024-01-01T00:00:00.123456789+14:00",
                "2024-01-01T00:00:00-13:59",
            ],
        );
        rejects(
            Primitive::DateTime,
            &[
                "2024-01-01T00:00Z", "2024-01-01T00:00:00", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
                "2024-01-01T00:00:61Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+14:01",
                "2024-01-01T00:00:00+15:00", "2024-01-01T00:00:00z", "2024-01-01t00:00:00Z",
                "2024-01-01 00:00:00Z", "2024-01T00:00:00Z", "2023-02-30T00:00:00Z",
            ],
        );
    }

    #[test]
    fn an_instant_has_a_time() {
        accepts(Primitive::Instant, &["2015-02-07T13:28:17.239+02:00", "2024-02-29T00:00:00Z"]);
        rejects(Primitive::Instant, &["2015", "2015-02-07", "2015-02-07T13:28:17"]);
    }

    #[test]
    fn a_time_has_seconds_and_no_zone() {
        accepts(Primitive::Time, &["00:00:00", "23:59:60", "12:30:00.5"]);
        rejects(Primitive::Time, &["12:30", "24:00:00", "12:30:00Z", "12:30:00."]);
    }

    #[test]
    fn integers_have_32_bits_and_no_point() {
        for (kind, good, bad) in [
            (
                Primitive::Integer,
                vec!["0", "-1", "2147483647", "-2147483648"],
                vec!["2147483648", "1.0", "1e2"],
            ),
            (Primitive::UnsignedInt, vec!["0", "2147483647"], vec!["-1", "-0", "2147483648", "0.0", "1E1"]),
            (Primitive::PositiveInt, vec!["1"], vec!["0", "-1", "1.5"]),
        ] {
            for number in good {
                assert_eq!(kind.check_number(number), Ok(()), "{number}");
            }
            for number in bad {
                assert!(kind.check_number(number).is_err(), "{number}");
            }
        }
    }

    #[test]
    fn a_decimal_may_be_any_json_number() {
        for number in ["0", "-0.10", "1E400", "123456789012345678901234567890.5"] {
            assert_eq!(Primitive::Decimal.check_number(number), Ok(()), "{number}");
        }
    }

    #[test]
    fn numbers_and_strings_are_not_interchangeable() {
        assert!(Primitive::String.check_number("1").is_err());
        assert!(Primitive::Integer.check_text("1").is_err());
        assert!(Primitive::Boolean.check_text("true").is_err());
    }

    #[test]
    fn text_is_not_empty_and_has_no_control_characters() {
        accepts(Primitive::String, &[" ", "a\tb\r\nc", "Ä \u{a0} 漢"]);
        rejects(Primitive::String, &["", "a\0", "\u{b}", "\u{1f}"]);
    }

    #[test]
    fn text_has_at_most_1048576_characters() {
        accepts(Primitive::String, &[&"ä".repeat(LONGEST_STRING)]);
        rejects(Primitive::String, &[&"ä".repeat(LONGEST_STRING + 1)]);
    }

    #[test]
    fn a_code_has_single_spaces_inside() {
        accepts(Primitive::Code, &["a", "a b c"]);
        rejects(Primitive::Code, &[" a", "a ", "a  b", "\ta"]);
    }

    #[test]
    fn an_address_has_no_white_space() {
        accepts(Primitive::Uri, &["urn:oid:1.2", "http://example.org/ä", "x"]);
        rejects(Primitive::Uri, &["a b", "a\n", ""]);
    }

    #[test]
    fn oids_and_uuids_are_urns() {
        accepts(Primitive::Oid, &["urn:oid:1.2.0.3", "urn:oid:2.25.123"]);
        rejects(Primitive::Oid, &["1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.02", "urn:oid:1..2"]);
        accepts(Primitive::Uuid, &["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"]);
        rejects(
            Primitive::Uuid,
            &["c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:C757873D-ec9a-4326-a141-556f43239520"],
        );
    }

    #[test]
    fn base64_has_groups_of_four_and_padding_at_the_end() {
        accepts(Primitive::Base64Binary, &["QUJD", "QUI=", "QQ==", "QU\nJD "]);
        rejects(Primitive::Base64Binary, &["QUJ", "QUJ-", "=QUJ", "Q=JD", "====", " "]);
    }

    #[test]
    fn a_mime_type_has_a_subtype() {
        accepts(Primitive::MimeType, &["image/jpeg", "application/fhir+json; fhirVersion=4.0"]);
        rejects(Primitive::MimeType, &["jpeg", "/jpeg", "image/", "image/a/b"]);
    }
}
