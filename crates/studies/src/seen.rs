//! The ids of an input.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;

use table::id::FhirId;

/// The ids of an input so far. Takes some 40 bytes for each id without capitals: its hash is kept, not itself.
#[derive(Default)]
pub(crate) struct Seen {
    hashers: [RandomState; 2],
    /// The id itself if it has capitals, by the hash of its lower-case form.
    ids: HashMap<u128, Option<Box<str>>>,
}

/// What is known of an id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    New,
    /// Another document has it.
    Again,
    /// Another document has an id that differs only in case: this one.
    OtherCase(String),
}

impl Seen {
    pub(crate) fn see(&mut self, id: &FhirId) -> Sight {
        let key = id.key();
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(key.as_str())));
        let spelling = id.lower_case().map(|_| id.as_str());
        match self.ids.entry(high << 64 | low) {
            Entry::Vacant(vacant) => {
                vacant.insert(spelling.map(Box::from));
                Sight::New
            }
            Entry::Occupied(seen) if seen.get().as_deref() == spelling => Sight::Again,
            Entry::Occupied(seen) => {
                Sight::OtherCase(seen.get().as_deref().unwrap_or(key.as_str()).to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_or_seen_or_seen_in_other_case() {
        let mut seen = Seen::default();
        for (id, expected) in [
            ("a", Sight::New),
            ("a", Sight::Again),
            ("A", Sight::OtherCase("a".to_owned())),
            ("Bc", Sight::New),
            ("Bc", Sight::Again),
            ("bC", Sight::OtherCase("Bc".to_owned())),
            ("bc", Sight::OtherCase("Bc".to_owned())),
            ("b", Sight::New),
        ] {
            assert_eq!(seen.see(&FhirId::parse(id).unwrap()), expected, "{id}");
        }
    }
}
