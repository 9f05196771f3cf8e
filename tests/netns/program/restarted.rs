//! Flows whose numbers would pass what an entry can hold.
