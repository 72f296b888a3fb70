//! wsload: an echo load generator for one machine's loopback. One thread, so that its own scheduling
//! adds nothing to what is measured; frames are masked beforehand, so that sending costs one system call.
//!
//! `options` reads the command line; `echo`, `connect` and `idle` are the three kinds of load;
//! `messages` makes what is sent, `inbox` checks what comes back; `stream` is a connection, plain or TLS, `deflate`
//! the compression of messages; `procstat` reads what the server used.

mod connect;
mod deflate;
mod echo;
mod handshake;
mod hist;
mod idle;
mod inbox;
mod messages;
mod options;
mod procstat;
mod stream;
mod sys;

use options::{Mode, Options};

/// A JSON string literal.
fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 32 => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    };
    sys::raise_open_files(options.conns as u64 + 256);
    let result = match options.mode {
        Mode::Echo => echo::run(&options),
        Mode::Connect => connect::run(&options),
        Mode::Idle => idle::run(&options),
    };
    match result {
        Ok(members) => println!("{{{members}}}"),
        Err(error) => {
            println!("{{\"error\":{}}}", json_string(&error));
            std::process::exit(1);
        }
    }
}
