//! The echo over real sockets, with tokio-tungstenite as the client.

use echoserver::config::Config;
use echoserver::handler::Echo;
use echoserver::server::Server;
use echoserver::tungstenite::Message;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

fn server(config: Config) -> Server {
    let server = Server::bind(
        Config {
            port: 0,
            host: Some("127.0.0.1".into()),
            ..config
        },
        Arc::new(Echo),
    )
    .unwrap();
    server.start().unwrap();
    server
}

#[tokio::test]
async fn messages_come_back_unchanged() {
    let server = server(Config::default());
    let echo = async {
        let (mut client, _) =
            tokio_tungstenite::connect_async(format!("ws://{}/", server.address()))
                .await
                .unwrap();
        for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 5_000_000] {
            for message in [
                Message::binary(vec![7; len]),
                Message::text("é".repeat(len / 2)),
            ] {
                client.send(message.clone()).await.unwrap();
                assert_eq!(client.next().await.unwrap().unwrap(), message);
            }
        }
        client.close(None).await.unwrap();
        while client.next().await.is_some() {}
    };
    timeout(LIMIT, echo).await.unwrap();
    server.stop(Duration::from_secs(5));
    assert!(server.wait(Some(LIMIT)));
    assert_eq!(server.stats().memory_used, 0);
}
