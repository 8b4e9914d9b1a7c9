//! The protocol of parts, as far as the items themselves follow it. `docs/architecture.md` draws the whole.
//!
//! Each attempt to write a study has a [`WriteId`], which its head and the keys of its parts carry. Two attempts never
//! share a part, even of the same bytes, and a part tells how old it is.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Timestamp, Uuid};

use crate::attribute::{self, Item};
use crate::id::FhirId;
use crate::limit::MAX_PARTS;

/// The longest time between an attempt's first part and its head.
pub const HEAD_WITHIN: Duration = Duration::from_mins(30);
/// The age from which a part that no head names may be deleted: no attempt that wrote it can still put its head.
pub const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// Names one attempt to write a study and says when it began: a `UUIDv7` (RFC 9562 §5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteId(Uuid);

impl WriteId {
    /// Characters of a write id.
    pub(crate) const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

    /// Stands for any in sizes.
    pub(crate) const ANY: Self = Self(Uuid::nil());

    /// A new write id, of an attempt that begins now.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Uuid::new_v7(Timestamp::from_unix(NoContext, now.as_secs(), now.subsec_nanos())))
    }

    /// Parses a write id in the form in which it is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text).ok()?);
        (id.0.get_version_num() == 7 && id.to_string() == text).then_some(id)
    }

    /// The write id of a head; `None` for one that another writer put.
    #[must_use]
    pub fn of(head: &Item) -> Option<Self> {
        Self::parse(head.get(attribute::WRITE_ID)?.as_s().ok()?)
    }

    /// Whether the head of this attempt may still be put.
    #[must_use]
    pub fn permits_head(self, now: SystemTime) -> bool {
        now.duration_since(self.began()).is_ok_and(|age| age <= HEAD_WITHIN)
    }

    /// Whether parts of this attempt may be deleted if no head names them.
    #[must_use]
    pub fn is_abandoned(self, now: SystemTime) -> bool {
        now.duration_since(self.began()).is_ok_and(|age| age > ABANDONED_AFTER)
    }

    fn began(self) -> SystemTime {
        let (seconds, nanoseconds) = self.0.get_timestamp().map_or((0, 0), |began| began.to_unix());
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The sort key of a part that this project wrote: `{the head's key}#{write id}#{index}`. `#` is in no FHIR id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartKey {
    /// The sort key of the head.
    pub head: String,
    /// The attempt that wrote the part.
    pub write: WriteId,
    /// The place of the part in the document, from 0.
    pub index: usize,
}

impl PartKey {
    /// Parses a sort key; `None` for a study's own and for those of other writers.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let mut pieces = key.split('#');
        let (head, write, index) = (pieces.next()?, pieces.next()?, pieces.next()?);
        let part = Self { head: head.to_owned(), write: WriteId::parse(write)?, index: index.parse().ok()? };
        (FhirId::parse(head).is_ok() && part.index < MAX_PARTS && part.to_string() == key).then_some(part)
    }
}

impl fmt::Display for PartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}#{}", self.head, self.write, self.index)
    }
}

/// Whether a sort key cannot be that of a study.
#[must_use]
pub fn is_part(key: &str) -> bool {
    key.contains('#')
}

/// The sort keys of the parts that a head names; none for a document in one item.
#[must_use]
pub fn part_keys(head: &Item) -> Vec<String> {
    let keys = head.get(attribute::PARTS).and_then(|keys| keys.as_l().ok());
    keys.into_iter().flatten().filter_map(|key| key.as_s().ok().cloned()).collect()
}

/// The parts that whoever replaced or deleted this head deletes with it: those of our key form under the head's own key.
/// What another writer names as a part may be a study.
#[must_use]
pub fn own_part_keys(head: &Item) -> Vec<String> {
    let Some(Ok(head_key)) = head.get(attribute::ID).map(|key| key.as_s()) else { return Vec::new() };
    let mut keys = part_keys(head);
    keys.retain(|key| PartKey::parse(key).is_some_and(|part| part.head == *head_key));
    keys
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_750_000_000);

    fn began(ago: Duration) -> WriteId {
        WriteId::new(UNIX_EPOCH + NOW - ago)
    }

    #[test]
    fn two_write_ids_differ_and_are_read_back() {
        let (one, other) = (began(Duration::ZERO), began(Duration::ZERO));
        assert_ne!(one, other);
        assert_eq!(WriteId::parse(&one.to_string()), Some(one));
        assert_eq!(one.to_string().len(), WriteId::LENGTH);
    }

    #[test]
    fn only_a_uuid_of_version_7_in_lower_case_is_a_write_id() {
        let id = began(Duration::ZERO).to_string();
        for text in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("urn:uuid:{id}"),
            "c757873d-ec9a-4326-a141-556f43239520".to_owned(),
            String::new(),
        ] {
            assert_eq!(WriteId::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_head_is_put_within_half_an_hour_and_its_parts_are_abandoned_after_a_day() {
        let second = Duration::from_secs(1);
        let now = UNIX_EPOCH + NOW;
        for (ago, permits, abandoned) in [
            (Duration::ZERO, true, false),
            (HEAD_WITHIN, true, false),
            (HEAD_WITHIN + second, false, false),
            (ABANDONED_AFTER, false, false),
            (ABANDONED_AFTER + second, false, true),
        ] {
            assert_eq!(
                (began(ago).permits_head(now), began(ago).is_abandoned(now)),
                (permits, abandoned),
                "{ago:?}"
            );
        }
        // The clock was set back meanwhile: nobody knows how long the attempt takes.
        let future = WriteId::new(now + second);
        assert_eq!((future.permits_head(now), future.is_abandoned(now)), (false, false));
    }

    #[test]
    fn a_part_of_ours_is_recognized_by_its_key() {
        let write = began(Duration::ZERO);
        let part = PartKey { head: "a-1".to_owned(), write, index: 12 };
        assert_eq!(PartKey::parse(&part.to_string()), Some(part));
        for key in [
            "a".to_owned(),
            format!("#{write}#0"),
            format!("a_b#{write}#0"),
            format!("a#{write}"),
            format!("a#{write}#"),
            format!("a#{write}#01"),
            format!("a#{write}#+1"),
            format!("a#{write}#16"),
            format!("a#{write}#0#0"),
            "a#0123456789abcdef0123456789abcdef#0".to_owned(),
        ] {
            assert_eq!(PartKey::parse(&key), None, "{key}");
        }
    }

    #[test]
    fn only_parts_of_our_form_under_the_heads_own_key_go_with_it() {
        let own = PartKey { head: "a".to_owned(), write: began(Duration::ZERO), index: 0 }.to_string();
        let of_another = PartKey { head: "b".to_owned(), write: began(Duration::ZERO), index: 0 }.to_string();
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let named = [&own, &of_another, "victim", "a#0123456789abcdef0123456789abcdef#0"].map(text);
        let head = Item::from([
            (attribute::ID.to_owned(), text("a")),
            (attribute::PARTS.to_owned(), AttributeValue::L(named.to_vec())),
        ]);
        assert_eq!(own_part_keys(&head), [own]);
    }
}
