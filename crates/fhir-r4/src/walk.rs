//! The walk over a document, and the problems it finds.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use serde_json::value::RawValue;

use super::elements;
use super::json::{Members, Node, each_object};
use super::primitive::Primitive;
use super::problem::{MAX_PROBLEMS, Problem};
use super::resources::{CONTAINED, is_resource};
use super::schema::{Count, Element, Shape, Type};
use table::id::FhirId;

/// Levels of objects and arrays that a document may have. JSON parsers commonly stop at 128.
const MAX_DEPTH: usize = 100;

const STUDY: &str = "ImagingStudy";
/// The code by which a server tags a resource of which it left out elements (FHIR R4 search.html#summary).
const SUBSETTED: &str = "SUBSETTED";
/// The end of the extension's URL by which Microsoft's FHIR server marks a deleted resource that it keeps.
const DELETED_STATE: &str = "/deleted-state";
const CONDITIONAL: &str = "is a conditional reference, which only the server that it was sent to can resolve";

/// The position of the walk. It becomes text only for a problem.
#[derive(Clone, Copy)]
struct Path<'p> {
    parent: Option<&'p Self>,
    step: Step<'p>,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Member(&'p str),
    Item(usize),
}

impl<'p> Path<'p> {
    fn root(name: &'p str) -> Self {
        Self { parent: None, step: Step::Member(name), depth: 0 }
    }

    fn member(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Member(name), depth: self.depth + 1 }
    }

    fn item(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Item(index), depth: self.depth + 1 }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match (self.step, self.parent) {
            // A member that R4 does not define may have any name.
            (Step::Member(name), parent) => {
                if parent.is_some() {
                    f.write_str(".")?;
                }
                write!(f, "{}", name.escape_debug().take(64).collect::<String>())
            }
            (Step::Item(index), _) => write!(f, "[{index}]"),
        }
    }
}

struct Contained {
    path: String,
    id: Option<String>,
    refers_to_container: bool,
}

#[derive(Default)]
pub(super) struct Walk {
    pub(super) problems: Vec<Problem>,
    pub(super) omitted: usize,
    contained: Vec<Contained>,
    /// The resource types of the contained resources, by id.
    types: HashMap<String, Option<String>>,
    /// Ids referred to as `#id` anywhere; an empty one for `#`, the container.
    referred: HashSet<String>,
}

impl Walk {
    fn problem(&mut self, at: &Path<'_>, reason: impl Into<Cow<'static, str>>) {
        self.problem_at(|| at.to_string(), reason);
    }

