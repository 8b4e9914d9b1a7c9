//! What the tables of elements are made of: the shape of a FHIR type.

use super::primitive::Primitive;

/// A FHIR type with elements.
pub(super) struct Type {
    pub(super) name: &'static str,
    /// Sorted by name.
    pub(super) elements: &'static [Element],
    /// Optional elements of the type that this one is derived from, sorted by name.
    pub(super) inherited: &'static [Element],
    /// A type that has the first member needs the second, by the rule in third place.
    pub(super) needs: &'static [(&'static str, &'static str, &'static str)],
    /// Whether members that are not elements are allowed.
    pub(super) open: bool,
}

impl Type {
    pub(super) const fn needing(self, needs: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        Self { needs, ..self }
    }

    pub(super) fn element(&self, name: &str) -> Option<&'static Element> {
        [self.elements, self.inherited].into_iter().find_map(|elements| {
            let at = elements.binary_search_by(|element| element.name.cmp(name)).ok()?;
            Some(&elements[at])
        })
    }
}

/// An element, by its JSON member. A choice of types is several elements, of which one may be present.
pub(super) struct Element {
    pub(super) name: &'static str,
    /// The name of the choice: `value[x]` for `valueString` and the others.
    pub(super) choice: Option<&'static str>,
    pub(super) count: Count,
    pub(super) shape: Shape,
}

pub(super) const fn element(name: &'static str, count: Count, shape: Shape) -> Element {
    Element { name, choice: None, count, shape }
}

pub(super) const fn choice(choice: &'static str, name: &'static str, count: Count, shape: Shape) -> Element {
    Element { name, choice: Some(choice), count, shape }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Optional,
    Required,
    Any,
    AtLeastOne,
}

pub(super) enum Shape {
    /// A primitive without id and extensions: `id`, `Extension.url`, `Narrative.div`.
    Attribute(Primitive),
    /// A primitive whose id and extensions are in the member `_name`.
    Primitive(Primitive),
    /// A code of a required value set, sorted.
    Code(&'static [&'static str]),
    /// A code that is the name of a resource type or datatype.
    TypeName,
    Complex(&'static Type),
    /// A reference to one of these resource types; to any if the list is empty.
    Reference(&'static [&'static str]),
    /// A contained resource.
    Resource,
}
