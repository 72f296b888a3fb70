//! What is a good value of an option, and how the others are told.

use super::*;

#[test]
fn defaults_are_valid() {
    Config::default().check().unwrap();
}

#[test]
fn an_error_names_the_option_and_its_value() {
    let cases: &[(Config, &str)] = &[
        (
            Config {
                max_message_size: 0,
                ..Config::default()
            },
            "max_message_size=0",
        ),
        (
            Config {
                memory_limit: 0,
                ..Config::default()
            },
            "memory_limit=0",
        ),
        (
            Config {
                max_connections: Some(0),
                ..Config::default()
            },
            "max_connections=0",
        ),
        (
            Config {
                workers: Some(5000),
                ..Config::default()
            },
            "workers=5000",
        ),
        (
            Config {
                open_timeout: Duration::ZERO,
                ..Config::default()
            },
            "open_timeout=0",
        ),
        (
            Config {
                idle_timeout: Some(Duration::MAX),
                ..Config::default()
            },
            "idle_timeout=",
        ),
        (
            Config {
                subprotocols: vec!["a b".into()],
                ..Config::default()
            },
            "subprotocols='a b'",
        ),
        (
            Config {
                compression: Some(Deflate {
                    server_max_window_bits: 8,
                    ..Deflate::default()
                }),
                ..Config::default()
            },
            "compression=Deflate(server_max_window_bits=8): must be 9 to 15",
        ),
        (
            Config {
                proxy_from: vec!["::1".into(), "10.0.0.1/8".into()],
                ..Config::default()
            },
            "proxy_from='10.0.0.1/8': has bits set beyond those of the network",
        ),
        (
            Config {
                server_header: "a\r\nb".into(),
                ..Config::default()
            },
            r"server_header='a\r\nb'",
        ),
    ];
    for (config, expected) in cases {
        let text = config.check().unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
    }
}
