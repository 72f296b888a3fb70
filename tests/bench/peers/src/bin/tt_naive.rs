//! tokio-tungstenite, the way its examples do it: one send, with its flush, per message.

use futures_util::{SinkExt, StreamExt};

fn main() {
    peers::serve(|stream| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            let data = message.is_text() || message.is_binary();
            if data && socket.send(message).await.is_err() {
                break;
            }
        }
    });
}
