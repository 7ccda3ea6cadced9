//! What figures depend on: the machine, its load, the versions of what was measured. Measures nothing itself.

use std::process::Command;

const LOCK: &str = include_str!("../../../../Cargo.lock");

/// Two lines to stand above a table.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let rustc = Command::new("rustc").arg("--version").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let versions = ["tonic", "hyper", "h2", "tokio"].map(|package| format!("{package} {}", locked(package))).join(", ");
    let ours = env!("CARGO_PKG_VERSION");
    format!(
        "{cores} cores ({}), load average {load}\nmozaiks {ours}, {}, {versions}",
        processor(),
        rustc.unwrap_or_else(|_| "rustc unknown".into())
    )
}

fn processor() -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "processor unknown".to_owned(), |(_, model)| model.trim().to_owned())
}

/// The version that the lock file names.
fn locked(package: &str) -> &'static str {
    let head = format!("name = \"{package}\"\nversion = \"");
    LOCK.split_once(&head).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
}
