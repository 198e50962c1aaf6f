//! What the targets share.

use serde_json::Value;

/// One of the project's vector files.
///
/// # Panics
/// If it is no JSON.
#[must_use]
pub fn vectors(name: &str) -> Value {
    let text = match name {
        "document" => include_str!("../../tests/vectors/document.json"),
        "link" => include_str!("../../tests/vectors/link.json"),
        "message" => include_str!("../../tests/vectors/message.json"),
        "packet" => include_str!("../../tests/vectors/packet.json"),
        _ => panic!("there are no vectors of {name}"),
    };
    serde_json::from_str(text).expect("the tests read it too")
}

/// The bytes that a vector file gives in base64.
///
/// # Panics
/// If it gives none.
#[must_use]
pub fn base64(value: &Value) -> Vec<u8> {
    data_encoding::BASE64.decode(value.as_str().expect("a text").as_bytes()).expect("base64")
}

/// The bytes that a vector file gives in hex.
///
/// # Panics
/// If it gives none.
#[must_use]
pub fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().expect("a text").as_bytes()).expect("hex")
}
