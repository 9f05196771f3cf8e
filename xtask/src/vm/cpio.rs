//! An archive as the kernel unpacks it into its first root: cpio's "newc" format.

use std::collections::BTreeSet;
use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
/// Names and contents start at multiples of it.
const ALIGNMENT: usize = 4;

/// An archive that is being written. Everything in it is root's and may be executed.
pub(super) struct Archive<W> {
    out: W,
    paths: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        let paths = BTreeSet::new();
        Self { out, paths }
    }

    /// Adds a directory, along with those above it; paths are absolute.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        let ends = path.match_indices('/').map(|(end, _)| end);
        for end in ends.skip(1).chain([path.len()]) {
            self.entry(&path[..end], DIRECTORY, &[])?;
        }
        Ok(())
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.parent(path)?;
        self.entry(path, FILE, content)
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parent(path)?;
        self.entry(path, LINK, target.as_bytes())
    }

    fn parent(&mut self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => self.directory(parent),
            _ => Ok(()),
        }
    }

    /// The first entry of a path is the one that counts.
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        if !self.paths.insert(path.to_owned()) {
            return Ok(());
        }
        self.out.write_all(&header(path, mode, content.len())?)?;
        self.out.write_all(content)?;
        self.out.write_all(padding(content.len()))
    }

    /// Marks the end, and gives what it was written to back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&header("/TRAILER!!!", 0, 0)?)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// An entry's header and name. Fields are eight hexadecimal digits each.
fn header(path: &str, mode: u32, size: usize) -> io::Result<Vec<u8>> {
    let name = path.trim_start_matches('/');
    let size = u32::try_from(size).map_err(io::Error::other)?;
    let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
    // inode, mode, uid, gid, links, mtime, size, 4 device numbers, length of the name, checksum
    let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    let mut header = b"070701".to_vec();
    for field in fields {
        header.extend(format!("{field:08x}").bytes());
    }
    header.extend(name.bytes());
    header.push(0);
    header.extend(padding(header.len()));
    Ok(header)
}

fn padding(length: usize) -> &'static [u8] {
    let over = length % ALIGNMENT;
    &[0; ALIGNMENT][..(ALIGNMENT - over) % ALIGNMENT]
}

#[cfg(test)]
mod tests {
    use super::{Archive, header, padding};

    #[test]
    fn header_is_the_formats() {
        let made = header("/bin/sh", 0o100_755, 5).expect("short");
        assert_eq!(made.len(), 6 + 13 * 8 + 8 + 2);
        let text = String::from_utf8(made).expect("ASCII");
        assert_eq!(&text[..6], "070701");
        assert_eq!(&text[14..22], "000081ed");
        assert_eq!(&text[54..62], "00000005");
        assert_eq!(&text[94..102], "00000007");
        assert_eq!(&text[110..], "bin/sh\0\0\0\0");
    }

    #[test]
    fn everything_starts_at_a_multiple_of_four() {
        let lengths = [0, 1, 2, 3, 4, 5].map(|length| padding(length).len());
        assert_eq!(lengths, [0, 3, 2, 1, 0, 3]);
        for name in ["/a", "/ab", "/abc", "/abcd"] {
            assert_eq!(header(name, 0, 0).expect("short").len() % 4, 0);
        }
    }

    #[test]
    fn what_is_above_comes_first_and_once() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/one", b"1").expect("in memory");
        archive.link("/a/b/two", "one").expect("in memory");
        archive.file("/a/b/one", b"again").expect("in memory");
        let bytes = archive.finish().expect("in memory");
        let text = String::from_utf8(bytes).expect("ASCII");
        let names: Vec<_> = ["a\0", "a/b\0", "a/b/one\0", "a/b/two\0", "TRAILER!!!\0"]
            .map(|name| text.find(name))
            .into_iter()
            .collect();
        assert!(
            names.iter().all(Option::is_some) && names.is_sorted(),
            "{text:?}"
        );
        assert_eq!(text.matches("070701").count(), 5);
    }
}
