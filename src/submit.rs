//! The one request and one reply between an injector and the node.
