//! The simulated upstream, from outside.
