//! Tests of `extensions.rs`.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

/// What is answered to these lines; "" for nothing.
fn answer_with(settings: Deflate, lines: &[&str]) -> String {
    let mut negotiation = Negotiation::default();
    for line in lines {
        negotiation.add(line.as_bytes(), Some(&settings));
    }
    match negotiation.verdict() {
        Ok(agreed) => agreed.map_or_else(String::new, |agreed| agreed.to_string()),
        Err(_) => "malformed".into(),
    }
}

fn answer(line: &str) -> String {
    answer_with(Deflate::default(), &[line])
}

#[test]
fn good_offers_are_accepted_with_what_they_ask_for() {
    for (offer, expected) in [
        ("permessage-deflate", "permessage-deflate"),
        // Chromium's and Firefox's; Safari's.
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=15",
        ),
        (
            "permessage-deflate; client_max_window_bits=11",
            "permessage-deflate; client_max_window_bits=11",
        ),
        (
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=8",
        ),
        (
            "permessage-deflate;server_max_window_bits = \"1\\2\" ; client_max_window_bits=\"9\"",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=9",
        ),
        (", ,permessage-deflate,", "permessage-deflate"),
    ] {
        assert_eq!(answer(offer), expected, "{offer}");
    }
}

#[test]
fn offers_that_cannot_be_kept_are_declined() {
    for parameters in [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=8",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=+9",
        "server_max_window_bits=9x",
        "client_max_window_bits=0",
        "client_max_window_bits=100",
        "client_max_window_bits=\"08\"",
        "Server_No_Context_Takeover",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(answer(&offer), "", "{offer}");
        let offers = format!("{offer}, permessage-deflate; client_max_window_bits=10");
        let next = "permessage-deflate; client_max_window_bits=10";
        assert_eq!(answer(&offers), next, "{offers}");
    }
    for other in [
        "permessage-bzip2",
        "x-webkit-deflate-frame",
        "Permessage-Deflate",
    ] {
        assert_eq!(answer(other), "", "{other}");
    }
}

#[test]
fn the_first_good_offer_of_all_lines_is_taken() {
    let lines = [
        "mux; max-channels=4; flow-control, deflate-stream",
        "permessage-deflate; server_max_window_bits=8, x; y=\"a;b,c\"",
        "permessage-deflate; server_max_window_bits=12, permessage-deflate",
        "permessage-deflate; server_max_window_bits=11",
    ];
    // What a quoted value holds has to be a token.
    assert_eq!(answer_with(Deflate::default(), &lines), "malformed");
    let lines = [lines[0], &lines[1][..50], lines[2], lines[3]];
    assert_eq!(
        answer_with(Deflate::default(), &lines),
        "permessage-deflate; server_max_window_bits=12"
    );
}

#[test]
fn the_settings_are_the_most_that_is_agreed() {
    let settings = Deflate {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 10,
        client_max_window_bits: 11,
        ..Deflate::default()
    };
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (offer, bits) in [
        ("", "; server_max_window_bits=10"),
        ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        (
            "; client_max_window_bits",
            "; server_max_window_bits=10; client_max_window_bits=11",
        ),
        (
            "; client_max_window_bits=9; server_max_window_bits=15",
            "; server_max_window_bits=10; client_max_window_bits=9",
        ),
    ] {
        let offer = format!("permessage-deflate{offer}");
        assert_eq!(answer_with(settings, &[&offer]), format!("{both}{bits}"));
    }
    // Without its consent the client can't be told; its window is then the largest.
    let mut negotiation = Negotiation::default();
    negotiation.add(b"permessage-deflate", Some(&settings));
    let agreed = negotiation.verdict().unwrap().unwrap();
    assert_eq!(agreed.client_max_window_bits, 15);
}

