//! What a test does to the simulated daemon and its wallet, and what it asks them.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon_sim::{Fault, SimulatedDaemon};

use super::{Harness, PASSWORD, until};

pub(crate) struct Race {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Race {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Harness {
    /// The daemon never runs out of tokens for sends, until this is dropped.
    pub(crate) fn let_the_daemons_clock_race(&mut self) -> Race {
        let (control, begin) = (self.control(), self.clock_ms);
        self.clock_ms += 1_000_000_000;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut ms = begin;
            while !stopped.load(Ordering::Relaxed) {
                ms += 100;
                control.set_clock_offset_ms(ms);
                std::thread::park_timeout(Duration::from_micros(200));
            }
        });
        Race { stop, thread: Some(thread) }
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.control().add_fault(fault);
    }

    pub(super) fn request(&self, method: &str, path: &str, body: &str) -> String {
        request(&self.daemon, method, path, body)
    }

    /// Transactions that wait at the standby.
    pub(crate) fn mempool_of_standby(&self) -> usize {
        let answer = request(self.standby.as_ref().unwrap(), "GET", "/api/mempool", "");
        let count = answer.split("\"count\":").nth(1).unwrap();
        count.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    /// Takes one of the daemon's two tokens for sends.
    pub(crate) fn use_token(&self) {
        self.request("POST", "/api/wallet/send", "{}");
    }

    /// What an operator sends past the pool.
    pub(crate) fn spend_by_hand(&mut self, address: &str, amount: u64) {
        self.advance(10_000);
        let body = format!(r#"{{"recipients":[{{"address":"{address}","amount":{amount}}}]}}"#);
        let answer = self.request("POST", "/api/wallet/send", &body);
        assert!(answer.contains("txid"), "{answer}");
    }

    pub(crate) fn wallet_address(&self) -> String {
        let answer = self.request("GET", "/api/wallet/address", "");
        answer.split('"').nth(3).unwrap().to_owned()
    }

    pub(crate) fn load_wallet(&self) {
        let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
        let answer = self.request("POST", "/api/wallet/load", &body);
        assert!(answer.contains("loaded"), "{answer}");
    }

    /// Killed and started again.
    pub(crate) fn restart_daemon(&mut self) {
        self.control().restart(Duration::ZERO, false).unwrap();
    }

    /// Waits until a restart that a fault has ordered is over.
    pub(crate) fn wait_for_restart(&self, old_token: &str) {
        until("the daemon comes back", || {
            self.daemon.token() != old_token && std::net::TcpStream::connect(&self.daemon.url()[7..]).is_ok()
        });
    }

    pub(crate) fn keys_file(&self) -> PathBuf {
        self.dir.path().join("daemon/send-idempotency.json")
    }
}

fn request(daemon: &SimulatedDaemon, method: &str, path: &str, body: &str) -> String {
    let (url, token) = (daemon.url(), daemon.token());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(&url[7..]).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}
