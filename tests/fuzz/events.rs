//! Whole events of API Gateway, in both payload formats.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, json};
use table::id::{FhirId, SiteId};
use table::write::Encoded;
use testkit::signer::Signer;
use tokio::net::TcpListener;

use super::oracle::{SECOND_ISSUER, Study, may_read};
use super::{prop_oneof, *};

pub const STUDIES: [Study; 4] = [
    Study { site: "4", id: "a", subject: "Patient/1" },
    Study { site: "4", id: "b", subject: "Patient/2" },
    Study { site: "4", id: "c", subject: "https://other.example/fhir/Patient/1" },
    Study { site: "5", id: "d", subject: "Patient/1" },
];
/// In every document, in no response but its own.
const IN_DOCUMENT: &str = "words-of-the-document";
/// In every token's claims.
const IN_CLAIMS: &str = "someone@confidential.example";

fn document(study: Study) -> String {
    let Study { id, subject, .. } = study;
    format!(
        r#"{{"resourceType":"ImagingStudy","id":"{id}","meta":{{"versionId":"of-{id}"}},"status":"available","subject":{{"reference":"{subject}"}},"description":"{IN_DOCUMENT}"}}"#
    )
}

/// In a mutation of the event, and in nothing that the function sends or logs.
const IN_EVENT: &str = "secret 7f3a";

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signing {
    Good,
    /// The key of the other issuer, which has the same name.
    OtherIssuersKey,
    /// A key that the service does not trust, under the name of the one that it does.
    OtherKey,
    /// The signature of other claims.
    Swapped,
    Unsigned,
    /// A duplicate of `siteIds` precedes the claims (RFC 7519 §4: names are unique).
    DuplicateClaim,
}

/// The key of the second issuer, under the name of the development key.
static SECOND_KEY: LazyLock<Signer> = LazyLock::new(|| Signer::ed25519("development"));

/// A key that is not trusted, under the same name.
static OTHER_KEY: LazyLock<Signer> = LazyLock::new(|| Signer::ed25519("development"));

/// The list of both issuers.
fn issuers() -> String {
    json!([
        { "issuer": local::ISSUER, "audience": local::AUDIENCE, "jwks": local::jwks() },
        {
            "issuer": SECOND_ISSUER,
            "audience": [local::AUDIENCE],
            "jwks": { "keys": [SECOND_KEY.jwk()] },
            "allSites": "role=ADMIN",
            "sites": ["5"],
        },
    ])
    .to_string()
}

#[derive(Clone, Debug)]
struct Token {
    claims: Value,
    signing: Signing,
}

impl Token {
    fn encoded(&self) -> String {
        let base64 = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let payload = self.claims.to_string();
        match self.signing {
            Signing::Good if self.claims["iss"] == SECOND_ISSUER => SECOND_KEY.token(&self.claims),
            Signing::OtherIssuersKey if self.claims["iss"] != SECOND_ISSUER => SECOND_KEY.token(&self.claims),
            Signing::Good | Signing::OtherIssuersKey => local::token(&self.claims),
            Signing::Swapped => {
                let other = local::token(&json!({ "iss": "x" }));
                let (header, rest) = other.split_once('.').unwrap();
                let (_, signature) = rest.split_once('.').unwrap();
                format!("{header}.{}.{signature}", base64(&payload))
            }
            Signing::OtherKey => OTHER_KEY.token(&self.claims),
            Signing::Unsigned => format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(&payload)),
            Signing::DuplicateClaim => {
                let doubled = format!("{{\"siteIds\":[\"4\",\"5\"],{}", &payload[1..]);
                local::sign(&doubled)
            }
        }
    }
}

fn one_of(values: Vec<Value>) -> impl Strategy<Value = Option<Value>> {
    // Null stands for "no such claim".
    select(values).prop_map(|value| Some(value).filter(|value| !value.is_null()))
}

/// Mostly the first value.
fn mostly(usual: Value, others: Vec<Value>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![30 => one_of(vec![usual]), 1 => one_of(others)]
}

