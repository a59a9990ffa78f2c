//! Mapping passes, their registry and pipelines.
