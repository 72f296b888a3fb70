//! What is agreed, for any value of `Sec-WebSocket-Extensions` and any settings.
//!
//! What must hold: nothing panics; lines are one list; what is agreed is within the settings, and is itself an offer that
//! would be accepted as it is.
#![no_main]

use echoserver::protocol::extensions::{Agreed, Deflate, Negotiation};
use libfuzzer_sys::fuzz_target;

fn verdict(lines: &[&[u8]], settings: &Deflate) -> Result<Option<Agreed>, &'static str> {
    let mut negotiation = Negotiation::default();
    for line in lines {
        negotiation.add(line, Some(settings));
    }
    negotiation.verdict()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[flags, bits, cut], value)) = bytes.split_first_chunk() else {
        return;
    };
    let settings = Deflate {
        server_no_context_takeover: flags & 1 != 0,
        client_no_context_takeover: flags & 2 != 0,
        server_max_window_bits: 9 + bits % 7,
        client_max_window_bits: 9 + bits / 7 % 7,
        ..Deflate::default()
    };
    let whole = verdict(&[value], &settings);
    // Without settings the form alone matters.
    let mut form = Negotiation::default();
    form.add(value, None);
    assert_eq!(form.verdict().is_err(), whole.is_err());

    // A comma between two elements is as good as a line's end.
    let commas = value.iter().enumerate().filter(|(_, byte)| **byte == b',');
    if let Some((comma, _)) = commas.clone().nth(usize::from(cut) % commas.count().max(1))
        && !value[..comma].contains(&b'"')
        && whole.is_ok()
    {
        assert_eq!(verdict(&[&value[..comma], &value[comma + 1..]], &settings), whole);
    }

    let Ok(Some(agreed)) = whole else {
        return;
    };
    assert!((9..=settings.server_max_window_bits).contains(&agreed.server_max_window_bits));
    assert!((8..=15).contains(&agreed.client_max_window_bits));
    assert!(agreed.server_no_context_takeover || !settings.server_no_context_takeover);
    assert!(agreed.client_no_context_takeover || !settings.client_no_context_takeover);
    let said = agreed.to_string();
    let again = verdict(&[said.as_bytes()], &settings);
    if said.contains("client_max_window_bits") || settings.client_max_window_bits == 15 {
        assert_eq!(again.unwrap().unwrap().to_string(), said);
    }
});