fn scope_claim() -> impl Strategy<Value = Option<Value>> {
    let other = select(vec![
        "openid",
        "launch/patient",
        "LAUNCH",
        "launchpad",
        "api/read",
        "api/patient/ImagingStudy.rs",
        "api/ImagingStudy.read",
        "ImagingStudy.read",
        "patient.ImagingStudy.read",
        "patient$all.rs",
        "patient-portal",
        "Patient/ImagingStudy.rs",
        "patient%2FImagingStudy.r",
        "patient",
        "a,patient:x",
        "User.Read.All",
        "user.read",
        "user.Patient.read",
        "user-ImagingStudy.read",
        "USER/x",
        "users/x",
        "system-admin",
        "system.all.write",
        "system%2f*.rs",
        "patient/ImagingStudy.rs",
        "patient/ImagingStudy.read",
        "patient/*.r",
        "patient/ImagingStudy.s",
        "patient/ImagingStudy.sr",
        "patient/ImagingStudy.rs?status=available",
        "patient/Observation.rs",
        "user/ImagingStudy.r",
        "user/Patient.read",
        "user/*.*",
        "system/*.cruds",
        "system/ImagingStudy.dus",
        "patient/",
        "patient/imagingstudy.rs",
        "",
    ]);
    let granting = select(vec!["user/*.rs", "system/ImagingStudy.read", "patient/ImagingStudy.rs"]);
    let impossible = select(vec!["a\"b", "ä", "a\\b"]);
    let scope = prop_oneof![20 => other, 10 => granting, 1 => impossible];
    let entry = prop::collection::vec(scope, 1..4).prop_map(|scopes| scopes.join(" "));
    prop_oneof![
        16 => Just(None),
        4 => entry.clone().prop_map(|text| Some(json!(text))),
        4 => prop::collection::vec(entry, 0..3).prop_map(|list| Some(json!(list))),
        1 => select(vec![json!(5), json!({}), json!([5]), json!([["user/*.r"]]), json!(true)]).prop_map(Some),
    ]
}

fn token() -> impl Strategy<Value = Token> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = (
        mostly(
            json!(local::ISSUER),
            vec![
                json!(SECOND_ISSUER),
                json!(SECOND_ISSUER),
                json!(SECOND_ISSUER),
                json!([local::ISSUER]),
                json!("https://issuer.example/"),
                json!(5),
                json!(null),
            ],
        ),
        mostly(
            json!(local::AUDIENCE),
            vec![
                json!([local::AUDIENCE, "x"]),
                json!(["x"]),
                json!([local::AUDIENCE, 5]),
                json!({}),
                json!(null),
            ],
        ),
        mostly(json!(null), vec![json!(local::AUDIENCE), json!("x"), json!([local::AUDIENCE])]),
        mostly(json!("user-1"), vec![json!(null), json!(5)]),
        mostly(json!(now + 86_400), vec![json!(now - 3_600), json!("9999999999"), json!(1e30), json!(null)]),
        mostly(json!(null), vec![json!(now - 60), json!(now + 3_600), json!("0")]),
        prop_oneof![
            4 => select(vec![json!(["4"]), json!(["4", "5"]), json!("4"), json!(4), json!([5])]),
            1 => select(vec![json!("4 5"), json!({"4": true}), json!([["4"]]), json!([4.0]), json!([])]),
        ],
        scope_claim(),
        scope_claim(),
        (
            prop_oneof![
                2 => Just(None),
                1 => one_of(vec![
                    json!("1"),
                    json!("2"),
                    json!(1),
                    json!(""),
                    json!("Patient/1"),
                    json!("Patient/1/_history/1"),
                    json!(null),
                ]),
            ],
            mostly(
                json!(null),
                vec![
                    json!("Practitioner/1"),
                    json!("https://ehr.example/fhir/PractitionerRole/1"),
                    json!("Patient/1"),
                    json!("Patient/2"),
                    json!("https://ehr.example/fhir/Patient/1"),
                    json!("RelatedPerson/1"),
                    json!("1"),
                    json!(["Practitioner/1"]),
                ],
            ),
            mostly(json!(null), vec![json!("ADMIN"), json!("ADMIN"), json!("USER")]),
            mostly(json!(null), vec![json!("access"), json!("id")]),
            mostly(json!(null), vec![json!("Bearer"), json!("ID")]),
        ),
        mostly(json!(null), vec![json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!("x")]),
    );
    let claims = claims.prop_map(|(iss, aud, client_id, sub, exp, nbf, sites, scope, scp, others, cnf)| {
        let (patient, user, role, token_use, typ) = others;
        let claims = [
            ("iss", iss),
            ("aud", aud),
            ("client_id", client_id),
            ("sub", sub),
            ("exp", exp),
            ("nbf", nbf),
            ("siteIds", Some(sites)),
            ("scope", scope),
            ("scp", scp),
            ("patient", patient),
            ("fhirUser", user),
            ("role", role),
            ("token_use", token_use),
            ("typ", typ),
            ("cnf", cnf),
            ("email", Some(json!(IN_CLAIMS))),
        ];
        let claims: Map<_, _> =
            claims.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Value::from(claims)
    });
    let signing = prop_oneof![
        8 => Just(Signing::Good),
        1 => select(vec![Signing::OtherIssuersKey, Signing::OtherKey, Signing::Swapped, Signing::Unsigned, Signing::DuplicateClaim]),
    ];
    (claims, signing).prop_map(|(claims, signing)| Token { claims, signing })
}

