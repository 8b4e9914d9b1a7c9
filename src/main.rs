//! The Lambda function: log, configuration, clients, run.

use std::convert::Infallible;
use std::process::ExitCode;

use imaging_study::config::{Config, process_env};
use imaging_study::http::event::Event;
use imaging_study::{Service, audit};
use lambda_http::lambda_runtime::{self, tower::ServiceExt as _};
use lambda_http::{Adapter, Error, Request, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    audit::init(process_env("AWS_LAMBDA_LOG_LEVEL").as_deref());
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = %error, "the function stops");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let service = Service::from_config(Config::from_env(process_env)?).await?;
    service.warm_up().await;
    let handler = service_fn(|request: Request| async { Ok::<_, Infallible>(service.handle(request).await) });
    lambda_runtime::run(Adapter::from(handler).map_request(Event::into_request)).await
}
