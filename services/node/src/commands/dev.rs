//! `mozaiks dev`: a node to try things out with. What it makes is made once and found again at the next start.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::apps_service_client::AppsServiceClient;
use api::mozaiks::identity::v1::auth_service_client::AuthServiceClient;
use kernel::{Cx, Error, Result, Tenant};
use serde::{Deserialize, Serialize};
use tonic::Request;

use crate::config::Config;
use crate::run::{self, Up};

/// The people of a fresh state: name, address. The first one operates the installation, the second one owns the demo app.
const PEOPLE: [(&str, &str); 3] =
    [("Olive Operator", "operator@example.com"), ("Ann Example", "ann@example.com"), ("Ben Example", "ben@example.com")];

/// What was made, kept beside the database so that the next start prints the same.
#[derive(Default, Deserialize, Serialize)]
struct Made {
    passwords: Vec<String>,
    complete: bool,
}

/// Runs the node, makes what is missing, prints how to get in.
pub(super) async fn run(config: Config) -> Result<()> {
    let file = config.data_dir.join("dev.json");
    run::run(config, async move |up| {
        let mut made = read(&file)?;
        if !made.complete {
            // Kept before anything is made, so that an interrupted first start goes on with the same passwords.
            write(&file, &made)?;
            make(&up, &made).await?;
            made.complete = true;
            write(&file, &made)?;
        }
        print(&up, &made)
    })
    .await
}

fn read(file: &PathBuf) -> Result<Made> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|cause| unusable(file).because(cause)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            let passwords = PEOPLE.iter().map(|_| password()).collect::<Result<_>>()?;
            Ok(Made { passwords, complete: false })
        }
        Err(cause) => Err(unusable(file).because(cause)),
    }
}

fn write(file: &Path, made: &Made) -> Result<()> {
    let text = serde_json::to_vec(made).map_err(|cause| unusable(file).because(cause))?;
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.and_then(|mut file| file.write_all(&text)).map_err(|cause| unusable(file).because(cause))
}

fn unusable(file: &Path) -> Error {
    Error::refused("DEV_STATE", format!("{} cannot be used; delete the folder to start afresh", file.display()))
}

/// 80 random bits, easy to read aloud.
fn password() -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|cause| Error::internal("RANDOM", "the system gives no random bytes").because(cause))?;
    let letters: Vec<char> = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(letters.chunks(4).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// Registers the people and lets the second one create the demo app. Every step is a repeatable call like any client's.
async fn make(up: &Up, made: &Made) -> Result<()> {
    let absent = || Error::refused("DEV_STATE", "trying out needs identity in this process: leave `services` empty");
    let operators = up.operators.as_ref().ok_or_else(absent)?;
    let cx = Cx::system(Tenant::platform(), "dev seed");
    let mut auth = AuthServiceClient::new(up.hub.edge("identity").on(&cx));
    let mut owner = String::new();
    for (at, ((name, email), password)) in PEOPLE.iter().zip(&made.passwords).enumerate() {
        let ask = pb::RegisterRequest {
            parent: Tenant::platform().name(),
            email: (*email).to_owned(),
            password: password.clone(),
            profile: Some(pb::Profile { display_name: (*name).to_owned(), ..pb::Profile::default() }),
            invitation: if at == 0 { operators.invite().await? } else { String::new() },
            request_id: format!("dev-person-{at}"),
            ..pb::RegisterRequest::default()
        };
        let answer = auth.register(ask).await.map_err(failed)?.into_inner();
        if let (1, Some(pb::register_response::Result::Session(session))) = (at, answer.result) {
            owner = session.access_token;
        }
    }
    let mut apps = AppsServiceClient::new(up.hub.edge("identity").on(&cx));
    let app = pb::App { display_name: "Demo".into(), description: "An app to try things out with.".into(), ..pb::App::default() };
    let mut ask = Request::new(pb::CreateAppRequest { app: Some(app), app_id: "demo".into(), request_id: "dev-app".into() });
    let bearer = format!("Bearer {owner}").parse().map_err(|cause| Error::internal("DEV_SEED", "a token is no header").because(cause))?;
    ask.metadata_mut().insert("authorization", bearer);
    apps.create_app(ask).await.map_err(failed)?;
    Ok(())
}

fn failed(status: tonic::Status) -> Error {
    Error::internal("DEV_SEED", "the demo state cannot be made").because(status)
}

fn print(up: &Up, made: &Made) -> Result<()> {
    let mut text = format!("\n  Open {}\n\n  Sign in as\n", up.public_url);
    for ((name, email), password) in PEOPLE.iter().zip(&made.passwords) {
        let _ = writeln!(text, "    {email:<22} {password}   {name}");
    }
    let admin = up.admin.trim_start_matches("http://");
    let _ = write!(text, "\n  Ask over gRPC\n    grpcurl -plaintext {admin} list\n\n  Stop with Ctrl-C\n\n");
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
}