/// A change to an event as JSON.
#[derive(Clone, Debug)]
struct Mutation {
    /// Which member of the tree, counted over all of it.
    place: usize,
    kind: Damage,
}

#[derive(Clone, Debug)]
enum Damage {
    Remove,
    Replace(Value),
    /// An unknown member, or another entry of a list.
    Add(Value),
    /// The member's value becomes a list with it twice.
    Double,
}

#[derive(Clone, Debug)]
pub struct Case {
    tokens: Vec<Token>,
    scheme: &'static str,
    study: Study,
    route: &'static str,
    method: &'static str,
    rest: bool,
    parameters: bool,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
    mutations: Vec<Mutation>,
    /// Duplicates a top-level member in the text of the event.
    repeated: Option<&'static str>,
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => select(vec![json!(format!("{IN_EVENT}\u{1}")), json!({ "a": [IN_EVENT, null] })]),
        2 => select(vec![
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(1e300),
            json!(""),
            json!("%"),
            json!(":x"),
            json!("\u{0}\r\n"),
            json!("ä ö"),
            json!("//"),
            json!("session=1; x=2"),
            json!([]),
            json!([null]),
            json!({}),
            json!({"a": []}),
            json!({"a": null}),
            json!([["x"]]),
        ]),
        1 => "[ -~]{0,12}".prop_map(Value::from),
        1 => select(vec![70_000_usize, 9_000]).prop_map(|length| json!("x".repeat(length))),
    ]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let kind = prop_oneof![
        Just(Damage::Remove),
        any_value().prop_map(Damage::Replace),
        any_value().prop_map(Damage::Add),
        Just(Damage::Double),
    ];
    (0_usize..64, kind).prop_map(|(place, kind)| Mutation { place, kind })
}

