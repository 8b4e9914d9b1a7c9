//! The configuration, read once from the environment. An invalid value stops the function at start; the message names
//! the variable and what it must be.

mod issuers;
mod source;

use std::cmp::Reverse;
use std::num::NonZeroU16;
use std::path::PathBuf;

use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::proxy::ProxyConfig;
use tracing::level_filters::LevelFilter;

use self::issuers::{issuers, variables};
pub use self::source::Error;
use self::source::{Environment, text};
use crate::api::SmartConfiguration;
use crate::auth::Issuers;
use crate::aws::Account;

const TABLE_NAME: &str = "TABLE_NAME";
const CONSISTENT_READ: &str = "CONSISTENT_READ";
const DYNAMODB_ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";
const MAX_CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
pub(crate) const AWS_CA_BUNDLE: &str = "AWS_CA_BUNDLE";
pub(crate) const JWT_CA_BUNDLE: &str = "JWT_CA_BUNDLE";
const HTTPS_PROXY: &str = "HTTPS_PROXY";
const SMART_CONFIGURATION: &str = "SMART_CONFIGURATION";
const LOG_LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";

/// The configuration of the service.
#[derive(Clone, Debug)]
pub struct Config {
    /// `TABLE_NAME`: the table's name or ARN.
    pub table_name: String,
    /// `CONSISTENT_READ`: whether reads are strongly consistent.
    pub consistent_read: bool,
    /// The issuers whose tokens are accepted.
    pub issuers: Issuers,
    /// `SMART_CONFIGURATION`: the document of `.well-known/smart-configuration`. `None` with several issuers.
    pub smart_configuration: Option<SmartConfiguration>,
    /// `JWT_CA_BUNDLE`: a PEM file of the certificate authorities to trust when keys are fetched, instead of the system's.
    pub jwt_ca_bundle: Option<PathBuf>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`: the URL of DynamoDB, if not the region's public endpoint.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_CA_BUNDLE`: a PEM file of the certificate authorities to trust for AWS endpoints, instead of Amazon's.
    pub aws_ca_bundle: Option<PathBuf>,
    /// `HTTPS_PROXY` and `NO_PROXY`: the proxy that keys at a URL are fetched through.
    pub proxy: ProxyConfig,
    /// The region and the credentials that Lambda sets.
    pub account: Account,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: how many requests this environment serves at once, 1 by default.
    pub max_concurrency: NonZeroU16,
}

/// A variable of this process. Bytes that are not UTF-8 become U+FFFD, which [`Config::from_env`] rejects.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// `AWS_LAMBDA_LOG_LEVEL`: TRACE, DEBUG, INFO, WARN, ERROR or FATAL, in any case; INFO otherwise. Not part of [`Config`],
/// because an invalid configuration must be logged too.
#[must_use]
pub fn log_level(env: impl Fn(&str) -> Option<String>) -> LevelFilter {
    match env(LOG_LEVEL).map(|word| word.to_ascii_uppercase()).as_deref() {
        Some("FATAL") => LevelFilter::ERROR,
        Some(word) => word.parse().unwrap_or(LevelFilter::INFO),
        None => LevelFilter::INFO,
    }
}

/// Warns of the variables of this process that begin with the first word of one that is read, and are none: `JWT_AUDIENCES`.
pub fn warn_of_unknown_variables() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for variable in names {
        if let Some(nearest) = nearest(&variable) {
            tracing::warn!(variable, nearest, "no variable of the function");
        }
    }
}

/// Every variable of the page on configuration.
fn known() -> impl Iterator<Item = &'static str> {
    let own = [TABLE_NAME, CONSISTENT_READ, JWT_CA_BUNDLE, SMART_CONFIGURATION, DYNAMODB_ENDPOINT];
    own.into_iter().chain(variables())
}

