//! A small OpenTelemetry collector: takes spans and metrics over HTTP and remembers them.
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// A span, as far as tests look at it.
#[derive(Clone, Debug)]
pub struct SeenSpan {
    /// Its name.
    pub name: String,
    /// Trace it belongs to.
    pub trace: Vec<u8>,
    /// Its own id.
    pub id: Vec<u8>,
    /// Id of the span it is a child of; empty for the first of a trace.
    pub parent: Vec<u8>,
    /// Its texts.
    pub texts: BTreeMap<String, String>,
}

/// What arrived so far.
#[derive(Clone, Debug, Default)]
pub struct CollectedItem {
    /// Spans in order of arrival.
    pub spans: Vec<SeenSpan>,
    /// Names of metrics.
    pub metrics: BTreeSet<String>,
    /// `service.name` of everything.
    pub services: BTreeSet<String>,
    /// What could not be read.
    pub refused: Vec<String>,
}

/// A listening collector; its threads end with the test.
pub struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<CollectedItem>>,
}

impl Collector {
    /// Listens on a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start() -> Collector {
        Collector::serving(|stream, seen| drop(serve(stream, seen)))
    }

    /// One that takes connections and never answers, until the test ends.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn stalled() -> Collector {
        Collector::serving(|_open, _| {
            loop {
                std::thread::park();
            }
        })
    }

    /// A connection that breaks is the sender's to open again.
    fn serving(serve: fn(&TcpStream, &Mutex<CollectedItem>)) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(CollectedItem::default()));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Collector { address, seen }
    }

    /// For `telemetry.otlp_endpoint`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What arrived so far.
    #[must_use]
    pub fn seen(&self) -> CollectedItem {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CollectedItem {
    /// The names from the first span of the trace down to `span`.
    #[must_use]
    pub fn way_to(&self, span: &SeenSpan) -> Vec<String> {
        let mut way = vec![span.name.clone()];
        let mut current = span;
        while let Some(parent) = self.spans.iter().find(|other| other.id == current.parent) {
            if parent.trace != span.trace {
                break;
            }
            way.insert(0, parent.name.clone());
            current = parent;
        }
        way
    }

    fn note(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<(), String> {
        if content_type != "application/x-protobuf" {
            return Err(format!("{path} came as {content_type}"));
        }
        match path {
            "/v1/traces" => {
                let request = ExportTraceServiceRequest::decode(body).map_err(|error| error.to_string())?;
                for part in request.resource_spans {
                    self.services.extend(service(part.resource.as_ref()));
                    let spans = part.scope_spans.into_iter().flat_map(|scope| scope.spans);
                    self.spans.extend(spans.map(|span| SeenSpan {
                        name: span.name,
                        trace: span.trace_id,
                        id: span.span_id,
                        parent: span.parent_span_id,
                        texts: texts(&span.attributes),
                    }));
                }
                Ok(())
            }
            "/v1/metrics" => {
                let request = ExportMetricsServiceRequest::decode(body).map_err(|error| error.to_string())?;
                for part in request.resource_metrics {
                    self.services.extend(service(part.resource.as_ref()));
                    let metrics = part.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                    self.metrics.extend(metrics.map(|metric| metric.name));
                }
                Ok(())
            }
            other => Err(format!("{other} is no path of a collector")),
        }
    }
}

fn texts(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let text = |value: &Value| match value {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    };
    let pairs = attributes.iter().filter_map(|pair| {
        let value = pair.value.as_ref()?.value.as_ref()?;
        Some((pair.key.clone(), text(value)?))
    });
    pairs.collect()
}

fn service(resource: Option<&Resource>) -> Option<String> {
    texts(&resource?.attributes).remove("service.name")
}

/// Answers requests with a length, one after the other.
fn serve(stream: &TcpStream, seen: &Mutex<CollectedItem>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let (mut length, mut content_type) = (0, String::new());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "content-type" => value.trim().clone_into(&mut content_type),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = first.split_whitespace().nth(1).unwrap_or_default();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(why) = seen.note(path, &content_type, &body) {
            seen.refused.push(why);
        }
        drop(seen);
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")?;
    }
}
