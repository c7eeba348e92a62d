//! Logs to standard error, traces and metrics to an OTLP collector, metrics to Prometheus.
//!
//! OTLP goes over HTTP with the blocking client on the exporter's own thread: an actor's thread never exports. A
//! collector that does not answer costs spans, which are counted, and nothing else.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use instruments::Registry as MetricRegistry;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Registry, TextEncoder};
use settings::{LogFormat, TelemetrySettings};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::log::{Events, Log};
use crate::metrics::Queue;
use crate::traces::{Bounded, Spans};

/// Modules whose own spans would trace the tracing.
const NOT_TRACED: &str = "info,hyper=off,reqwest=off,h2=off,opentelemetry=off";
/// How often metrics are pushed to the collector.
const PUSH_EVERY: Duration = Duration::from_secs(15);
/// How long a collector may take for one request.
const PUSH_MAX: Duration = Duration::from_secs(10);
/// Says at ERROR that a request to the API is none: anybody can write those, so they are counted instead.
const BAD_REQUESTS: &str = "actix_http";
/// The module that says so of a connection of the API's. Others speak of answers to our own requests.
const BAD_REQUEST_OF_API: &str = "actix_http::h1::dispatcher";

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
    spans: Arc<Spans>,
    bad_requests: Arc<AtomicU64>,
    log: Log,
}

impl Telemetry {
    /// Starts logs, and whatever the settings ask for. `RUST_LOG` overrides the log level (`info`).
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(service: &'static str, settings: &TelemetrySettings, log: &Log) -> Result<Telemetry, TelemetryError> {
        let resource = Resource::builder().with_service_name(service).build();
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Twice(error.to_string()))?;
        let mut metrics = SdkMeterProvider::builder().with_reader(prometheus).with_resource(resource.clone());
        let (mut traces, span_counts) = (None, Arc::new(Spans::default()));
        if let Some(endpoint) = &settings.otlp_endpoint {
            let base = endpoint.trim_end_matches('/');
            let spans = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(format!("{base}/v1/traces"))
                .with_timeout(PUSH_MAX)
                .build()
                .map_err(|error| TelemetryError::Endpoint(error.to_string()))?;
            let points = MetricExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(format!("{base}/v1/metrics"))
                .with_timeout(PUSH_MAX)
                .build()
                .map_err(|error| TelemetryError::Endpoint(error.to_string()))?;
            metrics = metrics.with_reader(PeriodicReader::builder(points).with_interval(PUSH_EVERY).build());
            let spans = Bounded::new(spans, &span_counts);
            traces = Some(SdkTracerProvider::builder().with_span_processor(spans).with_resource(resource).build());
        }
        let metrics = metrics.build();
        let bad_requests = Arc::new(AtomicU64::new(0));
        subscribe(service, log, traces.as_ref(), &bad_requests)?;
        Ok(Telemetry { registry, traces, metrics, spans: span_counts, bad_requests, log: log.clone() })
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

    /// The process's log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What waits for the log's reader and for the collector.
    #[must_use]
    pub fn queues(&self) -> [Queue; 2] {
        [self.log.queue(), self.spans.queue()]
    }

    /// Where the process's metrics are registered. The only way to them: no provider is set for the whole process.
    #[must_use]
    pub fn metrics(&self) -> MetricRegistry {
        MetricRegistry::new(self.metrics.meter("meshpool"))
    }

    /// Registers what telemetry counts of itself.
    pub fn export(&self, metrics: &MetricRegistry) {
        let (log, bad_requests) = (self.log.clone(), Arc::clone(&self.bad_requests));
        let help = "Lines of the process's log dropped because its queue was full or the write failed.";
        metrics.counter("log_lines_dropped_total", help, move || log.dropped());
        let help = "Connections to the API that ended with bytes that are no HTTP request.";
        metrics.counter("api_bad_requests_total", help, move || bad_requests.load(Ordering::Relaxed));
    }

    /// Sends what is left and ends, after some seconds at most, whatever the collector does. Blocks: never called on an
    /// actor's thread.
    pub fn close(self) {
        let Telemetry { traces, metrics, .. } = self;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Err(error) = metrics.shutdown() {
                    tracing::warn!(%error, "last metrics not exported");
                }
            });
            if let Some(traces) = traces
                && let Err(error) = traces.shutdown()
            {
                tracing::warn!(%error, "last traces not exported");
            }
        });
    }
}

/// The log's filter: `RUST_LOG`, or `info`. Bad requests are out unless it names their module.
fn filter() -> EnvFilter {
    let wanted = EnvFilter::try_from_default_env().map(|filter| filter.to_string());
    let wanted = wanted.ok().filter(|filter| !filter.is_empty());
    let wanted = wanted.unwrap_or_else(|| "info,actix_server=warn".to_owned());
    // Later ones win.
    EnvFilter::try_new(format!("{BAD_REQUESTS}=off,{wanted}")).unwrap_or_else(|_| EnvFilter::new("info"))
}

fn subscribe(
    service: &'static str,
    log: &Log,
    traces: Option<&SdkTracerProvider>,
    bad_requests: &Arc<AtomicU64>,
) -> Result<(), TelemetryError> {
    // A line that cannot be written is lost and counted, and nothing else.
    let lines = fmt::layer().log_internal_errors(false).with_writer(Events(log.clone()));
    let lines = match log.format() {
        LogFormat::Text => lines.with_ansi(log.has_colours()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer().with_tracer(traces.tracer(service)).with_filter(EnvFilter::new(NOT_TRACED))
    });
    let is_bad_request = filter_fn(|event| event.is_event() && event.target() == BAD_REQUEST_OF_API);
    let errors = filter_fn(|event| *event.level() == tracing::Level::ERROR);
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter()))
        .with(Tally(Arc::clone(bad_requests)).with_filter(is_bad_request.and(errors)))
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))
}

/// Counts events.
struct Tally(Arc<AtomicU64>);

impl<S: Subscriber> Layer<S> for Tally {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
