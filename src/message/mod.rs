//! What packets carry: a mail as CBOR, compressed, cut into shards that spare shards can stand in for.
