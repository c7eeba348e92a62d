//! Logs to standard error, traces and metrics to an OTLP collector, metrics to Prometheus.
//!
//! OTLP goes over HTTP with the blocking client on the exporter's own thread: an actor's thread never exports.
use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Registry, TextEncoder};
use settings::{LogFormat, TelemetrySettings};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Modules whose own spans would trace the tracing.
const NOT_TRACED: &str = "info,hyper=off,reqwest=off,h2=off,opentelemetry=off";
/// How often metrics are pushed to the collector.
const PUSH_EVERY: Duration = Duration::from_secs(15);

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The collector's address is not usable.
    #[error("telemetry.otlp_endpoint: {0}")]
    Endpoint(String),
    /// A second subscriber, or a second exporter.
    #[error("telemetry: {0}")]
    Twice(String),
}

/// Running telemetry. [`Telemetry::close`] sends what is left.
pub struct Telemetry {
    registry: Registry,
    traces: Option<SdkTracerProvider>,
    metrics: SdkMeterProvider,
}

impl Telemetry {
    /// Starts logs, and whatever the settings ask for. `RUST_LOG` overrides the log level (`info`).
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(service: &'static str, settings: &TelemetrySettings) -> Result<Telemetry, TelemetryError> {
        let resource = Resource::builder().with_service_name(service).build();
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Twice(error.to_string()))?;
        let mut metrics = SdkMeterProvider::builder().with_reader(prometheus).with_resource(resource.clone());
        let mut traces = None;
        if let Some(endpoint) = &settings.otlp_endpoint {
            let base = endpoint.trim_end_matches('/');
            let spans = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(format!("{base}/v1/traces"))
                .build()
                .map_err(|error| TelemetryError::Endpoint(error.to_string()))?;
            let points = MetricExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(format!("{base}/v1/metrics"))
                .build()
                .map_err(|error| TelemetryError::Endpoint(error.to_string()))?;
            metrics = metrics.with_reader(PeriodicReader::builder(points).with_interval(PUSH_EVERY).build());
            traces = Some(SdkTracerProvider::builder().with_batch_exporter(spans).with_resource(resource).build());
        }
        let metrics = metrics.build();
        opentelemetry::global::set_meter_provider(metrics.clone());
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        subscribe(service, settings, traces.as_ref())?;
        Ok(Telemetry { registry, traces, metrics })
    }

    /// A function that prints all metrics in the Prometheus text format.
    pub fn printer(&self) -> impl Fn() -> String + Clone + Send + Sync + 'static {
        let registry = self.registry.clone();
        move || {
            TextEncoder::new()
                .encode_to_string(&registry.gather())
                .unwrap_or_else(|error| format!("# metrics cannot be printed: {error}\n"))
        }
    }

    /// Sends what is left and ends. Blocks for a few seconds at most; never called on an actor's thread.
    pub fn close(self) {
        if let Some(traces) = self.traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "last traces were not sent");
        }
        if let Err(error) = self.metrics.shutdown() {
            tracing::warn!(%error, "last metrics were not sent");
        }
    }
}

fn subscribe(
    service: &'static str,
    settings: &TelemetrySettings,
    traces: Option<&SdkTracerProvider>,
) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let lines = match settings.log_format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            // Standard error may be a file on a full disk: a line that cannot be written is lost, and nothing else.
            let lines = fmt::layer().log_internal_errors(false);
            lines.with_writer(std::io::stderr).with_ansi(colours).with_target(false).boxed()
        }
        LogFormat::Json => {
            let lines = fmt::layer().log_internal_errors(false);
            lines.json().flatten_event(true).with_writer(std::io::stderr).boxed()
        }
    };
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer().with_tracer(traces.tracer(service)).with_filter(EnvFilter::new(NOT_TRACED))
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))
}
