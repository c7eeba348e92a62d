//! What this crate counts.
use instruments::{Counter, Histogram};

/// Bounds of the latency histogram, seconds.
const TIP_TO_JOB_BOUNDS: [f64; 12] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

instruments::metrics! {
    /// Metrics of templates and of the choice of the daemon.
    pub struct TemplateMetrics {
        /// Templates fetched.
        templates_total: Counter,
        /// New jobs: changes of the template's identity.
        template_pushes_total: Counter,
        /// Templates not taken because they build on a chain with less work than the current one.
        templates_older_total: Counter,
        /// Templates refused because they would pay another address than the pool's.
        templates_foreign_total: Counter,
        /// Times that another daemon was chosen to make the templates.
        daemon_switches_total: Counter,
        /// Time from the first notice of a new tip, by event or status, to the published job, in seconds.
        template_tip_to_job_seconds: Histogram(&TIP_TO_JOB_BOUNDS),
    }
}
