//! Instructions per call of each way through the gateway in process, counted by callgrind and held against
//! `instructions.toml`: more than five percent above it is a failure. `scripts/test/instructions.sh`; with `--write` the
//! file is written anew. Times nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a bench: what fails ends it
#![allow(unreachable_pub, missing_debug_implementations)]

#[path = "instructions/count.rs"]
mod count;
#[path = "instructions/peer.rs"]
mod peer;
#[path = "instructions/shapes.rs"]
mod shapes;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use count::Expected;
use shapes::Shape;

/// As the product has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Growth that fails, in percent of what is expected.
const TOLERANCE: f64 = 5.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, shape, calls] = arguments.as_slice()
        && flag == "--run"
    {
        let shape = Shape::ALL.into_iter().find(|known| known.key() == shape).unwrap();
        shapes::run(shape, calls.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    // Test runs start benches too, without this.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let counted: Vec<_> = Shape::ALL.into_iter().map(|shape| (shape, count::per_call(shape))).collect();
    if arguments.iter().any(|argument| argument == "--write") {
        Expected::write(&counted);
    }
    compare(&counted, &Expected::read())
}

fn compare(counted: &[(Shape, u64)], expected: &Expected) -> ExitCode {
    let tonic = counted[0].1 as f64;
    let mut grown = Vec::new();
    println!("{:<18} {:>12} {:>12} {:>8} {:>8}", "shape", "instructions", "expected", "growth", "to tonic");
    for (shape, count) in counted {
        let was = expected.of(*shape);
        let growth = (*count as f64 / was as f64 - 1.0) * 100.0;
        println!("{:<18} {count:>12} {was:>12} {growth:>+7.1}% {:>8.2}", shape.key(), *count as f64 / tonic);
        if growth > TOLERANCE {
            grown.push(shape.key());
        }
    }
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nmore than {TOLERANCE} % above gateway/benches/instructions.toml: {}", grown.join(", "));
    println!("mend it, or say why in the commit that changes the file: scripts/test/instructions.sh --write");
    ExitCode::FAILURE
}
