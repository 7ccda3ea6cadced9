//! Refuses a release without the shell, or with files that its build did not list. Generates nothing.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha384};

#[derive(Deserialize)]
struct Manifest {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    integrity: String,
}

#[allow(clippy::disallowed_methods)] // a release build asks for the shell in the environment
fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/dist");
    println!("cargo:rerun-if-changed={}", dist.join("manifest.json").display());
    println!("cargo:rerun-if-env-changed=MOZAIKS_REQUIRE_SHELL");
    if !env::var("MOZAIKS_REQUIRE_SHELL").is_ok_and(|wish| wish == "1") {
        return Ok(());
    }
    check(&dist).map_err(|fault| format!("{fault}; run `npm ci && npm run build` first").into())
}

fn check(dist: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read(dist.join("manifest.json")).map_err(|cause| format!("the shell is not built: {cause}"))?;
    let manifest: Manifest = serde_json::from_slice(&text)?;
    for file in &manifest.files {
        let digest = Sha384::digest(fs::read(dist.join(&file.path))?);
        if file.integrity != format!("sha384-{}", STANDARD.encode(digest)) {
            return Err(format!("{} is not the file that the shell's build listed", file.path).into());
        }
    }
    if manifest.files.iter().any(|file| file.path == "index.html") { Ok(()) } else { Err("the shell has no index.html".into()) }
}
