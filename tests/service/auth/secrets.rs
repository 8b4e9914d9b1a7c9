//! Keys from Secrets Manager, through its SDK, from a server that speaks its protocol.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use imaging_study::auth::{Https, KeySource, Verifier};
use serde_json::{Value, json};
use testkit::log::Log;
use tracing::level_filters::LevelFilter;

use super::support::*;

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:imaging/key-AbCdEf";
const BARE: &str = "thirty-two bytes of a shared key";

struct Secrets {
    server: Server,
    clock: Clock,
    verifier: Verifier,
}

impl Secrets {
    async fn new(secret: Value, algorithms: &str) -> Self {
        let server = Server::http().await;
        let clock = Clock::new();
        let settings = settings(KeySource::secret(ARN).unwrap(), algorithms);
        let verifier = Verifier::new(settings, &Https::new(None), &aws(&server.url(""), &clock));
        let secrets = Self { server, clock, verifier };
        secrets.set(&secret);
        secrets
    }

    async fn text(secret: &str, algorithms: &str) -> Self {
        Self::new(json!({"SecretString": secret}), algorithms).await
    }

    fn set(&self, secret: &Value) {
        let response = merged(json!({"ARN": ARN, "Name": "imaging/key", "VersionId": "1"}), secret);
        self.server.set("/", Behavior::json(response.to_string()));
    }

    async fn outcome(&self, signer: &Signer) -> Result<(), &'static str> {
        outcome(&self.verifier, &signer.token(&claims())).await.map(|_| ())
    }
}

fn secret(bytes: &[u8]) -> Signer {
    Signer::hmac("HS256", "any", bytes)
}

#[tokio::test]
async fn a_secret_is_requested_by_its_arn_in_its_own_region() {
    let secrets = Secrets::text(BARE, "HS256").await;
    assert_eq!(secrets.outcome(&secret(BARE.as_bytes())).await, Ok(()));
    let headers = secrets.server.last_headers();
    assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("/eu-central-1/secretsmanager/aws4_request"), "{authorization}");
    assert_eq!(secrets.server.requests(), 1);
}

#[tokio::test]
async fn a_secret_may_be_a_jwk_set() {
    let secrets = Secrets::text(&jwks([SECRET.jwk(), P256.jwk()]), "ES256,HS256").await;
    assert_eq!(secrets.outcome(&SECRET).await, Ok(()));
    assert_eq!(secrets.outcome(&P256).await, Ok(()));
}

#[tokio::test]
async fn a_secret_may_be_a_jwk() {
    let secrets = Secrets::text(&format!("\n{}\n", SECRET.jwk()), "HS256").await;
    assert_eq!(secrets.outcome(&SECRET).await, Ok(()));
    assert_eq!(secrets.outcome(&secret(BARE.as_bytes())).await, Err("key_unknown"));
}

#[tokio::test]
async fn a_secret_may_be_binary() {
    let bytes: Vec<u8> = (128..192).collect();
    let secrets = Secrets::new(json!({"SecretBinary": BASE64_STANDARD.encode(&bytes)}), "HS256").await;
    assert_eq!(secrets.outcome(&secret(&bytes)).await, Ok(()));
}

#[tokio::test]
async fn a_bare_secret_is_for_the_first_hmac_algorithm_that_is_configured() {
    let long = BARE.repeat(2);
    let secrets = Secrets::text(&long, "RS256,HS512,HS256").await;
    assert_eq!(secrets.outcome(&Signer::hmac("HS512", "x", long.as_bytes())).await, Ok(()));
    assert_eq!(secrets.outcome(&Signer::hmac("HS256", "x", long.as_bytes())).await, Err("algorithm_refused"));
}

#[tokio::test]
async fn one_line_end_after_a_bare_secret_is_not_part_of_it() {
    for (held, signs) in [
        (format!("{BARE}\n"), BARE.to_owned()),
        (format!("{BARE}\r\n"), BARE.to_owned()),
        (format!("{BARE}\n\n"), format!("{BARE}\n")),
        (format!("{BARE} "), format!("{BARE} ")),
        (format!(" {BARE}"), format!(" {BARE}")),
    ] {
        let secrets = Secrets::text(&held, "HS256").await;
        assert_eq!(secrets.outcome(&secret(signs.as_bytes())).await, Ok(()), "{held:?}");
    }
}

