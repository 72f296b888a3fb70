use super::*;
use std::net::TcpStream;

fn place(address: SocketAddr) -> Place {
    Place {
        address,
        only_v6: false,
        settings: Settings::of(&Config::default()),
    }
}

/// Listens there.
fn listeners(addresses: &[SocketAddr], config: &Config) -> Vec<Listener> {
    let addresses: Vec<_> = addresses.iter().map(|address| ("", *address)).collect();
    all(&addresses, 0, &Settings::of(config)).unwrap()
}

#[test]
fn what_can_not_be_held_is_not_shared() {
    let address = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let config = Config::default();
    let mut listeners = listeners(&address, &config);
    let address = listeners[0].endpoint().socket_addr().unwrap();
    // One that has no such address.
    let odd = || Socket::new(Domain::UNIX, Type::STREAM, None);
    listeners.push(Listener::own(odd).unwrap());
    let error = hold(&mut listeners, &config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    let other = unbound(&place(address)).unwrap();
    other.set_reuse_port(true).unwrap();
    let taken = other.bind(&SockAddr::from(address)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
}

#[test]
fn all_addresses_are_listened_on_or_none() {
    let hosts = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
    let addresses = hosts.map(|host| SocketAddr::from((host, 0)));
    let config = Config::default();
    let mut listeners = listeners(&addresses, &config);
    let addresses = [0, 1].map(|index| listeners[index].endpoint().socket_addr().unwrap());
    let mut held = hold(&mut listeners, &config).unwrap();
    let are_refused = || {
        let answers = addresses.map(TcpStream::connect);
        answers.map(|answer| answer.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused))
    };
    assert_eq!(are_refused(), [true, true]);
    // Of the same user, and only if it asks for it.
    let other = unbound(&place(addresses[1])).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&SockAddr::from(addresses[1])).unwrap();
    other.listen(9).unwrap();
    for _ in 0..3 {
        let taken = listen(&mut held, &config).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert_eq!(are_refused(), [true, false]);
    }
    drop(other);
    assert_eq!(are_refused(), [true, true]);
    for address in addresses {
        // It asks for what it may have of a listener that was closed.
        let taken = unbound(&place(address))
            .unwrap()
            .bind(&SockAddr::from(address));
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
    }
    let _listening = listen(&mut held, &config).unwrap();
    assert_eq!(are_refused(), [false, false]);
}

#[test]
fn what_the_kernel_takes_depends_on_the_shortest_limit() {
    for (limit, bytes) in [
        (0, 16 << 10),
        (1062, 16 << 10),
        (1500, 128 << 10),
        (5000, 1 << 20),
    ] {
        assert_eq!(unsent(Duration::from_millis(limit)), bytes, "{limit} ms");
    }
    assert_eq!(unsent(Duration::MAX), 1 << 20);
    let address = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let config = Config {
        idle_timeout: Some(Duration::from_millis(1125)),
        ..Config::default()
    };
    let mut listeners = listeners(&address, &config);
    let inherited = |listener: &Listener| {
        let _client = TcpStream::connect(listener.endpoint().socket_addr().unwrap()).unwrap();
        listener.raw().set_nonblocking(false).unwrap();
        let (stream, _) = listener.raw().accept().unwrap();
        SockRef::from(&stream).tcp_notsent_lowat().unwrap()
    };
    assert_eq!(inherited(&listeners[0]), 32 << 10);
    // Also after an outage.
    let mut held = hold(&mut listeners, &config).unwrap();
    let again = listen(&mut held, &config).unwrap();
    assert_eq!(inherited(&again[0]), 32 << 10);
}
