//! Where values stand: in a variable, or in an element of the list of issuers.

use serde_json::{Map, Value};
use thiserror::Error;

/// Looks a variable up by its name.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An invalid value. The message says where it stands and what it must be, and never repeats it: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {problem}")]
pub struct Error {
    place: String,
    problem: String,
}

impl Error {
    pub(super) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }

    pub(super) fn must_be(place: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self::new(place, format!("must be {what}"))
    }
}

/// The text of a variable; `None` if it is unset or empty.
pub(super) fn text(env: Environment<'_>, variable: &'static str) -> Result<Option<String>, Error> {
    match env(variable) {
        Some(value) if value.contains('\u{fffd}') => Err(Error::must_be(variable, "UTF-8 text")),
        value => Ok(value.filter(|value| !value.is_empty())),
    }
}

/// A value's two names: those of a variable and of a member of an element.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) variable: &'static str,
    pub(super) member: &'static str,
}

/// What is configured for one issuer.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// The variables, for the one issuer.
    Variables(Environment<'a>),
    /// An element of a list of issuers.
    Element {
        /// Where the list stands, and the position of the element from 1.
        place: &'a str,
        /// The element.
        members: &'a Map<String, Value>,
        /// The variables, for members that are absent.
        defaults: Environment<'a>,
    },
}

impl Source<'_> {
    pub(super) fn error(self, name: Name, problem: impl Into<String>) -> Error {
        match self {
            Self::Variables(_) => Error::new(name.variable, problem),
            Self::Element { place, .. } => Error::new(format!("{place}, {}", name.member), problem),
        }
    }

    /// How a value is called where it stands.
    pub(super) const fn called(self, name: Name) -> &'static str {
        match self {
            Self::Variables(_) => name.variable,
            Self::Element { .. } => name.member,
        }
    }

    /// A member of an element that may be of any type; `None` if it is absent, or for variables.
    pub(super) fn member(self, name: Name) -> Option<Value> {
        match self {
            Self::Variables(_) => None,
            Self::Element { members, .. } => members.get(name.member).cloned(),
        }
    }

    /// The same, but an element has the values of the variables where it has none itself.
    pub(super) fn or_default(self, name: Name) -> Self {
        match self {
            Self::Element { members, defaults, .. } if !members.contains_key(name.member) => {
                Self::Variables(defaults)
            }
            own => own,
        }
    }

    /// A text. `None` if it is absent; an empty variable counts as absent.
    pub(super) fn text(self, name: Name) -> Result<Option<String>, Error> {
        match self {
            Self::Variables(env) => text(env, name.variable),
            Self::Element { .. } => match self.member(name) {
                None => Ok(None),
                Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
                Some(_) => Err(self.error(name, "must be a string that is not empty")),
            },
        }
    }

    /// A list of texts, of which a variable separates by one of `separators`. A member may also be a single text.
    pub(super) fn list(self, name: Name, separators: &[char]) -> Result<Option<Vec<String>>, Error> {
        match self {
            Self::Variables(env) => Ok(text(env, name.variable)?
                .map(|list| list.split(separators).map(|one| one.trim().to_owned()).collect())),
            Self::Element { .. } => {
                let strings = || self.error(name, "must be a string, or a list of strings");
                let text = |value: Value| value.as_str().map(str::to_owned).ok_or_else(strings);
                match self.member(name) {
                    None => Ok(None),
                    Some(Value::Array(list)) => {
                        list.into_iter().map(text).collect::<Result<_, _>>().map(Some)
                    }
                    Some(one) => Ok(Some(vec![text(one)?])),
                }
            }
        }
    }
}
