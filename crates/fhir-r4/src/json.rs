//! Reads JSON one level at a time. Deeper levels stay text, so that no number becomes a float and no duplicate member is
//! lost: the check reports it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::work::count;

/// Most objects have fewer members. So many are compared with each other faster than they are sorted.
const FEW: usize = 16;

/// The members of an object, in the order of the text.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(super) fn value(&self, name: &str) -> Option<&'a RawValue> {
        count(self.0.len());
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// The value of `_name`: the id and extensions of the primitive `name`.
    pub(super) fn extensions_of(&self, name: &str) -> Option<&'a RawValue> {
        count(self.0.len());
        self.0.iter().find(|(member, _)| member.strip_prefix('_') == Some(name)).map(|(_, value)| *value)
    }

    /// Leaves one member of each name, and returns the names of the others.
    pub(super) fn drop_repeated(&mut self) -> Vec<Cow<'a, str>> {
        count(self.0.len());
        if self.0.len() <= FEW {
            let is_new = |at: usize| self.0[..at].iter().all(|(name, _)| *name != self.0[at].0);
            if (1..self.0.len()).all(is_new) {
                return Vec::new();
            }
        }
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by(|one, other| self.0[*one].0.cmp(&self.0[*other].0));
        let repeated = order.windows(2).filter(|pair| self.0[pair[0]].0 == self.0[pair[1]].0);
        let mut repeated: Vec<usize> = repeated.map(|pair| pair[1]).collect();
        if repeated.is_empty() {
            return Vec::new();
        }
        let names = repeated.iter().map(|index| self.0[*index].0.clone()).collect();
        repeated.sort_unstable();
        let mut index = 0;
        self.0.retain(|_| {
            let is_repeated = repeated.binary_search(&index).is_ok();
            index += 1;
            !is_repeated
        });
        names
    }

    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        match Node::of(self.value(name)?) {
            Ok(Node::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn object(&self, name: &str) -> Option<Members<'a>> {
        match Node::of(self.value(name)?) {
            Ok(Node::Object(members)) => Some(members),
            _ => None,
        }
    }

    /// The objects in an array, with their places in it.
    pub(super) fn objects(&self, name: &str) -> impl Iterator<Item = (usize, Members<'a>)> + use<'a> {
        let items = match self.value(name).map(Node::of) {
            Some(Ok(Node::Array(items))) => items,
            _ => Vec::new(),
        };
        items.into_iter().enumerate().filter_map(|(index, item)| match Node::of(item) {
            Ok(Node::Object(members)) => Some((index, members)),
            _ => None,
        })
    }

    /// Whether the element is present, as a value or by its extensions alone.
    pub(super) fn has(&self, name: &str) -> bool {
        count(self.0.len());
        self.0.iter().any(|(member, _)| member.strip_prefix('_').unwrap_or(member) == name)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(FEW / 2);
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// Calls `each` with the objects of an array, in one pass over its text. Fails at what is not an object, after the calls
/// for the objects before it.
pub(super) fn each_object<'a>(raw: &'a RawValue, each: impl FnMut(Members<'a>)) -> serde_json::Result<()> {
    struct Each<F>(F);
    impl<'de, F: FnMut(Members<'de>)> Visitor<'de> for Each<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
            while let Some(members) = items.next_element()? {
                (self.0)(members);
            }
            Ok(())
        }
    }
    count(raw.get().len());
    serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Each(each))
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A value, one level deep.
pub(super) enum Node<'a> {
    Null,
    Boolean,
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<&'a RawValue>),
    Object(Members<'a>),
}

impl<'a> Node<'a> {
    /// Fails only for strings that are not Unicode: escapes of half a surrogate pair.
    pub(super) fn of(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        count(text.len());
        Ok(match text.as_bytes().first() {
            Some(b'{') => Self::Object(serde_json::from_str(text)?),
            Some(b'[') => Self::Array(serde_json::from_str(text)?),
            // The parser has seen the string's end, and no control character.
            Some(b'"') if !text.contains('\\') => Self::String(text[1..text.len() - 1].into()),
            Some(b'"') => Self::String(serde_json::from_str::<Text<'_>>(text)?.0),
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Boolean,
            _ => Self::Number(text),
        })
    }

    pub(super) fn json_type(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}
