//! What the WebSocket servers among the peers share: runtime and listener.

pub mod frames;

use std::future::Future;
use std::time::Duration;
use tokio::net::TcpStream;

/// The port to listen on, from the command line.
///
/// # Panics
/// When there is none: these programs are started by the harness only.
#[must_use]
pub fn port() -> u16 {
    let port = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    port.expect("usage: PROGRAM PORT")
}

/// Accepts for ever on one worker thread, one task per connection.
///
/// # Panics
/// When the port cannot be listened on.
pub fn serve<H, F>(handle: H)
where
    H: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    // Accepting happens on the worker too, as in a server that runs in the background.
    let accepting = runtime.spawn(accept(handle));
    runtime.block_on(accepting).expect("accepting does not end");
}

async fn accept<H, F>(handle: H)
where
    H: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket option");
    socket
        .bind(([127, 0, 0, 1], port()).into())
        .expect("a free port");
    let listener = socket.listen(4096).expect("a free port");
    println!("ready");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it the small replies wait; a socket that refuses it is about to fail anyway.
                let _ = stream.set_nodelay(true);
                tokio::spawn(handle(stream));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
