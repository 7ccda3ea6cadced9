//! The real executable on free ports with a store of its own, and the people who call it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stores;
use crate::wires::{Answer, Caller, Wire};

/// A running installation: one process, or the gateway and each service in its own. Ends with the value; its folder goes too.
pub struct Node {
    pub gateway: String,
    pub admin: String,
    pub folder: PathBuf,
    /// The gateway's first.
    processes: Vec<Process>,
}

static STARTED: AtomicUsize = AtomicUsize::new(0);

impl Node {
    /// A node with an empty store.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with some variables of its environment set.
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::on(fresh_folder(), environment)
    }

    /// A node on a folder that is there, in the layout that `WIRE_LAYOUT` says.
    pub fn on(folder: PathBuf, environment: &[(&str, &str)]) -> Self {
        Self::laid_out(Layout::asked(), folder, environment)
    }

    /// A node in this layout.
    pub fn laid_out(layout: Layout, folder: PathBuf, environment: &[(&str, &str)]) -> Self {
        let stored = stores::settings(&folder);
        let environment: Vec<_> = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let environment = [stored, environment].concat();
        let processes = match layout {
            Layout::One => vec![Process::start(&folder, &["serve"], &environment)],
            Layout::Split => {
                let identity = Process::start(&folder, &["serve", "--services", "identity"], &environment);
                let peer = format!("identity=static:{}", identity.url("identity").trim_start_matches("http://"));
                let gateway = Process::start(&folder, &["serve", "--services", "gateway", "--peer", &peer], &environment);
                gateway.until_ready();
                vec![gateway, identity]
            }
        };
        Self { gateway: processes[0].url("gateway"), admin: processes[0].url("admin"), folder, processes }
    }

    /// Ends the processes at once, as a power switch would. Their folder, which stays.
    pub fn killed(mut self) -> PathBuf {
        self.processes.clear();
        std::mem::take(&mut self.folder)
    }

    /// Ends the process at once and starts another one on the same store.
    pub fn killed_and_restarted(self) -> Self {
        Self::on(self.killed(), &[])
    }

    /// Ends the process by SIGTERM, and leaves its folder.
    pub fn terminated_keeping(mut self) -> (std::process::ExitStatus, String) {
        let ended = self.end();
        self.folder = PathBuf::new();
        ended
    }

    /// Ends the process by SIGTERM; answers how it ended and all that it logged.
    pub fn terminated(mut self) -> (std::process::ExitStatus, String) {
        self.end()
    }

    fn end(&mut self) -> (std::process::ExitStatus, String) {
        let ended: Vec<_> = self.processes.iter_mut().map(Process::terminate).collect();
        let worst = ended.iter().find(|status| !status.success()).unwrap_or(&ended[0]);
        (*worst, self.log())
    }

    /// Where a service of a split installation is reached by its peers.
    pub fn service(&self, name: &str) -> String {
        self.processes.iter().find(|process| process.parts().contains(&name)).unwrap().url(name)
    }

    /// Waits until every process of it says that it is ready.
    pub fn until_ready(&self) {
        self.processes.iter().for_each(Process::until_ready);
    }

    /// The process that clients are connected to.
    pub fn pid(&self) -> u32 {
        self.processes[0].child.id()
    }

    /// Moves the node's clock.
    pub fn advance_seconds(&self, seconds: i64) {
        let file = self.folder.join("clock");
        let before: i64 = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        std::fs::write(file, (before + seconds).to_string()).unwrap();
    }

    /// Everything the node has logged so far.
    pub fn log(&self) -> String {
        read_log(&self.folder)
    }

    /// What the operator at the machine types: `mozaiks …` on this node's folder.
    pub fn shell(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_mozaiks")).args(arguments).arg("--data-dir").arg(&self.folder).output().unwrap()
    }

    /// Nobody in particular, over gRPC.
    pub fn anyone(&self) -> Caller {
        Caller::new(&self.gateway, Wire::Grpc)
    }

    /// A person of the platform app, freshly registered.
    pub async fn person(&self, email: &str) -> Person {
        self.person_of("platform", email).await
    }

    /// A person of any app, freshly registered.
    pub async fn person_of(&self, app: &str, email: &str) -> Person {
        let ask = json!({ "parent": format!("apps/{app}"), "email": email, "password": PASSWORD });
        Person::of(self.anyone(), &self.anyone().call("AuthService/Register", ask).await.unwrap())
    }

    /// An app made by this person, and them inside it.
    pub async fn app(&self, owner: &Person, id: &str) -> Caller {
        let ask = json!({ "appId": id, "app": { "displayName": id } });
        owner.call("AppsService/CreateApp", ask).await.unwrap();
        owner.entering(id).await
    }
}

