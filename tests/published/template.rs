//! `template.yaml` against the code: what the function reads, what it may do, what it writes, and how long it takes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use imaging_study::config::Config;
use imaging_study::store::attribute;
use imaging_study::{auth, store};
use local::runtime_api::Function;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[test]
fn the_function_gets_exactly_the_variables_that_it_reads() {
    let variables = deployed_with_defaults();
    let read = RefCell::new(BTreeSet::new());
    Config::from_env(|name| {
        read.borrow_mut().insert(name.to_owned());
        variables.get(name).cloned()
    })
    .unwrap();
    let mut expected: BTreeSet<_> = variables.keys().cloned().collect();
    // Lambda sets this one itself.
    expected.insert("AWS_LAMBDA_MAX_CONCURRENCY".to_owned());
    assert_eq!(read.into_inner(), expected);
}

#[test]
fn every_variable_but_the_tables_name_is_a_parameter() {
    let template = template();
    for (name, value) in variables(&template) {
        if name != "TABLE_NAME" {
            let parameter = value["Ref"].as_str().unwrap_or_else(|| panic!("{name}: {value}"));
            assert!(template["Parameters"][parameter].is_object(), "{name}: {parameter}");
        }
    }
}

#[test]
fn the_parameters_defaults_are_a_valid_configuration() {
    let variables = deployed_with_defaults();
    Config::from_env(|name| variables.get(name).cloned()).unwrap();
}

#[test]
fn the_local_variables_are_those_that_trust_the_development_key() {
    let path = format!("{}/local/env.json", env!("CARGO_MANIFEST_DIR"));
    let local: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expected = json!({ "Function": local::environment("http://host.docker.internal:8000") });
    assert_eq!(with_parsed_keys(local), with_parsed_keys(expected));
}

/// The key set as JSON instead of text, in which the order of members would count.
fn with_parsed_keys(mut local: Value) -> Value {
    let keys = &mut local["Function"]["JWT_JWKS"];
    *keys = serde_json::from_str(keys.as_str().unwrap()).unwrap();
    local
}

#[test]
fn the_table_has_the_keys_that_are_read() {
    let table = &template()["Resources"]["StudyTable"]["Properties"];
    let keys = json!([
        { "AttributeName": attribute::SITE, "KeyType": "HASH" },
        { "AttributeName": attribute::ID, "KeyType": "RANGE" },
    ]);
    let attributes = json!([
        { "AttributeName": attribute::SITE, "AttributeType": "S" },
        { "AttributeName": attribute::ID, "AttributeType": "S" },
    ]);
    assert_eq!((&table["KeySchema"], &table["AttributeDefinitions"]), (&keys, &attributes));
}

#[test]
fn the_data_outlives_the_stack() {
    for name in ["StudyTable", "FunctionLogs", "AccessLogs"] {
        let resource = &template()["Resources"][name];
        assert_eq!(
            (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]),
            (&json!("Retain"), &json!("Retain"))
        );
    }
}

