//! Places pods of the cluster that a kubeconfig names, until it is interrupted:
//! `cargo run -p scheduler --example schedule -- /path/to/kubeconfig`.

use client::{Client, Informers};
use scheduler::Config;
use std::path::PathBuf;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(std::env::args().nth(1).ok_or("usage: schedule KUBECONFIG")?);
    let client = Client::from_kubeconfig(&path, "kube-scheduler")?;
    let informers = Informers::new(client.clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        let _ = stop.send(true);
    });
    let config = Config::new("example");
    scheduler::run(config, client, informers, stopped).await?;
    Ok(())
}
