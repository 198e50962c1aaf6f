//! Who is in the network: signed descriptors, and the one signed document of them.
