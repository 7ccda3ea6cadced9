//! The master key of an installation, and the keys derived from it for one purpose each.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use hkdf::Hkdf;
use kernel::{Error, Result};
use sha2::Sha256;

/// The master key. Never leaves this module; cannot be printed.
pub(crate) struct Master([u8; 32]);

impl Master {
    /// Reads the key file. When there is none, makes one of mode 0600 if `may_make`: beside documents that another key has
    /// sealed a new one would be of no use.
    /// Errors: `MASTER_KEY_MISSING`, `MASTER_KEY_EXPOSED` when others may read it, `MASTER_KEY_INVALID`.
    pub(crate) fn open(path: &Path, may_make: bool) -> Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                let message = format!("{} may be read by others; run chmod 600 on it", path.display());
                Err(Error::refused("MASTER_KEY_EXPOSED", message))
            }
            Ok(_) => Self::read(path),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && may_make => Self::make(path),
            Err(cause) => {
                let message = format!(
                    "no master key at {}; bring back the one that this store was sealed with, or make one for a new store with: openssl rand -hex 32",
                    path.display()
                );
                Err(Error::refused("MASTER_KEY_MISSING", message).because(cause))
            }
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let invalid = || Error::refused("MASTER_KEY_INVALID", format!("{} does not hold 64 hexadecimal digits", path.display()));
        let unreadable = |cause| Error::refused("MASTER_KEY_INVALID", format!("{} cannot be read", path.display())).because(cause);
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let digits = text.trim().as_bytes();
        if digits.len() != 64 {
            return Err(invalid());
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = str::from_utf8(pair).map_err(|cause| invalid().because(cause))?;
            *byte = u8::from_str_radix(pair, 16).map_err(|cause| invalid().because(cause))?;
        }
        Ok(Self(key))
    }

    fn make(path: &Path) -> Result<Self> {
        let failed = |cause| Error::internal("MASTER_KEY_WRITE", format!("{} cannot be written", path.display())).because(cause);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|cause| Error::internal("RANDOM", "the system gives no random bytes").because(cause))?;
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        // Whole or not at all, and still there after a power cut: what it seals will be. Of two nodes that start at once one
        // makes it and the other waits and reads it.
        let draft = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&draft).map_err(failed)?;
        file.lock().map_err(failed)?;
        if path.exists() {
            return Self::read(path);
        }
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&draft, path).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Self(key))
    }

    /// The key for one purpose; the same in every replica that has the same master key.
    pub(crate) fn derive(&self, purpose: &str) -> Result<[u8; 32]> {
        let mut key = [0; 32];
        let expanded = Hkdf::<Sha256>::new(None, &self.0).expand(purpose.as_bytes(), &mut key);
        expanded.map_err(|cause| Error::internal("KEY_DERIVATION", format!("{cause}")))?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_never_shared() {
        let folder = std::env::temp_dir().join(format!("mozaiks-keys-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("master.key");
        assert_eq!(Master::open(&path, false).err().unwrap().reason(), "MASTER_KEY_MISSING");
        let made = Master::open(&path, true).ok().unwrap();
        let read = Master::open(&path, false).ok().unwrap();
        assert_eq!(made.derive("pages").unwrap(), read.derive("pages").unwrap());
        assert_ne!(read.derive("pages").unwrap(), read.derive("seal").unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Master::open(&path, false).err().unwrap().reason(), "MASTER_KEY_EXPOSED");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert_eq!(Master::open(&path, false).err().unwrap().reason(), "MASTER_KEY_INVALID");
        fs::remove_dir_all(&folder).unwrap();
    }
}