pub fn case() -> impl Strategy<Value = Case> {
    let header = select(vec![
        ("accept", "application/fhir+json"),
        ("accept", "*/*"),
        ("accept", "text/html"),
        ("accept", "application/json;q=0.1, */*;q=x"),
        ("accept-encoding", "gzip"),
        ("accept-encoding", "identity;q=0"),
        ("if-none-match", "W/\"of-a\", \"of-b\""),
        ("if-none-match", "*"),
        ("if-match", "*"),
        ("if-modified-since", "Mon, 02 Mar 2026 08:41:27 GMT"),
        ("cookie", "a=b"),
        ("x-forwarded-host", "other.example"),
    ]);
    let query = select(vec![
        ("_summary", "true"),
        ("_summary", "text"),
        ("_elements", "id,subject"),
        ("_format", "json"),
        ("_format", "xml"),
        ("access_token", "x"),
        ("x", "%"),
    ]);
    let tokens =
        prop_oneof![8 => prop::collection::vec(token(), 1), 1 => prop::collection::vec(token(), 0..3)];
    (
        tokens,
        prop_oneof![20 => Just("Bearer "), 1 => select(vec!["bearer   ", "Basic ", "", "Bearer"])],
        select(STUDIES.to_vec()),
        prop_oneof![6 => Just("imaging-study"), 2 => Just("ImagingStudy"), 1 => select(vec!["metadata", "Patient"])],
        prop_oneof![20 => Just("GET"), 1 => select(vec!["HEAD", "POST", "DELETE", "get", ""])],
        any::<bool>(),
        prop_oneof![3 => Just(true), 1 => Just(false)],
        prop::collection::vec(header, 0..3),
        prop::collection::vec(query, 0..2),
        prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(mutation(), 1..4)],
        prop_oneof![20 => Just(None), 1 => select(vec!["headers", "pathParameters", "version"]).prop_map(Some)],
    )
        .prop_map(
            |(tokens, scheme, study, route, method, rest, parameters, headers, query, mutations, repeated)| Case {
                tokens,
                scheme,
                study,
                route,
                method,
                rest,
                parameters,
                headers,
                query,
                mutations,
                repeated,
            },
        )
}

impl Case {
    /// The event, and what of it no log line may repeat.
    pub fn event(&self) -> (String, Vec<String>) {
        let tokens: Vec<_> = self.tokens.iter().map(Token::encoded).collect();
        let authorization: Vec<_> = tokens.iter().map(|token| format!("{}{token}", self.scheme)).collect();
        let mut event =
            if self.rest { self.rest_event(&authorization) } else { self.http_event(&authorization) };
        for mutation in &self.mutations {
            apply(&mut event, mutation);
        }
        let mut text = event.to_string();
        if let Some(name) = self.repeated {
            let value = &event[name];
            text = format!("{{\"{name}\":{value},{}", &text[1..]);
        }
        let signatures = tokens.iter().filter_map(|token| Some(token.rsplit_once('.')?.1.to_owned()));
        let signatures = signatures.filter(|signature| !signature.is_empty());
        (text, signatures.chain([IN_CLAIMS, IN_DOCUMENT, IN_EVENT].map(str::to_owned)).collect())
    }

    fn path(&self) -> String {
        match self.route {
            "metadata" => format!("/site/{}/fhir/metadata", self.study.site),
            route => format!("/site/{}/fhir/{route}/{}", self.study.site, self.study.id),
        }
    }

    fn route_key(&self) -> String {
        match self.route {
            "metadata" => "/site/{siteId}/fhir/metadata".to_owned(),
            route => format!("/site/{{siteId}}/fhir/{route}/{{id}}"),
        }
    }

    fn path_parameters(&self) -> Value {
        match (self.parameters, self.route) {
            (false, _) => Value::Null,
            (true, "metadata") => json!({ "siteId": self.study.site }),
            (true, _) => json!({ "siteId": self.study.site, "id": self.study.id }),
        }
    }

