//! Spans on their way to the collector: how many wait, at most how many, and how many never arrive.
//!
//! The exporter's own queue drops without a figure, so the bound is kept before it.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

use crate::metrics::Queue;

/// Ended spans that may wait for the collector.
const SPANS_MAX: u32 = 4096;

/// Counts of spans.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// Handed to the exporter's thread and neither sent nor lost.
    waiting: AtomicU64,
    /// Found no place, or the collector did not take them.
    dropped: AtomicU64,
}

impl Spans {
    pub(crate) fn queue(self: &Arc<Self>) -> Queue {
        let (waiting, dropped) = (Arc::clone(self), Arc::clone(self));
        Queue {
            name: "trace_spans",
            depth: Box::new(move || waiting.waiting.load(Ordering::Relaxed)),
            capacity: u64::from(SPANS_MAX),
            refused: Box::new(move || dropped.dropped.load(Ordering::Relaxed)),
        }
    }
}

/// Hands ended spans to the exporter's thread, as many as may wait.
#[derive(Debug)]
pub(crate) struct Bounded {
    inner: BatchSpanProcessor,
    spans: Arc<Spans>,
}

impl Bounded {
    pub(crate) fn new(exporter: impl SpanExporter + 'static, spans: &Arc<Spans>) -> Bounded {
        let exporter = Counted { inner: exporter, spans: Arc::clone(spans) };
        // Larger than what is let in, so that it never drops any itself.
        let config = BatchConfigBuilder::default().with_max_queue_size(SPANS_MAX as usize + 1).build();
        let inner = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Bounded { inner, spans: Arc::clone(spans) }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let place = |waiting: u64| (waiting < u64::from(SPANS_MAX)).then_some(waiting + 1);
        if self.spans.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_ok() {
            self.inner.on_end(span);
        } else {
            self.spans.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Notes what the collector took.
#[derive(Debug)]
struct Counted<E> {
    inner: E,
    spans: Arc<Spans>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let length = batch.len() as u64;
        let outcome = self.inner.export(batch).await;
        self.spans.waiting.fetch_sub(length, Ordering::Relaxed);
        if outcome.is_err() {
            self.spans.dropped.fetch_add(length, Ordering::Relaxed);
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
