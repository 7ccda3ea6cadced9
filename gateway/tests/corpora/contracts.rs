//! The contracts that targets read their input against, compiled from their text.

use std::path::Path;

/// The descriptors, serialized. `gateway`: the folder of the crate.
pub(crate) fn compile(gateway: &Path) -> Vec<u8> {
    let mut compiler = protox::Compiler::new([gateway.join("tests/door"), gateway.join("../proto")]).unwrap();
    compiler.include_imports(true).open_file("probe.proto").unwrap();
    for file in ["apps", "auth"] {
        compiler.open_file(format!("mozaiks/identity/v1/{file}.proto")).unwrap();
    }
    compiler.encode_file_descriptor_set()
}
