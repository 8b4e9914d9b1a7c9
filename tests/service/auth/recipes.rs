//! The recipes of `docs/configuration.md`: under the parameters that a recipe names, a token of the shape that its
//! product publishes reads the sites in it, and the product's other tokens do not.

use imaging_study::Config;
use imaging_study::auth::{Forbidden, Https, Verifier};
use serde_json::{Value, json};
use table::id::SiteId;

use super::support::*;

const PAGE: &str = include_str!("../../../docs/configuration.md");

/// A verifier under the parameters in the section with this heading, with the keys of the tests.
fn under(heading: &str) -> Verifier {
    let (_, section) = PAGE.split_once(&format!("\n### {heading}\n")).expect("the recipe");
    let section = section.split("\n#").next().unwrap();
    let keys = jwks([&*RSA, &SECRET].map(Signer::jwk));
    let mut variables = vec![("TABLE_NAME".to_owned(), "table".to_owned()), ("JWT_JWKS".to_owned(), keys)];
    let written = section.split('`').filter_map(|code| code.split_once('='));
    for (parameter, value) in written {
        if let Some(variable) = variable_of(parameter).filter(|name| !name.starts_with("JWT_JWKS")) {
            variables.retain(|(name, _)| *name != variable);
            variables.push((variable, value.to_owned()));
        }
    }
    let value = |name: &str| variables.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone());
    let config = Config::from_env(value).expect("the recipe is a configuration");
    Verifier::new(config.issuers, &Https::new(None), &aws(NO_AWS, &Clock::new()))
}

/// The variable that the page's table has beside a parameter.
fn variable_of(parameter: &str) -> Option<String> {
    let cell = format!("| `{parameter}` |");
    let row = PAGE.lines().find(|line| line.contains(&cell) && line.starts_with("| `"))?;
    let variable = row.split('`').nth(1)?;
    (variable != parameter).then(|| variable.to_owned())
}

/// `ok` if the token reads site 4, or why not.
async fn read(verifier: &Verifier, signer: &Signer, header: Value, claims: Value) -> &'static str {
    let times = json!({ "iat": NOW, "exp": NOW + 300 });
    let header = merged(json!({ "alg": format!("{:?}", signer.algorithm), "kid": signer.kid }), &header);
    let token = signer.sign(&header.to_string(), merged(times, &claims).to_string().as_bytes());
    match outcome(verifier, &token).await {
        Ok(principal) => {
            principal.authorize(&SiteId::parse("4").unwrap()).map_or_else(Forbidden::code, |_| "ok")
        }
        Err(code) => code,
    }
}

