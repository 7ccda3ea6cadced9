//! Power cuts: the real node on a disk that forgets what was not synced.

pub mod database;
pub mod disk;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use self::database::Copied;
use self::disk::{Cut, Disk};
use crate::crash::{Dice, UNHEARD, Writers, setting};
use crate::faults::tell;
use crate::node::{Node, Person};
use crate::wires::Wire;

/// How often the power goes, unless `WIRE_CYCLES` says otherwise.
const CYCLES: u64 = 20;
/// The power goes after up to so many changes of the disk: some forty acknowledged writes.
const MOST_CHANGES: u64 = 600;
/// While starting, after up to so many.
const MOST_STARTING_CHANGES: u64 = 40;
/// Starts that are cut, one after the other.
const MOST_STARTS: u64 = 3;
/// A first start changes the disk less often.
const FIRST_START_CHANGES: u64 = 200;
const NORMAL: (&str, &str) = ("MOZAIKS_STORE__DURABILITY", "normal");

/// A disk with the node's log elsewhere, as an operator has it. None where the test may not mount.
fn disk(name: &str, faults: &[&str]) -> Option<Disk> {
    let disk = match Disk::mounted(name) {
        Ok(disk) => disk,
        Err(cause) => {
            for fault in faults {
                tell(&format!("fault {fault} SKIPPED: FUSE cannot be mounted here: {cause}"));
            }
            return None;
        }
    };
    let log = disk.folder.with_extension("log");
    std::os::unix::fs::symlink(log, disk.folder.join("log")).unwrap();
    File::open(&disk.folder).unwrap().sync_all().unwrap();
    Some(disk)
}

/// A copy of what is on the disk, which must be a sound database after each cut.
fn sound(folder: &Path) -> Copied {
    let copied = Copied::of(folder);
    assert_eq!(copied.integrity(), "ok");
    copied
}

