//! Headers of the PROXY protocol, good and bad, in any cuts, and the upgrade and the native echo behind good ones; the script
//! is `echoserver::server::fuzz::proxied`'s.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| echoserver::server::fuzz::proxied(script));
