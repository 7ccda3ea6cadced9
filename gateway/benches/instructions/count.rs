//! Callgrind around a run of this very bench, and the file of expected counts. Knows no shape by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

use crate::shapes::Shape;

/// Two lengths of a run: what they differ in is calls alone, so that start and end of the process cancel out.
const FEW: u64 = 100;
const MANY: u64 = 600;

/// Instructions of one call. The two runs go side by side.
pub fn per_call(shape: Shape) -> u64 {
    let few = std::thread::spawn(move || instructions(shape, FEW));
    let many = instructions(shape, MANY);
    (many - few.join().unwrap()) / (MANY - FEW)
}

/// Instructions of a whole run, in user space.
fn instructions(shape: Shape, calls: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = valgrind.arg(std::env::current_exe().unwrap()).args(["--run", shape.key(), &calls.to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // `==123== Collected : 456`
    let total = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    total.unwrap_or_else(|| panic!("callgrind counts nothing: {said}"))
}

/// `instructions.toml`.
pub struct Expected(Table);

impl Expected {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml")
    }

    pub fn read() -> Self {
        Self(fs::read_to_string(Self::path()).unwrap().parse().unwrap())
    }

    pub fn of(&self, shape: Shape) -> u64 {
        let count = self.0["instructions_per_call"].get(shape.key()).and_then(Value::as_integer);
        u64::try_from(count.unwrap_or_else(|| panic!("instructions.toml has no {}", shape.key()))).unwrap()
    }

    pub fn write(counted: &[(Shape, u64)]) {
        let mut text =
            "# Instructions that one call takes in user space, counted by callgrind: see instructions.rs. A change that makes one\n\
                        # more than five percent dearer changes this file in the same commit and says why.\n\n\
                        # Another compiler, processor or C library counts otherwise: there the comparison is skipped.\n"
                .to_owned();
        for (key, command) in [("rustc", "rustc --version"), ("machine", "uname -m"), ("libc", "getconf GNU_LIBC_VERSION")] {
            let mut words = command.split(' ');
            let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
            text += &format!("{key} = \"{}\"\n", String::from_utf8_lossy(&output.stdout).trim());
        }
        text += "\n[instructions_per_call]\n";
        for (shape, count) in counted {
            text += &format!("{} = {count}\n", shape.key());
        }
        fs::write(Self::path(), text).unwrap();
    }
}
