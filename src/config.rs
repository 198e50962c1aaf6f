//! The configuration: TOML in, a checked `Config` out.
