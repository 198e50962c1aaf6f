//! The packet: KEM-Sphinx, 64 KiB, post-quantum (docs/spec.md).
