//! The MongoDB-protocol server of a test: SecantusDB, started for it and ended with it, or whatever `STORE_TEST_MONGODB_URI`
//! names. Stands by itself, so that other tests may include it by its path.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods)] // a test

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How the server presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    ReplicaSet,
    Standalone,
}

/// A running server; ends when it is dropped, or with this process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    uri: String,
}

impl Server {
    /// None where there is no server to be had; it prints `SKIPPED` and why.
    pub(crate) fn start(topology: Topology) -> Option<Self> {
        match Self::named().map_or_else(|| Self::own(topology), Ok) {
            Ok(server) => Some(server),
            Err(why) => {
                println!("SKIPPED: {why}");
                None
            }
        }
    }

    /// SecantusDB whatever the environment names, for faults that are set in the server itself.
    pub(crate) fn start_own(topology: Topology) -> Option<Self> {
        Self::own(topology).inspect_err(|why| println!("SKIPPED: {why}")).ok()
    }

    fn named() -> Option<Self> {
        let uri = std::env::var("STORE_TEST_MONGODB_URI").ok().filter(|uri| !uri.is_empty())?;
        Some(Self { child: None, uri })
    }

    /// As `start_own`; the error says why there is none.
    pub(crate) fn own(topology: Topology) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("scripts/test/secantus.sh"));
        let script = script.into_iter().find(|script| script.is_file()).ok_or("scripts/test/secantus.sh is not there")?;
        let mut command = Command::new(script);
        if topology == Topology::Standalone {
            command.arg("--standalone");
        }
        // The folder that this test was built in, whatever the environment says.
        if let Some(target) = option_env!("CARGO_TARGET_TMPDIR").and_then(|tmp| Path::new(tmp).parent()) {
            command.env("CARGO_TARGET_DIR", target);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| cause.to_string())?;
        let mut uri = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut uri).map_err(|cause| cause.to_string())?;
        if uri.is_empty() {
            let mut why = String::new();
            let told = child.stderr.take().expect("a pipe").read_to_string(&mut why);
            let ended = child.wait();
            assert!(ended.is_ok_and(|ended| ended.code() == Some(3)) && told.is_ok(), "the server did not start: {why}");
            return Err(why.trim().to_owned());
        }
        Ok(Self { child: Some(child), uri: uri.trim().to_owned() })
    }

    /// `mongodb://…`
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Host and port, where the address names one server.
    pub(crate) fn address(&self) -> &str {
        self.uri.trim_start_matches("mongodb://").split(['/', '?']).next().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
