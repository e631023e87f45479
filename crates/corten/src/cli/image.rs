//! `corten image`.

use super::instance::RootArgs;
use anyhow::Result;
use clap::Subcommand;
use lifecycle::Layout;
use std::io::Write;
use std::path::PathBuf;

/// What is done about images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Load images from OCI or Docker archives into the container runtime. The kubelet does not collect them: nobody
    /// could pull them again
    Import {
        /// The archives, gzipped or not; `-` is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        root: RootArgs,
    },
    /// List the container runtime's images
    List {
        #[command(flatten)]
        root: RootArgs,
    },
}

impl ImageCommand {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<()> {
        let options = lifecycle::containerd::Options::default();
        match self {
            Self::Import { files, root } => {
                let layout = Layout::open(&root.root)?;
                for line in lifecycle::image::import(&options, &layout, &files)? {
                    let _nobody_reads = writeln!(out, "{line}");
                }
            }
            Self::List { root } => {
                let images = lifecycle::image::list(&options, &Layout::open(&root.root)?)?;
                let width = images.iter().map(|image| image.name.len()).max().unwrap_or_default();
                for image in images {
                    let (name, digest, size) = (image.name, image.digest, image.size);
                    let _nobody_reads = writeln!(out, "{name:<width$}  {digest}  {size}");
                }
            }
        }
        Ok(())
    }
}
