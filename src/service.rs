//! The steps of a request.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::FutureExt as _;
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode};
use lambda_http::lambda_runtime::LambdaEvent;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::Serialize;
use table::error::chain;

use crate::api::{
    self, ApiError, Event, MalformedEvent, Payload, PayloadFormat, RequestPath, ResponseOptions, Route,
    SmartConfiguration,
};
use crate::audit::{self, Audit};
use crate::auth::{ClientCertificate, Forbidden, Https, Verifier};
use crate::aws::{self, CaBundleError};
use crate::config::{AWS_CA_BUNDLE, Config, JWT_CA_BUNDLE};
use crate::store::{Found, Store};

/// The service: everything that requests share.
pub struct Service {
    verifier: Verifier,
    store: Store,
    smart_configuration: Option<SmartConfiguration>,
    cold: AtomicBool,
}

impl Service {
    /// A service that accepts the tokens that `verifier` accepts, and reads from `store`.
    #[must_use]
    pub fn new(verifier: Verifier, store: Store) -> Self {
        Self { verifier, store, smart_configuration: None, cold: AtomicBool::new(true) }
    }

    /// The same service with this `.well-known/smart-configuration`.
    #[must_use]
    pub fn with_smart_configuration(self, smart_configuration: Option<SmartConfiguration>) -> Self {
        Self { smart_configuration, ..self }
    }

    /// A service with the clients that `config` describes.
    pub fn from_config(config: Config) -> Result<Self, CaBundleError> {
        let ca_bundle =
            |variable, path: Option<&Path>| path.map(|path| aws::ca_bundle(variable, path)).transpose();
        let aws_ca_bundle = ca_bundle(AWS_CA_BUNDLE, config.aws_ca_bundle.as_deref())?;
        let aws = aws::sdk_config(config.account, aws_ca_bundle, config.max_concurrency.get().into());
        let jwt_ca_bundle = ca_bundle(JWT_CA_BUNDLE, config.jwt_ca_bundle.as_deref())?;
        let verifier = Verifier::new(config.issuers, &Https::new(jwt_ca_bundle).through(config.proxy), &aws);
        let endpoint = config.dynamodb_endpoint.as_deref();
        let store = Store::new(&aws, endpoint, config.table_name, config.consistent_read);
        Ok(Self::new(verifier, store).with_smart_configuration(config.smart_configuration))
    }

    /// Loads the keys and opens the store's connection concurrently, so that the first request waits for neither. A
    /// failure is logged, and the request that needs it tries again.
    pub async fn warm_up(&self) {
        // Why keys could not be fetched is logged where they are fetched.
        let (_, connection) = tokio::join!(self.verifier.load_keys(), self.store.connect());
        if let Err(error) = connection {
            tracing::warn!(cause = chain(&error), "table warm-up failed");
        }
    }

    /// Handles one invocation. Fails only if the event is not from API Gateway; every other failure is a response.
    pub async fn invoke(
        &self,
        LambdaEvent { payload, context }: LambdaEvent<Event>,
    ) -> Result<impl Serialize + Send + use<>, MalformedEvent> {
        let (request, certificate) = payload.into_request().inspect_err(|error| {
            audit::malformed_event(&context, error, self.cold.swap(false, Ordering::Relaxed));
        })?;
        let format = PayloadFormat::of(&request);
        let mut request = Request::from(request).with_lambda_context(context);
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        let response = self.handle(request).await;
        Ok(Payload { format, response })
    }

    /// Handles a request and writes its audit line.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let mut audit = Audit::begin(self.cold.swap(false, Ordering::Relaxed));
        let path = RequestPath::of(&request);
        audit.route = path.route.name();
        let outcome = AssertUnwindSafe(self.respond(&request, &path, &mut audit)).catch_unwind().await;
        let outcome = outcome.unwrap_or(Err(ApiError::Panicked));
        let (mut response, reason, cause) = match outcome {
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED => (response, "not_modified", None),
            Ok(response) => (response, "ok", None),
            Err(error) => (error.response(path.route.error_media(&request)), error.code(), error.cause()),
        };
        if request.method() == Method::HEAD {
            api::without_body(&mut response);
        }
        if let Some(id) = audit::request_id(&request).and_then(|id| HeaderValue::from_str(id).ok()) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        audit.end(&request, &response, reason, cause.as_deref());
        response
    }

    async fn respond(
        &self,
        request: &Request,
        path: &RequestPath<'_>,
        audit: &mut Audit,
    ) -> Result<Response<Body>, ApiError> {
        let smart = self.smart_configuration.as_ref();
        match (request.method(), path.route) {
            (&Method::OPTIONS, _) => Ok(api::options()),
            (&Method::GET | &Method::HEAD, Route::Metadata) => {
                api::metadata(self.verifier.issuer(), smart, request, path)
            }
            (&Method::GET | &Method::HEAD, Route::SmartConfiguration) => {
                SmartConfiguration::response(smart, request, path)
            }
            (&Method::GET | &Method::HEAD, _) => self.study(request, path, audit).await,
            _ => Err(ApiError::MethodNotAllowed),
        }
    }

    async fn study(
        &self,
        request: &Request,
        path: &RequestPath<'_>,
        audit: &mut Audit,
    ) -> Result<Response<Body>, ApiError> {
        let since = Instant::now();
        let certificate = request.extensions().get::<ClientCertificate>();
        let authentication = self.verifier.authenticate(request.headers(), certificate).await;
        audit.auth_done(since);
        let authentication = authentication?;
        audit.principal(&authentication.principal);
        let study_ref = path.study_ref()?;
        audit.study_ref = Some(study_ref.clone());
        let patients = authentication.principal.authorize(&study_ref.site)?;
        let options = ResponseOptions::of(request, path.route.default_media())?;

        let since = Instant::now();
        let read = self.store.study(&study_ref, |head| {
            let properties = head.properties();
            if let Err(broken) = properties.check_subject(&patients.base_urls) {
                Some(Err(broken.into()))
            } else if patients.permits(properties.subject.as_deref()) {
                api::response_to_head(request, head, &options)
            } else {
                Some(Err(Forbidden::PatientNotGranted.into()))
            }
        });
        // Boxed because the runtime moves its future about, and this part of it is large.
        let timed = Box::pin(async {
            let read = read.await;
            audit.store_done(since, read.read_units);
            read.found
        });
        let found = authentication.beside(timed).await?;
        match found?.ok_or(ApiError::StudyNotFound)? {
            Found::Decided(form, response) => {
                audit.form = Some(form);
                response
            }
            Found::Document(study) => {
                audit.form = Some(study.form);
                api::response_to_study(request, study, &options, &patients.base_urls)
            }
        }
    }
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