    fn problem_at(&mut self, path: impl FnOnce() -> String, reason: impl Into<Cow<'static, str>>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { path: path(), reason: reason.into() });
        } else {
            self.omitted += 1;
        }
    }

    /// Why a document is not an object that can be read.
    pub(super) fn no_object(&mut self, document: &RawValue) {
        self.object(&Path::root(STUDY), document);
    }

    /// The document's id, if it has one that is well formed.
    pub(super) fn study(&mut self, mut members: Members<'_>) -> Option<FhirId> {
        let at = Path::root(STUDY);
        self.names(&at, &mut members);
        for (_, resource) in members.objects("contained") {
            if let Some(id) = resource.text("id") {
                let name = resource.text("resourceType").map(Cow::into_owned);
                self.types.entry(id.into_owned()).or_insert(name);
            }
        }
        let members = self
            .resource(&at, members, |name| if name == STUDY { Ok(()) } else { Err("must be ImagingStudy") });
        self.members(&at, &members, &elements::IMAGING_STUDY);
        if members.value("id").is_none() {
            self.problem(&at.member("id"), "is required: it becomes the key in the table");
        }
        self.whole_and_current(&at, &members);
        self.contained_resources();
        members.text("id").and_then(|id| FhirId::parse(&id).ok())
    }

    /// Checks `resourceType` and removes it from the members.
    fn resource<'a>(
        &mut self,
        at: &Path<'_>,
        mut members: Members<'a>,
        accept: impl FnOnce(&str) -> Result<(), &'static str>,
    ) -> Members<'a> {
        let name = members.text("resourceType");
        if let Err(reason) = name.map_or(Err("is required and must be a string"), |name| accept(&name)) {
            self.problem(&at.member("resourceType"), reason);
        }
        members.0.retain(|(name, _)| name != "resourceType");
        members
    }

    /// A document that is valid and yet not the study: a part of it, or one that has been deleted.
    fn whole_and_current(&mut self, at: &Path<'_>, study: &Members<'_>) {
        let meta = study.object("meta");
        let at_meta = at.member("meta");
        for (index, tag) in meta.iter().flat_map(|meta| meta.objects("tag")) {
            if tag.text("code").as_deref() == Some(SUBSETTED) {
                let reason = "says that the document is incomplete (SUBSETTED)";
                self.problem(&at_meta.member("tag").item(index), reason);
            }
        }
        for (members, at) in [(Some(study), at), (meta.as_ref(), &at_meta)] {
            for (index, extension) in members.into_iter().flat_map(|members| members.objects("extension")) {
                if extension.text("url").is_some_and(|url| url.ends_with(DELETED_STATE)) {
                    self.problem(&at.member("extension").item(index), "says that the study has been deleted");
                }
            }
        }
    }

    /// dom-3, once every reference is known.
    fn contained_resources(&mut self) {
        let mut ids = HashSet::new();
        let contained = std::mem::take(&mut self.contained);
        for resource in &contained {
            let id = resource.id.as_deref();
            if id.is_some_and(|id| !ids.insert(id)) {
                self.problem_at(|| resource.path.clone(), "has the id of another contained resource");
            }
            let named = id.is_some_and(|id| self.referred.contains(id));
            if !named && !resource.refers_to_container {
                self.problem_at(|| resource.path.clone(), "is contained but nothing refers to it (dom-3)");
            }
        }
    }

    fn node<'a>(&mut self, at: &Path<'_>, raw: &'a RawValue) -> Option<Node<'a>> {
        if at.depth > MAX_DEPTH {
            self.problem(at, "is nested too deeply");
            return None;
        }
        let node = Node::of(raw);
        if node.is_err() {
            self.problem(at, "has a string that is not Unicode");
        }
        node.ok()
    }

    fn object<'a>(&mut self, at: &Path<'_>, raw: &'a RawValue) -> Option<Members<'a>> {
        match self.node(at, raw)? {
            Node::Object(mut members) => {
                self.names(at, &mut members);
                Some(members)
            }
            Node::Array(_) => {
                self.problem(at, "must be one object, not an array");
                None
            }
            other => {
                self.problem(at, format!("must be an object, not {}", other.json_type()));
                None
            }
        }
    }

    fn array<'a>(&mut self, at: &Path<'_>, raw: &'a RawValue) -> Option<Vec<&'a RawValue>> {
        match self.node(at, raw)? {
            Node::Array(items) if items.is_empty() => {
                self.problem(at, "must not be an empty array");
                None
            }
            Node::Array(items) => Some(items),
            other => {
                self.problem(at, format!("must be an array, not {}", other.json_type()));
                None
            }
        }
    }

    /// Leaves one member of each name.
    fn names(&mut self, at: &Path<'_>, members: &mut Members<'_>) {
        if members.0.is_empty() {
            self.problem(at, "must not be an empty object");
        }
        for name in members.drop_repeated() {
            self.problem(&at.member(&name), "occurs more than once");
        }
    }

    fn complex<'a>(&mut self, at: &Path<'_>, raw: &'a RawValue, kind: &Type) -> Option<Members<'a>> {
        let members = self.object(at, raw)?;
        self.type_members(at, &members, kind);
        Some(members)
    }

    fn type_members(&mut self, at: &Path<'_>, members: &Members<'_>, kind: &Type) {
        if !members.0.is_empty() && members.0.iter().all(|(name, _)| name == "id") {
            self.problem(at, "has nothing but an id (ele-1)");
        }
        self.members(at, members, kind);
    }

    /// The values of an element that repeats.
    fn items(&mut self, at: &Path<'_>, element: &Element, raw: &RawValue) {
        let mut objects = 0;
        if let Shape::Complex(kind) = element.shape
            && at.depth < MAX_DEPTH
        {
            let read = each_object(raw, |mut members| {
                let at = at.item(objects);
                self.names(&at, &mut members);
                self.type_members(&at, &members, kind);
                objects += 1;
            });
            if read.is_ok() && objects > 0 {
                return;
            }
        }
        for (index, item) in self.array(at, raw).into_iter().flatten().enumerate().skip(objects) {
            self.one(&at.item(index), element, item);
        }
    }

    fn members(&mut self, at: &Path<'_>, members: &Members<'_>, kind: &Type) {
        let mut choices: Vec<(&str, &str)> = Vec::new();
        let extended = members.0.iter().any(|(name, _)| name.starts_with('_'));
        for (name, value) in &members.0 {
            let (stem, is_extension) = match name.strip_prefix('_') {
                Some(stem) => (stem, true),
                None => (&**name, false),
            };
            let extensible = |element: &&Element| {
                matches!(element.shape, Shape::Primitive(_) | Shape::Code(_) | Shape::TypeName)
            };
            let Some(element) = kind.element(stem).filter(|element| !is_extension || extensible(element))
            else {
                if kind.open {
                    self.anything(&at.member(name), value);
                } else {
                    self.problem(&at.member(name), format!("is not an element of an R4 {}", kind.name));
                }
                continue;
            };
            if let Some(choice) = element.choice {
                match choices.iter().find(|(other, _)| *other == choice) {
                    Some((_, first)) if *first != element.name => {
                        self.problem(&at.member(choice), "occurs in more than one type");
                    }
                    Some(_) => {}
                    None => choices.push((choice, element.name)),
                }
            }
            let inner = at.member(element.name);
            if extensible(&element) {
                if !is_extension {
                    let extension = if extended { members.extensions_of(stem) } else { None };
                    self.primitives(&inner, element, Some(value), extension);
                } else if members.value(stem).is_none() {
                    self.primitives(&inner, element, None, Some(value));
                }
            } else if matches!(element.count, Count::Any | Count::AtLeastOne) {
                self.items(&inner, element, value);
            } else {
                self.one(&inner, element, value);
            }
        }
        self.rules(at, members, kind);
    }

    /// What a type asks of its members together.
    fn rules(&mut self, at: &Path<'_>, members: &Members<'_>, kind: &Type) {
        let mut missing = BTreeSet::new();
        for element in kind.elements {
            if !matches!(element.count, Count::Required | Count::AtLeastOne) {
                continue;
            }
            let present = match element.choice {
                None => members.has(element.name),
                Some(choice) => kind
                    .elements
                    .iter()
                    .filter(|other| other.choice == Some(choice))
                    .any(|other| members.has(other.name)),
            };
            if !present {
                missing.insert(element.choice.unwrap_or(element.name));
            }
        }
        for name in missing {
            self.problem(&at.member(name), "is required");
        }
        for (member, needed, rule) in kind.needs {
            if members.has(member) && !members.has(needed) {
                self.problem(&at.member(needed), format!("is required with {member} ({rule})"));
            }
        }
        if kind.name == "Extension" {
            let valued = members.0.iter().any(|(name, _)| name.trim_start_matches('_').starts_with("value"));
            if valued == members.has("extension") {
                self.problem(at, "must have either a value or extensions (ext-1)");
            }
        }
        if kind.name == "Expression" && !members.has("expression") && !members.has("reference") {
            self.problem(at, "must have an expression or a reference (exp-1)");
        }
    }

    /// One value of an element, without the `_name` member of a primitive.
    fn one(&mut self, at: &Path<'_>, element: &Element, raw: &RawValue) {
        match element.shape {
            Shape::Complex(kind) => {
                self.complex(at, raw, kind);
            }
            Shape::Reference(targets) => self.reference(at, raw, targets),
            Shape::Resource => self.contained(at, raw),
            Shape::Attribute(kind) | Shape::Primitive(kind) => self.primitive(at, raw, kind),
            Shape::Code(codes) => self.code(at, raw, &[codes]),
            Shape::TypeName => self.code(at, raw, &[&elements::RESOURCES, &elements::DATATYPES]),
        }
    }

    /// A primitive element: its values, the extensions in `_name`, and whether the two match.
    fn primitives(
        &mut self,
        at: &Path<'_>,
        element: &Element,
        value: Option<&RawValue>,
        extension: Option<&RawValue>,
    ) {
        if matches!(element.count, Count::Optional | Count::Required) {
            if let Some(value) = value {
                self.one(at, element, value);
            }
            if let Some(extension) = extension {
                self.primitive_extensions(at, extension, value.is_some());
            }
            return;
        }
        let values = value.map(|raw| self.array(at, raw));
        let extensions = extension.map(|raw| self.array(at, raw));
        // Anything but an array has been reported.
        let (None | Some(Some(_)), None | Some(Some(_))) = (&values, &extensions) else { return };
        let values = values.flatten().unwrap_or_default();
        let extensions = extensions.flatten().unwrap_or_default();
        if value.is_some() && extension.is_some() && values.len() != extensions.len() {
            self.problem(at, format!("and _{} must have the same length", element.name));
        }
        let present =
            |items: &[&RawValue], index: usize| items.get(index).is_some_and(|raw| raw.get() != "null");
        for index in 0..values.len().max(extensions.len()) {
            let at = at.item(index);
            let (with_value, with_extensions) = (present(&values, index), present(&extensions, index));
            if with_value {
                self.one(&at, element, values[index]);
            }
            if with_extensions {
                self.primitive_extensions(&at, extensions[index], with_value);
            }
            if !with_value && !with_extensions {
                self.problem(&at, "has neither a value nor extensions");
            }
        }
    }

    /// The id and extensions of a primitive. With a value, an id alone is enough.
    fn primitive_extensions(&mut self, at: &Path<'_>, raw: &RawValue, valued: bool) {
        if !valued {
            self.complex(at, raw, &elements::ELEMENT);
        } else if let Some(members) = self.object(at, raw) {
            self.members(at, &members, &elements::ELEMENT);
        }
    }

    fn primitive(&mut self, at: &Path<'_>, raw: &RawValue, kind: Primitive) {
        let Some(node) = self.node(at, raw) else { return };
        if let Node::String(text) = &node
            && matches!(kind, Primitive::Uri | Primitive::Url | Primitive::Canonical)
        {
            self.refer(text);
        }
        let checked = match &node {
            Node::Boolean if kind == Primitive::Boolean => Ok(()),
            Node::Number(number) => kind.check_number(number),
            Node::String(text) => kind.check_text(text),
            other => Err(kind.instead_of(other.json_type())),
        };
        if let Err(reason) = checked {
            self.problem(at, reason);
        }
    }

    fn code(&mut self, at: &Path<'_>, raw: &RawValue, lists: &[&[&'static str]]) {
        let Some(node) = self.node(at, raw) else { return };
        let reason = match node {
            Node::String(code) if lists.iter().any(|codes| codes.binary_search(&&*code).is_ok()) => return,
            Node::String(_) => match lists {
                [codes] if codes.len() <= 10 => format!("must be one of {}", codes.join(", ")),
                _ => "is not in the value set that R4 requires".to_owned(),
            },
            other => format!("must be a string, not {}", other.json_type()),
        };
        self.problem(at, reason);
    }

    fn reference(&mut self, at: &Path<'_>, raw: &RawValue, targets: &'static [&'static str]) {
        let Some(members) = self.complex(at, raw, &elements::REFERENCE) else { return };
        let literal = members.text("reference");
        let declared = members.text("type");
        let declared = declared.as_deref().filter(|name| is_resource(name));
        if let Some(name) = declared
            && !targets.is_empty()
            && !targets.contains(&name)
        {
            self.problem(&at.member("type"), wrong_target(targets));
        }
        let Some(literal) = literal else { return };
        let at = at.member("reference");
        if let Some(id) = literal.strip_prefix('#') {
            self.refer(&literal);
            let reason: Cow<'_, str> = match self.types.get(id) {
                _ if id.is_empty() => return,
                None => "refers to a contained resource that does not exist (ref-1)".into(),
                Some(Some(name)) if !targets.is_empty() && !targets.contains(&name.as_str()) => {
                    wrong_target(targets).into()
                }
                Some(_) => return,
            };
            return self.problem(&at, reason);
        }
        if literal.contains(|c: char| c.is_ascii_whitespace()) {
            self.problem(&at, "must not have white space");
        }
        if is_conditional(&literal) {
            return self.problem(&at, CONDITIONAL);
        }
        let Some(name) = target_type(&literal) else { return };
        if !targets.is_empty() && !targets.contains(&name) {
            self.problem(&at, wrong_target(targets));
        } else if declared.is_some_and(|declared| declared != name) {
            self.problem(&at, "has another resource type than its member type");
        }
    }

    fn refer(&mut self, text: &str) {
        if let Some(id) = text.strip_prefix('#') {
            self.referred.insert(id.to_owned());
        }
    }

    fn contained(&mut self, at: &Path<'_>, raw: &RawValue) {
        let Some(members) = self.object(at, raw) else { return };
        let members = self.resource(at, members, |name| {
            if is_resource(name) { Ok(()) } else { Err("must be a resource type of R4") }
        });
        self.referred.remove("");
        self.members(at, &members, &CONTAINED);
        let refers_to_container = self.referred.remove("");
        if members.has("contained") {
            self.problem(&at.member("contained"), "is not allowed in a contained resource (dom-2)");
        }
        if let Some(Ok(Node::Object(meta))) = members.value("meta").map(Node::of) {
            for (name, rule) in [("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")] {
                if meta.has(name) {
                    let reason = format!("is not allowed in a contained resource ({rule})");
                    self.problem(&at.member("meta").member(name), reason);
                }
            }
        }
        let id = members.text("id").map(Cow::into_owned);
        self.contained.push(Contained { path: at.to_string(), id, refers_to_container });
    }

    /// The rules of FHIR's JSON format: nothing is empty, no member occurs twice, null only pads arrays.
    fn anything(&mut self, at: &Path<'_>, raw: &RawValue) {
        match self.node(at, raw) {
            Some(Node::Null) => self.problem(at, "must not be null"),
            Some(Node::String(text)) if text.is_empty() => self.problem(at, "must not be an empty string"),
            Some(Node::String(text)) => self.refer(&text),
            Some(Node::Array(items)) => {
                if items.iter().all(|item| item.get() == "null") {
                    self.problem(at, "must not be an empty array");
                }
                for (index, item) in items.into_iter().enumerate().filter(|(_, item)| item.get() != "null") {
                    self.anything(&at.item(index), item);
                }
            }
            Some(Node::Object(mut members)) => {
                self.names(at, &mut members);
                if members.text("reference").is_some_and(|literal| is_conditional(&literal)) {
                    self.problem(&at.member("reference"), CONDITIONAL);
                }
                for (name, value) in &members.0 {
                    self.anything(&at.member(name), value);
                }
            }
            Some(Node::Boolean | Node::Number(_)) | None => {}
        }
    }
}

fn wrong_target(targets: &[&str]) -> String {
    format!("must refer to {}", targets.join(" or "))
}

/// Whether a reference is a search, `Patient?identifier=…` (FHIR R4 http.html#trules).
fn is_conditional(literal: &str) -> bool {
    literal.split_once('?').is_some_and(|(name, _)| is_resource(name))
}

/// The resource type in a literal reference, if it has one: `Type/id`, `Type/id/_history/version` or `Type?query`,
/// alone or behind a base URL (<http://hl7.org/fhir/R4/references.html#literal>).
fn target_type(literal: &str) -> Option<&str> {
    let name = if let Some((path, _)) = literal.split_once('?') {
        path.rsplit('/').next()
    } else {
        literal.split_once("/_history/").map_or(literal, |(path, _)| path).rsplit('/').nth(1)
    };
    name.filter(|name| is_resource(name))
}
