//! The server's TLS stream, and the upgrade and the native echo above it, with a client that sends any records in any
//! cuts, of either version; the script is `echoserver::server::fuzz::tls`'s.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| echoserver::server::fuzz::tls(script));
