//! Counting what goes by, and ending what goes by no longer.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A tunnel in which nothing moves for so long is closed.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes in flight, each way.
const PIECE: usize = 16 * 1024;

/// Copies both ways until both have ended, or nothing has moved for long. Gives bytes sent out and received.
pub async fn tunnel<A, B>(inside: A, outside: B) -> (u64, u64)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut in_read, mut in_write) = tokio::io::split(inside);
    let (mut out_read, mut out_write) = tokio::io::split(outside);
    let moved = std::cell::Cell::new(tokio::time::Instant::now());
    let (sent, received) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let ways = async {
        tokio::join!(
            one_way(&mut in_read, &mut out_write, &sent, &moved),
            one_way(&mut out_read, &mut in_write, &received, &moved)
        );
    };
    tokio::pin!(ways);
    loop {
        let due = moved.get() + IDLE;
        tokio::select! {
            () = &mut ways => break,
            () = tokio::time::sleep_until(due) => {
                if moved.get() + IDLE <= tokio::time::Instant::now() {
                    break;
                }
            }
        }
    }
    (sent.get(), received.get())
}

async fn one_way(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &std::cell::Cell<u64>,
    moved: &std::cell::Cell<tokio::time::Instant>,
) {
    let mut piece = vec![0; PIECE];
    loop {
        let len = match from.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(len) => len,
        };
        let Some(bytes) = piece.get(..len) else { break };
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            break;
        }
        count.set(count.get() + len as u64);
        moved.set(tokio::time::Instant::now());
    }
    // The other side learns that no more comes; what it still says is taken.
    let _gone = timeout(Duration::from_secs(5), to.shutdown()).await;
}
