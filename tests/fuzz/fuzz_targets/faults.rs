//! Faults as text, any bytes of which may come in a URL.
//!
//! What must hold: nothing panics; what is wrong is one short line; what anybody may ask for by URL can be asked for by
//! whoever runs the server, too, and is within the limits; the same text in other words asks for the same.
#![no_main]

use echoserver::faults::grammar::{Place, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let by_server = parse(text, Place::Server);
    let by_url = parse(text, Place::Url);
    for wrong in [&by_server, &by_url].into_iter().filter_map(|one| one.as_ref().err()) {
        let line = wrong.to_string();
        assert!(line.len() < 2000, "{line}");
        assert!(!line.contains(['\r', '\n']), "{line}");
    }
    let Ok(plan) = by_url else {
        return;
    };
    assert!(plan.faults.len() <= 16);
    assert!(plan.cost(text.len()) >= text.len());
    if !plan.info {
        let faults = by_server.unwrap().faults;
        assert_eq!(format!("{:?}", plan.faults), format!("{faults:?}"));
    }
    // Each is one by itself, and means the same there.
    for asked in &plan.faults {
        let alone = parse(&asked.text, Place::Url).unwrap();
        assert_eq!(format!("{:?}", alone.faults), format!("{:?}", [asked]));
    }
});