/// Starts a node whose disk may fail it on the way, and kills it.
fn start_in_vain(folder: &Path) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mozaiks"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Until it is up or has given up.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_disk_forgets_what_was_not_synced() {
    let Some(disk) = disk("itself", &[]) else { return };
    let (path, mut dice) = (disk.folder.join("a"), Dice::of(1));
    let synced = |name: &str| {
        let mut file = File::create(disk.folder.join(name)).unwrap();
        file.write_all(&[1; 2000]).unwrap();
        file.sync_all().unwrap();
        file
    };
    synced("a");
    disk.come_back(Cut::Nothing, &mut dice);
    assert!(!path.exists(), "its name was never synced");
    let mut file = synced("a");
    File::open(&disk.folder).unwrap().sync_all().unwrap();
    file.write_all(&[2; 2000]).unwrap();
    fs::rename(&path, disk.folder.join("b")).unwrap();
    assert_eq!(fs::read(disk.folder.join("b")).unwrap().len(), 4000);
    disk.come_back(Cut::Nothing, &mut dice);
    assert_eq!(fs::read(&path).unwrap(), [1; 2000], "neither the second half nor the move");

    let mut torn = 0;
    for _ in 0..20 {
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        file.write_all(&[1; 2048]).unwrap();
        file.sync_data().unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&[3; 2048]).unwrap();
        disk.come_back(Cut::Sectors, &mut dice);
        let found = fs::read(&path).unwrap();
        assert!(found.chunks(512).all(|sector| sector == [1; 512] || sector == [3; 512]));
        torn += usize::from(found.contains(&1) && found.contains(&3));
    }
    assert!(torn > 5, "{torn} of 20 torn");

    disk.cut_after(2);
    let mut file = File::create(disk.folder.join("c")).unwrap();
    file.write_all(b"the last that it takes").unwrap();
    assert!(file.write_all(b"one more").is_err() && file.sync_all().is_err() && disk.is_off().load(Ordering::SeqCst));
    disk.come_back(Cut::Some, &mut dice);
    assert!(fs::write(disk.folder.join("d"), "it works again").is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let (cycles, seed, began) = (setting("WIRE_CYCLES", CYCLES), setting("WIRE_SEED", 1), Instant::now());
    let Some(disk) = disk("full", &["F2", "F3"]) else { return };
    let mut dice = Dice::of(seed);
    let mut node = Node::on(disk.folder.clone(), &[UNHEARD]);
    let mut writers = Writers::of(&node).await;
    let (mut split, mut forgotten, mut starts, mut cut_short, mut starting) = (Vec::new(), 0, 0, 0, Duration::ZERO);
    for cycle in 0..cycles {
        disk.cut_after(dice.up_to(MOST_CHANGES));
        let writing = writers.begin(&disk.is_off());
        writers.end(writing).await;
        node.killed();
        forgotten += disk.come_back(Cut::any(&mut dice), &mut dice);
        let copied = sound(&disk.folder);
        let first = copied.documents();
        split.extend(copied.split());
        // Every fourth time it goes again, while the node starts.
        let again = Instant::now();
        for _ in 0..if cycle % 4 == 3 { dice.up_to(MOST_STARTS) } else { 0 } {
            disk.cut_after(dice.up_to(MOST_STARTING_CHANGES));
            start_in_vain(&disk.folder);
            cut_short += u64::from(disk.is_off().load(Ordering::SeqCst));
            disk.come_back(Cut::any(&mut dice), &mut dice);
            assert_eq!(sound(&disk.folder).documents(), first, "a cut while starting has changed documents");
            starts += 1;
        }
        starting += again.elapsed();
        node = Node::on(disk.folder.clone(), &[UNHEARD]);
        writers.compare(&node).await;
    }
    let lost = writers.lost().await;
    let (acknowledged, seconds) = (writers.acknowledged, began.elapsed().as_secs_f32());
    let (gone, torn) = (lost.len(), split.len());
    tell(&format!(
        "fault F2 seed={seed} cycles={cycles} acknowledged={acknowledged} lost={gone} split={torn} seconds={seconds:.1} forgotten={forgotten}"
    ));
    let seconds = starting.as_secs_f32();
    tell(&format!(
        "fault F3 seed={seed} cycles={starts} acknowledged={acknowledged} lost={gone} split={torn} seconds={seconds:.1} cut_short={cut_short}"
    ));
    assert_eq!((lost, split), (vec![], vec![]));
    assert!(acknowledged >= cycles && forgotten > 0, "{acknowledged} acknowledged, {forgotten} forgotten");
    assert!(starts < 8 || cut_short > 0, "no start was cut short");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_and_splits_are_noticed() {
    let Some(disk) = disk("noticed", &[]) else { return };
    let mut node = Node::on(disk.folder.clone(), &[NORMAL, UNHEARD]);
    let mut writers = Writers::of(&node).await;
    node.terminated_keeping();
    node = Node::on(disk.folder.clone(), &[NORMAL, UNHEARD]);
    writers.follow(&node);
    disk.cut_after(MOST_CHANGES);
    let writing = writers.begin(&disk.is_off());
    writers.end(writing).await;
    node.killed();
    disk.come_back(Cut::Nothing, &mut Dice::of(1));
    node = Node::on(disk.folder.clone(), &[NORMAL, UNHEARD]);
    writers.compare(&node).await;
    assert!(!writers.lost().await.is_empty(), "{} were acknowledged, all were forgotten, and nobody noticed", writers.acknowledged);
    let folder = node.killed();
    let copied = Copied::of(&folder);
    assert!(copied.split().is_empty());
    copied.change("UPDATE users SET ob = NULL, obn = NULL WHERE rowid = (SELECT min(rowid) FROM users)");
    assert_eq!(copied.split().len(), 1);
}

/// Somebody who numbers their display name, and when each number was sent and acknowledged, by one order for all.
struct Numbers {
    person: Person,
    /// The number that was there when they began.
    first: usize,
    sent: Vec<u64>,
    acknowledged: Vec<u64>,
}

impl Numbers {
    async fn until_over(mut self, order: Arc<AtomicU64>, over: Arc<AtomicBool>) -> Self {
        loop {
            let user = json!({ "profile": { "displayName": (self.first + self.sent.len() + 1).to_string() } });
            let ask = json!({ "name": "apps/platform/me", "user": user, "updateMask": "profile.displayName" });
            self.sent.push(order.fetch_add(1, Ordering::SeqCst));
            if let Err(failure) = self.person.on(Wire::Grpc).call("MeService/UpdateMe", ask).await {
                if failure.reason == "OUTBOX_FULL" {
                    // Those who hear of events are slower than this.
                    return self;
                }
                assert!(over.load(Ordering::SeqCst), "a call failed while the disk lived: {failure:?}");
                return self;
            }
            self.acknowledged.push(order.fetch_add(1, Ordering::SeqCst));
        }
    }

    /// How many of the numbers sent are there after the restart.
    async fn kept(&mut self, node: &Node) -> usize {
        self.person = self.person.at(node);
        let me = self.person.get_me().await.unwrap();
        let found: usize = me["user"]["profile"]["displayName"].as_str().unwrap_or("0").parse().unwrap();
        assert!((self.first..=self.first + self.sent.len()).contains(&found), "{found} is older than the start");
        found - self.first
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_synced_is_lost_from_its_end() {
    // Access tokens last for as many.
    let (cycles, seed, began) = (setting("WIRE_CYCLES", CYCLES).div_ceil(4), setting("WIRE_SEED", 1), Instant::now());
    let Some(disk) = disk("normal", &["F2-normal"]) else { return };
    let mut dice = Dice::of(seed);
    let mut node = Node::on(disk.folder.clone(), &[NORMAL]);
    let mut writers = Vec::new();
    for n in 0..8 {
        let person = node.person(&format!("p{n}@example.com")).await;
        writers.push(Numbers { person, first: 0, sent: vec![], acknowledged: vec![] });
    }
    // From now on they are durable: a start moves the log into the database, and syncs both.
    node.terminated_keeping();
    node = Node::on(disk.folder.clone(), &[NORMAL]);
    let (mut split, mut acknowledged, mut lost, mut forgotten) = (Vec::new(), 0, 0, 0);
    for _ in 0..cycles {
        writers.iter_mut().for_each(|writer| writer.person = writer.person.at(&node));
        disk.cut_after(dice.up_to(MOST_CHANGES));
        let (order, over) = (Arc::new(AtomicU64::new(0)), disk.is_off());
        let running: Vec<_> = writers.drain(..).map(|writer| tokio::spawn(writer.until_over(order.clone(), over.clone()))).collect();
        for writer in running {
            writers.push(writer.await.unwrap());
        }
        node.killed();
        forgotten += disk.come_back(Cut::any(&mut dice), &mut dice);
        split.extend(sound(&disk.folder).astray());
        node = Node::on(disk.folder.clone(), &[NORMAL]);
        let (mut last_kept, mut first_lost) = (0, u64::MAX);
        for writer in &mut writers {
            let kept = writer.kept(&node).await;
            last_kept = last_kept.max(kept.checked_sub(1).map_or(0, |at| writer.sent[at]));
            first_lost = first_lost.min(writer.acknowledged.get(kept).copied().unwrap_or(u64::MAX));
            (acknowledged, lost) = (acknowledged + writer.acknowledged.len(), lost + writer.acknowledged.len().saturating_sub(kept));
            writer.first += kept;
            writer.sent.clear();
            writer.acknowledged.clear();
        }
        assert!(first_lost > last_kept, "a change is lost that was acknowledged before another was sent that is there");
    }
    let (torn, seconds) = (split.len(), began.elapsed().as_secs_f32());
    tell(&format!(
        "fault F2-normal seed={seed} cycles={cycles} acknowledged={acknowledged} lost={lost} split={torn} seconds={seconds:.1} forgotten={forgotten}"
    ));
    assert_eq!(split, Vec::<String>::new());
    // The disk does forget, and the comparison does find it.
    assert!(lost > 0, "nothing of {acknowledged} was lost, although nothing was synced");
}

#[tokio::test]
async fn a_first_start_may_be_cut_at_any_point() {
    let (cycles, seed) = (setting("WIRE_CYCLES", CYCLES).min(50), setting("WIRE_SEED", 1));
    let mut dice = Dice::of(seed);
    for cycle in 0..cycles {
        let Some(disk) = disk(&format!("first-{cycle}"), &[]) else { return };
        let changes = dice.up_to(FIRST_START_CHANGES);
        disk.cut_after(changes);
        start_in_vain(&disk.folder);
        disk.come_back(Cut::any(&mut dice), &mut dice);
        let node = Node::on(disk.folder.clone(), &[]);
        assert!(node.person("ann@example.com").await.get_me().await.is_ok(), "cut after {changes}");
    }
}
