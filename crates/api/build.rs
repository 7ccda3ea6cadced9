//! Generates the Rust side of `proto/`: messages, clients, servers, JSON, checks of field behaviour, the table of codecs.

#[path = "build/checks.rs"]
mod checks;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::DescriptorPool;

/// Well-known types of our own: pbjson's write a mask as an object and end times with `+00:00`.
const OWN_TYPES: [&str; 2] = ["FieldMask", "Timestamp"];

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[allow(clippy::disallowed_methods)] // cargo hands the folder over in the environment
fn main() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-changed=build");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut protos = Vec::new();
    collect(&root.join("mozaiks"), &mut protos)?;
    protos.sort();
    // Failures carry these details; whoever reads them through reflection needs their form.
    protos.push(root.join("google/rpc/error_details.proto"));
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&protos)?;
    // Encoded by protox itself: decoding it into prost's types first would drop our options.
    let described = compiler.encode_file_descriptor_set();
    fs::write(out.join("contract.binpb"), &described)?;

    let pool = DescriptorPool::decode(described.as_slice())?;
    let faults = checks::faults(&pool);
    if !faults.is_empty() {
        return Err(faults.join("\n").into());
    }
    let mut files = compiler.file_descriptor_set();
    // The well-known types stay in: prost asks them what they can derive.
    files.file.retain(|file| file.package().starts_with("mozaiks.") || file.package() == "google.protobuf");
    generate_messages(files, &pool, &out)?;
    let packages = generate_json(&described, &pool, &out)?;
    fs::write(out.join("asks.rs"), checks::generate(&pool))?;
    fs::write(out.join("codecs.rs"), codecs(&pool))?;
    attach_json(&out, &packages)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

fn generate_messages(files: tonic_prost_build::FileDescriptorSet, pool: &DescriptorPool, out: &Path) -> Outcome {
    let mut builder = tonic_prost_build::configure()
        .build_transport(false)
        .include_file("tree.rs")
        .out_dir(out)
        .skip_debug(checks::secret_messages(pool));
    for own in OWN_TYPES {
        builder = builder.extern_path(format!(".google.protobuf.{own}"), format!("crate::wkt::{own}"));
    }
    builder.compile_fds(files)?;
    Ok(())
}

fn generate_json(described: &[u8], pool: &DescriptorPool, out: &Path) -> Outcome<Vec<String>> {
    let mut builder = pbjson_build::Builder::new();
    builder.register_descriptors(described)?.out_dir(out);
    for own in OWN_TYPES {
        builder.extern_path(format!(".google.protobuf.{own}"), format!("crate::wkt::{own}"));
    }
    let packages: Vec<String> = checks::packages(pool).into_iter().filter(|package| package != "mozaiks.options.v1").collect();
    let prefixes: Vec<String> = packages.iter().map(|package| format!(".{package}")).collect();
    builder.build(&prefixes)?;
    Ok(packages)
}

/// Appends each package's JSON to its module, since the module tree names only the messages.
fn attach_json(out: &Path, packages: &[String]) -> Outcome {
    for package in packages {
        let module = out.join(format!("{package}.rs"));
        let mut text = fs::read_to_string(&module)?;
        write!(text, "\ninclude!(\"{package}.serde.rs\");\n")?;
        fs::write(module, text)?;
    }
    Ok(())
}

/// One line per message that a REST rule can route: JSON text to wire bytes and back.
fn codecs(pool: &DescriptorPool) -> String {
    let mut text = String::from("pub(crate) static CODECS: &[(&str, crate::Codec)] = &[\n");
    let mut messages: Vec<_> = checks::own_messages(pool).filter(|message| message.parent_message().is_none()).collect();
    messages.sort_by(|one, other| one.full_name().cmp(other.full_name()));
    for message in messages {
        let _ = writeln!(text, "    (\"{}\", crate::Codec::of::<crate::{}>()),", message.full_name(), checks::rust_path(&message));
    }
    text + "];\n"
}
