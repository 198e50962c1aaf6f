//! Handing a mail over by writing it into a Maildir: for `fog demo`, and for exits that serve one person.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `mail` (lines ended by CRLF) into the Maildir at `dir`, with LF line ends as is the custom there; makes the
/// directories that are missing. When it returns, the mail is on the disk under its final name.
///
/// `unique` makes the file's name: random, so that it says nothing of when or where the mail was written. The file's path
/// comes back.
///
/// # Errors
/// What the file system says. No half-written mail can be seen in `new` then.
pub fn deliver(dir: &Path, unique: [u8; 16], mail: &[u8]) -> io::Result<PathBuf> {
    for part in ["tmp", "new", "cur"] {
        fs::create_dir_all(dir.join(part))?;
    }
    let name: String = unique.iter().map(|byte| format!("{byte:02x}")).collect();
    let (draft, path) = (dir.join("tmp").join(&name), dir.join("new").join(&name));
    if let Err(error) = write(&draft, mail).and_then(|()| fs::rename(&draft, &path)) {
        // What is left in tmp is swept by mail programs after 36 hours if this fails too.
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    // The rename is on the disk only when the directory is.
    File::open(dir.join("new"))?.sync_all()?;
    Ok(path)
}

fn write(path: &Path, mail: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(&with_line_feeds(mail))?;
    file.sync_all()
}

/// `mail` with LF for CRLF, as files and programs of this system want it.
pub(super) fn with_line_feeds(mail: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(mail.len());
    for line in mail.split_inclusive(|&b| b == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                text.extend_from_slice(line);
                text.push(b'\n');
            }
            None => text.extend_from_slice(line),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_mail_lies_in_new_with_line_feeds() {
        let dir = tempfile::tempdir().unwrap();
        let maildir = dir.path().join("Maildir");
        deliver(&maildir, [0xab; 16], b"Subject: x\r\n\r\n.body\r\nend").unwrap();
        assert_eq!(names(&maildir.join("new")), ["ab".repeat(16)]);
        assert!(names(&maildir.join("tmp")).is_empty());
        assert!(maildir.join("cur").is_dir());
        let text = fs::read(maildir.join("new").join("ab".repeat(16))).unwrap();
        assert_eq!(text, b"Subject: x\n\n.body\nend");
    }

    #[test]
    fn a_mail_that_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let maildir = dir.path().join("Maildir");
        // A directory of the name that the mail would get.
        fs::create_dir_all(maildir.join("new").join("00".repeat(16)).join("x")).unwrap();
        deliver(&maildir, [0; 16], b"x\r\n").unwrap_err();
        assert!(names(&maildir.join("tmp")).is_empty());
        fs::write(dir.path().join("file"), "").unwrap();
        deliver(&dir.path().join("file"), [1; 16], b"x\r\n").unwrap_err();
    }
}
