//! What images are read from: a file or standard input, gzipped or not, and told from what is no archive at all.

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{Chain, Cursor, ErrorKind, IsTerminal, Read};
use std::path::Path;

/// A header of a tar archive, with the sum of its bytes in octal digits at [`SUM`] (pax(1), ustar interchange format).
const HEADER_BYTES: usize = 512;
const SUM: std::ops::Range<usize> = 148..156;

const GZIP: &[u8] = &[0x1f, 0x8b];
/// Compressions that are known by how they begin, with the program that undoes each.
const OTHER_COMPRESSIONS: [(&[u8], &str); 3] =
    [(&[0x28, 0xb5, 0x2f, 0xfd], "zstd"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"), (b"BZh", "bzip2")];

/// As users name standard input.
const STANDARD_INPUT: &str = "-";

/// A tar archive, about to be read.
pub(super) struct Archive(Box<dyn Read + Send>);

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Archive")
    }
}

impl Archive {
    /// Opens a file, or standard input for `-`, and refuses what is no tar archive.
    pub(super) fn open(file: &Path) -> Result<Self> {
        if file == Path::new(STANDARD_INPUT) {
            let input = std::io::stdin();
            ensure!(!input.is_terminal(), "standard input is a terminal, and no archive comes from there");
            return Self::of(input).context("cannot use standard input");
        }
        let name = file.display();
        let opened = File::open(file).with_context(|| format!("cannot open {name}"))?;
        let is_directory = opened.metadata().is_ok_and(|metadata| metadata.is_dir());
        ensure!(
            !is_directory,
            "{name} is a directory; if it is an OCI layout: tar -C {name} -c . | corten image import -"
        );
        Self::of(opened).with_context(|| format!("cannot use {name}"))
    }

    fn of(input: impl Read + Send + 'static) -> Result<Self> {
        let (head, input) = peek(input)?;
        ensure!(!head.is_empty(), "it is empty");
        if !head.starts_with(GZIP) {
            return Self::of_plain(&head, input);
        }
        let (head, input) = peek(MultiGzDecoder::new(input))?;
        Self::of_plain(&head, input)
    }

    fn of_plain(head: &[u8], input: impl Read + Send + 'static) -> Result<Self> {
        if let Some((_, program)) = OTHER_COMPRESSIONS.iter().find(|(magic, _)| head.starts_with(magic)) {
            bail!("it is compressed by {program}: {program} -dc FILE | corten image import -");
        }
        ensure!(
            is_header(head),
            "it is no tar archive; `docker save`, `podman save` and `skopeo copy` write archives of images"
        );
        Ok(Self(Box::new(input)))
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// An input of which the beginning was read, as if it was not.
type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// How the input begins, and the whole input.
fn peek<R: Read>(mut input: R) -> Result<(Vec<u8>, Peeked<R>)> {
    let mut head = Vec::with_capacity(HEADER_BYTES);
    match input.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut head) {
        // Of gzip; what came before that may be too short for a header, and is refused.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
            return Err(error).context("cannot read it");
        }
        _ => {}
    }
    Ok((head.clone(), Cursor::new(head).chain(input)))
}

fn is_header(head: &[u8]) -> bool {
    let Some(digits) = head.get(SUM).filter(|_| head.len() == HEADER_BYTES) else { return false };
    let digits = String::from_utf8_lossy(digits);
    let told = u32::from_str_radix(digits.trim_matches([' ', '\0']), 8);
    let blank = u32::from(b' ') * SUM.len() as u32;
    let others = head.iter().enumerate().filter(|(place, _)| !SUM.contains(place));
    told == Ok(others.map(|(_, byte)| u32::from(*byte)).sum::<u32>() + blank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        Archive::of(Cursor::new(bytes.to_vec()))?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn archives_are_read_whole() {
        let archive = crate::pause::archive().unwrap();
        assert_eq!(read(&archive).unwrap(), archive);
        assert_eq!(read(&gzip(&archive)).unwrap(), archive);
        let cut = gzip(&archive);
        assert!(read(&cut[..cut.len() - 9]).is_err(), "the end is missed");
    }

    #[test]
    fn what_is_no_archive_is_told() {
        let text = [b'x'; 2 * HEADER_BYTES];
        for (bytes, why) in [
            (&b""[..], "it is empty"),
            (b"short", "it is no tar archive; "),
            (&text, "it is no tar archive; "),
            (&gzip(&text), "it is no tar archive; "),
            (&gzip(&text)[..12], "it is no tar archive; "),
            (b"\x1f\x8bxxxxxxxxxxxxxxxx", "cannot read it: "),
            (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: zstd -dc FILE | corten image import -"),
        ] {
            let error = format!("{:#}", read(bytes).unwrap_err());
            assert!(error.starts_with(why), "{bytes:?}: {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let error = Archive::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is a directory; if it is an OCI layout: tar -C "), "{error}");
        let error = Archive::open(&dir.path().join("none")).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot open "), "{error:#}");
    }
}
