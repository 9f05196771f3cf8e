//! Building the eBPF object by itself.

use anyhow::{Context as _, Result};

use crate::cargo;

/// The name under which nstrace's build script leaves the object.
const OBJECT: &str = "nstrace-bpf";

/// Builds nstrace, whose build script builds the object, and prints path and size.
pub(crate) fn build() -> Result<()> {
    let object = cargo::build(&["build", "--package", "nstrace"])?.build_script_file(OBJECT)?;
    let size = object
        .metadata()
        .with_context(|| format!("read the size of {}", object.display()))?
        .len();
    if size == 0 {
        // The build script's stub, which lets clippy and unit tests do without a linker.
        println!(
            "{} is an empty stub: AYA_BUILD_SKIP is set",
            object.display()
        );
    } else {
        println!("{} ({size} bytes)", object.display());
    }
    Ok(())
}
