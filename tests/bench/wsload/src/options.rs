//! The command line.

use crate::deflate::Offer;

const HELP: &str = "usage: wsload [echo|connect|idle] --port P [options]
  echo     keep --inflight messages outstanding on each of --conns connections
  connect  connect, upgrade, one message, close, and again, --conns at a time
  idle     open --conns connections, hold them for --secs, then echo once on each
options:
  --conns N (1)  --inflight D (1)  --text (default: binary)
  --size BYTES (125)  or several, by commas: one message of each in turn
  --fragments N (1)   frames per message
  --segments N (1)    writes per message, each on its own (TCP_NODELAY)
  --secs S (3)  --warmup S (0.5)
  --count N         echo: exactly N messages instead of --warmup and --secs;
                    connect: N connections instead of --secs
  --vanish          connect: leave after the message, without a closing handshake
  --hold            with echo --count: print `connected`, begin at a line on standard
                    input; print `done`, end at another
  --verify K|all    compare the payloads of each connection's first K echoes (64);
                    length, opcode and order are always checked
  --server-pid PID  report the CPU time and memory of that process and its children
  --tls             through TLS, with any certificate
  --deflate BITS    compressed text without a context of ours; the server's window;
                    --no-takeover asks it to keep no context either
  --tcp             no WebSocket: the same payloads against a TCP echo server
  --spin            poll without sleeping
  --stall S (10)    fail when nothing comes back for so long
Prints one JSON object; exits 1 with an \"error\" member when anything was wrong.";

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Echo,
    Connect,
    Idle,
}

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) port: u16,
    pub(crate) conns: usize,
    pub(crate) inflight: usize,
    pub(crate) sizes: Vec<usize>,
    pub(crate) fragments: usize,
    pub(crate) segments: usize,
    pub(crate) text: bool,
    pub(crate) secs: f64,
    pub(crate) warmup: f64,
    pub(crate) count: Option<u64>,
    pub(crate) hold: bool,
    pub(crate) vanish: bool,
    pub(crate) verify: u64,
    pub(crate) server_pid: Option<i32>,
    pub(crate) tls: bool,
    pub(crate) deflate: Option<Offer>,
    pub(crate) tcp: bool,
    pub(crate) spin: bool,
    pub(crate) stall: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Echo,
            port: 0,
            conns: 1,
            inflight: 1,
            sizes: vec![125],
            fragments: 1,
            segments: 1,
            text: false,
            secs: 3.0,
            warmup: 0.5,
            count: None,
            hold: false,
            vanish: false,
            verify: 64,
            server_pid: None,
            tls: false,
            deflate: None,
            tcp: false,
            spin: false,
            stall: 10.0,
        }
    }
}

fn number<T: std::str::FromStr>(name: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{name} needs a value"))?;
    value
        .parse()
        .map_err(|_| format!("{name}: bad value {value}"))
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut o = Self::default();
        while let Some(name) = args.next() {
            let name = name.as_str();
            match name {
                "echo" => o.mode = Mode::Echo,
                "connect" => o.mode = Mode::Connect,
                "idle" => o.mode = Mode::Idle,
                "--port" => o.port = number(name, args.next())?,
                "--conns" => o.conns = number(name, args.next())?,
                "--inflight" => o.inflight = number(name, args.next())?,
                "--size" => {
                    let sizes = args.next().ok_or("--size needs a value")?;
                    let sizes = sizes
                        .split(',')
                        .map(|size| number(name, Some(size.to_string())));
                    o.sizes = sizes.collect::<Result<_, _>>()?;
                }
                "--fragments" => o.fragments = number(name, args.next())?,
                "--segments" => o.segments = number(name, args.next())?,
                "--text" => o.text = true,
                "--secs" => o.secs = number(name, args.next())?,
                "--warmup" => o.warmup = number(name, args.next())?,
                "--count" => o.count = Some(number(name, args.next())?),
                "--hold" => o.hold = true,
                "--vanish" => o.vanish = true,
                "--verify" => {
                    o.verify = match args.next() {
                        Some(all) if all == "all" => u64::MAX,
                        value => number(name, value)?,
                    }
                }
                "--server-pid" => o.server_pid = Some(number(name, args.next())?),
                "--tls" => o.tls = true,
                "--deflate" => {
                    o.deflate = Some(Offer {
                        window_bits: number(name, args.next())?,
                        takeover: true,
                    });
                }
                "--no-takeover" => {
                    let offer = o.deflate.as_mut();
                    offer.ok_or("--no-takeover goes after --deflate")?.takeover = false;
                }
                "--tcp" => o.tcp = true,
                "--spin" => o.spin = true,
                "--stall" => o.stall = number(name, args.next())?,
                "-h" | "--help" => {
                    println!("{HELP}");
                    std::process::exit(0);
                }
                _ => return Err(format!("unknown argument {name}\n{HELP}")),
            }
        }
        o.check()
    }

    fn check(self) -> Result<Self, String> {
        let numbers = [self.conns, self.inflight, self.fragments, self.segments];
        let is_zero = |n: &usize| *n == 0;
        if numbers.iter().chain(&self.sizes).any(is_zero) || self.port == 0 || self.count == Some(0)
        {
            return Err("numbers must be positive".into());
        }
        let special = self.tcp || self.tls || self.deflate.is_some();
        if special && self.mode != Mode::Echo {
            return Err("--tcp, --tls and --deflate go with echo".into());
        }
        if self.tcp && (self.deflate.is_some() || self.fragments > 1) {
            return Err("--deflate and --fragments need frames".into());
        }
        if self.hold && (self.mode != Mode::Echo || self.count.is_none()) {
            return Err("--hold goes with echo --count".into());
        }
        if self.vanish && self.mode != Mode::Connect {
            return Err("--vanish goes with connect".into());
        }
        Ok(self)
    }
}