#[test]
fn the_function_may_read_the_table_and_only_what_is_configured_beside_it() {
    let policies = &template()["Resources"]["FunctionRole"]["Properties"]["Policies"];
    let only_if = |condition: &str, action: &str, parameter: &str| {
        let statement = json!({ "Effect": "Allow", "Action": action, "Resource": { "Ref": parameter } });
        json!({ "Fn::If": [condition, statement, { "Ref": "AWS::NoValue" }] })
    };
    let existing =
        "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${ExistingTableName}";
    let table =
        json!({ "Fn::If": ["CreateTable", { "Fn::GetAtt": "StudyTable.Arn" }, { "Fn::Sub": existing }] });
    assert_eq!(
        policies[0]["PolicyDocument"]["Statement"],
        json!([
            { "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": table },
            only_if("HasSecret", "secretsmanager:GetSecretValue", "JwtJwksSecretArn"),
            only_if("HasKey", "kms:Decrypt", "KmsKeyArn"),
        ])
    );
    assert_eq!(
        actions(&policies[1]),
        ["logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    );
    assert_eq!(policies.as_array().unwrap().len(), 2);
}

#[test]
fn the_time_outs_fit_into_each_other() {
    let function = &template()["Resources"]["Function"]["Properties"];
    let timeout = Duration::from_secs(function["Timeout"].as_u64().unwrap());
    assert!(auth::FETCH_TIMEOUT + store::READ < timeout);
    // A first request waits for the start, too, which Lambda gives ten seconds.
    let first = timeout + Duration::from_secs(10);
    for event in ["Get", "Head"] {
        let gateway = function["Events"][event]["Properties"]["TimeoutInMillis"].as_u64().unwrap();
        assert!(first <= Duration::from_millis(gateway), "{event}");
    }
}

#[tokio::test]
async fn each_metric_counts_the_log_lines_that_it_is_for() {
    let mut function = function(&json!({})).await;
    let found = audited(&mut function, "found.json").await;
    assert_eq!(counted(&found), ["Answers", "ColdStarts", "ReadUnits"]);
    assert_eq!(counted(&audited(&mut function, "found.json").await), ["Answers", "ReadUnits"]);
    assert_eq!(counted(&audited(&mut function, "no-token.json").await), ["Answers", "RefusedTokens"]);
    assert_eq!(counted(&audited(&mut function, "expired-token.json").await), ["Answers", "RefusedTokens"]);
    assert_eq!(counted(&audited(&mut function, "other-site.json").await), ["Answers"]);

    let broken = audited(&mut function, "missing.json").await;
    assert_eq!(counted(&broken), ["Answers", "BrokenDocuments", "ReadUnits"]);
}

#[tokio::test]
async fn a_key_set_out_of_reach_is_counted_by_fetch_and_by_answer() {
    let mut function = function(&json!({ "JWT_JWKS": "", "JWT_JWKS_URL": "https://127.0.0.1:1/" })).await;
    let at_start: Value = serde_json::from_str(&function.line().await.unwrap()).unwrap();
    assert_eq!(counted(&at_start), ["KeyFetchFailures"]);
    assert_eq!(
        counted(&audited(&mut function, "found.json").await),
        ["Answers", "ColdStarts", "KeysUnavailable"]
    );
}

#[tokio::test]
async fn every_field_that_a_query_names_is_one_that_is_logged() {
    let mut function = function(&json!({})).await;
    let line = audited(&mut function, "found.json").await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md")).unwrap();
    let dashboard = template()["Resources"]["Dashboard"].to_string();
    let mut queries: Vec<&str> = page.split("# ").filter(|part| part.contains("filter target = ")).collect();
    queries.extend(dashboard.split("SOURCE ").skip(1).map(|rest| rest.split("\\\"").next().unwrap()));
    assert!(queries.len() >= 5, "{queries:#?}");
    for query in queries {
        let (_, query) = query.split_once("filter ").unwrap();
        for word in fields(query) {
            assert!(line.get(&word).is_some(), "{word} in: {query}");
        }
    }
}

/// The names in a query of Logs Insights that are fields of the line: all but its commands, functions, aliases and
/// what Lambda adds.
fn fields(query: &str) -> Vec<String> {
    const OTHERS: [&str; 17] = [
        "filter", "stats", "sort", "limit", "display", "and", "as", "by", "desc", "bin", "count", "answers",
        "refusals", "5m", "20", "500", "401",
    ];
    let query = query.split("```").next().unwrap();
    let unquoted = query.split(['"', '\'']).step_by(2).collect::<Vec<_>>().join(" ");
    unquoted
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '@' && c != '.')
        .filter(|word| !word.is_empty() && !word.starts_with('@') && !OTHERS.contains(word))
        .map(str::to_owned)
        .collect()
}

/// The line that an event of `events/` leaves in the log.
async fn audited(function: &mut Function, event: &str) -> Value {
    let path = format!("{}/events/{event}", env!("CARGO_MANIFEST_DIR"));
    let event = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    function.invoke(event).await.expect("an answer, not an error");
    function.audit_line().await
}

/// The function on a table with the study that `found.json` asks for, and with what is none where `missing.json` looks.
async fn function(changes: &Value) -> Function {
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    let study = r#"{"resourceType":"ImagingStudy","id":"panoramic","subject":{"reference":"Patient/1"}}"#;
    local::put(&table, study).await;
    let broken = HashMap::from([
        (attribute::SITE.to_owned(), AttributeValue::S(local::SITE.to_owned())),
        (attribute::ID.to_owned(), AttributeValue::S("no-such-study".to_owned())),
        (attribute::DOCUMENT.to_owned(), AttributeValue::S("{".to_owned())),
    ]);
    table.put_item().table_name(local::TABLE).set_item(Some(broken)).send().await.unwrap();
    let mut environment = local::environment(&format!("http://{address}"));
    for (name, value) in changes.as_object().unwrap() {
        environment.insert(name.clone(), value.as_str().unwrap().to_owned());
    }
    Function::start(env!("CARGO_BIN_EXE_bootstrap"), &environment).await
}

/// The metrics whose filters match a line of the log, and whose value it has.
fn counted(line: &Value) -> Vec<String> {
    let template = template();
    let filters = template["Resources"].as_object().unwrap().values().map(|resource| &resource["Properties"]);
    let mut metrics: Vec<String> = filters
        .filter(|filter| filter["FilterPattern"].as_str().is_some_and(|pattern| matches(pattern, line)))
        .map(|filter| {
            let metric = &filter["MetricTransformations"][0];
            let name = metric["MetricName"].as_str().unwrap();
            if let Some(field) = metric["MetricValue"].as_str().unwrap().strip_prefix("$.") {
                assert!(line[field].is_number(), "{name}: {field}");
            }
            for dimension in metric["Dimensions"].as_array().into_iter().flatten() {
                let field = dimension["Value"].as_str().unwrap().strip_prefix("$.").unwrap();
                assert!(line[field].is_string(), "{name}: {field}");
            }
            name.to_owned()
        })
        .collect();
    metrics.sort();
    metrics
}

/// CloudWatch's filter patterns on JSON, as far as the template uses them.
fn matches(pattern: &str, line: &Value) -> bool {
    let terms = pattern.strip_prefix("{ ").and_then(|rest| rest.strip_suffix(" }")).unwrap();
    terms.split(" && ").all(|term| {
        let (field, condition) = term.strip_prefix("$.").unwrap().split_once(' ').unwrap();
        let value = &line[field];
        match condition.split_once(' ').unwrap() {
            ("=", text) => *value == serde_json::from_str::<Value>(text).unwrap(),
            (">", number) => value.as_f64().is_some_and(|value| value > number.parse().unwrap()),
            ("IS", "TRUE") => *value == true,
            condition => panic!("unknown condition: {condition:?}"),
        }
    })
}

/// The function's variables in a stack that was given what has no default, and nothing else.
fn deployed_with_defaults() -> HashMap<String, String> {
    let template = template();
    let given = BTreeMap::from([("JwtIssuer", local::ISSUER), ("JwtAudience", local::AUDIENCE)]);
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

/// The actions that a policy allows without a condition.
fn actions(policy: &Value) -> Vec<&str> {
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.iter().collect(),
        Value::Null => vec![],
        action => vec![action],
    });
    actions.map(|action| action.as_str().unwrap()).collect()
}

fn template() -> Value {
    crate::yaml::read("template.yaml")
}
