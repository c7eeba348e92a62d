//! Rules about the tree itself, as tests; see `tests/`.
