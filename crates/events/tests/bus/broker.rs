//! A RabbitMQ of the machine's package, in a folder of its own, ended with the test.

use std::path::PathBuf;
use std::process::{Command, Output};

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A broker that runs.
pub(crate) struct Process {
    folder: PathBuf,
    pub(crate) address: String,
}

impl Process {
    /// Starts one; none where RabbitMQ is not installed, which is said.
    pub(crate) fn start(name: &str) -> Option<Self> {
        if !std::path::Path::new(SERVER).exists() {
            println!("{name} SKIPPED: RabbitMQ is not installed (apt-get install --no-install-recommends rabbitmq-server)");
            return None;
        }
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = target.join(format!("rabbitmq-{}-{}", name.replace(' ', "-"), std::process::id()));
        let mut broker = Self { folder, address: String::new() };
        broker.up();
        Some(broker)
    }

    /// Starts it again with its data.
    pub(crate) fn up(&mut self) {
        let out = self.script("start", &[]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        self.address = String::from_utf8(out.stdout).unwrap().trim().to_owned();
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        assert!(self.script("kill", &[]).status.success());
    }

    /// What rabbitmqctl is told.
    pub(crate) fn control(&self, arguments: &[&str]) {
        let out = self.script("ctl", arguments);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    fn script(&self, verb: &str, arguments: &[&str]) -> Output {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test/rabbitmq.sh");
        Command::new(script).arg(verb).arg(&self.folder).args(arguments).output().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.script("stop", &[]);
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