#[tokio::test]
async fn a_rotated_secret_is_read_after_the_cool_down() {
    let secrets = Secrets::text(BARE, "HS256").await;
    let rotated = "another thirty-two bytes of a key";
    assert_eq!(secrets.outcome(&secret(BARE.as_bytes())).await, Ok(()));
    secrets.set(&json!({"SecretString": rotated}));
    assert_eq!(secrets.outcome(&secret(rotated.as_bytes())).await, Err("signature_invalid"));
    secrets.clock.forward(30);
    assert_eq!(secrets.outcome(&secret(rotated.as_bytes())).await, Ok(()));
    assert_eq!(secrets.outcome(&secret(BARE.as_bytes())).await, Err("signature_invalid"));
}

#[tokio::test]
async fn a_cached_secret_stays_valid_while_it_cannot_be_read_again() {
    let secrets = Secrets::text(BARE, "HS256").await;
    assert_eq!(secrets.outcome(&secret(BARE.as_bytes())).await, Ok(()));
    let denied = json!({"__type": "AccessDeniedException", "Message": "no"}).to_string();
    secrets.server.set("/", Behavior::status(400, &denied));
    secrets.clock.forward(40);
    assert_eq!(
        secrets.outcome(&secret(b"a forger's thirty-two bytes or so")).await,
        Err("signature_invalid")
    );
    assert_eq!(secrets.outcome(&secret(BARE.as_bytes())).await, Ok(()));
}

#[tokio::test]
async fn an_unusable_secret_makes_the_keys_unavailable() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let pairs = json!({"key": BARE, "user": "imaging"}).to_string();
    let cut_short = &jwks([SECRET.jwk()])[..60];
    for secret_value in [
        json!({"SecretString": ""}),
        json!({"SecretString": "\n"}),
        json!({"SecretString": &BARE[1..]}),
        json!({"SecretString": pem}),
        json!({"SecretString": format!("  \n{pem}")}),
        json!({"SecretString": pairs}),
        json!({"SecretString": cut_short}),
        json!({"SecretString": jwks([])}),
        json!({"SecretString": jwks([P256.jwk()])}),
        json!({"SecretString": merged(SECRET.jwk(), &json!({"use": "enc"})).to_string()}),
        json!({"SecretBinary": ""}),
        json!({}),
    ] {
        let secrets = Secrets::new(secret_value.clone(), "HS256").await;
        assert!(secrets.verifier.load_keys().await.is_err(), "{secret_value}");
        for forged in [secret_value["SecretString"].as_str().unwrap_or_default(), pem, pem.trim_end()] {
            assert_eq!(
                secrets.outcome(&secret(forged.as_bytes())).await,
                Err("keys_unavailable"),
                "{secret_value}"
            );
        }
    }
}

#[tokio::test]
async fn a_bare_secret_needs_an_hmac_algorithm() {
    let secrets = Secrets::text(BARE, "RS256").await;
    assert!(secrets.verifier.load_keys().await.is_err());
}

#[tokio::test]
async fn an_unreadable_response_of_secrets_manager_is_not_quoted_in_the_log() {
    let broken = |tail| format!(r#"{{"ARN":"{ARN}","SecretString":"{CONFIDENTIAL}",{tail}"#);
    for response in [
        Behavior::json(broken(r#""CreatedDate":"never"}"#)),
        Behavior::json(broken("")),
        Behavior::json(broken(&format!(r#""VersionStages":"{CONFIDENTIAL}"}}"#))),
        Behavior::status(500, &broken("}")),
        Behavior::status(400, &broken(r#""__type":"DecryptionFailure"}"#)),
    ] {
        let secrets = Secrets::text(BARE, "HS256").await;
        secrets.server.set("/", response);
        let log = Log::default();
        let _listening = log.listen(LevelFilter::TRACE);
        assert!(secrets.verifier.load_keys().await.is_err());
        let log = log.take();
        assert!(log.contains("Secrets Manager: "), "{log}");
        assert!(!log.contains(CONFIDENTIAL), "the secret was given away");
    }
}