/// The known name that begins most like an unknown one. `None` for a known name, and for one of something else.
fn nearest(name: &str) -> Option<&'static str> {
    let (first_word, _) = name.split_once('_').unwrap_or((name, ""));
    if first_word == "AWS" || name == "ALL_PROXY" || known().any(|known| known == name) {
        return None;
    }
    let in_common = |known: &str| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    known()
        .filter(|known| known.split('_').next() == Some(first_word))
        .max_by_key(|known| (in_common(known), Reverse(known.len())))
}

impl Config {
    /// Reads the configuration. An empty variable counts as unset.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let table_name = table_name(&env)?;
        let issuers = issuers(&env)?;
        let smart_configuration = smart_configuration(&env, &issuers)?;
        Ok(Self {
            table_name,
            consistent_read: flag(&env, CONSISTENT_READ)?,
            issuers,
            smart_configuration,
            jwt_ca_bundle: text(&env, JWT_CA_BUNDLE)?.map(PathBuf::from),
            dynamodb_endpoint: dynamodb_endpoint(&env)?,
            aws_ca_bundle: text(&env, AWS_CA_BUNDLE)?.map(PathBuf::from),
            proxy: proxy(&env)?,
            account: account(&env)?,
            max_concurrency: max_concurrency(&env)?,
        })
    }
}

fn table_name(env: Environment<'_>) -> Result<String, Error> {
    const EXPECTED: &str =
        "the name of a DynamoDB table (3 to 255 letters, digits, '_', '-', '.') or its ARN";
    let given = text(env, TABLE_NAME)?;
    let given = given.ok_or_else(|| Error::new(TABLE_NAME, format!("is required: {EXPECTED}")))?;
    let name = if given.starts_with("arn:") {
        match given.splitn(6, ':').collect::<Vec<_>>()[..] {
            ["arn", _, "dynamodb", region, account, resource]
                if !region.is_empty() && !account.is_empty() =>
            {
                resource.strip_prefix("table/")
            }
            _ => None,
        }
    } else {
        Some(given.as_str())
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    match name {
        Some(name) if (3..=255).contains(&name.len()) && name.bytes().all(allowed) => Ok(given),
        _ => Err(Error::must_be(TABLE_NAME, EXPECTED)),
    }
}

/// Validated in any case. With several issuers it would have to say where the tokens of each come from.
fn smart_configuration(env: Environment<'_>, issuers: &Issuers) -> Result<Option<SmartConfiguration>, Error> {
    const EXPECTED: &str = "a JSON object without duplicate members, in which token_endpoint is an https URL and \
                            capabilities a list of strings";
    let Some(json) = text(env, SMART_CONFIGURATION)? else { return Ok(None) };
    let parsed = SmartConfiguration::parse(&json);
    let configuration = parsed.ok_or_else(|| Error::must_be(SMART_CONFIGURATION, EXPECTED))?;
    match issuers {
        Issuers::One(_) => Ok(Some(configuration)),
        Issuers::Several(_) => {
            tracing::warn!("{SMART_CONFIGURATION} has no effect with several issuers");
            Ok(None)
        }
    }
}

fn flag(env: Environment<'_>, variable: &'static str) -> Result<bool, Error> {
    match text(env, variable)?.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::must_be(variable, "true or false")),
    }
}

fn max_concurrency(env: Environment<'_>) -> Result<NonZeroU16, Error> {
    match text(env, MAX_CONCURRENCY)? {
        None => Ok(NonZeroU16::MIN),
        Some(number) => {
            number.parse().map_err(|_| Error::must_be(MAX_CONCURRENCY, "a whole number from 1 to 65535"))
        }
    }
}

fn dynamodb_endpoint(env: Environment<'_>) -> Result<Option<String>, Error> {
    match text(env, DYNAMODB_ENDPOINT)? {
        Some(endpoint) if !is_http_url(&endpoint) => {
            Err(Error::must_be(DYNAMODB_ENDPOINT, "an http or https URL"))
        }
        endpoint => Ok(endpoint),
    }
}

