//! What a server process and its children have used, read from /proc.

use std::fs;

#[derive(Clone, Copy, Default)]
pub(crate) struct Sample {
    /// The scheduler's run time, summed over all live threads.
    pub(crate) cpu_ns: u64,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    pub(crate) rss_kb: u64,
    pub(crate) threads: u64,
    pub(crate) voluntary_switches: u64,
}

/// Fields of /proc/PID/stat from the state on (0 = state, 1 = parent, 11 = utime, 12 = stime).
fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after = &text[text.rfind(')')? + 1..];
    Some(after.split_whitespace().map(str::to_string).collect())
}

fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The process, its children, their children.
fn tree(root: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(i32, i32)> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat_fields(pid)?.get(1)?.parse().ok()?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found
}

/// The kernel's summary walks the page tables; the counter in `status` is per-thread batches behind.
fn resident_kb(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    let exact = rollup.ok().and_then(|text| field(&text, "Rss:"));
    let status = || fs::read_to_string(format!("/proc/{pid}/status")).ok();
    exact.or_else(|| field(&status()?, "VmRSS:")).unwrap_or(0)
}

pub(crate) struct Watch {
    pids: Vec<i32>,
}

impl Watch {
    pub(crate) fn new(pid: i32) -> Self {
        Self { pids: tree(pid) }
    }

    /// CPU time only: cheap enough for the beginning of a measurement.
    pub(crate) fn cpu(&self) -> Sample {
        let mut sample = Sample::default();
        for &pid in &self.pids {
            let Some(fields) = stat_fields(pid) else {
                continue;
            };
            let ticks = |i: usize| fields.get(i).and_then(|v| v.parse().ok()).unwrap_or(0);
            sample.user_ticks += ticks(11);
            sample.system_ticks += ticks(12);
            for thread in fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
                let run_time = read("schedstat");
                let run_time = run_time
                    .split_whitespace()
                    .next()
                    .and_then(|v| v.parse().ok());
                sample.threads += 1;
                sample.cpu_ns += run_time.unwrap_or(0);
                sample.voluntary_switches +=
                    field(&read("status"), "voluntary_ctxt_switches:").unwrap_or(0);
            }
        }
        sample
    }

    /// CPU time and memory.
    pub(crate) fn all(&self) -> Sample {
        let rss_kb = self.pids.iter().map(|&pid| resident_kb(pid)).sum();
        Sample {
            rss_kb,
            ..self.cpu()
        }
    }
}

impl Sample {
    /// JSON members: what was used from `self` to `end`, per message.
    pub(crate) fn json_until(&self, end: &Self, messages: u64, elapsed_ns: u64) -> String {
        let messages = messages.max(1) as f64;
        let cpu = end.cpu_ns.saturating_sub(self.cpu_ns) as f64;
        let user = (end.user_ticks - self.user_ticks) as f64;
        let system = (end.system_ticks - self.system_ticks) as f64;
        let switches = end
            .voluntary_switches
            .saturating_sub(self.voluntary_switches) as f64;
        format!(
            ",\"server_cpu_ns_per_msg\":{:.1},\"server_busy\":{:.3},\"server_user_share\":{:.3},\
             \"server_switches_per_msg\":{:.4},\"server_rss_kb\":{},\"server_threads\":{}",
            cpu / messages,
            cpu / elapsed_ns as f64,
            user / (user + system).max(1.0),
            switches / messages,
            end.rss_kb,
            end.threads
        )
    }
}