#[test]
fn what_is_no_list_of_extensions_is_refused() {
    for value in [
        "permessage-deflate;",
        "permessage-deflate; =1",
        "permessage-deflate; a=",
        "permessage-deflate; a=\"b",
        "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"b\\",
        "permessage-deflate; a=\"b c\"",
        "permessage-deflate a",
        "permessage-deflate; a b",
        "permessage-deflate; a=b c",
        "permessage-deflate=1",
        "; a",
        "\"permessage-deflate\"",
        "permessage-deflate; a=\u{e4}",
        "permessage-deflate, \u{0}",
    ] {
        assert_eq!(answer(value), "malformed", "{value}");
        let mut negotiation = Negotiation::default();
        negotiation.add(value.as_bytes(), None);
        assert!(negotiation.verdict().is_err(), "{value}, with nothing set");
    }
}

#[test]
fn without_settings_nothing_is_agreed() {
    let mut negotiation = Negotiation::default();
    negotiation.add(b"permessage-deflate", None);
    assert_eq!(negotiation.verdict(), Ok(None));
}

#[test]
fn settings_out_of_range_are_named() {
    let check = |settings: Deflate| settings.check().map_err(|(name, value, _)| (name, value));
    assert_eq!(check(Deflate::default()), Ok(()));
    for bits in [0, 8, 16] {
        let server = Deflate {
            server_max_window_bits: bits,
            ..Deflate::default()
        };
        assert_eq!(check(server), Err(("server_max_window_bits", bits)));
        let client = Deflate {
            client_max_window_bits: bits,
            ..Deflate::default()
        };
        assert_eq!(check(client), Err(("client_max_window_bits", bits)));
    }
    let level = Deflate {
        level: 10,
        ..Deflate::default()
    };
    assert_eq!(check(level), Err(("level", 10)));
}

proptest! {
    #[test]
    fn an_answer_is_within_the_offer_and_the_settings(
        server in 9_u8..=15, client in 9_u8..=15, ours in any::<(bool, bool)>(),
        offered in any::<(bool, bool)>(),
        server_offer in proptest::option::of(8_u8..=15),
        client_offer in proptest::option::of(proptest::option::of(8_u8..=15)),
    ) {
        let settings = Deflate {
            server_no_context_takeover: ours.0,
            client_no_context_takeover: ours.1,
            server_max_window_bits: server,
            client_max_window_bits: client,
            ..Deflate::default()
        };
        let mut offer = String::from("permessage-deflate");
        if offered.0 {
            offer += "; server_no_context_takeover";
        }
        if let Some(bits) = server_offer {
            write!(offer, "; server_max_window_bits={bits}").unwrap();
        }
        if offered.1 {
            offer += ";client_no_context_takeover";
        }
        match client_offer {
            Some(Some(bits)) => write!(offer, "; client_max_window_bits={bits}").unwrap(),
            Some(None) => offer += "; client_max_window_bits",
            None => {}
        }
        let answer = answer_with(settings, &[&offer]);
        prop_assert_eq!(answer.is_empty(), server_offer == Some(8));
        let has = |name: &str| answer.split("; ").find_map(|parameter| {
            let (found, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (found == name).then(|| value.parse::<u8>().unwrap_or(0))
        });
        if !answer.is_empty() {
            // RFC 7692 section 7.1: what each side may rely on after the answer.
            prop_assert_eq!(has("server_no_context_takeover").is_some(), ours.0 || offered.0);
            prop_assert_eq!(has("client_no_context_takeover").is_some(), ours.1 || offered.1);
            let bits = has("server_max_window_bits").unwrap_or(15);
            prop_assert_eq!(bits, server.min(server_offer.unwrap_or(15)));
            match client_offer {
                None => prop_assert_eq!(has("client_max_window_bits"), None),
                Some(most) => {
                    let bits = has("client_max_window_bits").unwrap_or(15);
                    prop_assert_eq!(bits, client.min(most.unwrap_or(15)));
                }
            }
        }
    }

    #[test]
    fn any_bytes_get_a_verdict(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut negotiation = Negotiation::default();
        negotiation.add(&value, Some(&Deflate::default()));
        let _ = negotiation.verdict();
    }
}
