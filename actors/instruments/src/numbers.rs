//! Whole numbers.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::registry::Registry;

/// A number that only grows, from the start of the process.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One that is exported; `name` ends in `_total`.
    #[must_use]
    pub fn register(registry: &Registry, name: &'static str, help: &'static str) -> Counter {
        let counter = Counter::default();
        let exported = counter.clone();
        registry.counter(name, help, move || exported.get());
        counter
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// One that is exported.
    #[must_use]
    pub fn register(registry: &Registry, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        let exported = gauge.clone();
        registry.gauge(name, help, move || exported.get());
        gauge
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes away `n`, which was added before.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
