//! What tests of the import need beside the harness: commands that are fed a pipe, and a proxy that
//! tells when a connection is made.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Ran;

/// The longest that an import of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a child leaves behind when it ends; it is killed if it does not end.
#[track_caller]
pub fn bounded(mut child: Child) -> Ran {
    let began = Instant::now();
    let mut pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    pipes.0.read_to_string(&mut stdout).unwrap();
    pipes.1.read_to_string(&mut stderr).unwrap();
    let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {status}: {stderr}"));
    Ran { code, stdout, stderr }
}

/// Runs a command that reads `content` from a pipe as its standard input.
#[track_caller]
pub fn fed(mut command: Command, content: &[u8]) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may end before it has read everything.
        scope.spawn(move || drop(pipe.write_all(content)));
        bounded(child)
    })
}

/// Passes connections on, and says of each before it does. It ends when it is dropped; its
/// connections end with their clients.
pub struct Proxy {
    /// Where it listens.
    pub address: String,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on loopback for connections to `target`; `accepted` is told the number of each, from
    /// 0.
    pub fn start(target: &str, mut accepted: impl FnMut(usize) + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = target.to_owned();
        let ended = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&ended);
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                if has_ended.load(Ordering::SeqCst) {
                    return;
                }
                accepted(number);
                let (client, server) = (client.unwrap(), TcpStream::connect(&target).unwrap());
                pass_on(client.try_clone().unwrap(), server.try_clone().unwrap());
                pass_on(server, client);
            }
        });
        Proxy { address, ended }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(&self.address));
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        // Either side may end at any time.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
