//! The node's memory: one redb file for rows, one slab file for bodies, one key file.
