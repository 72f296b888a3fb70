//! tokio-tungstenite, batched and tuned: all messages that are already there are fed to the write
//! buffer, then flushed at once; the read buffer is small, because it is zeroed before every read.

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

async fn echo(stream: TcpStream, config: WebSocketConfig) {
    let accepted = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await;
    let Ok(mut socket) = accepted else { return };
    while let Some(Ok(first)) = socket.next().await {
        let mut next = Some(Some(Ok(first)));
        while let Some(Some(Ok(message))) = next {
            let data = message.is_text() || message.is_binary();
            if data && socket.feed(message).await.is_err() {
                return;
            }
            next = socket.next().now_or_never();
        }
        // Something other than "nothing there yet" is the end of the stream, or an error.
        if socket.flush().await.is_err() || next.is_some() {
            return;
        }
    }
}

fn main() {
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(64 << 10)
        .max_message_size(Some(64 << 20))
        .max_frame_size(Some(64 << 20));
    peers::serve(move |stream| echo(stream, config));
}
