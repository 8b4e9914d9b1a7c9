//! The Lambda function: log, configuration, clients, run.

use std::num::NonZeroU16;
use std::process::ExitCode;
use std::sync::Arc;

use imaging_study::config::{Config, log_level, process_env, warn_of_unknown_variables};
use imaging_study::{Event, Service, audit};
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Error, service_fn};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    audit::init(log_level(process_env), std::io::stdout);
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = %error, "the function stops");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Error> {
    warn_of_unknown_variables();
    let config = Config::from_env(process_env)?;
    runtime(config.max_concurrency)?.block_on(run(config))
}

/// One thread where Lambda sends one request at a time: more would only lengthen the cold start. Otherwise a thread per
/// vCPU.
fn runtime(max_concurrency: NonZeroU16) -> std::io::Result<Runtime> {
    let mut builder = if max_concurrency == NonZeroU16::MIN {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder.enable_all().build()
}

/// Serves as many requests at once as `AWS_LAMBDA_MAX_CONCURRENCY` says, which `lambda_runtime` reads itself.
async fn run(config: Config) -> Result<(), Error> {
    let service = Arc::new(Service::from_config(config)?);
    service.warm_up().await;
    let handler = service_fn(move |invocation: LambdaEvent<Event>| {
        let service = Arc::clone(&service);
        async move { service.invoke(invocation).await }
    });
    lambda_runtime::Runtime::new(handler).run_concurrent().await
}