/// The proxy, by the names that other clients read too. A URL without a scheme is an `http` URL.
fn proxy(env: Environment<'_>) -> Result<ProxyConfig, Error> {
    let first = |names: [&'static str; 4]| names.into_iter().find_map(|name| text(env, name).transpose());
    let Some(url) = first([HTTPS_PROXY, "https_proxy", "ALL_PROXY", "all_proxy"]).transpose()? else {
        return Ok(ProxyConfig::disabled());
    };
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    let proxy = ProxyConfig::https(url)
        .map_err(|_| Error::must_be(HTTPS_PROXY, "the http or https URL of a proxy"))?;
    let exceptions = text(env, "NO_PROXY")?.or(text(env, "no_proxy")?);
    Ok(exceptions.into_iter().fold(proxy, ProxyConfig::no_proxy))
}

fn account(env: Environment<'_>) -> Result<Account, Error> {
    let (id, secret) = (text(env, "AWS_ACCESS_KEY_ID")?, text(env, "AWS_SECRET_ACCESS_KEY")?);
    let token = text(env, "AWS_SESSION_TOKEN")?;
    let credentials =
        id.zip(secret).map(|(id, secret)| Credentials::new(id, secret, token, None, "environment"));
    Ok(Account { region: text(env, "AWS_REGION")?, credentials })
}

/// Whether a text is an `http` or `https` URL, as an endpoint must be.
fn is_http_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use std::time::Duration;

    use super::*;
    use crate::auth::{Algorithms, SmartScopes};

    const SET: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:api/key-AbCdEf";

    type Variables<'a> = [(&'a str, &'a str)];

    /// A minimal configuration with `changes`.
    fn config(changes: &Variables<'_>) -> Result<Config, Error> {
        let mut variables = HashMap::from([
            (TABLE_NAME, "ImagingStudies"),
            ("JWT_ISSUER", "https://issuer.example"),
            ("JWT_AUDIENCE", "imaging-study"),
        ]);
        variables.extend(changes.iter().copied());
        Config::from_env(|name| variables.get(name).map(ToString::to_string))
    }

    fn message(changes: &Variables<'_>) -> String {
        config(changes).expect_err(&format!("{changes:?}")).to_string()
    }

    #[test]
    fn a_variable_that_begins_like_one_of_the_function_and_is_none_is_unknown() {
        for (name, like) in [
            ("JWT_AUDIENCES", "JWT_AUDIENCE"),
            ("JWT_ISUER", "JWT_ISSUER"),
            ("JWT_jwks", "JWT_JWKS"),
            ("SITE_CLAIMS", "SITE_CLAIM"),
            ("SMART_SCOPE", "SMART_SCOPES"),
            ("TABLE", "TABLE_NAME"),
        ] {
            assert_eq!(nearest(name), Some(like), "{name}");
        }
        let others = ["PATH", "JWTS", "AWS_REGION", "HTTPS_PROXY", "ALL_PROXY", "_HANDLER", ""];
        for name in others.into_iter().chain(known()) {
            assert_eq!(nearest(name), None, "{name}");
        }
    }

    #[test]
    fn the_known_variables_are_those_of_the_page_on_configuration() {
        let (variables, _) =
            include_str!("../docs/configuration.md").split_once("## Parameters").expect("both tables");
        let listed = variables.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `"));
        let listed: BTreeSet<_> = listed.map(|(variable, _)| variable).collect();
        assert_eq!(known().collect::<BTreeSet<_>>(), listed);
    }

    #[test]
    fn issuer_audience_and_table_are_enough() {
        let config = config(&[]).unwrap();
        let Issuers::One(issuer) = config.issuers else { panic!("several issuers") };
        assert_eq!(config.table_name, "ImagingStudies");
        assert!(!config.consistent_read);
        assert_eq!(issuer.iss.as_deref(), Some("https://issuer.example"));
        assert_eq!(issuer.audiences, Some(vec!["imaging-study".to_owned()]));
        assert_eq!(issuer.leeway, Duration::from_secs(30));
        assert_eq!(Some(issuer.algorithms), Algorithms::of(["RS256", "PS256", "ES256", "ES384", "EdDSA"]));
        assert_eq!(issuer.access.all_sites, None);
        assert_eq!(issuer.access.scopes.requirement, SmartScopes::Optional);
        assert_eq!(
            (config.dynamodb_endpoint, config.aws_ca_bundle, config.jwt_ca_bundle),
            (None, None, None)
        );
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let optional = [
            "JWT_JWKS_URL", "JWT_JWKS_SECRET_ARN", "JWT_JWKS", "JWT_ALGORITHMS", "JWT_LEEWAY_SECONDS",
            "SITE_CLAIM", "ALL_SITES", "SMART_SCOPES", "SCOPE_PREFIX", "IGNORED_SCOPES", "PATIENT_CLAIM",
            "FHIR_USER_CLAIM", "SUBJECT_CLAIM", "REQUIRE_SUBJECT", "SUBJECT_BASE_URLS", CONSISTENT_READ,
            SMART_CONFIGURATION, DYNAMODB_ENDPOINT, AWS_CA_BUNDLE, JWT_CA_BUNDLE,
        ];
        let empty = optional.map(|variable| (variable, ""));
        assert_eq!(format!("{:?}", config(&empty)), format!("{:?}", config(&[])));
    }

    #[test]
    fn valid_values_are_accepted() {
        for changes in [
            &[(TABLE_NAME, "a.b")] as &Variables<'_>,
            &[(TABLE_NAME, "arn:aws:dynamodb:eu-west-1:123456789012:table/Imaging_Studies-1")],
            &[("JWT_AUDIENCE", "a, b,https://c.example/")],
            &[("JWT_AUDIENCE", "*")],
            &[("JWT_ISSUER", "*"), ("JWT_JWKS", SET)],
            &[("JWT_ISSUER", "example"), ("JWT_JWKS_URL", "https://issuer.example/keys?a=b")],
            &[("JWT_ISSUER", "https://issuer.example/tenant/")],
            &[("JWT_JWKS_SECRET_ARN", ARN), ("JWT_ALGORITHMS", "HS256")],
            &[(
                "JWT_JWKS_SECRET_ARN",
                "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:a+=.@!-_",
            )],
            &[("JWT_ALGORITHMS", "RS256, ES256")],
            &[("JWT_LEEWAY_SECONDS", "0")],
            &[("JWT_LEEWAY_SECONDS", "300")],
            &[("SITE_CLAIM", "https://example.org/sites")],
            &[("SITE_CLAIM", "/app/sites")],
            &[("ALL_SITES", "role=ADMIN")],
            &[("SMART_SCOPES", "required")],
            &[("SCOPE_PREFIX", "https://api.example/")],
            &[("SCOPE_PREFIX", "app:")],
            &[("IGNORED_SCOPES", "patient-portal, launch-pad user-admin")],
            &[("PATIENT_CLAIM", "/launch/patient"), ("FHIR_USER_CLAIM", "fhir_user")],
            &[("SUBJECT_CLAIM", "/user/name"), ("REQUIRE_SUBJECT", "true")],
            &[("SUBJECT_BASE_URLS", "https://fhir.example/r4, http://10.0.0.1:8080")],
            &[(CONSISTENT_READ, "true")],
            &[(DYNAMODB_ENDPOINT, "http://127.0.0.1:8000")],
            &[(AWS_CA_BUNDLE, "/etc/roots.pem"), (JWT_CA_BUNDLE, "/etc/authorities.pem")],
            &[(MAX_CONCURRENCY, "64")],
            &[(
                SMART_CONFIGURATION,
                r#" {"token_endpoint":"https://issuer.example/token?a=b","capabilities":["launch-ehr"],"a":{"b":1}} "#,
            )],
            &[(
                SMART_CONFIGURATION,
                r#"{"token_endpoint":"https://issuer.example/token","capabilities":[]}"#,
            )],
        ] {
            assert!(config(changes).is_ok(), "{changes:?}: {:?}", config(changes).err());
        }
    }

    #[test]
    fn an_invalid_table_is_rejected() {
        let long = "a".repeat(256);
        for value in [
            "", "ab", "a b", "tab/le", "täble", "arn:aws:dynamodb:eu:1:index/abc", "arn:aws:s3:::abc",
            "arn:aws:dynamodb::1:table/abc", "arn:aws:dynamodb:eu::table/abc", "\u{fffd}abc", &long,
        ] {
            let message = message(&[(TABLE_NAME, value)]);
            assert!(message.starts_with("TABLE_NAME: "), "{value:?}: {message}");
        }
    }

    #[test]
    fn an_invalid_value_is_rejected_by_the_name_of_its_variable() {
        for (variable, values) in [
            (
                "JWT_ISSUER",
                &[
                    "", " ", "https://issuer.example ", "a\nb", "issuer.example", "http://issuer.example",
                    "https://", "*",
                ] as &[&str],
            ),
            ("JWT_AUDIENCE", &["", " ", ",", "a,", "a,,b", "a b", "a,*", "*,*"]),
            ("REQUIRE_SUBJECT", &["yes", "TRUE"]),
            (SMART_CONFIGURATION, &["{", "[]", r#"{"capabilities":[]}"#]),
            (
                "JWT_JWKS_URL",
                &[
                    "https://:443/keys", "issuer.example", "http://issuer.example/keys",
                    "https://u:p@issuer.example/", "https://issuer.example/#a", "file:///keys",
                    "https:///keys", "//issuer.example", "http://127.0.0.1/keys", "https://a b/",
                ],
            ),
            (
                "JWT_JWKS_SECRET_ARN",
                &[
                    "secret",
                    "arn:aws:s3:::bucket",
                    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
                    "arn:aws:secretsmanager::123456789012:secret:a",
                    "arn:a.b:secretsmanager:eu-west-1:123456789012:secret:a",
                    "arn:aws:secretsmanager:eu-west-1:12345678901:secret:a",
                    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a:b",
                    "arn:aws:secretsmanager:eu-west-1.evil.example:123456789012:secret:a",
                ],
            ),
            (
                "JWT_JWKS",
                &[
                    "x",
                    "{}",
                    "[]",
                    r#"{"keys":{}}"#,
                    r#"{"keys":[]}"#,
                    r#"{"keys":[{}]}"#,
                    r#"{"keys":[],"keys":[]}"#,
                    r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#,
                    r#"{"keys":[{"kty":"EC","crv":"P-521","x":"","y":""}]}"#,
                ],
            ),
            (
                "JWT_ALGORITHMS",
                &[
                    "none", "HS256", "rs256", "RS256,", ",", "RS256,RS256", "RS256 ES256", "ES512",
                    "RS256,HS256",
                ],
            ),
            ("JWT_LEEWAY_SECONDS", &["-1", "+1", "301", "1.5", "30s", " 30", "1e2", "99999999999999999999"]),
            ("SITE_CLAIM", &["a\n", "/a~"]),
            ("ALL_SITES", &["role", "=ADMIN", "role="]),
            ("SMART_SCOPES", &["Required", "true", "none"]),
            ("SUBJECT_BASE_URLS", &[" ", "fhir.example", "https://a.example,", "https://u:p@a.example"]),
            (CONSISTENT_READ, &["1", "True", "yes"]),
            (DYNAMODB_ENDPOINT, &["localhost:8000", "ftp://a", "a b"]),
            (MAX_CONCURRENCY, &["0", "-1", "1.5", "many", "65536"]),
            (AWS_CA_BUNDLE, &["\u{fffd}"]),
        ] {
            for value in values {
                let message = message(&[(variable, value)]);
                assert!(message.starts_with(&format!("{variable}: ")), "{variable}={value:?}: {message}");
            }
        }
    }

    #[test]
    fn with_several_issuers_there_is_no_smart_configuration_but_a_wrong_one_still_stops_the_start() {
        let list = r#"[{"issuer":"https://a.example","audience":"a","sites":["4"]}]"#;
        let several = [("JWT_ISSUERS", list), ("JWT_ISSUER", ""), ("JWT_AUDIENCE", "")];
        let smart = r#"{"token_endpoint":"https://issuer.example/token","capabilities":[]}"#;
        let with = |value| config(&[several.as_slice(), &[(SMART_CONFIGURATION, value)]].concat());
        assert!(with(smart).unwrap().smart_configuration.is_none());
        assert!(with("{}").is_err());
        assert!(config(&[(SMART_CONFIGURATION, smart)]).unwrap().smart_configuration.is_some());
    }

    #[test]
    fn a_missing_variable_is_rejected_by_name() {
        for variable in [TABLE_NAME, "JWT_ISSUER", "JWT_AUDIENCE"] {
            assert!(
                message(&[(variable, "")]).starts_with(&format!("{variable}: is required: ")),
                "{variable}"
            );
        }
    }

    #[test]
    fn keys_come_from_one_source_only() {
        let sources = [
            ("JWT_JWKS_URL", "https://issuer.example/keys"),
            ("JWT_JWKS_SECRET_ARN", ARN),
            ("JWT_JWKS", SET),
        ];
        for (i, first) in sources.iter().enumerate() {
            assert!(config(&[*first]).is_ok(), "{first:?}");
            for second in &sources[i + 1..] {
                let message = message(&[*first, *second]);
                assert!(message.contains("cannot be combined") && message.contains(second.0), "{message}");
            }
        }
    }

    #[test]
    fn a_rejected_key_set_is_rejected_with_the_reason() {
        for (set, reason) in [
            ("x", "JWT_JWKS: the key set is rejected: not a JWK Set (RFC 7517 §5)"),
            (r#"{"keys":[]}"#, "JWT_JWKS: the key set is rejected: no keys"),
            (
                r#"{"keys":[{},{"kty":"oct","k":"AAAA"}]}"#,
                "JWT_JWKS: the key set is rejected: no usable key (malformed, alg_not_allowed)",
            ),
        ] {
            assert_eq!(message(&[("JWT_JWKS", set)]), reason);
        }
    }

    #[test]
    fn discovery_needs_an_issuer_that_is_an_https_url() {
        for issuer in
            ["*", "example", "http://issuer.example", "https://issuer.example/#a", "https://a.example?b"]
        {
            assert!(message(&[("JWT_ISSUER", issuer)]).contains("https URL"), "{issuer}");
        }
    }

    #[test]
    fn no_message_repeats_a_value() {
        let secret = "c2VjcmV0LXNlY3JldA";
        for (variable, value) in [
            ("JWT_JWKS", format!(r#"{{"keys":[{{"kty":"oct","k":"{secret}"}}]}}"#)),
            ("JWT_JWKS", format!(r#"{{"keys":"{secret}"}}"#)),
            ("JWT_JWKS", secret.to_owned()),
            ("JWT_JWKS_SECRET_ARN", secret.to_owned()),
            ("JWT_JWKS_URL", format!("https://user:{secret}@issuer.example")),
            ("ALL_SITES", secret.to_owned()),
            (SMART_CONFIGURATION, format!(r#"{{"token_endpoint":"https://{secret}@issuer.example"}}"#)),
        ] {
            assert!(!message(&[(variable, &value)]).contains(secret), "{variable}");
        }
    }

    #[test]
    fn a_configuration_does_not_show_its_keys() {
        let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let set = format!(r#"{{"keys":[{{"kty":"oct","k":"{secret}"}}]}}"#);
        let shown = format!("{:?}", config(&[("JWT_JWKS", &set), ("JWT_ALGORITHMS", "HS256")]).unwrap());
        assert!(!shown.contains(secret) && !shown.contains("0, 1, 2, 3"), "{shown}");
    }
}
