//! A load of WebSocket messages: each connection sends one, waits until it has come back, and sends the next.
//!
//! `bench-websocket PORT PATH CONNECTIONS SECONDS BYTES` prints one line of JSON, as the script of wrk does. Messages are
//! masked as RFC 6455 §5.3 wants it, once, and come back as they were sent; nothing else is done that could cost time.

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// What the load is.
struct Plan {
    address: SocketAddr,
    request: String,
    message: Vec<u8>,
    end: Instant,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    micros: Vec<u32>,
    bad_status: u32,
    errors: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, path, connections, seconds, bytes] = arguments.as_slice() else {
        return Err("usage: bench-websocket PORT PATH CONNECTIONS SECONDS BYTES".into());
    };
    let began = Instant::now();
    let plan = Arc::new(Plan {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)),
        request: request(path),
        message: message(bytes.parse()?),
        end: began + Duration::from_secs(seconds.parse()?),
    });
    let connections: usize = connections.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut total = Seen::default();
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let plan = Arc::clone(&plan);
            clients.spawn(async move {
                let mut seen = Seen::default();
                // A connection that hangs at the end has an answer outstanding, which is an error.
                let limit = plan.end + Duration::from_secs(5);
                if !matches!(timeout_at(limit, run(&plan, &mut seen)).await, Ok(Ok(()))) {
                    seen.errors += 1;
                }
                seen
            });
        }
        while let Some(Ok(seen)) = clients.join_next().await {
            total.micros.extend(seen.micros);
            total.bad_status += seen.bad_status;
            total.errors += seen.errors;
        }
    });
    report(total, began.elapsed());
    Ok(())
}

/// RFC 6455 §4.1, with the key of its example: nobody is to be convinced here.
fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A binary message of `bytes`, at most 65 535, masked with zeros (RFC 6455 §5.2).
fn message(bytes: u16) -> Vec<u8> {
    let mut frame = vec![0x82];
    match u8::try_from(bytes) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(bytes.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(bytes), b'x');
    frame
}

async fn run(plan: &Plan, seen: &mut Seen) -> io::Result<()> {
    let mut stream = TcpStream::connect(plan.address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(plan.request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        seen.bad_status += 1;
        return Ok(());
    }
    let mut back = vec![0; plan.message.len()];
    loop {
        let sent = Instant::now();
        if sent >= plan.end {
            return Ok(());
        }
        stream.write_all(&plan.message).await?;
        stream.read_exact(&mut back).await?;
        seen.micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        if back != plan.message {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result is what this program is for")]
fn report(mut total: Seen, took: Duration) {
    total.micros.sort_unstable();
    let percentile =
        |percent: usize| total.micros.get(total.micros.len() * percent / 100).copied().unwrap_or(0);
    println!(
        "RESULT {{\"requests\": {}, \"micros\": {}, \"p50_us\": {}, \"p99_us\": {}, \"bad_status\": {}, \"socket_errors\": {}}}",
        total.micros.len(),
        took.as_micros(),
        percentile(50),
        percentile(99),
        total.bad_status,
        total.errors
    );
}
