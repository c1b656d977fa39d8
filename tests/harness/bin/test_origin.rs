//! A small HTTP/1.1 server for tests that kill or freeze it: `test-origin ADDRESS LOG DELAY_MS`.
//!
//! Prints its address when it listens. The id in the body of each POST is appended to the log before anything else happens:
//! what is in the log has begun to run, what is not there has not. One write per line and no buffer in between, so a SIGKILL
//! loses none. Ends when its standard input does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "test code")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use weir_tests::eventually::eventually;
use weir_tests::strict;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let address: SocketAddr = args[1].parse().unwrap();
    let log = Arc::new(OpenOptions::new().append(true).create(true).open(&args[2]).unwrap());
    let delay = Duration::from_millis(args[3].parse().unwrap());
    let listener = listen(address);
    println!("{}", listener.local_addr().unwrap());
    thread::spawn(|| {
        // Blocks for the life of the parent.
        let _ = std::io::stdin().read(&mut [0; 1]);
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let log = Arc::clone(&log);
        thread::spawn(move || serve(stream, &log, delay));
    }
}

/// Listens at an address that a killed predecessor may just have left.
fn listen(address: SocketAddr) -> TcpListener {
    eventually("the port is free", || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.set_reuse_address(true).ok()?;
        socket.bind(&address.into()).ok()?;
        socket.listen(1024).ok()?;
        Some(socket.into())
    })
}

fn serve(mut stream: TcpStream, mut log: &File, delay: Duration) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = Vec::new();
    let mut piece = [0; 16_384];
    loop {
        let request = loop {
            if let Some(request) = strict::request(&buffer).ok()? {
                break request;
            }
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            buffer.extend_from_slice(&piece[..count]);
        };
        buffer.drain(..request.length);
        if request.head.method == "POST" {
            let id = String::from_utf8_lossy(&request.body);
            log.write_all(format!("{id}\n").as_bytes()).unwrap();
        }
        thread::sleep(delay);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
    }
}
