//! A whole connection: frames and other bytes in any cuts, a handler that answers when it likes, time that passes, with
//! any options; the script is `echoserver::server::fuzz::connection`'s.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| echoserver::server::fuzz::connection(script));
