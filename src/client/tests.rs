use super::*;
use crate::protocol::account::Memory;
use crate::protocol::limit::Limit;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::thread;

fn client() -> Arc<Client> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let ends = Ends {
        peer: Peer::Ip(nowhere),
        local: Endpoint::Ip(nowhere),
    };
    let upgrade = Upgrade {
        head_len: 0,
        accept: String::new(),
        subprotocol: None,
        deflate: None,
    };
    let memory = Memory::new(Limit::new(&"memory_limit", 0));
    let charge = Account::new(memory);
    let seat = (0, Stamp::default(), Arc::default());
    Client::new(
        1,
        Addresses::new(ends, None),
        upgrade,
        None,
        Box::default(),
        seat,
        charge,
    )
}

#[test]
fn one_is_not_large() {
    // Each has all of this for as long as it is connected, and mostly nothing is in it.
    let size = size_of::<Client>();
    let most = 160;
    assert!(size <= most, "a client has {size} bytes, more than {most}");
}

#[test]
fn one_that_ends_at_once_is_never_seen_closing() {
    let clients: Vec<_> = (0..2000).map(|_| client()).collect();
    let looked_at = AtomicUsize::new(0);
    let mut closing = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for (number, client) in clients.iter().enumerate() {
                while looked_at.load(Ordering::Relaxed) <= number {
                    thread::yield_now();
                }
                client.set_ended(close::ABNORMAL, String::new());
            }
        });
        for client in &clients {
            let mut has_looked = false;
            loop {
                let is_open = client.is_open();
                let has_ended = client.ended().is_some();
                if !mem::replace(&mut has_looked, true) {
                    looked_at.fetch_add(1, Ordering::Relaxed);
                }
                if has_ended {
                    break;
                }
                closing += usize::from(!is_open);
            }
        }
    });
    assert_eq!(closing, 0);
}
