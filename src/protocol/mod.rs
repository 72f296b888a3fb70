//! RFC 6455 and RFC 7692 without I/O: bytes in, events and bytes out.
//!
//! Knows nothing of tokio, sockets, clocks or Python, so every rule can be tested, fuzzed and measured with plain
//! byte slices. What a connection keeps between two reads is charged to an [`Account`](crate::protocol::account::Account).

pub mod account;
pub mod broadcast;
pub mod close;
pub mod deflate;
pub mod extensions;
pub mod frame;
pub mod handshake;
pub mod head;
pub mod http;
pub mod limit;
pub mod masking;
pub mod message;
pub mod partial;
pub mod receiving;
pub mod report;
pub mod request;
pub mod sending;
pub mod tally;
pub mod terms;
pub mod utf8;
pub mod violation;
pub mod window;

#[cfg(test)]
mod tests {
    #[test]
    fn the_protocol_does_no_io() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol");
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.ends_with("tests.rs") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let name = ["to", "kio::"].concat();
                assert!(!text.contains(&name), "{} names {name}", path.display());
            }
        }
    }
}
