//! Many connections that do nothing: memory per connection, and whether each still echoes.

use crate::handshake::{Door, echo_once};
use crate::messages::Messages;
use crate::options::Options;
use crate::procstat::{Sample, Watch};
use crate::sys;
use std::thread::sleep;
use std::time::Duration;

/// How long the server gets to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(300);

/// Server memory along the way.
struct Memory {
    before: Sample,
    idle: Sample,
    echoed: Sample,
    closed: Sample,
}

impl Memory {
    fn json(&self, conns: usize) -> String {
        let per_conn =
            |s: &Sample| (s.rss_kb as f64 - self.before.rss_kb as f64) * 1024.0 / conns as f64;
        format!(
            ",\"rss_before_kb\":{},\"rss_idle_kb\":{},\"rss_after_echo_kb\":{},\"rss_after_close_kb\":{},\
             \"rss_per_conn_bytes\":{:.0},\"rss_per_conn_after_echo_bytes\":{:.0}",
            self.before.rss_kb,
            self.idle.rss_kb,
            self.echoed.rss_kb,
            self.closed.rss_kb,
            per_conn(&self.idle),
            per_conn(&self.echoed)
        )
    }
}

pub(crate) fn run(o: &Options) -> Result<String, String> {
    let messages = Messages::new(o);
    let mut door = Door::new(o);
    // A few connections first, so that what the server sets up once is not counted.
    for _ in 0..3 {
        let (mut stream, mut carry) = door.open(1)?;
        echo_once(&mut stream, &messages, 0, &mut carry)?;
    }
    let watch = o.server_pid.map(Watch::new);
    let memory = || watch.as_ref().map(Watch::all).unwrap_or_default();
    sleep(SETTLE);
    let before = memory();
    let start = sys::now_ns();
    let mut conns = Vec::with_capacity(o.conns);
    for i in 0..o.conns {
        let conn = door.open(1 + (i % 4) as u8);
        let conn = conn.map_err(|e| format!("connection {i}: {e}"))?;
        conns.push(conn);
    }
    let open_s = (sys::now_ns() - start) as f64 / 1e9;
    sleep(SETTLE.max(Duration::from_secs_f64(o.secs)));
    let idle = memory();
    for (i, (stream, carry)) in conns.iter_mut().enumerate() {
        echo_once(stream, &messages, i, carry).map_err(|e| format!("connection {i}: {e}"))?;
    }
    sleep(SETTLE);
    let echoed = memory();
    drop(conns);
    sleep(SETTLE * 2);
    let memory = Memory {
        before,
        idle,
        echoed,
        closed: memory(),
    };
    let json = format!(
        "\"mode\":\"idle\",\"conns\":{},\"open_s\":{open_s:.3}",
        o.conns
    );
    Ok(json + &memory.json(o.conns))
}