#[tokio::test]
async fn access_tokens_of_cognito_read_by_its_recipe() {
    let verifier = under("Amazon Cognito");
    let user = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["dentists"],
        "iss": "https://cognito-idp.REGION.amazonaws.com/POOL", "version": 2, "client_id": "APP_CLIENT_ID",
        "origin_jti": "o", "token_use": "access", "scope": "openid https://api.example/user.ImagingStudy.read",
        "auth_time": NOW, "jti": "j", "username": "someone", "siteIds": ["4", "17"],
    });
    let machine = json!({
        "sub": "APP_CLIENT_ID", "scope": "https://api.example/system.ImagingStudy.read",
        "cognito:groups": null, "origin_jti": null, "username": null,
    });
    let id_token = json!({ "token_use": "id", "aud": "APP_CLIENT_ID", "client_id": null, "scope": null });
    for (changes, expected) in [
        (json!({}), "ok"),
        (machine, "ok"),
        (json!({ "scope": "aws.cognito.signin.user.admin" }), "ok"),
        (json!({ "scope": "https://api.example/patient.ImagingStudy.read" }), "patient_missing"),
        (json!({ "siteIds": [] }), "site_not_granted"),
        (json!({ "client_id": "ANOTHER" }), "audience_wrong"),
        (id_token, "type_refused"),
    ] {
        let claims = merged(user.clone(), &changes);
        assert_eq!(read(&verifier, &RSA, json!({}), claims).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn access_tokens_of_auth0_read_by_its_recipe() {
    let verifier = under("Auth0");
    let user = json!({
        "iss": "https://TENANT.auth0.com/", "sub": "auth0|123456",
        "aud": ["API_IDENTIFIER", "https://TENANT.auth0.com/userinfo"], "azp": "my_client_id",
        "scope": "openid profile", "https://example.com/siteIds": ["4", "17"],
    });
    let machine = json!({
        "sub": "client@clients", "aud": "API_IDENTIFIER", "gty": "client-credentials", "scope": null,
    });
    for (header, changes, expected) in [
        (json!({ "typ": "JWT" }), json!({}), "ok"),
        (json!({ "typ": "at+jwt" }), json!({}), "ok"),
        (json!({ "typ": "JWT" }), machine, "ok"),
        (json!({ "typ": "JWT" }), json!({ "aud": "my_client_id" }), "audience_wrong"),
        (json!({ "typ": "JWT" }), json!({ "iss": "https://TENANT.auth0.com" }), "issuer_wrong"),
        (json!({ "typ": "JWT" }), json!({ "https://example.com/siteIds": "4,17" }), "site_not_granted"),
    ] {
        let claims = merged(user.clone(), &changes);
        assert_eq!(read(&verifier, &RSA, header, claims).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn access_tokens_of_entra_read_by_its_recipe() {
    let verifier = under("Microsoft Entra ID");
    let user = json!({
        "aud": "APPLICATION_ID", "iss": "https://login.microsoftonline.com/TENANT_ID/v2.0", "nbf": NOW,
        "aio": "a", "azp": "client", "azpacr": "1", "oid": "o", "rh": "r", "roles": ["4", "17"],
        "scp": "user.ImagingStudy.read", "sub": "s", "tid": "TENANT_ID", "uti": "u", "ver": "2.0",
    });
    for (changes, expected) in [
        (json!({}), "ok"),
        (json!({ "scp": null, "idtyp": "app" }), "ok"),
        (json!({ "scp": "patient.ImagingStudy.read" }), "patient_missing"),
        (json!({ "roles": null }), "site_claim_missing"),
        (json!({ "aud": "api://APPLICATION_ID" }), "audience_wrong"),
        (json!({ "iss": "https://sts.windows.net/TENANT_ID/", "ver": "1.0" }), "issuer_wrong"),
    ] {
        let claims = merged(user.clone(), &changes);
        assert_eq!(read(&verifier, &RSA, json!({ "typ": "JWT" }), claims).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn access_tokens_of_keycloak_read_by_its_recipe() {
    let verifier = under("Keycloak");
    let user = json!({
        "auth_time": NOW, "jti": "onrtac:1", "iss": "https://HOST/realms/REALM", "aud": ["imaging-study", "account"],
        "sub": "f:1", "typ": "Bearer", "azp": "viewer", "sid": "s", "acr": "1", "allowed-origins": ["https://HOST"],
        "realm_access": { "roles": ["offline_access"] }, "resource_access": { "account": { "roles": ["view-profile"] } },
        "scope": "openid profile email", "email_verified": true, "siteIds": ["4", "17"],
    });
    for (changes, expected) in [
        (json!({}), "ok"),
        (json!({ "typ": "ID" }), "type_refused"),
        (json!({ "typ": "Refresh" }), "type_refused"),
        (json!({ "aud": "account" }), "audience_wrong"),
    ] {
        let claims = merged(user.clone(), &changes);
        assert_eq!(read(&verifier, &RSA, json!({ "typ": "JWT" }), claims).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn tokens_signed_with_a_shared_secret_read_by_their_recipe() {
    let verifier = under("Tokens that you sign yourself, with HS256");
    let user = json!({ "sub": "user-1", "siteIds": [4, 17], "role": "SITE_USER", "organizationIds": [1] });
    for (changes, expected) in [
        (json!({}), "ok"),
        (json!({ "role": "ADMIN", "siteIds": null }), "ok"),
        (json!({ "role": "ORGANIZATION_USER", "siteIds": null }), "site_claim_missing"),
    ] {
        let claims = merged(user.clone(), &changes);
        let header = json!({ "typ": "JWT", "kid": null });
        assert_eq!(read(&verifier, &SECRET, header, claims).await, expected, "{changes}");
    }
    assert_eq!(read(&verifier, &RSA, json!({}), user).await, "algorithm_refused");
}
