//! YAML files of this repository as JSON values, `CloudFormation`'s short tags in their long form.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// Reads `file`, a path from the root of the crate, that holds one document.
pub(crate) fn read(file: &str) -> Value {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let [document] = documents.as_slice() else { panic!("{file}: not one document") };
    json(document)
}

fn json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(members) => members.iter().map(|(key, value)| (text(key), json(value))).collect(),
        Yaml::Tagged(tag, value) => {
            let function = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            Map::from_iter([(function, json(value))]).into()
        }
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => panic!("unexpected {node:?}"),
    }
}

fn text(key: &Yaml<'_>) -> String {
    key.as_str().unwrap_or_else(|| panic!("not a text: {key:?}")).to_owned()
}
