//! `template.yaml` against the code: what the function reads, what it may do, what it writes, and how long it takes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use imaging_study::config::{Config, Environment};
use serde_json::Value;

mod yaml;

#[test]
fn the_function_gets_exactly_the_variables_that_it_reads() {
    let environment = Recorder { variables: deployed_with_defaults(), read: RefCell::default() };
    Config::from_env(&environment).unwrap();
    let declared: BTreeSet<_> = environment.variables.keys().cloned().collect();
    assert_eq!(environment.read.into_inner(), declared);
}

#[test]
fn every_variable_but_the_tables_name_is_a_parameter() {
    let template = yaml::read("template.yaml");
    for (name, value) in variables(&template) {
        if name != "TABLE_NAME" {
            let parameter = value["Ref"].as_str().unwrap_or_else(|| panic!("{name}: {value}"));
            assert!(template["Parameters"][parameter].is_object(), "{name}: {parameter}");
        }
    }
}

#[test]
fn the_parameters_defaults_are_a_valid_configuration() {
    Config::from_env(&deployed_with_defaults()).unwrap();
}

/// Asked for a variable, it remembers that it was.
struct Recorder {
    variables: HashMap<String, String>,
    read: RefCell<BTreeSet<String>>,
}

impl Environment for Recorder {
    fn var(&self, name: &str) -> Option<String> {
        self.read.borrow_mut().insert(name.to_owned());
        self.variables.var(name)
    }
}

/// The function's variables in a stack that was given what has no default, and nothing else.
fn deployed_with_defaults() -> HashMap<String, String> {
    let template = yaml::read("template.yaml");
    let given = BTreeMap::from([("JwtIssuer", "https://issuer.example"), ("JwtAudience", "imaging-study")]);
    let value = |name: &str, value: &Value| {
        if name == "TABLE_NAME" {
            return "stack-StudyTable-1".to_owned();
        }
        let parameter = value["Ref"].as_str().unwrap();
        match (&template["Parameters"][parameter]["Default"], given.get(parameter)) {
            (Value::Null, Some(given)) => (*given).to_owned(),
            (Value::String(default), None) => default.clone(),
            (Value::Number(default), None) => default.to_string(),
            default => panic!("{parameter}: {default:?}"),
        }
    };
    variables(&template)
        .into_iter()
        .map(|(name, reference)| (name.clone(), value(&name, &reference)))
        .collect()
}

fn variables(template: &Value) -> BTreeMap<String, Value> {
    let variables = &template["Resources"]["Function"]["Properties"]["Environment"]["Variables"];
    serde_json::from_value(variables.clone()).unwrap()
}
