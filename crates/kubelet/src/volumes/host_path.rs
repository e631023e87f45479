//! Paths of the node.
//!
//! Upstream counterpart: `pkg/volume/hostpath/host_path.go`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Checks that the path is of the type that the pod asks for; makes it where it says so.
///
/// # Errors
/// Upstream's texts.
pub(crate) fn check(path: &Path, kind: &str) -> Result<(), String> {
    let fail = |text: String| Err(format!("hostPath type check failed: {text}"));
    let shown = path.display();
    match kind {
        "" => return Ok(()),
        "DirectoryOrCreate" if !path.exists() => {
            return fs::create_dir_all(path).map_err(|error| format!("cannot create {shown}: {error}"));
        }
        "FileOrCreate" if !path.exists() => {
            let file = fs::OpenOptions::new().create(true).append(true).mode(0o644).open(path);
            return file.map(drop).map_err(|error| format!("cannot create {shown}: {error}"));
        }
        _ => {}
    }
    let Ok(meta) = fs::metadata(path) else { return fail(format!("{shown} is not {}", noun(kind))) };
    let file = meta.file_type();
    let is_right = match kind {
        "Directory" | "DirectoryOrCreate" => file.is_dir(),
        "File" | "FileOrCreate" => file.is_file(),
        "Socket" => file.is_socket(),
        "CharDevice" => file.is_char_device(),
        "BlockDevice" => file.is_block_device(),
        other => return Err(format!("{other} is an invalid volume type")),
    };
    if is_right { Ok(()) } else { fail(format!("{shown} is not {}", noun(kind))) }
}

fn noun(kind: &str) -> &'static str {
    match kind {
        "File" | "FileOrCreate" => "a file",
        "Socket" => "a socket file",
        "CharDevice" => "a character device",
        "BlockDevice" => "a block device",
        _ => "a directory",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_paths() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "").unwrap();
        let none = dir.path().join("none");
        assert!(check(&none, "").is_ok());
        assert!(check(dir.path(), "Directory").is_ok());
        assert!(check(&file, "File").is_ok());
        let wrong = check(&file, "Directory").unwrap_err();
        assert_eq!(wrong, format!("hostPath type check failed: {} is not a directory", file.display()));
        assert!(check(&none, "Directory").is_err());
        assert!(check(&none.join("a"), "DirectoryOrCreate").is_ok());
        assert!(check(&dir.path().join("g"), "FileOrCreate").is_ok());
        assert!(check(&file, "Socket").is_err());
    }
}
