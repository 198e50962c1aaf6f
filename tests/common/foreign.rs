//! Mails of other people's making.

use std::path::PathBuf;
use std::process::Command;

/// The mails inside the mail-parser crate, which cargo has fetched: `folder/number` and bytes.
pub(crate) fn foreign_mails() -> Vec<(String, Vec<u8>)> {
    // For this platform alone: what others need was never fetched.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut ask = Command::new(env!("CARGO"));
    ask.args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &host]);
    let metadata = ask.output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|p| p["name"] == "mail-parser").expect("a dependency");
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
    let folders = std::fs::read_dir(manifest.with_file_name("resources").join("eml")).unwrap();
    let mut mails = Vec::new();
    for folder in folders.map(|f| f.unwrap()) {
        for file in std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path()) {
            if file.extension().is_some_and(|e| e == "eml") {
                let stem = file.file_stem().unwrap().to_string_lossy();
                mails.push((format!("{}/{stem}", folder.file_name().to_string_lossy()), std::fs::read(&file).unwrap()));
            }
        }
    }
    mails.sort();
    mails
}