    fn http_event(&self, authorization: &[String]) -> Value {
        let mut headers: Map<_, _> =
            self.headers.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect();
        if !authorization.is_empty() {
            headers.insert("authorization".to_owned(), json!(authorization.join(",")));
        }
        let query: Vec<_> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let parameters: Map<_, _> =
            self.query.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect();
        let route = format!("{} {}", self.method, self.route_key());
        json!({
            "version": "2.0",
            "routeKey": route,
            "rawPath": self.path(),
            "rawQueryString": query.join("&"),
            "queryStringParameters": parameters,
            "headers": headers,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "a1b2c3d4e5",
                "domainName": "imaging.example.com",
                "http": { "method": self.method, "path": self.path(), "protocol": "HTTP/1.1", "sourceIp": "192.0.2.10" },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": route,
                "stage": "$default",
                "timeEpoch": 1_777_629_600_000_u64,
            },
            "pathParameters": self.path_parameters(),
            "isBase64Encoded": false,
        })
    }

    fn rest_event(&self, authorization: &[String]) -> Value {
        let mut lists: HashMap<&str, Vec<&str>> = HashMap::new();
        for &(name, value) in &self.headers {
            lists.entry(name).or_default().push(value);
        }
        for value in authorization {
            lists.entry("Authorization").or_default().push(value);
        }
        let single: Map<_, _> =
            lists.iter().map(|(name, list)| ((*name).to_owned(), json!(list.last()))).collect();
        let query: Map<_, _> =
            self.query.iter().map(|&(name, value)| (name.to_owned(), json!([value]))).collect();
        json!({
            "resource": self.route_key(),
            "path": self.path(),
            "httpMethod": self.method,
            "headers": single,
            "multiValueHeaders": lists,
            "queryStringParameters": null,
            "multiValueQueryStringParameters": query,
            "pathParameters": self.path_parameters(),
            "stageVariables": null,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "a1b2c3d4e5",
                "httpMethod": self.method,
                "identity": { "sourceIp": "192.0.2.10" },
                "path": format!("/prod{}", self.path()),
                "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
                "resourcePath": self.route_key(),
                "stage": "prod",
            },
            "body": null,
            "isBase64Encoded": false,
        })
    }

    /// Whether this is a request as it should be, for a study that one of its tokens grants.
    fn must_be_served(&self) -> bool {
        self.mutations.is_empty()
            && self.repeated.is_none()
            && self.method == "GET"
            && self.headers.is_empty()
            && self.query.is_empty()
            && matches!(self.scheme, "Bearer " | "bearer   ")
            && matches!(self.route, "imaging-study" | "ImagingStudy")
            && self.tokens.len() == 1
            && self.granted(self.study)
    }

    fn granted(&self, study: Study) -> bool {
        self.tokens
            .iter()
            .any(|token| token.signing == Signing::Good && may_read(&token.claims, study, now()))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Applies a mutation to the member of the tree that it names.
fn apply(event: &mut Value, mutation: &Mutation) {
    fn paths(value: &Value, path: &str, all: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
                .collect(),
            Value::Array(list) => {
                list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (name, child) in children {
            let path = format!("{path}/{name}");
            paths(child, &path, all);
            all.push(path);
        }
    }
    let mut all = Vec::new();
    paths(event, "", &mut all);
    // The gateway makes request ids, and they are logged and sent.
    all.retain(|path| path != "/requestContext/requestId");
    if all.is_empty() {
        return;
    }
    let path = &all[mutation.place % all.len()];
    let (parent, name) = path.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    let parent = event.pointer_mut(parent).unwrap();
    match (parent, &mutation.kind) {
        (Value::Object(members), Damage::Remove) => {
            members.remove(&name);
        }
        (Value::Object(members), Damage::Add(value)) => {
            members.insert("unknown".to_owned(), value.clone());
        }
        (Value::Array(list), Damage::Remove) => {
            list.remove(name.parse::<usize>().unwrap());
        }
        (Value::Array(list), Damage::Add(value)) => list.push(value.clone()),
        (_, Damage::Replace(value)) => *event.pointer_mut(path).unwrap() = value.clone(),
        (_, Damage::Double) => {
            let value = event.pointer_mut(path).unwrap();
            *value = json!([value.clone(), value.clone()]);
        }
        _ => {}
    }
}

/// The environment of a function that reads the table at `endpoint` and trusts both issuers.
pub fn environment(endpoint: &str) -> HashMap<String, String> {
    let mut environment = local::environment(endpoint);
    for variable in ["JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS"] {
        environment.remove(variable);
    }
    environment.insert("JWT_ISSUERS".to_owned(), issuers());
    environment
}

/// The items of the studies.
pub fn stored() -> impl Iterator<Item = Encoded> {
    STUDIES.into_iter().map(|study| {
        let (site, id) = (SiteId::parse(study.site).unwrap(), FhirId::parse(study.id).unwrap());
        table::write::encode(&site, &id, &document(study)).unwrap()
    })
}

/// Whether a study was served for a case. Fails on what the case does not allow.
pub fn check(case: &Case, Exchange { payload, reason }: Exchange) -> Result<bool, String> {
    let Ok(response) = payload else {
        return match reason.as_str() {
            "event_malformed" if !case.mutations.is_empty() || case.repeated.is_some() => Ok(false),
            _ => Err(format!("an error instead of a response ({reason})")),
        };
    };
    let status = response["statusCode"].as_u64().unwrap();
    if case.must_be_served() && status != 200 {
        return Err(format!("{status} ({reason}) for a read that the token grants"));
    }
    if is_served(&response, |study| case.granted(study))? {
        return Ok(true);
    }
    match status {
        304 if case.route != "metadata" => Err("304 for no study".to_owned()),
        200 if case.route == "metadata" && case.method == "HEAD" && text(&response)?.is_empty() => Ok(false),
        200 if !text(&response)?.contains("CapabilityStatement") => Err("200 for no study".to_owned()),
        _ => Ok(false),
    }
}

/// Whether the response is to a read of a study. Fails if that is not `granted`, or the response not as it should be.
pub fn is_served(response: &Value, granted: impl Fn(Study) -> bool) -> Result<bool, String> {
    let tag = header(response, "etag").unwrap_or_default();
    if let Some(study) = STUDIES.into_iter().find(|study| tag.contains(&format!("of-{}", study.id))) {
        if !granted(study) {
            return Err(format!(
                "{} for a study that no token of the request grants",
                response["statusCode"]
            ));
        }
        let body = text(response)?;
        let is_cut = body.contains("SUBSETTED");
        let is_whole = body.is_empty() || body == document(study);
        return if is_whole || is_cut {
            Ok(true)
        } else {
            Err("not the document as it is stored".to_owned())
        };
    }
    let leaks = |text: &str| [IN_DOCUMENT, IN_CLAIMS, IN_EVENT].iter().any(|secret| text.contains(secret));
    if leaks(&response.to_string()) || leaks(&text(response)?) {
        return Err("a leak in the response".to_owned());
    }
    Ok(false)
}

#[test]
fn no_event_reads_more_than_its_token_grants_nor_breaks_the_function() {
    let runtime = Runtime::new().unwrap();
    let (table, address) =
        runtime.block_on(async { local::dynamodb(TcpListener::bind("127.0.0.1:0").await.unwrap()).await });
    for items in stored() {
        runtime.block_on(local::put_items(&table, items));
    }
    let environment = environment(&format!("http://{address}"));
    let mut function = runtime.block_on(Function::start(env!("CARGO_BIN_EXE_bootstrap"), &environment));
    let (mut events, mut served) = (0, 0);
    for_each(&runtime, case(), async |case| {
        let (event, secrets) = case.event();
        let exchange = exchange(&mut function, event, &secrets).await?;
        events += 1;
        served += u32::from(check(&case, exchange)?);
        Ok(())
    });
    eprintln!("{events} events, {served} studies served");
    assert!(served * 20 > events, "only {served} of {events} events were served: the grammar has rotted");
    function.process.start_kill().unwrap();
    while let Some(line) = runtime.block_on(function.line()) {
        assert!(!line.contains("imaging_study::audit"), "more than one audit line for an event");
    }
}

/// The body as the client reads it.
pub fn text(response: &Value) -> Result<String, String> {
    let body = response["body"].as_str().unwrap_or_default();
    if response["isBase64Encoded"] != true {
        return Ok(body.to_owned());
    }
    let bytes = BASE64_STANDARD.decode(body).map_err(|_| "the body is not base64")?;
    std::io::read_to_string(GzDecoder::new(&bytes[..])).map_err(|_| "the body is not gzip of text".to_owned())
}
