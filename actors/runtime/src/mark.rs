//! Where a trace stands, for work that takes it up again after its span has ended.
use opentelemetry::Context;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A place in a trace. Empty when nobody collects traces.
#[derive(Clone, Debug, Default)]
pub struct TraceMark(Context);

impl TraceMark {
    /// Remembers `span`, without keeping it open.
    #[must_use]
    pub fn of(span: &Span) -> TraceMark {
        TraceMark(span.context())
    }

    /// Makes `span`, which has not been entered yet, a child of what was remembered.
    pub fn continue_in(&self, span: &Span) {
        // Refused where nobody collects traces: then there is nothing to continue.
        drop(span.set_parent(self.0.clone()));
    }
}
