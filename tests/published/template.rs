//! `template.yaml` against the code: what the function reads, what it may do, what it writes, and how long it takes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use imaging_study::config::Config;
use imaging_study::{auth, store};
use serde_json::{Value, json};
use table::attribute;
use testkit::runtime_api::Function;
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
    let lambda = [
        "AWS_LAMBDA_MAX_CONCURRENCY", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ];
    // Neither an endpoint of AWS nor the way to an issuer needs these where nothing stands between.
    let between = ["AWS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    expected.extend(lambda.into_iter().chain(between).map(str::to_owned));
    assert_eq!(read.into_inner(), expected);
}

#[test]
fn every_variable_but_the_table_and_its_endpoint_is_a_parameter() {
    let template = template();
    for (name, value) in variables(&template) {
        if !["TABLE_NAME", "AWS_ENDPOINT_URL_DYNAMODB"].contains(&name.as_str()) {
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
    let path = format!("{}/crates/local/env.json", env!("CARGO_MANIFEST_DIR"));
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
            (&json!("Retain"), &json!("Retain")),
            "{name}"
        );
        let protection = &resource["Properties"]["DeletionProtectionEnabled"];
        assert_eq!(protection, &json!({ "Ref": "DeletionProtection" }), "{name}");
    }
}

#[test]
fn the_function_may_read_only_its_table_keys_and_secret_and_the_previous_ones() {
    let policies = &template()["Resources"]["FunctionRole"]["Properties"]["Policies"];
    let only_if =
        |condition: &str, then: Value| json!({ "Fn::If": [condition, then, { "Ref": "AWS::NoValue" }] });
    let allow = |action: &str, parameter: &str| json!({ "Effect": "Allow", "Action": action, "Resource": { "Ref": parameter } });
    let named = |parameter: &str| {
        let arn = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/";
        json!({ "Fn::Sub": format!("{arn}${{{parameter}}}") })
    };
    let tables = json!([
        { "Fn::If": ["CreateTable", { "Fn::GetAtt": "StudyTable.Arn" }, named("ExistingTableName")] },
        only_if("HasPreviousTable", named("PreviousTableName")),
    ]);
    assert_eq!(
        policies[0]["PolicyDocument"]["Statement"],
        json!([
            { "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": tables },
            only_if("HasSecret", allow("secretsmanager:GetSecretValue", "JwtJwksSecretArn")),
            only_if("HasPreviousSecret", allow("secretsmanager:GetSecretValue", "PreviousJwtJwksSecretArn")),
            only_if("HasKey", allow("kms:Decrypt", "KmsKeyArn")),
            only_if("HasAdditionalKeys", allow("kms:Decrypt", "AdditionalKmsKeyArns")),
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
    for (event, route) in function["Events"].as_object().unwrap() {
        let gateway = route["Properties"]["TimeoutInMillis"].as_u64().unwrap();
        assert!(first <= Duration::from_millis(gateway), "{event}");
    }
}

#[tokio::test]
async fn each_metric_counts_the_log_lines_that_it_is_for() {
    let mut function = function(&json!({})).await;
    let found = audited(&mut function, "found").await;
    assert_eq!(counted(&found), ["AuditLines", "ColdStarts", "ReadUnits", RESPONSES]);
    assert_eq!(counted(&audited(&mut function, "found").await), ["AuditLines", "ReadUnits", RESPONSES]);
    let rejected = ["AuditLines", "RejectedTokens", "RejectedTokens by Version", RESPONSES];
    assert_eq!(counted(&audited(&mut function, "no-token").await), rejected);
    assert_eq!(counted(&audited(&mut function, "expired-token").await), rejected);
    assert_eq!(counted(&audited(&mut function, "other-site").await), ["AuditLines", RESPONSES]);

    let broken = audited(&mut function, "missing").await;
    assert_eq!(counted(&broken), ["AuditLines", "BrokenDocuments", "ReadUnits", RESPONSES]);
}

#[tokio::test]
async fn a_key_set_out_of_reach_is_counted_by_fetch_and_by_response() {
    let mut function = function(&json!({ "JWT_JWKS": "", "JWT_JWKS_URL": "https://127.0.0.1:1/" })).await;
    let at_start: Value = serde_json::from_str(&function.line().await.unwrap()).unwrap();
    assert_eq!(counted(&at_start), ["KeyFetchFailures"]);
    assert_eq!(
        counted(&audited(&mut function, "found").await),
        ["AuditLines", "ColdStarts", "Faults", "Faults by Version", "KeysUnavailable", RESPONSES]
    );
}

#[test]
fn every_alarm_on_the_log_has_a_metric_that_is_written() {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let written: BTreeSet<_> = resources
        .values()
        .filter_map(|resource| resource["Properties"]["MetricTransformations"].get(0))
        .map(metric_name)
        .collect();
    let read: BTreeSet<_> = resources
        .values()
        .filter(|resource| resource["Type"] == "AWS::CloudWatch::Alarm")
        .flat_map(watched)
        .filter(|metric| metric["Namespace"]["Fn::Sub"] == "ImagingStudy/${AWS::StackName}")
        .map(|metric| metric_name(&metric))
        .collect();
    assert!(read.len() >= 10 && read.is_subset(&written), "{read:?} of {written:?}");
}

#[test]
fn a_deployment_watches_its_own_version_only() {
    let template = template();
    let resources = &template["Resources"];
    let alarms = resources["Function"]["Properties"]["DeploymentPreference"]["Alarms"].as_array().unwrap();
    assert_eq!(alarms.len(), 5);
    for alarm in alarms {
        let alarm = &resources[alarm["Ref"].as_str().unwrap()];
        let name = alarm["Properties"]["AlarmName"]["Fn::Sub"].as_str().unwrap();
        assert!(name.contains("${Function.Version.Version}"), "{name}");
        let of_the_version = |metric: &Value| {
            let mut dimensions = metric["Dimensions"].as_array().into_iter().flatten();
            dimensions.any(|dimension| dimension["Value"]["Fn::GetAtt"] == "Function.Version.Version")
        };
        let watched = watched(alarm);
        assert!(watched.iter().any(of_the_version), "{name}");
        assert!(!watched.iter().any(|metric| metric["Namespace"] == "AWS/ApiGateway"), "{name}");
    }
}

#[tokio::test]
async fn each_ranking_counts_the_log_lines_that_it_is_for() {
    let mut function = function(&json!({})).await;
    let found = audited(&mut function, "found").await;
    let foreign = audited(&mut function, "other-site").await;
    let rejected = audited(&mut function, "no-token").await;
    let broken = audited(&mut function, "missing").await;
    let anonymous = audited(&mut function, "metadata").await;
    for (rule, counted) in [("SubjectReadsRule", &found), ("SubjectRejectionsRule", &foreign)] {
        let body = rule_body(rule);
        assert_eq!(contributor(&body, counted), [local::ISSUER, "developer"], "{rule}");
        for line in [&found, &foreign, &rejected, &broken, &anonymous] {
            let mut filters = body["Contribution"]["Filters"].as_array().unwrap().iter();
            assert_eq!(
                filters.all(|filter| passes(filter, line)),
                line == counted,
                "{rule}: {}",
                line["status"]
            );
        }
    }
}

#[tokio::test]
async fn a_reader_without_a_subject_is_counted_by_client_or_else_by_issuer() {
    let mut function = function(&json!({ "JWT_ISSUER": "*" })).await;
    for (claims, expected) in [
        (json!({}), [local::ISSUER, "developer"]),
        (json!({ "azp": "app" }), [local::ISSUER, "developer"]),
        (json!({ "sub": null, "azp": "app" }), [local::ISSUER, "app"]),
        (json!({ "sub": "", "cid": "app" }), [local::ISSUER, "app"]),
        (json!({ "sub": null }), [local::ISSUER, "-"]),
        (json!({ "iss": null }), ["-", "developer"]),
        (json!({ "iss": null, "sub": null }), ["-", "-"]),
    ] {
        let mut event = testkit::event("found");
        let token = local::token(&local::claims_with(&claims));
        event["headers"]["authorization"] = json!(format!("Bearer {token}"));
        function.invoke(event).await.expect("a response, not an error");
        let line = function.audit_line().await;
        assert_eq!(line["status"], 200, "{claims}");
        for rule in ["SubjectReadsRule", "SubjectRejectionsRule"] {
            assert_eq!(contributor(&rule_body(rule), &line), expected, "{rule}: {claims}");
        }
    }
}

fn rule_body(rule: &str) -> Value {
    let body = template()["Resources"][rule]["Properties"]["RuleBody"]["Fn::Sub"].clone();
    serde_json::from_str(body.as_str().unwrap()).unwrap()
}

/// Whom a rule of Contributor Insights counts a line for: the values of its keys, which the line must have.
fn contributor(rule_body: &Value, line: &Value) -> Vec<String> {
    let keys = rule_body["Contribution"]["Keys"].as_array().unwrap().iter();
    let fields = keys.map(|key| key.as_str().unwrap().strip_prefix("$.").unwrap());
    fields.map(|field| line[field].as_str().unwrap_or_else(|| panic!("no {field}")).to_owned()).collect()
}

/// Whether a line passes a filter of Contributor Insights, as far as the template uses them.
fn passes(filter: &Value, line: &Value) -> bool {
    let value = &line[filter["Match"].as_str().unwrap().strip_prefix("$.").unwrap()];
    if let Some(accepted) = filter["In"].as_array() {
        return accepted.contains(value);
    }
    if let Some(present) = filter["IsPresent"].as_bool() {
        return value.is_null() != present;
    }
    let number = value.as_f64().unwrap();
    filter["LessThan"].as_f64().is_some_and(|bound| number < bound)
        || filter["GreaterThan"].as_f64().is_some_and(|bound| number > bound)
}

/// The metrics that an alarm reads, each with its name and dimensions.
fn watched(alarm: &Value) -> Vec<Value> {
    let properties = &alarm["Properties"];
    match properties["Metrics"].as_array() {
        Some(queries) => queries.iter().map(|query| query["MetricStat"]["Metric"].clone()).collect(),
        None => vec![properties.clone()],
    }
}

#[tokio::test]
async fn every_field_that_a_query_names_is_one_that_is_logged() {
    let mut function = function(&json!({})).await;
    let line = audited(&mut function, "found").await;
    let page =
        |page: &str| std::fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let pages = ["docs/monitoring.md", "docs/runbook.md"].map(page);
    let dashboard = template()["Resources"]["Dashboard"].to_string();
    let mut queries: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.split("# "))
        .filter(|part| part.contains("filter target = "))
        .collect();
    queries.extend(dashboard.split("SOURCE ").skip(1).map(|rest| rest.split("\\\"").next().unwrap()));
    assert!(queries.len() >= 9, "{queries:#?}");
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
    const OTHERS: [&str; 15] = [
        "filter", "stats", "sort", "limit", "display", "and", "in", "as", "by", "desc", "bin", "count",
        "min", "max", "5m",
    ];
    let query = query.split("```").next().unwrap();
    let unquoted = query.split(['"', '\'']).step_by(2).collect::<Vec<_>>().join(" ");
    let words: Vec<&str> =
        unquoted.split(|c: char| !c.is_ascii_alphanumeric() && c != '@' && c != '.').collect();
    let aliases: Vec<&str> = words.windows(2).filter(|pair| pair[0] == "as").map(|pair| pair[1]).collect();
    words
        .into_iter()
        .filter(|word| !word.starts_with('@') && !OTHERS.contains(word) && !aliases.contains(word))
        .filter(|word| !word.chars().all(|c| c.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// The line that an event of `events/` leaves in the log.
async fn audited(function: &mut Function, event: &str) -> Value {
    function.invoke(testkit::event(event)).await.expect("a response, not an error");
    function.audit_line().await
}

/// The function on a table with the study that `found.json` asks for, and with what is none where `missing.json` looks.
async fn function(changes: &Value) -> Function {
    let (table, address) = local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await;
    let study = r#"{"resourceType":"ImagingStudy","id":"panoramic","subject":{"reference":"Patient/1"}}"#;
    testkit::put(&table, study).await;
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

/// The metric that counts every audit line.
const RESPONSES: &str = "Responses by Version, Reason";

/// A metric's name and dimensions, as a filter writes it or an alarm reads it.
fn metric_name(metric: &Value) -> String {
    let dimensions: Vec<_> = metric["Dimensions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|dimension| dimension["Key"].as_str().or(dimension["Name"].as_str()).unwrap())
        .collect();
    let name = metric["MetricName"].as_str().unwrap();
    if dimensions.is_empty() { name.to_owned() } else { format!("{name} by {}", dimensions.join(", ")) }
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
            metric_name(metric)
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
            ("!=", text) => *value != serde_json::from_str::<Value>(text).unwrap(),
            (">", number) => value.as_f64().is_some_and(|value| value > number.parse().unwrap()),
            ("IS", "TRUE") => *value == true,
            condition => panic!("unknown condition: {condition:?}"),
        }
    })
}

/// The function's variables in a stack that was given an issuer and an audience, and nothing else.
fn deployed_with_defaults() -> HashMap<String, String> {
    let template = template();
    let given = BTreeMap::from([("JwtIssuer", local::ISSUER), ("JwtAudience", local::AUDIENCE)]);
    let value = |name: &str, value: &Value| {
        match name {
            "TABLE_NAME" => return "stack-StudyTable-1".to_owned(),
            "AWS_ENDPOINT_URL_DYNAMODB" => return value["Fn::If"][1].as_str().unwrap().to_owned(),
            _ => {}
        }
        let parameter = value["Ref"].as_str().unwrap();
        match (&template["Parameters"][parameter]["Default"], given.get(parameter)) {
            (_, Some(given)) => (*given).to_owned(),
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
