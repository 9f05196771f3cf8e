//! Which kernels, why each, and Debian's packages of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::cmd;
use crate::setup::{private_apt::PrivateApt, say};

/// A kernel of the matrix.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// As on the command line
    pub(super) name: &'static str,
    /// How its versions start
    series: &'static str,
    /// Where Debian has it
    suites: &'static [&'static str],
    why: &'static str,
}

/// The matrix. 6.6, the first with TCX, is in no suite of Debian; its neighbours are.
pub(super) static KERNELS: [Kernel; 4] = [
    Kernel {
        name: "5.10",
        series: "5.10.",
        suites: &["bullseye", "bullseye-security"],
        why: "the oldest that nstrace is for, with the oldest verifier",
    },
    Kernel {
        name: "6.1",
        series: "6.1.",
        suites: &["bookworm", "bookworm-security"],
        why: "Debian's last without TCX",
    },
    Kernel {
        name: "6.12",
        series: "6.12.",
        suites: &["trixie", "trixie-security"],
        why: "Debian's first with TCX",
    },
    Kernel {
        name: "newest",
        series: "",
        suites: &["sid"],
        why: "what others will have soon",
    },
];

/// Debian's name for its current kernel for cloud images: small, and quick to boot.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// The file that says that an unpacked kernel is complete, and which it is.
const RELEASE: &str = "release";

/// A kernel's files.
pub(super) struct Files {
    /// As `uname -r` says it
    pub(super) release: String,
    /// What is booted
    pub(super) image: PathBuf,
    /// The directory of its modules
    pub(super) modules: PathBuf,
}

/// The kernel that a word on the command line means.
pub(crate) fn named(name: &str) -> Result<&'static Kernel, String> {
    let names = || KERNELS.each_ref().map(|kernel| kernel.name).join(", ");
    let found = KERNELS.iter().find(|kernel| kernel.name == name);
    found.ok_or_else(|| format!("there are {}", names()))
}

impl Kernel {
    /// Its files below `cache`, from Debian where they are not there yet. They stay: a later run
    /// needs no network, and gets a newer one only after its directory was removed.
    pub(super) fn fetch(&self, cache: &Path) -> Result<Files> {
        let dir = cache.join(format!("linux-{}", self.name));
        if let Ok(release) = fs::read_to_string(dir.join(RELEASE)) {
            return Files::find(&dir, release);
        }
        say(
            &format!("Linux {} into {}", self.name, dir.display()),
            self.why,
        );
        fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
        // Not under its name before it is complete.
        let partial = TempDir::with_prefix_in("partial-", cache).context("make a directory")?;
        let release = self.unpack(partial.path())?;
        let files = Files::find(partial.path(), release.clone())?;
        index(&files)?;
        fs::write(partial.path().join(RELEASE), &release).context("note the release")?;
        fs::rename(partial.keep(), &dir).with_context(|| format!("make {}", dir.display()))?;
        Files::find(&dir, release)
    }

    /// Unpacks the newest of the series, and returns its release.
    fn unpack(&self, to: &Path) -> Result<String> {
        let apt = PrivateApt::of_debian(self.suites)?;
        let version = apt.version(PACKAGE, |upstream| upstream.starts_with(self.series))?;
        let depends = apt.field(PACKAGE, &version, "Depends")?;
        let release = release_in(&depends)
            .with_context(|| format!("{PACKAGE} {version} leads to no image: {depends}"))?
            .to_owned();
        let image = format!("linux-image-{release}");
        // In newer suites the image is but a name for a few others, of the same release.
        let depends = apt.field(&image, &version, "Depends")?;
        let mut packages = parts_of(&depends, &release);
        packages.push(&image);
        let wanted: Vec<_> = packages
            .iter()
            .map(|package| format!("{package}={version}"))
            .collect();
        apt.unpack(&wanted, to)?;
        Ok(release)
    }
}

/// The names in a `Depends` field.
fn names(depends: &str) -> impl Iterator<Item = &str> {
    let words = depends.split([',', '|']);
    words.filter_map(|word| word.split_whitespace().next())
}

/// The release that the name of an image's package ends in.
fn release_in(depends: &str) -> Option<&str> {
    names(depends).find_map(|name| name.strip_prefix("linux-image-"))
}

/// The packages that carry the same release in their names.
fn parts_of<'a>(depends: &'a str, release: &str) -> Vec<&'a str> {
    names(depends)
        .filter(|name| name.strip_suffix(release).is_some_and(|n| n.ends_with('-')))
        .collect()
}

impl Files {
    /// Where Debian's packages have them: it has moved both over the years.
    fn find(dir: &Path, release: String) -> Result<Self> {
        let modules = first_of(&[
            dir.join("usr/lib/modules").join(&release),
            dir.join("lib/modules").join(&release),
        ])?;
        let image = first_of(&[
            dir.join("boot").join(format!("vmlinuz-{release}")),
            modules.join("vmlinuz"),
        ])?;
        Ok(Self {
            release,
            image,
            modules,
        })
    }
}

fn first_of(places: &[PathBuf]) -> Result<PathBuf> {
    let found = places.iter().find(|place| place.exists());
    found
        .cloned()
        .with_context(|| format!("the kernel's packages have none of {places:?}"))
}

/// Makes the index that modprobe reads, as the packages' own scripts would.
fn index(files: &Files) -> Result<()> {
    // The directory that has lib/modules.
    let base = files.modules.ancestors().nth(3).context("find lib")?;
    cmd::output(
        Command::new("busybox")
            .args(["depmod", "-b"])
            .arg(base)
            .arg(&files.release),
    )?;
    let index = files.modules.join("modules.dep");
    ensure!(index.is_file(), "busybox made no {}", index.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{KERNELS, named, parts_of, release_in};

    #[test]
    fn image_of_an_older_suite_is_one_package() {
        let depends = "linux-image-5.10.0-46-cloud-amd64 (= 5.10.262-1)";
        assert_eq!(release_in(depends), Some("5.10.0-46-cloud-amd64"));
        let depends = "kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.1) | linux-initramfs-tool";
        assert!(parts_of(depends, "5.10.0-46-cloud-amd64").is_empty());
    }

    #[test]
    fn image_of_a_newer_suite_is_several_packages() {
        let release = "7.2.13+deb14-cloud-amd64";
        let depends = "linux-base-cloud-amd64 (= 7.2.13-1), \
                       linux-image-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)";
        assert_eq!(release_in(depends), Some(release));
        let depends = "dracut | initramfs-tools (>= 0.120), \
                       linux-base-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), \
                       linux-binary-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), \
                       linux-modules-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)";
        assert_eq!(
            parts_of(depends, release),
            ["base", "binary", "modules"].map(|part| format!("linux-{part}-{release}"))
        );
    }

    #[test]
    fn kernels_are_known_by_their_names() {
        for kernel in &KERNELS {
            assert_eq!(named(kernel.name), Ok(kernel));
        }
        assert_eq!(
            named("6.6"),
            Err("there are 5.10, 6.1, 6.12, newest".to_owned())
        );
    }
}
