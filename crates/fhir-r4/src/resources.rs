//! The resource types of R4, and what each of them has where it is contained.

use super::elements;
use super::primitive::Primitive;
use super::schema::{Count, Shape, Type, element};

/// The elements of every contained resource; `text` and extensions are those of `DomainResource`.
pub(super) static CONTAINED: Type = Type {
    name: "Resource",
    elements: &[
        element("extension", Count::Any, Shape::Complex(&elements::EXTENSION)),
        element("id", Count::Optional, Shape::Attribute(Primitive::Id)),
        element("implicitRules", Count::Optional, Shape::Primitive(Primitive::Uri)),
        element("language", Count::Optional, Shape::Primitive(Primitive::Code)),
        element("meta", Count::Optional, Shape::Complex(&elements::META)),
        element("modifierExtension", Count::Any, Shape::Complex(&elements::EXTENSION)),
        element("text", Count::Optional, Shape::Complex(&elements::NARRATIVE)),
    ],
    inherited: &[],
    needs: &[],
    open: true,
};

/// Whether R4 has a resource type of this name.
pub(super) fn is_resource(name: &str) -> bool {
    elements::RESOURCES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Every type that an `ImagingStudy` reaches, by name.
    fn reached(from: &'static Type, types: &mut HashMap<&'static str, &'static Type>) {
        if types.insert(from.name, from).is_none() {
            for element in from.elements.iter().chain(from.inherited) {
                if let Shape::Complex(kind) = element.shape {
                    reached(kind, types);
                }
            }
        }
    }

    fn types() -> impl Iterator<Item = &'static Type> {
        let mut types = HashMap::new();
        for root in [&elements::IMAGING_STUDY, &elements::REFERENCE, &elements::ELEMENT, &CONTAINED] {
            reached(root, &mut types);
        }
        types.into_values()
    }

    #[test]
    fn tables_for_binary_search_are_sorted() {
        assert!(elements::RESOURCES.is_sorted() && elements::DATATYPES.is_sorted());
        for kind in types() {
            for elements in [kind.elements, kind.inherited] {
                assert!(elements.is_sorted_by(|a, b| a.name < b.name), "{}", kind.name);
            }
            for element in kind.elements {
                if let Shape::Code(codes) = element.shape {
                    assert!(codes.is_sorted(), "{}.{}", kind.name, element.name);
                }
            }
        }
    }

    #[test]
    fn reference_targets_are_resource_types_of_r4() {
        for kind in types() {
            for element in kind.elements {
                if let Shape::Reference(targets) = element.shape {
                    assert!(targets.iter().all(|name| is_resource(name)), "{}.{}", kind.name, element.name);
                }
            }
        }
    }

    #[test]
    fn every_rule_concerns_elements_of_its_type() {
        for kind in types() {
            for (member, needed, rule) in kind.needs {
                assert!(kind.element(member).is_some() && kind.element(needed).is_some(), "{rule}");
            }
        }
    }
}
