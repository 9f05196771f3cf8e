//! The system's services file, which names ports.

use std::{fs::File, io::Read as _, path::Path};

use crate::services::Services;

/// See services(5).
const FILE: &str = "/etc/services";
/// Distributions that ship all of IANA's registry need some 700 kB.
const MAX_FILE: u64 = 2 << 20;

/// What the system calls its ports: nothing where the file is missing or cannot be read. Of a file
/// that is too long, what stands first.
#[must_use]
pub fn services() -> Services {
    read(Path::new(FILE), MAX_FILE)
}

fn read(path: &Path, most: u64) -> Services {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    if let Err(error) = read {
        tracing::debug!(%error, path = %path.display(), "ports have no names");
    }
    Services::parse(&String::from_utf8_lossy(&bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_missing_file_names_nothing() {
        let path = Path::new("/nonexistent/services");
        assert_eq!(read(path, MAX_FILE), Services::default());
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_whatever_its_bytes() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"http 80/tcp\n\xff\xfe 7/tcp\nhttps 443/tcp\n")
            .expect("to write");
        let services = read(file.path(), MAX_FILE);
        assert_eq!(services.name(6, 80), Some("http"));
        assert_eq!(services.name(6, 443), Some("https"));
        let services = read(file.path(), 20);
        assert_eq!(services.name(6, 80), Some("http"));
        assert_eq!(services.name(6, 443), None);
    }
}
