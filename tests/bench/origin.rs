//! The origin the benchmark puts behind every proxy: so cheap that what a run shows is the proxy.
//!
//! One thread, keep-alive HTTP/1.1, answers rendered before the first request comes. It trusts what it reads: it is
//! for a measurement on loopback and not an example of a server. `Expect: 100-continue` is not answered.
//!
//! `bench-origin FIRST_PORT [COUNT]` listens on 127.0.0.1 on COUNT ports in a row (default 1), so that one process
//! can play thousands of servers.

mod answer;
mod request;

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::LazyLock,
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    answer::Answers,
    request::{After, Body, MAX_HEAD_BYTES, Request},
};

/// Room made before each read: one request with an 8 KiB body in one call.
const READ_BYTES: usize = 16 * 1024;

/// Pause after a failed accept: out of descriptors, an immediate retry would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Where a connection becomes a WebSocket, which repeats every byte: frames need not be understood for that.
const WEBSOCKET: &[u8] = b"/websocket";

/// The answer to the key of the one client there is.
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static ANSWERS: LazyLock<Answers> = LazyLock::new(Answers::render);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first: u16 = arguments.next().ok_or("usage: bench-origin FIRST_PORT [COUNT]")?.parse()?;
    let count: u16 = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let end = first.checked_add(count).ok_or("the ports go past 65535")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut listeners = JoinSet::new();
        for port in first..end {
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
            listeners.spawn(accept(listener));
        }
        while listeners.join_next().await.is_some() {}
        Ok(())
    })
}

/// Accepts connections for ever.
async fn accept(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            // A proxy that goes away in the middle of an exchange ends its connection: nothing to report.
            Ok((stream, _)) => drop(connections.spawn(async move { serve(stream).await.is_ok() })),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Answers every request of one connection in order, those read ahead (pipelined) included.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(READ_BYTES);
    loop {
        while let Some(request) = Request::parse(&input)? {
            let answer = ANSWERS.to(&request);
            let Request { head_bytes, body, after, path: request_path, .. } = request;
            let is_websocket = request_path == WEBSOCKET;
            input.advance(head_bytes);
            if is_websocket {
                return repeat(stream, input).await;
            }
            skip_body(&mut stream, &mut input, body).await?;
            stream.write_all(answer).await?;
            if after == After::Close {
                return stream.shutdown().await;
            }
        }
        if input.len() > MAX_HEAD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if read(&mut stream, &mut input).await? == 0 {
            return Ok(());
        }
    }
}

async fn repeat(mut stream: TcpStream, mut input: BytesMut) -> io::Result<()> {
    stream.write_all(SWITCHED).await?;
    loop {
        stream.write_all(&input).await?;
        input.clear();
        if read(&mut stream, &mut input).await? == 0 {
            return Ok(());
        }
    }
}

async fn read(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    input.reserve(READ_BYTES);
    stream.read_buf(input).await
}

/// Reads and forgets a request body, so that the next request starts where this one ends.
async fn skip_body(stream: &mut TcpStream, input: &mut BytesMut, body: Body) -> io::Result<()> {
    match body {
        Body::Length(bytes) => skip(stream, input, bytes).await,
        Body::Chunked => {
            loop {
                let line = read_line(stream, input).await?;
                match request::chunk_bytes(&line)? {
                    0 => break,
                    // The data is followed by its own CRLF.
                    bytes => skip(stream, input, bytes.saturating_add(2)).await?,
                }
            }
            while !read_line(stream, input).await?.is_empty() {}
            Ok(())
        }
    }
}

async fn skip(stream: &mut TcpStream, input: &mut BytesMut, mut bytes: usize) -> io::Result<()> {
    loop {
        let here = bytes.min(input.len());
        input.advance(here);
        bytes -= here;
        if bytes == 0 {
            return Ok(());
        }
        read_more(stream, input).await?;
    }
}

/// Takes one line, without its CRLF.
async fn read_line(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<BytesMut> {
    loop {
        if let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let mut line = input.split_to(end + 1);
            line.truncate(line.trim_ascii_end().len());
            return Ok(line);
        }
        read_more(stream, input).await?;
    }
}

async fn read_more(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<()> {
    match read(stream, input).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
