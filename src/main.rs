//! The Lambda function: log, configuration, clients, run.

use std::num::NonZeroU16;
use std::process::ExitCode;
use std::sync::Arc;

use imaging_study::config::{Config, process_env};
use imaging_study::http::event::Event;
use imaging_study::{Service, audit};
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{BoxFuture, Error, SnapStartResource, service_fn};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    audit::init(process_env("AWS_LAMBDA_LOG_LEVEL").as_deref());
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = %error, "the function stops");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Error> {
    let config = Config::from_env(process_env)?;
    runtime(config.max_concurrency)?.block_on(run(config))
}

/// One thread where Lambda sends one request at a time: more would only lengthen the cold start. A thread per vCPU on
/// Managed Instances.
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
    let service = Arc::new(Service::from_config(config).await?);
    let warm_up = WarmUp(Arc::clone(&service));
    let mut runtime = lambda_runtime::Runtime::new(service_fn(move |invocation: LambdaEvent<Event>| {
        let service = Arc::clone(&service);
        async move { service.invoke(invocation).await }
    }));
    if runtime.is_snapstart() {
        runtime = runtime.register_snapstart_resource(Arc::new(warm_up));
    } else {
        warm_up.0.warm_up().await;
    }
    runtime.run_concurrent().await
}

/// What `SnapStart` puts off until an environment is restored, so that no snapshot holds a connection, a key set,
/// credentials, or the state of a random number generator.
struct WarmUp(Arc<Service>);

impl SnapStartResource for WarmUp {
    fn after_restore(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.0.warm_up().await;
            Ok(())
        })
    }
}
