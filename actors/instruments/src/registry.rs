//! Where metrics are registered.
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Exports metrics as `meshpool_…`. A clone registers at the same place.
#[derive(Debug, Clone)]
pub struct Registry {
    meter: Meter,
}

impl Registry {
    /// What is registered is read by the readers of the meter's provider.
    #[must_use]
    pub fn new(meter: Meter) -> Registry {
        Registry { meter }
    }

    /// The meter, for what has labels of its own; such a name begins with `meshpool_`.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The name under which it is exported. The exporter adds the ending `_total` itself.
    pub(crate) fn full_name(name: &str) -> String {
        format!("meshpool_{}", name.trim_end_matches("_total"))
    }

    /// A number that only grows, read on demand; its name ends in `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let _registered = self
            .meter
            .u64_observable_counter(Registry::full_name(name))
            .with_description(help)
            .with_callback(move |observer| observer.observe(read(), &[]))
            .build();
    }

    /// A number that goes up and down, read on demand.
    pub fn gauge(&self, name: &'static str, help: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let _registered = self
            .meter
            .u64_observable_gauge(Registry::full_name(name))
            .with_description(help)
            .with_callback(move |observer| observer.observe(read(), &[]))
            .build();
    }

    /// Numbers that only grow, one for each value of a label; the name ends in `_total`.
    pub fn labelled<I: IntoIterator<Item = (&'static str, u64)>>(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> I + Send + Sync + 'static,
    ) {
        let _registered = self
            .meter
            .u64_observable_counter(Registry::full_name(name))
            .with_description(help)
            .with_callback(move |observer| {
                for (value, count) in read() {
                    observer.observe(count, &[KeyValue::new(label, value)]);
                }
            })
            .build();
    }
}
