//! A log-linear latency histogram: 64 steps per power of two (about 1.6 % wide).

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;

pub(crate) struct Hist {
    counts: Vec<u64>,
    n: u64,
    max: u64,
    sum: u128,
}

impl Hist {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; SUB * 60],
            n: 0,
            max: 0,
            sum: 0,
        }
    }

    fn index(v: u64) -> usize {
        if v < SUB as u64 {
            return v as usize;
        }
        let e = 63 - v.leading_zeros() - SUB_BITS;
        (((e + 1) as usize) << SUB_BITS) + ((v >> e) as usize & (SUB - 1))
    }

    /// The middle of a step.
    fn value(i: usize) -> u64 {
        if i < SUB {
            return i as u64;
        }
        let e = (i >> SUB_BITS) as u32 - 1;
        let low = ((SUB + (i & (SUB - 1))) as u64) << e;
        low + (1u64 << e) / 2
    }

    /// Adds a duration in nanoseconds.
    pub(crate) fn record(&mut self, v: u64) {
        self.counts[Self::index(v)] += 1;
        self.n += 1;
        self.sum += u128::from(v);
        self.max = self.max.max(v);
    }

    fn quantile(&self, q: f64) -> u64 {
        let want = ((self.n as f64 * q).ceil() as u64).clamp(1, self.n.max(1));
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= want {
                return Self::value(i).min(self.max);
            }
        }
        self.max
    }

    /// JSON members (no braces), microseconds.
    pub(crate) fn json(&self, prefix: &str) -> String {
        let us = |v: u64| v as f64 / 1000.0;
        let mean = self.sum as f64 / self.n.max(1) as f64 / 1000.0;
        let mut out = format!("\"{prefix}mean_us\":{mean:.2}");
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            out += &format!(",\"{prefix}{name}_us\":{:.2}", us(self.quantile(q)));
        }
        out + &format!(",\"{prefix}max_us\":{:.2}", us(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut hist = Hist::new();
        (1..=100_000).for_each(|v| hist.record(v));
        for (q, want) in [(0.5, 50_000.0), (0.9, 90_000.0), (0.99, 99_000.0)] {
            let got = hist.quantile(q) as f64;
            assert!((got - want).abs() / want < 0.02, "{q}: {got} for {want}");
        }
    }

    #[test]
    fn small_values_are_exact() {
        let mut hist = Hist::new();
        hist.record(7);
        assert_eq!(hist.quantile(0.5), 7);
    }
}