/// Under which address these nodes say they are reached: the same after a restart on other ports.
pub const PUBLIC_URL: &str = "http://mozaiks.test";
/// The password of everybody in these tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// A folder that no other test has.
pub fn fresh_folder() -> PathBuf {
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("mozaiks-wire-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// How many processes an installation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    One,
    Split,
}

impl Layout {
    pub fn asked() -> Self {
        match std::env::var("WIRE_LAYOUT").as_deref() {
            Err(_) | Ok("" | "one") => Self::One,
            Ok("split") => Self::Split,
            Ok(other) => panic!("WIRE_LAYOUT is one or split, not {other}"),
        }
    }
}

/// A process of the real executable. Killed when dropped.
pub struct Process {
    child: Child,
    addresses: Value,
}

impl Process {
    /// On free ports, with a test's settings.
    pub fn start(folder: &Path, arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mozaiks"));
        command.args(arguments).arg("--data-dir").arg(folder);
        for door in ["GATEWAY", "ADMIN", "IDENTITY"] {
            command.env(format!("MOZAIKS_LISTEN__{door}"), "127.0.0.1:0");
        }
        command
            .env("MOZAIKS_TEST_CLOCK_FILE", folder.join("clock"))
            .env("MOZAIKS_DRAIN_SECONDS", "0")
            .env("MOZAIKS_LOG", "debug")
            .env("MOZAIKS_PUBLIC_URL", PUBLIC_URL)
            .envs(environment.iter().cloned());
        let mut child = command.stdout(Stdio::piped()).stderr(log(folder)).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no addresses: {}", read_log(folder)));
        Self { child, addresses }
    }

    /// Where a part of it is reached.
    pub fn url(&self, part: &str) -> String {
        self.addresses[part].as_str().unwrap_or_else(|| panic!("no {part} in {}", self.addresses)).to_owned()
    }

    /// The parts that it announces.
    pub fn parts(&self) -> Vec<&str> {
        self.addresses.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// What a probe is told.
    pub fn probe(&self) -> String {
        let admin = self.url("admin");
        let mut stream = TcpStream::connect(admin.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks until it is ready.
    pub fn until_ready(&self) {
        self.until(|answer| answer.starts_with("HTTP/1.1 200"));
    }

    /// Asks until the answer is as wanted.
    pub fn until(&self, wanted: impl Fn(&str) -> bool) {
        let start = Instant::now();
        let mut last = self.probe();
        while !wanted(&last) {
            assert!(start.elapsed() < Duration::from_secs(30), "{last}");
            std::thread::yield_now();
            last = self.probe();
        }
    }

    /// Asks it to go, and does not wait.
    pub fn signal(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Asks it to go, and waits.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        self.signal();
        self.wait()
    }

    /// Waits until it has gone.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(folder: &Path) -> Stdio {
    std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap().into()
}

fn read_log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

impl Drop for Node {
    fn drop(&mut self) {
        self.processes.clear();
        if !self.folder.as_os_str().is_empty() && !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Somebody signed in.
#[derive(Clone)]
pub struct Person {
    caller: Caller,
    pub refresh_token: String,
    pub name: String,
    pub session: String,
    /// `apps/{app}`.
    pub app: String,
}

impl Person {
    /// From the answer of Register, SignIn or RefreshSession.
    pub fn of(caller: Caller, answer: &Value) -> Self {
        let session = &answer["session"];
        let text = |key: &str| session[key].as_str().unwrap_or_else(|| panic!("{key} missing in {answer}")).to_owned();
        let (name, token) = (text("user"), text("accessToken"));
        let app = name.split("/users/").next().unwrap().to_owned();
        Self { caller: caller.bearer(&token), refresh_token: text("refreshToken"), name, session: text("session"), app }
    }

    /// This person calling a node that has moved to other addresses.
    pub fn at(&self, node: &Node) -> Self {
        Self { caller: self.caller.clone().to(&node.gateway), ..self.clone() }
    }

    /// Calls with this person's token.
    pub async fn call(&self, method: &str, ask: Value) -> Answer {
        self.caller.call(method, ask).await
    }

    /// This person on another wire.
    pub fn on(&self, wire: Wire) -> Caller {
        self.caller.clone().on(wire)
    }

    pub async fn refresh(&self) -> Result<Self, crate::wires::Failure> {
        let ask = json!({ "parent": self.app, "refreshToken": self.refresh_token });
        let anyone = self.caller.clone().without_bearer();
        Ok(Self::of(anyone.clone(), &anyone.call("AuthService/RefreshSession", ask).await?))
    }

    /// This person inside an app on whose staff they are.
    pub async fn entering(&self, app: &str) -> Caller {
        let ask = json!({ "parent": self.app, "target": format!("apps/{app}") });
        let answer = self.call("TokensService/EnterApp", ask).await.unwrap();
        self.caller.clone().bearer(answer["accessToken"].as_str().unwrap())
    }

    pub async fn get_me(&self) -> Answer {
        self.call("MeService/GetMe", json!({ "name": format!("{}/me", self.app) })).await
    }
}
