//! the desk, tested through its binary.
